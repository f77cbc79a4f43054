"""Hyper-parameters of A3C."""

from __future__ import annotations

from typing import Literal

from paddle_ac.config.base import OnPolicyConfig
from paddle_ac.config.fields import field
from paddle_ac.config.groups import ActorLearnersGroup, ClusterGroup, MemoryGroup, RolloutGroup


class A3CConfig(ClusterGroup, ActorLearnersGroup, MemoryGroup, RolloutGroup, OnPolicyConfig):
    """Asynchronous advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783, algorithm S3)."""

    algo: Literal["a3c"] = "a3c"

    num_steps: int = field(
        "algorithm", 20, "t_max: steps of each environment between two updates (the paper: 5; measured: 20)", ge=1
    )
    learning_rate: float = field("optimizer", 2e-3, "initial learning rate (measured on CartPole-v1)", gt=0, le=100)
