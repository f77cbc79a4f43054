"""A worker of asynchronous Q-learning."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np

from multiprocessing_env import VecEnv
from paddle_ac.algorithms.actor_learner_worker import ActorLearnerWorker
from paddle_ac.algorithms.policy import make_q_network
from paddle_ac.config.async_q import AsyncQConfig
from paddle_ac.learning.exploration import EpsilonGreedyActions, linear_epsilon
from paddle_ac.learning.q_gradient import GradientOfQ, QGradient
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.network import Network
from paddle_ac.processes.shared_parameters import SharedParameters
from paddle_ac.processes.shared_target import SharedTarget

INITIAL_EPSILON = 1.0  # the paper, section 5.1


class AsyncQWorker(ActorLearnerWorker):
    """Learns Q values from its rollouts, towards targets of a shared target network.

    Args:
        index, start, config, envs, shared, lock, advance, network_class: as for ``ActorLearnerWorker``.
        gradient_class: the method.
        shared_target: the target network; the worker learns with a copy of its current version.
        final_epsilons: ``[N]``, probability of a random action in each environment after ``exploration_steps`` steps of
            all workers together.
    """

    scalar_tags = ("losses/critic", "diagnostics/q_value", "diagnostics/epsilon")
    gradient_of: GradientOfQ

    def __init__(
        self,
        index: int,
        start: int,
        config: AsyncQConfig,
        envs: VecEnv,
        shared: SharedParameters,
        lock: contextlib.AbstractContextManager[None],
        advance: Callable[[], None] = lambda: None,
        network_class: type | None = None,
        *,
        gradient_class: type[GradientOfQ],
        shared_target: SharedTarget,
        final_epsilons: np.ndarray,
    ):
        self.gradient_class = gradient_class
        self.shared_target = shared_target
        self.final_epsilons = final_epsilons
        super().__init__(index, start, config, envs, shared, lock, advance, network_class)

    def _make_network(self, envs: VecEnv, network_class: type | None) -> Network:
        spaces = envs.observation_space, envs.action_space
        self.distribution = EpsilonGreedyActions(int(envs.action_space.n), INITIAL_EPSILON)

        def make(encode: ObservationEncoder | None = None) -> Network:
            return make_q_network(
                self.config,
                *spaces,
                self.config.q_head,
                lambda _: self.distribution,
                self.shared.views,
                network_class,
                encode=encode,
            )

        network = make()
        self.target = make(network.encode)
        self._target_version = -1  # that ``target`` is a copy of
        return network

    def _make_differentiator(self) -> GradientOfQ:
        return self.gradient_class(self.config, self.network, self.target, self.shared.layout, self.generator)

    def _scalars(self, learned: QGradient) -> tuple[float, ...]:
        return learned.critic, float(learned.values.mean()), float(np.mean(self.distribution.epsilon))

    def update(self) -> None:
        """As ``ActorLearnerWorker.update``; replaces the target network where that is due."""
        config, shared, target = self.config, self.shared, self.shared_target
        version = target.version
        if version != self._target_version:
            np.copyto(self.target.parameters.vector, target.read())
            self.target.refresh()
            self._target_version = version
        self.distribution.epsilon = linear_epsilon(
            INITIAL_EPSILON, self.final_epsilons, shared.env_steps, config.exploration_steps
        )
        super().update()
        target.replace_if_due(shared.vector, shared.env_steps)

    def _act(self, observations: np.ndarray, state: np.ndarray) -> np.ndarray:
        self._advance()
        return self.gradient_of.act(observations, state)
