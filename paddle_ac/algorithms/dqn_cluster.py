"""DQN on the machines of a cluster (Gorila): the main process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from paddle_ac.algorithms.algorithm import Panel
from paddle_ac.algorithms.bundle import bundle_config
from paddle_ac.algorithms.clustered import Clustered
from paddle_ac.algorithms.dqn import DQN
from paddle_ac.algorithms.dqn_bundle import DQNBundle
from paddle_ac.algorithms.off_policy import check_has_no_state
from paddle_ac.algorithms.policy import inspect_q_values, network_layers
from paddle_ac.config.dqn import DQNConfig
from paddle_ac.losses.q_learning import make_head
from paddle_ac.nn.network import Network
from paddle_ac.nn.optimizers import OPTIMIZERS

OUTLIERS = Panel("gradients that are dropped", "share", {"cluster/outliers": "outlying loss"})


class ClusterDQN(Clustered):
    """Gorila DQN (Nair et al. 2015, arXiv:1507.04296): each node plays and learns from its own replay buffer.

    The server drops what is too stale, a bundle the gradients with outlying losses. See ``Clustered``.
    """

    bundle_class = DQNBundle
    metric_tags = (*DQN.metric_tags, *Clustered.metric_tags, "cluster/outliers")
    panels = (*DQN.panels, *Clustered.panels, OUTLIERS)

    config: DQNConfig

    @staticmethod
    def make_policy(config: DQNConfig, observation_space: Any, action_space: Any) -> Network:
        """The network of Q values, as ``DQN.make_policy``; ``ConfigError`` for one with a recurrent state."""
        policy = DQN.make_policy(config, observation_space, action_space)
        check_has_no_state(config, policy)
        return policy

    @property
    def num_learners(self) -> int:
        """The learners of all nodes."""
        return self.config.num_nodes

    @property
    def num_cpus(self) -> int:
        """One for the learner, or for each process of the node that steps environments while it waits."""
        return max(self.config.num_other_workers if self.config.vec == "subproc" else 0, 1)

    def initial_statistics(self, size: int) -> dict[str, np.ndarray]:
        """As ``OPTIMIZERS`` has them; see ``Clustered.initial_statistics``."""
        return OPTIMIZERS[self.config.optimizer].initial_statistics(size)

    def layers(self) -> tuple[dict[str, Any], Callable[[np.ndarray, np.ndarray], Any]]:
        """The network as a Paddle layer; see ``Algorithm.layers``."""
        return network_layers(self._network, "q_network")

    def inspect(self, observations: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
        """The policy's distribution and the largest Q values for a batch; see ``Algorithm.inspect``."""
        return inspect_q_values(self._network, make_head(self.config.dueling), observations)

    def phases(self) -> dict[str, Callable[[], int]]:
        """The parts of an update of one learner, in this process; see ``Algorithm.phases``."""
        return DQN.from_config(bundle_config(self.config, 0, 0)).phases()
