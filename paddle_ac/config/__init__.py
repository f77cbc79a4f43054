"""Every hyper-parameter: its type, default, range, meaning and source.

A field's description is the help of its command-line flag. A YAML file and the flags are checked against the same
fields. Nothing here imports Paddle, so that a mistake on the command line is reported at once. The configurations of
the algorithms lie in a file each, and are imported when they are asked for.
"""

from __future__ import annotations

from typing import Any

from paddle_ac.config.base import (
    NetworkConfig,
    OnPolicyConfig,
    QNetworkConfig,
    RunConfig,
    SynchronousConfig,
)
from paddle_ac.config.fields import LARGEST, LARGEST_SEED, LayerSizes, field, parse_wrapper
from paddle_ac.config.groups import (
    ActorCriticNetworkGroup,
    ActorLearnersGroup,
    AsyncQGroup,
    AtariGroup,
    ClusterGroup,
    ContinuousActionsGroup,
    DeterministicPolicyGroup,
    EncoderGroup,
    EpsilonGroup,
    EvaluationGroup,
    GradientDroppingGroup,
    GradientRoundsGroup,
    LossGroup,
    MemoryGroup,
    NetworkGroup,
    OptimizerGroup,
    PriorityGroup,
    QNetworkGroup,
    ReplayGroup,
    RolloutGroup,
    RunGroup,
    ScalingGroup,
    SynchronousOptimizerGroup,
    TargetNetworkGroup,
    TemperatureGroup,
    ValueLossGroup,
    VectorEnvGroup,
)
from paddle_ac.config.hints import explain_arguments, hint_of_call, hint_of_other_library
from paddle_ac.config.loading import (
    change_config,
    change_on_resume,
    find_config_class,
    make_config,
    read_config,
    read_yaml,
    write_yaml,
)
from paddle_ac.config.messages import first_problem, nearest, who_take
from paddle_ac.config.q_learning import QLearningConfig
from paddle_ac.registry import CONFIGS, REGISTRY, load_class

__all__ = [
    "CONFIGS",
    "LARGEST",
    "LARGEST_SEED",
    "ActorCriticNetworkGroup",
    "ActorLearnersGroup",
    "AsyncQGroup",
    "AtariGroup",
    "ClusterGroup",
    "ContinuousActionsGroup",
    "DeterministicPolicyGroup",
    "EncoderGroup",
    "EpsilonGroup",
    "EvaluationGroup",
    "GradientDroppingGroup",
    "GradientRoundsGroup",
    "LayerSizes",
    "LossGroup",
    "MemoryGroup",
    "NetworkConfig",
    "NetworkGroup",
    "OnPolicyConfig",
    "OptimizerGroup",
    "PriorityGroup",
    "QLearningConfig",
    "QNetworkConfig",
    "QNetworkGroup",
    "ReplayGroup",
    "RolloutGroup",
    "RunConfig",
    "RunGroup",
    "ScalingGroup",
    "SynchronousConfig",
    "SynchronousOptimizerGroup",
    "TargetNetworkGroup",
    "TemperatureGroup",
    "ValueLossGroup",
    "VectorEnvGroup",
    "change_config",
    "change_on_resume",
    "explain_arguments",
    "field",
    "find_config_class",
    "first_problem",
    "hint_of_call",
    "hint_of_other_library",
    "make_config",
    "nearest",
    "parse_wrapper",
    "read_config",
    "read_yaml",
    "who_take",
    "write_yaml",
]


def __getattr__(name: str) -> Any:
    for places in REGISTRY.values():
        if places.config.endswith(f":{name}"):
            return load_class(places.config)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
