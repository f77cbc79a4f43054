"""Hyper-parameters of SAC."""

from __future__ import annotations

from typing import ClassVar, Literal

from paddle_ac.config.continuous import ContinuousConfig
from paddle_ac.config.fields import field
from paddle_ac.config.groups import LEARNING_RATES, TemperatureGroup


class SACConfig(TemperatureGroup, ContinuousConfig):
    """Soft actor-critic with an automatic temperature (Haarnoja et al. 2018, arXiv:1812.05905)."""

    networks: ClassVar[str] = "an actor and critics of actions"

    algo: Literal["sac"] = "sac"

    target_entropy: float | None = field(
        "algorithm", None, "entropy in nats that alpha is learned for [minus the dimensions of an action, the paper]"
    )

    alpha_learning_rate: float = field(
        "optimizer",
        3e-4,
        "learning rate of log alpha (the paper)",
        gt=0,
        le=100,
        search=LEARNING_RATES,
    )
