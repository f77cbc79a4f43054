"""The package from Python: what ``import paddle_ac`` offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec

from paddle_ac.algorithms.agent import Predictor, TrainedPolicy, warn_about_images
from paddle_ac.algorithms.algorithm import Algorithm
from paddle_ac.config import LARGEST, LARGEST_SEED, RunConfig, explain_arguments, make_config
from paddle_ac.envs.make import make_evaluation_envs, resolve_vec
from paddle_ac.envs.names import name_env
from paddle_ac.errors import ConfigError, quoted
from paddle_ac.files import find_policy_file
from paddle_ac.registry import make_algorithm
from paddle_ac.training import runs
from paddle_ac.training.callback import Callback
from paddle_ac.training.evaluate import evaluate_agent, evaluate_run, load_policy, load_policy_file, reject_checkpoint
from paddle_ac.training.interrupt import Interrupt, interrupts
from paddle_ac.training.run_folder import RunFolder, check_path
from paddle_ac.training.transfer import read_source, start_from


@explain_arguments
def make(algo: str, env: str | EnvSpec | Callable[..., Any], **hyper_parameters: Any) -> Algorithm:
    """An agent that learns with each call of ``agent.update()``; nothing is written to disk.

    Args:
        algo: ``"a2c"``, ``"ppo"``, ``"paac"``, ``"a3c"``, ``"ga3c"``, ``"td_ac"``, ``"q_ac"``, ``"reinforce"``,
            ``"dqn"``, ``"soft_q"``, ``"sac_discrete"``, ``"pgql"``, ``"async_q"``, ``"async_sarsa"``,
            ``"async_nstep_q"``, ``"sac"``, ``"td3"`` or ``"ddpg"``.
        env: a Gymnasium id, one that was registered in this process among them; ``module:id``; ``module:name`` of a
            class or function; ``gym:id``; or an object: a class or function that returns a Gymnasium environment, or a
            specification (``gymnasium.spec(id)``). ``env_kwargs`` are its arguments, ``wrappers`` go around it.
        hyper_parameters: by name, as in a configuration: ``seed=0, num_envs=8``. ``init_from`` names a run folder or a
            file of ``agent.save`` to start from.

    Returns:
        an agent with ``update()``, ``predict(observations)``, ``policy``, ``env_steps``, ``save(path)`` and
        ``close()``; at the end of a ``with`` it is closed. Until then ``num_threads`` limits NumPy's matrix products in
        the whole process.

    Raises:
        ConfigError: an unknown name, a value out of range, an unknown environment, spaces that the algorithm does not
            take.
        CheckpointError: ``init_from`` is of another network.
    """
    for name in ("run_dir", "callbacks", "progress"):
        if name in hyper_parameters:
            raise ConfigError(f"make writes no run folder and takes no {name}: paddle_ac.train(..., {name}=...) does")
    config = make_config({"algo": algo, "env": name_env(env), **hyper_parameters})
    source = read_source(config.init_from)
    agent = make_algorithm(resolve_vec(config))
    try:
        start_from(agent, config, source)
    except BaseException:
        agent.close()
        raise
    warn_about_images(agent)
    return agent


@explain_arguments
def train(
    config: RunConfig | Mapping[str, Any] | None = None,
    run_dir: str | None = None,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    **hyper_parameters: Any,
) -> dict[str, Any]:
    """Train with curves, evaluations and checkpoints in a run folder, as ``tools/train.py`` does.

    Args:
        config: hyper-parameters by name, ``algo`` among them; as ``read_yaml`` or ``make_config`` returns them.
        run_dir: a new or empty folder; named after the run under ``runs/`` by default.
        progress: show a progress bar in a terminal, elsewhere print a line for each evaluation.
        callbacks: see the run: each is a ``paddle_ac.Callback``.
        hyper_parameters: by name, in place of ``config`` or in addition to it, where they win:
            ``train(algo="a2c", env="CartPole-v1", total_steps=100_000)``. ``env`` is a name or an object, as in
            ``make``. The run folder records the name: ``module:name`` of a class or function that can be imported. Any
            other object is registered in this process as ``python/Name-v0``; to resume, evaluate or load the run in
            another process, register the object under that id first:
            ``gymnasium.register("python/Name-v0", entry_point=Name)``. ``init_from`` names a run folder or a file of
            ``agent.save``, whose parameters and normalisation the run starts from.

    Returns:
        the summary, as in ``summary.json``, with ``run_dir``, ``env_steps``, ``train_seconds``, ``eval_mean_return``
        and others.

    Raises:
        ConfigError: a mistake in the configuration, or a run folder in use.
        CheckpointError: ``init_from`` is of another network.
        VecEnvError: an environment or its worker failed.
        NonFiniteError: a NaN or an infinity in an observation, a reward or the loss.
        KeyboardInterrupt: Ctrl-C, a notebook's stop, SIGTERM or SIGHUP, after a checkpoint was written, which
            ``resume`` continues. Your own handlers of these signals are replaced while it trains. In another thread
            than the main one, where Python handles no signals, nothing stops it.
    """
    if not isinstance(config, (RunConfig, Mapping, type(None))):
        raise ConfigError(
            "a configuration is hyper-parameters by name, as in train(algo='a2c', env='CartPole-v1') or "
            f"train(read_yaml('my.yaml')), not {quoted(config)}"
        )
    values = {**(config.model_dump() if isinstance(config, RunConfig) else config or {}), **hyper_parameters}
    if "env" in values:
        values["env"] = name_env(values["env"])
    checked = make_config(values)
    with interrupts() as interrupt:
        return _of_a_whole_run(runs.train(checked, run_dir, progress, callbacks), interrupt)


@explain_arguments
def resume(
    run_dir: str,
    changes: dict[str, Any] | None = None,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    **hyper_parameters: Any,
) -> dict[str, Any]:
    """Resume a run from its latest checkpoint, in the same folder, bit-exactly as if it had never stopped.

    Args:
        run_dir: the run's folder.
        changes: hyper-parameters to change from here on, of the configuration's ``changeable_on_resume``, such as
            ``{"total_steps": 1_000_000}``.
        progress: show a progress bar in a terminal, elsewhere print a line for each evaluation.
        callbacks: see the run: each is a ``paddle_ac.Callback``.
        hyper_parameters: by name, in place of ``changes`` or in addition to it, where they win:
            ``resume("runs/name", total_steps=1_000_000)``.

    Returns:
        the summary, as ``train``.

    Raises:
        ConfigError: not a run folder, a change that is not possible, or a run that is over.
        CheckpointError: the checkpoint is damaged or belongs to another network or environment.
        VecEnvError, NonFiniteError, KeyboardInterrupt: as ``train``.
    """
    if not isinstance(changes, (Mapping, type(None))):
        raise ConfigError(
            f"changes are hyper-parameters by name, as in resume(run_dir, total_steps=1_000_000), not {quoted(changes)}"
        )
    changes = {**(changes or {}), **hyper_parameters}
    with interrupts() as interrupt:
        return _of_a_whole_run(runs.resume(run_dir, changes, progress, callbacks), interrupt)


def _of_a_whole_run(summary: dict[str, Any], interrupt: Interrupt) -> dict[str, Any]:
    """Return the summary, unless a stop signal came: what follows in a script is for a run that came to its end."""
    if summary["stopped_by"] == "interrupt":
        raise KeyboardInterrupt(f"after {summary['env_steps']:,} steps; resume({summary['run_dir']!r}) continues")
    if interrupt.is_set():
        raise KeyboardInterrupt(f"the run in {summary['run_dir']} is complete")
    return summary


@explain_arguments
def load(path: str | Path, checkpoint: str | None = None) -> TrainedPolicy:
    """The policy of a run, or of a file of ``agent.save``, to choose actions with.

    Args:
        path: the run's folder, which needs the run's environment; or the file, which needs none.
        checkpoint: of a run: ``"best"``, of the evaluations during training, by default; or ``"latest"``.

    Raises:
        ConfigError: neither a run folder nor a file of ``agent.save``, a ``checkpoint`` of a file, or an environment
            that cannot be made.
        CheckpointError: no such checkpoint, or a damaged one.
    """
    file = find_policy_file(check_path(path))
    if file is not None:
        reject_checkpoint(checkpoint)
        return load_policy_file(file)
    folder = RunFolder.open(path)
    config = folder.read_config()
    with make_evaluation_envs(config, config.seed, num_envs=1) as envs:
        policy, env_steps = load_policy(folder, config, "best" if checkpoint is None else checkpoint, envs)
        return TrainedPolicy(policy, envs.observation_space, envs.action_space, env_steps, config)


@explain_arguments
def evaluate(
    agent: Algorithm | TrainedPolicy | str | Path,
    episodes: int = 100,
    seed: int | None = None,
    sampled: bool | None = None,
    checkpoint: str | None = None,
) -> dict[str, Any]:
    """Play whole episodes in environments of their own, which no training and no other evaluation uses.

    Args:
        agent: of ``make`` or ``load``; or a run folder, or a file of ``agent.save``.
        episodes: how many.
        seed: of the environments; the agent's own by default.
        sampled: draw the actions, rather than take the most probable ones; ``eval_sampled`` of the configuration by
            default.
        checkpoint: of a run folder: ``"best"``, the default, or ``"latest"``.

    Returns:
        ``mean_return, std_return, min_return, max_return, episodes, env, env_steps, seed, sampled``; of a run folder
        also ``run_dir`` and ``checkpoint``.

    Raises:
        ConfigError: neither an agent, a run folder nor a file, an argument out of range, a ``checkpoint`` of anything
            but a run folder, or an environment that cannot be made.
        CheckpointError: no such checkpoint, or a damaged one.
        VecEnvError: an environment or its worker failed.
        NonFiniteError: an observation or a reward is NaN or infinite.
    """
    if hasattr(episodes, "step"):
        raise ConfigError(
            "evaluate makes the environments of the agent's configuration itself: write evaluate(agent, episodes=100), "
            f"without {quoted(episodes)}"
        )
    _check_whole_number("episodes", episodes, at_least=1, at_most=LARGEST)
    if seed is not None:
        _check_whole_number("seed", seed, at_least=0, at_most=LARGEST_SEED)
    if isinstance(agent, Predictor):
        reject_checkpoint(checkpoint)
        return evaluate_agent(agent, episodes, seed, sampled)
    if not isinstance(agent, (str, Path)):
        raise ConfigError(
            "evaluate takes an agent of make or load, a run folder or a file of agent.save, as in "
            f"evaluate('runs/name'), got {quoted(agent)}"
        )
    return evaluate_run(agent, checkpoint, episodes, seed, sampled)


def _check_whole_number(name: str, value: Any, at_least: int, at_most: int) -> None:
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_whole or not at_least <= value <= at_most:
        raise ConfigError(f"{name} must be a whole number from {at_least} to {at_most}, got {quoted(value)}")
