"""Hyper-parameters of REINFORCE."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from paddle_ac.config.base import SynchronousConfig
from paddle_ac.config.fields import field
from paddle_ac.config.groups import OPTIMIZERS, Schedule, SynchronousOptimizer


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
    terminal_on_life_loss: bool = field("run", False, "Atari games: REINFORCE learns from whole games, so it is off")
    learning_rate: float = field("optimizer", 1e-2, "initial learning rate (measured on CartPole-v1)", gt=0, le=100)
    lr_schedule: Schedule = field(
        "optimizer",
        "linear",
        "constant, linear to 0 over lr_decay_steps, or times lr_decay_factor every lr_decay_steps",
    )
    optimizer: SynchronousOptimizer = field("optimizer", "adam", OPTIMIZERS)

    @model_validator(mode="after")
    def _learns_from_whole_games(self) -> ReinforceConfig:
        if self.terminal_on_life_loss:
            raise ValueError("terminal_on_life_loss: reinforce learns from whole games, must be false")
        return self

    @property
    def has_ranks(self) -> bool:
        """False: episodes are of any length, so that the transitions of two processes weigh differently."""
        return False

    @property
    def has_baseline(self) -> bool:
        """``baseline``."""
        return self.baseline
