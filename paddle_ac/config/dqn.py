"""Hyper-parameters of DQN."""

from __future__ import annotations

from typing import Literal

from paddle_ac.config.fields import field
from paddle_ac.config.groups import ClusterGroup, EpsilonGroup, GradientDroppingGroup
from paddle_ac.config.q_learning import QLearningConfig


class DQNConfig(GradientDroppingGroup, ClusterGroup, EpsilonGroup, QLearningConfig):
    """Deep Q-learning with a target network (Mnih et al. 2015, doi:10.1038/nature14236)."""

    algo: Literal["dqn"] = "dqn"

    double: bool = field(
        "algorithm",
        True,
        "the network that learns chooses the next action, the target network values it (van Hasselt et al. 2016)",
        search=[False, True],
    )
