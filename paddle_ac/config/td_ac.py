"""Hyper-parameters of TD actor-critic."""

from __future__ import annotations

from typing import Literal

from paddle_ac.config.base import SynchronousConfig
from paddle_ac.config.fields import field
from paddle_ac.config.groups import OPTIMIZERS, MemoryGroup, RolloutGroup, Schedule, SynchronousOptimizer


class TDActorCriticConfig(MemoryGroup, RolloutGroup, SynchronousConfig):
    """Online actor-critic with one-step TD errors (Sutton and Barto 2018, section 13.5; minimalRL, actor_critic.py)."""

    algo: Literal["td_ac"] = "td_ac"

    num_envs: int = field("run", 1, "environments side by side (the tutorial: 1)", ge=1)
    num_steps: int = field("algorithm", 10, "steps between two updates (the tutorial: 10; 1 is fully online)", ge=1)
    gae_lambda: float = field("algorithm", 0.0, "0: one-step TD errors; more looks further", ge=0, le=1)
    entropy_coef: float = field("algorithm", 0.01, "weight of the entropy bonus in the total (baselines: 0.01)", ge=0)
    optimizer: SynchronousOptimizer = field("optimizer", "adam", f"{OPTIMIZERS} (the tutorial)")
    lr_schedule: Schedule = field(
        "optimizer", "linear", "constant (the tutorial), linear to 0 over lr_decay_steps, or times lr_decay_factor"
    )
    max_grad_norm: float = field("optimizer", 5.0, "largest norm of the gradient (measured)", gt=0)
    normalize_rewards: bool = field("algorithm", True, "rewards by the running deviation of the discounted return")
