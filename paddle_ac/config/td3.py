"""Hyper-parameters of TD3."""

from __future__ import annotations

from typing import ClassVar, Literal

from paddle_ac.config.continuous import ContinuousConfig
from paddle_ac.config.groups import DeterministicPolicyGroup


class TD3Config(DeterministicPolicyGroup, ContinuousConfig):
    """Twin delayed deterministic policy gradient (Fujimoto et al. 2018, arXiv:1802.09477)."""

    networks: ClassVar[str] = "a deterministic actor and critics of actions"

    algo: Literal["td3"] = "td3"
