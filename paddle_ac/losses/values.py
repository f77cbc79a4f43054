"""Losses of value estimates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def squared_error(values: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Loss ``sum((V - R)^2)``.

    Args:
        values: ``[B]`` float32.
        targets: ``[B]`` float32.

    Returns:
        the sum over the batch, and its gradient with respect to ``values``, ``[B]``.
    """
    errors = targets - values
    return float(np.sum(np.square(errors))), np.float32(-2) * errors


def smooth_l1(values: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Half the squared error up to 1, the absolute error less 1/2 beyond (Girshick 2015, equation 3).

    Arguments and results are those of ``squared_error``.
    """
    errors = targets - values
    limited = np.clip(errors, -1, 1)
    return float(np.sum(limited * (errors - 0.5 * limited))), -limited


CRITIC_LOSSES: dict[str, Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]] = {
    "squared": squared_error,
    "smooth_l1": smooth_l1,
}
