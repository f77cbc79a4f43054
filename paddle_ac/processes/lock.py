"""A lock between processes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from multiprocessing import reduction
from typing import Any

from paddle_ac.errors import ConfigError

POLL_SECONDS = 1e-4  # between two attempts to take a lock


class ProcessLock:
    """A lock between processes, which the operating system releases when its holder dies.

    It is a record lock on a file without a name. It can be pickled only to start a process.

    Attributes:
        on_wait: called repeatedly while another process holds the lock.

    Raises:
        ConfigError: the system has no such locks (Windows).
    """

    def __init__(self) -> None:
        self._open(tempfile.TemporaryFile())  # noqa: SIM115 (open as long as the lock)

    def _open(self, file: Any) -> None:
        try:
            import fcntl
        except ImportError:
            raise ConfigError(
                "--lock, and normalised observations or rewards of several learners, need a lock between processes, "
                "which Windows lacks: train without them, with --algo a2c, or in WSL"
            ) from None
        self._fcntl = fcntl
        self._file = file
        self.on_wait: Callable[[], None] = lambda: None

    def __enter__(self) -> None:
        while not self._take():
            self.on_wait()
            time.sleep(POLL_SECONDS)

    def _take(self) -> bool:
        try:
            self._fcntl.lockf(self._file, self._fcntl.LOCK_EX | self._fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # which of them, POSIX leaves to the system
            return False
        return True

    def __exit__(self, *exception: object) -> None:
        self._fcntl.lockf(self._file, self._fcntl.LOCK_UN)

    def __getstate__(self) -> Any:
        return reduction.DupFd(self._file.fileno())

    def __setstate__(self, duplicate: Any) -> None:
        self._open(open(duplicate.detach(), "r+b"))  # noqa: SIM115
