"""Storage of a replay buffer: the latest steps of N environments, each observation and each frame once."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np

from paddle_ac.checkpoint import Pieces, piece_name
from paddle_ac.errors import quoted
from paddle_ac.learning.frames import FrameStacks
from paddle_ac.learning.rollout import Rollout
from paddle_ac.memory import require_memory
from paddle_ac.packing import ObservationPacking

TERMINATED, TRUNCATED = 1, 2  # how a step ended its episode; 0: it did not

# Steps of this size are a piece of a checkpoint; buffers that are no larger have none. Saved pieces depend on it.
PIECE_BYTES = 8 * 2**20

OF_STEPS = ("actions", "rewards", "endings")  # arrays that the observation after the newest step has no entry in


class ReplayStorage:
    """The latest steps of N environments; new ones replace the oldest.

    Observations are stored in the dtype of their space. The observation after a step is the one before the next step,
    and is stored once. Of a stack of frames, only the newest frame is stored. The last observations of truncated
    episodes are stored apart, and so are the older frames of a stack that does not continue the stack before it, as at
    the start of a game. So every observation is restored as the policy saw it. Memory is allocated at once, but only
    written rows cost any.

    Steps are numbered from 0 for all environments together. Step t is in row ``t % num_rows`` of the arrays, and
    environment n in its entry n.

    Args:
        capacity: number of steps of each environment.
        observation_space: of the environments.
        action_space: of the environments.
        num_envs: ``N``.
        num_frames: K, the number of frames that an observation is a stack of (``FrameStacks``); 1 for no stack.
        name: the hyper-parameter that asks for the memory, with its value, for messages.

    Attributes:
        num_steps: number of steps of each environment so far, those that were replaced among them.
        actions: ``[M, *action_space.shape]``, at the indices of ``index``, as are the following.
        rewards: ``[M]`` float32.
        endings: ``[M]`` uint8, ``TERMINATED``, ``TRUNCATED`` or 0.

    Raises:
        ConfigError: there is not enough memory.
    """

    def __init__(
        self, capacity: int, observation_space: Any, action_space: Any, num_envs: int, num_frames: int, name: str
    ):
        self.capacity = capacity
        self.num_envs = num_envs
        self.num_steps = 0
        self._packing = ObservationPacking(observation_space)
        self._stacks = FrameStacks(observation_space, num_frames) if num_frames > 1 else None
        self._num_older = num_frames - 1
        shape, dtype = self._packing.shape, self._packing.dtype
        if self._stacks is not None:
            shape, dtype = self._stacks.entry_shape, self._stacks.entry_dtype
        # One row for the observation after the newest step, and those of the older frames of the oldest step.
        self._num_rows = capacity + 1 + self._num_older
        entries: dict[str, tuple[tuple[int, ...], Any]] = {
            "observations": (shape, dtype),
            "actions": (action_space.shape, np.dtype(action_space.dtype)),
            "rewards": ((), np.dtype(np.float32)),
            "endings": ((), np.dtype(np.uint8)),
        }
        if self._stacks is not None:
            entries["depths"] = ((), np.dtype(np.uint16))  # older frames of the observation in the rows before it
        row_bytes = num_envs * sum(math.prod(shape) * dtype.itemsize for shape, dtype in entries.values())
        require_memory(self._num_rows * row_bytes, name)
        self._arrays = {
            name: np.empty((self._num_rows * num_envs, *shape), dtype) for name, (shape, dtype) in entries.items()
        }
        self._observations = self._arrays["observations"]
        self.actions, self.rewards, self.endings = (self._arrays[name] for name in OF_STEPS)
        self._newest: np.ndarray | None = None  # [N, *observation_space.shape], after the newest step
        # By step * N + environment, in the order of the steps:
        self._last_observations: OrderedDict[int, np.ndarray] = OrderedDict()  # of truncated episodes
        self._first_frames: OrderedDict[int, np.ndarray] = OrderedDict()  # [K - 1, *frame_shape]
        self._apart = {"last_observations": (self._last_observations, self._packing.shape, self._packing.dtype)}
        if self._stacks is not None:
            older = (self._num_older, *self._stacks.frame_shape)
            self._apart["first_frames"] = (self._first_frames, older, self._stacks.frame_dtype)
        self._piece_steps = max(PIECE_BYTES // row_bytes, 1)
        self._pieces: dict[int, tuple[str, dict[str, np.ndarray]]] = {}  # by first step: name, and what is apart

    def add(self, rollout: Rollout) -> np.ndarray:
        """Add the T steps of a rollout of the N environments.

        Where its first observation is not the one after the newest step, because the environment was reset, that step
        becomes a truncation.

        Returns:
            the numbers of the steps ``[T]``.
        """
        self._continue_from(rollout.observations[0])
        first, num_envs = self.num_steps, self.num_envs
        steps = np.arange(first, first + len(rollout.rewards))
        indices = ((steps % self._num_rows)[:, np.newaxis] * num_envs + np.arange(num_envs)).ravel()
        self.actions[indices] = rollout.actions.reshape(-1, *self.actions.shape[1:])
        self.rewards[indices] = rollout.rewards.ravel()
        self.endings[indices] = (rollout.terminated * TERMINATED + rollout.truncated * TRUNCATED).ravel()
        for (step, env), observation in zip(rollout.truncation_places, rollout.truncation_observations, strict=True):
            self._last_observations[(first + step) * num_envs + env] = observation.copy()
        if self._stacks is None:
            self._observations[indices] = rollout.observations.reshape(-1, *self._observations.shape[1:])
            self._observations[self._row(first + len(steps))] = rollout.last_observations
        else:
            before = rollout.observations[0]
            for step, after in enumerate([*rollout.observations[1:], rollout.last_observations], first + 1):
                self._add_stacks(step, before, after)
                before = after
        self.num_steps += len(steps)
        self._newest = rollout.last_observations.copy()
        for stored, _, _ in self._apart.values():
            while stored and next(iter(stored)) < self._oldest_row * num_envs:
                stored.popitem(last=False)
        return steps

    @property
    def _oldest_row(self) -> int:
        """The first step that has an observation, if only for the stacks of later steps."""
        return max(self.num_steps + 1 - self._num_rows, 0)

    def _row(self, step: int) -> slice:
        """The indices of all environments at a step."""
        begin = step % self._num_rows * self.num_envs
        return slice(begin, begin + self.num_envs)

    def index(self, steps: np.ndarray, envs: np.ndarray) -> np.ndarray:
        """Indices into the arrays for steps and environments, of any shape."""
        rows = steps if self.num_steps < self._num_rows else steps % self._num_rows
        return rows * self.num_envs + envs

    def observations(self, steps: np.ndarray, envs: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """The observations ``[B, *observation_space.shape]`` before steps in environments, and their indices, ``[B]``.

        The step after the newest one has an observation too.
        """
        if self._stacks is None:
            return self._observations.take(indices, axis=0)
        depths = self._arrays["depths"].take(indices)
        ages = np.minimum(np.arange(self._num_older, -1, -1), depths[:, np.newaxis])
        indices_of_frames = self.index(steps[:, np.newaxis] - ages, envs[:, np.newaxis])
        frames = self._stacks.frames_at(self._observations, indices_of_frames)
        for row in np.flatnonzero(depths < self._num_older):
            depth = int(depths[row])
            older = self._first_frames[(steps[row] - depth) * self.num_envs + envs[row]]
            frames[row, : self._num_older - depth] = older[depth:]
        return self._stacks.join(frames, self._observations, indices)

    def last_observation(self, step: int, env: int) -> np.ndarray:
        """The last observation of an episode that was truncated at a step."""
        return self._last_observations[step * self.num_envs + env]

    def _continue_from(self, observations: np.ndarray) -> None:
        """Make ``observations`` ``[N, ...]`` those before the next step; where they are new, an episode starts."""
        step, num_envs = self.num_steps, self.num_envs
        changed = np.arange(num_envs)
        if self._newest is not None:
            if observations.tobytes() == self._newest.tobytes():  # as always but after a reset; quickly
                return
            changed = np.flatnonzero((_as_bytes(observations) != _as_bytes(self._newest)).any(axis=1))
        for env in changed.tolist():
            if self._newest is not None:
                before = self._row(step - 1).start + env
                if self.endings[before] == 0:
                    self.endings[before] = TRUNCATED
                    self._last_observations[(step - 1) * num_envs + env] = self._newest[env].copy()
            index = self._row(step).start + env
            if self._stacks is None:
                self._observations[index] = observations[env]
            else:
                self._observations[index] = self._stacks.entries(observations[env : env + 1])[0]
                self._arrays["depths"][index] = 0
                self._first_frames[step * num_envs + env] = self._stacks.split(observations[env : env + 1])[
                    0, :-1
                ].copy()

    def _add_stacks(self, step: int, before: np.ndarray, after: np.ndarray) -> None:
        """Store the newest frames of the stacks ``after`` ``[N, ...]`` at a step, and older ones not in ``before``."""
        assert self._stacks is not None
        depths, row = self._arrays["depths"], self._row(step)
        frames = self._stacks.split(after)
        self._observations[row] = self._stacks.entries(after)
        continues = (frames[:, :-1] == self._stacks.split(before)[:, 1:]).reshape(self.num_envs, -1).all(axis=1)
        depths[row] = np.where(continues, np.minimum(depths[self._row(step - 1)] + 1, self._num_older), 0)
        for env in np.flatnonzero(~continues).tolist():
            self._first_frames[step * self.num_envs + env] = frames[env, :-1].copy()

    def state_dict(self) -> dict[str, Any]:
        """Return all that is stored, not copied; of a large buffer, steps that never change again as ``Pieces``."""
        pieces, rest, numbers = {}, {}, set()
        for first, stop in self._ranges():
            # The newest step may yet become a truncation.
            if self._piece_steps < self._num_rows and stop < self.num_steps:
                number, name, piece = self._piece(first, stop)
                pieces[name] = piece
                numbers.add(number)
            else:
                rest[str(first)] = {**self._part(first, stop), **self._part_apart(first, stop)}
        self._pieces = {number: piece for number, piece in self._pieces.items() if number in numbers}
        return {
            "capacity": self.capacity,
            "num_steps": self.num_steps,
            "newest": {} if self._newest is None else {"observations": self._newest},
            "pieces": Pieces(pieces),
            "rest": rest,
        }

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """First step and end of the parts that are saved, in order; each lies in consecutive rows.

        They end at the same rows in every round through the buffer, whenever it is saved.
        """
        if self._newest is None:
            return
        first, stop = self._oldest_row, self.num_steps + 1  # with the observation after the newest step
        while first < stop:
            row = first % self._num_rows
            end = first - row + min(row - row % self._piece_steps + self._piece_steps, self._num_rows)
            yield first, min(end, stop)
            first = end

    def _part(self, first: int, stop: int) -> dict[str, Any]:
        """The rows of the steps from ``first`` to ``stop``."""
        begin = self._row(first).start
        places = slice(begin, begin + (stop - first) * self.num_envs)
        part: dict[str, Any] = {"first": first, **{name: array[places] for name, array in self._arrays.items()}}
        if stop > self.num_steps:
            part |= {name: part[name][: -self.num_envs] for name in OF_STEPS}
        return part

    def _part_apart(self, first: int, stop: int) -> dict[str, np.ndarray]:
        """Arrays that are stored apart for the steps from ``first`` to ``stop``, with their keys."""
        part = {}
        for name, (stored, shape, dtype) in self._apart.items():
            keys = np.fromiter(stored, np.int64, len(stored))
            begin, end = np.searchsorted(keys, [first * self.num_envs, stop * self.num_envs])
            part[f"{name}_at"] = keys[begin:end]
            part[name] = np.empty((end - begin, *shape), dtype)
            for row, key in enumerate(keys[begin:end].tolist()):
                part[name][row] = stored[key]
        return part

    def _piece(self, first: int, stop: int) -> tuple[int, str, dict[str, Any]]:
        """First step, name and content of a piece; of one that is being replaced, what is left of it."""
        part, number = self._part(first, stop), self._piece_start(first)
        if number not in self._pieces:
            apart = self._part_apart(first, stop)
            self._pieces[number] = piece_name(number, {**part, **apart}), apart
            self._share(apart)
        name, apart = self._pieces[number]
        return number, name, {**part, **apart}

    def _piece_start(self, step: int) -> int:
        """The first step of the piece that a step belongs to."""
        return step - step % self._num_rows % self._piece_steps

    def _share(self, apart: dict[str, np.ndarray]) -> None:
        """Keep what a part has apart on the memory of that part, rather than twice."""
        for name, (stored, _, _) in self._apart.items():
            stored.update(zip(apart[f"{name}_at"].tolist(), apart[name], strict=True))

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise ``ValueError`` for a state of another capacity or of other spaces, or one that lacks steps.

        Raises:
            CheckpointError: a piece is missing or damaged.
        """
        num_steps = state.get("num_steps")
        if type(num_steps) is not int or num_steps < 0:
            raise ValueError("the steps of its replay buffer are no number")
        if state.get("capacity") != self.capacity:
            raise ValueError(
                f"its replay buffer holds {quoted(state.get('capacity'))} steps of each environment, this one "
                f"{self.capacity}"
            )
        newest = {"observations": ((self.num_envs, *self._packing.shape), self._packing.dtype)}
        _check_arrays(state.get("newest"), newest if num_steps else {})
        if not isinstance(state.get("pieces"), Pieces) or not isinstance(state.get("rest"), dict):
            raise ValueError("its replay buffer has no steps")
        oldest_row = max(num_steps + 1 - self._num_rows, 0)
        end: int | None = None
        keys: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {name: ([], []) for name in self._apart}
        for _, part in _parts(state):
            first, stop = self._check_part(part, num_steps)
            if (first > oldest_row) if end is None else (first != end):
                raise ValueError(f"its replay buffer lacks steps before {first}")
            end = stop
            for name, needed in self._keys_needed(part, num_steps - self.capacity).items():
                keys[name][0].append(needed)
                keys[name][1].append(part[f"{name}_at"])
        if end != (num_steps + 1 if num_steps else None):
            raise ValueError(f"its replay buffer lacks steps before {num_steps}")
        for name, (needed_keys, found_keys) in keys.items():
            if end is not None and not np.isin(np.concatenate(needed_keys), np.concatenate(found_keys)).all():
                raise ValueError(f"its replay buffer lacks {name}")

    def _check_part(self, part: Any, num_steps: int) -> tuple[int, int]:
        """The first step and the end of a part of a state; ``ValueError`` if it is none."""
        first = part.get("first") if isinstance(part, dict) else None
        observations = part.get("observations") if isinstance(part, dict) else None
        if type(first) is not int or first < 0 or not isinstance(observations, np.ndarray) or not observations.ndim:
            raise ValueError("a part of its replay buffer has no steps")
        count, remainder = divmod(len(observations), self.num_envs)
        if remainder or not 0 < count <= self._num_rows or first + count > num_steps + 1:
            raise ValueError(f"its replay buffer has {len(observations)} observations from step {first} on")
        lengths = dict.fromkeys(self._arrays, count * self.num_envs)
        if first + count > num_steps:
            lengths |= dict.fromkeys(OF_STEPS, (count - 1) * self.num_envs)
        expected = {name: ((lengths[name], *array.shape[1:]), array.dtype) for name, array in self._arrays.items()}
        for name, (_, shape, dtype) in self._apart.items():
            length = len(np.atleast_1d(part.get(name, ())))
            expected[f"{name}_at"] = (length,), np.dtype(np.int64)
            expected[name] = (length, *shape), dtype
        _check_arrays({name: value for name, value in part.items() if name != "first"}, expected)
        if (part["endings"] > TRUNCATED).any() or (part.get("depths", np.zeros(1)) > self._num_older).any():
            raise ValueError(f"its replay buffer has no such endings or depths, from step {first} on")
        return first, first + count

    def _keys_needed(self, part: dict[str, Any], oldest: int) -> dict[str, np.ndarray]:
        """The keys of what the steps of a part from ``oldest`` on need of what is stored apart."""
        begin = part["first"] * self.num_envs
        needed = {"last_observations": begin + np.flatnonzero(part["endings"] == TRUNCATED)}
        if self._stacks is not None:
            shallow = np.flatnonzero(part["depths"] < self._num_older)
            needed["first_frames"] = begin + shallow
        needed = {name: keys[keys >= oldest * self.num_envs] for name, keys in needed.items()}
        if self._stacks is not None:
            needed["first_frames"] -= self.num_envs * part["depths"][needed["first_frames"] - begin].astype(np.int64)
        return needed

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned and ``check_state_dict`` accepts."""
        self.num_steps = state["num_steps"]
        self._newest = state["newest"]["observations"].copy() if self.num_steps else None
        for stored, _, _ in self._apart.values():
            stored.clear()
        self._pieces = {}
        for name, part in _parts(state):
            # The oldest piece may have replaced steps: those that replaced them are loaded after it.
            begin = self._row(part["first"]).start
            for array_name, array in self._arrays.items():
                array[begin : begin + len(part[array_name])] = part[array_name]
            apart = {key: value for key, value in part.items() if key not in ("first", *self._arrays)}
            self._share(apart)
            if name is not None:
                self._pieces[self._piece_start(part["first"])] = name, apart


def _parts(state: dict[str, Any]) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """The parts of a state in the order of their steps: pieces with their names, then the rest."""
    for name in sorted(state["pieces"]):
        yield name, state["pieces"][name]
    for first in sorted(state["rest"], key=lambda first: (len(first), first)):
        yield None, state["rest"][first]


def _check_arrays(arrays: Any, expected: dict[str, tuple[tuple[int, ...], np.dtype]]) -> None:
    """Raise ``ValueError`` unless arrays by name have the names, shapes and dtypes that are expected."""
    if not isinstance(arrays, dict) or arrays.keys() != expected.keys():
        raise ValueError(f"its replay buffer has not the arrays {', '.join(expected)}")
    for name, (shape, dtype) in expected.items():
        array = arrays[name]
        if not isinstance(array, np.ndarray) or (array.shape, array.dtype) != (shape, dtype):
            there = f"{array.dtype}{array.shape}" if isinstance(array, np.ndarray) else quoted(array)
            raise ValueError(f"{name} of its replay buffer is {there}, and here {dtype}{shape}")


def _as_bytes(observations: np.ndarray) -> np.ndarray:
    """``[N, ...]`` of any dtype as bytes ``[N, M]``."""
    return np.ascontiguousarray(observations).view(np.uint8).reshape(len(observations), -1)
