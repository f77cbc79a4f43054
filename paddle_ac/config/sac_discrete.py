"""Hyper-parameters of SAC for discrete actions."""

from __future__ import annotations

from typing import ClassVar, Literal

from paddle_ac.config.discrete import DiscreteConfig
from paddle_ac.config.fields import field
from paddle_ac.config.groups import TemperatureGroup


class SACDiscreteConfig(TemperatureGroup, DiscreteConfig):
    """Soft actor-critic for discrete actions (Christodoulou 2019, arXiv:1910.07207)."""

    networks: ClassVar[str] = "an actor and critics of discrete actions"

    algo: Literal["sac_discrete"] = "sac_discrete"

    total_steps: int = field("run", 100_000, "steps to train for", ge=1)

    target_entropy_scale: float = field(
        "algorithm",
        0.3,
        "entropy that alpha is learned for, as a part of that of the uniform policy (the paper: 0.98)",
        gt=0,
        le=1,
        search=[0.1, 0.3, 0.5, 0.98],
    )
    target_interval: int = field(
        "algorithm", 128, "gradient steps between two updates of the target networks", ge=1, search=[32, 128, 512]
    )
    tau: float = field("algorithm", 1.0, "step of the target networks towards the critics (the paper: 1)", gt=0, le=1)

    learning_rate: float = field("optimizer", 1e-3, "learning rate of actor, critics and alpha", gt=0, le=100)
    max_grad_norm: float = field(
        "optimizer",
        10.0,
        "largest norm of each network's gradient",
        gt=0,
        search={"low": 1.0, "high": 40.0, "log": True},
    )
