"""One environment, as a worker process makes it: this is all of the package that a worker imports."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
from gymnasium.envs.registration import load_env_creator

from multiprocessing_env import reset_takes_seed
from paddle_ac.envs.wrappers import ActionMasks, ClassicEnv, EpisodeReplay, FrameStack, SeededEpisodes, TimeLimit
from paddle_ac.errors import ConfigError, quoted


def make_replayable(make_env: Callable[[], Any], key: tuple[int, ...], seeds_globals: bool = False) -> EpisodeReplay:
    """An environment whose episodes are seeded from ``key`` and can be played again; see ``EpisodeReplay``."""
    return EpisodeReplay(make_env(), key, seeds_globals)


def make_seeded(make_env: Callable[[], Any], key: tuple[int, ...], seeds_globals: bool = False) -> SeededEpisodes:
    """An environment whose episodes are seeded from ``key``; see ``SeededEpisodes``."""
    return SeededEpisodes(make_env(), key, seeds_globals)


def make_stacked(make_env: Callable[[], Any], num_frames: int) -> FrameStack:
    """An environment whose observations are the last ones side by side."""
    return FrameStack(make_env(), num_frames)


def make_wrapped(make_env: Callable[[], Any], wrappers: Sequence[tuple[Callable[..., Any], dict[str, Any]]]) -> Any:
    """An environment inside wrappers, the first the innermost; each is called with the environment and its arguments.

    Raises:
        ConfigError: a wrapper returns no environment.
    """
    env = make_env()
    for wrapper, arguments in wrappers:
        inner, env = env, wrapper(env, **arguments)
        if not all(hasattr(env, name) for name in ("reset", "step", "observation_space", "action_space")):
            inner.close()
            raise ConfigError(f"wrapper {wrapper.__name__} must return an environment, not {quoted(env)}")
    return env


def make_masked(make_env: Callable[[], Any]) -> ActionMasks:
    """An environment whose observations include its action masks."""
    return ActionMasks(make_env())


def make_gymnasium(
    spec: gymnasium.envs.registration.EnvSpec, names_in_main: dict[str, Any], **options: Any
) -> gymnasium.Env:
    """Make a Gymnasium environment without its checkers, which look for mistakes of authors and for a missing reset.

    An entry point may also return an environment of classic gym; see ``ClassicEnv``.

    Args:
        spec: its registration, which a worker process has not run.
        names_in_main: objects of ``__main__`` that entry points of the registration name.
        options: arguments of ``gymnasium.make``.
    """
    _complete_main(names_in_main)
    silence_ale(spec.entry_point)
    changes = {"order_enforce": False, "entry_point": _of_any_generation(spec.entry_point)}
    return gymnasium.make(dataclasses.replace(spec, **changes), disable_env_checker=True, **options)


def _of_any_generation(entry_point: Any) -> Any:
    """The entry point, which makes an environment of classic gym one of Gymnasium."""
    make_env = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    is_current = isinstance(make_env, type) and issubclass(make_env, gymnasium.Env) and reset_takes_seed(make_env)
    if make_env is None or is_current:
        return entry_point
    convert = functools.partial(_make_of_any_generation, make_env)
    return functools.update_wrapper(convert, make_env, assigned=("metadata",), updated=())


def _make_of_any_generation(make_env: Callable[..., Any], **arguments: Any) -> Any:
    env = make_env(**arguments)
    if not (hasattr(env, "reset") and hasattr(env, "step")):
        return env  # Gymnasium rejects it
    return env if isinstance(env, gymnasium.Env) and reset_takes_seed(env) else ClassicEnv(env)


def make_atari_game(spec: gymnasium.envs.registration.EnvSpec, *arguments: Any, **options: Any) -> gymnasium.Env:
    """Make an Atari game by its protocol; see ``atari.make_game``."""
    from paddle_ac.envs.atari import make_game  # here: other environments do without its imports

    silence_ale(spec.entry_point)
    return make_game(spec, *arguments, **options)


def silence_ale(entry_point: Any) -> None:
    """Keep the games of ALE from printing its version for every environment that is made; errors are printed."""
    if isinstance(entry_point, str) and entry_point.startswith("ale_py."):
        import ale_py

        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)


def _complete_main(names: dict[str, Any]) -> None:
    """Add what the ``__main__`` of a worker process lacks; in the user's own process it lacks nothing."""
    main = sys.modules["__main__"]
    for name, value in names.items():
        if not hasattr(main, name):
            setattr(main, name, value)


def make_classic_gym(spec: Any, names_in_main: dict[str, Any], **options: Any) -> Any:
    """An environment of classic gym, without its checker, which fails on NumPy 2, and with a time limit of ours.

    Args:
        spec: ``gym.spec`` of the environment; a worker has not run the registrations of its parent.
        names_in_main: objects of ``__main__`` that entry points of the registration name.
        options: arguments of ``gym.make``.
    """
    _complete_main(names_in_main)
    gym = import_classic_gym()
    max_steps = spec.max_episode_steps
    env = gym.make(dataclasses.replace(spec, max_episode_steps=None), disable_env_checker=True, **options)
    env.unwrapped.spec.max_episode_steps = max_steps
    return env if max_steps is None else TimeLimit(env, max_steps)


def import_classic_gym() -> Any:
    """The ``gym`` module, without the notice that it prints at its import."""
    with contextlib.suppress(ImportError):  # versions before 0.26 have no notice
        import gym_notices.notices

        gym_notices.notices.notices.clear()
    import gym

    return gym
