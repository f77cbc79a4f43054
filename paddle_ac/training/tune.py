"""A search for hyper-parameters with Optuna: each trial is a run of its own, in a process of its own."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState
from tqdm import tqdm

from paddle_ac.config import RunConfig, change_config, make_config, nearest, read_config, read_yaml, write_yaml
from paddle_ac.envs.make import log_vec, resolve_vec
from paddle_ac.errors import ConfigError, quoted, reason_of, shortened
from paddle_ac.files import write_atomically
from paddle_ac.training.progress import FittingBar, is_terminal
from paddle_ac.training.run_folder import RunFolder, base_file, check_path, remove_on_config_error, space_file
from paddle_ac.training.side_by_side import Ending, Job, run_side_by_side, runs_that_fit
from paddle_ac.training.wording import as_duration, as_return, first_and_last_line

EVALUATIONS = 10  # of a trial, if the user gives no interval: enough to prune poor trials early

EVAL_INTERVAL = "eval_interval"  # the study's attribute for the interval of its trials; older studies have none

BAR_FORMATS = (
    "{desc}: {n_fmt}/{total_fmt} |{bar}| {elapsed}{postfix}",
    "{desc}: {n_fmt}/{total_fmt} {elapsed}{postfix}",
    "{desc}: {n_fmt}/{total_fmt} {elapsed}",
)


def tune(
    config: RunConfig,
    space: dict[str, Any],
    num_trials: int,
    study_dir: str,
    num_jobs: int | None = None,
    progress: bool = True,
    eval_interval: int | None = None,
) -> dict[str, Any]:
    """Search until ``num_trials`` trials are done; those of earlier calls with the same folder count.

    The first trial is the configuration as it is, the others are suggested by a TPE sampler. A trial whose mean return
    in an evaluation is below the median of the other trials at that point is pruned. Trials that were running when an
    earlier call was stopped are started again.

    Args:
        config: the configuration of all trials but for the space, with the seed of all runs and of the search.
        space: hyper-parameters to search, as ``choose_space`` returns them.
        num_trials: trials in all.
        study_dir: holds ``study.journal`` (Optuna's), ``base.yaml``, ``space.yaml``, a run folder ``trial-<number>``
            for each trial, and ``best.yaml``: ``config`` with the best values, to train with.
        num_jobs: trials at a time; as many as the cores allow by default.
        progress: print a line for every trial that ends, and show a progress bar if this is a terminal.
        eval_interval: steps between two evaluations of a trial of a new study; the configuration's by default.

    Returns:
        ``study_dir``, ``env``, ``num_trials``, ``trials`` (how many ended ``complete``, ``pruned`` and ``failed``),
        ``best`` (``number``, ``run_dir``, ``mean_return`` of the final evaluation and ``params``; ``None`` while there
        is none) and ``stopped_by``, ``"trials"`` or ``"interrupt"``.

    Raises:
        ConfigError: a folder that holds another search, or a configuration that no run can be begun with.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # every trial has a line below
    folder = RunFolder(check_path(study_dir))
    distributions = {name: _distribution(config, name, choices) for name, choices in space.items()}
    with remove_on_config_error(folder.root):
        _begin(folder, config, space)
        study = _open_study(folder.root / "study.journal")
        if eval_interval is not None and not study.trials:
            study.set_user_attr(EVAL_INTERVAL, eval_interval)
        interval = study.user_attrs.get(EVAL_INTERVAL, config.eval_interval)
        # Resolved once, rather than by each trial.
        trial_config = change_config(resolve_vec(config), {"eval_interval": interval})
        log_vec(config)
        num_jobs = num_jobs or runs_that_fit(trial_config)
        return _search(study, folder, config, trial_config, distributions, num_trials, num_jobs, progress)


def _search(
    study: optuna.Study,
    folder: RunFolder,
    config: RunConfig,
    trial_config: RunConfig,
    distributions: dict[str, BaseDistribution],
    num_trials: int,
    num_jobs: int,
    progress: bool,
) -> dict[str, Any]:
    study.sampler = optuna.samplers.TPESampler(seed=config.seed + len(study.trials))  # no trial is suggested twice
    if not study.trials:
        study.enqueue_trial(_params_of(config, distributions))
    _begin_again_what_was_stopped(study, folder)

    bar = FittingBar(
        BAR_FORMATS,
        desc="trials",
        initial=min(_num_done(study), num_trials),
        total=num_trials,
        disable=not progress or not is_terminal(sys.stderr),
    )
    trials: dict[str, Trial] = {}
    steps: dict[str, int] = {}  # of the trials under way

    def jobs() -> Iterator[Job]:
        while _num_done(study) + len(trials) < num_trials:
            trial = study.ask(distributions)
            run_dir = str(folder.child(_trial_name(trial.number)).root)
            trials[run_dir] = trial
            yield Job(run_dir, change_config(trial_config, trial.params))

    def on_point(job: Job, env_steps: int, mean_return: float | None) -> bool:
        steps[job.run_dir] = env_steps
        done = (
            f"trial {trials[run_dir].number} {min(steps[run_dir] / config.total_steps, 1):.0%}" for run_dir in steps
        )
        bar.set_postfix_str(", ".join(done))
        if mean_return is None:
            return True
        trial = trials[job.run_dir]
        # By the number of the evaluation: the steps at which it is made depend on the length of a rollout.
        trial.report(mean_return, env_steps // trial_config.eval_interval)
        return not trial.should_prune()

    def on_end(job: Job, ending: Ending) -> None:
        if ending.summary is not None and ending.summary["stopped_by"] == "interrupt":
            return  # it stays as it is, and the next call starts it again
        trial = trials.pop(job.run_dir)
        steps.pop(job.run_dir, None)
        if ending.summary is None:
            study.tell(trial, state=TrialState.FAIL)
            told = f"failed: {first_and_last_line(ending.error or '')}"
        elif ending.summary["stopped_by"] == "pruned":
            study.tell(trial, state=TrialState.PRUNED)
            told = f"pruned after {ending.summary['env_steps']:,} steps"
        else:
            study.tell(trial, ending.summary["eval_mean_return"])
            told = f"mean return {as_return(ending.summary['eval_mean_return'])}"
        best = _best(study, folder)
        is_best = best is not None and best["number"] == trial.number
        seconds = f" in {as_duration(ending.summary['train_seconds'])}" if ending.summary else ""
        if progress:
            tqdm.write(f"trial {trial.number}: {told}{seconds}{', the best so far' if is_best else ''}")
        bar.update()
        if best is not None and is_best:
            write_yaml(change_config(config, best["params"]), folder.root / "best.yaml")

    with bar:
        is_complete = run_side_by_side(jobs(), num_jobs, on_point, on_end)
    states = [trial.state for trial in study.trials]
    return {
        "study_dir": str(folder.path),
        "env": config.env,
        "network": getattr(config, "network", None),
        "wrappers": list(config.wrappers),
        "num_trials": num_trials,
        "trials": {
            "complete": states.count(TrialState.COMPLETE),
            "pruned": states.count(TrialState.PRUNED),
            "failed": states.count(TrialState.FAIL) - _num_begun_again(study),
        },
        "best": _best(study, folder),
        "stopped_by": "trials" if is_complete else "interrupt",
    }


class Plan(NamedTuple):
    """The arguments of ``tune`` that a command line stands for."""

    config: RunConfig
    space: dict[str, Any]
    study_dir: str
    eval_interval: int | None = None


def plan(
    values: dict[str, Any],
    flags: dict[str, Any],
    custom_space: dict[str, Any] | None = None,
    study_dir: str | None = None,
) -> Plan:
    """Return the arguments of ``tune`` for a command line, which starts a study or continues one.

    Args:
        values: hyper-parameters of a configuration file.
        flags: those of the command line, which are fixed.
        custom_space: as in ``choose_space``.
        study_dir: the study's folder; by default the same for the same algorithm and environment, so that the same
            command continues the study.

    Raises:
        ConfigError: a mistake in them, or a study in the folder in which a flag is searched.
    """
    if study_dir is None:
        config = make_config({"algo": "a2c", **values, **flags})
        study_dir = f"runs/tune-{config.env.replace(':', '-').replace('/', '-')}-{config.algo}"
    base, ranges = base_file(study_dir), space_file(study_dir)
    if not base.is_file():
        config = make_config({"algo": "a2c", **values, **flags})
        is_given = "eval_interval" in {**values, **flags}
        interval = None if is_given else max(config.total_steps // EVALUATIONS, 1)
        return Plan(config, choose_space(config, set(flags), custom_space), study_dir, interval)
    config = make_config({**read_yaml(base), **values, **flags})
    space = read_yaml(ranges) if custom_space is None else choose_space(config, set(flags), custom_space)
    for name in flags:
        if name in space:
            raise ConfigError(f"{name} is searched by the study in {study_dir}: leave out its flag")
    return Plan(config, space, study_dir)


def choose_space(config: RunConfig, fixed: set[str], custom: dict[str, Any] | None = None) -> dict[str, Any]:
    """Choose the search space for a configuration.

    Args:
        config: of the algorithm.
        fixed: hyper-parameters that are not searched.
        custom: in place of the configuration's ``search_space``: names to lists of choices, or to ``low`` and ``high``,
            with ``log`` to search magnitudes rather than values.

    Raises:
        ConfigError: nothing is left, an unknown name, or choices that are none.
    """
    fields = type(config).model_fields
    for name in custom or {}:
        if name not in fields:
            raise ConfigError(f"unknown hyper-parameter {quoted(name)} in the space{nearest(name, fields)}")
    source = config.search_space if custom is None else custom
    space = {name: choices for name, choices in source.items() if name not in fixed}
    if not space and not fixed & source.keys():
        raise ConfigError(f"nothing is known that could be searched for {config.algo}: give --space FILE")
    if not space:
        raise ConfigError("nothing is left to be searched: leave out flags of hyper-parameters")
    for name, choices in space.items():
        _distribution(config, name, choices)
    return space


def _distribution(config: RunConfig, name: str, choices: Any) -> BaseDistribution:
    """Optuna's distribution of a hyper-parameter; ``ConfigError`` if the configuration would reject a value of it."""

    def read(value: Any) -> Any:
        """As the field has it: YAML takes 1e-3 for a text."""
        try:
            return getattr(change_config(config, {name: value}), name)
        except ConfigError as error:
            raise ConfigError(f"space of {name}: {str(error).removeprefix(f'{name}: ')}") from None

    if isinstance(choices, list) and choices:
        return CategoricalDistribution([_plain(read(choice)) for choice in choices])
    if isinstance(choices, dict) and {"low", "high"} <= choices.keys() <= {"low", "high", "log"}:
        kind = IntDistribution if type(config).model_fields[name].annotation is int else FloatDistribution
        low, high = read(choices["low"]), read(choices["high"])
        try:
            return kind(low, high, log=bool(choices.get("log", False)))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"space of {name}: {error}") from None
    raise ConfigError(f"space of {name}: must be a list of choices, or low and high (and log), got {quoted(choices)}")


def _plain(value: Any) -> Any:
    """As Optuna can keep it: ``(64, 64)`` is ``"64,64"``."""
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def _params_of(config: RunConfig, distributions: dict[str, BaseDistribution]) -> dict[str, Any]:
    """A configuration's own values of what is searched, as far as they are in the space."""
    params = {}
    for name, distribution in distributions.items():
        value = _plain(getattr(config, name))
        if isinstance(distribution, CategoricalDistribution):
            is_inside = value in distribution.choices
        else:
            assert isinstance(distribution, (FloatDistribution, IntDistribution))
            is_inside = value is not None and distribution.low <= value <= distribution.high
        if is_inside:
            params[name] = value
    return params


def _begin(folder: RunFolder, config: RunConfig, space: dict[str, Any]) -> None:
    """Write down what is searched, or see that it is what has been searched here."""
    base, ranges = base_file(folder.root), space_file(folder.root)
    if base.is_file():
        before = read_config(base)
        for name, value in config:
            if value != getattr(before, name, None):
                raise ConfigError(
                    f"{folder.path} is a study with {name} {quoted(getattr(before, name, None))}, not {quoted(value)}"
                )
        if read_yaml(ranges) != space:
            raise ConfigError(f"{folder.path} is a study of another space: see {ranges}")
        return
    if any(folder.root.iterdir()):
        raise ConfigError(f"{folder.path} is in use, and not by a study: give --study-dir a new folder")
    try:
        write_atomically(ranges, yaml.safe_dump(space, sort_keys=False).encode())
        write_yaml(config, base)
    except OSError as error:
        raise ConfigError(f"cannot begin a study in {folder.path}: {reason_of(error)}") from None


def _open_study(journal: Path) -> optuna.Study:
    """The study of a journal, or a new one; ``ConfigError`` if the journal is damaged."""
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    try:
        storage = JournalStorage(JournalFileBackend(str(journal)))
        study = optuna.create_study(
            study_name="study", storage=storage, pruner=pruner, direction="maximize", load_if_exists=True
        )
        _ = [(trial.params, trial.values) for trial in study.trials]
    except OSError:
        raise
    except Exception as error:  # Optuna replays the lines unchecked and raises whatever comes of it
        reason = shortened(f"{type(error).__name__}: {error}")
        raise ConfigError(f"{journal} is damaged: {reason}; give --study-dir a new folder") from None
    return study


def _begin_again_what_was_stopped(study: optuna.Study, folder: RunFolder) -> None:
    """Under a new number; what came of it until then is removed, for it would pass for a trial of its own."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
        shutil.rmtree(folder.child(_trial_name(trial.number)).root, ignore_errors=True)


def _num_begun_again(study: optuna.Study) -> int:
    return sum("again" in trial.user_attrs for trial in study.trials)


def _num_done(study: optuna.Study) -> int:
    return sum(trial.state.is_finished() for trial in study.trials) - _num_begun_again(study)


def _trial_name(number: int) -> str:
    return f"trial-{number:04}"


def _best(study: optuna.Study, folder: RunFolder) -> dict[str, Any] | None:
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return None
    best = study.best_trial
    return {
        "number": best.number,
        "run_dir": str(folder.path / _trial_name(best.number)),
        "mean_return": best.value,
        "params": best.params,
    }
