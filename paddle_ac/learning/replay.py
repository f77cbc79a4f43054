"""Replay buffer of transitions for off-policy learning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from paddle_ac.learning.priorities import Priorities
from paddle_ac.learning.replay_storage import TERMINATED, TRUNCATED, ReplayStorage
from paddle_ac.learning.rollout import Rollout


@dataclass(frozen=True)
class Batch:
    """B sampled transitions; copies.

    Attributes:
        observations: ``[B, *observation_space.shape]`` in the dtype of the space; packed for a Dict or Tuple space.
        actions: ``[B, *action_space.shape]``, as in ``Rollout``.
        next_observations: as ``observations``; those that the returns are bootstrapped from: n steps later, or fewer
            where the episode or the buffer ends before. Arbitrary where ``discounts`` is 0.
        rewards: ``[B]`` float32, the discounted sum of the rewards up to there.
        discounts: ``[B]`` float32, the factor of the value of ``next_observations``: ``gamma`` to the power of the
            number of steps, or 0 where the episode terminated.
        weights: ``[B]`` float32, importance weights of prioritised sampling; 1 for uniform sampling.
        places: ``[B]`` int64, for ``ReplayBuffer.update_priorities``; valid until the next ``add``.
    """

    observations: np.ndarray
    actions: np.ndarray
    next_observations: np.ndarray
    rewards: np.ndarray
    discounts: np.ndarray
    weights: np.ndarray
    places: np.ndarray


def unscaled(rewards: np.ndarray) -> np.ndarray:
    """The rewards as they are."""
    return rewards


class ReplayBuffer:
    """The latest transitions of N environments, to be sampled; new ones replace the oldest.

    Args:
        capacity: largest number of transitions, rounded down to a multiple of N, but at least N.
        observation_space: of the environments.
        action_space: of the environments.
        num_envs: ``N``.
        gamma: discount factor.
        num_step_returns: n, the number of rewards in a return before it is bootstrapped.
        num_frames: K, the number of frames that an observation is a stack of (``FrameStacks``); 1 for no stack.
        priority_exponent: of prioritised sampling (``Priorities``); ``None`` for uniform sampling.

    Raises:
        ConfigError: there is not enough memory.
    """

    def __init__(
        self,
        capacity: int,
        observation_space: Any,
        action_space: Any,
        num_envs: int = 1,
        gamma: float = 0.99,
        num_step_returns: int = 1,
        num_frames: int = 1,
        priority_exponent: float | None = None,
    ):
        self.num_envs = num_envs
        self.gamma = gamma
        self.num_step_returns = num_step_returns
        self._storage = ReplayStorage(
            max(capacity // num_envs, 1),
            observation_space,
            action_space,
            num_envs,
            num_frames,
            f"buffer_size={capacity}",
        )
        self._priorities: Priorities | None = None
        if priority_exponent is not None:
            self._priorities = Priorities(self._storage.capacity * num_envs, priority_exponent)

    @property
    def size(self) -> int:
        """Present number of transitions."""
        return min(self._storage.num_steps, self._storage.capacity) * self.num_envs

    def add(self, rollout: Rollout) -> None:
        """Add the T steps of a rollout of the N environments.

        Where its first observation is not the one after the newest step, because the environment was reset, that step
        becomes a truncation.
        """
        steps = self._storage.add(rollout)
        if self._priorities is not None:
            rows = (steps % self._storage.capacity)[:, np.newaxis]
            self._priorities.add((rows * self.num_envs + np.arange(self.num_envs)).ravel())

    def sample(
        self,
        batch_size: int,
        generator: np.random.Generator,
        scale_rewards: Callable[[np.ndarray], np.ndarray] = unscaled,
        importance_exponent: float = 1.0,
    ) -> Batch:
        """Sample transitions with replacement: uniformly, or by their priorities.

        Args:
            batch_size: ``B``.
            generator: source of the draws.
            scale_rewards: from rewards ``[B]`` float32 of single steps to those that returns are computed from.
            importance_exponent: of the weights of prioritised sampling (``Priorities.weights``).
        """
        storage, newest = self._storage, self._storage.num_steps - 1
        if self._priorities is None:
            places = generator.integers(self.size, size=batch_size)
            weights = np.ones(batch_size, np.float32)
        else:
            places = self._priorities.sample(batch_size, generator)
            weights = self._priorities.weights(places, self.size, importance_exponent)
        steps, envs = np.divmod(places, self.num_envs)
        if newest >= storage.capacity:  # a place holds the latest step that is equal to it modulo the capacity
            steps = newest - (newest - steps) % storage.capacity
        indices = storage.index(steps, envs)
        observations, actions = storage.observations(steps, envs, indices), storage.actions.take(indices, axis=0)
        rewards, endings = scale_rewards(storage.rewards.take(indices)), storage.endings.take(indices)
        discounts = np.full(batch_size, self.gamma, np.float32)
        for _ in range(1, self.num_step_returns):
            goes_on = (endings == 0) & (steps < newest)
            steps = steps + goes_on
            indices = storage.index(steps, envs)
            rewards = rewards + np.where(goes_on, discounts * scale_rewards(storage.rewards.take(indices)), 0)
            discounts = np.where(goes_on, discounts * np.float32(self.gamma), discounts)
            endings = storage.endings.take(indices)
        next_observations = storage.observations(steps + 1, envs, storage.index(steps + 1, envs))
        if endings.any():
            discounts[endings == TERMINATED] = 0
            for row in np.flatnonzero(endings == TRUNCATED):
                next_observations[row] = storage.last_observation(steps[row], envs[row])
        return Batch(observations, actions, next_observations, rewards, discounts, weights, places)

    def update_priorities(self, places: np.ndarray, errors: np.ndarray) -> None:
        """Set the priorities of a batch's transitions from their TD errors ``[B]``; nothing for uniform sampling."""
        if self._priorities is not None:
            self._priorities.update(places, errors)

    def state_dict(self) -> dict[str, Any]:
        """Return all that is stored, not copied (``ReplayStorage.state_dict``), and the priorities."""
        priorities = {} if self._priorities is None else self._priorities.state_dict()
        return {**self._storage.state_dict(), "priorities": priorities}

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise ``ValueError`` for a buffer of another capacity, or of other observations or actions.

        Raises:
            CheckpointError: a piece of the buffer is missing or damaged.
        """
        if isinstance(state, dict) and "rows" in state:
            raise ValueError(
                "its replay buffer was written by version 0.1, which stored features: start a new run from its policy "
                "with --init-from, or resume it with version 0.1"
            )
        if not isinstance(state, dict) or state.keys() != self.state_dict().keys():
            raise ValueError("it has no replay buffer")
        self._storage.check_state_dict(state)
        if self._priorities is not None:
            self._priorities.check_state_dict(state["priorities"])
        elif state["priorities"] != {}:
            raise ValueError("its replay buffer has priorities, unlike the configuration")

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that ``check_state_dict`` accepts; it reads every piece again."""
        self._storage.load_state_dict(state)
        if self._priorities is not None:
            self._priorities.load_state_dict(state["priorities"])
