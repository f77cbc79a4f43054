"""The base of bundles, which learn on a node of a cluster and exchange what they learn with a parameter server."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Any, TypeVar

import numpy as np

from paddle_ac.config import RunConfig
from paddle_ac.processes.nodes import BundleReport
from paddle_ac.processes.parameter_server import Shards

POLL_SECONDS = 0.5  # that a poll gathers reports: each of them alone would be a call over the network

AnyConfig = TypeVar("AnyConfig", bound=RunConfig)


class Bundle(ABC):
    """Learns in a thread, from its creation on. It imports no Paddle, unless the networks compute with it.

    A subclass learns in ``_learn``.

    Args:
        config: of the run.
        index: of the bundle, 0 to M - 1.
        start: number of bundles that had this index before; part of the seeds, so that no episode is played twice.
        statistics: of the optimiser, to start from.
        shards: of the parameter server.
    """

    def __init__(self, config: Any, index: int, start: int, statistics: dict[str, np.ndarray], shards: Shards):
        self._config, self._index, self._start = bundle_config(config, index, start), index, start
        self._statistics = statistics  # of the live optimiser, once there is one
        self._shards = shards
        self._report = BundleReport()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def poll(self) -> BundleReport:
        """Return what is new since the last poll, after ``POLL_SECONDS``, or when the bundle has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._report.is_finished or self._report.error, POLL_SECONDS)
            report, self._report = self._report, BundleReport([], self._report.is_ready)
            return report

    def finish(self) -> None:
        """Ask the bundle to push the rest and to end; a poll returns the last reports when it has."""
        self._stop.set()

    def statistics(self) -> dict[str, np.ndarray]:
        """Copies of the statistics of the optimiser."""
        return {name: value.copy() for name, value in self._statistics.items()}

    @abstractmethod
    def _learn(self) -> None:
        """Learn until the total of steps is reached or ``finish`` was called, push the rest, and ``_add`` reports."""

    def _start_from_statistics(self, live: dict[str, np.ndarray]) -> None:
        """Give an optimiser's arrays the values that the bundle starts from."""
        for name, value in live.items():
            value[...] = self._statistics[name]
        self._statistics = live

    def _run(self) -> None:
        try:
            self._learn()
        except Exception as error:
            self._add(error=error)
        else:
            self._add(is_finished=True)

    def _add(self, metrics: dict[str, Any] | None = None, **changes: Any) -> None:
        """Add metrics, unless they are empty, and change attributes of the next report."""
        content = {tag: value for tag, value in (metrics or {}).items() if value != [] and not _is_per_worker(tag)}
        with self._changed:
            if content:
                self._report.contents.append({"charts/episode_return": [], "charts/episode_length": [], **content})
            for name, value in changes.items():
                setattr(self._report, name, value)
            self._changed.notify()


def bundle_config(config: AnyConfig, index: int, start: int) -> AnyConfig:
    """The configuration of a bundle, with a seed of its own.

    Args:
        config: of the run.
        index: of the bundle.
        start: number of bundles that had this index before.
    """
    seed = int(np.random.SeedSequence((config.seed, index, start)).generate_state(1)[0] >> 1)
    return config.model_copy(update={"seed": seed, "init_from": None})


def _is_per_worker(tag: str) -> bool:
    return tag.startswith("workers/")
