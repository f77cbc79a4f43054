"""Stop signals (Ctrl-C, SIGTERM, SIGHUP): handled in one way from the first line of a command to its last."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from paddle_ac.process import STOP_SIGNALS, is_ignored, stop_signals_held

SECONDS_ALIKE = 2.0  # signals that follow the first one so soon are the same request: of a terminal, and of a parent


class Interrupt:
    """The stop signals that came while it handled them.

    A signal raises ``KeyboardInterrupt``. In ``deferred()`` it is noted instead, and the work stops where nothing is
    lost. Signals in the two seconds after the first one are ignored; a later one raises in any case, so that work that
    does not end can be interrupted.

    Attributes:
        number: the first signal, ``None`` while there was none.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._came = 0.0
        self._is_deferred = False
        self._patience = SECONDS_ALIKE

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells have it: 130, 143 or 129."""
        return 128 + (self.number or signal.SIGINT)

    def is_set(self) -> bool:
        """Whether a signal came."""
        return self.number is not None

    def note(self, number: int) -> None:
        """Note a signal that another process got, if none came here."""
        if self.number is None:
            self.number, self._came = number, time.monotonic()

    def clear(self) -> None:
        """Forget the signal: it was answered."""
        self.number = None

    @contextmanager
    def deferred(self, patience: float = SECONDS_ALIKE) -> Iterator[None]:
        """Note signals.

        Args:
            patience: seconds after the first signal in which others are ignored; ``math.inf`` for work that ends soon.
        """
        before = self._is_deferred, self._patience
        self._is_deferred, self._patience = True, patience
        try:
            yield
        finally:
            self._is_deferred, self._patience = before

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise ``KeyboardInterrupt`` at a signal, also at one that was noted before."""
        before, self._is_deferred = self._is_deferred, False
        try:
            if self.is_set():
                raise KeyboardInterrupt
            yield
        finally:
            self._is_deferred = before

    def handle(self, number: int, frame: object) -> None:
        """Handle a signal, as ``signal.signal`` calls it."""
        now = time.monotonic()
        if self.number is None:
            self.number, self._came = number, now
            if not self._is_deferred:
                raise KeyboardInterrupt
        elif now - self._came > self._patience:
            raise KeyboardInterrupt


_active: Interrupt | None = None  # of the main thread


@contextmanager
def interrupts() -> Iterator[Interrupt]:
    """Handle stop signals, and restore the handlers of before at the end.

    Inside another ``interrupts()`` it gives the same object: a command has one from its beginning to its end. In a
    thread other than the main one, where Python handles no signals, the object is never set.
    """
    global _active
    if threading.current_thread() is not threading.main_thread():
        yield Interrupt()
        return
    if _active is not None:
        yield _active
        return
    interrupt = Interrupt()
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS if not is_ignored(number)}
    try:
        _active = interrupt
        with interrupt.deferred():
            for number in before:
                signal.signal(number, interrupt.handle)
        yield interrupt
    finally:
        with stop_signals_held():  # one that arrives here finds all handlers restored
            for number, handler in before.items():
                if handler is not None:  # one that was not installed from Python stays replaced
                    signal.signal(number, handler)
            _active = None
