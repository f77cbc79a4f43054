"""A2C: N environments in step, one learner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from multiprocessing_env import VecEnv
from paddle_ac.algorithms.policy import (
    POLICY_FORMAT,
    actor_critic_layers,
    check_policy_format,
    log_backend,
    make_network,
)
from paddle_ac.algorithms.state import check_generator, check_state, check_structure, identity
from paddle_ac.algorithms.synchronous import Synchronous
from paddle_ac.config import RolloutConfig, SynchronousConfig
from paddle_ac.config.reinforce import ReinforceConfig
from paddle_ac.learning.gradient import GradientOfRollout
from paddle_ac.learning.phases import phases_of_update
from paddle_ac.learning.returns import explained_variance
from paddle_ac.learning.rewards import RewardNormalizer
from paddle_ac.learning.rollout import CollectingStoppedError, EpisodeCollector, Rollout, RolloutCollector
from paddle_ac.learning.schedules import scheduled_learning_rate
from paddle_ac.nn.network import Network
from paddle_ac.nn.optimizers import make_optimizer


class A2C(Synchronous):
    """Synchronous advantage actor-critic with n-step returns (Mnih et al. 2016, arXiv:1602.01783).

    An update plays T steps in N environments, estimates returns that bootstrap at the rollout's end and through time
    limits, and takes one step along the gradient of the actor-critic loss over the ``T * N`` transitions. With other
    estimators it is the other synchronous members of the family: one-step TD errors (TD actor-critic), a critic of
    Q(s, .) (Q actor-critic), Monte-Carlo returns of whole episodes (REINFORCE).

    Args:
        config: hyper-parameters.
        envs: N environments, closed by ``close``.

    Attributes:
        policy: the network; ``policy.act(observations)`` chooses actions.
        env_steps: steps of single environments so far.
        num_updates: gradient steps so far.

    Raises:
        ConfigError: an action space that the algorithm does not take.
    """

    metric_tags: tuple[str, ...] = ()

    def __init__(self, config: SynchronousConfig, envs: VecEnv):
        super().__init__(config, envs)
        self.policy = self.make_policy(config, envs.observation_space, envs.action_space)
        log_backend(config)
        self.parameters = self.policy.parameters
        self.gradient_of = GradientOfRollout(config, self.policy, self.parameters.layout)
        self.optimizer = make_optimizer(
            config.optimizer, self.parameters.vector, config.rmsprop_decay, config.optimizer_epsilon
        )
        self.generator = np.random.default_rng((config.seed, 1))
        self.collector: RolloutCollector
        if isinstance(config, RolloutConfig):
            self.collector = RolloutCollector(envs, config.num_steps, self.policy.state_size)
        else:
            assert isinstance(config, ReinforceConfig)
            limit = config.max_episode_steps
            self.collector = EpisodeCollector(envs, limit, lambda: self.should_stop(), self.generator)
        self.normalize_rewards = RewardNormalizer(envs.num_envs, config.gamma) if config.normalize_rewards else None
        self.env_steps = 0
        self.num_updates = 0

    @staticmethod
    def make_policy(config: SynchronousConfig, observation_space: Any, action_space: Any) -> Network:
        """The network of a configuration for the spaces of its environment, as ``make_network``."""
        return make_network(config, observation_space, action_space)

    def layers(self) -> tuple[dict[str, Any], Callable[[np.ndarray, np.ndarray], Any]]:
        """The network of actor and critic as a Paddle layer; see ``Algorithm.layers``."""
        return actor_critic_layers(self.policy)

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
        try:
            rollout = self.collector.collect(self._act)
        except CollectingStoppedError:
            return {"charts/episode_return": [], "charts/episode_length": []}
        if self.normalize_rewards is not None:
            self.normalize_rewards.update(rollout.rewards, rollout.terminated | rollout.truncated, rollout.mask)
            rollout.rewards = self.normalize_rewards(rollout.rewards)
        metrics = self._learn(rollout, learning_rate)
        self.policy.encode.update(rollout.transitions(rollout.observations))
        self.env_steps += rollout.rewards.size
        return {
            "charts/episode_return": rollout.episode_returns,
            "charts/episode_length": rollout.episode_lengths,
            "charts/learning_rate": learning_rate,
            **metrics,
        }

    def _learn(self, rollout: Rollout, learning_rate: float) -> dict[str, float]:
        """Take the gradient steps for a rollout; returns the metrics of losses."""
        learned = self.gradient_of(rollout)
        self.optimizer.step(learned.gradient, learning_rate)
        self.policy.refresh()
        self.num_updates += 1
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
        return self.policy.act(observations, self.generator, state)

    def state_dict(self) -> dict[str, Any]:
        """All that it takes to go on exactly from here: arrays, numbers and texts in nested dictionaries."""
        return {
            "identity": identity(self.config),
            "format": POLICY_FORMAT,
            "env_steps": self.env_steps,
            "num_updates": self.num_updates,
            "parameters": dict(self.parameters.views),
            "optimizer": dict(self.optimizer.statistics),
            "generator": self.generator.bit_generator.state,
            "collector": self.collector.state_dict(),
            "encoder": self.policy.encode.state_dict(),
            "reward_normalizer": self.normalize_rewards.state_dict() if self.normalize_rewards else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that ``state_dict`` gave.

        Raises:
            ValueError: the state of another network, optimiser, seed or environment, or of an incompatible version.
                Nothing has changed then.
        """
        checks: dict[str, Callable[[Any], None]] = {
            "generator": check_generator,
            "parameters": self.parameters.check,
            "optimizer": self._check_optimizer,
            "collector": self.collector.check_state_dict,
            "encoder": self.policy.encode.check_state_dict,
        }
        check_state(state, self.state_dict(), self.config, checks)
        check_policy_format(self.policy, state)
        # First, because it alone may still fail.
        self.collector.load_state_dict(state["collector"], self.config.resume_episodes)
        self.policy.load_parameters(state["parameters"])
        for name, statistic in self.optimizer.statistics.items():
            statistic[...] = state["optimizer"][name]
        self.generator.bit_generator.state = state["generator"]
        self.policy.encode.load_state_dict(state["encoder"])
        if self.normalize_rewards is not None:
            self.normalize_rewards.load_state_dict(state["reward_normalizer"])
        self.env_steps = state["env_steps"]
        self.num_updates = state["num_updates"]

    def _check_optimizer(self, statistics: dict[str, np.ndarray]) -> None:
        if statistics.keys() != self.optimizer.statistics.keys():
            raise ValueError(f"the checkpoint's optimiser is not {self.config.optimizer}")
        check_structure(statistics, self.optimizer.statistics, "optimizer")

    def phases(self) -> dict[str, Callable[[], int]]:
        """The parts of an update, to be timed; see ``Algorithm.phases``."""

        def learn(rollout: Rollout) -> None:
            self._learn(rollout, 0.0)

        return phases_of_update(self.collector, self._act, learn)
