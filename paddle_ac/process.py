"""The process of a command: its start, its standard streams, and imports that would change it."""

from __future__ import annotations

import atexit
import ctypes
import functools
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# The signals that end a command: Ctrl-C, `kill` (and `timeout`, Slurm, systemd), and a terminal that is closed.
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP

# The signals that Paddle's import handles with a C++ stack trace (paddle/fluid/platform/init.cc).
_PADDLE_SIGNALS = ("SIGSEGV", "SIGILL", "SIGFPE", "SIGABRT", "SIGBUS", "SIGTERM")

_SIZE_OF_SIGACTION = 1024  # bytes, more than any system's `struct sigaction` takes
_importing = threading.RLock()
_is_command = False  # whether this process is that of a command, rather than of a user's program


def start_command() -> None:
    """Prepare the process of a command: the first statement of every tool, before its imports.

    A stop signal ends the command at once with exit code 128 + its number: there is nothing to lose yet. While the
    interpreter is torn down, after the last line of the command, stop signals are ignored. Standard streams that are
    closed are opened on the null device, so that no file of a run gets their descriptors.
    """
    global _is_command
    _is_command = True
    atexit.register(_ignore_stop_signals)  # the first function registered is the last one called
    for number in STOP_SIGNALS:
        if not is_ignored(number):
            signal.signal(number, lambda number, _: os._exit(128 + number))
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115 (for as long as the process lives)
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
    with stop_signals_held():  # NumPy's threads keep this mask: only the main thread receives stop signals
        import numpy  # noqa: F401


def stop_with_parent() -> None:
    """Let the kernel send SIGTERM to this process when its parent ends, even if that is killed; on Linux only.

    The kernel goes by the thread that started this process: the main one, for Paddle's launcher and for shells.
    """
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG, linux/prctl.h
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


@contextmanager
def nothing_left_running() -> Iterator[None]:
    """End the processes and threads that environments started and left, when the command inside has ended.

    It does so in the process of a command only: in any other, they may belong to the user's own program.
    """
    code: Any = 1
    try:
        yield
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
        raise
    finally:
        if _is_command:
            from multiprocessing_env import end_child_processes, end_in_spite_of_threads

            names = end_child_processes()
            if names:
                logging.getLogger(__name__).warning("processes that did not end were stopped: %s", ", ".join(names))
            end_in_spite_of_threads(code if isinstance(code, int) else 1, log=True)


def _ignore_stop_signals() -> None:
    """Keep the command's exit code: from here on Python would restore the default action, which kills the process."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def escape_output() -> None:
    """Escape characters that the encoding of the standard streams lacks, rather than fail at them."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def is_ignored(number: int) -> bool:
    """Whether SIGHUP is ignored, as ``nohup`` does: then it stays so. Other stop signals are always handled."""
    return number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) == signal.SIG_IGN


@contextmanager
def imports_contained() -> Iterator[None]:
    """Import Paddle, VisualDL or Matplotlib here: the process is the same afterwards.

    Stop signals take effect after the import: in the middle of it, they would reach Paddle's own handler or look like a
    broken installation. Handlers that the import installs are replaced by those before it. All three packages write
    into the home folder; where that is not possible, they get a temporary one for the length of the import.
    """
    with _importing, stop_signals_held(), _signal_actions_kept(), _writable_home():
        yield


@contextmanager
def stop_signals_held() -> Iterator[None]:
    """Deliver stop signals to this thread at the end of the block."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _signal_actions_kept() -> Iterator[None]:
    """Restore the C handlers of signals; ``signal.signal`` can do so for its own only, in the main thread."""
    if sys.platform == "win32":
        yield
        return
    sigaction = ctypes.CDLL(None).sigaction
    actions: dict[int, Any] = {}
    for name in _PADDLE_SIGNALS:
        actions[getattr(signal, name)] = action = ctypes.create_string_buffer(_SIZE_OF_SIGACTION)
        sigaction(getattr(signal, name), None, action)
    try:
        yield
    finally:
        for number, action in actions.items():
            sigaction(number, action, None)


@contextmanager
def _writable_home() -> Iterator[None]:
    """Set ``HOME`` to a temporary folder if the home folder is not there or cannot be written to."""
    if _is_writable(os.path.expanduser("~")):
        yield
        return
    before = os.environ.get("HOME")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["HOME"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = before


@functools.cache
def _is_writable(home: str) -> bool:
    try:
        with tempfile.TemporaryDirectory(dir=home):
            return True
    except OSError as error:
        logging.getLogger(__name__).info("the home folder %s is not writable: %s", home, error.strerror)
        return False
