"""A3C on the machines of a cluster: the main process."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from paddle_ac.algorithms.a3c import A3C
from paddle_ac.algorithms.a3c_bundle import A3CBundle
from paddle_ac.algorithms.actor_learner_worker import initial_statistics
from paddle_ac.algorithms.asynchronous import POLICY_LAG
from paddle_ac.algorithms.bundle import bundle_config
from paddle_ac.algorithms.clustered import Clustered


class ClusterA3C(Clustered):
    """A3C on several machines: each node runs A3C as on one machine; see ``Clustered``."""

    bundle_class = A3CBundle
    metric_tags = ("diagnostics/policy_lag", "diagnostics/policy_lag_max", *Clustered.metric_tags)
    panels = (POLICY_LAG, *Clustered.panels)

    @property
    def num_learners(self) -> int:
        """The worker processes of all nodes."""
        return self.config.num_nodes * self.config.num_workers

    @property
    def num_cpus(self) -> int:
        """One for each worker."""
        return self.config.num_workers

    def initial_statistics(self, size: int) -> dict[str, np.ndarray]:
        """As the function of the same name; see ``Clustered.initial_statistics``."""
        return initial_statistics(self.config, size)

    def phases(self) -> dict[str, Callable[[], int]]:
        """The parts of an update of one worker, in this process; see ``Algorithm.phases``."""
        return A3C(bundle_config(self.config, 0, 0), self.observation_space, self.action_space).phases()
