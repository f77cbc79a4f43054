"""Running means and variances."""

from __future__ import annotations

from typing import Any

import numpy as np


class RunningMoments:
    """Mean and variance of all rows seen so far, in double precision (Chan, Golub and LeVeque 1983, equation 2.1).

    Args:
        shape: of a row.

    Attributes:
        count: rows seen.
        mean: ``shape`` float64; 0 before the first row.
        variance: ``shape`` float64, over the population; 1 before the first row.
    """

    def __init__(self, shape: tuple[int, ...]):
        self.count = 0
        self.mean = np.zeros(shape, np.float64)
        self.variance = np.ones(shape, np.float64)

    def update(self, rows: np.ndarray) -> None:
        """Take in rows ``[B, *shape]``."""
        rows = np.asarray(rows, np.float64)
        mean, variance, count = rows.mean(axis=0), rows.var(axis=0), len(rows)
        total = self.count + count
        difference = mean - self.mean
        squares = self.variance * self.count + variance * count + np.square(difference) * (self.count * count / total)
        self.mean = np.asarray(self.mean + difference * (count / total))
        self.variance = np.asarray(squares / total)
        self.count = total

    def state_dict(self) -> dict[str, Any]:
        """What it knows."""
        return {"count": self.count, "mean": self.mean.copy(), "variance": self.variance.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` gave; ``ValueError`` if it is of rows of another shape."""
        if state["mean"].shape != self.mean.shape:
            raise ValueError(f"the moments are of rows of shape {state['mean'].shape}, these of {self.mean.shape}")
        self.count, self.mean, self.variance = state["count"], state["mean"].copy(), state["variance"].copy()
