"""Hyper-parameters of Q actor-critic."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from paddle_ac.config.base import SynchronousConfig
from paddle_ac.config.fields import field
from paddle_ac.config.groups import MemoryGroup, RolloutGroup, Schedule


class QActorCriticConfig(MemoryGroup, RolloutGroup, SynchronousConfig):
    """Actor-critic whose critic learns Q(s, .) (Sutton et al. 2000; expected SARSA, van Seijen et al. 2009)."""

    algo: Literal["q_ac"] = "q_ac"

    gae_lambda: float = field("algorithm", 0.0, "0: one-step targets; more looks further", ge=0, le=1)
    value_coef: float = field("algorithm", 1.0, "weight of the critic's loss in the total (measured)", ge=0)
    learning_rate: float = field("optimizer", 2e-3, "initial learning rate (measured on CartPole-v1)", gt=0, le=100)
    lr_schedule: Schedule = field(
        "optimizer",
        "linear",
        "constant, linear to 0 over lr_decay_steps, or times lr_decay_factor every lr_decay_steps",
    )

    @model_validator(mode="after")
    def _remembers_nothing(self) -> QActorCriticConfig:
        if self.recurrent != "none":
            raise ValueError(
                "recurrent: q_ac takes no recurrent layer since version 0.2, must be none: "
                f"a2c, ppo, paac, a3c, ga3c and td_ac take {self.recurrent}"
            )
        return self

    @property
    def q_critic(self) -> bool:
        """Yes."""
        return True
