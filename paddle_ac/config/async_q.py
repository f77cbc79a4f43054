"""Hyper-parameters of the asynchronous methods that learn Q values."""

from __future__ import annotations

from typing import Literal

from paddle_ac.config.base import QNetworkConfig
from paddle_ac.config.fields import field
from paddle_ac.config.groups import ActorLearnersGroup, AsyncQGroup, Schedule, SharedOptimizer


class AsyncQConfig(AsyncQGroup, ActorLearnersGroup, QNetworkConfig):
    """Hyper-parameters shared by the asynchronous methods that learn Q values; defaults measured on CartPole-v1."""

    total_steps: int = field("run", 300_000, "steps to train for", ge=1)
    num_envs: int = field("run", 4, "environments of each worker (the paper: 1, with 16 workers)", ge=1)

    gamma: float = field("algorithm", 0.98, "discount factor (the paper: 0.99; measured: 0.98)", ge=0, le=1)

    optimizer: SharedOptimizer = field(
        "optimizer",
        "shared_adam",
        "statistics shared by the workers (RMSProp: the paper's; PyTorch's RMSProp; Adam), or one set per worker",
    )
    learning_rate: float = field("optimizer", 1e-3, "initial learning rate (measured on CartPole-v1)", gt=0, le=100)
    lr_schedule: Schedule = field(
        "optimizer",
        "linear",
        "constant, linear to 0 over lr_decay_steps (the paper), or times lr_decay_factor every lr_decay_steps",
    )
    max_grad_norm: float = field(
        "optimizer",
        1000.0,
        "largest norm of the gradient (the paper has no limit; measured: 10 learns later)",
        gt=0,
        search={"low": 10.0, "high": 1000.0, "log": True},
    )


class AsyncOneStepQConfig(AsyncQConfig):
    """Asynchronous one-step Q-learning (Mnih et al. 2016, arXiv:1602.01783, algorithm 1)."""

    algo: Literal["async_q"] = "async_q"

    exploration_steps: int = field(
        "algorithm",
        20_000,
        "steps of all workers in which epsilon falls from 1 to a final one of each environment (the paper: 1 million; "
        "measured: 20,000)",
        ge=0,
        search={"low": 5_000, "high": 200_000, "log": True},
    )


class AsyncSarsaConfig(AsyncQConfig):
    """Asynchronous one-step Sarsa (Mnih et al. 2016, arXiv:1602.01783, section 4)."""

    algo: Literal["async_sarsa"] = "async_sarsa"


class AsyncNStepQConfig(AsyncQConfig):
    """Asynchronous n-step Q-learning (Mnih et al. 2016, arXiv:1602.01783, algorithm S2)."""

    algo: Literal["async_nstep_q"] = "async_nstep_q"

    exploration_steps: int = field(
        "algorithm",
        50_000,
        "steps of all workers in which epsilon falls from 1 to a final one of each environment (the paper: 1 million; "
        "measured: 50,000)",
        ge=0,
    )
