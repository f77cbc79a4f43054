"""Hyper-parameters of PGQL."""

from __future__ import annotations

from typing import Literal

from paddle_ac.config.base import SynchronousConfig
from paddle_ac.config.fields import field
from paddle_ac.config.groups import OPTIMIZERS, ReplayGroup, RolloutGroup, Schedule, SynchronousOptimizer


class PGQLConfig(ReplayGroup, RolloutGroup, SynchronousConfig):
    """A2C with Q-learning updates on a replay buffer (O'Donoghue et al. 2016, arXiv:1611.01626)."""

    algo: Literal["pgql"] = "pgql"

    total_steps: int = field("run", 200_000, "steps to train for", ge=1)

    eta: float = field(
        "algorithm",
        0.5,
        "weight of the Q-learning update, that of A2C's is 1 - eta (the paper: 0.5)",
        ge=0,
        le=1,
        search=[0.1, 0.3, 0.5, 0.7],
    )
    entropy_coef: float = field(
        "algorithm", 0.01, "weight of the entropy bonus in the total, alpha of the Q values (baselines: 0.01)", gt=0
    )
    buffer_size: int = field("algorithm", 100_000, "transitions that the replay buffer holds", ge=1)
    batch_size: int = field("algorithm", 256, "transitions in a Q-learning update", ge=1)
    learning_starts: int = field(
        "algorithm", 1_000, "steps before the first Q-learning update; until then the gradient is that of A2C", ge=0
    )
    num_steps: int = field(
        "algorithm", 32, "rollout length T: steps of each environment between two updates (A2C's default)", ge=1
    )
    gae_lambda: float = field(
        "algorithm", 0.95, "lambda of generalised advantage estimation (arXiv:1506.02438: 0.95)", ge=0, le=1
    )
    normalize_observations: bool = field(
        "algorithm", True, "Box observations by their running mean and deviation, kept with the model"
    )
    normalize_rewards: bool = field("algorithm", True, "rewards by the running deviation of the discounted return")

    optimizer: SynchronousOptimizer = field("optimizer", "adam", OPTIMIZERS)
    learning_rate: float = field("optimizer", 3e-3, "initial learning rate (A2C's default)", gt=0, le=100)
    lr_schedule: Schedule = field(
        "optimizer",
        "linear",
        "constant, linear to 0 over lr_decay_steps, or times lr_decay_factor every lr_decay_steps",
    )

    @property
    def has_ranks(self) -> bool:
        """False: the batches of several replay buffers are not averaged."""
        return False
