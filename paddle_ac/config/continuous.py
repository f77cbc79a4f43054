"""Hyper-parameters that the algorithms of continuous actions with a replay buffer share."""

from __future__ import annotations

from paddle_ac.config.base import RunConfig
from paddle_ac.config.fields import field
from paddle_ac.config.groups import (
    ContinuousActionsGroup,
    EncoderGroup,
    GradientRoundsGroup,
    ReplayGroup,
    ScalingGroup,
    VectorEnvGroup,
)


class ContinuousConfig(
    ContinuousActionsGroup,
    GradientRoundsGroup,
    ReplayGroup,
    EncoderGroup,
    ScalingGroup,
    VectorEnvGroup,
    RunConfig,
):
    """Hyper-parameters shared by SAC, TD3 and DDPG; defaults for Pendulum-v1."""

    env: str = field(
        "run",
        "Pendulum-v1",
        "environment: a Gymnasium id, module:id, module:name of a class or function, or gym:id for one of classic gym",
        min_length=1,
        max_length=200,
    )
    total_steps: int = field("run", 20_000, "steps to train for", ge=1)
    num_envs: int = field("run", 1, "environments side by side (the papers: 1)", ge=1)

    eval_interval: int = field("evaluation and logging", 2_000, "steps between two evaluations", ge=1)
    log_interval: int = field("evaluation and logging", 500, "steps between two points of a curve", ge=1)
    checkpoint_interval: int = field(
        "evaluation and logging", 10_000, "steps between two checkpoints, replay buffer included", ge=1
    )
