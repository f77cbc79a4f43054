"""The losses of SAC for discrete actions (Christodoulou 2019, arXiv:1910.07207).

Expectations over actions are sums. Logits and Q values of a MultiDiscrete space are those of its choices side by side.
The policy's choices are independent, and Q(s, a) is the sum of the Q values of the actions that are chosen, so that the
expectations are sums over the choices too. Discrete spaces have one choice.

A mask of actions is part of logits and Q values: those of actions that are not allowed are ``MASKED_LOGIT``. Such
actions have a probability of 0, and no part in any loss or gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paddle_ac.action_masks import MASKED_LOGIT
from paddle_ac.losses.values import CriticLoss
from paddle_ac.nn.actions import log_softmax


class Choices:
    """The choices of an action, whose numbers lie side by side in M columns.

    Args:
        sizes: actions of each of the C choices, which sum to M.
    """

    def __init__(self, sizes: Sequence[int]):
        self._sizes = np.array(sizes)
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def sums(self, numbers: np.ndarray) -> np.ndarray:
        """The sum over each choice of ``[B, M]``: ``[B, C]``."""
        return np.add.reduceat(numbers, self._starts, axis=1)

    def spread(self, numbers: np.ndarray) -> np.ndarray:
        """A number of each choice ``[B, C]`` in all columns of the choice: ``[B, M]``."""
        return np.repeat(numbers, self._sizes, axis=1)

    def log_probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Log-probabilities ``[B, M]`` float32 of logits ``[B, M]``, in nats."""
        parts = np.split(logits, self._starts[1:], axis=1)
        return np.concatenate([log_softmax(part) for part in parts], axis=1)

    def columns(self, actions: np.ndarray) -> np.ndarray:
        """Columns ``[B, C]`` of actions ``[B, *action_space.shape]``."""
        return actions.reshape(len(actions), -1) + self._starts

    def largest_entropies(self, logits: np.ndarray) -> np.ndarray:
        """Entropies ``[B]``, in nats, of the policy that is uniform over the allowed actions of each choice."""
        return np.log(self.sums((logits != MASKED_LOGIT).astype(np.float32))).sum(axis=1)


def entropies(log_probs: np.ndarray) -> np.ndarray:
    """Entropies ``[B]`` of a policy, in nats, from its log-probabilities ``[B, M]``."""
    return -(np.exp(log_probs) * log_probs).sum(axis=1)


def expected_soft_values(log_probs: np.ndarray, q_values: np.ndarray, alpha: float) -> np.ndarray:
    """``V(s) = sum_a pi(a|s) * (min Q(s, a) - alpha * log pi(a|s))``, ``[B]`` float32 (equation 10).

    Args:
        log_probs: of the policy, ``[B, M]`` float32, in nats.
        q_values: of both critics, ``[2, B, M]`` float32; the smaller one of each action counts.
        alpha: temperature.
    """
    return (np.exp(log_probs) * (q_values.min(axis=0) - np.float32(alpha) * log_probs)).sum(axis=1)


def critics_loss(
    q_values: np.ndarray, columns: np.ndarray, targets: np.ndarray, critic_loss: CriticLoss
) -> tuple[float, np.ndarray, np.ndarray]:
    """Sum over both critics of the mean loss of Q(s, a), with the targets held constant (equation 5).

    Args:
        q_values: of both critics, ``[2, B, M]`` float32.
        columns: of the actions that were taken, ``[B, C]``.
        targets: ``[B]`` float32.
        critic_loss: of values and their targets, one of ``CRITIC_LOSSES``.

    Returns:
        the loss, Q(s, a) ``[2, B]`` of both critics, and the gradient with respect to ``q_values``, ``[2, B, M]``.
    """
    rows = np.arange(len(targets))[:, np.newaxis]
    values = q_values[:, rows, columns].sum(axis=2)
    losses, derivatives = critic_loss(values, targets)
    grad_q = np.zeros_like(q_values)
    grad_q[:, rows, columns] = derivatives[..., np.newaxis] / np.float32(len(targets))
    return float(losses.mean(axis=1).sum()), values, grad_q


def actor_loss(log_probs: np.ndarray, q_values: np.ndarray, alpha: float, choices: Choices) -> tuple[float, np.ndarray]:
    """Mean of ``sum_a pi(a|s) * (alpha * log pi(a|s) - min Q(s, a))`` (equation 12).

    Args:
        log_probs: of the policy, ``[B, M]`` float32, in nats.
        q_values: of both critics, ``[2, B, M]`` float32; held constant.
        alpha: temperature.
        choices: of the action space.

    Returns:
        the loss, and its gradient with respect to the logits, ``[B, M]``.
    """
    probabilities = np.exp(log_probs)
    costs = np.float32(alpha) * log_probs - q_values.min(axis=0)
    expected = choices.sums(probabilities * costs)
    # alpha * sum_a pi(a) * dlog pi(a) is 0, which leaves the derivatives of the probabilities.
    grad_logits = probabilities * (costs - choices.spread(expected)) / np.float32(len(log_probs))
    return float(expected.sum(axis=1).mean()), grad_logits
