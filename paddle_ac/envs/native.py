"""Environments that come vectorised by their makers, behind the interface of ``VecEnv``."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
from collections.abc import Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AutoresetMode

from multiprocessing_env import (
    EnvironmentCall,
    EnvironmentFailedError,
    NotInSpaceError,
    ObservationConverter,
    ObservationError,
    VecEnv,
    VecEnvError,
    check_space,
    close_envs,
    container_kind,
    space_kind,
)
from paddle_ac.algorithms.state import check_structure
from paddle_ac.envs.atari import make_vector_games
from paddle_ac.errors import ConfigError, needs
from paddle_ac.process_settings import warnings_ignored

# Gymnasium's vectorised environments that begin anew in the step after, and ours of the same that do so at once.
SAME_STEP = {"gymnasium.envs.classic_control.cartpole:CartPoleVectorEnv": "paddle_ac.envs.native:SameStepCartPole"}


LIVES = "lives"  # of an Atari game: in the infos of every step


class SameStepEnvs(Protocol):
    """Interface that ``NativeVecEnv`` wraps, as Gymnasium's vector environments with ``AutoresetMode.SAME_STEP``."""

    num_envs: int
    single_observation_space: Any
    single_action_space: Any

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Reset all environments, or those that ``options["reset_mask"]`` selects; returns all observations."""
        ...

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """As ``gymnasium.vector.VectorEnv.step``, with ``final_obs`` in the infos where an episode ended."""
        ...

    def close(self) -> None: ...


class SameStepCartPole(CartPoleVectorEnv):
    """Gymnasium's vectorised CartPole, in which a finished environment begins anew in the same step.

    Gymnasium's own begins anew in the step after, whose action it ignores: a transition that no policy made, with a
    reward of 0, that a learner would have to leave out.
    """

    metadata = {**CartPoleVectorEnv.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012
    state: Any  # [4, N] float64

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        if options is None:
            return super().reset(seed=seed)
        self._begin_anew(options["reset_mask"])
        return self.state.T.astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        observations, rewards, terminated, truncated, infos = super().step(action)
        done, self.prev_done = self.prev_done, np.zeros(self.num_envs, np.bool_)
        if done.any():
            infos = {"final_obs": observations.copy()}
            self._begin_anew(done)
            observations[done] = self.state.T[done]
        return observations, rewards, terminated, truncated, infos

    def _begin_anew(self, mask: np.ndarray) -> None:
        self.state[:, mask] = self.np_random.uniform(self.low, self.high, (4, np.count_nonzero(mask)))
        self.steps[mask] = 0

    def get_state(self) -> dict[str, Any]:
        """The state to resume from bit-exactly."""
        generator = self.np_random.bit_generator.state
        return {"state": self.state.copy(), "steps": self.steps.copy(), "generator": generator}

    def set_state(self, state: dict[str, Any]) -> np.ndarray:
        """Restore what ``get_state`` returned, and return the observations ``[N, 4]``; ``ValueError`` if it is none."""
        self.reset(seed=0)
        check_structure(state, self.get_state(), "envs")
        self.state, self.steps = state["state"].copy(), state["steps"].copy()
        self.np_random.bit_generator.state = state["generator"]
        return self.state.T.astype(np.float32)


class SameStepEnvPool:
    """envpool's environments (Weng et al. 2022, arXiv:2206.10558), beginning anew in the same step.

    envpool's own begin anew in the step after; but it can be asked to begin some of them anew at once.

    Args:
        env_id: one of ``envpool.list_all_envs()``.
        num_envs: ``N``.
        num_threads: that step them.
        env_kwargs: arguments of the environment.

    Raises:
        ConfigError: envpool is not installed, or does not have the environment.
    """

    def __init__(self, env_id: str, num_envs: int, num_threads: int, env_kwargs: dict[str, Any] | None = None):
        try:
            import envpool
        except ImportError:
            raise ConfigError(needs("--vec envpool", "envpool")) from None
        if env_id not in envpool.list_all_envs():
            raise ConfigError(f"envpool has no environment {env_id!r}: it names its own, see envpool.list_all_envs()")
        self.num_envs = num_envs
        own = {"num_envs": num_envs, "num_threads": num_threads}
        self._make = functools.partial(envpool.make_gymnasium, env_id, **{**(env_kwargs or {}), **own})
        with EnvironmentCall(None, "__init__"):
            self._begin(seed=0)

    def _begin(self, seed: int) -> None:
        with warnings_ignored(".*precision lowered"):  # of the bounds of its spaces
            self._envs = self._make(seed=seed)
            self.single_observation_space = self._envs.single_observation_space
            self.single_action_space = self._envs.single_action_space
        self.observations = np.empty((0,))  # until the first reset
        self._infos: dict[str, np.ndarray] = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        if options is not None:
            self._begin_anew(options["reset_mask"])
            return self.observations, self._infos
        if seed is not None:  # envpool seeds environments as it makes them, and at no other time
            self._envs.close()
            self._begin(seed)
        self.observations, infos = self._envs.reset()
        self._infos = _kept(infos)
        return self.observations, self._infos

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        self.observations, rewards, terminated, truncated, infos = self._envs.step(actions)
        self._infos = _kept(infos)
        done = terminated | truncated
        if not done.any():
            return self.observations, rewards, terminated, truncated, self._infos
        last = self.observations.copy()
        self._begin_anew(done)
        return self.observations, rewards, terminated, truncated, {**self._infos, "final_obs": last}

    def _begin_anew(self, mask: np.ndarray) -> None:
        self.observations[mask], infos = self._envs.reset(np.flatnonzero(mask).astype(np.int32))
        for name, values in self._infos.items():
            values[mask] = infos[name]

    def close(self) -> None:
        self._envs.close()


def _kept(infos: dict[str, Any]) -> dict[str, np.ndarray]:
    """Copy the infos of envpool that are used here."""
    return {name: infos[name].copy() for name in (LIVES,) if name in infos}


class NativeVecEnv(VecEnv):
    """Environments that are stepped by one program of their maker's.

    Args:
        envs: that begin anew in the same step.
        key: whole numbers that no other environments of the run have, such as (run's seed, purpose); each ``reset``
            seeds all environments from it and the number of resets before.
    """

    def __init__(self, envs: SameStepEnvs, key: tuple[int, ...]):
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        check_space(self.observation_space, "observation")
        check_space(self.action_space, "action")
        if container_kind(self.observation_space):
            raise TypeError(
                f"--vec native and envpool take observations of one array, not of {self.observation_space}: "
                "--vec must be serial, subproc or ray"
            )
        self.envs = envs
        self.key = key
        self.num_resets = 0
        is_discrete = space_kind(self.action_space) == "Discrete"
        self._num_actions = int(self.action_space.n) if is_discrete else None
        self._actions: np.ndarray | None = None
        self._convert = ObservationConverter(self.observation_space)

    def reset(self) -> np.ndarray:
        self._check_open()
        self._actions = None
        entropy = np.random.SeedSequence((*self.key, self.num_resets)).generate_state(1)[0]
        self.num_resets += 1
        with EnvironmentCall(None, "reset"):
            observations, infos = self.envs.reset(seed=int(entropy) % 2**31)
        self.reset_infos = split_infos(infos, range(self.num_envs))
        return self._converted(observations, "reset")

    def step_async(self, actions: np.ndarray) -> None:
        self._check_open()
        self._check_not_waiting(self._actions is not None)
        actions = self._check_actions(actions)
        if self._num_actions is not None and not (actions.min() >= 0 and actions.max() < self._num_actions):
            # ALE waits for ever for the answer to such an action, and envpool takes it for another one.
            raise ValueError(f"actions must lie between 0 and {self._num_actions - 1}, got {actions.tolist()}")
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict]]:
        self._check_open()
        if self._actions is None:
            raise VecEnvError("step_wait() without a step_async() before it")
        actions, self._actions = self._actions, None
        with EnvironmentCall(None, "step"):
            observations, rewards, terminated, truncated, infos_of_all = self.envs.step(actions)
        dones = terminated | truncated
        if LIVES in infos_of_all:
            infos = [{LIVES: lives} for lives in infos_of_all[LIVES].tolist()]
        else:
            infos = [{} for _ in range(self.num_envs)]
        ended = dones.nonzero()[0].tolist()
        if ended:
            last = self._converted(infos_of_all["final_obs"][ended], "step", actions, ended)
            for env, observation, reset_info in zip(ended, last, split_infos(infos_of_all, ended), strict=True):
                self.reset_infos[env] = reset_info
                infos[env] |= {
                    "terminal_observation": observation,
                    "TimeLimit.truncated": not terminated[env],
                    "reset_info": dict(reset_info),
                }
        return self._converted(observations, "step", actions), rewards.astype(np.float32), dones, infos

    def reset_one(self, index: int) -> np.ndarray:
        self._check_open()
        (index,) = self._indices(index)
        mask = np.arange(self.num_envs) == index
        with EnvironmentCall(None, "reset"):
            observations, infos = self.envs.reset(options={"reset_mask": mask})
        (self.reset_infos[index],) = split_infos(infos, [index])
        return self._converted(observations[index : index + 1], "reset", indices=[index])[0]

    def get_state(self) -> dict[str, Any]:
        state = {"num_resets": self.num_resets}
        return {**state, "envs": self.envs.get_state()} if hasattr(self.envs, "get_state") else state

    def set_state(self, state: dict[str, Any], new_episodes: bool = False) -> np.ndarray | None:
        if "num_resets" not in state:
            raise ValueError("the state is of single environments, these are vectorised by their maker")
        self.num_resets = state["num_resets"]
        if new_episodes:
            return None
        if "envs" in state and hasattr(self.envs, "set_state"):
            return self._converted(self.envs.set_state(state["envs"]), "set_state")
        logging.getLogger(__name__).warning(
            "these environments cannot be brought back to where they stood: new episodes"
        )
        return None

    def _converted(
        self,
        observations: np.ndarray,
        operation: str,
        actions: np.ndarray | None = None,
        indices: Sequence[int] | None = None,
    ) -> np.ndarray:
        """A copy ``[N, *observation_space.shape]`` in the dtype of the space.

        Raises:
            ObservationError: an observation outside the space, by the index of its environment.
        """
        try:
            return np.array(self._convert.batch(observations))
        except NotInSpaceError:
            for index, observation in zip(indices or range(self.num_envs), observations, strict=True):
                try:
                    self._convert(observation)
                except NotInSpaceError as error:
                    action = None if actions is None else actions[index].tolist()
                    raise ObservationError(index, operation, action, "", str(error)) from error
            raise

    def close_extras(self) -> None:
        close_envs([self.envs], None)

    def seed(self, seed: int | Sequence[int] | None = None) -> list[int]:
        """Seed all environments from these seeds at the next reset."""
        seeds = self._seeds(seed)
        self.key, self.num_resets = tuple(seeds), 0
        return seeds

    def _attribute_of_first(self, name: str) -> Any:
        return getattr(self.envs, name, None)


def make_games_of_worker(spec: EnvSpec, config: Any, key: tuple[int, ...]) -> NativeVecEnv:
    """Atari games that a worker steps in its own process.

    Args:
        spec: of the game, as ``game_spec`` returns it.
        config: hyper-parameters.
        key: of ``NativeVecEnv``.
    """
    return NativeVecEnv(make_vector_games(spec, config.num_envs, 1, config.frame_stack, config.fire_on_reset), key)


def split_infos(infos: dict[str, Any], envs: Sequence[int]) -> list[dict[str, Any]]:
    """The info dictionary of each environment's reset.

    Args:
        infos: of Gymnasium's vector environments: by name an array or a dictionary of all environments' values, and
            under ``_name`` a mask of the environments that have it. ``final_obs`` and ``final_info`` belong to the
            episode before.
        envs: indices of the environments.
    """
    split: list[dict[str, Any]] = [{} for _ in envs]
    if infos.keys() <= {"final_obs"}:  # as for most environments; quickly
        return split
    for name, values in infos.items():
        if name.startswith("_") or name in ("final_obs", "final_info"):
            continue
        mask = infos.get(f"_{name}")
        values_of_each = split_infos(values, envs) if isinstance(values, dict) else [values[env] for env in envs]
        for info, env, value in zip(split, envs, values_of_each, strict=True):
            if mask is None or mask[env]:
                info[name] = value
    return split


def has_same_step_version(spec: gymnasium.envs.registration.EnvSpec) -> bool:
    """Whether the package has a vectorised version of an environment exactly as it is registered.

    Vectorised versions apply no wrappers, take arguments of their own and always have a time limit.
    """
    if spec.vector_entry_point not in SAME_STEP or spec.additional_wrappers or spec.max_episode_steps is None:
        return False
    return not arguments_not_taken(spec)


def arguments_not_taken(spec: gymnasium.envs.registration.EnvSpec) -> list[str]:
    """The arguments in a specification that the vectorised version of its environment does not take."""
    entry_point = SAME_STEP.get(spec.vector_entry_point, spec.vector_entry_point)  # type: ignore[arg-type]
    maker = entry_point if callable(entry_point) else load_env_creator(entry_point)  # type: ignore[arg-type]
    parameters = inspect.signature(maker).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return []
    return [name for name in spec.kwargs if name not in parameters]


def check_vector_arguments(spec: gymnasium.envs.registration.EnvSpec) -> None:
    """Raise ``ConfigError`` for an argument that the vectorised version of an environment does not take."""
    unknown = arguments_not_taken(spec)
    if unknown:
        raise ConfigError(
            f"the vectorised version of environment {spec.id!r} takes no argument {unknown[0]!r}: "
            "--vec must be serial, subproc or ray"
        )


def make_same_step_envs(spec: gymnasium.envs.registration.EnvSpec, num_envs: int) -> SameStepEnvs:
    """The vectorised version that an environment's maker registered, with ``AutoresetMode.SAME_STEP``.

    Raises:
        ConfigError: there is none, it resets only in the step after, or it lacks registered wrappers.
    """
    entry_point = spec.vector_entry_point
    if entry_point is None:
        raise ConfigError(
            f"environment {spec.id!r} has no vectorised version: --vec must be serial, subproc, ray or envpool"
        )
    if spec.additional_wrappers:
        raise ConfigError(
            f"environment {spec.id!r} is registered with wrappers, which its vectorised version lacks: "
            "--vec must be serial, subproc or ray"
        )
    check_vector_arguments(spec)
    if entry_point in SAME_STEP:
        spec = dataclasses.replace(spec, vector_entry_point=SAME_STEP[entry_point])
        return gymnasium.make_vec(spec, num_envs, "vector_entry_point")
    try:
        with EnvironmentCall(None, "__init__"):
            return gymnasium.make_vec(spec, num_envs, "vector_entry_point", autoreset_mode=AutoresetMode.SAME_STEP)
    except EnvironmentFailedError as error:
        if not isinstance(error.__cause__, TypeError):
            raise
        raise ConfigError(
            f"the vectorised version of environment {spec.id!r} cannot begin anew in the same step: "
            "--vec must be serial, subproc or ray"
        ) from None
