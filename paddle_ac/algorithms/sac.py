"""SAC: soft actor-critic, off-policy, for continuous actions."""

from __future__ import annotations

import math

import numpy as np

from multiprocessing_env import VecEnv
from paddle_ac.algorithms.algorithm import Panel
from paddle_ac.algorithms.continuous import ContinuousActorCritic
from paddle_ac.algorithms.state import Part, arrays_part
from paddle_ac.config.sac import SACConfig
from paddle_ac.learning.replay import Batch
from paddle_ac.losses.sac import actor_loss, minimum, soft_bellman_targets, temperature_loss
from paddle_ac.nn.continuous_networks import SquashedGaussianActor
from paddle_ac.nn.numpy_continuous import DrawnActions, NumpySquashedGaussianActor
from paddle_ac.nn.optimizers import Adam, Optimizer


class SAC(ContinuousActorCritic):
    """Soft actor-critic with twin critics and a learned temperature (Haarnoja et al. 2018, arXiv:1812.05905).

    A gradient step is one on each of the losses of critics, actor and temperature.

    Args:
        config: hyper-parameters.
        envs: N environments, closed by ``close``.

    Attributes:
        actor: the policy in NumPy, on the same memory.
        log_alpha: ``[1]`` float32, logarithm of the temperature.

    Raises:
        ConfigError: as ``ContinuousActorCritic``.
    """

    metric_tags: tuple[str, ...] = ("losses/alpha", "diagnostics/alpha", "diagnostics/q_value")
    panels: tuple[Panel, ...] = (
        Panel("temperature alpha", "", {"diagnostics/alpha": ""}),
        Panel("Q values of a batch", "", {"diagnostics/q_value": ""}),
    )

    policy: SquashedGaussianActor
    policy_class = SquashedGaussianActor

    def __init__(self, config: SACConfig, envs: VecEnv):
        super().__init__(config, envs, num_critics=2)
        self.actor = NumpySquashedGaussianActor(
            self.parameters.views, self.inputs, self.encode, self.scale, config.activation, self.threads
        )
        self.log_alpha = np.full(1, math.log(config.init_alpha), np.float32)
        self.target_entropy = -float(self.scale.num_actions) if config.target_entropy is None else config.target_entropy
        self.alpha_optimizer = Adam(self.log_alpha)

    def inspect(self, observations: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
        """Return the policy's Gaussians and the critics' values for a batch; see ``Algorithm.inspect``.

        Means and deviations are those before the tanh; values are the smaller of both critics for the mean action.
        """
        mean, log_std = self.policy(observations)
        values = self.critic_network(observations, mean.tanh()).min(axis=0)
        return {
            "policy/means": mean.numpy(),
            "policy/deviations": log_std.exp().numpy(),
            "critic/values": values.numpy(),
        }

    def _act_by_policy(self, observations: np.ndarray, state: np.ndarray) -> np.ndarray:
        return self.actor.act(observations, self._next_noise())

    def gradient_step(self, batch: Batch) -> dict[str, float]:
        """Take one step of the critics, the actor, the temperature and the target networks, all with the same alpha."""
        config = self.config
        log_alpha = float(self.log_alpha[0])
        alpha = math.exp(log_alpha)
        drawn = self.actor.draw(batch.observations, self.generator)
        entropy = -float(drawn.log_probabilities.mean())

        critic_loss, q_value = self._critic_step(batch, self.targets(batch, alpha))
        loss = self._actor_step(batch.observations, drawn, alpha)
        alpha_loss, grad_log_alpha = temperature_loss(log_alpha, entropy, self.target_entropy)
        if config.auto_alpha:
            self.alpha_optimizer.step(np.full(1, grad_log_alpha, np.float32), config.alpha_learning_rate)
        self.critic_target.follow(config.tau)
        return {
            "losses/actor": loss,
            "losses/critic": critic_loss,
            "losses/entropy": entropy,
            "losses/alpha": alpha_loss,
            "diagnostics/alpha": alpha,
            "diagnostics/q_value": q_value,
        }

    def _actor_step(self, observations: np.ndarray, drawn: DrawnActions, alpha: float) -> float:
        """Take one step of the actor for actions that it drew; returns the loss."""
        values, tape = self.critic.forward(observations, drawn.actions)
        smaller, grad_values = minimum(values)
        loss, grad_log_prob, grad_smaller = actor_loss(drawn.log_probabilities, smaller, alpha)
        self._check_finite(loss)
        grad_values *= grad_smaller
        grad_actions = self.critic.grad_actions(tape, grad_values)
        learner = self.learners["actor"]
        self.actor.backward(drawn, grad_actions, grad_log_prob, learner.gradient_views)
        learner.step(learner.gradient, self.config.actor_learning_rate)
        return loss

    def targets(self, batch: Batch, alpha: float) -> np.ndarray:
        """Compute ``soft_bellman_targets`` ``[B]`` float32, with next actions drawn from the present policy."""
        actions, log_probabilities = self.actor.sample(batch.next_observations, self.generator)
        values = self.target.values(batch.next_observations, actions)
        return soft_bellman_targets(batch.rewards, batch.discounts, values, log_probabilities, alpha)

    def _optimizers(self) -> dict[str, Optimizer]:
        return {**super()._optimizers(), "alpha": self.alpha_optimizer}

    def saved_parts(self) -> dict[str, Part]:
        """See ``Agent.saved_parts``."""
        return {**super().saved_parts(), "log_alpha": arrays_part(self.log_alpha)}

    def learned_parts(self) -> dict[str, Part]:
        """See ``Agent.learned_parts``: also the temperature, if it is learned."""
        temperature = {"log_alpha": arrays_part(self.log_alpha)} if self.config.auto_alpha else {}
        return {**super().learned_parts(), **temperature}
