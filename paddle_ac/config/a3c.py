"""Hyper-parameters of A3C."""

from __future__ import annotations

from typing import Literal

from paddle_ac.config.base import OnPolicyConfig
from paddle_ac.config.fields import field
from paddle_ac.config.groups import ClusterGroup, MemoryGroup, RolloutGroup


class A3CConfig(ClusterGroup, MemoryGroup, RolloutGroup, OnPolicyConfig):
    """Asynchronous advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783, algorithm S3)."""

    algo: Literal["a3c"] = "a3c"

    num_steps: int = field(
        "algorithm", 20, "t_max: steps of each environment between two updates (the paper: 5; measured: 20)", ge=1
    )
    learning_rate: float = field("optimizer", 2e-3, "initial learning rate (measured on CartPole-v1)", gt=0, le=100)
    num_workers: int = field(
        "run", 2, "worker processes, each with environments and a copy of the network", ge=1, le=1024
    )
    num_envs: int = field("run", 1, "environments of each worker", ge=1)
    restart_workers: bool = field(
        "run", False, "replace a worker that was killed or is stuck, rather than stop", changeable=True
    )
    step_timeout: float = field(
        "run", 60.0, "seconds without a step after which a worker is stuck", gt=0, le=1e6, changeable=True
    )
    lock: bool = field(
        "run", False, "let one worker write at a time; without, they write as they come (Hogwild)", changeable=True
    )

    optimizer: Literal["shared_rmsprop", "rmsprop", "shared_rmsprop_torch", "shared_adam"] = field(
        "optimizer",
        "shared_rmsprop",
        "statistics shared by the workers (RMSProp: the paper's best; PyTorch's RMSProp; Adam), or one set per worker",
    )

    @property
    def num_other_workers(self) -> int:
        """``num_workers``."""
        return self.num_workers
