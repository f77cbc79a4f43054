"""Asynchronous Q-learning: actor-learners that learn Q values with a shared target network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from paddle_ac.algorithms.actor_learners import ActorLearners
from paddle_ac.algorithms.algorithm import Panel
from paddle_ac.algorithms.async_q_worker import AsyncQWorker
from paddle_ac.algorithms.policy import inspect_q_values, make_q_network, network_layers
from paddle_ac.algorithms.state import Part, arrays_part
from paddle_ac.config.async_q import AsyncQConfig
from paddle_ac.learning.exploration import EpsilonGreedyActions
from paddle_ac.learning.q_gradient import GradientOfQ, NStepQGradient, OneStepQGradient, SarsaGradient
from paddle_ac.losses.q_learning import make_head
from paddle_ac.nn.network import Network
from paddle_ac.processes.shared_target import SharedTarget

FINAL_EPSILONS = {0.1: 0.4, 0.01: 0.3, 0.5: 0.3}  # with their probabilities (the paper, section 5.1)


class AsyncQ(ActorLearners):
    """Asynchronous one-step Q-learning (Mnih et al. 2016, arXiv:1602.01783, algorithm 1).

    Attributes:
        target: the target network, which workers replace.
        final_epsilons: ``[W, N]`` float64, the probability of a random action that the exploration of each worker's
            environments ends with.
    """

    worker_class = AsyncQWorker
    gradient_class: ClassVar[type[GradientOfQ]] = OneStepQGradient

    def __init__(self, config: AsyncQConfig, observation_space: Any, action_space: Any):
        super().__init__(config, observation_space, action_space)
        self.target = SharedTarget(self.shared.vector, config.target_interval)
        generator = np.random.default_rng((config.seed, 3))
        self.final_epsilons = draw_final_epsilons(config.num_workers, config.num_envs, generator)
        self.metric_tags = (*self.metric_tags, "diagnostics/q_value", "diagnostics/epsilon")
        self.panels = (
            *self.panels,
            Panel("Q values of the actions taken", "", {"diagnostics/q_value": ""}),
            Panel("epsilon", "", {"diagnostics/epsilon": ""}),
        )

    @staticmethod
    def make_policy(config: AsyncQConfig, observation_space: Any, action_space: Any) -> Network:
        """The Q network of a configuration; sampled evaluations explore with the most probable final epsilon."""
        epsilon = max(FINAL_EPSILONS, key=lambda value: FINAL_EPSILONS[value])
        return make_q_network(
            config,
            observation_space,
            action_space,
            config.q_head,
            lambda num_actions: EpsilonGreedyActions(num_actions, epsilon),
        )

    def layers(self) -> tuple[dict[str, Any], Callable[[np.ndarray, np.ndarray], Any]]:
        """The network as a Paddle layer; see ``Algorithm.layers``."""
        return network_layers(self._network, "q_network")

    def inspect(self, observations: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
        """Return the policy's distribution and the largest Q values for a batch; see ``Algorithm.inspect``."""
        return inspect_q_values(self._network, make_head(self.config.dueling), observations)

    def worker_options(self, index: int) -> dict[str, Any]:
        """See ``ActorLearners.worker_options``."""
        return {
            "gradient_class": self.gradient_class,
            "shared_target": self.target,
            "final_epsilons": self.final_epsilons[index],
        }

    def saved_parts(self) -> dict[str, Part]:
        """See ``Agent.saved_parts``; the final epsilons stay when a run is resumed."""
        return {
            **super().saved_parts(),
            "target": Part(self._target_state, self._set_target),
            "final_epsilons": arrays_part(self.final_epsilons),
        }

    def _set_parameters(self, parameters: dict[str, np.ndarray]) -> None:
        super()._set_parameters(parameters)
        self.target.replace(self.shared.vector, self.env_steps)

    def _target_state(self) -> dict[str, Any]:
        vector = self.target.read()
        return {"parameters": self.shared.layout.views(vector), "env_steps": self.target.env_steps}

    def _set_target(self, state: dict[str, Any]) -> None:
        vector = np.concatenate([state["parameters"][name].ravel() for name in self.shared.views])
        self.target.replace(vector, state["env_steps"])


def draw_final_epsilons(num_workers: int, num_envs: int, generator: np.random.Generator) -> np.ndarray:
    """A final epsilon for each environment of each worker, with the probabilities of the paper, by systematic sampling.

    The paper draws one for each of its 16 workers. Environments take their place here, and one number is drawn for all
    W * N of them: each has the quantile that is 1 / (W * N) further on. So the epsilons of a run are spread as evenly
    as their number allows, where independent draws would leave some runs with 0.5 alone.

    Returns:
        ``[W, N]`` float64.
    """
    count = num_workers * num_envs
    quantiles = (generator.random() + np.arange(count) / count) % 1
    bounds = np.cumsum(list(FINAL_EPSILONS.values()))[:-1]
    drawn = np.array(list(FINAL_EPSILONS))[np.searchsorted(bounds, quantiles, side="right")]
    return drawn.reshape(num_envs, num_workers).T.copy()  # each worker has some of all


class AsyncSarsa(AsyncQ):
    """Asynchronous one-step Sarsa (Mnih et al. 2016, section 4)."""

    gradient_class = SarsaGradient


class AsyncNStepQ(AsyncQ):
    """Asynchronous n-step Q-learning (Mnih et al. 2016, algorithm S2)."""

    gradient_class = NStepQGradient
