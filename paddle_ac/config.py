"""Every hyper-parameter: its type, default, range, meaning and source.

A field's description is the help of its command-line flag; a YAML file and the flags are checked against the same
fields. Nothing here imports Paddle, so that a mistake on the command line is told at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from annotated_types import Gt, Le
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from paddle_ac.errors import MAX_QUOTED, ConfigError, quoted, shortened
from paddle_ac.family import MembersClasses
from paddle_ac.files import write_atomically
from paddle_ac.plain_yaml import parse_plain_yaml, read_plain_yaml

LARGEST = 2**63 - 1  # of a whole number: what VisualDL and NumPy store
LARGEST_SEED = 2**31 - 1  # old environments take no more than 31 bits
MAX_PROBLEMS = 5  # that an error message names


def _split_commas(value: Any) -> Any:
    """``"64,64"`` as the command line gives it, into parts; 64 is one of them, an empty text none."""
    if isinstance(value, str):
        return [part for part in value.split(",") if part.strip()]
    return [value] if isinstance(value, int) else value


def _is_whole_in_e_notation(value: Any) -> bool:
    """Whether it is a text as ``"1e6"``: the command line gives it so, and YAML where there is no point in it."""
    return isinstance(value, str) and bool(re.fullmatch(r"\d+(\.\d+)?[eE]\+?\d{1,2}", value)) and float(value) % 1 == 0


def _read_arguments(value: Any) -> Any:
    """``["name=value", ...]`` as the command line gives them, or a mapping, into plain data that YAML can hold."""
    if value is None:  # a line `env_kwargs:` without anything
        return {}
    if isinstance(value, (list, tuple)):
        pairs = [text.partition("=") if isinstance(text, str) else ("", "", "") for text in value]
        names = [name for name, _, _ in pairs]
        for text, (name, equals, _) in zip(value, pairs, strict=True):
            if not (name.isidentifier() and equals):
                raise ValueError(f"{quoted(text)} is not name=value, such as gravity=9.8")
            if names.count(name) > 1:
                raise ValueError(f"names {name} twice")
        value = {name: parse_plain_yaml(text.encode(), f"env_kwargs: {name}") for name, _, text in pairs}
    if not isinstance(value, Mapping):
        raise ValueError("must be a mapping of names to values")
    for name in value:
        if not (isinstance(name, str) and name.isidentifier()):
            raise ValueError(f"must have the names of arguments, not {quoted(name)}")
    return {name: _as_plain_data(value[name], name) for name in value}


def _as_plain_data(value: Any, name: str) -> Any:
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)  # a number, which YAML reads as a text where it has no point or no sign
    for kind in (bool, int, float, str):  # NumPy's float64 is a float that YAML does not know
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, (list, tuple)):
        return [_as_plain_data(part, name) for part in value]
    if isinstance(value, Mapping):
        return {str(key): _as_plain_data(part, name) for key, part in value.items()}
    if value is not None:
        raise ValueError(
            f"{name} must be made of numbers, texts, lists and mappings, which a run folder can hold; a function that "
            "makes the environment with other arguments can be passed as env"
        )
    return None


EnvArguments = Annotated[dict[str, Any], BeforeValidator(_read_arguments)]
Units = Annotated[int, Gt(0), Le(65_536)]
LayerSizes = Annotated[tuple[Units, ...], BeforeValidator(_split_commas), Field(max_length=100)]


def field(group: str, default: Any, description: str, **constraints: Any) -> Any:
    """A hyper-parameter.

    Args:
        group: where ``--help`` shows it: ``"run"``, ``"watching"``, ``"algorithm"``, ``"network"`` or ``"optimizer"``.
        default: its value where none is given.
        description: what it means, and where the default comes from.
        constraints: as pydantic's ``Field`` takes them: ``ge``, ``gt``, ``le``, ``lt``.
    """
    return Field(default, description=description, json_schema_extra={"group": group}, **constraints)


class RunConfig(BaseModel):
    """What every algorithm's run has. Steps are steps of single environments, summed over all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # What `--resume` may change: how long, how watched and on which processes; never what is learned.
    changeable_on_resume: ClassVar[set[str]] = {
        "total_steps",
        "eval_interval",
        "eval_episodes",
        "eval_max_steps",
        "checkpoint_interval",
    }

    @model_validator(mode="before")
    @classmethod
    def _no_bool_is_a_number(cls, values: dict[str, Any]) -> dict[str, Any]:
        for name, value in values.items():
            parts = value if isinstance(value, (list, tuple)) else [value]
            if any(isinstance(part, bool) for part in parts) and cls.model_fields[name].annotation is not bool:
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

    def __hash__(self) -> int:
        return hash(self.model_dump_json())  # a dictionary, such as env_kwargs, has no hash

    @model_validator(mode="after")
    def _integers_have_64_bits(self) -> RunConfig:
        for name, value in self:
            if isinstance(value, int) and abs(value) > LARGEST:
                raise ValueError(f"{name}: must be less than 2**63, got {quoted(value)}")
        return self

    algo: str
    env: str = field(
        "run",
        "CartPole-v1",
        "environment: a Gymnasium id, module:id, module:name of a class or function, or gym:id for one of classic gym",
        min_length=1,
        max_length=200,
    )
    env_kwargs: EnvArguments = field(
        "run",
        {},
        "arguments of the environment, as name=value with values as in YAML; max_episode_steps is its time limit",
    )
    frame_stack: int = field("run", 1, "last observations that the policy sees side by side (Atari: 4)", ge=1, le=1000)
    seed: int = field("run", 0, "seed of parameters, actions and environments", ge=0, le=LARGEST_SEED)
    total_steps: int = field("run", 500_000, "steps to train for", ge=1)
    num_threads: int = field(
        "run",
        1,
        "threads of this process's matrix products: small networks take no more, workers want the cores",
        ge=1,
        le=1024,
    )

    eval_interval: int = field("watching", 25_000, "steps between two evaluations", ge=1)
    eval_episodes: int = field("watching", 20, "episodes in an evaluation, greedy, on environments of its own", ge=1)
    eval_max_steps: int = field(
        "watching", 10_000, "steps after which an evaluation's episode is cut, where an environment has no limit", ge=1
    )
    log_interval: int = field("watching", 2_000, "steps between two points of a curve", ge=1)
    checkpoint_interval: int = field("watching", 50_000, "steps between two checkpoints", ge=1)


class VectorEnvConfig(RunConfig):
    """What the algorithms that step their environments side by side share."""

    changeable_on_resume: ClassVar[set[str]] = RunConfig.changeable_on_resume | {
        "resume_episodes",
        "vec",
        "num_workers",
        "step_timeout",
        "start_timeout",
    }

    num_envs: int = field("run", 8, "environments side by side (rl-baselines3-zoo, A2C: 8)", ge=1)
    vec: Literal["auto", "serial", "subproc", "native", "envpool"] = field(
        "run",
        "auto",
        "environments one by one in this process, in worker processes, vectorised by their maker (native) or of "
        "envpool (ids of its own); auto takes what is fastest, as measured",
    )
    num_workers: int | None = field(
        "run",
        None,
        "worker processes of subproc, threads of envpool; must divide num_envs [as many as cores allow]",
        ge=1,
        le=1024,
    )
    step_timeout: float = field("run", 60.0, "seconds after which a worker that gives no answer is stuck", gt=0, le=1e6)
    start_timeout: float = field(
        "run", 600.0, "seconds that workers may take to start and to make their environments", gt=0, le=1e6
    )

    resume_episodes: Literal["replay", "new"] = field(
        "run",
        "replay",
        "what a resumed run does with episodes that were running: replay them, which continues the run exactly, or "
        "begin new ones, for environments that do not repeat themselves",
    )

    @model_validator(mode="after")
    def _workers_divide_environments(self) -> VectorEnvConfig:
        if self.num_workers is not None and self.num_envs % self.num_workers:
            raise ValueError(f"num_workers={self.num_workers} must divide num_envs={self.num_envs}")
        return self


class ScalingConfig(RunConfig):
    """How observations and rewards are brought to scale; rewards are normalised, then scaled, then clipped."""

    reward_scale: float = field("algorithm", 1.0, "what rewards are multiplied by before they are learned from", gt=0)
    reward_clip: float | None = field(
        "algorithm", None, "largest reward, either way, that is learned from, after the scaling [no limit]", gt=0
    )

    normalize_observations: bool = field(
        "algorithm", False, "Box observations by their running mean and deviation, kept with the model"
    )
    normalize_rewards: bool = field("algorithm", False, "rewards by the running deviation of the discounted return")


class OnPolicyConfig(ScalingConfig):
    """What the on-policy members of the family share."""

    changeable_on_resume: ClassVar[set[str]] = RunConfig.changeable_on_resume | {"lr_decay_steps"}

    gamma: float = field("algorithm", 0.99, "discount factor (Mnih et al. 2016, baselines: 0.99)", ge=0, le=1)
    critic_loss: Literal["squared", "smooth_l1"] = field(
        "algorithm", "squared", "the critic's loss: squared error, or smooth L1 (half of it up to 1, linear beyond)"
    )
    value_coef: float = field("algorithm", 0.5, "weight of the critic's loss in the total (baselines: 0.5)", ge=0)
    entropy_coef: float = field(
        "algorithm", 0.001, "weight of the entropy bonus in the total (baselines: 0.01; measured: 0.001)", ge=0
    )

    hidden_sizes: LayerSizes = field("network", (64, 64), "units of each hidden layer, as in 64,64 (baselines)")
    activation: Literal["tanh", "relu"] = field("network", "tanh", "activation of the hidden layers (baselines: tanh)")
    shared_torso: bool = field("network", False, "actor and critic share their hidden layers")
    initialization: Literal["orthogonal", "xavier"] = field(
        "network", "orthogonal", "initial weights (orthogonal: gain sqrt 2 hidden, 0.01 policy, 1 value, as baselines)"
    )

    state_dependent_std: bool = field(
        "network", False, "Box actions: the actor puts out their deviation, rather than one parameter of each"
    )
    initial_log_std: float = field(
        "network", 0.0, "Box actions: initial logarithm of their standard deviation, in halves of the Box", ge=-20, le=2
    )

    learning_rate: float = field("optimizer", 7e-4, "initial learning rate (baselines A2C: 7e-4)", gt=0, le=100)
    lr_schedule: Literal["constant", "linear", "step"] = field(
        "optimizer",
        "step",
        "constant, linear to 0 over lr_decay_steps, or times lr_decay_factor every lr_decay_steps",
    )
    lr_decay_steps: int | None = field(
        "optimizer", None, "steps that the schedule counts in [the whole run for linear, 25000 for step]", ge=1
    )
    lr_decay_factor: float = field("optimizer", 0.92, "factor of the step schedule (0.92 in the tutorial)", gt=0, le=1)
    optimizer_epsilon: float = field("optimizer", 1e-5, "epsilon of the optimiser (baselines: 1e-5)", gt=0)
    rmsprop_decay: float = field("optimizer", 0.99, "decay of RMSProp's mean square (A3C, baselines: 0.99)", ge=0, lt=1)
    max_grad_norm: float = field("optimizer", 0.5, "largest norm of the gradient (baselines: 0.5)", gt=0)

    @model_validator(mode="after")
    def _linear_schedule_covers_the_run(self) -> OnPolicyConfig:
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


class RolloutConfig(OnPolicyConfig):
    """What the members that learn from rollouts of a fixed length share."""

    num_steps: int = field(
        "algorithm", 5, "rollout length T: steps of each environment between two updates (baselines: 5)", ge=1
    )
    gae_lambda: float = field(
        "algorithm", 1.0, "lambda of generalised advantage estimation (arXiv:1506.02438); 1: n-step returns", ge=0, le=1
    )

    recurrent: Literal["none", "lstm", "gru"] = field(
        "network", "none", "a layer after the hidden ones that remembers the episode (A3C-LSTM)"
    )
    recurrent_size: int = field("network", 64, "units of the recurrent layer", ge=1, le=65_536)


SynchronousOptimizer = Literal["rmsprop", "rmsprop_torch", "adam"]
_OPTIMIZERS = (
    "TF-style RMSProp (mean square starts at 1, epsilon inside the root), PyTorch's RMSProp (starts at 0, epsilon "
    "outside), or Adam"
)


class SynchronousConfig(VectorEnvConfig, OnPolicyConfig):
    """What the on-policy algorithms with one learner share."""

    changeable_on_resume: ClassVar[set[str]] = (
        VectorEnvConfig.changeable_on_resume | OnPolicyConfig.changeable_on_resume
    )

    optimizer: SynchronousOptimizer = field("optimizer", "rmsprop", _OPTIMIZERS)


class SynchronousRolloutConfig(SynchronousConfig, RolloutConfig):
    """What A2C, PAAC, TD and Q actor-critic share."""


class A2CConfig(SynchronousRolloutConfig):
    """Synchronous advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783, without the asynchrony)."""

    algo: Literal["a2c"] = "a2c"

    num_steps: int = field(
        "algorithm", 32, "rollout length T: steps of each environment between two updates (measured)", ge=1
    )
    gae_lambda: float = field(
        "algorithm", 0.95, "lambda of generalised advantage estimation (arXiv:1506.02438: 0.95)", ge=0, le=1
    )
    normalize_observations: bool = field(
        "algorithm", True, "Box observations by their running mean and deviation, kept with the model"
    )
    normalize_rewards: bool = field("algorithm", True, "rewards by the running deviation of the discounted return")
    entropy_coef: float = field("algorithm", 0.01, "weight of the entropy bonus in the total (baselines: 0.01)", ge=0)
    optimizer: SynchronousOptimizer = field("optimizer", "adam", _OPTIMIZERS)
    learning_rate: float = field("optimizer", 3e-3, "initial learning rate (measured)", gt=0, le=100)
    lr_schedule: Literal["constant", "linear", "step"] = field(
        "optimizer",
        "linear",
        "constant, linear to 0 over lr_decay_steps, or times lr_decay_factor every lr_decay_steps",
    )


class PAACConfig(SynchronousRolloutConfig):
    """Parallel advantage actor-critic (Clemente et al. 2017, arXiv:1705.04862): A2C with many environments."""

    algo: Literal["paac"] = "paac"

    num_envs: int = field("run", 32, "environments side by side (n_e in the paper: 32 and up)", ge=1)
    learning_rate: float = field(
        "optimizer", 7e-4 * 32, "initial learning rate; 0.0007 * num_envs if none is given (the paper)", gt=0, le=100
    )
    lr_schedule: Literal["constant", "linear", "step"] = field(
        "optimizer", "linear", "constant, linear to 0 over lr_decay_steps (the paper), or times lr_decay_factor"
    )

    @model_validator(mode="before")
    @classmethod
    def _learning_rate_grows_with_the_environments(cls, values: dict[str, Any]) -> dict[str, Any]:
        if "learning_rate" in values or "num_envs" not in values:
            return values
        try:
            return {**values, "learning_rate": 7e-4 * int(values["num_envs"])}
        except (TypeError, ValueError):  # told when the field is checked
            return values


class PPOConfig(SynchronousRolloutConfig):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347)."""

    algo: Literal["ppo"] = "ppo"

    num_steps: int = field(
        "algorithm", 128, "rollout length T: steps of each environment between two updates (baselines: 128)", ge=1
    )
    gae_lambda: float = field("algorithm", 0.95, "lambda of generalised advantage estimation (the paper)", ge=0, le=1)
    clip_range: float = field(
        "algorithm", 0.2, "how far the ratio of probabilities may go from 1 (the paper: 0.2)", gt=0
    )
    clip_range_vf: float | None = field(
        "algorithm", None, "how far a value may go from its estimate before the update [no limit]", gt=0
    )
    num_epochs: int = field("algorithm", 10, "passes over a rollout (the paper, MuJoCo: 10)", ge=1, le=1000)
    minibatch_size: int = field("algorithm", 256, "transitions of a gradient step, at most a rollout (measured)", ge=1)
    target_kl: float | None = field(
        "algorithm", None, "an update ends where the KL divergence estimate exceeds 1.5 times this [no limit]", gt=0
    )
    normalize_advantages: bool = field("algorithm", True, "advantages of a minibatch to mean 0 and deviation 1")
    normalize_observations: bool = field(
        "algorithm", True, "Box observations by their running mean and deviation, kept with the model"
    )
    normalize_rewards: bool = field("algorithm", True, "rewards by the running deviation of the discounted return")
    entropy_coef: float = field("algorithm", 0.0, "weight of the entropy bonus in the total (the paper: 0)", ge=0)
    optimizer: SynchronousOptimizer = field("optimizer", "adam", f"{_OPTIMIZERS} (the paper)")
    learning_rate: float = field("optimizer", 1e-3, "initial learning rate (measured)", gt=0, le=100)
    lr_schedule: Literal["constant", "linear", "step"] = field(
        "optimizer", "linear", "constant, linear to 0 over lr_decay_steps, or times lr_decay_factor"
    )

    @model_validator(mode="after")
    def _has_no_recurrent_layer(self) -> PPOConfig:
        if self.recurrent != "none":
            raise ValueError("recurrent: ppo takes no recurrent layer, must be none")
        return self


class TDActorCriticConfig(SynchronousRolloutConfig):
    """Online actor-critic with one-step TD errors (Sutton and Barto 2018, section 13.5; minimalRL, actor_critic.py)."""

    algo: Literal["td_ac"] = "td_ac"

    num_envs: int = field("run", 1, "environments side by side (the tutorial: 1)", ge=1)
    num_steps: int = field("algorithm", 10, "steps between two updates (the tutorial: 10; 1 is fully online)", ge=1)
    gae_lambda: float = field("algorithm", 0.0, "0: one-step TD errors; more looks further", ge=0, le=1)
    entropy_coef: float = field("algorithm", 0.01, "weight of the entropy bonus in the total (baselines: 0.01)", ge=0)
    optimizer: SynchronousOptimizer = field("optimizer", "adam", f"{_OPTIMIZERS} (the tutorial)")
    lr_schedule: Literal["constant", "linear", "step"] = field(
        "optimizer", "linear", "constant (the tutorial), linear to 0 over lr_decay_steps, or times lr_decay_factor"
    )
    max_grad_norm: float = field("optimizer", 5.0, "largest norm of the gradient (measured)", gt=0)
    normalize_rewards: bool = field("algorithm", True, "rewards by the running deviation of the discounted return")


class QActorCriticConfig(SynchronousRolloutConfig):
    """Actor-critic whose critic learns Q(s, .) (Sutton et al. 2000; expected SARSA, van Seijen et al. 2009)."""

    algo: Literal["q_ac"] = "q_ac"

    gae_lambda: float = field("algorithm", 0.0, "0: one-step targets; more looks further", ge=0, le=1)
    value_coef: float = field("algorithm", 1.0, "weight of the critic's loss in the total (measured)", ge=0)
    learning_rate: float = field("optimizer", 2e-3, "initial learning rate (measured on CartPole-v1)", gt=0, le=100)
    lr_schedule: Literal["constant", "linear", "step"] = field(
        "optimizer",
        "linear",
        "constant, linear to 0 over lr_decay_steps, or times lr_decay_factor every lr_decay_steps",
    )

    @model_validator(mode="after")
    def _remembers_nothing(self) -> QActorCriticConfig:
        if self.recurrent != "none":
            raise ValueError(
                "recurrent: q_ac takes no recurrent layer since version 0.2, must be none: "
                f"a2c, paac, a3c and td_ac take {self.recurrent}"
            )
        return self


class ReinforceConfig(SynchronousConfig):
    """REINFORCE (Williams 1992), with Monte-Carlo returns of whole episodes."""

    algo: Literal["reinforce"] = "reinforce"

    baseline: bool = field("algorithm", True, "subtract the critic's value from the return, and learn it")
    max_episode_steps: int = field(
        "algorithm",
        2_000,
        "steps after which an episode is truncated, unless its environment ends it before",
        ge=1,
    )
    learning_rate: float = field("optimizer", 1e-2, "initial learning rate (measured on CartPole-v1)", gt=0, le=100)
    lr_schedule: Literal["constant", "linear", "step"] = field(
        "optimizer",
        "linear",
        "constant, linear to 0 over lr_decay_steps, or times lr_decay_factor every lr_decay_steps",
    )
    optimizer: SynchronousOptimizer = field("optimizer", "adam", _OPTIMIZERS)


class A3CConfig(RolloutConfig):
    """Asynchronous advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783, algorithm S3)."""

    changeable_on_resume: ClassVar[set[str]] = OnPolicyConfig.changeable_on_resume | {
        "lock",
        "restart_workers",
        "step_timeout",
    }

    algo: Literal["a3c"] = "a3c"

    num_steps: int = field(
        "algorithm", 20, "t_max: steps of each environment between two updates (the paper: 5; measured: 20)", ge=1
    )
    learning_rate: float = field("optimizer", 2e-3, "initial learning rate (measured on CartPole-v1)", gt=0, le=100)
    num_workers: int = field(
        "run", 2, "worker processes, each with environments and a copy of the network", ge=1, le=1024
    )
    num_envs: int = field("run", 1, "environments of each worker", ge=1)
    restart_workers: bool = field("run", False, "replace a worker that was killed or is stuck, rather than stop")
    step_timeout: float = field("run", 60.0, "seconds without a step after which a worker is stuck", gt=0, le=1e6)
    lock: bool = field("run", False, "let one worker write at a time; without, they write as they come (Hogwild)")

    optimizer: Literal["shared_rmsprop", "rmsprop", "shared_rmsprop_torch", "shared_adam"] = field(
        "optimizer",
        "shared_rmsprop",
        "statistics shared by the workers (RMSProp: the paper's best; PyTorch's RMSProp; Adam), or one set per worker",
    )


class SACConfig(VectorEnvConfig, ScalingConfig):
    """Soft actor-critic with an automatic temperature (Haarnoja et al. 2018, arXiv:1812.05905)."""

    algo: Literal["sac"] = "sac"

    env: str = field(
        "run",
        "Pendulum-v1",
        "environment: a Gymnasium id, module:id, module:name of a class or function, or gym:id for one of classic gym",
        min_length=1,
        max_length=200,
    )
    total_steps: int = field("run", 20_000, "steps to train for", ge=1)
    num_envs: int = field("run", 1, "environments side by side (the paper: 1)", ge=1)

    eval_interval: int = field("watching", 2_000, "steps between two evaluations", ge=1)
    log_interval: int = field("watching", 500, "steps between two points of a curve", ge=1)
    checkpoint_interval: int = field("watching", 10_000, "steps between two checkpoints, replay buffer included", ge=1)

    gamma: float = field("algorithm", 0.99, "discount factor (the paper: 0.99)", ge=0, le=1)
    tau: float = field("algorithm", 0.005, "step of the target networks towards the critics (the paper)", gt=0, le=1)
    buffer_size: int = field("algorithm", 1_000_000, "transitions that the replay buffer holds (the paper)", ge=1)
    batch_size: int = field("algorithm", 256, "transitions in a gradient step (the paper: 256)", ge=1)
    learning_starts: int = field(
        "algorithm", 100, "steps with uniform actions before anything is learned (Stable-Baselines3: 100)", ge=0
    )
    train_freq: int = field(
        "algorithm", 1, "steps of each environment between two rounds of gradient steps (the paper: 1)", ge=1
    )
    gradient_steps: int = field("algorithm", 1, "gradient steps in a round (the paper: 1)", ge=1)
    noise_correlation: float = field(
        "algorithm",
        0.0,
        "correlation of an action's noise with that of the step before (the paper: 0; more explores further)",
        ge=0,
        lt=1,
    )
    auto_alpha: bool = field("algorithm", True, "learn the temperature alpha, rather than keep it at init_alpha")
    init_alpha: float = field(
        "algorithm", 1.0, "weight of the entropy, at first or for good (Stable-Baselines3: 1)", gt=0, le=1e6
    )
    target_entropy: float | None = field(
        "algorithm", None, "entropy in nats that alpha is learned for [minus the dimensions of an action, the paper]"
    )

    hidden_sizes: LayerSizes = field("network", (256, 256), "units of each hidden layer, as in 64,64 (the paper)")
    activation: Literal["tanh", "relu"] = field("network", "relu", "activation of the hidden layers (the paper: relu)")

    actor_learning_rate: float = field("optimizer", 3e-4, "learning rate of the actor (the paper)", gt=0, le=100)
    critic_learning_rate: float = field("optimizer", 3e-4, "learning rate of the critics (the paper)", gt=0, le=100)
    alpha_learning_rate: float = field("optimizer", 3e-4, "learning rate of log alpha (the paper)", gt=0, le=100)


CONFIGS: Mapping[str, type[RunConfig]] = MembersClasses(0)


def find_config_class(algo: Any) -> type[RunConfig]:
    """The hyper-parameters of an algorithm; ``ConfigError`` if there is no such algorithm."""
    if not isinstance(algo, str) or algo not in CONFIGS:
        raise ConfigError(f"unknown algorithm {quoted(algo)}{nearest(algo, CONFIGS)}; known: {', '.join(CONFIGS)}")
    return CONFIGS[algo]


def make_config(values: dict[str, Any]) -> RunConfig:
    """The checked configuration of the algorithm named by ``values["algo"]``.

    Args:
        values: hyper-parameters by name; texts are converted (``"8"``, ``"64,64"``, ``"1e-3"``).

    Raises:
        ConfigError: an unknown algorithm or name (with the nearest right one), a wrong type, a value out of range.
    """
    config_class = find_config_class(values.get("algo"))
    for name in values:
        if name not in config_class.model_fields:
            takers = [algo for algo in CONFIGS if name in CONFIGS[algo].model_fields]
            hint = f": only {who_take(takers)} it" if takers else nearest(name, config_class.model_fields)
            raise ConfigError(f"unknown hyper-parameter {quoted(name)} of {values['algo']}{hint}")
    try:
        return config_class(**values)
    except ValidationError as error:
        problems = error.errors()
        more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        raise ConfigError("; ".join(map(_one_line, problems[:MAX_PROBLEMS])) + more) from None


def change_config(config: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """The configuration with some values replaced, checked as ``make_config`` checks a new one."""
    return make_config({**config.model_dump(), **changes})


def change_on_resume(config: RunConfig, changes: Mapping[str, Any], run_dir: str | Path) -> RunConfig:
    """The configuration that a run resumes with.

    Raises:
        ConfigError: a wrong value, or a change of what is not in ``changeable_on_resume``.
    """
    changed = change_config(config, changes)
    for name, value in changed:
        before = getattr(config, name)
        if value != before and name not in config.changeable_on_resume:
            there = f"{run_dir} has {quoted(before)}, not {quoted(value)}"
            raise ConfigError(f"{name} cannot change on resume: {there}")
    return changed


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read the hyper-parameters in a YAML file of plain data.

    Raises:
        ConfigError: no such file (with the nearest that is there), not a mapping of names to values, or not plain data
            as ``read_plain_yaml`` takes it.
    """
    path = Path(path)
    try:
        values = read_plain_yaml(path)
    except OSError as error:
        others = [str(other) for other in path.parent.glob(f"*{path.suffix}")]
        hint = nearest(str(path), others) if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(f"cannot read configuration {shortened(str(path))}: {error.strerror}{hint}") from None
    except UnicodeEncodeError:
        raise ConfigError(f"cannot read configuration {quoted(str(path))}: no file has such a name") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not a configuration: it must hold lines of `name: value`")
    return values


def read_config(path: str | Path) -> RunConfig:
    """Read a complete configuration, as ``write_yaml`` wrote it; ``ConfigError`` names the file."""
    values = read_yaml(path)
    try:
        return make_config(values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def write_yaml(config: RunConfig, path: str | Path) -> None:
    """Write the complete configuration, so that ``--config`` runs it again."""
    write_atomically(path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).encode())


def nearest(name: Any, known: Iterable[str]) -> str:
    """``" (did you mean 'gamma'?)"``, or nothing when no known name is near."""
    text = name[:MAX_QUOTED] if isinstance(name, str) else quoted(name)
    bare = {known_name.strip("-").lower(): known_name for known_name in known}  # dashes alone are no likeness
    matches = [bare[match] for match in difflib.get_close_matches(text.strip("-").lower(), bare, n=1)]
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def who_take(takers: list[str]) -> str:
    """``"a3c takes"``, or ``"a2c, paac take"``."""
    return f"{', '.join(takers)} take{'s' * (len(takers) == 1)}"


def _one_line(problem: Any) -> str:
    place = str(problem["loc"][0]) if problem["loc"] else ""  # of a part of hidden_sizes, the name is enough
    message = _message(problem)
    if problem["type"] == "string_too_short":
        message = "must not be empty"
    choices = re.findall(r"'(\w+)'", message) if problem["type"] == "literal_error" else []
    hint = nearest(problem["input"], choices)
    return f"{place}: {message}, got {quoted(problem['input'])}{hint}" if place else message


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong with a nested value, with its place, as ``best/env_steps: must be ...``."""
    problem = error.errors()[0]
    place = "/".join(str(part) for part in problem["loc"])
    got = "" if problem["type"] in ("missing", "value_error") else f", got {quoted(problem['input'])}"
    return f"{f'{shortened(place)}: ' if place else ''}{_message(problem)}{got}"


def _message(problem: Any) -> str:
    return re.sub(r"^(Input|String|Tuple) should ", "must ", problem["msg"].removeprefix("Value error, "))
