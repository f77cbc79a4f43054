"""Hyper-parameters that the algorithms of Q values with a replay buffer share."""

from __future__ import annotations

from paddle_ac.config.base import QNetworkConfig
from paddle_ac.config.discrete import DiscreteConfig
from paddle_ac.config.groups import PriorityGroup


class QLearningConfig(PriorityGroup, DiscreteConfig, QNetworkConfig):
    """Hyper-parameters shared by DQN and soft Q-learning."""
