"""What every test can count on: nothing it started outlives it."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """No process and no shared memory outlives a test."""
    memory_before = shared_memory()
    yield
    children = [child for child in psutil.Process().children(recursive=True) if not is_multiprocessing_helper(child)]
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive, f"left running: {alive}"
    assert shared_memory() <= memory_before


def shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm")) if Path("/dev/shm").is_dir() else set()


def is_multiprocessing_helper(process: psutil.Process) -> bool:
    """Python's own resource tracker and fork server, which live as long as their process."""
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return True
    return "resource_tracker" in command or "forkserver" in command
