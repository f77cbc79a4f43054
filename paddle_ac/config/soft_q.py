"""Hyper-parameters of soft Q-learning."""

from __future__ import annotations

from typing import Literal

from paddle_ac.config.fields import field
from paddle_ac.config.q_learning import QLearningConfig


class SoftQConfig(QLearningConfig):
    """Soft Q-learning (Haarnoja et al. 2017, arXiv:1702.08165) for Discrete actions."""

    algo: Literal["soft_q"] = "soft_q"

    temperature: float = field(
        "algorithm",
        0.1,
        "temperature alpha: weight of the entropy, in the unit of rewards",
        ge=1e-6,
        le=1e6,
        search={"low": 0.01, "high": 1.0, "log": True},
    )
