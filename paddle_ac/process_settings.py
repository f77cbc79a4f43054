"""Settings of the whole process that several threads change at once, such as two trainings.

In each case the first to change a setting saves the user's, and the last to finish restores it, in whatever order the
threads finish. Saving and restoring in every thread by itself would leave the setting of another thread behind.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = threading.RLock()  # reentrant: the garbage collector may release a limit while this thread holds it


class BlasThreadLimit:
    """Limits the threads of NumPy's matrix products, for the whole process, until ``release``.

    Where several limits hold at once, the smallest applies. The last ``release`` restores the user's setting, unless
    the user has changed it since.

    Args:
        num_threads: at most so many.
        of_agent: the limit is a user's setting. A warning reports that another agent has a smaller one.
    """

    # By the id of the instance, its threads and whether it is of an agent. One entry is made or taken out at a time, so
    # that an exception at any moment, such as a signal's, leaves no instance half registered.
    _limits: dict[int, tuple[int, bool]] = {}  # noqa: RUF012 (of all instances together)
    _libraries: list[tuple[Any, int]] = []  # noqa: RUF012 (each with the number of threads that the user set)

    def __init__(self, num_threads: int, of_agent: bool = True):
        with _lock:
            if not self._limits:
                libraries = ThreadpoolController().select(user_api="blas").lib_controllers
                self._libraries[:] = [(library, library.num_threads) for library in libraries]
            self._limits[id(self)] = num_threads, of_agent
            self._apply()
            smallest = min((threads for threads, is_agents in self._limits.values() if is_agents), default=num_threads)
            if of_agent and num_threads > smallest:
                logging.getLogger(__name__).warning(
                    "matrix products take %d threads rather than %d: another agent of this process has the smaller "
                    "num_threads, and the setting is the process's",
                    smallest,
                    num_threads,
                )

    def release(self) -> None:
        """Give up this limit; may be called twice."""
        with _lock:
            applied = self._applied
            if self._limits.pop(id(self), None) is None:
                return
            if self._limits:
                self._apply()
                return
            for library, num_threads in self._libraries:
                if library.get_num_threads() == applied:
                    _set_num_threads(library, num_threads)
            self._libraries.clear()

    @property
    def _applied(self) -> int:
        """The smallest of all limits; 0 without any."""
        return min((threads for threads, _ in self._limits.values()), default=0)

    def _apply(self) -> None:
        for library, _ in self._libraries:
            _set_num_threads(library, self._applied)

    def __enter__(self) -> BlasThreadLimit:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()


def _set_num_threads(library: Any, num_threads: int) -> None:
    # Recent versions of threadpoolctl ignore every thread but the first that set OpenBLAS's threads.
    let_go = getattr(library, "clear_controlling_thread", lambda force: None)
    let_go(force=True)
    library.set_num_threads(num_threads)
    let_go(force=True)


_num_ignoring = 0
_filters_before = warnings.catch_warnings()


@contextmanager
def warnings_ignored(message: str = "") -> Iterator[None]:
    """Ignore warnings whose text begins with a match of the regular expression ``message``, by default all.

    While several threads ignore warnings, each ignores those of the others too.
    """
    global _num_ignoring, _filters_before
    with _lock:
        if not _num_ignoring:
            _filters_before = warnings.catch_warnings()
            _filters_before.__enter__()
        _num_ignoring += 1
        warnings.filterwarnings("ignore", message=message)
    try:
        yield
    finally:
        with _lock:
            _num_ignoring -= 1
            if not _num_ignoring:
                _filters_before.__exit__(None, None, None)


_variables: dict[str, tuple[int, str | None]] = {}  # by name: threads that have set it, and the user's value


@contextmanager
def variable_set(name: str, value: str) -> Iterator[None]:
    """Set an environment variable, to the same value in every thread that sets it."""
    with _lock:
        num_setting, before = _variables.get(name, (0, os.environ.get(name)))
        _variables[name] = num_setting + 1, before
        os.environ[name] = value
    try:
        yield
    finally:
        with _lock:
            num_setting, before = _variables.pop(name)
            if num_setting > 1:
                _variables[name] = num_setting - 1, before
            elif before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before
