"""A3C on one node of a cluster. It imports no Paddle."""

from __future__ import annotations

import time

from paddle_ac.algorithms.a3c import A3C
from paddle_ac.algorithms.bundle import Bundle
from paddle_ac.config.a3c import A3CConfig
from paddle_ac.processes.parameter_server import Exchange

SHORTEST_WAIT, LONGEST_WAIT = 1e-3, 0.1  # seconds between two looks at the number of updates


class A3CBundle(Bundle):
    """A3C as on one machine, whose shared parameters are exchanged; see ``Bundle``."""

    _config: A3CConfig

    def _learn(self) -> None:
        config = self._config
        with A3C.from_config(config) as a3c:
            self._start_from_statistics(a3c.shared.statistics)
            exchange = Exchange(a3c.shared, self._shards, self._index, self._start, config.push_dtype, a3c.lock)
            pace = _Pace(config.push_interval)
            while not a3c.is_done and not self._stop.is_set():
                self._add(a3c.update(pace.seconds_to_next(exchange.unpushed_updates)), is_ready=a3c.has_started)
                if exchange.unpushed_updates >= config.push_interval:
                    exchange.exchange()
            for metrics in a3c.finish():
                self._add(metrics)
            exchange.exchange()


class _Pace:
    """Estimates when the next push is due, from the updates per second so far."""

    def __init__(self, interval: int):
        self._interval = interval
        self._updates, self._at = 0, time.monotonic()
        self._seconds_per_update = 0.0

    def seconds_to_next(self, unpushed: int) -> float:
        """Seconds to wait before the number of unpushed updates is looked at again."""
        now = time.monotonic()
        if unpushed > self._updates:
            self._seconds_per_update = (now - self._at) / (unpushed - self._updates)
        self._updates, self._at = unpushed, now
        seconds = (self._interval - unpushed) * self._seconds_per_update
        return min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT)
