"""paddle_ac: the actor-critic family on PaddlePaddle."""

from __future__ import annotations

import importlib
import logging
import warnings
from typing import TYPE_CHECKING, Any

from paddle_ac.process import imports_contained

if TYPE_CHECKING:
    from paddle_ac.api import evaluate, load, make, resume, train
    from paddle_ac.config import make_config, read_yaml
    from paddle_ac.errors import CheckpointError, ConfigError, NonFiniteError
    from paddle_ac.training.callback import Callback

__version__ = "0.2.0.dev0"

# VisualDL sets the root logger to log everything; the command line asks for more of ours.
logging.getLogger(__name__).setLevel(logging.WARNING)

# Paddle warns at its import that it would compile extensions faster with ccache; nobody here compiles any.
warnings.filterwarnings("ignore", message="No ccache found")

# Imported when they are asked for: worker processes need neither them nor Paddle, which takes a second.
_HOMES = {
    "make": "paddle_ac.api",
    "train": "paddle_ac.api",
    "evaluate": "paddle_ac.api",
    "load": "paddle_ac.api",
    "resume": "paddle_ac.api",
    "make_config": "paddle_ac.config",
    "read_yaml": "paddle_ac.config",
    "Callback": "paddle_ac.training.callback",
    "CheckpointError": "paddle_ac.errors",
    "ConfigError": "paddle_ac.errors",
    "NonFiniteError": "paddle_ac.errors",
}

__all__ = [
    "Callback",
    "CheckpointError",
    "ConfigError",
    "NonFiniteError",
    "evaluate",
    "load",
    "make",
    "make_config",
    "read_yaml",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        if not name.startswith("_"):
            from paddle_ac.config import hint_of_call

            hint = hint_of_call(name)
            if hint:  # `from paddle_ac import PPO` replaces an AttributeError by one without the hint
                raise ImportError(f"{__name__} has no {name}: {hint}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with imports_contained():
        module = importlib.import_module(_HOMES[name])
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
