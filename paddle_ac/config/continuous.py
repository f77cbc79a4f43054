"""Defaults that the algorithms of continuous actions share, for fields that other algorithms have too."""

from __future__ import annotations

from paddle_ac.config.fields import field

ENV = field(
    "run",
    "Pendulum-v1",
    "environment: a Gymnasium id, module:id, module:name of a class or function, or gym:id for one of classic gym",
    min_length=1,
    max_length=200,
)
TOTAL_STEPS = field("run", 20_000, "steps to train for", ge=1)
NUM_ENVS = field("run", 1, "environments side by side (the papers: 1)", ge=1)

EVAL_INTERVAL = field("evaluation and logging", 2_000, "steps between two evaluations", ge=1)
LOG_INTERVAL = field("evaluation and logging", 500, "steps between two points of a curve", ge=1)
CHECKPOINT_INTERVAL = field(
    "evaluation and logging", 10_000, "steps between two checkpoints, replay buffer included", ge=1
)

GAMMA = field(
    "algorithm",
    0.99,
    "discount factor (the papers: 0.99)",
    ge=0,
    le=1,
    search=[0.9, 0.95, 0.98, 0.99, 0.995, 0.999],
)
TAU = field(
    "algorithm",
    0.005,
    "step of the target networks towards the networks that learn (SAC, TD3: 0.005; DDPG: 0.001)",
    gt=0,
    le=1,
    search={"low": 1e-3, "high": 5e-2, "log": True},
)

HIDDEN_SIZES = field(
    "network", (256, 256), "units of each hidden layer, as in 64,64 (SAC and the code of TD3's authors)"
)
ACTIVATION = field("network", "relu", "activation of the hidden layers (the papers: relu)")
