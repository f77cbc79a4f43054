"""Hyper-parameters of the asynchronous methods that learn Q values."""

from __future__ import annotations

from typing import Literal

from paddle_ac.config.base import AsyncQConfig


class AsyncOneStepQConfig(AsyncQConfig):
    """Asynchronous one-step Q-learning (Mnih et al. 2016, arXiv:1602.01783, algorithm 1)."""

    algo: Literal["async_q"] = "async_q"


class AsyncSarsaConfig(AsyncQConfig):
    """Asynchronous one-step Sarsa (Mnih et al. 2016, arXiv:1602.01783, section 4)."""

    algo: Literal["async_sarsa"] = "async_sarsa"


class AsyncNStepQConfig(AsyncQConfig):
    """Asynchronous n-step Q-learning (Mnih et al. 2016, arXiv:1602.01783, algorithm S2)."""

    algo: Literal["async_nstep_q"] = "async_nstep_q"
