"""What a test may leave behind in shared memory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def shared_memory() -> set[str]:
    """Names of the shared memory of this machine."""
    return set(os.listdir("/dev/shm")) if Path("/dev/shm").is_dir() else set()


def leaked_shared_memory(before: set[str]) -> set[str]:
    """Shared memory that was not there before and that no process uses.

    Tests run side by side, so memory in use belongs to another test. A name that another process has just created or
    is about to remove counts only if it is still there, and unused, at the second look.
    """
    suspects = unused(shared_memory() - before)
    return unused(suspects & shared_memory()) & shared_memory() if suspects else set()


def unused(names: set[str]) -> set[str]:
    """The names in /dev/shm that no running process maps. Inodes tell: a semaphore is mapped under another name."""
    if not names:
        return set()
    used: set[int] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):  # it has gone, or is somebody else's
            used.update(int(line.split()[4]) for line in maps.read_text().splitlines() if "/dev/shm/" in line)
    left = set()
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            if Path("/dev/shm", name).stat().st_ino not in used:
                left.add(name)
    return left
