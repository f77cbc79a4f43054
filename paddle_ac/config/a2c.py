"""Hyper-parameters of A2C."""

from __future__ import annotations

from typing import Literal

from paddle_ac.config.base import SynchronousConfig
from paddle_ac.config.fields import field
from paddle_ac.config.groups import OPTIMIZERS, MemoryGroup, RolloutGroup, Schedule, SynchronousOptimizer


class A2CConfig(MemoryGroup, RolloutGroup, SynchronousConfig):
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
    optimizer: SynchronousOptimizer = field("optimizer", "adam", OPTIMIZERS)
    learning_rate: float = field("optimizer", 3e-3, "initial learning rate (measured)", gt=0, le=100)
    lr_schedule: Schedule = field(
        "optimizer",
        "linear",
        "constant, linear to 0 over lr_decay_steps, or times lr_decay_factor every lr_decay_steps",
    )
