"""Hyper-parameters that the algorithms of discrete actions with a replay buffer share."""

from __future__ import annotations

from typing import Literal

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
    VectorEnvGroup,
)


class DiscreteConfig(
    TargetNetworkGroup,
    GradientRoundsGroup,
    ReplayGroup,
    SynchronousOptimizerGroup,
    VectorEnvGroup,
    NetworkConfig,
):
    """Hyper-parameters shared by DQN, soft Q-learning and SAC for discrete actions; defaults for CartPole-v1."""

    total_steps: int = field("run", 50_000, "steps to train for (rl-baselines3-zoo)", ge=1)
    num_envs: int = field("run", 1, "environments side by side (rl-baselines3-zoo: 1)", ge=1)

    eval_interval: int = field("evaluation and logging", 5_000, "steps between two evaluations", ge=1)
    log_interval: int = field("evaluation and logging", 1_000, "steps between two points of a curve", ge=1)
    checkpoint_interval: int = field("evaluation and logging", 25_000, "steps between two checkpoints", ge=1)

    critic_loss: Literal["squared", "smooth_l1"] = field(
        "algorithm", "smooth_l1", "loss of a TD error: its square, or smooth L1, also called Huber (Mnih et al. 2015)"
    )
    buffer_size: int = field("algorithm", 100_000, "transitions that the replay buffer holds (rl-baselines3-zoo)", ge=1)
    batch_size: int = field("algorithm", 64, "transitions in a gradient step (rl-baselines3-zoo)", ge=1)
    learning_starts: int = field(
        "algorithm", 1_000, "steps with random actions before anything is learned (rl-baselines3-zoo)", ge=0
    )
    train_freq: int = field(
        "algorithm", 256, "steps of each environment between two rounds of gradient steps (rl-baselines3-zoo)", ge=1
    )
    gradient_steps: int = field("algorithm", 128, "gradient steps in a round (rl-baselines3-zoo)", ge=1)
    num_step_returns: int = field(
        "algorithm",
        3,
        "rewards in a return before it is bootstrapped from the values of a later observation (Rainbow: 3)",
        ge=1,
        le=1000,
    )

    hidden_sizes: LayerSizes | None = field(
        "network", (256, 256), "units of each hidden layer, as in 64,64 (rl-baselines3-zoo)"
    )
    activation: Literal["tanh", "relu"] | None = field(
        "network", "relu", "activation of the hidden layers (Stable-Baselines3)"
    )

    optimizer: SynchronousOptimizer = field("optimizer", "adam", f"{OPTIMIZERS} (Stable-Baselines3: Adam)")
    optimizer_epsilon: float = field("optimizer", 1e-8, "epsilon of the optimiser (Stable-Baselines3: 1e-8)", gt=0)
    learning_rate: float = field("optimizer", 1e-3, "initial learning rate (measured with DQN)", gt=0, le=100)
    lr_schedule: Schedule = field(
        "optimizer",
        "linear",
        "constant, linear to 0 over lr_decay_steps, or times lr_decay_factor every lr_decay_steps",
    )
    max_grad_norm: float = field(
        "optimizer",
        10.0,
        "largest norm of the gradient (Stable-Baselines3: 10)",
        gt=0,
        search={"low": 1.0, "high": 40.0, "log": True},
    )
