"""Every hyper-parameter: its type, default, range, meaning and source.

A field's description is the help of its command-line flag. A YAML file and the flags are checked against the same
fields. Nothing here imports Paddle, so that a mistake on the command line is reported at once. The configurations of
the algorithms lie in a file each, and are imported when they are asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

from paddle_ac.config.fields import LARGEST, LARGEST_SEED, LayerSizes, field
from paddle_ac.config.groups import (
    OnPolicyConfig,
    RolloutConfig,
    RunConfig,
    ScalingConfig,
    SynchronousConfig,
    VectorEnvConfig,
)
from paddle_ac.config.loading import (
    CONFIGS,
    change_config,
    change_on_resume,
    find_config_class,
    make_config,
    read_config,
    read_yaml,
    write_yaml,
)
from paddle_ac.config.messages import first_problem, nearest, who_take
from paddle_ac.family import FAMILY

__all__ = [
    "CONFIGS",
    "LARGEST",
    "LARGEST_SEED",
    "LayerSizes",
    "OnPolicyConfig",
    "RolloutConfig",
    "RunConfig",
    "ScalingConfig",
    "SynchronousConfig",
    "VectorEnvConfig",
    "change_config",
    "change_on_resume",
    "field",
    "find_config_class",
    "first_problem",
    "make_config",
    "nearest",
    "read_config",
    "read_yaml",
    "who_take",
    "write_yaml",
]


def __getattr__(name: str) -> Any:
    for place, _ in FAMILY.values():
        module, _, config_class = place.partition(":")
        if name == config_class:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
