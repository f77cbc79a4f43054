"""The base of algorithms that play and learn in turn, in one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from multiprocessing_env import VecEnv
from paddle_ac.algorithms.agent import Agent
from paddle_ac.algorithms.algorithm import Policy
from paddle_ac.algorithms.state import Part, attribute_part, component_part, generator_part, moments_part
from paddle_ac.envs.make import find_unrepeatable, make_training_envs
from paddle_ac.learning.rewards import RewardNormalizer
from paddle_ac.learning.rollout import RolloutCollector

AnyAlgorithm = TypeVar("AnyAlgorithm", bound="Synchronous")


@contextmanager
def closed_on_error(envs: VecEnv) -> Iterator[VecEnv]:
    """Close environments if an algorithm cannot be made with them."""
    try:
        yield envs
    except BaseException:
        envs.close()
        raise


class Synchronous(Agent):
    """An algorithm that plays and learns in turn, in this process.

    Args:
        config: hyper-parameters, with a ``VectorEnvGroup``.
        envs: N environments, closed by ``close``.

    Attributes:
        policy: chooses actions.
        collector: plays in the environments.
        generator: draws actions and whatever else is random in learning.
        normalize_rewards: scales rewards, or ``None``.
        env_steps: steps of single environments so far.
        num_updates: gradient steps so far.
    """

    asynchronous = False
    has_started = True
    num_learners = 1
    policy: Policy
    collector: RolloutCollector
    normalize_rewards: RewardNormalizer | None = None

    def __init__(self, config: Any, envs: VecEnv):
        super().__init__(config)
        self.envs = envs
        self.observation_space, self.action_space = envs.observation_space, envs.action_space
        self.generator = np.random.default_rng((config.seed, 1))
        self.env_steps = 0
        self.num_updates = 0

    def saved_parts(self) -> dict[str, Part]:
        """See ``Agent.saved_parts``; a subclass adds the parameters and the statistics of its optimisers."""
        collector, resume_episodes = self.collector, self.config.resume_episodes
        return {
            **super().saved_parts(),
            "collector": Part(  # the first to be restored, because an environment may fail in it
                collector.state_dict,
                lambda state: collector.load_state_dict(state, resume_episodes),
                collector.check_state_dict,
            ),
            "env_steps": attribute_part(self, "env_steps"),
            "num_updates": attribute_part(self, "num_updates"),
            "generator": generator_part(self.generator),
            "encoder": component_part(self.policy.encode),
            "reward_normalizer": component_part(self.normalize_rewards),
        }

    def learned_parts(self) -> dict[str, Part]:
        """See ``Agent.learned_parts``; a subclass adds the parameters."""
        rewards = self.normalize_rewards
        return {
            "encoder": component_part(self.policy.encode),
            **({} if rewards is None else {"reward_moments": moments_part(rewards.moments)}),
        }

    @classmethod
    def from_config(cls: type[AnyAlgorithm], config: Any) -> AnyAlgorithm:
        """With the environments that the configuration names; ``ConfigError`` if they cannot be had."""
        with closed_on_error(make_training_envs(config)) as envs:
            return cls(config, envs)

    @property
    def is_done(self) -> bool:
        """Whether the total of steps is reached."""
        return self.env_steps >= self.config.total_steps

    def find_unrepeatable(self, max_steps: int) -> str | None:
        """Replay a running episode; see ``Algorithm.find_unrepeatable``."""
        if self.config.resume_episodes == "new":
            return None
        return find_unrepeatable(self.config, self.envs.get_state(), self.collector.observations, max_steps)

    def check(self) -> None:
        """Do nothing: nothing can fail between two updates."""

    def finish(self) -> Iterator[dict[str, Any]]:
        """Return no metrics: nothing happens after the last update."""
        return iter(())

    def close(self) -> None:
        """Close the environments, end their workers, and restore the threads of matrix products."""
        try:
            self.envs.close()
        finally:
            super().close()
