"""Losses of value estimates."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np


def squared_error(values: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses ``(V - R)^2``.

    Args:
        values: ``[B]`` float32.
        targets: ``[B]`` float32.

    Returns:
        the loss of each value ``[B]``, and their derivatives ``[B]``.
    """
    errors = targets - values
    return np.square(errors), np.float32(-2) * errors


def smooth_l1(values: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half the squared error up to 1, the absolute error less 1/2 beyond (Girshick 2015, equation 3).

    Arguments and results are those of ``squared_error``.
    """
    errors = targets - values
    limited = np.clip(errors, -1, 1)
    return limited * (errors - 0.5 * limited), -limited


def bellman_residual(values: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Half the mean squared error of each of K critics of actions (SAC, equation 5).

    Args:
        values: of the critics, ``[K, B]`` float32.
        targets: ``[B]`` float32.

    Returns:
        the sum over the critics, and its gradient with respect to ``values``, ``[K, B]``.
    """
    errors = values - targets
    return 0.5 * float(np.vdot(errors, errors)) / len(targets), errors / np.float32(len(targets))


CriticLoss: TypeAlias = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

CRITIC_LOSSES: dict[str, CriticLoss] = {
    "squared": squared_error,
    "smooth_l1": smooth_l1,
}
