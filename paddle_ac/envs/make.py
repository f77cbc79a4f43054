"""From an environment's id to environments, seeded so that a run can be repeated and resumed."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import inspect
import logging
import multiprocessing
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from multiprocessing_env import (
    DummyVecEnv,
    EnvironmentCall,
    EnvironmentFailedError,
    SameEnvironmentError,
    SubprocVecEnv,
    VecEnv,
    VecEnvError,
    WorkerVecEnv,
    close_envs,
    get_env_attr,
    reset_env,
)
from paddle_ac.action_masks import MASK, sample_allowed
from paddle_ac.atari_ids import similar_game
from paddle_ac.config import RunConfig, VectorEnvGroup, nearest, parse_wrapper
from paddle_ac.cores import default_num_workers
from paddle_ac.envs.atari import GAMES, end_at_life_loss, envpool_arguments, game_spec, make_vector_games
from paddle_ac.envs.names import find_attribute, registration_hint
from paddle_ac.envs.native import (
    NativeVecEnv,
    SameStepEnvPool,
    SameStepEnvs,
    arguments_not_taken,
    check_vector_arguments,
    has_same_step_version,
    make_games_of_worker,
    make_same_step_envs,
)
from paddle_ac.envs.remote import RayVecEnv
from paddle_ac.envs.single import (
    import_classic_gym,
    make_atari_game,
    make_classic_gym,
    make_gymnasium,
    make_masked,
    make_replayable,
    make_seeded,
    make_stacked,
    make_wrapped,
)
from paddle_ac.envs.wrappers import SeededEpisodes
from paddle_ac.errors import ConfigError, hint_of_main, hint_of_module_here, needs, quoted, with_hint
from paddle_ac.memory import NATIVE_ENV, SINGLE_ENV, WORKER, require_memory
from paddle_ac.packing import packed
from paddle_ac.process_settings import warnings_ignored

AnyConfig = TypeVar("AnyConfig", bound=RunConfig)

# Purposes of environments; each has episodes of its own that no other one ever sees.
TRAINING, EVALUATION, FINAL_EVALUATION, SHOWING, OTHER_RANKS = 0, 1, 2, 3, 4

# Packages that register environments when they are imported: ids, module, what installs it.
ENV_PACKAGES = (
    (r"(MiniGrid|BabyAI)-", "minigrid", "minigrid"),
    (r"MiniWorld-", "miniworld", "miniworld"),
    (r"(Fetch|Hand|Adroit|PointMaze|AntMaze|FrankaKitchen)\w*-v\d", "gymnasium_robotics", "gymnasium-robotics"),
    (r"(highway|merge|roundabout|parking|intersection|racetrack)(-[\w-]+)?-v\d", "highway_env", "highway-env"),
)

# Figures that `resolve_vec` decides by, as measured on 2 cores (docs/performance.md).
NATIVE_FROM = 8  # environments: fewer are stepped faster one by one
SECONDS_OF_A_WORKER = 45e-6  # that a step of all environments takes longer for each worker process


def make_training_envs(config: RunConfig, rank: int = 0) -> VecEnv:
    """Make the environments to learn in, as the configuration specifies.

    Args:
        config: names the environment, their number N and the seed.
        rank: of this process among several that have N environments each; no two play the same episodes. Single
            environments of all ranks are those of one process that has all of them.

    Raises:
        ConfigError: an unknown environment, a package that it lacks, or spaces that are not supported.
        EnvironmentFailedError: an environment raised while being made.
    """
    config = resolve_vec(config)
    group = config.vector_envs
    is_native = group.vec in ("native", "envpool")
    require_memory(group.num_envs * (NATIVE_ENV if is_native else SINGLE_ENV), f"num_envs={group.num_envs}")
    if group.vec == "subproc" and group.num_workers:
        require_memory(group.num_workers * WORKER, f"num_workers={group.num_workers}")
    key = (config.seed, OTHER_RANKS, rank) if rank else (config.seed, TRAINING)
    with as_config_error(config):
        if is_native:
            envs: VecEnv = _make_native_envs(config, key, group.num_envs)
        else:
            first = rank * group.num_envs
            env_fns = training_env_fns(config, first + group.num_envs)[first:]
            envs = _side_by_side(env_fns, group, key, group.num_workers)
    return end_at_life_loss(envs, config)


def training_env_fns(
    config: RunConfig, num_envs: int, start: int = 0, replayable: bool = True
) -> list[Callable[[], SeededEpisodes]]:
    """Functions that make the environments to learn in, one each.

    Args:
        config: names the environment and the seed.
        num_envs: how many.
        start: how many times the run's environments were begun anew before; each time they play other episodes.
        replayable: keep the actions of each episode, so that a run can be resumed in the middle of it.

    Raises:
        ConfigError: an unknown environment.
    """
    make_env = _env_maker(config)
    keys = [(config.seed, TRAINING, index, start) for index in range(num_envs)]
    return [functools.partial(make_replayable if replayable else make_seeded, make_env, key) for key in keys]


def worker_envs_fn(config: Any, index: int = 0, start: int = 0) -> Callable[[], VecEnv]:
    """A function that makes the environments of a worker that plays by itself, to be called in its process.

    Atari games are those of ALE's vector environment, with one thread, unless the configuration has what it does not
    take. Other environments are stepped one by one.

    Args:
        config: names the environment, the number of each worker and the seed.
        index: of the worker; no two play the same episodes.
        start: how many times its environments were begun anew before; each time they play other episodes.

    Raises:
        ConfigError: an unknown environment.
    """
    if config.atari_game and _reason_for_native(config):
        key = (config.seed, TRAINING, index, start)
        return functools.partial(make_games_of_worker, _find_spec(config), config, key)
    num_envs = config.num_envs
    env_fns = training_env_fns(config, (index + 1) * num_envs, start, replayable=False)[index * num_envs :]
    return functools.partial(DummyVecEnv, env_fns)


@contextmanager
def as_config_error(config: RunConfig) -> Iterator[None]:
    """Raise as ``ConfigError``, in one line, what a user can correct about an environment that is being made."""
    env_id = config.env
    try:
        yield
    except TypeError as error:  # of check_space
        raise ConfigError(f"environment {env_id!r}: {error}") from None
    except (gymnasium.error.Error, ImportError) as error:
        raise ConfigError(f"environment {env_id!r}: {_one_line(error)}") from None
    except SameEnvironmentError as error:
        raise ConfigError(f"environment {env_id!r}: {error.reason}") from None
    except EnvironmentFailedError as error:
        cause = error.__cause__
        if isinstance(cause, SyntaxError):
            raise ConfigError(f"environment {env_id!r}: {error.reason}") from None
        if isinstance(cause, (gymnasium.error.Error, ImportError, ConfigError)):
            raise ConfigError(f"environment {env_id!r}: {_one_line(cause)}") from None
        problem = _problem_with_arguments(str(cause), config) if isinstance(cause, TypeError) else None
        if problem:
            raise ConfigError(f"environment {env_id!r} {problem}") from None
        raise


def _problem_with_arguments(message: str, config: RunConfig) -> str | None:
    """Problem with ``env_kwargs`` or the entry point, from the message of a ``TypeError``; else ``None``."""
    unknown = re.search(r"unexpected keyword argument '(\w+)'", message)
    if unknown and unknown[1] in config.env_kwargs:
        return f"takes no argument {unknown[1]!r}, which --env-kwargs (env_kwargs) names"
    missing = re.match(r"\S+\(\) missing \d+ required [\w-]+ arguments?: (.*?)(?: was raised|$)", message)
    if missing:
        return f"needs the arguments {missing[1]}: give them with --env-kwargs NAME=VALUE (env_kwargs)"
    if "must inherit from the gymnasium.Env class" in message:
        return "is no gymnasium.Env"
    return None


def make_evaluation_envs(config: RunConfig, seed: int, num_envs: int, purpose: int = EVALUATION) -> VecEnv:
    """Environments to be tried in: each time the same episodes for the same seed and purpose.

    Args:
        config: names the environment, and whether it runs in worker processes.
        seed: of the run.
        num_envs: environments side by side.
        purpose: ``EVALUATION`` or ``FINAL_EVALUATION``.
    """
    with as_config_error(config):
        config = resolve_vec(config)
        if config.vector_envs.vec in ("native", "envpool"):
            return _make_native_envs(config, (seed, purpose), num_envs)
        make_env = _env_maker(config)
        env_fns = [functools.partial(make_seeded, make_env, (seed, purpose, index)) for index in range(num_envs)]
        return _side_by_side(env_fns, config.vector_envs, (seed, purpose))


def make_rendered_env(config: RunConfig, render_mode: str) -> Any:
    """One environment that can be seen.

    Args:
        config: names the environment.
        render_mode: ``"rgb_array"``, in which ``render()`` gives pictures ``[H, W, 3]`` uint8, or ``"human"``, in which
            a window shows every step.

    Raises:
        ConfigError: an unknown environment, or one that has no pictures or cannot make them here.
    """
    vec = config.vector_envs.vec
    if not config.atari_game and (
        vec == "envpool" or (vec == "native" and not has_same_step_version(_find_spec(config)))
    ):  # other observations than those of a single environment
        message = f"environments of --vec {vec} have no pictures: {config.env} cannot be rendered"
        raise ConfigError(message) from ValueError(f"--vec {vec} gives none")
    with as_config_error(config):
        modes = _render_modes(config)
        if not {render_mode, "rgb_array"} & set(modes):  # a window is made around pictures
            raise _no_pictures(config.env, f"its render modes are {list(modes)}")
        make_env = _env_maker(config, render_mode=render_mode)
        with EnvironmentCall(0, "__init__"):
            env = make_env()
    try:
        with EnvironmentCall(0, "render"):
            reset_env(env)
            picture = env.render()
    except EnvironmentFailedError as error:  # whatever comes where a package, a driver or a screen is missing
        close_envs([env])
        raise ConfigError(f"environment {config.env!r} cannot be rendered: {error.reason}") from ValueError(
            error.reason
        )
    if render_mode == "rgb_array" and not _is_picture(picture):
        close_envs([env])
        raise _no_pictures(config.env, "render() gives no [H, W, 3] array of uint8")
    return env


def _render_modes(config: RunConfig) -> Sequence[str]:
    make_env = _env_maker(config)
    with EnvironmentCall(0, "__init__"):
        env = make_env()
        modes = get_env_attr(env, "metadata").get("render_modes", ())
    close_envs([env])
    return modes


def _no_pictures(env_id: str, reason: str) -> ConfigError:
    """With the reason alone as its cause, for who names the environment before it."""
    error = ConfigError(f"environment {env_id!r} has no pictures: {reason}")
    error.__cause__ = ValueError(reason)
    return error


def _is_picture(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 3 and value.shape[2] == 3 and value.dtype == np.uint8


def make_shown_env(config: RunConfig, seed: int) -> VecEnv:
    """One environment that gives pictures; each time the same episodes for the same seed.

    Raises:
        ConfigError, EnvironmentFailedError: it cannot be made so.
    """
    with warnings_ignored():  # Gymnasium warns of an environment without a render mode for pictures; so do we
        env = make_rendered_env(config, "rgb_array")
    return DummyVecEnv([lambda: SeededEpisodes(env, (seed, SHOWING))])


def resolve_vec(config: AnyConfig) -> AnyConfig:
    """The configuration with the kind of environments that suits in place of ``vec="auto"``.

    Where an environment has a vectorised version with the same spaces, that is worth it from ``NATIVE_FROM``
    environments on. The games of ALE are taken vectorised in any number, for their small grayscale images. Elsewhere
    a step is timed, and workers are taken if with them the step of all environments takes less time.
    """
    if config.vector_envs.vec != "auto":
        return config
    return config.model_copy(update={"vec": _choose_vec(config, _is_daemonic())[0]})


def log_vec(config: RunConfig) -> None:
    """Say in the log what ``resolve_vec`` makes of a configuration, and why."""
    if config.vector_envs.vec == "auto":
        logging.getLogger(__name__).info("environments: %s (%s)", *_choose_vec(config, _is_daemonic()))


def _is_daemonic() -> bool:
    """Whether multiprocessing lets this process start no processes, as in a worker of ``multiprocessing.Pool``."""
    return multiprocessing.current_process().daemon


@functools.cache
def _choose_vec(config: RunConfig, is_daemonic: bool) -> tuple[str, str]:
    """The kind, and the reason for it."""
    reason = _reason_for_native(config)
    if reason:
        return "native", reason
    step = _seconds_of_a_step(config)
    group = config.vector_envs
    serial = step * group.num_envs
    num_workers = group.num_workers or default_num_workers(group.num_envs)
    subproc = serial / num_workers + SECONDS_OF_A_WORKER * num_workers
    reason = (
        f"a step of all takes {serial * 1e6:,.0f} us, about {subproc * 1e6:,.0f} us in {num_workers} "
        f"worker process{'es' * (num_workers > 1)}"
    )
    if subproc < serial and is_daemonic:
        reason = f"{reason}, but this process is daemonic and may start none"
        logging.getLogger(__name__).warning("environments are stepped one by one: %s", reason)
        return "serial", reason
    return "subproc" if subproc < serial else "serial", reason


def _reason_for_native(config: RunConfig) -> str | None:
    """Reason why the vectorised version of an environment is the best choice; ``None`` if it is not, or is missing."""
    if config.env.startswith("gym:") or _for_single_environments(config):
        return None
    spec = _find_spec(config)
    if config.atari_game:
        return None if arguments_not_taken(spec) else f"ALE's vector environment steps games of {config.env} in threads"
    if has_same_step_version(spec) and config.vector_envs.num_envs >= NATIVE_FROM:
        return f"{config.env} has a vectorised version, worth it from {NATIVE_FROM} environments on"
    return None


def _for_single_environments(config: RunConfig) -> str | None:
    """The hyper-parameter that vectorised environments of their maker do not take, if there is one."""
    if config.wrappers:
        return f"--wrapper {config.wrappers[0]} (wrappers)"
    if config.frame_stack > 1 and not config.atari_game:
        return f"frame_stack={config.frame_stack}"
    return "action_masks" if config.action_masks else None


def _seconds_of_a_step(config: RunConfig) -> float:
    """The median over some steps with random actions, a tenth of a second at most."""
    seconds: list[float] = []
    (env_fn,) = training_env_fns(config, 1)
    with as_config_error(config), DummyVecEnv([env_fn]) as envs:
        observations = envs.reset()
        while len(seconds) < 100 and sum(seconds) < 0.1:
            with EnvironmentCall(0, "action_space.sample"):
                if config.action_masks:
                    actions = sample_allowed(envs.action_space, observations[MASK])
                else:
                    actions = np.array([envs.action_space.sample()])
            started = time.perf_counter()
            observations, *_ = envs.step(actions)
            seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def _make_native_envs(config: RunConfig, key: tuple[int, ...], num_envs: int) -> NativeVecEnv:
    envs: SameStepEnvs
    name = _for_single_environments(config)
    if name:
        raise ConfigError(f"{name} is for single environments: --vec must be serial, subproc or ray")
    num_threads = config.vector_envs.num_workers or default_num_workers(num_envs)
    if config.vector_envs.vec == "envpool":
        if config.atari_game:
            env_id, arguments = f"{config.atari_game}-v5", envpool_arguments(config)
            envs = SameStepEnvPool(env_id, num_envs, num_threads, arguments)
        else:
            envs = SameStepEnvPool(config.env, num_envs, num_threads, config.env_kwargs)
    elif config.atari_game:
        spec = _find_spec(config)
        check_vector_arguments(spec)
        envs = make_vector_games(spec, num_envs, num_threads, config.frame_stack, config.fire_on_reset)
    elif config.env.startswith("gym:"):
        raise ConfigError(
            "classic gym has no vectorised versions of environments: --vec must be serial, subproc or ray"
        )
    else:
        envs = make_same_step_envs(_find_spec(config), num_envs)
    return NativeVecEnv(envs, key)


def _side_by_side(
    env_fns: Sequence[Callable[[], SeededEpisodes]],
    group: VectorEnvGroup,
    seed: tuple[int, ...],
    num_workers: int | None = None,
) -> VecEnv:
    if group.vec == "serial":
        return DummyVecEnv(env_fns)
    if group.vec == "subproc" and _is_daemonic():
        raise ConfigError(
            "--vec subproc starts processes, and this process may start none, because it is daemonic (as are the "
            "workers of multiprocessing.Pool): take --vec serial"
        )
    in_series = len(env_fns) // (num_workers or group.default_num_workers(len(env_fns)))
    return _in_workers(env_fns, group, seed, in_series, seeds_globals=in_series == 1)


def _in_workers(
    env_fns: Sequence[Callable[..., SeededEpisodes]],
    group: VectorEnvGroup,
    seed: tuple[int, ...],
    in_series: int,
    seeds_globals: bool,
) -> WorkerVecEnv:
    kind = RayVecEnv if group.vec == "ray" else SubprocVecEnv
    return kind(
        [functools.partial(env_fn, seeds_globals=seeds_globals) for env_fn in env_fns],
        in_series=in_series,
        step_timeout=group.step_timeout,
        start_timeout=group.start_timeout,
        seed=seed,
    )


def find_unrepeatable(
    config: RunConfig, states: dict[str, Any], observations: np.ndarray, max_steps: int
) -> str | None:
    """Replay an episode of the training in a new environment, as resuming does, and compare the observations.

    Args:
        config: of the training.
        states: of its environments, as ``VecEnv.get_state`` returned them.
        observations: ``[N, *observation_space.shape]``, of its environments at that moment; those of a Dict or Tuple
            space are packed.
        max_steps: to replay. The longest running episode within it is replayed; if all are longer, that many steps of
            one are replayed twice.

    Returns:
        what is wrong; ``None`` if the environment repeated itself, or if its episodes are not replayed.
    """
    if config.vector_envs.vec in ("native", "envpool"):
        return None
    states = states.get(GAMES, states)
    lengths = [len(states[str(index)]["actions"]) for index in range(len(states))]
    within = [index for index, length in enumerate(lengths) if length <= max_steps]
    index = max(within, key=lambda index: lengths[index]) if within else 0
    state = {**states[str(index)], "actions": states[str(index)]["actions"][:max_steps]}
    seen = [observations[index]] if within else []
    try:
        while len(seen) < 2:
            with _make_again(config, index, attempt=len(seen)) as envs:
                again = packed(envs).set_state({"0": state})
            assert again is not None, "single environments are always brought back"
            seen.append(again[0])
    except (ConfigError, VecEnvError) as error:
        return f"replaying an episode failed: {' '.join(str(error).split())[:200]}"
    return None if np.array_equal(*seen) else "the same seed and actions led to different observations"


def _make_again(config: RunConfig, index: int, attempt: int) -> VecEnv:
    """One environment of the training, in a process like those of the training."""
    env_fns = training_env_fns(config, index + 1)[index:]
    group = config.vector_envs
    if group.vec == "serial":
        return DummyVecEnv(env_fns)
    is_alone = (group.num_workers or group.default_num_workers(group.num_envs)) == group.num_envs
    return _in_workers(env_fns, group, (config.seed, TRAINING, attempt), in_series=1, seeds_globals=is_alone)


def _env_maker(config: RunConfig, **options: Any) -> Callable[[], Any]:
    env_id = config.env
    make_env: Callable[[], Any]
    if config.atari_game:
        spec = _find_spec(config)
        make_env = functools.partial(make_atari_game, spec, config.frame_stack, config.fire_on_reset, **options)
    elif not env_id.startswith("gym:"):
        # The specification, not the id: a worker has not run the registrations of this process.
        spec = _find_spec(config)
        make_env = functools.partial(make_gymnasium, spec, _names_in_main(spec), **options)
    else:
        gym, plain_id = import_classic_gym(), env_id.removeprefix("gym:")
        try:
            spec = gym.spec(plain_id)
        except (ImportError, TypeError, ValueError, gym.error.Error) as error:
            hint = _newest_version(env_id, gym.envs.registry)
            raise ConfigError(f"environment {env_id!r}: {with_hint(_one_line(error), hint)}") from None
        make_env = functools.partial(make_classic_gym, _with_arguments(spec, config), _names_in_main(spec), **options)
    if config.wrappers:
        make_env = functools.partial(make_wrapped, make_env, [_find_wrapper(text) for text in config.wrappers])
    if config.frame_stack > 1 and not config.atari_game:
        make_env = functools.partial(make_stacked, make_env, config.frame_stack)
    return functools.partial(make_masked, make_env) if config.action_masks else make_env


def _find_wrapper(text: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The class or function that a wrapper of a configuration names, and its arguments."""
    place, arguments = parse_wrapper(text)
    module_name, _, name = place.partition(":")
    module = _import_module(module_name, f"wrapper {place!r}")
    wrapper = getattr(module, name, None)
    if not callable(wrapper):
        hint = hint_of_main(module_name) or nearest(name, vars(module))
        raise ConfigError(f"wrapper {place!r}: {module_name} has no class or function {name}{hint}")
    try:
        inspect.signature(wrapper).bind(None, **arguments)
    except TypeError as error:
        raise ConfigError(
            f"wrapper {text!r}: {error}; its arguments are those of {name} after the environment"
        ) from None
    except ValueError:  # a signature that Python does not know
        pass
    return wrapper, arguments


def _names_in_main(spec: Any) -> dict[str, Any]:
    """Objects of ``__main__`` that the entry points of a registration name; the ``__main__`` of a worker lacks them."""
    wrappers = getattr(spec, "additional_wrappers", ())
    entry_points = [spec.entry_point, *(wrapper.entry_point for wrapper in wrappers)]
    main = sys.modules["__main__"]
    names = [point.partition(":")[2] for point in entry_points if str(point).startswith("__main__:")]
    return {name: getattr(main, name) for name in names if hasattr(main, name)}


def _find_spec(config: RunConfig) -> EnvSpec:
    """The specification that ``config.env`` names, with ``config.env_kwargs``."""
    env_id = config.env
    if config.atari_game:
        return game_spec(config, _registered_game(config))
    module_name, _, plain_id = env_id.rpartition(":")
    entry_point = (
        find_attribute(_import_module(module_name, f"environment {env_id!r}"), plain_id) if module_name else None
    )
    if callable(entry_point):
        return _with_arguments(EnvSpec(plain_id, entry_point=entry_point), config)
    try:
        return _with_arguments(gymnasium.spec(plain_id), config)
    except (ImportError, TypeError, ValueError, gymnasium.error.Error) as error:
        game = similar_game(env_id)
        if game is not None:  # Gymnasium would ask whether ALE is installed
            raise ConfigError(f"environment {env_id!r}: there is no such id (did you mean {game!r}?)") from None
        hint = _package_hint(env_id) or registration_hint(env_id) or _newest_version(env_id, gymnasium.registry)
        raise ConfigError(f"environment {env_id!r}: {with_hint(_one_line(error), hint)}") from None


def _registered_game(config: RunConfig) -> EnvSpec:
    """The specification of an Atari game as ALE registers it."""
    env_id = config.env
    if importlib.util.find_spec("ale_py") is None:
        raise ConfigError(f"environment {env_id!r}: {needs('an Atari game', 'ale-py', 'opencv-python-headless')}")
    _import_module("ale_py", f"environment {env_id!r}")
    known = f"ALE/{config.atari_game}-v5"
    if known not in gymnasium.registry:
        games = [other for other in gymnasium.registry if other.startswith("ALE/")]
        raise ConfigError(f"environment {env_id!r}: ALE has no such game{nearest(known, games)}")
    return gymnasium.spec(known)


def _with_arguments(spec: Any, config: RunConfig) -> Any:
    """A specification of Gymnasium or classic gym with ``config.env_kwargs``."""
    arguments = dict(config.env_kwargs)
    max_steps = arguments.pop("max_episode_steps", spec.max_episode_steps)
    if max_steps is not None and not (type(max_steps) is int and max_steps >= 1):
        raise ConfigError(
            f"env_kwargs: max_episode_steps must be a whole number of at least 1, got {quoted(max_steps)}"
        )
    return dataclasses.replace(spec, kwargs={**spec.kwargs, **arguments}, max_episode_steps=max_steps)


def _import_module(name: str, what: str) -> Any:
    """Import a module; ``what`` names the environment or the wrapper that it is of, for messages."""
    try:
        with EnvironmentCall(None, "import"):
            return importlib.import_module(name)
    except EnvironmentFailedError as error:
        cause = error.__cause__
        assert cause is not None
        if isinstance(cause, ImportError):
            raise ConfigError(f"{what}: {with_hint(_one_line(cause), hint_of_module_here(name, cause))}") from None
        frame = traceback.extract_tb(cause.__traceback__)[-1]
        where = "" if isinstance(cause, SyntaxError) else f" ({frame.filename}, line {frame.lineno})"
        raise ConfigError(f"{what}: module {name} raises {error.reason}{where}") from None


def _package_hint(env_id: str) -> str:
    """The nearest id that a package registers when it is imported, or how to install the package."""
    for pattern, module, requirement in ENV_PACKAGES:
        if re.match(pattern, env_id):
            if importlib.util.find_spec(module) is None:
                return f"; pip install {requirement}, then write {module}:{env_id}"
            _import_module(module, f"environment {env_id!r}")
            ids = [known for known in gymnasium.registry if re.match(pattern, known)]
            return nearest(f"{module}:{env_id}", [f"{module}:{known}" for known in ids])
    return ""


def _newest_version(env_id: str, registry: Mapping[str, Any]) -> str:
    """Hint at the newest version of an id that lacks only a version; else empty. The registries do not suggest any."""
    maker, colon, plain_id = env_id.rpartition(":")
    matches = [re.fullmatch(rf"{re.escape(plain_id)}-v(\d+)", known) for known in registry]
    versions = [int(match[1]) for match in matches if match]
    return f" (did you mean '{maker}{colon}{plain_id}-v{max(versions)}'?)" if versions else ""


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
