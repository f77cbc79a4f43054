"""Configurations: what all have, and what families of algorithms share, composed of groups."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import ValidationError, model_validator

from paddle_ac.atari_ids import atari_game
from paddle_ac.config.fields import LARGEST
from paddle_ac.config.groups import (
    ActorCriticNetworkGroup,
    AtariGroup,
    EncoderGroup,
    EvaluationGroup,
    LossGroup,
    NetworkGroup,
    OptimizerGroup,
    PriorityGroup,
    QNetworkGroup,
    RunGroup,
    ScalingGroup,
    SynchronousOptimizerGroup,
    ValueLossGroup,
    VectorEnvGroup,
)
from paddle_ac.config.messages import check_names, describe_problems
from paddle_ac.cores import usable_cores
from paddle_ac.errors import ConfigError, quoted

AnyConfig = TypeVar("AnyConfig", bound="RunConfig")

ONE_BY_ONE = VectorEnvGroup(num_envs=1, vec="serial")

# Defaults where the environment is an Atari game: 4 frames as in Mnih et al. 2015, rewards clipped to their sign, which
# normalised ones would not be, and no shorter evaluation than a game may take.
ATARI_DEFAULTS = {"frame_stack": 4, "reward_clip": 1.0, "normalize_rewards": False, "eval_max_steps": 27_000}
MOST_THREADS = 4  # default limit for the network of an Atari game; more than 2 were not measured


def _is_whole_in_e_notation(value: Any) -> bool:
    """Whether it is a text as ``"1e6"``: the command line gives it so, and YAML where there is no point in it."""
    return isinstance(value, str) and bool(re.fullmatch(r"\d+(\.\d+)?[eE]\+?\d{1,2}", value)) and float(value) % 1 == 0


class RunConfig(EvaluationGroup, AtariGroup, RunGroup):
    """The hyper-parameters of a run: the base of every configuration.

    Args:
        values: hyper-parameters by name; texts are converted (``"8"``, ``"64,64"``, ``"1e-3"``).

    Attributes:
        changeable_on_resume: names of what ``--resume`` may change: how long, how evaluated and on which processes;
            never what is learned.
        search_space: what ``tools/tune.py`` searches by default, by name.
        networks: what an agent learns, in words; agents that learn other networks cannot start from one another.

    Raises:
        ConfigError: an unknown name (with the nearest right one), a wrong type, a value out of range.
    """

    changeable_on_resume: ClassVar[frozenset[str]]
    search_space: ClassVar[dict[str, Any]]
    networks: ClassVar[str] = "a policy and a critic of states"

    def __init__(self, *positional: Any, **values: Any):
        if positional:
            raise ConfigError(
                f"{type(self).__name__} takes hyper-parameters by name, as in {type(self).__name__}(seed=0), not "
                f"{quoted(positional[0])}"
            )
        check_names(values, type(self))
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(describe_problems(error)) from None

    def model_copy(self: AnyConfig, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> AnyConfig:
        """The configuration with some values replaced, checked like a new one; ``ConfigError`` as for a new one."""
        return type(self)(**{**self.model_dump(), **(update or {})})

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        super().__pydantic_init_subclass__(**options)
        cls.changeable_on_resume = frozenset(cls._declared("changeable"))
        cls.search_space = cls._declared("search")

    @classmethod
    def _declared(cls, what: str) -> dict[str, Any]:
        """Values of ``what`` (``"changeable"`` or ``"search"``) that fields declare, by name of the field.

        A field that overrides the default of its group keeps the value that the group declares.
        """
        found: dict[str, Any] = {}
        for name in cls.model_fields:
            for base in cls.__mro__:
                known = getattr(base, "model_fields", {}).get(name)
                if known and isinstance(known.json_schema_extra, dict) and known.json_schema_extra[what]:
                    found[name] = known.json_schema_extra[what]
                    break
        return found

    @property
    def vector_envs(self) -> VectorEnvGroup:
        """Hyper-parameters of the vector environment; without flags for it, those of a serial one in this process."""
        return ONE_BY_ONE

    @property
    def priorities(self) -> PriorityGroup | None:
        """Hyper-parameters of prioritised sampling; ``None`` without flags for it, and for uniform sampling."""
        return None

    @property
    def has_ranks(self) -> bool:
        """Whether several processes, as ``paddle.distributed.launch`` starts them, can train together."""
        return False

    @property
    def cluster_address(self) -> str | None:
        """The cluster that the run uses; ``None`` for this machine alone."""
        return None

    @property
    def num_other_workers(self) -> int:
        """Processes or threads beside this process that a run keeps busy."""
        return 0

    @property
    def atari_game(self) -> str | None:
        """The game that ``env`` names, if it is one of Atari."""
        return atari_game(self.env)

    @model_validator(mode="before")
    @classmethod
    def _atari_games_have_defaults_of_their_own(cls, values: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(values.get("env"), str) or atari_game(values["env"]) is None:
            return values
        defaults: dict[str, Any] = {**ATARI_DEFAULTS}
        if "vec" in cls.model_fields:  # one process plays and learns in turn
            defaults["num_threads"] = min(usable_cores(), MOST_THREADS)
        return {**{name: value for name, value in defaults.items() if name in cls.model_fields}, **values}

    @model_validator(mode="after")
    def _atari_options_are_of_atari_games(self) -> RunConfig:
        for name in AtariGroup.model_fields:
            if self.atari_game is None and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: is for Atari games, such as ALE/Pong-v5, and not for {self.env}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _no_bool_is_a_number(cls, values: dict[str, Any]) -> dict[str, Any]:
        for name, value in values.items():
            parts = value if isinstance(value, (list, tuple)) else [value]
            takes_bool = cls.model_fields[name].annotation in (bool, bool | None)
            if any(isinstance(part, bool) for part in parts) and not takes_bool:
                raise ValueError(f"{name}: takes no {quoted(value)} (which is what YAML reads yes, no, on and off as)")
        return values

    @model_validator(mode="before")
    @classmethod
    def _1e6_is_a_whole_number(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: int(float(value))
            if cls.model_fields[name].annotation in (int, int | None) and _is_whole_in_e_notation(value)
            else value
            for name, value in values.items()
        }

    @model_validator(mode="after")
    def _integers_have_64_bits(self) -> RunConfig:
        for name, value in self:
            if isinstance(value, int) and abs(value) > LARGEST:
                raise ValueError(f"{name}: must be less than 2**63, got {quoted(value)}")
        return self


class NetworkConfig(OptimizerGroup, NetworkGroup, EncoderGroup, ValueLossGroup, ScalingGroup, RunConfig):
    """Hyper-parameters shared by the algorithms that learn one network."""

    @model_validator(mode="after")
    def _linear_schedule_covers_the_run(self) -> NetworkConfig:
        if self.lr_schedule == "linear" and self.decay_steps < self.total_steps:
            raise ValueError(
                f"lr_decay_steps={self.lr_decay_steps} is less than total_steps={self.total_steps}: "
                "the linear schedule would leave a learning rate of 0 from there"
            )
        return self

    @property
    def decay_steps(self) -> int:
        """``lr_decay_steps``, or what it is where none are given."""
        return self.lr_decay_steps or (self.total_steps if self.lr_schedule == "linear" else 25_000)


class OnPolicyConfig(ActorCriticNetworkGroup, LossGroup, NetworkConfig):
    """Hyper-parameters shared by the on-policy algorithms."""

    @property
    def has_baseline(self) -> bool:
        """Whether the critic's values are learned and subtracted from the returns."""
        return True

    @property
    def q_critic(self) -> bool:
        """Whether the critic learns Q(s, .), rather than V(s)."""
        return False

    @property
    def advantage_lambda(self) -> float:
        """Lambda of the advantage estimate; 1 for returns that are not mixed with values on the way."""
        return 1.0

    @property
    def policy_log_epsilon(self) -> float:
        """Epsilon in the logarithm of the policy-gradient loss; 0 for none."""
        return 0.0

    @property
    def memory(self) -> tuple[str, int]:
        """Kind and units of the recurrent layer: ``"none"``, ``"lstm"`` or ``"gru"``."""
        return "none", 0


class SynchronousConfig(SynchronousOptimizerGroup, VectorEnvGroup, OnPolicyConfig):
    """Hyper-parameters shared by the on-policy algorithms with one learner."""

    @property
    def has_ranks(self) -> bool:
        """True: gradients of processes with as many transitions each can be averaged."""
        return True


class QNetworkConfig(QNetworkGroup, NetworkConfig):
    """Hyper-parameters shared by the algorithms that learn Q values."""

    networks: ClassVar[str] = "Q values of actions"

    @model_validator(mode="after")
    def _own_network_is_dueling(self) -> QNetworkConfig:
        if self.network is not None and not self.dueling:
            raise ValueError(f"network={self.network} returns advantages and values of states: add dueling=true")
        return self
