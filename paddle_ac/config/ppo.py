"""Hyper-parameters of PPO."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from paddle_ac.config.base import SynchronousConfig
from paddle_ac.config.fields import field
from paddle_ac.config.groups import OPTIMIZERS, MemoryGroup, RolloutGroup, Schedule, SynchronousOptimizer
from paddle_ac.errors import ConfigError


class PPOConfig(MemoryGroup, RolloutGroup, SynchronousConfig):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347)."""

    algo: Literal["ppo"] = "ppo"

    num_steps: int = field(
        "algorithm",
        128,
        "rollout length T: steps of each environment between two updates (baselines: 128)",
        ge=1,
        search={"low": 32, "high": 1024, "log": True},
    )
    gae_lambda: float = field("algorithm", 0.95, "lambda of generalised advantage estimation (the paper)", ge=0, le=1)
    clip_range: float = field(
        "algorithm",
        0.2,
        "how far the ratio of probabilities may go from 1 (the paper: 0.2)",
        gt=0,
        search=[0.1, 0.2, 0.3],
    )
    clip_range_vf: float | None = field(
        "algorithm", None, "how far a value may go from its estimate before the update [no limit]", gt=0
    )
    num_epochs: int = field(
        "algorithm",
        10,
        "passes over a rollout (the paper, MuJoCo: 10)",
        ge=1,
        le=1000,
        search=[3, 5, 10, 20],
    )
    minibatch_size: int = field(
        "algorithm",
        256,
        "transitions of a gradient step, at most a rollout (measured)",
        ge=1,
        search=[64, 128, 256, 512],
    )
    target_kl: float | None = field(
        "algorithm", None, "an update ends where the KL divergence estimate exceeds 1.5 times this [no limit]", gt=0
    )
    normalize_advantages: bool = field("algorithm", True, "advantages of a minibatch to mean 0 and deviation 1")
    normalize_observations: bool = field(
        "algorithm", True, "Box observations by their running mean and deviation, kept with the model"
    )
    normalize_rewards: bool = field("algorithm", True, "rewards by the running deviation of the discounted return")
    entropy_coef: float = field(
        "algorithm", 0.0, "weight of the entropy bonus in the total (the paper: 0)", ge=0, search=[0.0, 0.001, 0.01]
    )
    optimizer: SynchronousOptimizer = field("optimizer", "adam", f"{OPTIMIZERS} (the paper)")
    learning_rate: float = field("optimizer", 1e-3, "initial learning rate (measured)", gt=0, le=100)
    lr_schedule: Schedule = field(
        "optimizer", "linear", "constant, linear to 0 over lr_decay_steps, or times lr_decay_factor"
    )

    @model_validator(mode="after")
    def _recurrent_minibatches_are_whole_environments(self) -> PPOConfig:
        if self.recurrent != "none":
            self.require_whole_environments(f"recurrent={self.recurrent}")
        return self

    def require_whole_environments(self, reason: str) -> None:
        """Raise ``ConfigError`` unless every minibatch is the rollouts of the same number of environments.

        Args:
            reason: why it must be, for the message.
        """
        rollout_size = self.num_steps * self.num_envs
        size = min(self.minibatch_size, rollout_size)
        if size % self.num_steps or rollout_size % size:
            possible = [self.num_steps * envs for envs in range(1, self.num_envs + 1) if self.num_envs % envs == 0]
            nearest = min(possible, key=lambda value: abs(value - self.minibatch_size))
            raise ConfigError(
                f"minibatch_size={self.minibatch_size} with {reason}: minibatches are whole environments of "
                f"num_steps={self.num_steps} steps, the same number of num_envs={self.num_envs} in each; the nearest "
                f"size is {nearest}"
            )
