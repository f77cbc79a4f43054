"""From a rollout to a gradient: the one way in which every on-policy member of the family learns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paddle_ac.config import OnPolicyConfig
from paddle_ac.errors import NonFiniteError
from paddle_ac.learning.returns import generalized_advantages, n_step_returns
from paddle_ac.learning.rollout import Rollout
from paddle_ac.nn.layout import ParameterLayout
from paddle_ac.nn.numpy_network import LossParts, NumpyActorCritic
from paddle_ac.nn.optimizers import clip_by_norm


@dataclass(frozen=True)
class RolloutGradient:
    """What a rollout teaches.

    Attributes:
        gradient: ``[P]`` float32, of a norm of at most ``max_grad_norm``; overwritten by the next rollout.
        norm: that it had before.
        loss: the parts of the loss, and the critic's values ``[T * N]``.
        returns: ``[T * N]`` float32, what the values should have been.
    """

    gradient: np.ndarray
    norm: float
    loss: LossParts
    returns: np.ndarray


class GradientOfRollout:
    """Differentiates the actor-critic loss over the ``T * N`` transitions of a rollout.

    Args:
        config: discount factor, coefficients and norm.
        network: the policy and critic that played.
        layout: of its P parameters.
    """

    def __init__(self, config: OnPolicyConfig, network: NumpyActorCritic, layout: ParameterLayout):
        self.config = config
        self.network = network
        self._gradient = np.zeros(layout.size, np.float32)
        self._views = layout.views(self._gradient)

    def __call__(self, rollout: Rollout) -> RolloutGradient:
        """The gradient of a rollout.

        Raises:
            NonFiniteError: the loss or its gradient is NaN or infinite.
        """
        config = self.config
        with np.errstate(over="ignore", invalid="ignore"):  # told below, as an error
            batch_size = rollout.rewards.size
            observations = rollout.observations.reshape(batch_size, *rollout.observations.shape[2:])
            returns, advantages = self._estimate(rollout, observations)
            loss = self.network.loss_gradient(
                observations,
                rollout.actions.reshape(batch_size, *rollout.actions.shape[2:]),
                returns,
                advantages,
                config.value_coef,
                config.entropy_coef,
                self._views,
            )
            gradient, norm = clip_by_norm(self._gradient, config.max_grad_norm)
        if not np.isfinite(loss.total) or not np.isfinite(norm):
            raise NonFiniteError(f"the loss or its gradient is not finite: loss {loss.total}, gradient norm {norm}")
        return RolloutGradient(gradient, norm, loss, returns)

    def _estimate(self, rollout: Rollout, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns ``[T * N]`` for the critic, and advantages ``[T * N]`` where they are not returns less values."""
        config = self.config
        truncation_values, last_values = rollout.bootstrap_values(self.network.values)
        rewards = rollout.rewards * np.float32(config.reward_scale)
        if config.reward_clip is not None:
            rewards = np.clip(rewards, -config.reward_clip, config.reward_clip)
        known = rewards, rollout.terminated, rollout.truncated, truncation_values
        if config.gae_lambda == 1:
            return n_step_returns(*known, last_values, config.gamma).reshape(-1), None
        values = self.network.values(observations).reshape(rollout.rewards.shape)
        advantages = generalized_advantages(*known, values, last_values, config.gamma, config.gae_lambda)
        return (advantages + values).reshape(-1), advantages.reshape(-1)
