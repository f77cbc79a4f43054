"""Q-learning: heads that give Q(s, .), bootstrap values and targets, and the loss of temporal-difference errors.

A mask of actions is part of Q values: those of actions that are not allowed are ``MASKED_LOGIT``, as a network with
masks outputs them. No maximum, soft value or mean of advantages includes them.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from paddle_ac.action_masks import MASKED_LOGIT
from paddle_ac.losses.actor_critic import Loss, Targets
from paddle_ac.losses.values import CRITIC_LOSSES, CriticLoss


class QHead(Protocol):
    """Q(s, .) from the heads of a network, and the gradient back."""

    def q_values(self, outputs: np.ndarray, critic_outputs: np.ndarray) -> np.ndarray:
        """Compute Q(s, .).

        Args:
            outputs: ``[B, A]`` float32, of the actor's head; ``MASKED_LOGIT`` for actions that are not allowed.
            critic_outputs: ``[B]`` float32, of the critic's head; ``[B, 0]`` of a network without one.

        Returns:
            ``[B, A]`` float32; ``MASKED_LOGIT`` for actions that are not allowed.
        """
        ...

    def backward(self, outputs: np.ndarray, grad_q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradients with respect to ``outputs`` and ``critic_outputs``, in their shapes.

        Args:
            outputs: as for ``q_values``.
            grad_q: ``[B, A]`` float32, gradient with respect to Q(s, .); 0 for actions that are not allowed.
        """
        ...


class PlainHead:
    """The actor's outputs are Q(s, .) (Mnih et al. 2015, doi:10.1038/nature14236); there is no critic's head."""

    def q_values(self, outputs: np.ndarray, critic_outputs: np.ndarray) -> np.ndarray:
        """As ``QHead.q_values``."""
        return outputs

    def backward(self, outputs: np.ndarray, grad_q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``QHead.backward``."""
        return grad_q, np.empty((len(grad_q), 0), np.float32)


class DuelingHead:
    """``Q(s, a) = V(s) + A(s, a) - mean_a' A(s, a')`` (Wang et al. 2016, arXiv:1511.06581, equation 9).

    The actor's outputs are the advantages A, the critic's are V. The mean is over the actions that are allowed.
    """

    def q_values(self, outputs: np.ndarray, critic_outputs: np.ndarray) -> np.ndarray:
        """As ``QHead.q_values``."""
        allowed = outputs != MASKED_LOGIT
        advantages = np.where(allowed, outputs, np.float32(0))
        offsets = critic_outputs - advantages.sum(axis=1) / allowed.sum(axis=1, dtype=np.float32)
        return np.where(allowed, outputs + offsets[:, np.newaxis], MASKED_LOGIT)

    def backward(self, outputs: np.ndarray, grad_q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``QHead.backward``."""
        allowed = outputs != MASKED_LOGIT
        grad_values = grad_q.sum(axis=1)
        shares = grad_values / allowed.sum(axis=1, dtype=np.float32)
        return grad_q - allowed * shares[:, np.newaxis], grad_values


def make_head(dueling: bool) -> QHead:
    """The head of a plain or a dueling network."""
    return DuelingHead() if dueling else PlainHead()


def max_values(q_values: np.ndarray) -> np.ndarray:
    """``max_a Q(s, a)`` of ``[B, A]``: ``[B]`` (Watkins and Dayan 1992)."""
    return q_values[np.arange(len(q_values)), q_values.argmax(axis=1)]  # faster than max over a short last axis


def double_values(q_values: np.ndarray, target_q_values: np.ndarray) -> np.ndarray:
    """``Q'(s, argmax_a Q(s, a))``, ``[B]`` (van Hasselt et al. 2016, arXiv:1509.06461, equation 4).

    Args:
        q_values: Q of the network that learns, ``[B, A]`` float32.
        target_q_values: Q' of the target network for the same states, ``[B, A]`` float32.
    """
    return target_q_values[np.arange(len(q_values)), q_values.argmax(axis=1)]


def action_values(q_values: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """``Q(s, a)`` of given actions ``[B]``: ``[B]``. For the action that is taken next, this is Sarsa's value.

    Rummery and Niranjan 1994; Mnih et al. 2016, arXiv:1602.01783, section 4.
    """
    return q_values[np.arange(len(q_values)), actions]


def soft_values(q_values: np.ndarray, alpha: float) -> np.ndarray:
    """``alpha * log sum_a exp(Q(s, a) / alpha)``, ``[B]`` (Haarnoja et al. 2017, arXiv:1702.08165, equation 5).

    Args:
        q_values: ``[B, A]`` float32.
        alpha: temperature, greater than 0.
    """
    largest = max_values(q_values)
    exponentials = np.exp((q_values - largest[:, np.newaxis]) / np.float32(alpha))
    return largest + np.float32(alpha) * np.log(exponentials.sum(axis=1))


def bellman_targets(rewards: np.ndarray, discounts: np.ndarray, next_values: np.ndarray) -> np.ndarray:
    """``R + discount * V(s')``, ``[B]`` float32 (Mnih et al. 2015; n steps: Mnih et al. 2016, section 4).

    Args:
        rewards: R, ``[B]`` float32: the reward, or the discounted sum of n rewards.
        discounts: ``[B]`` float32: gamma to the power of n, or 0 where the episode terminated within the n steps.
        next_values: V, ``[B]`` float32, of the state after the n steps.
    """
    return rewards + discounts * next_values


class TDLoss(NamedTuple):
    """The loss of a batch.

    Attributes:
        loss: the mean.
        errors: targets less Q(s, a), ``[B]`` float32, in the unit of returns.
        grad_q: gradient with respect to Q(s, .), ``[B, A]`` float32.
    """

    loss: float
    errors: np.ndarray
    grad_q: np.ndarray


def td_loss(
    q_values: np.ndarray,
    actions: np.ndarray,
    targets: np.ndarray,
    critic_loss: CriticLoss,
    weights: np.ndarray | None = None,
) -> TDLoss:
    """Compute ``mean(w * loss(Q(s, a), target))`` with the targets held constant.

    Args:
        q_values: ``[B, A]`` float32.
        actions: ``[B]``, that were taken.
        targets: ``[B]`` float32.
        critic_loss: of values and their targets, one of ``CRITIC_LOSSES``; ``smooth_l1`` clips the error to [-1, 1]
            (Mnih et al. 2015, methods).
        weights: w, ``[B]`` float32, such as importance weights (Schaul et al. 2016, arXiv:1511.05952, section 3.4);
            1 by default.
    """
    rows = np.arange(len(q_values))
    values = q_values[rows, actions]
    losses, derivatives = critic_loss(values, targets)
    if weights is not None:
        losses, derivatives = weights * losses, weights * derivatives
    grad_q = np.zeros_like(q_values)
    grad_q[rows, actions] = derivatives / np.float32(len(q_values))
    return TDLoss(float(np.add.reduce(losses)) / len(losses), targets - values, grad_q)


class QLoss:
    """``td_loss`` as a loss of the heads of a network (a ``HeadLoss``), whose only term is the loss.

    Args:
        head: from the heads to Q(s, .).
        critic_loss: ``"squared"`` or ``"smooth_l1"``.
    """

    def __init__(self, head: QHead, critic_loss: str):
        self.head = head
        self.critic_loss = CRITIC_LOSSES[critic_loss]

    def __call__(self, outputs: np.ndarray, critic_outputs: np.ndarray, targets: Targets, batch_size: int) -> Loss:
        """Compute the part that some transitions have in the loss of a batch; see ``ActorCriticLoss.__call__``.

        The values of the result are Q(s, a) of the actions that were taken, whose targets are the returns.
        """
        q_values = self.head.q_values(outputs, critic_outputs)
        loss, errors, grad_q = td_loss(q_values, targets.actions, targets.returns, self.critic_loss)
        grad_q *= np.float32(len(outputs) / batch_size)
        terms = np.array([loss * len(outputs)])
        return Loss(terms, targets.returns - errors, *self.head.backward(outputs, grad_q))
