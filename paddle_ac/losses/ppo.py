"""The loss of PPO (Schulman et al. 2017, arXiv:1707.06347)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from paddle_ac.losses.actor_critic import Loss, WeightedLoss
from paddle_ac.losses.values import CriticLoss
from paddle_ac.nn.actions import ActionDistribution


@dataclass(frozen=True)
class PPOTargets:
    """Targets of the actor and the critic for a batch of transitions.

    Attributes:
        actions: ``[B, *action_space.shape]``, that were taken.
        returns: ``[B]`` float32, for the critic.
        advantages: ``[B]`` float32, for the actor.
        old_log_probs: ``[B]`` float32, of the actions under the policy that took them.
        old_values: ``[B]`` float32, of the critic at that time.
    """

    actions: np.ndarray
    returns: np.ndarray
    advantages: np.ndarray
    old_log_probs: np.ndarray
    old_values: np.ndarray

    def __getitem__(self, rows: Any) -> PPOTargets:
        return PPOTargets(
            self.actions[rows],
            self.returns[rows],
            self.advantages[rows],
            self.old_log_probs[rows],
            self.old_values[rows],
        )


class PPOLoss(WeightedLoss):
    """Mean over a batch of ``-min(r A, clip(r, 1 - c, 1 + c) A) + value_coef * critic - entropy_coef * entropy``.

    ``r`` is the ratio of the probabilities of an action under the policy and under the one that took it (equations 7
    and 9).

    Args:
        distribution: of the actions.
        critic_loss: ``"squared"`` or ``"smooth_l1"``.
        value_coef: weight of the critic's loss.
        entropy_coef: weight of the entropy bonus.
        clip_range: c.
        clip_range_vf: how far from its old estimate a value may go before its loss is flat, as in OpenAI baselines'
            ppo2; ``None`` for no limit.
    """

    def __init__(
        self,
        distribution: ActionDistribution,
        critic_loss: str,
        value_coef: float,
        entropy_coef: float,
        clip_range: float,
        clip_range_vf: float | None = None,
    ):
        super().__init__(distribution, critic_loss, value_coef, entropy_coef)
        self.clip_range = clip_range
        self.clip_range_vf = clip_range_vf

    def __call__(self, outputs: np.ndarray, critic_outputs: np.ndarray, targets: PPOTargets, batch_size: int) -> Loss:
        """Compute the part that some transitions have in the loss of a batch.

        Args:
            outputs: ``[B, num_outputs]`` float32, of the actor.
            critic_outputs: ``[B]`` float32, values.
            targets: of these B transitions.
            batch_size: transitions of the batch, over all of which the mean is taken.

        Returns:
            the loss, whose terms are those of the actor and the critic, the entropy, an estimate of the KL divergence
            from the old policy (``r - 1 - log r``, in nats), and the fraction of ratios that were clipped.
        """
        policy = self.distribution(outputs)
        log_ratios = policy.log_prob(targets.actions) - targets.old_log_probs
        actor, grad_log_probs, ratios = clipped_surrogate(log_ratios, targets.advantages, self.clip_range)
        grad_outputs = policy.backward(targets.actions, grad_log_probs, -np.float32(self.entropy_coef))
        grad_outputs /= np.float32(batch_size)
        if self.clip_range_vf is None:
            critic, grad_values = self.critic_loss(critic_outputs, targets.returns)
        else:
            critic, grad_values = clipped_value_loss(
                critic_outputs, targets.returns, targets.old_values, self.clip_range_vf, self.critic_loss
            )
        grad_values *= np.float32(self.value_coef / batch_size)
        changes = ratios - 1
        sums = [part.sum() for part in (actor, critic, policy.entropy(), changes - log_ratios)]
        terms = np.array([*sums, np.count_nonzero(np.abs(changes) > self.clip_range)], np.float64)
        return Loss(terms, critic_outputs, grad_outputs, grad_values)


def clipped_surrogate(
    log_ratios: np.ndarray, advantages: np.ndarray, clip_range: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Losses ``-min(r A, clip(r, 1 - c, 1 + c) A)`` (equation 7).

    Args:
        log_ratios: log r, ``[B]`` float32.
        advantages: A, ``[B]`` float32.
        clip_range: c.

    Returns:
        the losses ``[B]``, their derivatives with respect to log r ``[B]``, and the ratios ``[B]``.
    """
    ratios = np.exp(log_ratios)
    unclipped = ratios * advantages
    clipped = np.clip(ratios, 1 - clip_range, 1 + clip_range) * advantages
    return -np.minimum(unclipped, clipped), -unclipped * (unclipped <= clipped), ratios


def clipped_value_loss(
    values: np.ndarray, returns: np.ndarray, old_values: np.ndarray, clip_range: float, critic_loss: CriticLoss
) -> tuple[np.ndarray, np.ndarray]:
    """The larger of the losses of a value and of the value clipped around its old estimate (OpenAI baselines, ppo2).

    Args:
        values: ``[B]`` float32.
        returns: ``[B]`` float32.
        old_values: ``[B]`` float32.
        clip_range: largest distance from ``old_values``.
        critic_loss: of values and their targets.

    Returns:
        the losses ``[B]``, and their derivatives with respect to the values ``[B]``.
    """
    changes = values - old_values
    unclipped, grad_unclipped = critic_loss(values, returns)
    clipped, grad_clipped = critic_loss(old_values + np.clip(changes, -clip_range, clip_range), returns)
    grad_clipped *= np.abs(changes) < clip_range
    is_clipped = clipped > unclipped
    return np.where(is_clipped, clipped, unclipped), np.where(is_clipped, grad_clipped, grad_unclipped)
