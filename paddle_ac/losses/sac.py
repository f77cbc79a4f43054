"""The losses of SAC (Haarnoja et al. 2018, arXiv:1812.05905)."""

from __future__ import annotations

import numpy as np


def soft_bellman_targets(
    rewards: np.ndarray,
    discounts: np.ndarray,
    next_values: np.ndarray,
    next_log_probs: np.ndarray,
    alpha: float,
) -> np.ndarray:
    """Compute ``r + discount * (min Q'(s', a') - alpha * log pi(a'|s'))`` (equation 6).

    Args:
        rewards: ``[B]`` float32.
        discounts: ``[B]`` float32, 0 where the episode terminated.
        next_values: Q' of both target critics for actions a' of the policy, ``[2, B]`` float32.
        next_log_probs: ``[B]`` float32, of a'.
        alpha: temperature.

    Returns:
        ``[B]`` float32.
    """
    soft_values = next_values.min(axis=0) - np.float32(alpha) * next_log_probs
    return rewards + discounts * soft_values


def minimum(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smaller of both critics' values ``[2, B]``: ``[B]``, and its gradient with respect to them, ``[2, B]``."""
    is_first = values[0] < values[1]
    return np.where(is_first, values[0], values[1]), np.stack([is_first, ~is_first]).astype(np.float32)


def actor_loss(log_probs: np.ndarray, values: np.ndarray, alpha: float) -> tuple[float, float, np.float32]:
    """Mean of ``alpha * log pi(a|s) - min Q(s, a)`` over actions of the policy (equation 9).

    Args:
        log_probs: ``[B]`` float32.
        values: min Q, ``[B]`` float32.
        alpha: temperature.

    Returns:
        the loss, and its gradients with respect to each of the log-probabilities and to each of the values.
    """
    batch_size = len(values)
    loss = alpha * float(log_probs.mean()) - float(values.mean())
    return loss, alpha / batch_size, np.float32(-1 / batch_size)


def temperature_loss(log_alpha: float, entropy: float, target_entropy: float) -> tuple[float, float]:
    """Loss ``log alpha * (entropy - target_entropy)`` and its gradient with respect to ``log alpha``.

    It is that of Stable-Baselines3. With alpha in place of its logarithm (equation 18) the gradient shrinks as alpha
    does, and Adam, which divides by the root of the last 1,000 squared gradients, lowers alpha more slowly than it
    should.
    """
    excess = entropy - target_entropy
    return log_alpha * excess, excess
