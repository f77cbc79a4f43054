"""Replay buffer of transitions for off-policy learning."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from paddle_ac.learning.frames import FrameStacks
from paddle_ac.learning.priorities import Priorities
from paddle_ac.learning.rollout import Rollout
from paddle_ac.memory import require_memory
from paddle_ac.packing import ObservationPacking

TERMINATED, TRUNCATED = 1, 2  # how a step ended its episode; 0: it did not


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
    """The latest transitions of N environments; new ones replace the oldest.

    Every observation is stored once, in the dtype of its space: the observation after a step is the one before the
    next step. Of a stack of frames, only the newest frame is stored. In addition the buffer stores the last
    observation of each truncated episode, and the older frames of a stack that does not continue the one before it, as
    at the start of a game. Memory is allocated at once, but only written rows cost any.

    Args:
        capacity: largest number of transitions, rounded down to a multiple of N, but at least N.
        observation_space: of the environments.
        action_space: of the environments.
        num_envs: N.
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
        packing = ObservationPacking(observation_space)
        self.num_envs = num_envs
        self.gamma = gamma
        self.num_step_returns = num_step_returns
        self._stacks = FrameStacks(observation_space, num_frames) if num_frames > 1 else None
        shape = packing.shape if self._stacks is None else self._stacks.frame_shape
        self._num_older = num_frames - 1
        self._capacity = max(capacity // num_envs, 1)  # in steps
        # Step t is in row t % num_rows; the older frames of the oldest step and the newest observation need rows too.
        self._num_rows = self._capacity + self._num_older + 1
        self._rows = {
            "observations": (shape, packing.dtype),
            "actions": (action_space.shape, np.dtype(action_space.dtype)),
            "rewards": ((), np.dtype(np.float32)),
            "endings": ((), np.dtype(np.uint8)),
        }
        if self._stacks is not None:
            self._rows["depths"] = ((), np.dtype(np.uint16))
        num_places = self._num_rows * num_envs
        self.row_bytes = num_envs * sum(math.prod(shape) * dtype.itemsize for shape, dtype in self._rows.values())
        require_memory(self._num_rows * self.row_bytes, f"buffer_size={capacity}")
        self._arrays = {name: np.empty((num_places, *shape), dtype) for name, (shape, dtype) in self._rows.items()}
        self._observations = self._arrays["observations"]
        self._actions = self._arrays["actions"]
        self._rewards = self._arrays["rewards"]
        self._endings = self._arrays["endings"]
        self._num_steps = 0  # of each environment, ever
        self._newest: np.ndarray | None = None  # [N, *observation_space.shape], after the newest step
        # By step * N + environment, ordered by step:
        self._last_observations: OrderedDict[int, np.ndarray] = OrderedDict()  # of truncated episodes
        self._first_frames: OrderedDict[int, np.ndarray] = OrderedDict()  # [K - 1, *frame_shape]
        self._priorities: Priorities | None = None
        if priority_exponent is not None:
            self._priorities = Priorities(self._capacity * num_envs, priority_exponent)

    @property
    def size(self) -> int:
        """Present number of transitions."""
        return min(self._num_steps, self._capacity) * self.num_envs

    def add(self, rollout: Rollout) -> None:
        """Add the T steps of a rollout of the N environments.

        Where its first observation is not the one after the newest step, because the environment was reset, that step
        becomes a truncation.
        """
        self._continue_from(rollout.observations[0])
        first, num_envs = self._num_steps, self.num_envs
        steps = np.arange(first, first + len(rollout.rewards))
        indices = self._indices(steps)
        self._actions[indices] = rollout.actions.reshape(-1, *self._actions.shape[1:])
        self._rewards[indices] = rollout.rewards.ravel()
        self._endings[indices] = (rollout.terminated * TERMINATED + rollout.truncated * TRUNCATED).ravel()
        for (step, env), observation in zip(rollout.truncation_places, rollout.truncation_observations, strict=True):
            self._last_observations[(first + step) * num_envs + env] = observation.copy()
        if self._stacks is None:
            row = (first + len(steps)) % self._num_rows * num_envs
            self._observations[indices] = rollout.observations.reshape(-1, *self._observations.shape[1:])
            self._observations[row : row + num_envs] = rollout.last_observations
        else:
            before = rollout.observations[0]
            for step, after in enumerate([*rollout.observations[1:], rollout.last_observations], first + 1):
                self._add_stacks(step, before, after)
                before = after
        self._num_steps += len(steps)
        self._newest = rollout.last_observations.copy()
        if self._priorities is not None:
            self._priorities.add(((steps % self._capacity)[:, np.newaxis] * num_envs + np.arange(num_envs)).ravel())
        oldest = (self._num_steps + 1 - self._num_rows) * num_envs
        for stored in (self._last_observations, self._first_frames):
            while stored and next(iter(stored)) < oldest:
                stored.popitem(last=False)

    def sample(
        self,
        batch_size: int,
        generator: np.random.Generator,
        scale_rewards: Callable[[np.ndarray], np.ndarray] = unscaled,
        importance_exponent: float = 1.0,
    ) -> Batch:
        """Sample transitions with replacement: uniformly, or by their priorities.

        Args:
            batch_size: B.
            generator: source of the draws.
            scale_rewards: from rewards ``[B]`` float32 of single steps to those that returns are computed from.
            importance_exponent: of the weights of prioritised sampling (``Priorities.weights``).
        """
        if self._priorities is None:
            places = generator.integers(self.size, size=batch_size)
            weights = np.ones(batch_size, np.float32)
        else:
            places = self._priorities.sample(batch_size, generator)
            weights = self._priorities.weights(places, self.size, importance_exponent)
        steps, envs = np.divmod(places, self.num_envs)
        newest = self._num_steps - 1
        if newest >= self._capacity:  # place p holds the latest step that is p modulo the capacity
            steps = newest - (newest - steps) % self._capacity
        indices = self._index(steps, envs)
        observations, actions = self._observations_at(steps, envs, indices), self._actions.take(indices, axis=0)
        rewards, endings = scale_rewards(self._rewards.take(indices)), self._endings.take(indices)
        discounts = np.full(batch_size, self.gamma, np.float32)
        for _ in range(1, self.num_step_returns):
            goes_on = (endings == 0) & (steps < newest)
            steps = steps + goes_on
            indices = self._index(steps, envs)
            rewards = rewards + np.where(goes_on, discounts * scale_rewards(self._rewards.take(indices)), 0)
            discounts = np.where(goes_on, discounts * np.float32(self.gamma), discounts)
            endings = self._endings.take(indices)
        next_observations = self._observations_at(steps + 1, envs, self._index(steps + 1, envs))
        if endings.any():
            discounts[endings == TERMINATED] = 0
            for row in np.flatnonzero(endings == TRUNCATED):
                next_observations[row] = self._last_observations[steps[row] * self.num_envs + envs[row]]
        return Batch(observations, actions, next_observations, rewards, discounts, weights, places)

    def update_priorities(self, places: np.ndarray, errors: np.ndarray) -> None:
        """Set the priorities of a batch's transitions from their TD errors ``[B]``; nothing for uniform sampling."""
        if self._priorities is not None:
            self._priorities.update(places, errors)

    def _index(self, steps: np.ndarray, envs: np.ndarray) -> np.ndarray:
        """Indices ``[B]`` into the arrays for steps and environments ``[B]``."""
        rows = steps if self._num_steps < self._num_rows else steps % self._num_rows
        return rows * self.num_envs + envs

    def _indices(self, steps: np.ndarray) -> np.ndarray:
        """Indices ``[T * N]`` into the arrays for all environments at steps ``[T]``."""
        return ((steps % self._num_rows)[:, np.newaxis] * self.num_envs + np.arange(self.num_envs)).ravel()

    def _observations_at(self, steps: np.ndarray, envs: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """The observations ``[B, *observation_space.shape]`` at steps and environments, and their indices, ``[B]``."""
        if self._stacks is None:
            return self._observations.take(indices, axis=0)
        depths = self._arrays["depths"].take(indices)
        ages = np.minimum(np.arange(self._num_older, -1, -1), depths[:, np.newaxis])
        frames = self._observations.take(self._index(steps[:, np.newaxis] - ages, envs[:, np.newaxis]), axis=0)
        for row in np.flatnonzero(depths < self._num_older):
            depth = int(depths[row])
            older = self._first_frames[(steps[row] - depth) * self.num_envs + envs[row]]
            frames[row, : self._num_older - depth] = older[depth:]
        return self._stacks.join(frames)

    def _continue_from(self, observations: np.ndarray) -> None:
        """Make ``observations`` ``[N, ...]`` those before the next step; where they are new, an episode starts."""
        step, num_envs = self._num_steps, self.num_envs
        changed = np.arange(num_envs)
        if self._newest is not None:
            changed = np.flatnonzero((_as_bytes(observations) != _as_bytes(self._newest)).any(axis=1))
        for env in changed.tolist():
            if self._newest is not None:
                before = self._index(np.array(step - 1), np.array(env))
                if self._endings[before] == 0:
                    self._endings[before] = TRUNCATED
                    self._last_observations[(step - 1) * num_envs + env] = self._newest[env].copy()
            index = step % self._num_rows * num_envs + env
            if self._stacks is None:
                self._observations[index] = observations[env]
            else:
                frames = self._stacks.split(observations[env : env + 1])[0]
                self._observations[index] = frames[-1]
                self._arrays["depths"][index] = 0
                self._first_frames[step * num_envs + env] = frames[:-1].copy()

    def _add_stacks(self, step: int, before: np.ndarray, after: np.ndarray) -> None:
        """Store the newest frames of the stacks ``after`` ``[N, ...]`` at a step, and older ones not in ``before``."""
        assert self._stacks is not None
        num_envs, depths = self.num_envs, self._arrays["depths"]
        row, row_before = (number % self._num_rows * num_envs for number in (step, step - 1))
        frames = self._stacks.split(after)
        self._observations[row : row + num_envs] = frames[:, -1]
        continues = (frames[:, :-1] == self._stacks.split(before)[:, 1:]).reshape(num_envs, -1).all(axis=1)
        deeper = np.minimum(depths[row_before : row_before + num_envs] + 1, self._num_older)
        depths[row : row + num_envs] = np.where(continues, deeper, 0)
        for env in np.flatnonzero(~continues).tolist():
            self._first_frames[step * num_envs + env] = frames[env, :-1].copy()

    def state_dict(self) -> dict[str, Any]:
        """Return all that is stored, not copied."""
        return {
            "capacity": self._capacity,
            "num_steps": self._num_steps,
            "newest": {} if self._newest is None else {"observations": self._newest},
            "parts": {str(first): self._part(first, stop) for first, stop in self._ranges()},
            "priorities": {} if self._priorities is None else self._priorities.state_dict(),
        }

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """First step and end of the parts that are saved: each lies in consecutive rows."""
        if self._newest is None:
            return
        stop = self._num_steps + 1  # with the observations after the newest step
        first = max(stop - self._num_rows, 0)
        while first < stop:
            end = min(first - first % self._num_rows + self._num_rows, stop)
            yield first, end
            first = end

    def _part(self, first: int, stop: int) -> dict[str, Any]:
        row = first % self._num_rows
        places = slice(row * self.num_envs, (row + stop - first) * self.num_envs)
        part: dict[str, Any] = {"first": first, **{name: array[places] for name, array in self._arrays.items()}}
        if stop > self._num_steps:  # no step has been taken from there yet
            for name in ("actions", "rewards", "endings"):
                part[name] = part[name][: -self.num_envs]
        for name, stored in (("last_observations", self._last_observations), ("first_frames", self._first_frames)):
            keys = [key for key in stored if first * self.num_envs <= key < stop * self.num_envs]
            part[f"{name}_at"] = np.array(keys, np.int64)
            if keys:
                part[name] = np.stack([stored[key] for key in keys])
        return part

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise ``ValueError`` for a buffer of another capacity, or of other observations or actions."""
        if not isinstance(state, dict) or not self.state_dict().keys() <= state.keys():
            raise ValueError("it has no replay buffer")
        if state["capacity"] != self._capacity:
            raise ValueError(
                f"the checkpoint's replay buffer holds {state['capacity']} steps of each environment, this one "
                f"{self._capacity}"
            )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned; ``ValueError`` as ``check_state_dict``."""
        self.check_state_dict(state)
        self._num_steps = state["num_steps"]
        self._newest = state["newest"].get("observations")
        for part in state["parts"].values():
            begin = part["first"] % self._num_rows * self.num_envs
            for name, array in self._arrays.items():
                array[begin : begin + len(part[name])] = part[name]
            for name, stored in (("last_observations", self._last_observations), ("first_frames", self._first_frames)):
                stored.update(zip(part[f"{name}_at"].tolist(), part.get(name, ()), strict=True))
        if self._priorities is not None:
            self._priorities.load_state_dict(state["priorities"])


def _as_bytes(observations: np.ndarray) -> np.ndarray:
    """``[N, ...]`` of any dtype as bytes ``[N, M]``."""
    return np.ascontiguousarray(observations).view(np.uint8).reshape(len(observations), -1)
