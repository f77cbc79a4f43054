"""A bundle: A3C on one machine, which exchanges what it learns with a parameter server. It imports no Paddle."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from paddle_ac.algorithms.a3c import A3C
from paddle_ac.config.a3c import A3CConfig
from paddle_ac.config.groups import ClusterGroup
from paddle_ac.processes.nodes import BundleReport
from paddle_ac.processes.parameter_server import Exchange, Shards

POLL_SECONDS = 0.5  # that a poll waits for a report
SHORTEST_WAIT, LONGEST_WAIT = 1e-3, 0.1  # seconds between two looks at the number of updates


class Bundle:
    """Runs A3C in a thread, from its creation on.

    Args:
        config: of the run.
        index: of the bundle, 0 to M - 1.
        start: number of bundles that had this index before; part of the seeds, so that no episode is played twice.
        statistics: of the workers' optimisers, to start from.
        shards: of the parameter server.
    """

    def __init__(self, config: A3CConfig, index: int, start: int, statistics: dict[str, np.ndarray], shards: Shards):
        self._config, self._index, self._start = config, index, start
        self._initial_statistics = statistics
        self._shards = shards
        self._a3c: A3C | None = None
        self._report = BundleReport()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def poll(self) -> BundleReport:
        """Return what is new since the last poll, after ``POLL_SECONDS`` at most."""
        with self._changed:
            if not (self._report.contents or self._report.is_finished or self._report.error):
                self._changed.wait(POLL_SECONDS)
            report, self._report = self._report, BundleReport([], self._report.is_ready)
            return report

    def finish(self) -> None:
        """Ask the workers to finish; a poll returns the rest when they have."""
        self._stop.set()

    def statistics(self) -> dict[str, np.ndarray]:
        """Copies of the statistics of the workers' optimisers."""
        statistics = self._initial_statistics if self._a3c is None else self._a3c.shared.statistics
        return {name: value.copy() for name, value in statistics.items()}

    def _run(self) -> None:
        try:
            with A3C.from_config(bundle_config(self._config, self._index, self._start)) as a3c:
                self._learn(a3c)
        except Exception as error:
            self._add(error=error)
        else:
            self._add(is_finished=True)

    def _learn(self, a3c: A3C) -> None:
        config = self._config
        for name, value in a3c.shared.statistics.items():
            value[...] = self._initial_statistics[name]
        exchange = Exchange(a3c.shared, self._shards, self._index, self._start, config.push_dtype, a3c.lock)
        self._a3c = a3c
        pace = _Pace(config.push_interval)
        while not a3c.is_done and not self._stop.is_set():
            self._add(a3c.update(pace.seconds_to_next(exchange.unpushed_updates)), is_ready=a3c.has_started)
            if exchange.unpushed_updates >= config.push_interval:
                exchange.exchange()
        for metrics in a3c.finish():
            self._add(metrics)
        exchange.exchange()

    def _add(self, metrics: dict[str, Any] | None = None, **changes: Any) -> None:
        """Add a worker's metrics, unless they are empty, and change attributes of the next report."""
        content = {tag: value for tag, value in (metrics or {}).items() if value != [] and not _is_per_worker(tag)}
        with self._changed:
            if content:
                self._report.contents.append({"charts/episode_return": [], "charts/episode_length": [], **content})
            for name, value in changes.items():
                setattr(self._report, name, value)
            if content or self._report.is_finished or self._report.error:
                self._changed.notify()


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


def bundle_config(config: A3CConfig, index: int, start: int) -> A3CConfig:
    """The configuration of the A3C in a bundle, with a seed of its own.

    Args:
        config: of the run.
        index: of the bundle.
        start: number of bundles that had this index before.
    """
    seed = int(np.random.SeedSequence((config.seed, index, start)).generate_state(1)[0] >> 1)
    of_one_machine = {name: field.default for name, field in ClusterGroup.model_fields.items()}
    return config.model_copy(update={**of_one_machine, "seed": seed, "init_from": None})


def _is_per_worker(tag: str) -> bool:
    return tag.startswith("workers/")
