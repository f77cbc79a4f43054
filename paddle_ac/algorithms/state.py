"""Checks of a saved state, before any of it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from paddle_ac.config import RunConfig
from paddle_ac.errors import quoted


def identity(config: RunConfig) -> dict[str, Any]:
    """Whose state it is; saved with every state, so that a state of another run is named as such."""
    return {"algo": config.algo, "env": str(config.env), "seed": config.seed}


def check_state(
    state: Any, expected: Mapping[str, Any], config: RunConfig, checks: Mapping[str, Callable[[Any], None]]
) -> None:
    """Raise ``ValueError`` unless a state is of an algorithm with this configuration.

    Args:
        state: to be loaded.
        expected: what ``state_dict`` returns now.
        config: of the algorithm.
        checks: checks of parts of the state, by key; all other parts must have the structure of ``expected``.
    """
    if not isinstance(state, Mapping):
        raise ValueError(f"a state is a dictionary, not {type(state).__name__}")
    here = identity(config)
    there = state.get("identity", here)  # version 0.1 saved none
    for name, value in here.items():
        if not isinstance(there, Mapping) or there.get(name) != value:
            saved = there.get(name) if isinstance(there, Mapping) else there
            raise ValueError(f"it was saved with {name}={quoted(saved)}, and this is {name}={value!r}")
    for key, value in expected.items():
        if key in ("identity", "format"):
            continue
        if key not in state:
            raise ValueError(f"it has no {key!r}")
        if key not in checks:
            check_structure(state[key], value, key)
        elif not isinstance(state[key], type(value)):
            raise ValueError(f"{key} is {type(state[key]).__name__}, not {type(value).__name__}")
        else:
            checks[key](state[key])


def check_generator(state: Any) -> None:
    """Raise ``ValueError`` unless a NumPy generator takes a state."""
    try:
        np.random.PCG64().state = state
    except Exception as error:  # whatever an arbitrary value makes NumPy raise
        raise ValueError(f"generator is no state of one: {error}") from None


def check_structure(found: Any, expected: Any, name: str) -> None:
    """Raise ``ValueError`` unless two nested values have the same keys, types, lengths, shapes and dtypes."""
    if isinstance(expected, np.ndarray):
        if not isinstance(found, np.ndarray):
            raise ValueError(f"{name} is not an array")
        if (found.shape, found.dtype) != (expected.shape, expected.dtype):
            raise ValueError(f"{name} is {found.dtype}{found.shape} there and {expected.dtype}{expected.shape} here")
    elif isinstance(expected, Mapping):
        if not isinstance(found, Mapping):
            raise ValueError(f"{name} is not a dictionary")
        for key in sorted(found.keys() ^ expected.keys()):
            raise ValueError(f"{name}/{key} is absent {'there' if key in expected else 'here'}")
        for key, value in expected.items():
            check_structure(found[key], value, f"{name}/{key}")
    elif isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            raise ValueError(f"{name} is not a list of {len(expected)}")
        for index, value in enumerate(expected):
            check_structure(found[index], value, f"{name}/{index}")
    elif type(found) is not type(expected):
        raise ValueError(f"{name} is {type(found).__name__}, not {type(expected).__name__}")
