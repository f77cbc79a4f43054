"""Paths that users give, and writing files so that none is ever seen half written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from paddle_ac.errors import ConfigError, quoted

POLICY_SUFFIX = ".safetensors"  # of a file of agent.save


def as_path(path: Any) -> Path:
    """A path that a user gave; ``ConfigError`` unless it is a text or a ``Path``."""
    if not isinstance(path, (str, Path)):
        raise ConfigError(f"a path must be a text or a pathlib.Path, got {quoted(path)}")
    return Path(path)


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, then rename it: a kill leaves the old file or the new one."""
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


def find_policy_file(path: str | Path) -> Path | None:
    """The file that a path of ``agent.save`` names, with or without its suffix; ``None`` for a folder and for nothing.

    A folder comes before a file whose name only its suffix completes: ``runs/a`` is not ``runs/a.safetensors``.
    """
    path = as_path(path)
    if not path.name or path.is_dir():  # Path(".") has no name
        return None
    named = path, path.with_name(f"{path.name}{POLICY_SUFFIX}")
    return next((file for file in named if file.is_file()), None)
