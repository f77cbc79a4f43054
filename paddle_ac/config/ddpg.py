"""Hyper-parameters of DDPG."""

from __future__ import annotations

from typing import ClassVar, Literal

from paddle_ac.config.continuous import ContinuousConfig
from paddle_ac.config.fields import field
from paddle_ac.config.groups import DeterministicPolicyGroup


class DDPGConfig(DeterministicPolicyGroup, ContinuousConfig):
    """Deep deterministic policy gradient (Lillicrap et al. 2016, arXiv:1509.02971)."""

    networks: ClassVar[str] = "a deterministic actor and critics of actions"

    algo: Literal["ddpg"] = "ddpg"

    num_critics: int = field(
        "algorithm", 1, "critics; targets take the smallest of their values (DDPG: 1)", ge=1, le=100
    )
    policy_delay: int = field(
        "algorithm", 1, "gradient steps of the critic for each of the actor and of the target networks (DDPG: 1)", ge=1
    )
    target_noise: float = field(
        "algorithm",
        0.0,
        "deviation of the noise on the target policy's actions (DDPG: 0)",
        ge=0,
        search={"low": 0.0, "high": 0.5},
    )
