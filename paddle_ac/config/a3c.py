"""Hyper-parameters of A3C."""

from __future__ import annotations

from typing import ClassVar, Literal

from paddle_ac.config.fields import field
from paddle_ac.config.groups import OnPolicyConfig, RolloutConfig


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
