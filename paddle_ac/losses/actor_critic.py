"""The advantage actor-critic loss of REINFORCE, TD and Q actor-critic, A2C, PAAC, A3C and GA3C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from paddle_ac.losses.policy_gradient import policy_gradient
from paddle_ac.losses.values import CRITIC_LOSSES
from paddle_ac.nn.actions import ActionDistribution, expected_q


@dataclass(frozen=True)
class Targets:
    """Targets of the actor and the critic for a batch of transitions.

    Attributes:
        actions: ``[B, *action_space.shape]``, that were taken.
        returns: ``[B]`` float32, for the critic.
        advantages: ``[B]`` float32, for the actor; ``None`` for returns less values.
    """

    actions: np.ndarray
    returns: np.ndarray
    advantages: np.ndarray | None = None

    def __getitem__(self, rows: Any) -> Targets:
        advantages = None if self.advantages is None else self.advantages[rows]
        return Targets(self.actions[rows], self.returns[rows], advantages)


class Loss(NamedTuple):
    """The loss of B transitions and its gradient with respect to the heads of a network.

    Attributes:
        terms: the actor's loss, the critic's loss, the entropy and what else a loss reports, each summed over the B
            transitions, float64.
        values: ``[B]`` float32, V(s) of the critic.
        grad_outputs: ``[B, num_outputs]``, gradient with respect to the outputs of the actor.
        grad_critic_outputs: ``[B]``, or ``[B, A]`` for a critic of Q(s, .), with respect to those of the critic.
    """

    terms: np.ndarray
    values: np.ndarray
    grad_outputs: np.ndarray
    grad_critic_outputs: np.ndarray


AnyTargets_contra = TypeVar("AnyTargets_contra", contravariant=True)


class HeadLoss(Protocol[AnyTargets_contra]):
    """A loss of the heads of a network that is a policy and a critic."""

    def __call__(
        self, outputs: np.ndarray, critic_outputs: np.ndarray, targets: AnyTargets_contra, batch_size: int
    ) -> Loss:
        """As ``ActorCriticLoss.__call__``."""
        ...


class WeightedLoss:
    """Base of losses that add those of actor and critic and subtract an entropy bonus.

    Args:
        distribution: of the actions.
        critic_loss: ``"squared"`` or ``"smooth_l1"``.
        value_coef: weight of the critic's loss.
        entropy_coef: weight of the entropy bonus.
    """

    def __init__(self, distribution: ActionDistribution, critic_loss: str, value_coef: float, entropy_coef: float):
        self.distribution = distribution
        self.critic_loss = CRITIC_LOSSES[critic_loss]
        self.value_coef = value_coef
        self.entropy_coef = entropy_coef

    def total(self, terms: np.ndarray) -> float:
        """Loss of the means of the terms, of which the first three are those of actor, critic and entropy."""
        actor, critic, entropy = terms[:3].tolist()
        return actor + self.value_coef * critic - self.entropy_coef * entropy


class ActorCriticLoss(WeightedLoss):
    """Mean over a batch of ``-log pi(a|s) * A + value_coef * critic - entropy_coef * entropy``.

    It is algorithm S3 of Mnih et al. 2016 (arXiv:1602.01783). Advantages are held constant. A critic of Q(s, .) learns
    the value of the actions that were taken, and the advantage is Q(s, a) - V(s) (Sutton et al. 2000).

    Args:
        distribution: of the actions.
        critic_loss: ``"squared"`` or ``"smooth_l1"``.
        value_coef: weight of the critic's loss.
        entropy_coef: weight of the entropy bonus.
        q_critic: the critic returns Q(s, .) of Discrete actions, rather than V(s).
        log_epsilon: as in ``policy_gradient``.
    """

    def __init__(
        self,
        distribution: ActionDistribution,
        critic_loss: str,
        value_coef: float,
        entropy_coef: float,
        q_critic: bool = False,
        log_epsilon: float = 0.0,
    ):
        super().__init__(distribution, critic_loss, value_coef, entropy_coef)
        self.q_critic = q_critic
        self.log_epsilon = log_epsilon

    def __call__(self, outputs: np.ndarray, critic_outputs: np.ndarray, targets: Targets, batch_size: int) -> Loss:
        """Compute the part that some transitions have in the loss of a batch.

        Args:
            outputs: ``[B, num_outputs]`` float32, of the actor.
            critic_outputs: ``[B]`` float32, of the critic; ``[B, A]`` for a critic of Q(s, .).
            targets: of these B transitions.
            batch_size: transitions of the batch, over all of which the mean is taken.
        """
        values, advantages = critic_outputs, targets.advantages
        estimates = critic_outputs  # of what the returns are the targets for
        if self.q_critic:
            rows = np.arange(len(critic_outputs))
            values, estimates = expected_q(outputs, critic_outputs), critic_outputs[rows, targets.actions]
            advantages = estimates - values
        elif advantages is None:
            advantages = targets.returns - values
        policy = self.distribution(outputs)
        actor, grad_log_probs = policy_gradient(policy.log_prob(targets.actions), advantages, self.log_epsilon)
        grad_outputs = policy.backward(targets.actions, grad_log_probs, -np.float32(self.entropy_coef))
        grad_outputs /= np.float32(batch_size)
        critic, grad_critic_outputs = self.critic_loss(estimates, targets.returns)
        grad_critic_outputs *= np.float32(self.value_coef / batch_size)
        if self.q_critic:
            grad_critic_outputs, grad_estimates = np.zeros_like(critic_outputs), grad_critic_outputs
            grad_critic_outputs[rows, targets.actions] = grad_estimates
        terms = np.array([actor, float(critic.sum()), float(policy.entropy().sum())])
        return Loss(terms, values, grad_outputs, grad_critic_outputs)
