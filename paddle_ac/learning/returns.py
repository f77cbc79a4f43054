"""Estimates of the returns of a rollout: targets of the critic."""

from __future__ import annotations

import numpy as np


def n_step_returns(
    rewards: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    truncation_values: np.ndarray,
    last_values: np.ndarray,
    gamma: float,
) -> np.ndarray:
    """Discounted returns that bootstrap from the critic at the rollout's end and through time limits.

    ``R_t = r_t + gamma * R_{t+1}`` (Mnih et al. 2016, algorithm S2), where the return after ``t`` is 0 if the episode
    terminated there, the value of its last observation if it was cut by a time limit there (Pardo et al. 2018,
    arXiv:1712.00378), and the value of the observation after the rollout for its last step.

    Args:
        rewards: ``[T, N]`` float32.
        terminated: ``[T, N]`` bool, the episode ended in this step; it wins over ``truncated``.
        truncated: ``[T, N]`` bool, the episode was cut in this step.
        truncation_values: ``[T, N]`` float32, V(last observation of the episode) where truncated; unread elsewhere.
        last_values: ``[N]`` float32, V(observation after the rollout).
        gamma: discount factor.

    Returns:
        returns ``[T, N]`` float32.
    """
    returns = np.empty_like(rewards)
    done = terminated | truncated
    after_done = np.where(terminated, np.float32(0), truncation_values)
    following = last_values
    for step in reversed(range(len(rewards))):
        following = rewards[step] + np.float32(gamma) * np.where(done[step], after_done[step], following)
        returns[step] = following
    return returns


def generalized_advantages(
    rewards: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    truncation_values: np.ndarray,
    values: np.ndarray,
    last_values: np.ndarray,
    gamma: float,
    gae_lambda: float,
) -> np.ndarray:
    """Generalised advantage estimates (Schulman et al. 2016, arXiv:1506.02438, equation 16).

    ``A_t = delta_t + gamma * lambda * A_{t+1}`` with ``delta_t = r_t + gamma * V_{t+1} - V_t``, where nothing of
    another episode enters: after a termination V is 0, after a cut it is the value of the episode's last observation.
    With a lambda of 1 it is ``n_step_returns`` less ``values``, with 0 the one-step TD error.

    Args:
        rewards, terminated, truncated, truncation_values, last_values, gamma: as for ``n_step_returns``.
        values: ``[T, N]`` float32, V of the observations.
        gae_lambda: between 0 and 1.

    Returns:
        advantages ``[T, N]`` float32.
    """
    done = terminated | truncated
    following_values = np.concatenate([values[1:], last_values[np.newaxis]])
    following_values = np.where(done, np.where(terminated, np.float32(0), truncation_values), following_values)
    advantages = rewards + np.float32(gamma) * following_values - values
    decay = np.where(done, np.float32(0), np.float32(gamma * gae_lambda))
    for step in reversed(range(len(rewards) - 1)):
        advantages[step] += decay[step] * advantages[step + 1]
    return advantages


def v_trace(
    rewards: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    truncation_values: np.ndarray,
    values: np.ndarray,
    last_values: np.ndarray,
    log_ratios: np.ndarray,
    gamma: float,
    trace_lambda: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """V-trace targets and advantages of actions that an older policy took (Espeholt et al. 2018, arXiv:1802.01561).

    With ``rho_t = c_t = min(1, pi(a_t|s_t) / mu(a_t|s_t))``, where mu is the policy that took the action, the targets
    are ``v_t = V_t + delta_t + gamma * lambda * c_t * (v_{t+1} - V_{t+1})`` with
    ``delta_t = rho_t * (r_t + gamma * V_{t+1} - V_t)`` (remark 1), and the advantages
    ``rho_t * (r_t + gamma * (lambda * v_{t+1} + (1 - lambda) * V_{t+1}) - V_t)`` (section 4.2). Nothing of another
    episode enters, as in ``generalized_advantages``. If pi and mu are the same, the targets are ``n_step_returns`` for
    a lambda of 1, and the advantages are ``generalized_advantages`` for any lambda.

    Args:
        rewards, terminated, truncated, truncation_values, values, last_values, gamma: as for
            ``generalized_advantages``.
        log_ratios: ``[T, N]`` float32, ``log pi(a_t|s_t) - log mu(a_t|s_t)``, in nats.
        trace_lambda: lambda, between 0 and 1.

    Returns:
        targets and advantages, both ``[T, N]`` float32.
    """
    done = terminated | truncated
    after_done = np.where(terminated, np.float32(0), truncation_values)
    next_values = np.where(done, after_done, np.concatenate([values[1:], last_values[np.newaxis]]))
    ratios = np.exp(np.minimum(log_ratios, 0))  # clipped at 1, the paper's choice for rho and c
    corrections = ratios * (rewards + np.float32(gamma) * next_values - values)  # v_t - V_t, once the loop is done
    decay = np.where(done, np.float32(0), np.float32(gamma * trace_lambda) * ratios)
    for step in reversed(range(len(rewards) - 1)):
        corrections[step] += decay[step] * corrections[step + 1]
    next_corrections = np.concatenate([corrections[1:], np.zeros_like(corrections[:1])])
    next_targets = next_values + np.where(done, np.float32(0), np.float32(trace_lambda) * next_corrections)
    return values + corrections, ratios * (rewards + np.float32(gamma) * next_targets - values)


def explained_variance(predictions: np.ndarray, targets: np.ndarray) -> float:
    """``1 - Var(targets - predictions) / Var(targets)``: 1 is perfect, 0 no better than a constant.

    It is 0 where all targets are the same.
    """
    if (targets == targets[0]).all():  # the variance of equal numbers is not always 0 in floating point
        return 0.0
    return 1.0 - _sum_of_squares(targets - predictions) / _sum_of_squares(targets)


def _sum_of_squares(values: np.ndarray) -> float:
    """Sum of the squared differences from the mean."""
    centred = values - values.sum() / np.float32(len(values))
    return float(np.dot(centred, centred))
