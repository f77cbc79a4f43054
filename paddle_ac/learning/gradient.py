"""From a rollout to a gradient: the one way in which every on-policy member of the family learns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paddle_ac.config import OnPolicyConfig, ReinforceConfig, RolloutConfig
from paddle_ac.errors import NonFiniteError
from paddle_ac.learning.returns import generalized_advantages, n_step_returns
from paddle_ac.learning.rewards import scale_and_clip
from paddle_ac.learning.rollout import Rollout
from paddle_ac.nn.layout import ParameterLayout
from paddle_ac.nn.numpy_network import LossParts, NumpyActorCritic
from paddle_ac.nn.optimizers import clip_by_norm
from paddle_ac.nn.unroll import Unroll


@dataclass(frozen=True)
class RolloutGradient:
    """What a rollout teaches.

    Attributes:
        gradient: ``[P]`` float32, of a norm of at most ``max_grad_norm``; overwritten by the next rollout.
        norm: that it had before.
        loss: the parts of the loss, and the critic's values ``[B]``.
        returns: ``[B]`` float32, what the values should have been.
    """

    gradient: np.ndarray
    norm: float
    loss: LossParts
    returns: np.ndarray


class GradientOfRollout:
    """Differentiates the actor-critic loss over the B transitions of a rollout that count.

    Args:
        config: discount factor, coefficients and norm.
        network: the policy and critic that played.
        layout: of its P parameters.
    """

    def __init__(self, config: OnPolicyConfig, network: NumpyActorCritic, layout: ParameterLayout):
        self.config = config
        self.network = network
        self.has_baseline = not isinstance(config, ReinforceConfig) or config.baseline
        self.loss_config = config if self.has_baseline else config.model_copy(update={"value_coef": 0.0})
        self._gradient = np.zeros(layout.size, np.float32)
        self._views = layout.views(self._gradient)

    def __call__(self, rollout: Rollout) -> RolloutGradient:
        """The gradient of a rollout.

        Raises:
            NonFiniteError: the loss or its gradient is NaN or infinite.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # told below, as an error
            returns, advantages = self._estimate(rollout)
            loss = self.network.loss_gradient(
                rollout.transitions(rollout.observations),
                rollout.transitions(rollout.actions),
                returns,
                advantages,
                self.loss_config,
                self._views,
                rollout.unroll,
            )
            gradient, norm = clip_by_norm(self._gradient, self.config.max_grad_norm)
        if not np.isfinite(loss.total) or not np.isfinite(norm):
            raise NonFiniteError(f"the loss or its gradient is not finite: loss {loss.total}, gradient norm {norm}")
        return RolloutGradient(gradient, norm, loss, returns)

    def _estimate(self, rollout: Rollout) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns ``[B]`` for the critic, and advantages ``[B]`` where they are not returns less values."""
        config = self.config
        rewards = scale_and_clip(rollout.rewards, config)
        truncation_values, last_values = rollout.bootstrap_values(self.network.values if self.has_baseline else _nought)
        known = rewards, rollout.terminated, rollout.truncated, truncation_values
        if not isinstance(config, RolloutConfig) or config.gae_lambda == 1:
            returns = rollout.transitions(n_step_returns(*known, last_values, config.gamma))
            return returns, None if self.has_baseline else returns
        values = self.network.values(rollout.transitions(rollout.observations), rollout.unroll).reshape(rewards.shape)
        advantages = generalized_advantages(*known, values, last_values, config.gamma, config.gae_lambda)
        return rollout.transitions(advantages + values), rollout.transitions(advantages)


def _nought(observations: np.ndarray, unroll: Unroll) -> np.ndarray:
    return np.zeros(len(observations), np.float32)
