"""Hyper-parameters of SAC."""

from __future__ import annotations

from typing import ClassVar, Literal

from paddle_ac.config import continuous
from paddle_ac.config.base import RunConfig
from paddle_ac.config.fields import LayerSizes, field
from paddle_ac.config.groups import (
    LEARNING_RATES,
    ContinuousActionsGroup,
    EncoderGroup,
    GradientRoundsGroup,
    ReplayGroup,
    ScalingGroup,
    TemperatureGroup,
    VectorEnvGroup,
)


class SACConfig(
    TemperatureGroup,
    ContinuousActionsGroup,
    GradientRoundsGroup,
    ReplayGroup,
    EncoderGroup,
    ScalingGroup,
    VectorEnvGroup,
    RunConfig,
):
    """Soft actor-critic with an automatic temperature (Haarnoja et al. 2018, arXiv:1812.05905)."""

    networks: ClassVar[str] = "an actor and critics of actions"

    algo: Literal["sac"] = "sac"

    env: str = continuous.ENV
    total_steps: int = continuous.TOTAL_STEPS
    num_envs: int = continuous.NUM_ENVS
    eval_interval: int = continuous.EVAL_INTERVAL
    log_interval: int = continuous.LOG_INTERVAL
    checkpoint_interval: int = continuous.CHECKPOINT_INTERVAL

    gamma: float = continuous.GAMMA
    tau: float = continuous.TAU
    target_entropy: float | None = field(
        "algorithm", None, "entropy in nats that alpha is learned for [minus the dimensions of an action, the paper]"
    )

    hidden_sizes: LayerSizes = continuous.HIDDEN_SIZES
    activation: Literal["tanh", "relu"] = continuous.ACTIVATION

    alpha_learning_rate: float = field(
        "optimizer",
        3e-4,
        "learning rate of log alpha (the paper)",
        gt=0,
        le=100,
        search=LEARNING_RATES,
    )
