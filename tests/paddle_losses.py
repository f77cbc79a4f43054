"""The actor-critic loss for Paddle's automatic differentiation: what ``paddle_ac.losses`` is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import paddle
import paddle.nn.functional as F

from tests.paddle_distributions import Distribution


@dataclass(frozen=True)
class ActorCriticLoss:
    """Scalars: ``total = actor + value_coef * critic - entropy_coef * entropy``."""

    total: paddle.Tensor
    actor: paddle.Tensor
    critic: paddle.Tensor
    entropy: paddle.Tensor


def actor_critic_loss(
    policy: Distribution,
    values: paddle.Tensor,
    actions: paddle.Tensor,
    returns: paddle.Tensor,
    value_coef: float,
    entropy_coef: float,
    advantages: paddle.Tensor | None = None,
    critic_loss: str = "squared",
) -> ActorCriticLoss:
    """The advantage actor-critic loss (Mnih et al. 2016, algorithm S3), averaged over the batch.

    The actor's part is the mean of ``-log pi(a|s) * (R - V(s))`` with the advantage held constant, the critic's is the
    mean of ``(R - V(s))^2``, or of smooth L1 (Girshick 2015, equation 3).

    Args:
        policy: the distribution of each row's actions.
        values: ``[B]`` float32; Q(s, a) of a critic of Q.
        actions: ``[B, *action_space.shape]``.
        returns: ``[B]`` float32.
        value_coef: weight of the critic's part.
        entropy_coef: weight of the entropy bonus.
        advantages: ``[B]`` float32; ``R - V(s)`` where none are given.
        critic_loss: ``"squared"`` or ``"smooth_l1"``.
    """
    errors = returns - values
    advantages = errors.detach() if advantages is None else advantages
    actor = -(policy.log_prob(actions) * advantages).mean()
    critic = errors.square().mean() if critic_loss == "squared" else F.smooth_l1_loss(values, returns)
    entropy = policy.entropy().mean()
    return ActorCriticLoss(actor + value_coef * critic - entropy_coef * entropy, actor, critic, entropy)
