"""Soft Q-learning: Q-learning with a bonus for the entropy of the policy."""

from __future__ import annotations

import numpy as np

from paddle_ac.algorithms.q_learning import QLearning
from paddle_ac.config.soft_q import SoftQConfig
from paddle_ac.learning.exploration import BoltzmannActions
from paddle_ac.losses.q_learning import soft_values


class SoftQ(QLearning):
    """Soft Q-learning for Discrete actions (Haarnoja et al. 2017, arXiv:1702.08165).

    The value of a state is the log-sum-exp of its Q values, and the policy explores with the Boltzmann distribution of
    the Q values, both with the temperature ``temperature``.

    Args:
        config: hyper-parameters.
        envs: N environments, closed by ``close``.
    """

    config: SoftQConfig

    @staticmethod
    def make_distribution(config: SoftQConfig, num_actions: int) -> BoltzmannActions:
        """The Boltzmann distribution of Q values."""
        return BoltzmannActions(num_actions, config.temperature)

    def _act_by_policy(self, observations: np.ndarray, state: np.ndarray) -> np.ndarray:
        return self.policy.act(observations, self.generator, state)

    def next_values(self, observations: np.ndarray) -> np.ndarray:
        """As ``soft_values``, of the target network."""
        return soft_values(self.q_values(self.target, observations), self.config.temperature)
