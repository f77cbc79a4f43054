"""Ctrl-C as something to look at between two steps of a work, rather than in the middle of one."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupt_noted() -> Iterator[threading.Event]:
    """Ctrl-C (and SIGTERM) sets the event, so that what is under way stops where nothing is lost.

    Further ones are taken for the same for two seconds; one that comes later interrupts at once.
    """
    noted = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield noted
        return
    handlers_before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    first_seen = 0.0

    def note(*_: object) -> None:
        nonlocal first_seen
        if not noted.is_set():
            first_seen = time.monotonic()
            noted.set()
        elif time.monotonic() - first_seen > 2.0:
            raise KeyboardInterrupt

    for number in handlers_before:
        signal.signal(number, note)
    try:
        yield noted
    finally:
        for number, handler in handlers_before.items():
            signal.signal(number, handler)
