"""Experience of N environments over T steps, time-major."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from multiprocessing_env import VecEnv, VecEnvError
from paddle_ac.errors import NonFiniteError
from paddle_ac.memory import require_memory
from paddle_ac.nn.actions import clip_for
from paddle_ac.nn.unroll import Unroll
from paddle_ac.packing import ObservationPacking, numbers_of, packed

SLOW_STEP_SECONDS = 1e-3  # of all environments; episodes of faster ones end soon enough after Ctrl-C

Act: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass
class Rollout:
    """T steps of N environments.

    Attributes:
        observations: ``[T, N, *observation_space.shape]``, what the actions were chosen from; those of a Dict or Tuple
            space are packed, ``[T, N]`` (``ObservationPacking``), here and in all that follows.
        actions: ``[T, N, *action_space.shape]``, as they were drawn: the environment has those of a Box clipped.
        rewards: ``[T, N]`` float32.
        terminated: ``[T, N]`` bool, the episode ended in this step, or a life of an Atari game.
        truncated: ``[T, N]`` bool, the episode was cut in this step by a time limit.
        last_observations: ``[N, *observation_space.shape]``, after the rollout.
        policy_state: ``[N, S]`` float32, recurrent state before the first step; S is 0 of most policies.
        last_policy_state: ``[N, S]`` float32, recurrent state after the rollout.
        truncation_places: ``(t, n)`` of every truncation, in order.
        truncation_observations: the last observation of each of these episodes.
        truncation_policy_states: ``[S]`` float32, recurrent state before each of these observations.
        episode_returns: undiscounted return of every episode that finished in the rollout; of an Atari game, its score.
        episode_lengths: their lengths, in steps.
        mask: ``[T, N]`` bool, the steps to learn from; ``None`` for all.
        log_probs: ``[T, N]`` float32, of the actions under the policy that took them, in nats, to correct for the
            difference from a newer policy (``v_trace``); ``None`` for no correction.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    last_observations: np.ndarray
    policy_state: np.ndarray
    last_policy_state: np.ndarray
    truncation_places: list[tuple[int, int]] = field(default_factory=list)
    truncation_observations: list[np.ndarray] = field(default_factory=list)
    truncation_policy_states: list[np.ndarray] = field(default_factory=list)
    episode_returns: list[float] = field(default_factory=list)
    episode_lengths: list[int] = field(default_factory=list)
    mask: np.ndarray | None = None
    log_probs: np.ndarray | None = None

    def check_finite(self) -> None:
        """Raise ``NonFiniteError`` naming the first environment whose observation or reward is not finite."""
        after = self.last_observations[np.newaxis]
        for name, values in (("reward", self.rewards), *numbers_of(self.observations), *numbers_of(after)):
            if not _is_finite(values):
                step, env = np.argwhere(~np.isfinite(values))[0][:2]
                raise NonFiniteError(f"{name} of environment {env} is not finite: {_brief(values[step, env])}")
        for (_, env), observation in zip(self.truncation_places, self.truncation_observations, strict=True):
            for name, values in numbers_of(observation):
                if not _is_finite(values):
                    raise NonFiniteError(f"last {name} of environment {env} is not finite: {_brief(values)}")

    def transitions(self, values: np.ndarray) -> np.ndarray:
        """``[T, N, ...]`` as ``[B, ...]``: the B steps to learn from, one after the other."""
        flat = values.reshape(-1, *values.shape[2:])
        return flat if self.mask is None else flat[self.mask.ravel()]

    @property
    def unroll(self) -> Unroll:
        """Recurrent state before the first step, and episode starts, for a recurrent network."""
        # The state before the first step already accounts for its start.
        episode_starts = np.zeros(self.terminated.shape, np.bool_)
        episode_starts[1:] = self.terminated[:-1] | self.truncated[:-1]
        return Unroll(self.policy_state, episode_starts)

    def bootstrap_values(self, values: Callable[[np.ndarray, Unroll], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Compute the values that returns are bootstrapped from at the end of the rollout and of truncated episodes.

        Args:
            values: from observations ``[B, ...]`` and the recurrent states before them to estimates ``[B]`` float32.

        Returns:
            ``[T, N]`` float32, of the last observation of an episode where it was truncated, else 0; and ``[N]``
            float32, of the observations after the rollout.
        """
        num_envs = len(self.last_observations)
        observations, state = self.last_observations, self.last_policy_state
        if self.truncation_places:
            last_of_episodes = [observation[np.newaxis] for observation in self.truncation_observations]
            observations = np.concatenate([observations, *last_of_episodes])
            state = np.concatenate([state, self.truncation_policy_states])
        bootstrap = values(observations, Unroll.of_one_step(state))
        truncation_values = np.zeros(self.rewards.shape, np.float32)
        for place, value in zip(self.truncation_places, bootstrap[num_envs:], strict=True):
            truncation_values[place] = value
        return truncation_values, bootstrap[:num_envs]


def _is_finite(values: np.ndarray) -> bool:
    return np.count_nonzero(np.isfinite(values)) == values.size


def rollout_bytes(observation_space: Any, action_space: Any) -> int:
    """Bytes of one step of one environment in a rollout, with the float32 features that are learned from."""
    parts = list(ObservationPacking(observation_space).parts.values()) or [observation_space]
    own = sum(math.prod(space.shape) * np.dtype(space.dtype).itemsize for space in (*parts, action_space))
    return own + 4 * sum(math.prod(part.shape) for part in parts) + 6  # a reward, and two flags


class RolloutArrays(NamedTuple):
    """The arrays that T steps of N environments are collected into, as in ``Rollout``."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


class CollectingStoppedError(Exception):
    """Episodes were given up on request."""


class RolloutCollector:
    """Steps environments and keeps what happened; an episode may span many rollouts.

    Args:
        envs: N environments; their episodes are begun here.
        num_steps: ``T``.
        state_size: S, numbers of the recurrent state of one environment.

    Attributes:
        observations: ``[N, *observation_space.shape]``, as they are now.
        policy_state: ``[N, S]`` float32, current recurrent state: zeros where an episode begins.
    """

    def __init__(self, envs: VecEnv, num_steps: int, state_size: int = 0):
        row = rollout_bytes(envs.observation_space, envs.action_space)
        require_memory(num_steps * envs.num_envs * row, f"num_steps={num_steps} of num_envs={envs.num_envs}")
        self.envs = packed(envs)
        self.num_steps = num_steps
        self._packing = ObservationPacking(envs.observation_space)
        self._clip = clip_for(envs.action_space)
        self.observations = self.envs.reset()
        self.policy_state = np.zeros((envs.num_envs, state_size), np.float32)
        self.episode_returns = np.zeros(envs.num_envs, np.float64)
        self.episode_lengths = np.zeros(envs.num_envs, np.int64)

    def collect(self, act: Act) -> Rollout:
        """Play T steps.

        Args:
            act: from observations ``[N, ...]`` and the policy's state, which it brings up to date in place, to actions
                ``[N, ...]``.

        Raises:
            NonFiniteError: an observation or a reward is NaN or infinite.
            VecEnvError: an environment or its worker failed.
        """
        space, shape = self.envs.action_space, (self.num_steps, self.envs.num_envs)
        arrays = RolloutArrays(
            observations=np.empty((*shape, *self._packing.shape), self._packing.dtype),
            actions=np.empty((*shape, *space.shape), space.dtype),
            rewards=np.empty(shape, np.float32),
            terminated=np.zeros(shape, np.bool_),
            truncated=np.zeros(shape, np.bool_),
        )
        return self.collect_into(arrays, act)

    def collect_into(self, arrays: RolloutArrays, act: Act) -> Rollout:
        """Play T steps and write them into arrays, each observation before its action is chosen.

        Args:
            arrays: overwritten, but for ``terminated`` and ``truncated``, which are zero.
            act: as for ``collect``.

        Returns:
            a rollout of these arrays.

        Raises:
            NonFiniteError, VecEnvError: as ``collect``.
        """
        rollout = Rollout(
            **arrays._asdict(),
            last_observations=self.observations,
            policy_state=self.policy_state.copy(),
            last_policy_state=self.policy_state,
        )
        for step in range(self.num_steps):
            rollout.observations[step] = self.observations
            rollout.actions[step], rollout.rewards[step], dones, infos = self._step(act)
            if np.count_nonzero(dones):
                self._finish_episodes(rollout, step, dones, infos)
        rollout.last_observations = self.observations
        rollout.last_policy_state = self.policy_state.copy()
        rollout.check_finite()
        return rollout

    def _step(self, act: Act) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict]]:
        """One step of all environments: the actions as they were drawn, rewards, dones and infos."""
        actions = act(self.observations, self.policy_state)
        self.envs.step_async(self._clip(actions))
        self.observations, rewards, dones, infos = self.envs.step_wait()
        self.episode_returns += rewards
        self.episode_lengths += 1
        return actions, rewards, dones, infos

    def _finish_episodes(self, rollout: Rollout, step: int, dones: np.ndarray, infos: list[dict]) -> None:
        finished = dones.copy()
        for env in np.flatnonzero(dones):
            if infos[env].get("TimeLimit.truncated", False):
                rollout.truncated[step, env] = True
                rollout.truncation_places.append((step, int(env)))
                rollout.truncation_observations.append(infos[env]["terminal_observation"])
                rollout.truncation_policy_states.append(self.policy_state[env].copy())
            else:
                rollout.terminated[step, env] = True
            if infos[env].get("life_lost", False):  # the game goes on, and so do its return and its length
                finished[env] = False
                continue
            rollout.episode_returns.append(float(self.episode_returns[env]))
            rollout.episode_lengths.append(int(self.episode_lengths[env]))
        self.policy_state[dones] = 0
        self.episode_returns[finished] = 0
        self.episode_lengths[finished] = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the environments, with observations, recurrent states, returns and lengths so far."""
        return {
            "observations": self.observations.copy(),
            "policy_state": self.policy_state.copy(),
            "episode_returns": self.episode_returns.copy(),
            "episode_lengths": self.episode_lengths.copy(),
            "envs": self.envs.get_state(),
        }

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise ``ValueError`` for a state of another number or kind of environments, or of another policy."""
        arrays = {
            "observations": self.observations,
            "policy_state": self.policy_state,
            "episode_returns": self.episode_returns,
            "episode_lengths": self.episode_lengths,
        }
        for name, array in arrays.items():
            found = state.get(name) if isinstance(state, dict) else None
            if not isinstance(found, np.ndarray) or not found.ndim:
                raise ValueError(f"it has no {name} of environments")
            if len(found) != len(array):
                raise ValueError(f"the state is of {len(found)} environments, these are {len(array)}")
            if (found.shape, found.dtype) != (array.shape, array.dtype):
                raise ValueError(f"{name} is {found.dtype}{found.shape} there and {array.dtype}{array.shape} here")
        if not isinstance(state.get("envs"), dict):
            raise ValueError("it has no states of environments")

    def load_state_dict(self, state: dict[str, Any], resume_episodes: str = "replay") -> None:
        """Bring every environment back to where it stood; where that cannot be done, begin new episodes.

        Args:
            state: as ``state_dict`` returned it.
            resume_episodes: ``"replay"``, or ``"new"`` to begin new episodes in all environments.

        Raises:
            ValueError: other environments, or one that does not repeat itself; the collector and its environments are
                then as they were.
            EnvironmentFailedError: an environment raised when its episode was replayed; the same holds.
        """
        new_episodes = resume_episodes == "new"
        if new_episodes:
            logging.getLogger(__name__).info("every environment begins a new episode (--resume-episodes new)")
        self.check_state_dict(state)
        before = self.envs.get_state()
        try:
            observations = self._bring_back(state, new_episodes)
        except Exception:  # whatever is wrong with the state or an environment
            self._undo(before)
            raise
        if observations is None:
            self.observations = self.envs.reset()
            self.policy_state[:], self.episode_returns[:], self.episode_lengths[:] = 0, 0, 0
            return
        self.observations = observations
        self.policy_state[...] = state["policy_state"]
        self.episode_returns = state["episode_returns"].copy()
        self.episode_lengths = state["episode_lengths"].copy()

    def _bring_back(self, state: dict[str, Any], new_episodes: bool) -> np.ndarray | None:
        observations, expected = self.envs.set_state(state["envs"], new_episodes), state["observations"]
        if observations is None:
            return None
        for env in range(self.envs.num_envs):
            parts = zip(numbers_of(observations[env]), numbers_of(expected[env]), strict=True)
            for (name, here), (_, there) in parts:
                if not np.array_equal(here, there):
                    raise ValueError(
                        f"environment {env} does not repeat itself and cannot be resumed where it stood: the same seed "
                        f"and actions led to {name} {_brief(here)}, before to {_brief(there)}; "
                        "--resume-episodes new begins new episodes instead"
                    )
        return observations

    def _undo(self, before: dict[str, Any]) -> None:
        with contextlib.suppress(VecEnvError):  # the error at hand is the one to raise
            self.envs.set_state(before)


class EpisodeCollector(RolloutCollector):
    """Plays one whole episode in every environment; those that finish first wait for the longest.

    To take the episodes that finish first instead would favour short ones. The policy has no recurrent state.

    Args:
        envs: N environments; their episodes are begun here.
        max_steps: of an episode, which is truncated there; ``None`` for no limit.
        should_stop: asked before every step of slow environments. If it returns true, the episodes are given up.
        generator: source of the actions, restored when episodes are given up.
    """

    def __init__(
        self,
        envs: VecEnv,
        max_steps: int | None = None,
        should_stop: Callable[[], bool] | None = None,
        generator: np.random.Generator | None = None,
    ):
        super().__init__(envs, num_steps=1)
        self.max_steps = max_steps
        self._should_stop = should_stop
        self._generator = generator
        self._seconds_of_a_step = math.inf  # in the last episodes
        self._has_warned = False

    def collect(self, act: Act) -> Rollout:
        """Play an episode in each; T is the length of the longest, and what the others do after theirs is not counted.

        Args:
            act: as for ``RolloutCollector.collect``.

        Raises:
            CollectingStoppedError: ``should_stop`` returned true; the environments and the generator are as they were
                before, so that the same episodes are played again.
            NonFiniteError, VecEnvError: as ``RolloutCollector.collect``.
        """
        started = time.perf_counter()
        undo = self._remember() if self._seconds_of_a_step > SLOW_STEP_SECONDS else None
        parts: list[Rollout] = []
        places: list[tuple[int, int]] = []
        last_of_episodes: list[np.ndarray] = []
        episode_returns: list[float] = []
        episode_lengths: list[int] = []
        playing = np.ones(self.envs.num_envs, np.bool_)
        while playing.any():
            if undo is not None and self._should_stop is not None and self._should_stop():
                undo()
                raise CollectingStoppedError
            part = super().collect(act)
            part.mask = playing[np.newaxis]
            ended = (part.terminated | part.truncated)[0]
            finished = zip(np.flatnonzero(ended), part.episode_returns, part.episode_lengths, strict=True)
            for env, episode_return, episode_length in finished:
                if playing[env]:
                    episode_returns.append(episode_return)
                    episode_lengths.append(episode_length)
            for (_, index), observation in zip(part.truncation_places, part.truncation_observations, strict=True):
                if playing[index]:
                    places.append((len(parts), index))
                    last_of_episodes.append(observation)
            if len(parts) + 1 == self.max_steps:
                cut = playing & ~ended
                part.truncated[0, cut] = True
                ended = ended | cut
                for env in np.flatnonzero(cut):
                    episode_returns.append(float(self.episode_returns[env]))
                    episode_lengths.append(int(self.episode_lengths[env]))
                    places.append((len(parts), int(env)))
                    last_of_episodes.append(self.observations[env].copy())
                if cut.any():
                    self._warn_once()
            parts.append(part)
            playing = playing & ~ended
        self._seconds_of_a_step = (time.perf_counter() - started) / len(parts)
        for env in np.flatnonzero(self.episode_lengths):  # in the middle of an episode that nobody asked for
            self.observations[env] = self.envs.reset_one(int(env))
        self.episode_returns[:], self.episode_lengths[:] = 0, 0
        arrays = ("observations", "actions", "rewards", "terminated", "truncated", "mask")
        return Rollout(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays},
            last_observations=self.observations,
            policy_state=self.policy_state,
            last_policy_state=self.policy_state,
            truncation_places=places,
            truncation_observations=last_of_episodes,
            truncation_policy_states=[self.policy_state[env] for _, env in places],
            episode_returns=episode_returns,
            episode_lengths=episode_lengths,
        )

    def _warn_once(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            logging.getLogger(__name__).warning(
                "an episode was truncated after %s steps (max_episode_steps): its environment has no shorter limit",
                f"{self.max_steps:,}",
            )

    def _remember(self) -> Callable[[], None] | None:
        """Return a function that restores the environments and the generator; ``None`` if that is not possible."""
        if self._generator is None or self._should_stop is None:
            return None
        generator, state = self._generator, self._generator.bit_generator.state
        try:
            envs = self.envs.get_state()
        except (VecEnvError, AttributeError):  # environments of the user's own, which cannot be brought back
            return None

        def undo() -> None:
            observations = self.envs.set_state(envs)
            self.observations = self.envs.reset() if observations is None else observations
            self.episode_returns[:], self.episode_lengths[:] = 0, 0
            generator.bit_generator.state = state

        return undo


def _brief(value: np.ndarray) -> str:
    """An array in one line, whatever its size."""
    return " ".join(np.array2string(np.asarray(value), threshold=20, edgeitems=2).split())
