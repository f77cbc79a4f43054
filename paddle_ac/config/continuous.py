"""Hyper-parameters that the algorithms of continuous actions share."""

from __future__ import annotations

from typing import ClassVar, Literal

from paddle_ac.config.base import RunConfig
from paddle_ac.config.fields import LayerSizes, field
from paddle_ac.config.groups import EncoderGroup, ReplayGroup, ScalingGroup, VectorEnvGroup

LEARNING_RATES = {"low": 1e-5, "high": 1e-2, "log": True}  # that are searched


class ContinuousConfig(ReplayGroup, EncoderGroup, ScalingGroup, VectorEnvGroup, RunConfig):
    """What SAC, TD3 and DDPG share."""

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

    gamma: float = field(
        "algorithm",
        0.99,
        "discount factor (the papers: 0.99)",
        ge=0,
        le=1,
        search=[0.9, 0.95, 0.98, 0.99, 0.995, 0.999],
    )
    tau: float = field(
        "algorithm",
        0.005,
        "step of the target networks towards the networks that learn (SAC, TD3: 0.005)",
        gt=0,
        le=1,
        search={"low": 1e-3, "high": 5e-2, "log": True},
    )
    noise_correlation: float = field(
        "algorithm",
        0.0,
        "correlation of an action's noise with that of the step before (SAC, TD3: 0; more explores further)",
        ge=0,
        lt=1,
    )

    hidden_sizes: LayerSizes = field("network", (256, 256), "units of each hidden layer, as in 64,64 (SAC)")
    activation: Literal["tanh", "relu"] = field("network", "relu", "activation of the hidden layers (the papers: relu)")

    actor_learning_rate: float = field(
        "optimizer",
        3e-4,
        "learning rate of the actor (SAC)",
        gt=0,
        le=100,
        search=LEARNING_RATES,
    )
    critic_learning_rate: float = field(
        "optimizer",
        3e-4,
        "learning rate of the critics (SAC)",
        gt=0,
        le=100,
        search=LEARNING_RATES,
    )


class DeterministicConfig(ContinuousConfig):
    """What TD3 and DDPG share."""

    networks: ClassVar[str] = "a deterministic actor and critics of actions"

    num_critics: int = field(
        "algorithm", 2, "critics; targets take the smallest of their values (TD3: 2, DDPG: 1)", ge=1, le=100
    )
    policy_delay: int = field(
        "algorithm",
        2,
        "gradient steps of the critics for each of the actor and the target networks (TD3: 2, DDPG: 1)",
        ge=1,
        search=[1, 2, 4],
    )
    target_noise: float = field(
        "algorithm",
        0.2,
        "deviation of the noise on the target policy's actions, in halves of the Box (TD3: 0.2, DDPG: 0)",
        ge=0,
        search={"low": 0.05, "high": 0.5},
    )
    target_noise_clip: float = field(
        "algorithm", 0.5, "largest noise on the target policy's actions, in halves of the Box (TD3: 0.5)", ge=0
    )
    action_noise: float = field(
        "algorithm",
        0.1,
        "deviation of the noise that explores, in halves of the Box (TD3: 0.1)",
        ge=0,
        search={"low": 0.03, "high": 0.5, "log": True},
    )
