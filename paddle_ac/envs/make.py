"""From an environment's id to environments, seeded so that a run can be repeated and resumed."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium

from multiprocessing_env import DummyVecEnv, EnvironmentFailedError, SubprocVecEnv, VecEnv
from paddle_ac.config import A2CConfig, RunConfig
from paddle_ac.envs.single import import_classic_gym, make_classic_gym, make_gymnasium, make_replayable
from paddle_ac.envs.wrappers import EpisodeReplay
from paddle_ac.errors import ConfigError

# What environments are made for; each has episodes of its own that no other one ever sees.
TRAINING, EVALUATION, FINAL_EVALUATION = 0, 1, 2


def make_training_envs(config: A2CConfig) -> VecEnv:
    """The environments to learn in, as the configuration says.

    Raises:
        ConfigError: an unknown environment, a package that it lacks, or spaces that are not supported.
        EnvironmentFailedError: an environment raised while being made.
    """
    env_fns = training_env_fns(config.env, config.seed, config.num_envs)
    with one_line_errors(config.env):
        return _side_by_side(env_fns, config, config.num_workers)


def training_env_fns(env_id: str, seed: int, num_envs: int, start: int = 0) -> list[Callable[[], EpisodeReplay]]:
    """Functions that make the environments to learn in, one each.

    Args:
        env_id: as in the configuration.
        seed: of the run.
        num_envs: how many.
        start: how many times the run's environments were begun anew before; each time they play other episodes.

    Raises:
        ConfigError: an unknown environment.
    """
    make_env = _env_maker(env_id)
    return [functools.partial(make_replayable, make_env, (seed, TRAINING, index, start)) for index in range(num_envs)]


@contextmanager
def one_line_errors(env_id: str) -> Iterator[None]:
    """Turns what making an environment raises into ``ConfigError``, where it is the user's to mend."""
    try:
        yield
    except TypeError as error:  # of check_space
        raise ConfigError(f"environment {env_id!r}: {error}") from None
    except EnvironmentFailedError as error:
        if isinstance(error.__cause__, (gymnasium.error.Error, ImportError)):
            raise ConfigError(f"environment {env_id!r}: {_one_line(error.__cause__)}") from None
        raise


def make_evaluation_envs(config: RunConfig, seed: int, num_envs: int, purpose: int = EVALUATION) -> VecEnv:
    """Environments to be tried in: each time the same episodes for the same seed and purpose.

    Args:
        config: names the environment, and whether it runs in worker processes.
        seed: of the run.
        num_envs: environments side by side.
        purpose: ``EVALUATION`` or ``FINAL_EVALUATION``.
    """
    make_env = _env_maker(config.env)
    env_fns = [functools.partial(make_replayable, make_env, (seed, purpose, index)) for index in range(num_envs)]
    with one_line_errors(config.env):
        return _side_by_side(env_fns, config) if isinstance(config, A2CConfig) else DummyVecEnv(env_fns)


def _side_by_side(
    env_fns: Sequence[Callable[[], EpisodeReplay]], config: A2CConfig, num_workers: int | None = None
) -> VecEnv:
    if config.vec == "serial":
        return DummyVecEnv(env_fns)
    in_series = len(env_fns) // (num_workers or default_num_workers(len(env_fns)))
    return SubprocVecEnv(env_fns, in_series=in_series, step_timeout=config.step_timeout)


def default_num_workers(num_envs: int) -> int:
    """The largest number of workers that divides the environments and is no more than the cores."""
    cores = os.cpu_count() or 1
    return max(workers for workers in range(1, min(cores, num_envs) + 1) if num_envs % workers == 0)


def _env_maker(env_id: str) -> Callable[[], Any]:
    module_name, _, plain_id = env_id.rpartition(":")
    try:
        if module_name == "gym":
            gym = import_classic_gym()
            try:
                gym.spec(plain_id)
            except gym.error.Error as error:
                raise ConfigError(f"environment {env_id!r}: {_one_line(error)}") from None
            return functools.partial(make_classic_gym, plain_id)
        if module_name:
            importlib.import_module(module_name)
        # The specification, not the id: a worker has not run the registrations of this process.
        return functools.partial(make_gymnasium, gymnasium.spec(plain_id))
    except (ImportError, TypeError, ValueError, gymnasium.error.Error) as error:
        raise ConfigError(f"environment {env_id!r}: {_one_line(error)}") from None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
