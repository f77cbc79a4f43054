"""Running means and variances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class RunningMoments:
    """Mean and variance of all rows seen so far, in double precision (Chan, Golub and LeVeque 1983, equation 2.1).

    Args:
        shape: of a row.
        statistics: the arrays to keep them in, brought up to date in place; its own by default.

    Attributes:
        statistics: ``count`` ``()``, rows seen; ``mean``, ``shape``, 0 before the first row; ``variance``, ``shape``,
            over the population, 1 before the first row; all float64.
        pool: replaces mean, variance and number of the rows of an update by those of several processes together, each
            of which updates the same moments; ``None`` for the rows alone.
    """

    pool: Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray, int]] | None = None

    def __init__(self, shape: tuple[int, ...], statistics: dict[str, np.ndarray] | None = None):
        self.statistics = self.initial_statistics(shape) if statistics is None else statistics

    @staticmethod
    def initial_statistics(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        """Statistics before the first row."""
        return {"count": np.zeros(()), "mean": np.zeros(shape), "variance": np.ones(shape)}

    @property
    def mean(self) -> np.ndarray:
        """``shape`` float64."""
        return self.statistics["mean"]

    @property
    def variance(self) -> np.ndarray:
        """``shape`` float64."""
        return self.statistics["variance"]

    def update(self, rows: np.ndarray) -> None:
        """Take in rows ``[B, *shape]``."""
        rows = np.asarray(rows, np.float64)
        mean, variance, count = rows.mean(axis=0), rows.var(axis=0), len(rows)
        if self.pool is not None:
            mean, variance, count = self.pool(mean, variance, count)
        self.merge(count, mean, variance)

    def merge(self, count: float, mean: np.ndarray, variance: np.ndarray) -> None:
        """Take in rows of which only the moments are known; ``count`` is at least 1."""
        before = self.statistics["count"].item()
        total = before + count
        difference = mean - self.mean
        squares = self.variance * before + variance * count + np.square(difference) * (before * count / total)
        self.mean[...] += difference * (count / total)
        self.variance[...] = squares / total
        self.statistics["count"][...] = total

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the statistics."""
        return {name: value.copy() for name, value in self.statistics.items()}

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise ``ValueError`` unless the state is of rows of this shape."""
        for name, value in self.statistics.items():
            there = np.shape(state[name]) if name in state else "absent"
            if there != value.shape:
                raise ValueError(f"the {name} of the moments is {there} there and {value.shape} here")

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave; ``ValueError`` if it is of rows of another shape."""
        self.check_state_dict(state)
        for name, value in self.statistics.items():
            value[...] = state[name]


def merged_moments(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Moments of the rows of both, as ``RunningMoments.statistics``; neither is changed."""
    moments = RunningMoments(first["mean"].shape)
    moments.load_state_dict(first)
    if second["count"] > 0:
        moments.merge(second["count"].item(), second["mean"], second["variance"])
    return moments.statistics


def remaining_moments(total: dict[str, np.ndarray], part: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Moments of the rows of ``total`` that are not in ``part``, which is contained in it: the inverse of a merge."""
    count = total["count"] - part["count"]
    if count <= 0:
        return RunningMoments.initial_statistics(total["mean"].shape)
    mean = total["mean"] + (total["mean"] - part["mean"]) * (part["count"] / count)
    squares = total["variance"] * total["count"] - part["variance"] * part["count"]
    squares = squares - np.square(mean - part["mean"]) * (part["count"] * count / total["count"])
    return {"count": np.asarray(count), "mean": mean, "variance": np.maximum(squares / count, 0.0)}
