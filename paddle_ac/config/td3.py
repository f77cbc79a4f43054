"""Hyper-parameters of TD3."""

from __future__ import annotations

from typing import Literal

from paddle_ac.config.continuous import DeterministicConfig


class TD3Config(DeterministicConfig):
    """Twin delayed deterministic policy gradient (Fujimoto et al. 2018, arXiv:1802.09477)."""

    algo: Literal["td3"] = "td3"
