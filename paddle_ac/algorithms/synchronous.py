"""What the algorithms of one learner share: nothing of theirs goes on between two updates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from multiprocessing_env import VecEnv
from paddle_ac.algorithms.agent import Agent
from paddle_ac.envs.make import find_unrepeatable, make_training_envs
from paddle_ac.learning.rollout import RolloutCollector

AnyAlgorithm = TypeVar("AnyAlgorithm", bound="Synchronous")


class Synchronous(Agent):
    """An algorithm that plays and learns in turn, in this process.

    Args:
        config: hyper-parameters, of a ``VectorEnvConfig``.
        envs: N environments, closed by ``close``.
    """

    asynchronous = False
    has_started = True
    num_learners = 1
    env_steps: int
    collector: RolloutCollector

    def __init__(self, config: Any, envs: VecEnv):
        super().__init__(config)
        self.envs = envs
        self.observation_space, self.action_space = envs.observation_space, envs.action_space

    @classmethod
    def from_config(cls: type[AnyAlgorithm], config: Any) -> AnyAlgorithm:
        """With the environments that the configuration names; ``ConfigError`` if they cannot be had."""
        envs = make_training_envs(config)
        try:
            return cls(config, envs)
        except BaseException:
            envs.close()
            raise

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
        """Nothing happens between two updates that could go wrong."""

    def finish(self) -> Iterator[dict[str, Any]]:
        """Nothing happens after the last update."""
        return iter(())

    def close(self) -> None:
        """Close the environments, end their workers, and restore the threads of matrix products."""
        try:
            self.envs.close()
        finally:
            super().close()
