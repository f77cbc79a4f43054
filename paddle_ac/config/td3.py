"""Hyper-parameters of TD3."""

from __future__ import annotations

from typing import ClassVar, Literal

from paddle_ac.config import continuous
from paddle_ac.config.base import RunConfig
from paddle_ac.config.fields import LayerSizes
from paddle_ac.config.groups import (
    ContinuousActionsGroup,
    DeterministicPolicyGroup,
    EncoderGroup,
    GradientRoundsGroup,
    ReplayGroup,
    ScalingGroup,
    VectorEnvGroup,
)


class TD3Config(
    DeterministicPolicyGroup,
    ContinuousActionsGroup,
    GradientRoundsGroup,
    ReplayGroup,
    EncoderGroup,
    ScalingGroup,
    VectorEnvGroup,
    RunConfig,
):
    """Twin delayed deterministic policy gradient (Fujimoto et al. 2018, arXiv:1802.09477)."""

    networks: ClassVar[str] = "a deterministic actor and critics of actions"

    algo: Literal["td3"] = "td3"

    env: str = continuous.ENV
    total_steps: int = continuous.TOTAL_STEPS
    num_envs: int = continuous.NUM_ENVS
    eval_interval: int = continuous.EVAL_INTERVAL
    log_interval: int = continuous.LOG_INTERVAL
    checkpoint_interval: int = continuous.CHECKPOINT_INTERVAL

    gamma: float = continuous.GAMMA
    tau: float = continuous.TAU

    hidden_sizes: LayerSizes = continuous.HIDDEN_SIZES
    activation: Literal["tanh", "relu"] = continuous.ACTIVATION
