"""REINFORCE: A2C's update on Monte-Carlo returns of whole episodes."""

from __future__ import annotations

from paddle_ac.algorithms.a2c import A2C
from paddle_ac.config.reinforce import ReinforceConfig
from paddle_ac.learning.rollout import EpisodeCollector


class Reinforce(A2C):
    """REINFORCE with a learned baseline (Williams 1992): an update plays whole episodes.

    Args:
        config: hyper-parameters.
        envs: N environments, closed by ``close``.

    Raises:
        ConfigError: an action space that the algorithm does not take.
    """

    config: ReinforceConfig

    def _make_collector(self) -> EpisodeCollector:
        limit = self.config.max_episode_steps
        return EpisodeCollector(self.envs, limit, lambda: self.should_stop(), self.generator)

    def _rows_to_record(self) -> int:
        return 0  # nobody knows how long episodes are
