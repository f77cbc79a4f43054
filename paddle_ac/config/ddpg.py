"""Hyper-parameters of DDPG."""

from __future__ import annotations

from typing import Literal

from paddle_ac.config.continuous import DeterministicConfig
from paddle_ac.config.fields import field


class DDPGConfig(DeterministicConfig):
    """Deep deterministic policy gradient (Lillicrap et al. 2016, arXiv:1509.02971): TD3 without its three additions."""

    algo: Literal["ddpg"] = "ddpg"

    num_critics: int = field(
        "algorithm", 1, "critics; targets take the smallest of their values (DDPG: 1)", ge=1, le=100
    )
    policy_delay: int = field(
        "algorithm",
        1,
        "gradient steps of the critics for each of the actor and the target networks (DDPG: 1)",
        ge=1,
    )
    target_noise: float = field(
        "algorithm", 0.0, "deviation of the noise on the target policy's actions, in halves of the Box (DDPG: 0)", ge=0
    )
