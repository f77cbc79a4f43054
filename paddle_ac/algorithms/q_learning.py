"""The base of Q-learning from a replay buffer, with a target network."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from multiprocessing_env import VecEnv
from paddle_ac.action_masks import MASK, mask_outputs
from paddle_ac.algorithms.algorithm import Panel
from paddle_ac.algorithms.learner import Learner, optimizer_part, target_part, update_target
from paddle_ac.algorithms.off_policy import OffPolicy
from paddle_ac.algorithms.policy import format_part, inspect_q_values, log_backend, make_q_network, network_layers
from paddle_ac.algorithms.state import Part
from paddle_ac.config import QLearningConfig
from paddle_ac.errors import NonFiniteError
from paddle_ac.learning.exploration import epsilon_greedy
from paddle_ac.learning.replay import Batch
from paddle_ac.learning.schedules import scheduled_learning_rate
from paddle_ac.losses.q_learning import bellman_targets, make_head, td_loss
from paddle_ac.losses.values import CRITIC_LOSSES
from paddle_ac.nn.actions import ActionDistribution
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.network import Network
from paddle_ac.nn.optimizers import clip_by_norm, make_optimizer
from paddle_ac.nn.unroll import Unroll


class QLearning(OffPolicy):
    """Learns Q values towards targets that a target network, an older copy of the network, bootstraps.

    A subclass defines the value of the next observation (``next_values``), the actions that explore
    (``_act_by_policy``) and their distribution (``make_distribution``).

    Args:
        config: hyper-parameters.
        envs: N environments, closed by ``close``.

    Attributes:
        policy: the network that learns; ``policy.act(observations)`` chooses the actions with the largest Q values.
        target: the target network; it encodes observations as ``policy`` does.
        head: from the heads of both networks to Q values.
        learner: parameters, gradient and optimiser of ``policy``.

    Raises:
        ConfigError: an action space that is not Discrete from 0, or too little memory.
    """

    metric_tags: tuple[str, ...] = ("diagnostics/q_value",)
    panels: tuple[Panel, ...] = (Panel("Q values of a batch", "", {"diagnostics/q_value": ""}),)

    policy: Network

    def __init__(self, config: QLearningConfig, envs: VecEnv):
        super().__init__(config, envs)
        log_backend(config)
        self.head = make_head(config.dueling)
        self.learner = Learner(
            self.policy.parameters,
            lambda vector: make_optimizer(config.optimizer, vector, config.rmsprop_decay, config.optimizer_epsilon),
            self.policy.refresh,
        )
        self.parameters = self.learner.parameters
        self.target = self.make_policy(
            config, envs.observation_space, envs.action_space, self.parameters.views, self.policy.encode
        )
        self._critic_loss = CRITIC_LOSSES[config.critic_loss]
        self._unroll = Unroll.of_one_step(self.policy.initial_state(config.batch_size))

    @classmethod
    def make_policy(
        cls,
        config: QLearningConfig,
        observation_space: Any,
        action_space: Any,
        values: dict[str, np.ndarray] | None = None,
        encode: ObservationEncoder | None = None,
    ) -> Network:
        """The network of a configuration for the spaces of its environment, as ``make_q_network``."""
        return make_q_network(
            config,
            observation_space,
            action_space,
            config.q_head,
            lambda num_actions: cls.make_distribution(config, num_actions),
            values,
            encode=encode,
        )

    @staticmethod
    @abstractmethod
    def make_distribution(config: Any, num_actions: int) -> ActionDistribution:
        """Make the distribution that sampled evaluations draw actions from, given by Q values or advantages."""

    @abstractmethod
    def next_values(self, observations: np.ndarray) -> np.ndarray:
        """Values ``[B]`` float32 that returns are bootstrapped from, for observations ``[B, ...]``."""

    def layers(self) -> tuple[dict[str, Any], Callable[[np.ndarray, np.ndarray], Any]]:
        """The network as a Paddle layer; see ``Algorithm.layers``."""
        return network_layers(self.policy, "q_network")

    def inspect(self, observations: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
        """Return the policy's distribution and the largest Q values for a batch; see ``Algorithm.inspect``."""
        return inspect_q_values(self.policy, self.head, observations)

    @property
    def learning_rate(self) -> float:
        """The learning rate now, by its schedule."""
        config = self.config
        return scheduled_learning_rate(
            config.lr_schedule, config.learning_rate, self.run_steps, config.decay_steps, config.lr_decay_factor
        )

    def _act_before_learning(self, observations: np.ndarray) -> np.ndarray:
        outputs = np.zeros((len(observations), self.policy.distribution.num_outputs), np.float32)
        if self.policy.has_mask:
            outputs = mask_outputs(outputs, observations[MASK])
        return epsilon_greedy(outputs, 1.0, self.generator)

    def q_values(self, network: Network, observations: np.ndarray) -> np.ndarray:
        """Q(s, .) ``[B, A]`` float32 of ``policy`` or ``target`` for observations ``[B, ...]``."""
        return self.head.q_values(*network.heads(observations))

    def targets(self, batch: Batch) -> np.ndarray:
        """Compute ``bellman_targets`` ``[B]`` float32 of a batch."""
        return bellman_targets(batch.rewards, batch.discounts, self.next_values(batch.next_observations))

    def gradient_step(self, batch: Batch) -> dict[str, float]:
        """Take a step towards the targets of a batch; see ``OffPolicy.gradient_step``."""
        metrics, errors = self.compute_gradient(batch)
        self.learner.step(self.learner.gradient, self.learning_rate)
        self.replay.update_priorities(batch.places, errors)
        if (self.num_updates + 1) % self.config.target_interval == 0:
            self.update_target(self.config.tau)
        return metrics

    def compute_gradient(self, batch: Batch) -> tuple[dict[str, float], np.ndarray]:
        """Compute the gradient of a batch's loss, clipped by its norm, in ``learner.gradient``.

        Returns:
            metrics by tag, and the TD errors ``[B]`` float32.

        Raises:
            NonFiniteError: the loss or its gradient is not finite.
        """
        learner = self.learner
        targets = self.targets(batch)
        outputs, critic_outputs, tape = self.policy.forward(batch.observations, self._unroll)
        q_values = self.head.q_values(outputs, critic_outputs)
        loss, errors, grad_q = td_loss(q_values, batch.actions, targets, self._critic_loss, batch.weights)
        self.policy.backward(tape, *self.head.backward(outputs, grad_q), learner.gradient_views)
        _, norm = clip_by_norm(learner.gradient, self.config.max_grad_norm)
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise NonFiniteError(f"the loss or its gradient is not finite: loss {loss}, gradient norm {norm}")
        metrics = {
            "losses/critic": loss,
            "diagnostics/grad_norm": norm,
            "diagnostics/q_value": float(np.add.reduce(targets - errors)) / len(errors),
        }
        return metrics, errors

    def update_target(self, tau: float) -> None:
        """Move the target network towards the network that learns; with ``tau=1`` they are equal."""
        update_target(self.target, self.parameters.vector, tau)

    def saved_parts(self) -> dict[str, Part]:
        """See ``Agent.saved_parts``."""
        return {
            **super().saved_parts(),
            "format": format_part(self.policy),
            "parameters": self.learner.parameters_part(),
            "target": target_part(self.target),
            "optimizer": optimizer_part(self.learner.optimizer.statistics, self.config.optimizer),
        }

    def learned_parts(self) -> dict[str, Part]:
        """See ``Agent.learned_parts``."""
        parameters = self.learner.parameters_part()
        return {"format": format_part(self.policy), "parameters": parameters, **super().learned_parts()}

    def load_learned_state(self, state: dict[str, Any]) -> None:
        """See ``Agent.load_learned_state``; the target network becomes equal to the network."""
        super().load_learned_state(state)
        self.update_target(1.0)
