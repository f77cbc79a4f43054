"""Nested dictionaries of arrays and plain values in one file, written whole or not at all, and read without pickle."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from paddle_ac.errors import CheckpointError


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write a state so that a kill at any moment leaves either the old file or the new one.

    Args:
        path: a safetensors file; its folder exists.
        state: nested dictionaries with texts for keys; leaves are NumPy arrays or JSON values.
    """
    arrays: dict[str, np.ndarray] = {}
    plain = json.dumps(_take_out_arrays(state, "", arrays))
    metadata = {"state": plain, "checksum": _checksum(plain, arrays)}
    write_atomically(path, save(arrays, metadata))


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read what ``save_checkpoint`` wrote.

    Raises:
        CheckpointError: no such file, or not a whole checkpoint.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a handle, not a dict)
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or not a checkpoint: {error}") from None
    if metadata.keys() != {"state", "checksum"}:
        raise CheckpointError(f"{path} is not a checkpoint of paddle_ac")
    if metadata["checksum"] != _checksum(metadata["state"], arrays):
        raise CheckpointError(f"{path} is damaged: its contents do not agree with its checksum")
    state = json.loads(metadata["state"])
    for name, array in arrays.items():
        *parents, leaf = name.split("/")
        place = state
        for parent in parents:
            place = place[parent]
        place[leaf] = array
    return state


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, then rename: it is never seen half written."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _take_out_arrays(state: dict[str, Any], prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The state without its arrays, which go into ``arrays`` under their keys joined by ``/``."""
    plain: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, np.ndarray):
            arrays[prefix + key] = np.asarray(value, order="C")
        elif isinstance(value, dict):
            plain[key] = _take_out_arrays(value, f"{prefix}{key}/", arrays)
        else:
            plain[key] = value
    return plain


def _checksum(plain: str, arrays: dict[str, np.ndarray]) -> str:
    checksum = zlib.crc32(plain.encode())
    for name in sorted(arrays):
        array = arrays[name]
        checksum = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), checksum)
        checksum = zlib.crc32(array.tobytes(), checksum)
    return f"{checksum:08x}"
