"""Hyper-parameters of SAC."""

from __future__ import annotations

from typing import ClassVar, Literal

from paddle_ac.config.base import RunConfig
from paddle_ac.config.fields import LayerSizes, field
from paddle_ac.config.groups import ReplayGroup, ScalingGroup, VectorEnvGroup

LEARNING_RATES = {"low": 1e-5, "high": 1e-2, "log": True}  # that are searched


class SACConfig(ReplayGroup, ScalingGroup, VectorEnvGroup, RunConfig):
    """Soft actor-critic with an automatic temperature (Haarnoja et al. 2018, arXiv:1812.05905)."""

    networks: ClassVar[str] = "an actor and critics of actions"

    algo: Literal["sac"] = "sac"

    env: str = field(
        "run",
        "Pendulum-v1",
        "environment: a Gymnasium id, module:id, module:name of a class or function, or gym:id for one of classic gym",
        min_length=1,
        max_length=200,
    )
    total_steps: int = field("run", 20_000, "steps to train for", ge=1)
    num_envs: int = field("run", 1, "environments side by side (the paper: 1)", ge=1)

    eval_interval: int = field("evaluation and logging", 2_000, "steps between two evaluations", ge=1)
    log_interval: int = field("evaluation and logging", 500, "steps between two points of a curve", ge=1)
    checkpoint_interval: int = field(
        "evaluation and logging", 10_000, "steps between two checkpoints, replay buffer included", ge=1
    )

    gamma: float = field(
        "algorithm",
        0.99,
        "discount factor (the paper: 0.99)",
        ge=0,
        le=1,
        search=[0.9, 0.95, 0.98, 0.99, 0.995, 0.999],
    )
    tau: float = field(
        "algorithm",
        0.005,
        "step of the target networks towards the critics (the paper)",
        gt=0,
        le=1,
        search={"low": 1e-3, "high": 5e-2, "log": True},
    )
    noise_correlation: float = field(
        "algorithm",
        0.0,
        "correlation of an action's noise with that of the step before (the paper: 0; more explores further)",
        ge=0,
        lt=1,
    )
    auto_alpha: bool = field("algorithm", True, "learn the temperature alpha, rather than keep it at init_alpha")
    init_alpha: float = field(
        "algorithm", 1.0, "weight of the entropy, at first or for good (Stable-Baselines3: 1)", gt=0, le=1e6
    )
    target_entropy: float | None = field(
        "algorithm", None, "entropy in nats that alpha is learned for [minus the dimensions of an action, the paper]"
    )

    hidden_sizes: LayerSizes = field("network", (256, 256), "units of each hidden layer, as in 64,64 (the paper)")
    activation: Literal["tanh", "relu"] = field("network", "relu", "activation of the hidden layers (the paper: relu)")

    actor_learning_rate: float = field(
        "optimizer",
        3e-4,
        "learning rate of the actor (the paper)",
        gt=0,
        le=100,
        search=LEARNING_RATES,
    )
    critic_learning_rate: float = field(
        "optimizer",
        3e-4,
        "learning rate of the critics (the paper)",
        gt=0,
        le=100,
        search=LEARNING_RATES,
    )
    alpha_learning_rate: float = field(
        "optimizer",
        3e-4,
        "learning rate of log alpha (the paper)",
        gt=0,
        le=100,
        search=LEARNING_RATES,
    )
