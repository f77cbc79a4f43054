"""Find workers that make no progress."""

from __future__ import annotations

import time

import numpy as np


class Watchdog:
    """Finds counters that have not changed for too long.

    Args:
        counters: ``[W]`` int64, which other processes change.
    """

    def __init__(self, counters: np.ndarray):
        self._counters = counters
        self._seen = counters.copy()
        self._timeouts = np.full(len(counters), np.inf)  # in seconds
        self._idle = np.zeros(len(counters))  # in seconds
        self._checked_at = time.monotonic()

    def restart(self, index: int, timeout: float | None = None) -> None:
        """Measure a counter's time from now on.

        Args:
            index: of the counter.
            timeout: in seconds; unchanged by default.
        """
        self._idle[index] = 0.0
        if timeout is not None:
            self._timeouts[index] = timeout

    def find_stuck(self) -> list[int]:
        """Return the indices of the counters that have not changed within their timeouts."""
        now, counters = time.monotonic(), self._counters.copy()
        # A stuck counter is found at the third check or later: this process or the machine may sleep between two.
        passed = np.minimum(now - self._checked_at, self._timeouts / 2)
        self._idle = np.where(counters == self._seen, self._idle + passed, 0.0)
        self._seen, self._checked_at = counters, now
        return np.flatnonzero(self._idle > self._timeouts).tolist()
