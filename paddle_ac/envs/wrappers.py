"""Wrappers around one environment of any generation of the gym interface."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from multiprocessing_env import (
    NotInSpaceError,
    ObservationConverter,
    env_layers,
    get_env_attr,
    reset_env,
    seed_global_generators,
    space_kind,
)
from paddle_ac.action_masks import MASK, OBSERVATION, check_mask, choice_sizes, space_with_mask
from paddle_ac.errors import ConfigError
from paddle_ac.memory import require_memory
from paddle_ac.nn.images import image_input

REPLAY_SECONDS = 1.0  # that a call of EpisodeReplay.set_state takes


class Wrapper:
    """An environment around another one, which has whatever this does not.

    Attributes of wrappers are private: ``get_attr`` and ``set_attr`` of a public name reach the environment.

    Args:
        env: a Gymnasium or classic gym environment.
    """

    def __init__(self, env: Any):
        self.env = env

    @property
    def observation_space(self) -> Any:
        return self.env.observation_space

    @property
    def action_space(self) -> Any:
        return self.env.action_space

    @property
    def unwrapped(self) -> Any:
        return getattr(self.env, "unwrapped", self.env)

    def __getattr__(self, name: str) -> Any:
        if name == "env":  # not there yet: while being unpickled
            raise AttributeError(name)
        return get_env_attr(self.env, name)

    def get_wrapper_attr(self, name: str) -> Any:
        """An attribute of this wrapper or of what it wraps, as Gymnasium looks it up."""
        return getattr(self, name)

    def render(self, **arguments: Any) -> Any:
        return self.env.render(**arguments)

    def close(self) -> None:
        self.env.close()


class ClassicEnv(Wrapper, gymnasium.Env):  # type: ignore[override]
    """A classic gym environment of any generation, as Gymnasium's own wrappers need it: five results, and an info.

    Args:
        env: has ``reset``, ``step`` and spaces, of classic gym or of Gymnasium.
    """

    def __init__(self, env: Any):
        super().__init__(env)
        self.metadata = getattr(env, "metadata", {})
        self.render_mode = getattr(env, "render_mode", None)

    @property
    def spec(self) -> Any:  # type: ignore[override]
        return getattr(self.unwrapped, "spec", None)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        """Begin an episode."""
        return reset_env(self.env, seed, options)

    def step(self, action: Any) -> tuple:
        """Return five results; of four, ``info["TimeLimit.truncated"]`` makes ``done`` a truncation."""
        result = self.env.step(action)
        if len(result) == 5:
            return result
        observation, reward, done, info = result
        truncated = done and info.get("TimeLimit.truncated", False)
        return observation, reward, done and not truncated, truncated, info


class ActionMasks(Wrapper):
    """Observations of a Dict: ``observation``, the environment's own, and ``action_mask``; see ``action_masks``.

    Masks come from ``info["action_mask"]`` of ``reset`` and ``step``, or from a method ``action_masks()`` of the
    environment. After the last step of an episode, when no action follows, all actions count as allowed.

    Args:
        env: a Gymnasium or classic gym environment with Discrete or MultiDiscrete actions.

    Raises:
        ConfigError: another action space.
    """

    def __init__(self, env: Any):
        super().__init__(env)
        self._sizes = choice_sizes(env.action_space)
        self._space_with_mask = space_with_mask(env.observation_space, env.action_space)

    @property
    def observation_space(self) -> Any:
        return self._space_with_mask

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        """Begin an episode."""
        observation, info = reset_env(self.env, seed, options)
        return {OBSERVATION: observation, MASK: self._mask(info)}, info

    def step(self, action: Any) -> tuple:
        """The environment's own results, four or five, with the mask in the observation."""
        observation, reward, *ended, info = self.env.step(action)
        mask = np.ones(sum(self._sizes), np.int8) if any(ended) else self._mask(info)
        return {OBSERVATION: observation, MASK: mask}, reward, *ended, info

    def _mask(self, info: dict) -> np.ndarray:
        if MASK in info:
            return check_mask(info[MASK], self._sizes)
        try:
            find_masks = get_env_attr(self.env, "action_masks")
        except AttributeError:
            raise NotInSpaceError(
                "the environment has no action masks, neither info['action_mask'] nor a method action_masks()"
            ) from None
        return check_mask(find_masks() if callable(find_masks) else find_masks, self._sizes)


class FrameStack(Wrapper):
    """Observe the last ``num_frames`` observations, the newest last; an episode starts with copies of its first one.

    Frames of an image ``[H, W, C]`` become ``[H, W, K * C]``, those of ``[C, H, W]`` become ``[K * C, H, W]``. Other
    frames are stacked to ``[K, *shape]``, which is an image with K channels for pixels ``[H, W]``. Where that would
    turn frames that are no image into one, as with the RAM of ALE, they are concatenated along their first axis.

    Args:
        env: a Gymnasium or classic gym environment with observations of a Box.
        num_frames: number of frames K.

    Raises:
        ConfigError: another observation space, or a stack whose channels cannot be identified.
    """

    def __init__(self, env: Any, num_frames: int):
        super().__init__(env)
        space = env.observation_space
        if space_kind(space) != "Box":
            raise ConfigError(f"only observations of a Box can be stacked, not of {space}")
        bytes_of_frame = 3 * math.prod(space.shape) * space.dtype.itemsize  # and of the bounds of the space
        require_memory(num_frames * bytes_of_frame, f"frame_stack={num_frames}")
        self._stacked_space, axis = _stack_space(space, num_frames)
        self._stack = np.zeros(self._stacked_space.shape, space.dtype)
        by_frame = self._stack.reshape(*space.shape[:axis], num_frames, *space.shape[axis:])
        self._frames = np.moveaxis(by_frame, axis, 0)  # [K, *shape], the same memory
        self._convert = ObservationConverter(space)

    @property
    def observation_space(self) -> Any:
        return self._stacked_space

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """Start an episode."""
        observation, info = reset_env(self.env, seed, options)
        self._frames[:] = self._convert(observation)
        return self._stack.copy(), info

    def step(self, action: Any) -> tuple:
        """The environment's own results, four or five, with the stack as observation."""
        observation, *rest = self.env.step(action)
        self._frames[:-1] = self._frames[1:]
        self._frames[-1] = self._convert(observation)
        return self._stack.copy(), *rest


def _stack_space(space: Any, num_frames: int) -> tuple[Box, int]:
    """The space of stacks, and the axis of a frame before which the axis of frames goes."""
    image = image_input(space) if len(space.shape) in (2, 3) else None
    if image is None:
        stacked = _join_bounds(space, num_frames, np.stack, 0)
        if len(stacked.shape) in (2, 3) and image_input(stacked) is not None:
            stacked = _join_bounds(space, num_frames, np.concatenate, 0)
        return stacked, 0
    is_grey = len(space.shape) == 2
    axis = 0 if is_grey or image.channels_first else 2
    stacked = _join_bounds(space, num_frames, np.stack if is_grey else np.concatenate, axis)
    found = image_input(stacked)
    if found is None or found.channels_first != (axis == 0):
        raise ConfigError(
            f"frame_stack={num_frames} makes {stacked.shape} of images {space.shape}, whose channels cannot be "
            "identified: take another number of frames"
        )
    return stacked, axis


def _join_bounds(space: Any, num_frames: int, join: Callable[..., np.ndarray], axis: int) -> Box:
    low, high = (join([bound] * num_frames, axis=axis) for bound in (space.low, space.high))
    return Box(low, high, dtype=space.dtype)


class TimeLimit(Wrapper):
    """Truncates an episode after a number of steps, with any generation of the gym interface.

    The time limit of classic gym 0.26 takes environments with five results alone.

    Args:
        env: a classic gym environment.
        max_steps: of an episode.
    """

    def __init__(self, env: Any, max_steps: int):
        super().__init__(env)
        self._max_episode_steps = max_steps  # as gym names them
        self._elapsed_steps = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        """Begin an episode."""
        self._elapsed_steps = 0
        return reset_env(self.env, seed, options)

    def step(self, action: Any) -> tuple:
        """The environment's own results, four or five."""
        result = self.env.step(action)
        self._elapsed_steps += 1
        if self._elapsed_steps < self._max_episode_steps:
            return result
        if len(result) == 5:
            observation, reward, terminated, _, info = result
            return observation, reward, terminated, True, info
        observation, reward, done, info = result
        return observation, reward, True, {**info, "TimeLimit.truncated": not done}


class Recorder(Wrapper):
    """Hands over a picture of every step of its first episodes, the one before the first step of each among them.

    Args:
        env: a Gymnasium or classic gym environment, made with ``render_mode="rgb_array"``.
        take: is given the pictures ``[H, W, 3]`` uint8.
        episodes: how many.
    """

    def __init__(self, env: Any, take: Callable[[np.ndarray], object], episodes: int):
        super().__init__(env)
        self._take = take
        self._episodes_left = episodes

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        """Begin an episode."""
        observation, info = reset_env(self.env, seed, options)
        self._episodes_left -= 1
        self._record()
        return observation, info

    def step(self, action: Any) -> tuple:
        """The environment's own results, four or five."""
        result = self.env.step(action)
        self._record()
        return result

    def _record(self) -> None:
        if self._episodes_left >= 0:
            self._take(self.env.render())


class SeededEpisodes(Wrapper):
    """An environment whose episodes are each seeded from the run's key and the number of the episode.

    An environment repeats itself if all its randomness comes from the generator that ``reset(seed=...)`` seeds, from
    its action and observation spaces (``space.sample()``), which are seeded here, or, with ``seeds_globals``, from
    ``np.random`` and ``random``.

    Args:
        env: a Gymnasium or classic gym environment that repeats itself from the same seed and actions.
        key: whole numbers that no other environment of the run has, such as (run's seed, purpose, index).
        seeds_globals: seed ``np.random`` and ``random`` with every episode. It is for a process that holds this
            environment alone.
    """

    def __init__(self, env: Any, key: tuple[int, ...], seeds_globals: bool = False):
        super().__init__(env)
        self._key = key
        self._seeds_globals = seeds_globals
        self._spaces = _own_spaces(env)
        self._seed_spaces()
        self._seeded_spaces = self._space_states = self._read_spaces()
        self._samples = False  # whether the environment is known to sample from its spaces
        self._episode = -1

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        """Begin the next episode; a ``seed`` begins another row of episodes, from number 0."""
        if seed is not None:
            self._key, self._episode = (seed,), -1
            self._seed_spaces()
            self._samples = True
        self._episode += 1
        # Reading them takes as long as a step. If the environment does not sample: in episodes 0, 1, 2, 4, 8, ... only.
        if self._samples or self._episode & (self._episode - 1) == 0:
            self._space_states = self._read_spaces()
            self._samples = self._space_states != self._seeded_spaces
        entropy = int(np.random.SeedSequence((*self._key, self._episode)).generate_state(1)[0])
        if self._seeds_globals:
            seed_global_generators(entropy)
        return reset_env(self.env, entropy % 2**31, options)  # old environments take no more than 31 bits

    def step(self, action: Any) -> tuple:
        """The environment's own results, four or five."""
        return self.env.step(action)

    def _seed_spaces(self, *more_key: int) -> None:
        words = np.random.SeedSequence((*self._key, *more_key)).generate_state(len(self._spaces) + 1)[1:]
        for space, word in zip(self._spaces, words, strict=True):
            space.seed(int(word) % 2**31)

    def _read_spaces(self) -> list[Any]:
        return [space.np_random.bit_generator.state for space in self._spaces]


class EpisodeReplay(SeededEpisodes):
    """An environment that can be brought back to where it stood.

    The actions of an episode are kept until it ends. To go back, the episode is begun again and the actions are played
    again: no environment needs to know how to save itself. The time to go back and the memory grow with the length of
    an episode. Arguments are those of ``SeededEpisodes``.
    """

    def __init__(self, env: Any, key: tuple[int, ...], seeds_globals: bool = False):
        super().__init__(env, key, seeds_globals)
        self._actions: list[Any] = []
        self._num_replayed: int | None = None  # actions so far, between calls of set_state for one replay

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        """Begin the next episode, as ``SeededEpisodes``. Going back to an episode does not repeat its ``options``."""
        self._actions = []
        self._num_replayed = None
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple:
        """The environment's own results, four or five."""
        self._actions.append(action if isinstance(action, int) else np.copy(action))  # an array may be used again
        return self.env.step(action)

    def get_state(self) -> dict[str, Any]:
        """The number of the running episode, and its actions so far ``[t, *action_space.shape]``.

        The states of the spaces' generators at its beginning are part of it if they are not those of a new environment.
        """
        state = {"episode": self._episode, "actions": np.array(self._actions, self.action_space.dtype)}
        if self._samples:
            return {**state, "spaces": self._space_states}
        self._samples = self._read_spaces() != self._seeded_spaces
        return state

    def set_state(self, state: dict[str, Any]) -> Any:
        """Replay an episode up to the call of ``get_state``.

        A call takes ``REPLAY_SECONDS`` and a step at most, so that a caller can distinguish a long replay from an
        environment that is stuck.

        Returns:
            the observation there, or ``None`` if a part of the episode is left. Then call again with the same state.
        """
        deadline = time.monotonic() + REPLAY_SECONDS
        num_replayed = self._num_replayed
        if num_replayed is None:
            self._episode = state["episode"] - 1
            for space, generator in zip(self._spaces, state.get("spaces", self._seeded_spaces), strict=True):
                space.np_random.bit_generator.state = generator
            self._samples = "spaces" in state
            observation, _ = self.reset()
            num_replayed = 0
        self._num_replayed = None  # after a replay that fails, the next one starts from the beginning
        for index, action in enumerate(state["actions"][num_replayed:], num_replayed):
            if time.monotonic() > deadline:
                self._num_replayed = index
                return None
            observation = self.step(action)[0]
        return observation

    def skip(self, state: dict[str, Any]) -> None:
        """Let the next reset begin the episode after that of ``get_state``."""
        self._episode = state["episode"]
        if "spaces" in state:
            self._seed_spaces(self._episode + 1)
            self._samples = True


def _own_spaces(env: Any) -> list[Any]:
    """The spaces with generators of one environment and its wrappers, parts of Dict and Tuple spaces in their place.

    A space that is an attribute of the environment's class is copied first: other environments sample from it too.
    """
    layers = env_layers(env)
    for role in ("observation_space", "action_space"):
        space = getattr(type(layers[-1]), role, None)
        if hasattr(space, "sample") and getattr(layers[-1], role) is space:
            setattr(layers[-1], role, copy.deepcopy(space))
    spaces: dict[int, Any] = {}
    for layer in layers:
        for role in ("observation_space", "action_space"):
            for space in _leaves(getattr(layer, role, None)):
                if isinstance(getattr(space, "np_random", None), np.random.Generator):
                    spaces[id(space)] = space
    return list(spaces.values())


def _leaves(space: Any) -> list[Any]:
    parts = getattr(space, "spaces", None)
    if parts is None:
        return [space]
    return [leaf for part in (parts.values() if hasattr(parts, "values") else parts) for leaf in _leaves(part)]
