"""The Q-learning update of PGQL (O'Donoghue et al. 2016, arXiv:1611.01626)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from paddle_ac.losses.values import CriticLoss
from paddle_ac.nn.actions import Policy


class PGQLLoss(NamedTuple):
    """The loss of a batch and its gradient.

    Attributes:
        loss: mean of the critic's loss of Q(s, a).
        q_values: Q(s, a), ``[B]`` float32.
        grad_outputs: ``[B, num_outputs]``, gradient with respect to the outputs of the actor.
        grad_values: ``[B]``, with respect to V(s).
    """

    loss: float
    q_values: np.ndarray
    grad_outputs: np.ndarray
    grad_values: np.ndarray


def estimated_q(policy: Policy, values: np.ndarray, actions: np.ndarray, alpha: float) -> np.ndarray:
    """``Q(s, a) = alpha * (log pi(a|s) + H(s)) + V(s)``, ``[B]`` float32 (equation 12).

    It is the Q function for which the policy is a fixed point of the policy gradient with entropy bonus. Its mean over
    the policy is V(s), and its largest value is that of the most probable action.

    Args:
        policy: of the states.
        values: V(s) of the critic, ``[B]`` float32.
        actions: ``[B, *action_space.shape]``.
        alpha: weight of the entropy bonus.
    """
    return np.float32(alpha) * (policy.log_prob(actions) + policy.entropy()) + values


def pgql_loss(
    policy: Policy,
    values: np.ndarray,
    actions: np.ndarray,
    targets: np.ndarray,
    critic_loss: CriticLoss,
    alpha: float,
    value_coef: float,
) -> PGQLLoss:
    """Step of ``estimated_q`` towards Q-learning targets (equation 13).

    With the error ``delta = target - Q(s, a)``, actor and critic move along the means of ``delta * grad log pi(a|s)``
    and ``delta * grad V(s)``. Both have the weights that they have in A2C's update (``ActorCriticLoss``), whose error
    is ``return - V(s)``. The update is not the gradient of a loss: that of Q(s, a) would have the factor alpha at
    ``grad log pi`` and a term for the entropy, both of which the paper leaves out.

    Args:
        policy, values, actions, alpha: as for ``estimated_q``.
        targets: ``[B]`` float32.
        critic_loss: of values and their targets, one of ``CRITIC_LOSSES``.
        value_coef: weight of the critic's update.
    """
    q_values = estimated_q(policy, values, actions, alpha)
    losses, derivatives = critic_loss(q_values, targets)
    batch_size = np.float32(len(targets))
    return PGQLLoss(
        float(losses.mean()),
        q_values,
        policy.backward(actions, (q_values - targets) / batch_size, np.float32(0)),
        np.float32(value_coef) * derivatives / batch_size,
    )
