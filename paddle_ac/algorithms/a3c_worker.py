"""A worker of A3C."""

from __future__ import annotations

import numpy as np

from multiprocessing_env import VecEnv
from paddle_ac.algorithms.actor_learner_worker import ActorLearnerWorker
from paddle_ac.algorithms.policy import make_network
from paddle_ac.learning.gradient import GradientOfRollout, RolloutGradient
from paddle_ac.nn.network import Network


class A3CWorker(ActorLearnerWorker):
    """Learns an actor and a critic from its rollouts (Mnih et al. 2016, arXiv:1602.01783, algorithm S3)."""

    scalar_tags = ("losses/actor", "losses/critic", "losses/entropy", "losses/total")
    gradient_of: GradientOfRollout

    def _make_network(self, envs: VecEnv, network_class: type | None) -> Network:
        return make_network(self.config, envs.observation_space, envs.action_space, self.shared.views, network_class)

    def _make_differentiator(self) -> GradientOfRollout:
        config = self.config
        return GradientOfRollout(
            config, self.network, np.zeros_like(self.vector), self.shared.layout, config.num_steps * config.num_envs
        )

    def _act(self, observations: np.ndarray, state: np.ndarray) -> np.ndarray:
        self._advance()
        return self.gradient_of.act(observations, self.generator, state)

    def _scalars(self, learned: RolloutGradient) -> tuple[float, ...]:
        return learned.actor, learned.critic, learned.entropy, learned.total
