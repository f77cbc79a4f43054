"""The base of algorithms with one learner that learn from a replay buffer."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from multiprocessing_env import VecEnv
from paddle_ac.algorithms.algorithm import Policy
from paddle_ac.algorithms.state import Part, component_part
from paddle_ac.algorithms.synchronous import Synchronous
from paddle_ac.errors import ConfigError
from paddle_ac.learning.frames import num_stacked_frames
from paddle_ac.learning.phases import phases_of_update
from paddle_ac.learning.replay import Batch, ReplayBuffer
from paddle_ac.learning.rewards import RewardNormalizer, normalize_and_scale
from paddle_ac.learning.rollout import Rollout, RolloutCollector
from paddle_ac.memory import require_memory
from paddle_ac.packing import ObservationPacking


def make_replay(config: Any, envs: VecEnv) -> ReplayBuffer:
    """The empty replay buffer of a configuration with a ``ReplayGroup``, for its environments.

    Raises:
        ConfigError: there is too little memory for it or for a batch.
    """
    observations = 2 * config.batch_size * ObservationPacking(envs.observation_space).blank().nbytes
    require_memory(observations, f"batch_size={config.batch_size}")
    return ReplayBuffer(
        config.buffer_size,
        envs.observation_space,
        envs.action_space,
        envs.num_envs,
        config.gamma,
        config.num_step_returns,
        num_frames=num_stacked_frames(envs.observation_space, config.frame_stack),
        priority_exponent=config.priorities.priority_exponent if config.priorities else None,
    )


def check_has_no_state(config: Any, policy: Policy) -> None:
    """Raise ``ConfigError`` for a policy with a recurrent state."""
    if policy.state_size:
        raise ConfigError(f"{config.algo} samples single transitions and takes no network with a recurrent state")


class OffPolicy(Synchronous):
    """Plays into a replay buffer and learns from batches that are sampled from it.

    An update takes ``train_freq`` steps in N environments, stores them in the replay buffer, and from
    ``learning_starts`` steps on takes ``gradient_steps`` gradient steps, each over a sampled batch.

    A subclass makes the policy (``make_policy``), acts by it (``_act_by_policy``) and before it learns
    (``_act_before_learning``), and takes a gradient step (``gradient_step``). It adds its parameters and optimisers to
    ``saved_parts`` and ``learned_parts``.

    Args:
        config: hyper-parameters, with a ``ReplayGroup``, a ``GradientRoundsGroup``, a ``ScalingGroup``, a
            ``VectorEnvGroup`` and ``gamma``.
        envs: N environments, closed by ``close``.

    Attributes:
        replay: the replay buffer; observations, actions and rewards as in a rollout.

    Raises:
        ConfigError: spaces that the algorithm does not take, a network with memory, or too little memory.
    """

    def __init__(self, config: Any, envs: VecEnv):
        super().__init__(config, envs)
        self.policy = self.make_policy(config, envs.observation_space, envs.action_space)
        check_has_no_state(config, self.policy)
        self.collector = RolloutCollector(envs, config.train_freq)
        self.replay = make_replay(config, envs)
        self.normalize_rewards = RewardNormalizer(envs.num_envs, config.gamma) if config.normalize_rewards else None
        if config.total_steps <= config.learning_starts:
            logging.getLogger(__name__).warning(
                "nothing is learned: total_steps=%d is not above learning_starts=%d",
                config.total_steps,
                config.learning_starts,
            )

    @staticmethod
    @abstractmethod
    def make_policy(config: Any, observation_space: Any, action_space: Any) -> Any:
        """An untrained policy; see ``Algorithm.make_policy``."""

    @abstractmethod
    def _act_by_policy(self, observations: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Actions ``[N, ...]`` to explore with, as for ``RolloutCollector.collect``."""

    @abstractmethod
    def _act_before_learning(self, observations: np.ndarray) -> np.ndarray:
        """Uniform actions ``[N, ...]``, for the first ``learning_starts`` steps."""

    @abstractmethod
    def gradient_step(self, batch: Batch) -> dict[str, float]:
        """Take a gradient step on a batch of ``sample``; returns metrics by tag.

        With prioritised sampling, it passes the TD errors to ``replay.update_priorities``.
        """

    @property
    def run_steps(self) -> int:
        """Steps that the schedules and the end of the run depend on: on one machine ``env_steps``."""
        return self.env_steps

    @property
    def is_done(self) -> bool:
        """Whether the total of steps is reached."""
        return self.run_steps >= self.config.total_steps

    @property
    @abstractmethod
    def learning_rate(self) -> float:
        """The learning rate now, for the curves."""

    def update(self) -> dict[str, Any]:
        """Take ``train_freq`` environment steps and, from ``learning_starts`` on, ``gradient_steps`` gradient steps.

        Returns:
            metrics by tag; those of episodes are lists with an entry for each finished episode, those of
            ``gradient_step`` lists with an entry for each gradient step.

        Raises:
            NonFiniteError: a NaN or an infinity in an observation, a reward or a loss.
            VecEnvError: an environment or its worker failed.
        """
        rollout = self.collector.collect(self._act)
        self.env_steps += rollout.rewards.size
        self._store(rollout)
        metrics = self._learn() if self.env_steps > self.config.learning_starts else {}
        return {
            "charts/episode_return": rollout.episode_returns,
            "charts/episode_length": rollout.episode_lengths,
            "charts/learning_rate": self.learning_rate,
            **metrics,
        }

    def _act(self, observations: np.ndarray, state: np.ndarray) -> np.ndarray:
        if self.env_steps < self.config.learning_starts:
            return self._act_before_learning(observations)
        return self._act_by_policy(observations, state)

    def _store(self, rollout: Rollout) -> None:
        """Add a rollout to the replay buffer and to the running moments.

        The moments change before the gradient steps: the first of these need some, and the policy then acts and is
        evaluated with the moments that it last learned with.
        """
        self.replay.add(rollout)
        self.policy.encode.update(rollout.transitions(rollout.observations))
        if self.normalize_rewards is not None:
            self.normalize_rewards.update(rollout.rewards, rollout.terminated | rollout.truncated)

    def _learn(self) -> dict[str, list[float]]:
        metrics: dict[str, list[float]] = defaultdict(list)
        with np.errstate(over="ignore", invalid="ignore"):  # raised as NonFiniteError
            for _ in range(self.config.gradient_steps):
                for tag, value in self.gradient_step(self.sample()).items():
                    metrics[tag].append(value)
                self.num_updates += 1
        return metrics

    def sample(self) -> Batch:
        """Sample a batch from the replay buffer; rewards are normalised, scaled and clipped as configured."""
        return self.replay.sample(
            self.config.batch_size, self.generator, self._scale_rewards, self._importance_exponent()
        )

    def _scale_rewards(self, rewards: np.ndarray) -> np.ndarray:
        return normalize_and_scale(rewards, self.normalize_rewards, self.config)

    def _importance_exponent(self) -> float:
        """Current importance-sampling exponent, annealed linearly to 1 over the run (Schaul et al. 2016, section 3.4).

        It is 0 without prioritised sampling.
        """
        if self.config.priorities is None:
            return 0.0
        first = self.config.priorities.importance_exponent
        return first + (1 - first) * min(self.run_steps / self.config.total_steps, 1.0)

    def saved_parts(self) -> dict[str, Part]:
        """See ``Agent.saved_parts``; a subclass adds the parameters and the statistics of its optimisers."""
        return {**super().saved_parts(), "replay": component_part(self.replay)}

    def phases(self) -> dict[str, Callable[[], int]]:
        """The parts of an update, to be timed; see ``Algorithm.phases``."""

        def learn(rollout: Rollout) -> None:
            self._store(rollout)
            self._learn()

        has_mask = getattr(self.policy, "has_mask", False)
        return phases_of_update(self.collector, self._act_by_policy, learn, has_mask)
