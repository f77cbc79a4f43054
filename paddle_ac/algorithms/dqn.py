"""DQN: Q-learning with a deep network, and its double, dueling, n-step and prioritised variants."""

from __future__ import annotations

from typing import Any

import numpy as np

from paddle_ac.algorithms.algorithm import Panel
from paddle_ac.algorithms.q_learning import QLearning
from paddle_ac.config.dqn import DQNConfig
from paddle_ac.learning.exploration import EpsilonGreedyActions, epsilon_greedy, linear_epsilon
from paddle_ac.losses.q_learning import double_values, max_values


class DQN(QLearning):
    """Deep Q-network (Mnih et al. 2015, doi:10.1038/nature14236), double by default (van Hasselt et al. 2016).

    Args:
        config: hyper-parameters.
        envs: N environments, closed by ``close``.
    """

    metric_tags: tuple[str, ...] = (*QLearning.metric_tags, "diagnostics/epsilon")
    panels: tuple[Panel, ...] = (*QLearning.panels, Panel("epsilon", "", {"diagnostics/epsilon": ""}))

    config: DQNConfig

    @staticmethod
    def make_distribution(config: DQNConfig, num_actions: int) -> EpsilonGreedyActions:
        """Epsilon-greedy actions with ``final_epsilon``."""
        return EpsilonGreedyActions(num_actions, config.final_epsilon)

    @property
    def epsilon(self) -> float:
        """The probability of a random action now."""
        config = self.config
        exploration_steps = config.exploration_fraction * config.total_steps
        return linear_epsilon(config.initial_epsilon, config.final_epsilon, self.run_steps, exploration_steps)

    def update(self) -> dict[str, Any]:
        """As ``OffPolicy.update``, with epsilon."""
        epsilon = self.epsilon
        return {**super().update(), "diagnostics/epsilon": epsilon}

    def _act_by_policy(self, observations: np.ndarray, state: np.ndarray) -> np.ndarray:
        return epsilon_greedy(self.policy.policy_outputs(observations, state), self.epsilon, self.generator)

    def next_values(self, observations: np.ndarray) -> np.ndarray:
        """As ``double_values`` or ``max_values``."""
        target_q_values = self.q_values(self.target, observations)
        if not self.config.double:
            return max_values(target_q_values)
        return double_values(self.q_values(self.policy, observations), target_q_values)
