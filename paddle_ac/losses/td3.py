"""The losses of TD3 (Fujimoto et al. 2018, arXiv:1802.09477) and DDPG (Lillicrap et al. 2016, arXiv:1509.02971)."""

from __future__ import annotations

import numpy as np


def smoothed_actions(actions: np.ndarray, noise: np.ndarray, noise_clip: float) -> np.ndarray:
    """Target policy smoothing: ``clip(a + clip(noise, -c, c), -1, 1)`` (TD3, equation 14 and algorithm 1).

    Args:
        actions: of the target policy, ``[B, A]`` float32 in the cube ``[-1, 1]^A``.
        noise: ``[B, A]`` float32.
        noise_clip: c, the largest noise, either way.

    Returns:
        ``[B, A]`` float32 in the cube.
    """
    return np.clip(actions + np.clip(noise, -noise_clip, noise_clip), -1, 1)


def clipped_double_q_targets(rewards: np.ndarray, discounts: np.ndarray, next_values: np.ndarray) -> np.ndarray:
    """Compute ``r + discount * min_k Q'_k(s', a')`` (TD3, equation 10; with one critic DDPG, algorithm 1).

    Args:
        rewards: ``[B]`` float32.
        discounts: ``[B]`` float32, 0 where the episode terminated.
        next_values: Q' of each of K target critics for actions a' of the target policy, ``[K, B]`` float32.

    Returns:
        ``[B]`` float32.
    """
    return rewards + discounts * next_values.min(axis=0)


def deterministic_policy_loss(values: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean of ``-Q(s, pi(s))``: its gradient is the deterministic policy gradient (DDPG, equation 6).

    Args:
        values: of actions of the policy, ``[B]`` float32.

    Returns:
        the loss, and its gradient with respect to ``values``, ``[B]``.
    """
    return -float(values.mean()), np.full_like(values, -1 / len(values))
