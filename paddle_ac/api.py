"""The package from Python: what ``import paddle_ac`` offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gymnasium.envs.registration import EnvSpec

from paddle_ac.algorithms.agent import TrainedPolicy, warn_about_images
from paddle_ac.algorithms.algorithm import Algorithm
from paddle_ac.config import RunConfig, make_config
from paddle_ac.envs.make import make_evaluation_envs, resolve_vec
from paddle_ac.envs.names import name_env
from paddle_ac.errors import ConfigError, quoted
from paddle_ac.registry import ALGORITHMS
from paddle_ac.training import runs
from paddle_ac.training.evaluate import load_policy
from paddle_ac.training.interrupt import Interrupt, interrupts
from paddle_ac.training.observer import Observer
from paddle_ac.training.run_folder import RunFolder


def make(algo: str, env: str | EnvSpec | Callable[..., Any], **hyper_parameters: Any) -> Algorithm:
    """An agent that learns as often as ``agent.update()`` is called; nothing is written to disk.

    Args:
        algo: ``"a2c"``, ``"ppo"``, ``"paac"``, ``"a3c"``, ``"td_ac"``, ``"q_ac"``, ``"reinforce"`` or ``"sac"``.
        env: a Gymnasium id, one that was registered in this process among them; ``module:id``; ``module:name`` of a
            class or function; ``gym:id``; or an object: a class or function that returns a Gymnasium environment, or a
            specification (``gymnasium.spec(id)``). ``env_kwargs`` are its arguments.
        hyper_parameters: by name, as in a configuration: ``seed=0, num_envs=8``.

    Returns:
        an agent with ``update()``, ``predict(observations)``, ``policy``, ``env_steps`` and ``close()``; at the end of
        a ``with`` it is closed. Until then ``num_threads`` limits NumPy's matrix products in the whole process.

    Raises:
        ConfigError: an unknown name, a value out of range, an unknown environment, spaces that the algorithm does not
            take.
    """
    config = resolve_vec(make_config({"algo": algo, "env": name_env(env), **hyper_parameters}))
    agent = ALGORITHMS[config.algo].from_config(config)
    warn_about_images(agent)
    return agent


def train(
    config: RunConfig | Mapping[str, Any],
    run_dir: str | None = None,
    progress: bool = True,
    observers: Sequence[Observer] = (),
) -> dict[str, Any]:
    """Train as ``tools/train.py`` does, with curves, evaluations and checkpoints in a run folder.

    Args:
        config: hyper-parameters by name, ``algo`` among them; what ``read_yaml`` gives, or ``make_config``. ``env`` is
            a name or an object, as in ``make``. The run folder records the name: ``module:name`` of a class or function
            that can be imported. Any other object is registered in this process as ``python/Name-v0``; to resume,
            evaluate or load the run in another process, register the object under that id first:
            ``gymnasium.register("python/Name-v0", entry_point=Name)``.
        run_dir: a new or empty folder; named after the run under ``runs/`` by default.
        progress: show a progress bar, if this is a terminal.
        observers: see the run: each is a ``paddle_ac.Observer``.

    Returns:
        the summary, as in ``summary.json``, with ``run_dir``, ``env_steps``, ``train_seconds``, ``eval_mean_return``
        and others.

    Raises:
        ConfigError: a mistake in the configuration, or a run folder in use.
        VecEnvError: an environment or its worker failed.
        NonFiniteError: a NaN or an infinity in an observation, a reward or the loss.
        KeyboardInterrupt: Ctrl-C, a notebook's stop, SIGTERM or SIGHUP, after a checkpoint was written, which
            ``resume`` continues. Your own handlers of these signals are replaced while it trains. In another thread
            than the main one, where Python handles no signals, nothing stops it.
    """
    if not isinstance(config, RunConfig):
        if not isinstance(config, Mapping):
            raise ConfigError(f"a configuration is hyper-parameters by name, as read_yaml gives, not {quoted(config)}")
        config = make_config({**config, **({"env": name_env(config["env"])} if "env" in config else {})})
    with interrupts() as interrupt:
        return _of_a_whole_run(runs.train(config, run_dir, progress, observers), interrupt)


def resume(
    run_dir: str,
    changes: dict[str, Any] | None = None,
    progress: bool = True,
    observers: Sequence[Observer] = (),
) -> dict[str, Any]:
    """Go on from a run's latest checkpoint, in the same folder and with the same numbers as if it had never stopped.

    Args:
        run_dir: the run's folder.
        changes: hyper-parameters to change from here on, of the configuration's ``changeable_on_resume``, such as
            ``{"total_steps": 1_000_000}``.
        progress: show a progress bar, if this is a terminal.
        observers: see the run: each is a ``paddle_ac.Observer``.

    Returns:
        the summary, as ``train``.

    Raises:
        ConfigError: not a run folder, a change that is not possible, or a run that is over.
        CheckpointError: the checkpoint is damaged or belongs to another network or environment.
        VecEnvError, NonFiniteError, KeyboardInterrupt: as ``train``.
    """
    with interrupts() as interrupt:
        return _of_a_whole_run(runs.resume(run_dir, changes, progress, observers), interrupt)


def _of_a_whole_run(summary: dict[str, Any], interrupt: Interrupt) -> dict[str, Any]:
    """Return the summary, unless a stop signal came: what follows in a script is for a run that came to its end."""
    if summary["stopped_by"] == "interrupt":
        raise KeyboardInterrupt(f"after {summary['env_steps']:,} steps; resume({summary['run_dir']!r}) goes on")
    if interrupt.is_set():
        raise KeyboardInterrupt(f"the run in {summary['run_dir']} is complete")
    return summary


def load(run_dir: str, checkpoint: str = "best") -> TrainedPolicy:
    """The policy of a run, to choose actions with.

    Args:
        run_dir: the run's folder.
        checkpoint: ``"best"``, of the evaluations during training, or ``"latest"``.

    Raises:
        ConfigError: not a run folder, or an environment that is not to be had.
        CheckpointError: no such checkpoint, or a damaged one.
    """
    folder = RunFolder.open(run_dir)
    config = folder.read_config()
    with make_evaluation_envs(config, config.seed, num_envs=1) as envs:
        policy, env_steps = load_policy(folder, config, checkpoint, envs)
        return TrainedPolicy(policy, envs.observation_space, envs.action_space, env_steps)
