"""Vectorised environments with the OpenAI baselines surface: in one process, or in worker processes.

This module stands alone: it needs NumPy and cloudpickle only, so it can be copied beside a notebook and imported there.

* Environments may follow Gymnasium (``reset`` gives ``(observation, info)``, ``step`` five results) or classic gym
  (five results in 0.26, four before it).
* A finished environment is reset at once. ``infos[i]["terminal_observation"]`` then holds the last observation of the
  finished episode, and ``infos[i]["TimeLimit.truncated"]`` is true if it was truncated rather than terminated: a value
  estimate must bootstrap through a truncation and stop at a termination (Pardo et al. 2018, arXiv:1712.00378).
* The info of every reset is kept: ``reset_infos[i]`` has that of the latest one, and ``infos[i]["reset_info"]`` that of
  the reset at the end of an episode, in the step in which it ends. Action masks and goals travel there.
* Observations are converted to the dtype of their space without changing a number; ``ObservationConverter`` lists what
  is rejected. The error names the environment and the operation.
* Observations of a Dict space are a dictionary of arrays, those of a Tuple space a tuple of arrays; both may be nested.
* Workers are spawned, never forked: a fork copies the locks and threads of the parent in whatever state they are in.
  A worker imports neither the parent's script nor anything that the environments do not import themselves.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import functools
import glob
import inspect
import io
import logging
import math
import mmap
import multiprocessing
import multiprocessing.connection
import multiprocessing.context
import multiprocessing.reduction
import multiprocessing.resource_tracker
import multiprocessing.spawn
import multiprocessing.util
import operator
import os
import pickle
import random
import selectors
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
import types
import uuid
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import cloudpickle
import cloudpickle.cloudpickle
import numpy as np

__all__ = [
    "Channel",
    "CloudpickleWrapper",
    "DummyVecEnv",
    "EnvServer",
    "EnvironmentAttributeError",
    "EnvironmentCall",
    "EnvironmentFailedError",
    "NotInSpaceError",
    "ObservationConverter",
    "ObservationError",
    "PartsConverter",
    "SameEnvironmentError",
    "SharedArray",
    "SubprocVecEnv",
    "UnsentValue",
    "VecEnv",
    "VecEnvError",
    "VecEnvWrapper",
    "Worker",
    "WorkerDiedError",
    "WorkerFailedError",
    "WorkerProcess",
    "WorkerTimeoutError",
    "WorkerVecEnv",
]

MemoryLayout = tuple[tuple[tuple[int, ...], Any], ...]  # shape and dtype of several arrays

SUPPORTED_SPACES = ("Box", "Discrete", "MultiDiscrete", "MultiBinary")

# A process that sleeps is woken late, and waking it takes time of whoever wakes it: 20 to 50 us each, longer than many
# a step. So who waits stays awake this many seconds, as long as messages keep coming so soon, and lets others run.
SOON = 1e-3
CAN_YIELD = hasattr(os, "sched_yield")
LONGEST_POLL = 1e6  # seconds; poll(2) takes at most 2**31 ms

LONGEST_MESSAGE = 1_000  # characters of an environment's error in one line
LONGEST_TRACEBACK = 20_000  # characters

SLOW_START = 30.0  # seconds for making one environment, after which a warning is logged
SECONDS_FOR_THREADS = 2.0  # that a process waits for its threads after its last line
KILL_TIMEOUT = 5.0  # seconds until the system has ended a process that was killed

# The two messages of every step, for which a Channel needs a byte.
STEP = None  # to a worker: take a step with the actions in shared memory
STEPPED = None  # from a worker: all its infos are empty, the rest is in shared memory


class VecEnvError(RuntimeError):
    """An environment or a worker process failed, or a call came at the wrong time."""


class EnvironmentFailedError(VecEnvError):
    """An environment raised an exception, of any kind but ``KeyboardInterrupt``.

    Its text is one line with all of this, followed by the traceback.

    Attributes:
        env_index: index of the environment, 0 to ``num_envs - 1``; ``None`` for environments that are stepped as one.
        operation: the call that failed: ``"__init__"``, ``"reset"``, ``"step"`` or a method's name.
        action: the action of the step, ``None`` outside ``step``.
        env_traceback: the traceback of the exception, as text.
        reason: type and message of the exception in one line, such as ``"ValueError: no such level"``.
    """

    def __init__(self, env_index: int | None, operation: str, action: Any, env_traceback: str, reason: str = ""):
        super().__init__(env_index, operation, action, env_traceback, reason)
        self.env_index = env_index
        self.operation = operation
        self.action = action
        self.env_traceback = env_traceback
        self.reason = reason

    @property
    def summary(self) -> str:
        """The error in one line: environment, operation, action and reason."""
        name = "the environments" if self.env_index is None else f"environment {self.env_index}"
        with_action = "" if self.action is None else f" with action {self.action!r}"
        return f"{name} failed in {self.operation}{with_action}: {self.reason}".removesuffix(": ")

    def __str__(self) -> str:
        return f"{self.summary}\n{self.env_traceback.rstrip()}".rstrip()


class EnvironmentAttributeError(EnvironmentFailedError, AttributeError):
    """An environment has no attribute of that name, or cannot be asked for one; nothing is broken."""


class ObservationError(EnvironmentFailedError):
    """An environment returned an observation that does not belong to its space. Its text is one line."""


class NotInSpaceError(TypeError, ValueError):
    """An observation does not belong to its space: another structure, shape, kind of numbers or range."""


class SameEnvironmentError(EnvironmentFailedError, ValueError):
    """Two of the functions that make environments returned the same one."""


class WorkerDiedError(VecEnvError):
    """A worker process ended without being asked to."""


class WorkerFailedError(VecEnvError):
    """The function that a worker process ran raised an exception."""


class WorkerTimeoutError(VecEnvError):
    """A worker, a process or a thread, did not answer within ``step_timeout`` or ``start_timeout`` seconds."""


@dataclass(frozen=True)
class UnsentValue:
    """Stands in an info dictionary for a value that cannot leave its worker process, such as a lock or a generator.

    Attributes:
        type_name: the type of the value.
        reason: why it cannot be pickled.
    """

    type_name: str
    reason: str


# --------------------------------------------------------------------------------------------------------------------
# Vector environments
# --------------------------------------------------------------------------------------------------------------------


class VecEnv(ABC):
    """``N`` environments that are stepped together, with the surface of OpenAI baselines.

    A subclass implements ``reset``, ``step_async``, ``step_wait`` and, if it holds anything to release,
    ``close_extras`` (or ``close``). The vectorised wrappers of baselines and Stable-Baselines3 (``VecMonitor``,
    ``VecNormalize``, ``VecFrameStack`` and others) work around any ``VecEnv``.

    Differences to baselines and Stable-Baselines3:

    * The environments of ``DummyVecEnv`` and ``SubprocVecEnv`` have identical spaces. An action space is a Box,
      Discrete, MultiDiscrete or MultiBinary; an observation space may also be a Dict or a Tuple of these, nested too.
      Observations have the structure of their space: one array, a dictionary of arrays or a tuple of arrays.
    * Actions have exactly the shape ``[N, *action_space.shape]`` and a dtype of the space's kind. For ``N = 1`` the
      first axis may be left out.
    * An environment that raises ends the call with ``EnvironmentFailedError``; a worker that dies or does not answer,
      with ``WorkerDiedError`` or ``WorkerTimeoutError``. A call at the wrong time raises ``VecEnvError``, in place of
      baselines' ``AlreadySteppingError`` and ``NotSteppingError``. An ``env.close()`` that raises is logged.
    * Workers are spawned or come from a fork server; they are never forked.
    * ``infos[i]`` holds ``"terminal_observation"`` (with the structure of the space), ``"TimeLimit.truncated"`` and
      ``"reset_info"`` in the last step of an episode only.
    * There is no viewer: ``render("human")`` needs environments that show themselves (``render_mode="human"``).

    Attributes:
        num_envs: ``N``.
        observation_space: the space of one environment.
        action_space: the space of one environment.
        reset_infos: the info dictionary of each environment's latest reset, a list of ``N``; a reset at the end of an
            episode counts, and ``infos[i]["reset_info"]`` holds a copy of it in that step.
        closed: whether ``close`` was called.
    """

    def __init__(self, num_envs: int, observation_space: Any, action_space: Any):
        self.num_envs = num_envs
        self.observation_space = observation_space
        self.action_space = action_space
        self._action_dtype = np.dtype(action_space.dtype)
        self.reset_infos: list[dict] = [{} for _ in range(num_envs)]
        self.closed = False

    def __len__(self) -> int:
        return self.num_envs

    def __enter__(self) -> VecEnv:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @abstractmethod
    def reset(self) -> Any:
        """Begin an episode in every environment; a step that is pending is cancelled.

        Workers finish a step that is cancelled, and its results are discarded.

        Returns:
            observations, ``[N, *observation_space.shape]`` in the space's dtype; for a Dict space a dictionary and for
            a Tuple space a tuple of such arrays, nested as the space is.
        """

    @abstractmethod
    def step_async(self, actions: np.ndarray) -> None:
        """Start a step with one action for every environment; ``step_wait`` returns its results.

        Args:
            actions: ``[N, *action_space.shape]``. Integers of any dtype, and lists of them, suit a space of integers;
                integers and floats suit a space of floats. For ``N = 1`` the first
                axis may be left out.

        Raises:
            ValueError: another shape, or an integer that the dtype of the space cannot hold.
            TypeError: another kind of numbers, such as floats for a Discrete space.
        """

    @abstractmethod
    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict]]:
        """Wait for the step that ``step_async`` started.

        Returns:
            observations as ``reset`` returns them (of the next episode where one ended), rewards ``[N]`` float32,
            dones ``[N]`` bool (terminated or truncated), and ``N`` info dictionaries.

        Raises:
            EnvironmentFailedError: an environment raised.
            WorkerDiedError: a worker process ended.
            WorkerTimeoutError: a worker process gave no answer in time.
        """

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, list[dict]]:
        """``step_async`` and ``step_wait`` in one."""
        self.step_async(actions)
        return self.step_wait()

    def close(self) -> None:
        """Close every environment and end every worker; may be called twice.

        An environment whose ``close`` raises is a warning in the log, and the others are closed all the same.
        """
        if not self.closed:
            self.closed = True
            self.close_extras()

    def close_extras(self) -> None:  # noqa: B027
        """Release what a subclass holds; ``close`` calls it once."""

    def _call(self, operation: str, arguments: Sequence[tuple], indices: Sequence[int]) -> list:
        """Run an operation of ``_EnvGroup`` on some environments, each with arguments of its own."""
        reason = f"{type(self).__name__} steps its environments as one and cannot call them one by one"
        raise EnvironmentAttributeError(None, operation, None, "", reason)

    @property
    def unwrapped(self) -> VecEnv:
        """The vectorised environment inside all ``VecEnvWrapper``."""
        return self

    @functools.cached_property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the first environment, ``render_modes`` among them."""
        return self._attribute_of_first("metadata") or {}

    @functools.cached_property
    def spec(self) -> Any:
        """The specification that the first environment was made from, ``None`` if it has none."""
        return self._attribute_of_first("spec")

    @functools.cached_property
    def render_mode(self) -> str | None:
        """The render mode that the environments were made with."""
        return self._attribute_of_first("render_mode")

    def _attribute_of_first(self, name: str) -> Any:
        """An attribute of environment 0, ``None`` if it has none."""
        try:
            return self.get_attr(name, 0)[0]
        except AttributeError:
            return None

    def seed(self, seed: int | Sequence[int] | None = None) -> list[int]:
        """Seed the environments at their next reset.

        Args:
            seed: environment ``i`` gets ``seed + i``, or ``seed[i]`` of a list of ``N``; ``None`` draws a seed at
                random.

        Returns:
            the ``N`` seeds.

        Raises:
            ValueError: a list of another length.
        """
        seeds = self._seeds(seed)
        takes_seed = self._call("seed", [(value,) for value in seeds], range(self.num_envs))
        if not all(takes_seed):
            problem = f"environment {takes_seed.index(False)} takes no seed: it has neither reset(seed=...) nor seed()"
            warnings.warn(problem, RuntimeWarning, stacklevel=2)
        return seeds

    def _seeds(self, seed: int | Sequence[int] | None) -> list[int]:
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0]) % 2**31
        if not isinstance(seed, (Sequence, np.ndarray)):
            seed = [int(seed) + index for index in range(self.num_envs)]
        if min(map(int, seed), default=0) < 0:
            raise ValueError(f"a seed must be at least 0, got {min(map(int, seed))}")
        if len(seed) != self.num_envs:
            raise ValueError(f"{self.num_envs} environments need {self.num_envs} seeds, got {len(seed)}")
        return [int(value) for value in seed]

    def set_options(self, options: dict | Sequence[dict | None] | None = None) -> None:
        """Set the ``options`` that each environment's next ``reset`` is called with.

        Args:
            options: for all environments, or a list of ``N``; ``None`` for none.

        Raises:
            ValueError: a list of another length.
        """
        if options is None or isinstance(options, dict):
            options = [options] * self.num_envs
        if len(options) != self.num_envs:
            raise ValueError(f"{self.num_envs} environments need {self.num_envs} options, got {len(options)}")
        self._call("set_options", [(copy.deepcopy(value),) for value in options], range(self.num_envs))

    def has_attr(self, name: str) -> bool:
        """Whether every environment has the attribute ``name``."""
        return all(self._call("has_attr", [(name,)] * self.num_envs, range(self.num_envs)))

    def get_attr(self, name: str, indices: int | Iterable[int] | None = None) -> list:
        """The attribute ``name`` of each environment (looked up through its wrappers).

        Args:
            name: of the attribute.
            indices: of environments, from ``-N`` to ``N - 1``, where -1 is the last; all by default.

        Raises:
            EnvironmentAttributeError: an environment has no such attribute.
            IndexError: an index out of range.
        """
        chosen = self._indices(indices)
        return self._call("get_attr", [(name,)] * len(chosen), chosen)

    def set_attr(self, name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """Set the attribute ``name`` of each environment.

        The outermost wrapper that has the attribute gets the value; a new attribute goes to the environment inside
        all wrappers.
        """
        chosen = self._indices(indices)
        self._call("set_attr", [(name, value)] * len(chosen), chosen)

    def env_method(self, name: str, *args: Any, indices: int | Iterable[int] | None = None, **kwargs: Any) -> list:
        """Call the method ``name`` of each environment; returns the results in order."""
        chosen = self._indices(indices)
        return self._call("env_method", [(name, args, kwargs)] * len(chosen), chosen)

    def env_is_wrapped(self, wrapper_class: type, indices: int | Iterable[int] | None = None) -> list[bool]:
        """Whether each environment is of this class or has a wrapper of it."""
        chosen = self._indices(indices)
        return self._call("is_wrapped", [(wrapper_class,)] * len(chosen), chosen)

    def reset_one(self, index: int) -> Any:
        """Begin a new episode in one environment; returns its first observation."""
        (index,) = self._indices(index)
        observation, self.reset_infos[index] = self._call("reset_one", [()], [index])[0]
        return observation

    def get_state(self) -> dict[str, Any]:
        """Return the state of every environment: the result of its own method ``get_state``, by its index as text."""
        return {str(index): state for index, state in enumerate(self.env_method("get_state"))}

    def set_state(self, state: dict[str, Any], new_episodes: bool = False) -> Any:
        """Bring every environment back to where it stood, by its own method ``set_state``.

        An environment that needs long for it returns ``None`` now and then, and is called again: ``step_timeout``
        applies to each call.

        Args:
            state: as ``get_state`` returned it.
            new_episodes: let the next reset begin the episode after the running one, by ``skip`` of every environment.

        Returns:
            the observations there, as ``reset`` returns them; ``None`` if the environments cannot be brought back, or
            need not, and must be reset.

        Raises:
            ValueError: the state of another number or kind of environments.
        """
        if not all(key.isdigit() for key in state):
            raise ValueError("the state is of environments that their maker vectorised, these are single ones")
        if len(state) != self.num_envs:
            raise ValueError(f"the state is of {len(state)} environments, these are {self.num_envs}")
        if new_episodes:
            for index in range(self.num_envs):
                self.env_method("skip", state[str(index)], indices=index)
            return None
        observations = []
        for index in range(self.num_envs):
            observation = None
            while observation is None:
                (observation,) = self._call("set_state", [(state[str(index)],)], [index])
            observations.append(observation)
        return stack_observations(observations)

    def reset_task(self) -> Any:
        """Call ``reset_task()`` of every environment; returns the observations, as ``reset`` does."""
        return stack_observations(self._call("reset_task", [()] * self.num_envs, range(self.num_envs)))

    def get_images(self) -> list[np.ndarray]:
        """The current image of each environment, ``[H, W, 3]`` uint8.

        Environments with ``render_mode="rgb_array_list"`` return their images since the last call; the newest counts.

        Raises:
            ValueError: environments that return no images.
        """
        images = self._call("render", [()] * self.num_envs, range(self.num_envs))
        for index, image in enumerate(images):
            if not (isinstance(image, np.ndarray) and image.ndim == 3):
                raise ValueError(
                    f"environment {index} returned no image [H, W, 3]: make the environments with "
                    f'render_mode="rgb_array" (theirs is {self.render_mode!r})'
                )
        return images

    def render(self, mode: str | None = None) -> np.ndarray | None:
        """Render all environments.

        Args:
            mode: ``"rgb_array"`` for one image with all environments in a grid; ``"human"`` for a window of each, which
                environments open that were made with ``render_mode="human"``. By default the environments' own.

        Returns:
            the image ``[H, W, 3]`` uint8; ``None`` for windows.

        Raises:
            ValueError: another mode, or environments that were made with another one.
        """
        if mode not in (None, "rgb_array", "human"):
            raise ValueError(f'render mode must be "rgb_array" or "human" (got {mode!r})')
        if mode is None:
            mode = "human" if self.render_mode == "human" else "rgb_array"
        if mode == "rgb_array":
            return tile_images(self.get_images())
        if self.render_mode != "human":
            raise ValueError(
                'render("human") needs environments made with render_mode="human" '
                f'(theirs is {self.render_mode!r}); render("rgb_array") returns an image'
            )
        self._call("render", [()] * self.num_envs, range(self.num_envs))
        return None

    def getattr_depth_check(self, name: str, already_found: bool) -> str | None:
        """The class that hides an attribute from a wrapper of Stable-Baselines3, which looks attributes up this way."""
        return f"{type(self).__module__}.{type(self).__name__}" if already_found and hasattr(self, name) else None

    def _indices(self, indices: int | Iterable[int] | None) -> list[int]:
        if indices is None:
            return list(range(self.num_envs))
        chosen = [operator.index(index) for index in (indices if isinstance(indices, Iterable) else [indices])]
        for index in chosen:
            if not -self.num_envs <= index < self.num_envs:
                raise IndexError(f"environment index must lie between {-len(self)} and {len(self) - 1} (got {index})")
        return [index % self.num_envs for index in chosen]

    def _check_actions(self, actions: np.ndarray) -> np.ndarray:
        actions, expected = np.asarray(actions), (self.num_envs, *self.action_space.shape)
        if self.num_envs == 1 and actions.shape == self.action_space.shape:
            actions = actions[np.newaxis]
        if actions.shape != expected:
            raise ValueError(f"{self.num_envs} environments need actions of shape {expected}, got {actions.shape}")
        return cast_exactly(actions, self._action_dtype, "actions", "action space")

    def _check_not_waiting(self, waiting: bool) -> None:
        if waiting:
            raise VecEnvError("a step is under way: call step_wait() first")

    def _check_open(self) -> None:
        if self.closed:
            raise VecEnvError("this vectorised environment is closed")


class VecEnvWrapper(VecEnv):
    """A wrapper around all environments at once; it forwards whatever it does not define.

    A subclass implements ``reset`` and ``step_wait``.

    Args:
        venv: the vectorised environment to wrap.
        observation_space: of one environment, if it differs from that of ``venv``.
        action_space: of one environment, if it differs from that of ``venv``.
    """

    def __init__(self, venv: VecEnv, observation_space: Any = None, action_space: Any = None):
        self.venv = venv
        super().__init__(
            venv.num_envs,
            venv.observation_space if observation_space is None else observation_space,
            venv.action_space if action_space is None else action_space,
        )
        del self.reset_infos, self.closed  # those of venv count

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "venv":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.venv, name)

    @property
    def unwrapped(self) -> VecEnv:
        return self.venv.unwrapped

    @functools.cached_property
    def metadata(self) -> dict[str, Any]:
        return self.venv.metadata

    @functools.cached_property
    def spec(self) -> Any:
        return self.venv.spec

    @functools.cached_property
    def render_mode(self) -> str | None:
        return self.venv.render_mode

    def step_async(self, actions: np.ndarray) -> None:
        self.venv.step_async(actions)

    def close(self) -> None:
        self.venv.close()

    def seed(self, seed: int | Sequence[int] | None = None) -> list[int]:
        return self.venv.seed(seed)

    def set_options(self, options: dict | Sequence[dict | None] | None = None) -> None:
        self.venv.set_options(options)

    def has_attr(self, name: str) -> bool:
        return self.venv.has_attr(name)

    def get_attr(self, name: str, indices: int | Iterable[int] | None = None) -> list:
        return self.venv.get_attr(name, indices)

    def set_attr(self, name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        self.venv.set_attr(name, value, indices)

    def env_method(self, name: str, *args: Any, indices: int | Iterable[int] | None = None, **kwargs: Any) -> list:
        return self.venv.env_method(name, *args, indices=indices, **kwargs)

    def env_is_wrapped(self, wrapper_class: type, indices: int | Iterable[int] | None = None) -> list[bool]:
        return self.venv.env_is_wrapped(wrapper_class, indices)

    def reset_one(self, index: int) -> Any:
        return self.venv.reset_one(index)

    def get_state(self) -> dict[str, Any]:
        return self.venv.get_state()

    def set_state(self, state: dict[str, Any], new_episodes: bool = False) -> Any:
        return self.venv.set_state(state, new_episodes)

    def reset_task(self) -> Any:
        return self.venv.reset_task()

    def get_images(self) -> list[np.ndarray]:
        return self.venv.get_images()

    def render(self, mode: str | None = None) -> np.ndarray | None:
        return self.venv.render(mode)


class CloudpickleWrapper:
    """Holds an object, such as a closure, that travels to another process by cloudpickle.

    Args:
        x: the object, which the attribute ``x`` returns on either side.
    """

    def __init__(self, x: Any):
        self.x = x

    def __getstate__(self) -> bytes:
        return cloudpickle.dumps(self.x)

    def __setstate__(self, pickled: bytes) -> None:
        self.x = cloudpickle.loads(pickled)


class DummyVecEnv(VecEnv):
    """``N`` environments in this process, stepped one after the other.

    Args:
        env_fns: ``N`` functions without arguments, each returning an environment.

    Raises:
        EnvironmentFailedError: an environment could not be made.
        SameEnvironmentError: two functions returned the same environment.
        TypeError: its spaces are not supported (an action space of Dict, a Graph, ...).
    """

    def __init__(self, env_fns: Sequence[Callable[[], Any]]):
        self.envs = _make_envs(_check_env_fns(env_fns), 0)
        super().__init__(len(self.envs), self.envs[0].observation_space, self.envs[0].action_space)
        shape, dtype = observation_layout(self.observation_space, self.num_envs)
        self._observations = observation_rows(self.observation_space, np.zeros(shape, dtype))
        self._rewards = np.zeros(self.num_envs, np.float32)
        self._dones = np.zeros(self.num_envs, np.bool_)
        self._group = _EnvGroup(self.envs, 0, self.observation_space, self._observations, self._rewards, self._dones)
        self.reset_infos = self._group.reset_infos
        self._actions: np.ndarray | None = None

    def reset(self) -> Any:
        self._check_open()
        self._actions = None
        self._group.reset()
        return self._observations.copy()

    def step_async(self, actions: np.ndarray) -> None:
        self._check_open()
        self._check_not_waiting(self._actions is not None)
        self._actions = self._check_actions(actions)

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict]]:
        self._check_open()
        if self._actions is None:
            raise VecEnvError("step_wait() without a step_async() before it")
        actions, self._actions = self._actions, None
        infos = self._group.step(actions)
        return self._observations.copy(), self._rewards.copy(), self._dones.copy(), infos

    def close_extras(self) -> None:
        self._group.close()

    def _call(self, operation: str, arguments: Sequence[tuple], indices: Sequence[int]) -> list:
        self._check_open()
        self._check_not_waiting(self._actions is not None)
        return [self._group.call(operation, index, *args) for index, args in zip(indices, arguments, strict=True)]


class Worker(Protocol):
    """A worker of a ``WorkerVecEnv``, seen from its parent.

    Attributes:
        name: what messages call it.
        channel: sends it requests and receives its answers, with the methods of ``Channel``.
    """

    name: str
    channel: Any

    def end(self, patience: float) -> bool:
        """Wait up to ``patience`` seconds for it to end by itself, then kill it; returns whether it ended by itself."""

    def kill(self) -> None:
        """Kill it without waiting for its end."""

    def how_it_ended(self) -> str:
        """The predicate of a sentence about it: how a worker ended that is gone or about to be."""


class WorkerVecEnv(VecEnv):
    """``N`` environments in workers, each of which holds ``in_series`` of them and serves them by an ``EnvServer``.

    This class is the parent's side, whatever the workers are. A subclass implements ``_start_worker``, ``_allocate``
    and ``_answered``. Arguments and errors are those of ``SubprocVecEnv``.
    """

    def __init__(
        self,
        env_fns: Sequence[Callable[[], Any]],
        spaces: tuple[Any, Any] | None = None,
        in_series: int = 1,
        step_timeout: float | None = None,
        start_timeout: float | None = 600.0,
        close_timeout: float = 30.0,
        seed: int | Sequence[int] | None = None,
    ):
        self._workers: list[Worker] = []
        env_fns = _check_env_fns(env_fns)
        for name, timeout in (("step_timeout", step_timeout), ("start_timeout", start_timeout)):
            if timeout is not None and not 0 < timeout < threading.TIMEOUT_MAX:
                raise ValueError(f"{name} must be a number of seconds above 0, or None, not {timeout!r}")
        if close_timeout is None or not 0 < close_timeout < threading.TIMEOUT_MAX:
            raise ValueError(f"close_timeout must be a number of seconds above 0, not {close_timeout!r}")
        if in_series < 1 or len(env_fns) % in_series:
            raise ValueError(f"in_series={in_series} must divide the number of environments, {len(env_fns)}")
        self._chosen = [slice(first, first + in_series) for first in range(0, len(env_fns), in_series)]
        self._waiting = False
        self._started = False
        self.step_timeout = step_timeout
        self.start_timeout = start_timeout
        self.close_timeout = close_timeout
        if spaces is not None:
            _check_spaces(spaces)
        try:
            self._start(env_fns, spaces, seed)
        except BaseException:
            self._stop(0)
            raise

    def reset(self) -> Any:
        self._check_open()
        if self._waiting:
            self.step_wait()  # cancelled: its results are discarded
        self.reset_infos = [info for infos in self._ask_all("reset", ()) for info in infos]
        return self._observations.copy()

    def step_async(self, actions: np.ndarray) -> None:
        self._check_open()
        self._check_not_waiting(self._waiting)
        self._actions[...] = self._check_actions(actions)
        with self._whole_or_not_at_all():
            for worker in self._workers:
                self._send(worker, STEP, self.step_timeout)
        self._waiting = True

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict]]:
        self._check_open()
        if not self._waiting:
            raise VecEnvError("step_wait() without a step_async() before it")
        infos: list[dict] = []
        with self._whole_or_not_at_all():
            for worker, chosen in zip(self._workers, self._chosen, strict=True):
                infos_of_worker = self._receive(worker, self.step_timeout)
                infos.extend(infos_of_worker or [{} for _ in range(chosen.start, chosen.stop)])
        self._waiting = False
        dones = self._dones.copy()
        if any(infos):  # which is cheaper than to look for dones
            for index in dones.nonzero()[0].tolist():
                self.reset_infos[index] = dict(infos[index]["reset_info"])
        return self._observations.copy(), self._rewards.copy(), dones, infos

    def close_extras(self) -> None:
        self._stop(self.close_timeout)

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            self._stop(0)

    def _start(
        self,
        env_fns: list[Callable[[], Any]],
        spaces: tuple[Any, Any] | None,
        seed: int | Sequence[int] | None,
    ) -> None:
        """Start the workers, wait until they have made their environments, and share memory with them."""
        deadline = None if self.start_timeout is None else time.monotonic() + self.start_timeout
        pickled = [cloudpickle.dumps((env_fns[chosen], spaces)) for chosen in self._chosen]
        for index, chosen in enumerate(self._chosen):
            last = chosen.stop - 1
            held = f"environment {last}" if chosen.start == last else f"environments {chosen.start} to {last}"
            entropy = None if seed is None else (*np.atleast_1d(seed).tolist(), chosen.start)
            self._workers.append(self._start_worker(f"worker {index} ({held})", chosen, entropy))
        for worker, message in zip(self._workers, pickled, strict=True):
            # Not as an argument: a process that starts reads its arguments from a pipe, without a deadline.
            self._send(worker, ("make", (message,)), _seconds_left(deadline), "start_timeout")
        spaces_of_all = self._receive_as_they_come(deadline)
        spaces = spaces_of_all[0]
        for chosen, found in zip(self._chosen, spaces_of_all, strict=True):
            _check_same_spaces(found, spaces, chosen.start)
        VecEnv.__init__(self, self._chosen[-1].stop, *spaces)
        layout = memory_layout(spaces, self.num_envs)
        self._actions, observations, self._rewards, self._dones = self._allocate(layout, deadline)
        self._observations = observation_rows(self.observation_space, observations)
        self._started = True

    @abstractmethod
    def _start_worker(self, name: str, chosen: slice, entropy: Sequence[int] | None) -> Worker:
        """Start the worker of the environments ``chosen``, without waiting for it.

        Args:
            name: what messages call it.
            chosen: indices of its environments.
            entropy: of its ``np.random`` and ``random``, ``None`` for that of the system.
        """

    @abstractmethod
    def _allocate(self, layout: MemoryLayout, deadline: float | None) -> list[np.ndarray]:
        """Arrays for actions, observations, rewards and dones, which are also those of the workers.

        Args:
            layout: of the arrays.
            deadline: by ``time.monotonic()``.
        """

    @abstractmethod
    def _answered(self, indices: Sequence[int], timeout: float | None) -> list[int]:
        """The workers whose answer is here, or that are gone, after up to ``timeout`` seconds for the first.

        Args:
            indices: of the workers to look at.
            timeout: seconds, ``None`` for no limit.
        """

    def _receive_as_they_come(self, deadline: float | None) -> list:
        """The first answer of every worker, in order.

        A failure is reported without waiting for all. The workers before the one that failed have ``KILL_TIMEOUT``
        seconds left, so that what fails in all of them is reported of the first.
        """
        answers: dict[int, tuple[bool, Any]] = {}
        first_failed = len(self._workers)
        while missing := [index for index in range(first_failed) if index not in answers]:
            ready = self._answered(missing, _seconds_left(deadline))
            if not ready and first_failed < len(self._workers):
                break
            for index in ready or missing[:1]:  # if none is ready, the first of them is too late
                answers[index] = self._receive_answer(self._workers[index], _seconds_left(deadline), "start_timeout")
                if not answers[index][0]:
                    first_failed = min(first_failed, index)
                    deadline = min(deadline or math.inf, time.monotonic() + KILL_TIMEOUT)
        if first_failed < len(self._workers):
            self._raise_failure(answers[first_failed][1])
        return [answers[index][1] for index in range(len(self._workers))]

    def _call(self, operation: str, arguments: Sequence[tuple], indices: Sequence[int]) -> list:
        self._check_open()
        self._check_not_waiting(self._waiting)
        results = []
        with self._whole_or_not_at_all():
            for index, args in zip(indices, arguments, strict=True):
                in_series = self._chosen[0].stop
                worker = self._workers[index // in_series]
                self._send(worker, ("call", (operation, index % in_series, *args)), self.step_timeout)
                results.append(self._receive(worker, self.step_timeout, is_fatal=False))
        return results

    def _ask_all(self, command: str, arguments: tuple) -> list:
        self._check_open()
        self._check_not_waiting(self._waiting)
        with self._whole_or_not_at_all():
            for worker in self._workers:
                self._send(worker, (command, arguments), self.step_timeout)
            return [self._receive(worker, self.step_timeout) for worker in self._workers]

    @contextlib.contextmanager
    def _whole_or_not_at_all(self) -> Iterator[None]:
        """Kill the workers at an interrupt, such as a notebook's: which answers are still to come is not known."""
        try:
            yield
        except KeyboardInterrupt:
            self._stop(0)
            raise

    def _send(
        self,
        worker: Worker,
        message: tuple | None,
        timeout: float | None,
        timeout_name: str = "step_timeout",
    ) -> None:
        try:
            worker.channel.send(message, timeout)
        except TimeoutError:
            self._worker_is_late(worker, timeout_name)
        except OSError:
            self._worker_died(worker)

    def _receive(self, worker: Worker, timeout: float | None, is_fatal: bool = True) -> Any:
        """The result of what a worker was asked for; a failure that is fatal ends all workers."""
        succeeded, result = self._receive_answer(worker, timeout, "step_timeout", all_were_asked=is_fatal)
        if not succeeded and is_fatal and isinstance(result[0].__cause__, pickle.UnpicklingError):
            # An info holds a value that can be pickled and not loaded, such as an exception with arguments of its own.
            self._send(worker, ("resend", ()), timeout)
            succeeded, result = self._receive_answer(worker, timeout, "step_timeout")
        if succeeded:
            return result
        self._raise_failure(result, is_fatal)

    def _receive_answer(
        self, worker: Worker, timeout: float | None, timeout_name: str, all_were_asked: bool = False
    ) -> tuple[bool, Any]:
        """Whether a worker did what it was asked for, and the result or the failure."""
        try:
            answer = worker.channel.recv(timeout)
        except TimeoutError:
            self._worker_is_late(worker, timeout_name, all_were_asked)
        except (EOFError, OSError):
            self._worker_died(worker)
        except pickle.UnpicklingError as error:
            first = self._chosen[self._workers.index(worker)].start
            return False, (_failure(first, "sending its answer", error), b"")
        return (True, None) if answer is STEPPED else answer

    def _raise_failure(self, failure: tuple[Exception, bytes], is_fatal: bool = True) -> NoReturn:
        if is_fatal:
            self._stop_after_failure()
        error, pickled_cause = failure
        raise error from _load_cause(pickled_cause)

    def _worker_is_late(self, worker: Worker, timeout_name: str, all_were_asked: bool = False) -> NoReturn:
        worker.kill()
        if all_were_asked:  # those whose answer is not here either are as late
            others = range(self._workers.index(worker) + 1, len(self._workers))
            for index in set(others).difference(self._answered(others, 0)):
                self._workers[index].kill()
        self._stop_after_failure()
        timeout = getattr(self, timeout_name)
        raise WorkerTimeoutError(
            f"{worker.name} gave no answer within {timeout:g} s ({timeout_name}); the other workers were stopped"
        ) from None

    def _worker_died(self, worker: Worker) -> NoReturn:
        how = worker.how_it_ended()
        self._stop_after_failure()
        raise WorkerDiedError(f"{worker.name} {how}; the other workers were stopped")

    def _stop_after_failure(self) -> None:
        """Let the other environments close, unless some are still being made."""
        self._stop(self.close_timeout if self._started else 0)

    def _stop(self, patience: float) -> None:
        """Ask the workers to close their environments, and kill those that have not ended in time.

        Args:
            patience: seconds for all of them; 0 kills them at once.
        """
        self.closed = True
        if not patience:
            for worker in self._workers:
                worker.kill()
        deadline = time.monotonic() + patience
        try:
            for worker in self._workers:
                with contextlib.suppress(OSError):  # it has ended, or is stuck
                    worker.channel.send(("close", ()), timeout=0)
                worker.channel.close()  # a worker that is sending an answer finds that nobody listens
            for worker in self._workers:
                if not worker.end(max(deadline - time.monotonic(), 0.0)) and patience:
                    logging.getLogger(__name__).warning(
                        "%s did not close within %g s (close_timeout) and was killed", worker.name, patience
                    )
        except BaseException:  # a second Ctrl-C, say
            for worker in self._workers:
                worker.kill()
            raise


class SubprocVecEnv(WorkerVecEnv):
    """``N`` environments in worker processes.

    Actions go and observations, rewards and dones come back through shared memory, which has no name in the file
    system, so that nothing of it is left behind however the processes end. Each part of a Dict or Tuple space has an
    array of its own there. Beside it a step needs one byte each way through a worker's channel, and infos that are not
    empty.

    Infos, attributes and results of methods are pickled. An object of a class that the script or notebook defines
    comes back as an instance of that same class. An info value that cannot be pickled arrives as ``UnsentValue``; an
    attribute or a result that cannot be pickled raises ``EnvironmentFailedError``, and the environments stay usable.

    ``np.random`` and ``random`` are seeded differently in every worker.

    A worker and the processes that its environments start form one process group. Whatever is left of the group when
    the worker ends is killed.

    Args:
        env_fns: ``N`` functions without arguments, each returning an environment. Closures, lambdas and functions
            defined in a notebook are fine: they travel by cloudpickle.
        spaces: ``(observation_space, action_space)`` that every environment must have, by default those of the first.
        context: ``"spawn"`` or ``"forkserver"``. Workers do not import the ``__main__`` module of the parent, so a
            script needs no ``if __name__ == "__main__":``.
        in_series: environments in one worker; must divide ``N``.
        step_timeout: seconds that a worker may take to answer a ``reset``, a ``step`` or any other call, ``None`` for
            no limit.
        start_timeout: seconds that the workers may take to start and to make their environments, ``None`` for no
            limit.
        close_timeout: seconds that the environments may take to close, before their workers are killed with a warning
            in the log.
        seed: of ``np.random`` and ``random`` in the workers, an integer or several; each worker adds the index of its
            first environment. ``None`` takes fresh entropy from the system.

    Raises:
        ValueError: no environments, ``in_series`` that does not divide ``N``, another start method, or a timeout that
            is not above 0.
        TypeError: spaces that are not supported (an action space of Dict, a Graph, ...).
        EnvironmentFailedError: an environment could not be made.
        SameEnvironmentError: two functions returned the same environment in one worker.
        WorkerTimeoutError: the environments could not be made within ``start_timeout``.
        VecEnvError: this process is daemonic, such as a worker of ``multiprocessing.Pool``.
    """

    def __init__(
        self,
        env_fns: Sequence[Callable[[], Any]],
        spaces: tuple[Any, Any] | None = None,
        context: str = "spawn",
        in_series: int = 1,
        step_timeout: float | None = None,
        start_timeout: float | None = 600.0,
        close_timeout: float = 30.0,
        seed: int | Sequence[int] | None = None,
    ):
        if context not in ("spawn", "forkserver"):
            raise ValueError(f'context must be "spawn" or "forkserver", not {context!r}')
        self._context = context
        self._shared = SharedArray(), SharedArray(), SharedArray(), SharedArray()
        super().__init__(env_fns, spaces, in_series, step_timeout, start_timeout, close_timeout, seed)

    def _start_worker(self, name: str, chosen: slice, entropy: Sequence[int] | None) -> Worker:
        return WorkerProcess(name, _serve_envs, (chosen, self._shared, entropy), self._context)

    def _allocate(self, layout: MemoryLayout, deadline: float | None) -> list[np.ndarray]:
        for memory, (shape, dtype) in zip(self._shared, layout, strict=True):
            memory.allocate(shape, dtype)
        arrays = [memory.array for memory in self._shared]
        del self._shared  # the arrays need no file descriptors
        for worker in self._workers:
            self._send(worker, layout, _seconds_left(deadline), "start_timeout")
        return arrays

    def _answered(self, indices: Sequence[int], timeout: float | None) -> list[int]:
        by_channel: dict[Any, int] = {self._workers[index].channel: index for index in indices}
        ready: list[Any] = multiprocessing.connection.wait(list(by_channel), timeout)
        return [by_channel[channel] for channel in ready]


# --------------------------------------------------------------------------------------------------------------------
# A worker process, seen from its parent and from inside
# --------------------------------------------------------------------------------------------------------------------


class SharedArray:
    """An array in memory that a parent and its workers share; it is handed to a worker as the worker is started.

    The memory has no name in the file system, so nothing of it is left behind however the processes end.

    Args:
        shape: of the array, which starts at zero. Without a shape, every process must call ``allocate`` with the same
            shape before it uses the array.
        dtype: any NumPy dtype without objects.
    """

    def __init__(self, shape: tuple[int, ...] | None = None, dtype: Any = None):
        if sys.platform == "win32":
            self._file: Any = f"SharedArray-{uuid.uuid4()}"  # of a mapping, which ends with its last process
        elif hasattr(os, "memfd_create"):
            self._file = os.fdopen(os.memfd_create("SharedArray"), "r+b", buffering=0)
        else:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (open as long as the array)
        if shape is not None:
            self.allocate(shape, dtype)

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> None:
        """Set the shape and the dtype of the array in this process."""
        self.shape, self.dtype = shape, np.dtype(dtype)
        num_bytes = max(int(np.prod(shape)) * self.dtype.itemsize, 1)
        if sys.platform == "win32":
            self.memory = mmap.mmap(-1, num_bytes, tagname=self._file)
        else:
            self._file.truncate(num_bytes)  # longer, with zeros
            self.memory = mmap.mmap(self._file.fileno(), num_bytes)

    @property
    def array(self) -> np.ndarray:
        """The memory as an array; each call gives another view of the same."""
        return np.frombuffer(self.memory, self.dtype, int(np.prod(self.shape))).reshape(self.shape)

    def __getstate__(self) -> tuple:
        file = self._file if sys.platform == "win32" else multiprocessing.reduction.DupFd(self._file.fileno())
        return file, getattr(self, "shape", None), getattr(self, "dtype", None)

    def __setstate__(self, state: tuple) -> None:
        file, shape, dtype = state
        self._file = file if sys.platform == "win32" else os.fdopen(file.detach(), "r+b", buffering=0)
        if shape is not None:
            self.allocate(shape, dtype)


class Channel:
    """One end of a way for messages between two processes.

    It does what ``multiprocessing.Pipe`` does at a fraction of the time for the message that is sent most: ``None``
    travels as a single byte. Messages are pickled by ``pickle`` if it can, and by cloudpickle if it cannot, so that
    objects of classes that a script or a notebook defines can be sent both ways.

    Args:
        end: of ``socket.socketpair()``.
    """

    def __init__(self, end: socket.socket):
        end.setblocking(False)
        self._socket = end
        self._soon = False  # whether the last message came within SOON
        # poll(2) needs no file descriptor of its own; Windows has select alone.
        self._selector: Any = getattr(selectors, "PollSelector", selectors.SelectSelector)()
        self._selector.register(end, selectors.EVENT_READ)

    def __reduce__(self) -> tuple:
        return Channel, (self._socket,)

    @staticmethod
    def pair() -> tuple[Channel, Channel]:
        """Two ends."""
        one, other = socket.socketpair()
        return Channel(one), Channel(other)

    def send(self, message: Any, timeout: float | None = None) -> None:
        """Send a message.

        Args:
            message: anything that cloudpickle takes.
            timeout: seconds that the other end may take to make room for it, ``None`` for no limit.

        Raises:
            pickle.PicklingError: it cannot be pickled; nothing was sent.
            TimeoutError: the other end did not read in time. The channel is closed if a part of the message was sent.
            OSError: the other end is gone.
        """
        if message is None:
            self._send(b"N", timeout)
            return
        self.send_pickled(pickle_message(message), timeout)

    def send_pickled(self, pickled: bytes, timeout: float | None = None) -> None:
        """Send a message that ``pickle_message`` has pickled; raises as ``send``."""
        self._send(b"P" + len(pickled).to_bytes(8, "little") + pickled, timeout)

    def recv(self, timeout: float | None = None) -> Any:
        """Wait for the next message.

        Args:
            timeout: seconds until all of it must be here, ``None`` for no limit.

        Raises:
            TimeoutError: it did not come in time. The channel is closed if a part of the message came.
            EOFError: the other end is gone; ``ConnectionError`` if it went with messages unread.
            pickle.UnpicklingError: the message refers to something that cannot be imported here.
        """
        began = time.monotonic()
        deadline = None if timeout is None else began + timeout
        kind = self._first_byte(began, deadline)
        if kind == b"N":
            return None
        if not kind:
            raise EOFError
        try:
            pickled = self._receive(int.from_bytes(self._receive(8, deadline), "little"), deadline)
        except TimeoutError:
            self.close()
            raise
        return unpickle_message(pickled)

    def fileno(self) -> int:
        """For ``multiprocessing.connection.wait``."""
        return self._socket.fileno()

    def close(self) -> None:
        """The other end finds that this one is gone."""
        self._selector.close()
        self._socket.close()

    def _first_byte(self, began: float, deadline: float | None) -> bytes:
        """The beginning of the next message; nothing if the other end is gone."""
        try:
            while self._soon and time.monotonic() - began < SOON:
                try:
                    return self._socket.recv(1)
                except BlockingIOError:
                    os.sched_yield()
            while True:
                self._wait(deadline)
                with contextlib.suppress(BlockingIOError):
                    return self._socket.recv(1)
        finally:
            self._soon = CAN_YIELD and time.monotonic() - began < SOON

    def _receive(self, num_bytes: int, deadline: float | None) -> bytearray:
        received = bytearray(num_bytes)
        missing = memoryview(received)
        while missing:
            try:
                count = self._socket.recv_into(missing)
            except BlockingIOError:
                self._wait(deadline)
                continue
            if not count:
                raise EOFError
            missing = missing[count:]
        return received

    def _send(self, data: bytes, timeout: float | None) -> None:
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent == len(data):
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        missing = memoryview(data)[sent:]
        self._selector.modify(self._socket, selectors.EVENT_WRITE)
        try:
            while missing:
                self._wait(deadline)
                with contextlib.suppress(BlockingIOError):
                    missing = missing[self._socket.send(missing) :]
        except TimeoutError:
            if len(missing) < len(data):
                self.close()
            raise
        finally:
            if self._socket.fileno() >= 0:
                self._selector.modify(self._socket, selectors.EVENT_READ)

    def _wait(self, deadline: float | None) -> None:
        """Block until the socket is ready; ``TimeoutError`` after the deadline."""
        while not self._selector.select(_seconds_left(deadline)):
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError


def _seconds_left(deadline: float | None) -> float | None:
    return None if deadline is None else min(max(deadline - time.monotonic(), 0.0), LONGEST_POLL)


def pickle_message(message: Any) -> bytes:
    """Pickle a message so that the other process can load it, whatever its ``__main__`` module holds.

    Raises:
        pickle.PicklingError: neither ``pickle`` nor cloudpickle takes it.
    """
    try:
        pickled = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        if b"__main__" not in pickled:  # which pickle refers to by name, and which is another module over there
            return pickled
    except BaseException as error:  # anything that an object's own __reduce__ may raise
        if is_users_interrupt(error):
            raise
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(message)
    except BaseException as error:
        if is_users_interrupt(error):
            raise
        raise pickle.PicklingError(in_one_line(error)) from error
    return buffer.getvalue()


def unpickle_message(pickled: bytes | bytearray) -> Any:
    """Load what ``pickle_message`` has pickled.

    Raises:
        pickle.UnpicklingError: it refers to something that cannot be imported here, or cannot be loaded.
    """
    try:
        return pickle.loads(pickled)
    except Exception as error:
        raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from error


class _Pickler(cloudpickle.Pickler):
    """Pickles a class that both processes have as the class itself, where cloudpickle would overwrite its attributes.

    cloudpickle sends a class of ``__main__`` as its definition and an id. A process that has a class of this id takes
    that class, and then sets all its attributes to those of the definition, whatever they have become meanwhile.
    """

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type) and (class_id := cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS.get(obj)):
            return _known_class, (class_id, _pickle_definition(obj))
        return super().reducer_override(obj)


@functools.lru_cache(256)
def _pickle_definition(kind: type) -> bytes:
    return cloudpickle.dumps(kind)


def _known_class(class_id: str, definition: bytes) -> type:
    return cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID.get(class_id) or cloudpickle.loads(definition)


class WorkerProcess:
    """A process started afresh, and the parent's end of the channel to it.

    It does not import the parent's ``__main__``, never sees Ctrl-C, computes on one thread, has a random state of its
    own in ``np.random`` and ``random``, may start processes itself, and ends when its parent ends, whatever it is
    doing. Starting it changes nothing in the parent, so threads may start processes at the same time.

    Args:
        name: what messages call it.
        target: a function of a module, called in the new process with the worker's end of the channel and
            ``arguments``.
        arguments: anything that can be pickled, and ``SharedArray``.
        context: ``"spawn"`` or ``"forkserver"``.
        leads_group: make it the leader of a process group, so that the processes that the target starts end with it.
            Ctrl-Z in a terminal then stops its parent alone.

    Raises:
        VecEnvError: this process is daemonic, such as a worker of ``multiprocessing.Pool``.
    """

    def __init__(
        self,
        name: str,
        target: Callable[..., None],
        arguments: tuple,
        context: str = "spawn",
        leads_group: bool = True,
    ):
        check_may_start_processes()
        self.name = name
        self.channel, workers_end = Channel.pair()
        process_class: Any = _ForkServerProcess if context == "forkserver" else _SpawnProcess
        arguments = (target, workers_end, arguments, _in_main_thread(), leads_group)
        self.process = process_class(target=_run_worker, args=arguments, name=name, daemon=False)
        with _without_stop_signals():
            self.process.start()
        workers_end.close()
        # At the end of this process, before multiprocessing waits for its children; or if nobody holds this object.
        self._finalizer = multiprocessing.util.Finalize(self, _kill, (self.process,), exitpriority=10)

    def end(self, patience: float) -> bool:
        """Wait for the process to end by itself, then kill it; the processes that it has started are killed.

        Args:
            patience: seconds to wait.

        Returns:
            whether it ended by itself.
        """
        ended = bool(multiprocessing.connection.wait([self.process.sentinel], patience))
        self.kill()
        self.process.join(KILL_TIMEOUT)
        self._finalizer.cancel()
        self.channel.close()
        return ended

    def kill(self) -> None:
        """Kill the process and those that it has started, without waiting for their end."""
        if self._finalizer.still_active():
            _kill(self.process)

    def how_it_ended(self) -> str:
        """``"was killed by SIGKILL"`` or ``"ended with exit code 1"``, of a process that is gone or about to be."""
        self.process.join(KILL_TIMEOUT)
        exit_code = self.process.exitcode
        if exit_code is None:
            return "closed its channel without ending"
        if exit_code < 0:
            return f"was killed by {signal.Signals(-exit_code).name}"
        return f"ended with exit code {exit_code}"


def check_may_start_processes() -> None:
    """Raise ``VecEnvError`` in a daemonic process, which multiprocessing lets start no processes."""
    if multiprocessing.current_process().daemon:
        raise VecEnvError(
            "this process is daemonic, such as a worker of multiprocessing.Pool, and may start no processes: use "
            "environments in this process (DummyVecEnv, --vec serial; A3C has none), or start it with daemon=False "
            "(concurrent.futures.ProcessPoolExecutor does)"
        )


def _kill(process: Any) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(OSError):  # it leads no group, or nothing is left of the group
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _rebind(function: Any, **names: Any) -> Any:
    """Copy a function of a module, with other values for some of the module's names."""
    namespace = {**function.__globals__, **names}
    return types.FunctionType(
        function.__code__, namespace, function.__name__, function.__defaults__, function.__closure__
    )


def _replace(module: types.ModuleType, **names: Any) -> types.SimpleNamespace:
    return types.SimpleNamespace(**{**vars(module), **names})


# Start a process as multiprocessing does, with two changes. The process does not import the parent's __main__, and with
# it the training code. And it computes on one thread, because workers share the cores; this must be set before it
# imports NumPy. Swapping os.environ and sys.modules["__main__"] in the parent during the start would disturb its other
# threads.

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_PREAMBLE = f"import os; os.environ.update({_ONE_THREAD}); "


def _preparation_data_without_main(name: str) -> dict[str, Any]:
    data = multiprocessing.spawn.get_preparation_data(name)
    return {key: value for key, value in data.items() if not key.startswith("init_main_from")}


def _with_preamble(command: list) -> list:
    """A command line whose program begins with ``_PREAMBLE``; a frozen executable takes none."""
    return [_PREAMBLE + part if index and command[index - 1] == "-c" else part for index, part in enumerate(command)]


def _command_line(**keywords: Any) -> list:
    return _with_preamble(multiprocessing.spawn.get_command_line(**keywords))


_spawn: Any = _replace(
    multiprocessing.spawn, get_preparation_data=_preparation_data_without_main, get_command_line=_command_line
)

if sys.platform == "win32":
    from multiprocessing import popen_spawn_win32

    class _SpawnPopen(popen_spawn_win32.Popen):
        __init__ = _rebind(popen_spawn_win32.Popen.__init__, spawn=_spawn)

else:
    from multiprocessing import forkserver, popen_forkserver, popen_spawn_posix

    class _SpawnPopen(popen_spawn_posix.Popen):
        _launch = _rebind(popen_spawn_posix.Popen._launch, spawn=_spawn)  # type: ignore[attr-defined]

    def _spawnv_with_preamble(path: Any, command: list, fds: Any) -> int:
        return multiprocessing.util.spawnv_passfds(path, _with_preamble(command), fds)

    class _ForkServer(forkserver.ForkServer):
        """A fork server of this module alone: the one of multiprocessing may have other modules loaded."""

        ensure_running = _rebind(
            forkserver.ForkServer.ensure_running,
            util=_replace(multiprocessing.util, spawnv_passfds=_spawnv_with_preamble),
            spawn=_spawn,
        )

    _fork_server = _ForkServer()
    _fork_server.set_forkserver_preload([__name__, "gymnasium"])

    class _ForkServerPopen(popen_forkserver.Popen):
        _launch = _rebind(
            popen_forkserver.Popen._launch,  # type: ignore[attr-defined]
            spawn=_spawn,
            forkserver=_replace(forkserver, connect_to_new_process=_fork_server.connect_to_new_process),
        )

    class _ForkServerProcess(multiprocessing.context.ForkServerProcess):
        @staticmethod
        def _Popen(process: Any) -> Any:  # noqa: N802
            return _ForkServerPopen(process)


class _SpawnProcess(multiprocessing.context.SpawnProcess):
    @staticmethod
    def _Popen(process: Any) -> Any:  # noqa: N802
        return _SpawnPopen(process)


# A worker that leads a group does not see those that are sent to its parent's group; the parent decides what follows.
_GROUP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def _run_worker(
    target: Callable[..., None], channel: Channel, arguments: tuple, from_main_thread: bool, leads_group: bool
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the parent decides what follows
    leads_group = leads_group and hasattr(os, "setpgid")
    if leads_group:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a group in the background may still print
        for number in _GROUP_SIGNALS:  # one that has arrived before was for the parent's group
            signal.signal(number, signal.signal(number, signal.SIG_IGN))
        _leave_sigterm_to_parent()
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _GROUP_SIGNALS)
    _end_with_parent(from_main_thread, leads_group)
    _silence_gym_notice()
    seed_global_generators(None)  # a fork server hands the same state to all
    try:
        target(channel, *arguments)
    finally:
        if leads_group:  # processes that the target has started and left would keep this one from ending
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.killpg(0, signal.SIGTERM)
        end_child_processes()  # those that left the group
        end_in_spite_of_threads(1 if sys.exc_info()[0] else 0)


def _leave_sigterm_to_parent() -> None:
    """Do nothing at SIGTERM: Slurm and systemd send it to every process of a job, and the parent decides what follows.

    Processes that an environment starts end at SIGTERM as usual: a program does not inherit a handler, and a fork drops
    it.
    """
    signal.signal(signal.SIGTERM, _do_nothing)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_restore_sigterm)


def _do_nothing(number: int, frame: Any) -> None:
    pass


def _restore_sigterm() -> None:
    if signal.getsignal(signal.SIGTERM) is _do_nothing:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_child_processes() -> list[str]:
    """Send SIGTERM to the processes that this one started and that still run; returns their names. Linux only.

    ``multiprocessing.active_children()`` knows only those that multiprocessing started.
    """
    names = []
    for child, name in child_processes().items():
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
            names.append(name)
    return names


def child_processes() -> dict[int, str]:
    """Id and name of each running process that this one started, but multiprocessing's own. Linux only."""
    fork_server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    own = {
        getattr(multiprocessing.resource_tracker._resource_tracker, "_pid", None),
        getattr(fork_server, "_forkserver_pid", None),
    }
    children = {}
    for status in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(status, encoding="utf-8", errors="replace") as file:
                number, _, rest = file.read().partition(" (")
        except OSError:  # it has ended
            continue
        name, _, rest = rest.rpartition(") ")
        state, parent = rest.split()[:2]
        if int(parent) == os.getpid() and state not in "ZX" and int(number) not in own:
            children[int(number)] = name
    return children


def end_in_spite_of_threads(code: int, log: bool = False) -> None:
    """End this process a while after its last line, if threads that are not daemonic keep the interpreter waiting.

    Args:
        code: exit code.
        log: name the threads in a warning.
    """

    def end() -> None:
        main = threading.main_thread()
        threads = [thread.name for thread in threading.enumerate() if not thread.daemon and thread is not main]
        if log:
            logging.getLogger(__name__).warning("threads that did not end are left behind: %s", ", ".join(threads))
        flush_output()
        os._exit(code)

    flush_output()
    timer = threading.Timer(SECONDS_FOR_THREADS, end)
    timer.daemon = True
    timer.start()


def flush_output() -> None:
    """Flush what is left of the standard streams."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # None, nobody reads it, closed
            stream.flush()


def seed_global_generators(seed: int | Sequence[int] | None) -> None:
    """Seed ``np.random`` and ``random`` of this process, which environments may draw from.

    Args:
        seed: an integer of 0 or more, or several; ``None`` takes fresh entropy from the system.
    """
    words = np.random.SeedSequence(seed).generate_state(16)
    np.random.seed(words[:8])
    random.seed(words[8:].tobytes())


class EnvServer:
    """The environments of one worker, and the answers to its parent's requests, whatever carries both.

    Answers are pickled. A loaded one is ``(True, result)``, or ``(False, (error, pickled cause))``.

    Args:
        first_index: index of the first of the environments.
        entropy: of ``np.random`` and ``random`` of this process, ``None`` for that of the system.

    Attributes:
        spaces: ``(observation_space, action_space)`` of the environments, once they are made.
        has_failed: whether a failure has ended its service; a call that fails, such as that of an attribute, ends
            nothing.
    """

    def __init__(self, first_index: int, entropy: Sequence[int] | None):
        self.first_index = first_index
        self.has_failed = False
        self._envs: list = []
        self._group: _EnvGroup | None = None
        self._infos: list[dict] = []
        seed_global_generators(entropy)

    def make(self, pickled_env_fns: bytes) -> bytes:
        """Make the environments; the answer's result is their spaces.

        Args:
            pickled_env_fns: ``(env_fns, spaces)``, by cloudpickle.
        """
        try:
            with warnings.catch_warnings():
                if self.first_index:
                    warnings.simplefilter("ignore")  # the first worker shows what making such an environment warns of
                with EnvironmentCall(self.first_index, "its worker"):
                    env_fns, spaces = cloudpickle.loads(pickled_env_fns)
                self._envs = _make_envs(env_fns, self.first_index, spaces)
            self.spaces = _spaces_of(self._envs[0], self.first_index)
            return pickle_message((True, self.spaces))
        except TypeError as error:  # spaces that are not supported
            self.has_failed = True
            return _pickled_failure(error)
        except Exception as error:
            return self.fail(error)

    def share(self, actions: np.ndarray, observations: Any, rewards: np.ndarray, dones: np.ndarray) -> None:
        """Set the arrays that a step reads its actions from, and that it writes to.

        Args:
            actions: ``[n, *action_space.shape]`` of the n environments.
            observations: ``observation_rows`` of them.
            rewards: ``[n]`` float32.
            dones: ``[n]`` bool.
        """
        self._actions = actions
        self._group = _EnvGroup(self._envs, self.first_index, self.spaces[0], observations, rewards, dones)

    def answer(self, request: tuple | None) -> bytes | None:
        """Serve a request; ``STEPPED`` in place of the answer to a step without infos.

        Args:
            request: ``STEP``, or a command with its arguments: ``("reset", ())``, ``("resend", ())`` for the infos
                of the latest step or reset, or ``("call", (operation, position, *arguments))``.
        """
        assert self._group is not None, "the environments are made, and the arrays are set"
        try:
            if request is STEP:
                self._infos = self._group.step(self._actions.copy())
                return _pickled_infos(self._infos) if any(self._infos) else STEPPED
            command, arguments = request
            if command == "reset":
                self._infos = self._group.reset()
                return _pickled_infos(self._infos)
            if command == "resend":  # a value in the infos could not be loaded
                return pickle_message((True, [_sendable(info) for info in self._infos]))
            return self._answer_call(self._group, *arguments)
        except Exception as error:
            return self.fail(error)

    def _answer_call(self, group: _EnvGroup, operation: str, position: int, *arguments: Any) -> bytes:
        try:
            return pickle_message((True, group.call(operation, position, *arguments)))
        except EnvironmentFailedError as failure:
            return _pickled_failure(failure)  # an attribute that is not there, say: nothing is broken
        except pickle.PicklingError as error:
            name = arguments[0] if arguments else operation
            return _pickled_failure(_failure(self.first_index + position, name, error))

    def refuse(self, error: pickle.UnpicklingError) -> bytes:
        """The answer to a request that could not be loaded, such as arguments of a class that is not here."""
        return _pickled_failure(_failure(self.first_index, "receiving a call", error))

    def fail(self, error: Exception) -> bytes:
        """The answer of a worker that serves no longer, because of ``error``."""
        self.has_failed = True
        is_named = isinstance(error, EnvironmentFailedError)
        return _pickled_failure(error if is_named else _failure(self.first_index, "its worker", error))

    def close(self) -> None:
        """Close the environments."""
        close_envs(self._envs, self.first_index)


def _serve_envs(
    channel: Channel,
    chosen: slice,
    shared_arrays: tuple[SharedArray, SharedArray, SharedArray, SharedArray],
    entropy: Sequence[int] | None,
) -> None:
    """Serve as a worker of ``SubprocVecEnv``: make environments and answer requests about them until ``"close"``."""
    server = EnvServer(chosen.start, entropy)
    try:
        _, arguments = channel.recv()
        channel.send_pickled(server.make(*arguments))
        if server.has_failed:
            return
        for shared, (shape, dtype) in zip(shared_arrays, channel.recv(), strict=True):
            shared.allocate(shape, dtype)
        actions, observations, rewards, dones = (shared.array for shared in shared_arrays)
        rows = observation_rows(server.spaces[0], observations)
        server.share(actions[chosen], rows[chosen], rewards[chosen], dones[chosen])
        while not server.has_failed:
            try:
                request = channel.recv()
            except pickle.UnpicklingError as error:
                channel.send_pickled(server.refuse(error))
                continue
            if request is not STEP and request[0] == "close":
                break
            answer = server.answer(request)
            if answer is STEPPED:
                channel.send(STEPPED)
            else:
                channel.send_pickled(answer)
    except (EOFError, ConnectionError):  # the parent is gone, or stops for the failure of another worker
        pass
    except Exception as error:  # such as memory that cannot be had
        with contextlib.suppress(ConnectionError):
            channel.send_pickled(server.fail(error))
    finally:
        server.close()


def _failure(env_index: int, operation: str, error: Exception) -> EnvironmentFailedError:
    failure = EnvironmentFailedError(env_index, operation, None, _traceback_of(error), in_one_line(error))
    failure.__cause__ = error
    return failure


def _traceback_of(error: BaseException) -> str:
    """The traceback of an exception; the middle of a very long one is left out."""
    text = "".join(traceback.format_exception(error))
    half = LONGEST_TRACEBACK // 2
    return text if len(text) <= LONGEST_TRACEBACK else f"{text[:half]}\n[...]\n{text[-half:]}"


def _pickled_failure(failure: Exception) -> bytes:
    """The answer with an error and, as far as it can be pickled, the exception that caused it."""
    try:
        pickled_cause = pickle_message(failure.__cause__)
    except pickle.PicklingError:
        pickled_cause = b""
    return pickle_message((False, (failure, pickled_cause)))


def _load_cause(pickled_cause: bytes) -> BaseException | None:
    try:
        return pickle.loads(pickled_cause)
    except Exception:  # an exception that takes other arguments than it keeps, say
        return None


def _pickled_infos(infos: list[dict]) -> bytes:
    try:
        return pickle_message((True, infos))
    except pickle.PicklingError:
        return pickle_message((True, [_sendable(info) for info in infos]))


def _sendable(value: Any) -> Any:
    """The value, with ``UnsentValue`` in place of what cannot be pickled and loaded, also within dictionaries."""
    try:
        pickle.loads(pickle_message(value))
    except Exception as error:
        if isinstance(value, dict):
            return {key: _sendable(item) for key, item in value.items()}
        reason = str(error) if isinstance(error, pickle.PicklingError) else in_one_line(error)
        return UnsentValue(type(value).__name__, reason)
    return value


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _end_with_parent(from_main_thread: bool, leads_group: bool) -> None:
    """End this process and its group when the parent ends, even while an environment is stuck in ``step``.

    A thread waits for the end of the parent. On Linux the kernel ends a process as well whose environment holds
    Python's lock. It goes by the thread that started this process, so only the main one will do.
    """
    if sys.platform == "linux" and from_main_thread:
        # The kernel sends SIGHUP. Its handler, in C, needs no lock of Python's: alarm(SIGHUP) sends SIGALRM a second
        # later, which ends the process unless the thread has ended the whole group before.
        libc = ctypes.CDLL(None)
        libc.signal(signal.SIGHUP, ctypes.cast(libc.alarm, ctypes.c_void_p))
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG, linux/prctl.h
        libc.prctl(set_parent_death_signal, signal.SIGHUP)
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a worker watches over its parent"
    sentinel = parent.sentinel

    def watch() -> None:
        multiprocessing.connection.wait([sentinel])
        if leads_group:
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    with signals_held(signal.SIGINT, signal.SIGTERM):  # held signals would arrive in the new thread
        threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


@contextlib.contextmanager
def signals_held(*numbers: int) -> Iterator[None]:
    """These signals take effect afterwards, in this thread; a process that is started meanwhile never sees them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _without_stop_signals() -> Iterator[None]:
    """A process started here sees no stop signal while its interpreter starts; the parent sees it afterwards.

    It never sees Ctrl-C, and ``_run_worker`` lets it see the others.
    """
    if hasattr(signal, "pthread_sigmask"):
        # It is started with the first process otherwise, and lets SIGINT through from there on.
        multiprocessing.resource_tracker.ensure_running()
    with signals_held(signal.SIGINT, *_GROUP_SIGNALS):
        yield


# --------------------------------------------------------------------------------------------------------------------
# The environments that one process holds
# --------------------------------------------------------------------------------------------------------------------


class EnvironmentCall:
    """Context that turns whatever an environment raises into ``EnvironmentFailedError``.

    Every call into an environment runs in such a context. An environment may raise anything, ``SystemExit`` included;
    only the user's ``KeyboardInterrupt`` passes.

    Args:
        env_index: index of the environment, ``None`` for environments that are stepped as one.
        operation: what the environment is called for.

    Attributes:
        env_index, operation, action: what the error reports.
    """

    __slots__ = ("action", "env_index", "operation")

    def __init__(self, env_index: int | None, operation: str):
        self.env_index = env_index
        self.operation = operation
        self.action: Any = None

    def __enter__(self) -> EnvironmentCall:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None or is_users_interrupt(error):
            return
        is_lookup = isinstance(error, AttributeError) and self.operation in ("get_attr", "env_method")
        failure = EnvironmentAttributeError if is_lookup else EnvironmentFailedError
        action = self.action.tolist() if isinstance(self.action, (np.ndarray, np.generic)) else self.action
        if isinstance(error, NotInSpaceError):
            raise ObservationError(self.env_index, self.operation, action, "", str(error)) from error
        text = _traceback_of(error)
        reason = in_one_line(error)
        if isinstance(error, ValueError) and "expected 5, got 4" in str(error):
            reason += (
                "; its step() returns four results, as before gym 0.26, and a wrapper needs five (observation, reward, "
                "terminated, truncated, info): return those, or gym.make(..., apply_api_compatibility=True)"
            )
        raise failure(self.env_index, self.operation, action, text, reason) from error


def is_users_interrupt(error: BaseException) -> bool:
    """Whether an exception may come from Ctrl-C, which a worker ignores."""
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) != signal.SIG_IGN


class _StepsInTurn(EnvironmentCall):
    """The same for the steps of several environments, the first of which without an info is the one that raised.

    Args:
        first_index: index of the first environment.
        actions: one for each environment.
        infos: the list to which every environment's step adds one.
    """

    __slots__ = ("actions", "first_index", "infos")

    def __init__(self, first_index: int, actions: Any, infos: list[dict]):
        super().__init__(first_index, "step")
        self.first_index, self.actions, self.infos = first_index, actions, infos

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is not None:
            position = len(self.infos)
            self.env_index = self.first_index + position
            self.action = self.actions[position] if self.operation == "step" else None
            super().__exit__(kind, error, _)


def in_one_line(error: BaseException) -> str:
    """Type and message of an exception, such as ``"ValueError: no such level"``; a long message is cut."""
    try:
        message = " ".join(str(error)[: 2 * LONGEST_MESSAGE].split())
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[:LONGEST_MESSAGE]}..."
    except Exception:  # an environment's own exceptions may fail, too
        message = "(its message cannot be printed)"
    return f"{type(error).__name__}: {message}".removesuffix(": ")


class _EnvGroup:
    """Environments that one process steps one after the other, writing into rows of the arrays that it is given.

    Both vectorised environments run this same code, so that they cannot differ in what an environment sees.

    Attributes:
        reset_infos: the info dictionary of each environment's latest reset.
    """

    def __init__(
        self,
        envs: list,
        first_index: int,
        observation_space: Any,
        observations: Any,
        rewards: np.ndarray,
        dones: np.ndarray,
    ):
        self.envs = envs
        self.first_index = first_index
        self.convert = make_converter(observation_space)
        self.observations = observations
        self.rewards = rewards
        self.dones = dones
        self.seeds: list[int | None] = [None] * len(envs)
        self.options: list[dict | None] = [None] * len(envs)
        self.reset_infos: list[dict] = [{} for _ in envs]

    def reset(self) -> list[dict]:
        with EnvironmentCall(self.first_index, "reset") as call:
            for position in range(len(self.envs)):
                call.env_index = self.first_index + position
                self.observations[position] = self.convert(self._reset_env(position))
        return self.reset_infos

    def step(self, actions: np.ndarray) -> list[dict]:
        rewards: list[float] = []
        dones: list[bool] = []
        infos: list[dict] = []
        observations, convert, ndarray = self.observations, self.convert, np.ndarray
        shape, dtype = convert.shape, convert.accepted_dtype
        if actions.ndim == 1 and actions.dtype.kind in "iu":
            actions = actions.tolist()  # environments check and index with Python's integers much faster
        with _StepsInTurn(self.first_index, actions, infos) as call:
            for env, action in zip(self.envs, actions, strict=True):
                result = env.step(action)
                if len(result) == 5:
                    observation, reward, terminated, truncated, info = result
                else:  # classic gym before 0.26: four results, with the time limit in the info
                    observation, reward, done, info = result
                    truncated = done and info.get("TimeLimit.truncated", False)
                    terminated = done and not truncated
                done = bool(terminated or truncated)
                if done:
                    info = dict(info)
                    info["terminal_observation"] = self.convert.copy(observation)
                    info["TimeLimit.truncated"] = not terminated
                    position = len(infos)
                    call.operation = "reset"
                    observation = self._reset_env(position)
                    call.operation = "step"
                    info["reset_info"] = dict(self.reset_infos[position])
                if type(observation) is not ndarray or observation.dtype is not dtype or observation.shape != shape:
                    observation = convert(observation)  # called only if needed: a call costs more than this test
                observations[len(infos)] = observation
                rewards.append(float(reward))
                dones.append(done)
                infos.append({} if info is None else info)
        self.rewards[:] = rewards  # at once: a number at a time takes several times as long
        self.dones[:] = dones
        return infos

    def call(self, operation: str, position: int, *arguments: Any) -> Any:
        with EnvironmentCall(self.first_index + position, operation) as call:
            if operation != "env_method":
                return getattr(self, f"_{operation}")(position, *arguments)
            name, args, kwargs = arguments
            method = self._get_attr(position, name)
            call.operation = name
            return method(*args, **kwargs)

    def close(self) -> None:
        close_envs(self.envs, self.first_index)

    def _reset_env(self, position: int) -> Any:
        """Begin an episode; returns its first observation and keeps its info."""
        seed, self.seeds[position] = self.seeds[position], None
        options, self.options[position] = self.options[position], None
        observation, self.reset_infos[position] = reset_env(self.envs[position], seed, options)
        return observation

    # The operations of ``call``, on one environment at a time.

    def _reset_one(self, position: int) -> tuple[Any, dict]:
        return self.convert.copy(self._reset_env(position)), self.reset_infos[position]

    def _set_state(self, position: int, state: Any) -> Any:
        observation = self._get_attr(position, "set_state")(state)
        return None if observation is None else self.convert.copy(observation)

    def _reset_task(self, position: int) -> Any:
        return self.convert.copy(self._get_attr(position, "reset_task")())

    def _seed(self, position: int, seed: int) -> bool:
        self.seeds[position] = seed
        return _takes_seed(self.envs[position])

    def _set_options(self, position: int, options: dict | None) -> None:
        self.options[position] = options

    def _get_attr(self, position: int, name: str) -> Any:
        return get_env_attr(self.envs[position], name)

    def _has_attr(self, position: int, name: str) -> bool:
        try:
            get_env_attr(self.envs[position], name)
        except AttributeError:
            return False
        return True

    def _set_attr(self, position: int, name: str, value: Any) -> None:
        set_env_attr(self.envs[position], name, value)

    def _is_wrapped(self, position: int, wrapper_class: type) -> bool:
        return any(isinstance(layer, wrapper_class) for layer in env_layers(self.envs[position]))

    def _render(self, position: int) -> Any:
        env = self.envs[position]
        if getattr(env, "render_mode", None) is None and _has_parameter(type(env_layers(env)[-1]).render, "mode"):
            return env.render(mode="rgb_array")  # gym before 0.26
        images = env.render()
        return images[-1] if isinstance(images, list) and images else images


class ObservationConverter:
    """Converts observations of one environment to the shape and dtype of its space, and never changes a number.

    * A space of floats takes floats and integers (float64 is rounded to a float32 space). Bounds are not checked:
      rounding takes the observations of many environments out of their Box, Gymnasium's own among them.
    * A space of integers takes integers of any dtype that it can hold, never floats, so that a NaN is rejected too.
      Their range is checked at every conversion: the categories of Discrete and MultiDiscrete spaces, 0 and 1 of
      MultiBinary, and the bounds of a Box that are narrower than its dtype.

    Args:
        space: an observation space; a Box, Discrete, MultiDiscrete or MultiBinary space.

    Attributes:
        shape: of an observation.
        dtype: of an observation.
        accepted_dtype: dtype of the arrays of the right shape that are returned as they are; ``None`` if ranges are
            checked.
    """

    def __init__(self, space: Any):
        # A space that another process sent has a copy of NumPy's dtype object. Arrays have NumPy's own, so they can
        # be compared by identity, which is faster.
        self.shape, self.dtype = tuple(space.shape), np.dtype(np.dtype(space.dtype).str)
        self.low, self.high = _integer_bounds(space, self.dtype)
        self.accepted_dtype = self.dtype if self.low is None else None
        self._is_discrete = space_kind(space) == "Discrete"

    def __call__(self, observation: Any) -> np.ndarray:
        """Convert one observation.

        Args:
            observation: an array, a number or nested lists of numbers, of the space's shape.

        Returns:
            ``[*shape]`` in the space's dtype; the observation itself where nothing is to be converted.

        Raises:
            NotInSpaceError: another shape, numbers of another kind, such as floats for a space of integers, or a number
                outside the space.
        """
        if type(observation) is np.ndarray and observation.dtype is self.accepted_dtype:
            if observation.shape == self.shape:
                return observation
        elif self._is_discrete and isinstance(observation, (int, np.integer)) and self.low <= observation <= self.high:
            return self.dtype.type(observation)
        try:
            array = np.asarray(observation)
            if array.shape != self.shape:  # assignment would broadcast it silently
                raise ValueError(f"the observation has shape {array.shape}, the observation space {self.shape}")
            return self._convert(array)
        except (TypeError, ValueError) as error:
            raise NotInSpaceError(str(error)) from None

    def copy(self, observation: Any) -> np.ndarray:
        """Convert one observation, as ``__call__``, into an array that nobody else holds."""
        return np.array(self(observation))

    def batch(self, observations: np.ndarray) -> np.ndarray:
        """Convert observations ``[N, *shape]``, as ``__call__``."""
        is_array = type(observations) is np.ndarray
        if is_array and observations.dtype is self.accepted_dtype and observations.shape[1:] == self.shape:
            return observations
        try:
            array = np.asarray(observations)
            if array.shape[1:] != self.shape:
                raise ValueError(f"the observations have shape {array.shape[1:]}, the observation space {self.shape}")
            return self._convert(array)
        except (TypeError, ValueError) as error:
            raise NotInSpaceError(str(error)) from None

    def _convert(self, array: np.ndarray) -> np.ndarray:
        converted = cast_exactly(array, self.dtype, "observation", "observation space")
        if self.accepted_dtype is None:
            outside = (converted < self.low) | (converted > self.high)
            if np.count_nonzero(outside):
                value = converted[outside][0]
                low, high = (np.broadcast_to(bound, outside.shape)[outside][0] for bound in (self.low, self.high))
                raise ValueError(f"the observation has the value {value} where its space has {low} to {high}")
        return converted


class PartsConverter:
    """Converts observations of a Dict or Tuple space, nested too, part by part as ``ObservationConverter``.

    Args:
        space: a Dict or a Tuple of spaces that ``check_space`` accepts.
        name: what errors call an observation; its parts are ``name["key"]`` and ``name[0]``.
    """

    # No array is an observation of such a space.
    shape = None
    accepted_dtype = None

    def __init__(self, space: Any, name: str = "observation"):
        self._name = name
        self._is_dict = container_kind(space) == "Dict"
        self._children = {
            key: PartsConverter(part, _part_name(name, key)) if container_kind(part) else ObservationConverter(part)
            for key, part in _children(space)
        }
        self._leaves: list[tuple[str, ObservationConverter]] = []
        for key, child in self._children.items():
            self._leaves += child._leaves if isinstance(child, PartsConverter) else [(_part_name(name, key), child)]

    def __call__(self, observation: Any) -> list[np.ndarray]:
        """Convert one observation.

        Args:
            observation: a dictionary with the keys of a Dict, a tuple or list with the length of a Tuple.

        Returns:
            its parts, in the order of ``space_parts``.

        Raises:
            NotInSpaceError: something else than a dictionary or a tuple, other keys, another length, or a part that is
                not in its space.
        """
        return [
            self._convert(name, convert, part)
            for (name, convert), part in zip(self._leaves, self.split(observation), strict=True)
        ]

    def batch(self, observations: Any) -> list[np.ndarray]:
        """Convert observations, a dictionary or tuple of arrays ``[N, ...]``; returns the parts, as ``__call__``."""
        parts = [
            self._convert(name, convert.batch, part)
            for (name, convert), part in zip(self._leaves, self.split(observations), strict=True)
        ]
        if len({part.shape[:1] for part in parts}) > 1:
            shapes = ", ".join(f"{name} {part.shape}" for (name, _), part in zip(self._leaves, parts, strict=True))
            raise NotInSpaceError(f"each part must be of the same number of observations, got {shapes}")
        return parts

    def copy(self, observation: Any) -> Any:
        """Convert one observation into a dictionary or tuple of arrays that nobody else holds."""
        return self.join(map(np.array, self(observation)))

    def split(self, observation: Any) -> list[Any]:
        """The parts of an observation as they are; raises for another structure, as ``__call__``."""
        keys = self._children.keys()
        allowed: Any = Mapping if self._is_dict else (tuple, list)
        if not isinstance(observation, allowed):
            kind = "dictionary, as its space is a Dict" if self._is_dict else "tuple, as its space is a Tuple"
            raise NotInSpaceError(f"{self._name} must be a {kind}, got {type(observation).__name__}")
        if self._is_dict and observation.keys() != keys:
            found, expected = (", ".join(map(repr, some_keys)) for some_keys in (observation, keys))
            raise NotInSpaceError(f"{self._name} has the keys {found or 'none'}, its space has {expected}")
        if len(observation) != len(keys):
            raise NotInSpaceError(f"{self._name} has {len(observation)} parts, its space has {len(keys)}")
        parts = []
        for key, child in self._children.items():
            parts += child.split(observation[key]) if isinstance(child, PartsConverter) else [observation[key]]
        return parts

    def join(self, parts: Iterable[np.ndarray]) -> Any:
        """Make the dictionary or tuple of the space out of parts in the order of ``space_parts``."""
        parts = iter(parts)
        joined = {
            key: child.join(parts) if isinstance(child, PartsConverter) else next(parts)
            for key, child in self._children.items()
        }
        return joined if self._is_dict else tuple(joined.values())

    @staticmethod
    def _convert(name: str, convert: Callable[[Any], np.ndarray], part: Any) -> np.ndarray:
        try:
            return convert(part)
        except NotInSpaceError as error:
            raise NotInSpaceError(f"{name}: {error}") from None


def make_converter(space: Any) -> Any:
    """The ``ObservationConverter`` or ``PartsConverter`` of a space."""
    return PartsConverter(space) if container_kind(space) else ObservationConverter(space)


class ObservationRows:
    """Observations of ``N`` environments with a Dict or Tuple space: an array ``[N, ...]`` for each part.

    It has what ``_EnvGroup`` and the vectorised environments use of the array of another space.

    Args:
        convert: of the space.
        arrays: in the order of ``space_parts``.
    """

    def __init__(self, convert: PartsConverter, arrays: list[np.ndarray]):
        self._convert = convert
        self.arrays = arrays

    def __getitem__(self, chosen: slice) -> ObservationRows:
        return ObservationRows(self._convert, [array[chosen] for array in self.arrays])

    def __setitem__(self, row: Any, parts: list[np.ndarray]) -> None:
        for array, part in zip(self.arrays, parts, strict=True):
            array[row] = part

    def copy(self) -> Any:
        """A dictionary or tuple of copies."""
        return self._convert.join(array.copy() for array in self.arrays)


def memory_layout(spaces: tuple[Any, Any], num_envs: int) -> MemoryLayout:
    """Shape and dtype of the actions, observations, rewards and dones of ``num_envs`` environments.

    Args:
        spaces: ``(observation_space, action_space)`` of one environment.
        num_envs: of the environments.
    """
    observation_space, action_space = spaces
    return (
        ((num_envs, *action_space.shape), action_space.dtype),
        observation_layout(observation_space, num_envs),
        ((num_envs,), np.dtype(np.float32)),
        ((num_envs,), np.dtype(np.bool_)),
    )


def observation_layout(space: Any, num_envs: int) -> tuple[tuple[int, ...], Any]:
    """Shape and dtype of memory for observations of ``num_envs`` environments, which ``observation_rows`` takes.

    Of a Dict or Tuple space it is a single record, with an array ``[N, ...]`` for each part.
    """
    if not container_kind(space):
        return (num_envs, *space.shape), space.dtype
    parts = space_parts(space).items()
    fields = [(path, np.dtype(part.dtype), (num_envs, *part.shape)) for path, part in parts]
    return (), np.dtype(fields, align=True)


def observation_rows(space: Any, memory: np.ndarray) -> Any:
    """The memory as an array ``[N, ...]``, or as the ``ObservationRows`` of a Dict or Tuple space."""
    if not container_kind(space):
        return memory
    return ObservationRows(PartsConverter(space), [memory[path] for path in space_parts(space)])


def stack_observations(observations: Sequence[Any]) -> Any:
    """Observations of ``N`` environments, each an array or a structure of arrays, as one with a first axis of ``N``."""
    first = observations[0]
    if isinstance(first, dict):
        return {key: stack_observations([observation[key] for observation in observations]) for key in first}
    if isinstance(first, tuple):
        return tuple(map(stack_observations, zip(*observations, strict=True)))
    return np.stack(observations)


def _integer_bounds(space: Any, dtype: np.dtype) -> tuple[Any, Any]:
    """The smallest and the largest numbers of a space of integers; ``None`` twice if its dtype holds no others."""
    kind, start = space_kind(space), getattr(space, "start", 0)
    if kind == "Discrete":
        return int(start), int(start) + int(space.n) - 1
    if kind == "MultiDiscrete":
        start = np.asarray(start, np.int64)
        return start, start + np.asarray(space.nvec, np.int64) - 1
    if kind == "MultiBinary":
        return 0, 1
    if kind != "Box" or dtype.kind not in "iu":
        return None, None
    limits = np.iinfo(dtype)
    is_whole = np.all(space.low == limits.min) and np.all(space.high == limits.max)
    return (None, None) if is_whole else (space.low, space.high)


def cast_exactly(array: np.ndarray, dtype: np.dtype, what: str, where: str) -> np.ndarray:
    """Cast numbers to a dtype that can hold them: by NumPy's rule ``same_kind``, and integers by their value.

    Args:
        array: numbers.
        dtype: the dtype wanted.
        what: what an error calls the numbers, such as ``"actions"``.
        where: what an error calls the owner of the dtype, such as ``"action space"``.

    Returns:
        the numbers in that dtype, the array itself if it has it already.

    Raises:
        TypeError: numbers of another kind, such as floats where integers are wanted.
        ValueError: an integer that the dtype cannot hold.
    """
    if array.dtype == dtype:
        return array
    if dtype.kind in "biu" and array.dtype.kind in "biu":
        converted = array.astype(dtype)
        changed = converted != array
        if np.count_nonzero(changed):
            raise ValueError(f"{what}: {array[changed][0]} does not fit into {dtype}, the dtype of the {where}")
        return converted
    if dtype.kind not in "biu" and np.can_cast(array.dtype, dtype, "same_kind"):
        return array.astype(dtype)
    raise TypeError(f"{what} of dtype {array.dtype} cannot be converted to {dtype}, the dtype of the {where}")


def reset_env(env: Any, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
    """Begin an episode of one environment, with any generation of the gym interface.

    Args:
        env: a Gymnasium environment, or a classic gym one (``reset(seed=...)`` in 0.26, ``seed(...)`` before it).
        seed: of the environment's randomness from here on; ``None`` leaves it as it is. An environment that has
            neither way to take a seed is reset without it.
        options: passed to ``reset``, if any.

    Returns:
        the first observation and the info dictionary (empty where the environment gives none).
    """
    arguments: dict[str, Any] = {"options": options} if options else {}
    if seed is not None:
        if reset_takes_seed(env):
            arguments["seed"] = seed
        elif _takes_seed(env):
            env.seed(seed)
    result = env.reset(**arguments)
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict):
        return result
    return result, {}


def env_layers(env: Any) -> list[Any]:
    """An environment's wrappers from the outermost inwards, and the environment inside them as the last."""
    innermost, layers = getattr(env, "unwrapped", env), [env]
    while layers[-1] is not innermost and hasattr(layers[-1], "env"):
        layers.append(layers[-1].env)
    return layers


def get_env_attr(env: Any, name: str) -> Any:
    """An attribute of one environment, looked up through its wrappers."""
    return env.get_wrapper_attr(name) if hasattr(env, "get_wrapper_attr") else getattr(env, name)


def set_env_attr(env: Any, name: str, value: Any) -> None:
    """Set an attribute of one environment: on the outermost wrapper that has it, else on the environment inside."""
    layers = env_layers(env)
    setattr(next((layer for layer in layers if _has_own_attribute(layer, name)), layers[-1]), name, value)


def _has_own_attribute(layer: Any, name: str) -> bool:
    """Whether an attribute can be set on a layer itself, rather than on one that the layer forwards to.

    The attribute is not looked up in ``__dict__``: in Python 3.11, an object whose ``__dict__`` was once asked for is
    slower from then on.
    """
    if hasattr(type(layer), name):
        in_class = getattr(type(layer), name)
        return not (isinstance(in_class, property) and in_class.fset is None)
    try:
        object.__getattribute__(layer, name)  # without __getattr__, which forwards
    except AttributeError:
        return False
    return True


def space_kind(space: Any) -> str | None:
    """Name in ``SUPPORTED_SPACES`` of the class of a space, or of its base class; ``None`` if there is none.

    Spaces of Gymnasium and of classic gym have the same names.
    """
    return next((kind.__name__ for kind in type(space).__mro__ if kind.__name__ in SUPPORTED_SPACES), None)


def container_kind(space: Any) -> str | None:
    """``"Dict"`` or ``"Tuple"`` of such a space (Gymnasium's or classic gym's, or a subclass), else ``None``."""
    return next((kind.__name__ for kind in type(space).__mro__ if kind.__name__ in ("Dict", "Tuple")), None)


def space_parts(space: Any) -> dict[str, Any]:
    """The spaces that a Dict or Tuple space consists of, in order, by their path, such as ``"robot/joints"``.

    A path is made of the keys of a Dict and the positions in a Tuple. Any other space has no parts.
    """
    return dict(_leaves(space)) if container_kind(space) else {}


def _leaves(space: Any) -> Iterator[tuple[str, Any]]:
    for key, part in _children(space):
        if container_kind(part):
            for path, leaf in _leaves(part):
                yield f"{key}/{path}", leaf
        else:
            yield str(key), part


def _children(space: Any) -> list[tuple[Any, Any]]:
    """The keys and spaces of a Dict, or the positions and spaces of a Tuple."""
    return list(space.spaces.items() if container_kind(space) == "Dict" else enumerate(space.spaces))


def _part_name(name: str, key: Any) -> str:
    return f'{name}["{key}"]' if isinstance(key, str) else f"{name}[{key!r}]"


def check_space(space: Any, role: str) -> None:
    """Raise ``TypeError`` unless a space (Gymnasium's or classic gym's) is supported in its role.

    Args:
        space: a Box, Discrete, MultiDiscrete or MultiBinary space; as an observation space also a Dict or a Tuple of
            these, nested too.
        role: ``"observation"`` or ``"action"``.
    """
    if space is None:
        raise TypeError(f"it has no {role}_space: set self.{role}_space in its __init__")
    _check_space(space, role, may_have_parts=role == "observation")
    if role == "observation" and container_kind(space):
        paths = [path for path, _ in _leaves(space)]
        if "" in paths or len(set(paths)) < len(paths):
            raise TypeError(f"{role} space {space}: its keys must name each part by another path, got {paths}")


def _check_space(space: Any, name: str, may_have_parts: bool) -> None:
    if may_have_parts and container_kind(space):
        for key, part in _children(space):
            _check_space(part, _part_name(name, key), may_have_parts)
        if not _children(space):
            raise TypeError(f"{name} space {space} is empty: it must have at least one part")
        return
    if space_kind(space) is None:
        or_parts = ", or a Dict or a Tuple of these" if may_have_parts else ""
        kinds = f"{', '.join(SUPPORTED_SPACES[:-1])} or {SUPPORTED_SPACES[-1]}"
        raise TypeError(f"{name} space {space} is not supported: it must be {kinds}{or_parts}")
    if 0 in space.shape:
        raise TypeError(f"{name} space {space} is empty: every length of its shape {space.shape} must be at least 1")


def tile_images(images: Sequence[np.ndarray]) -> np.ndarray:
    """``N`` pictures ``[H, W, C]`` as one, in a grid as near to a square as can be; empty places are black."""
    stacked = np.asarray(images)
    num_images, height, width, channels = stacked.shape
    rows = int(np.ceil(np.sqrt(num_images)))
    columns = int(np.ceil(num_images / rows))
    grid = np.zeros((rows * columns, height, width, channels), stacked.dtype)
    grid[:num_images] = stacked
    return (
        grid.reshape(rows, columns, height, width, channels).swapaxes(1, 2).reshape(rows * height, columns * width, -1)
    )


def _check_env_fns(env_fns: Sequence[Callable[[], Any]]) -> list[Callable[[], Any]]:
    env_fns = list(env_fns)
    if not env_fns:
        raise ValueError("env_fns is empty: at least one environment is needed")
    for index, env_fn in enumerate(env_fns):
        if not callable(env_fn):
            raise ValueError(f"env_fns[{index}] is {env_fn!r}: a function that makes an environment is needed")
    return env_fns


def _make_env(env_fn: Callable[[], Any], index: int) -> Any:
    with EnvironmentCall(index, "__init__"):
        # A process cannot end a call of its own, as a worker's can be ended after start_timeout; it can log a warning.
        message = f"environment {index} is still being made after {SLOW_START:g} s"
        notice = threading.Timer(SLOW_START, logging.getLogger(__name__).warning, [message])
        notice.daemon = True
        notice.start()
        try:
            env = env_fn()
        finally:
            notice.cancel()
        if any(kind.__module__.partition(".")[0] == "gym" for kind in type(getattr(env, "unwrapped", env)).__mro__):
            _restore_numpy_names_used_by_gym()
    return env


def _make_envs(env_fns: Sequence[Callable[[], Any]], first_index: int, spaces: tuple[Any, Any] | None = None) -> list:
    """Make environments, all with the same spaces, by default those of the first; close them if one cannot be made.

    Raises:
        EnvironmentFailedError: an environment raised, or has other spaces.
        TypeError: its spaces are not supported.
        SameEnvironmentError: two functions returned the same environment.
    """
    envs: list = []
    index_of: dict[int, int] = {}
    try:
        for index, env_fn in enumerate(env_fns, first_index):
            env = _make_env(env_fn, index)
            same = index_of.setdefault(id(getattr(env, "unwrapped", env)), index)
            if same != index:
                reason = f"it is environment {same}: each of env_fns must make a new one, not return one made before"
                raise SameEnvironmentError(index, "__init__", None, "", reason)
            envs.append(env)
            found = _spaces_of(env, index)
            if spaces is None:
                _check_spaces(found)
                spaces = found
            _check_same_spaces(found, spaces, index)
    except BaseException:
        close_envs(envs, first_index)
        raise
    return envs


def _spaces_of(env: Any, index: int) -> tuple[Any, Any]:
    """``(observation_space, action_space)``, ``None`` in place of one that is not there."""
    with EnvironmentCall(index, "__init__"):
        return getattr(env, "observation_space", None), getattr(env, "action_space", None)


def _check_same_spaces(found: tuple[Any, Any], spaces: tuple[Any, Any], index: int) -> None:
    with EnvironmentCall(index, "__init__"):
        is_same = found == spaces
    if not is_same:
        reason = f"its spaces are {found}, those of environment 0 are {spaces}"
        raise EnvironmentFailedError(index, "__init__", None, "", reason)


def _check_spaces(spaces: tuple[Any, Any]) -> None:
    for space, role in zip(spaces, ("observation", "action"), strict=True):
        check_space(space, role)


def close_envs(envs: Sequence[Any], first_index: int | None = 0) -> None:
    """Close every environment, and log those that raise: the work that is done must not be lost with them.

    Args:
        envs: environments.
        first_index: index of the first of them, ``None`` for environments that are stepped as one.
    """
    for position, env in enumerate(envs):
        try:
            with EnvironmentCall(None if first_index is None else first_index + position, "close"):
                env.close()
        except EnvironmentFailedError as failure:
            logging.getLogger(__name__).warning("%s", failure.summary)


def probe_spaces(env_fn: Callable[[], Any]) -> tuple[Any, Any]:
    """``(observation_space, action_space)`` of an environment that is made and closed for it.

    Raises:
        EnvironmentFailedError: the environment raised.
        TypeError: its spaces are not supported.
    """
    (env,) = _make_envs([env_fn], 0)
    try:
        return _spaces_of(env, 0)
    finally:
        close_envs([env], 0)


def _takes_seed(env: Any) -> bool:
    """Whether there is a way to seed an environment: ``reset(seed=...)``, or ``seed(...)`` as before gym 0.26."""
    return reset_takes_seed(env) or callable(getattr(env, "seed", None))


def reset_takes_seed(env: Any) -> bool:
    """Whether ``reset`` of an environment, or of its class, has the parameter ``seed``."""
    kind: Any = env if isinstance(env, type) else type(getattr(env, "unwrapped", env))
    return _has_parameter(kind.reset, "seed")


@functools.cache
def _has_parameter(function: Callable[..., Any], name: str) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(parameter.name == name or parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _restore_numpy_names_used_by_gym() -> None:
    """gym 0.26.2 is the last gym and was written for NumPy 1: its checker and its Acrobot use names that are gone."""
    for name, replacement in (("bool8", np.bool_), ("float_", np.float64)):
        if name not in vars(np):
            setattr(np, name, replacement)


def _silence_gym_notice() -> None:
    """gym prints a notice at each import; once, in the parent, is enough."""
    with contextlib.suppress(ImportError):
        import gym_notices.notices

        gym_notices.notices.notices.clear()
