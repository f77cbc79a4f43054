"""A2C: N environments in step, one learner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from multiprocessing_env import VecEnv
from paddle_ac.algorithms.learner import Learner, optimizer_part
from paddle_ac.algorithms.policy import format_part, log_backend, make_network, network_layers
from paddle_ac.algorithms.state import Part
from paddle_ac.algorithms.synchronous import Synchronous, closed_on_error
from paddle_ac.config import SynchronousConfig
from paddle_ac.envs.make import make_training_envs
from paddle_ac.learning.gradient import GradientOfRollout, RolloutGradient
from paddle_ac.learning.phases import phases_of_update
from paddle_ac.learning.returns import explained_variance
from paddle_ac.learning.rewards import RewardNormalizer
from paddle_ac.learning.rollout import CollectingStoppedError, Rollout, RolloutCollector
from paddle_ac.learning.schedules import scheduled_learning_rate
from paddle_ac.nn.network import Network
from paddle_ac.nn.optimizers import make_optimizer
from paddle_ac.processes.ranks import ALONE, Ranks

AnyA2C = TypeVar("AnyA2C", bound="A2C")


class A2C(Synchronous):
    """Synchronous advantage actor-critic with n-step returns (Mnih et al. 2016, arXiv:1602.01783).

    An update plays T steps in N environments, estimates returns that bootstrap at the rollout's end and through time
    limits, and takes one step along the gradient of the actor-critic loss over the ``T * N`` transitions. Other
    hyper-parameters make it PAAC, TD actor-critic (one-step TD errors) and Q actor-critic (a critic of Q(s, .)).

    Args:
        config: hyper-parameters.
        envs: N environments, closed by ``close``.
        ranks: the processes that learn together, each from N environments of its own.

    Attributes:
        policy: the network; ``policy.act(observations)`` chooses actions.
        learner: the parameters, their gradient and their optimiser.

    Raises:
        ConfigError: an action space that the algorithm does not take.
    """

    policy: Network

    def __init__(self, config: SynchronousConfig, envs: VecEnv, ranks: Ranks = ALONE):
        super().__init__(config, envs)
        self.policy = self.make_policy(config, envs.observation_space, envs.action_space)
        log_backend(config)
        self.learner = Learner(
            self.policy.parameters,
            lambda vector: make_optimizer(config.optimizer, vector, config.rmsprop_decay, config.optimizer_epsilon),
            self.policy.refresh,
            ranks,
        )
        self.parameters = self.learner.parameters
        learner, layout = self.learner, self.parameters.layout
        rows = self._rows_to_record()
        self.gradient_of = GradientOfRollout(config, self.policy, learner.gradient, layout, rows, ranks)
        self.collector = self._make_collector()
        self.normalize_rewards = RewardNormalizer(envs.num_envs, config.gamma) if config.normalize_rewards else None
        self.ranks = ranks
        self._draws = ranks.draw_rows(self.generator)
        if ranks.num_ranks > 1:
            if self.policy.encode.moments is not None:
                self.policy.encode.moments.pool = ranks.pool
            if self.normalize_rewards is not None:
                self.normalize_rewards.moments.pool = ranks.pool

    @classmethod
    def from_config(cls: type[AnyA2C], config: Any, ranks: Ranks = ALONE) -> AnyA2C:
        """As ``Synchronous.from_config``; each rank has environments of its own."""
        with closed_on_error(make_training_envs(config, ranks.rank)) as envs:
            return cls(config, envs, ranks)

    def _make_collector(self) -> RolloutCollector:
        return RolloutCollector(self.envs, self.config.num_steps, self.policy.state_size)

    def _rows_to_record(self) -> int:
        """Transitions whose gradient can take up what acting computed; see ``GradientOfRollout``."""
        return self.config.num_steps * self.envs.num_envs

    @staticmethod
    def make_policy(config: SynchronousConfig, observation_space: Any, action_space: Any) -> Network:
        """The network of a configuration for the spaces of its environment, as ``make_network``."""
        return make_network(config, observation_space, action_space)

    def layers(self) -> tuple[dict[str, Any], Callable[[np.ndarray, np.ndarray], Any]]:
        """The network of actor and critic as a Paddle layer; see ``Algorithm.layers``."""
        return network_layers(self.policy)

    def inspect(self, observations: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
        """Diagnostics of the policy and the critic for a batch; see ``Algorithm.inspect``."""
        return self.policy.inspect(observations, state)

    def update(self) -> dict[str, Any]:
        """Play one rollout and learn from it.

        Returns:
            metrics by tag; the tags of episodes hold a list with an entry for each that finished in the rollout.
            Without a baseline there is none of a critic.

        Raises:
            NonFiniteError: a NaN or an infinity in an observation, a reward or the loss; nothing was learned from it.
            VecEnvError: an environment or its worker failed.
        """
        config = self.config
        learning_rate = scheduled_learning_rate(
            config.lr_schedule, config.learning_rate, self.env_steps, config.decay_steps, config.lr_decay_factor
        )
        self.gradient_of.begin()
        try:
            rollout = self.collector.collect(self._act)
        except CollectingStoppedError:
            return {"charts/episode_return": [], "charts/episode_length": []}
        self._prepare(rollout)
        gathered = self.ranks.start_gathering(rollout.episode_returns, rollout.episode_lengths)
        metrics = self._learn(rollout, learning_rate)
        returns, lengths = gathered()
        self.policy.encode.update(rollout.transitions(rollout.observations))
        self.env_steps += rollout.rewards.size * self.ranks.num_ranks
        return {
            "charts/episode_return": returns,
            "charts/episode_length": lengths,
            "charts/learning_rate": learning_rate,
            **metrics,
        }

    def _prepare(self, rollout: Rollout) -> None:
        """Normalise the rewards of a new rollout, if rewards are normalised."""
        if self.normalize_rewards is not None:
            self.normalize_rewards.update(rollout.rewards, rollout.terminated | rollout.truncated, rollout.mask)
            rollout.rewards = self.normalize_rewards(rollout.rewards)

    def _learn(self, rollout: Rollout, learning_rate: float) -> dict[str, float]:
        """Take the gradient steps for a rollout; returns the metrics of losses."""
        learned = self.gradient_of(rollout)
        self.learner.step(learned.gradient, learning_rate)
        self.num_updates += 1
        return self._rollout_metrics(learned)

    def _rollout_metrics(self, learned: RolloutGradient) -> dict[str, float]:
        metrics = {
            "losses/actor": learned.actor,
            "losses/entropy": learned.entropy,
            "losses/total": learned.total,
            "diagnostics/grad_norm": learned.norm,
        }
        if self.gradient_of.has_baseline:
            metrics["losses/critic"] = learned.critic
            metrics["diagnostics/explained_variance"] = explained_variance(learned.values, learned.returns)
        return metrics

    def _act(self, observations: np.ndarray, state: np.ndarray) -> np.ndarray:
        return self.gradient_of.act(observations, self._draws, state)

    def check(self) -> None:
        """Raise ``RankError`` if another rank has failed; see ``Algorithm.check``."""
        self.ranks.check()

    def saved_parts(self) -> dict[str, Part]:
        """See ``Agent.saved_parts``."""
        return {
            **super().saved_parts(),
            "format": format_part(self.policy),
            "parameters": self.learner.parameters_part(),
            "optimizer": optimizer_part(self.learner.optimizer.statistics, self.config.optimizer),
        }

    def learned_parts(self) -> dict[str, Part]:
        """See ``Agent.learned_parts``."""
        parameters = self.learner.parameters_part()
        return {"format": format_part(self.policy), "parameters": parameters, **super().learned_parts()}

    def phases(self) -> dict[str, Callable[[], int]]:
        """The parts of an update, to be timed; see ``Algorithm.phases``."""

        def learn(rollout: Rollout) -> None:
            self._learn(rollout, 0.0)

        self.gradient_of.begin()
        return phases_of_update(self.collector, self._act, learn, self.policy.has_mask)
