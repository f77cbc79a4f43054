"""A policy in one file, with its configuration and its spaces: what ``agent.save`` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from multiprocessing_env import container_kind, space_kind
from paddle_ac.checkpoint import load_saved_policy, save_checkpoint
from paddle_ac.config import RunConfig, make_config
from paddle_ac.errors import CheckpointError, ConfigError, reason_of
from paddle_ac.files import POLICY_SUFFIX, as_path


class SavedPolicy(NamedTuple):
    """Contents of a file of ``agent.save``.

    Attributes:
        config: hyper-parameters of the agent.
        observation_space: of its environment.
        action_space: of its environment.
        env_steps: that it had learned from.
        learned: parameters and normalisation, as ``Agent.learned_state`` returns them.
    """

    config: RunConfig
    observation_space: Any
    action_space: Any
    env_steps: int
    learned: dict[str, Any]


def write_policy(path: str | Path, saved: SavedPolicy) -> Path:
    """Write a file; ``.safetensors`` is added to a name without a suffix. Returns its path.

    Raises:
        ConfigError: it cannot be written.
    """
    path = as_path(path)
    if path.name in ("", ".."):
        raise ConfigError(
            f"cannot save the policy in {path}, a folder: name a file, as in {path / 'policy'}{POLICY_SUFFIX}"
        )
    path = path if path.suffix else path.with_suffix(POLICY_SUFFIX)
    state = {
        "algo": saved.config.algo,
        "config": saved.config.model_dump(mode="json"),
        "observation_space": describe_space(saved.observation_space),
        "action_space": describe_space(saved.action_space),
        "env_steps": saved.env_steps,
        "learned": saved.learned,
    }
    try:
        save_checkpoint(path, state)
    except OSError as error:
        raise ConfigError(f"cannot save the policy in {path}: {reason_of(error)}") from None
    return path


def read_policy(path: Path) -> SavedPolicy:
    """Read a file that ``write_policy`` wrote.

    Raises:
        CheckpointError: it is damaged or something else.
    """
    state = load_saved_policy(path)
    try:
        config = make_config(state["config"])
        observation_space, action_space = (make_space(state[name]) for name in ("observation_space", "action_space"))
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise CheckpointError(f"{path} is damaged: its spaces are none: {error}") from None
    return SavedPolicy(config, observation_space, action_space, state["env_steps"], state["learned"])


def describe_space(space: Any) -> dict[str, Any]:
    """A supported space as JSON values."""
    container = container_kind(space)
    if container == "Dict":
        return {"kind": "Dict", "parts": [[key, describe_space(part)] for key, part in space.spaces.items()]}
    if container == "Tuple":
        return {"kind": "Tuple", "parts": [describe_space(part) for part in space.spaces]}
    kind = space_kind(space)
    if kind == "Box":
        low, high = _bound(space.low), _bound(space.high)
        return {"kind": kind, "low": low, "high": high, "shape": list(space.shape), "dtype": space.dtype.name}
    if kind == "Discrete":
        return {"kind": kind, "n": int(space.n), "start": int(getattr(space, "start", 0))}
    if kind == "MultiDiscrete":
        start = np.broadcast_to(getattr(space, "start", 0), space.nvec.shape)
        return {"kind": kind, "nvec": space.nvec.tolist(), "start": start.tolist(), "dtype": space.dtype.name}
    return {"kind": "MultiBinary", "n": np.asarray(space.n).tolist()}


def space_in_words(space: Any) -> str:
    """Describe all of a supported space that parameters depend on, such as ``"Box (4,) of floats"``."""
    container, kind = container_kind(space), space_kind(space)
    if container == "Dict":
        return f"Dict ({', '.join(f'{key}: {space_in_words(part)}' for key, part in space.spaces.items())})"
    if container == "Tuple":
        return f"Tuple ({', '.join(map(space_in_words, space.spaces))})"
    if kind == "Box":
        return f"Box {space.shape} of {'floats' if space.dtype.kind == 'f' else space.dtype.name}"
    sizes = space.nvec.tolist() if kind == "MultiDiscrete" else np.asarray(space.n).tolist()
    return f"{kind} {sizes}"


def _bound(values: np.ndarray) -> Any:
    """The one number of a bound that is the same everywhere, else all of them."""
    return values.flat[0].item() if values.size and (values == values.flat[0]).all() else values.tolist()


def make_space(described: dict[str, Any]) -> Any:
    """The space that ``describe_space`` described."""
    kind = described["kind"]
    if kind == "Dict":
        return spaces.Dict({key: make_space(part) for key, part in described["parts"]})
    if kind == "Tuple":
        return spaces.Tuple(make_space(part) for part in described["parts"])
    if kind == "Box":
        dtype, shape = np.dtype(described["dtype"]), tuple(described["shape"])
        low, high = (np.broadcast_to(np.array(described[name], dtype), shape) for name in ("low", "high"))
        return spaces.Box(low, high, shape, dtype.type)
    if kind == "Discrete":
        return spaces.Discrete(described["n"], start=described["start"])
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(
            np.array(described["nvec"]), dtype=np.dtype(described["dtype"]).type, start=np.array(described["start"])
        )
    if kind == "MultiBinary":
        return spaces.MultiBinary(described["n"])
    raise ValueError(f"unknown kind {kind!r}")
