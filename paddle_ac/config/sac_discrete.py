"""Hyper-parameters of SAC for discrete actions."""

from __future__ import annotations

from typing import ClassVar, Literal

from paddle_ac.config.base import NetworkConfig
from paddle_ac.config.fields import LayerSizes, field
from paddle_ac.config.groups import (
    OPTIMIZERS,
    GradientRoundsGroup,
    ReplayGroup,
    Schedule,
    SynchronousOptimizer,
    SynchronousOptimizerGroup,
    TargetNetworkGroup,
    TemperatureGroup,
    VectorEnvGroup,
)


class SACDiscreteConfig(
    TemperatureGroup,
    TargetNetworkGroup,
    GradientRoundsGroup,
    ReplayGroup,
    SynchronousOptimizerGroup,
    VectorEnvGroup,
    NetworkConfig,
):
    """Soft actor-critic for discrete actions (Christodoulou 2019, arXiv:1910.07207)."""

    networks: ClassVar[str] = "an actor and critics of discrete actions"

    algo: Literal["sac_discrete"] = "sac_discrete"

    total_steps: int = field("run", 100_000, "steps to train for", ge=1)
    num_envs: int = field("run", 1, "environments side by side (the paper: 1)", ge=1)

    eval_interval: int = field("evaluation and logging", 5_000, "steps between two evaluations", ge=1)
    log_interval: int = field("evaluation and logging", 1_000, "steps between two points of a curve", ge=1)
    checkpoint_interval: int = field("evaluation and logging", 25_000, "steps between two checkpoints", ge=1)

    target_entropy_scale: float = field(
        "algorithm",
        0.3,
        "entropy that alpha is learned for, as a part of that of the uniform policy (the paper: 0.98)",
        gt=0,
        le=1,
        search=[0.1, 0.3, 0.5, 0.98],
    )
    target_interval: int = field(
        "algorithm", 128, "gradient steps between two updates of the target networks", ge=1, search=[32, 128, 512]
    )
    tau: float = field("algorithm", 1.0, "step of the target networks towards the critics (the paper: 1)", gt=0, le=1)
    buffer_size: int = field("algorithm", 100_000, "transitions that the replay buffer holds", ge=1)
    batch_size: int = field("algorithm", 64, "transitions in a gradient step (the paper: 64)", ge=1)
    learning_starts: int = field("algorithm", 1_000, "steps with uniform actions before anything is learned", ge=0)
    train_freq: int = field("algorithm", 256, "steps of each environment between two rounds of gradient steps", ge=1)
    gradient_steps: int = field("algorithm", 128, "gradient steps in a round", ge=1)
    num_step_returns: int = field(
        "algorithm",
        3,
        "rewards in a return before it is bootstrapped from the values of a later observation",
        ge=1,
        le=1000,
    )
    critic_loss: Literal["squared", "smooth_l1"] = field(
        "algorithm", "smooth_l1", "loss of a TD error: its square, or smooth L1, also called Huber"
    )

    hidden_sizes: LayerSizes | None = field("network", (256, 256), "units of each hidden layer, as in 64,64")
    activation: Literal["tanh", "relu"] | None = field("network", "relu", "activation of the hidden layers (SAC)")

    optimizer: SynchronousOptimizer = field("optimizer", "adam", f"{OPTIMIZERS} (the paper: Adam)")
    optimizer_epsilon: float = field("optimizer", 1e-8, "epsilon of the optimiser (PyTorch: 1e-8)", gt=0)
    learning_rate: float = field("optimizer", 1e-3, "learning rate of actor, critics and alpha", gt=0, le=100)
    lr_schedule: Schedule = field(
        "optimizer",
        "linear",
        "constant, linear to 0 over lr_decay_steps, or times lr_decay_factor every lr_decay_steps",
    )
    max_grad_norm: float = field(
        "optimizer",
        10.0,
        "largest norm of each network's gradient",
        gt=0,
        search={"low": 1.0, "high": 40.0, "log": True},
    )
