"""Metrics of GA3C, summed over its threads between two reports, so that they take the same memory however long."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np

from paddle_ac.nn.moments import RunningMoments

SCALARS = (
    "charts/learning_rate",
    "losses/actor",
    "losses/critic",
    "losses/entropy",
    "losses/total",
    "diagnostics/grad_norm",
)


@dataclass(frozen=True)
class Update:
    """Figures of an update: those of ``SCALARS``; mean and largest policy lag; predictions and returns ``[B]``."""

    scalars: tuple[float, ...]
    lag: tuple[float, float]
    values: np.ndarray
    returns: np.ndarray


class UpdateMetrics:
    """Means over updates since the last ``take``; threads may add to them at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._restart()

    def _restart(self) -> None:
        self._num_updates = 0
        self._sums = np.zeros(len(SCALARS) + 1)  # the last is of the mean lag
        self._largest_lag = 0.0
        self._returns, self._errors = RunningMoments(()), RunningMoments(())
        self._range = np.inf, -np.inf  # of the returns

    def add(self, update: Update) -> None:
        """Count an update."""
        lowest, highest = float(update.returns.min()), float(update.returns.max())
        with self._lock:
            self._num_updates += 1
            self._sums += (*update.scalars, update.lag[0])
            self._largest_lag = max(self._largest_lag, update.lag[1])
            self._returns.update(update.returns)
            self._errors.update(update.returns - update.values)
            self._range = min(self._range[0], lowest), max(self._range[1], highest)

    def take(self) -> dict[str, float]:
        """Metrics by tag since the last call; none if there was no update."""
        with self._lock:
            if not self._num_updates:
                return {}
            *scalars, lag = (self._sums / self._num_updates).tolist()
            are_equal = self._range[0] == self._range[1]  # the variance is then not always 0 in floating point
            unexplained = 1.0 if are_equal else float(self._errors.variance / self._returns.variance)
            largest_lag = self._largest_lag
            self._restart()
        return {
            **dict(zip(SCALARS, scalars, strict=True)),
            "diagnostics/explained_variance": 1.0 - unexplained,
            "diagnostics/policy_lag": lag,
            "diagnostics/policy_lag_max": largest_lag,
        }


@dataclass
class Load:
    """Batches of the predictors or the trainers, and the queue that they found.

    Attributes:
        batches: number of batches.
        rows: number of steps of single environments in them.
        queued: lengths of the queue after each batch was taken from it, summed.
    """

    batches: int = 0
    rows: int = 0
    queued: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, rows: int, queued: int) -> None:
        """Count a batch."""
        with self._lock:
            self.batches += 1
            self.rows += rows
            self.queued += queued

    def take(self) -> tuple[int, int, int]:
        """Return batches, rows and queued since the last call."""
        with self._lock:
            taken = self.batches, self.rows, self.queued
            self.batches = self.rows = self.queued = 0
        return taken
