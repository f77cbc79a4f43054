"""Outlying losses, by their running mean and deviation."""

from __future__ import annotations

import math

WINDOW = 1000  # losses that the running mean and deviation go back to, about
WARM_UP = 100  # losses before any is an outlier


class LossOutliers:
    """Finds losses far above the earlier ones (Nair et al. 2015, arXiv:1507.04296, "Stability").

    Mean and variance are those of all losses up to ``WINDOW``, then exponential averages of that length, because the
    loss changes while values grow. Outliers count too, so a loss that stays large is an outlier for a while only.

    Args:
        max_deviations: standard deviations above the mean from which a loss is an outlier.
    """

    def __init__(self, max_deviations: float):
        self._max_deviations = max_deviations
        self._count = 0
        self._mean = self._variance = 0.0

    def is_outlier(self, loss: float) -> bool:
        """Whether a loss is an outlier among those of the earlier calls; it is one of them from then on."""
        magnitude = abs(loss)
        limit = self._mean + self._max_deviations * math.sqrt(self._variance)
        is_outlier = self._count >= WARM_UP and magnitude > limit
        self._count = min(self._count + 1, WINDOW)
        rate, difference = 1 / self._count, magnitude - self._mean
        self._mean += rate * difference
        self._variance = (1 - rate) * (self._variance + rate * difference**2)
        return is_outlier
