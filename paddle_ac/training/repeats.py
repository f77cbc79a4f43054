"""Repeats: the same configuration with several seeds, side by side, in one folder with a summary of all."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from paddle_ac.checkpoint import load_run_state
from paddle_ac.config import RunConfig, change_config, change_on_resume, make_config, read_yaml
from paddle_ac.envs.make import log_vec, resolve_vec
from paddle_ac.errors import ConfigError, quoted, reason_of
from paddle_ac.files import write_atomically
from paddle_ac.training.interrupt import interrupts
from paddle_ac.training.progress import EvaluationLines, StepsBar, is_terminal
from paddle_ac.training.run_folder import COMPLETE, RunFolder, check_path, remove_on_config_error, repeats_file
from paddle_ac.training.side_by_side import Ending, Job, run_side_by_side, runs_that_fit
from paddle_ac.training.wording import as_duration, as_return

AGGREGATED = ("eval_mean_return", "best_eval_mean_return", "steps_per_second", "train_seconds")
OF_A_RUN = ("env_steps", *AGGREGATED, "stopped_by", "error")


def train_repeats(
    config: RunConfig,
    seeds: Sequence[int],
    run_dir: str | None = None,
    num_jobs: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Train once with each seed, from the beginning.

    Args:
        config: hyper-parameters; its own seed is ignored.
        seeds: one for each run, which lies in ``seed-<seed>``.
        run_dir: a new or empty folder; named after the runs under ``runs/`` by default.
        num_jobs: runs at a time; as many as the cores allow by default.
        progress: print a line for every run that ends, with a progress bar in a terminal and, elsewhere, a line for
            each evaluation.

    Returns:
        the summary, as in ``summary.json``, with ``runs``, the seed, folder, returns, speed and ``stopped_by`` of each
        (``stopped_by`` is ``"error"``, and ``error`` the reason, for one that failed, and ``None`` for one that was not
        started, or not resumed); ``aggregate``, with ``mean``, ``std`` (over the population), ``min`` and ``max``
        over the runs that came to their end; and ``stopped_by``, ``"total_steps"``, ``"error"`` where a run failed, or
        ``"interrupt"``.

    Raises:
        ConfigError: a folder in use, or a configuration that no run can be begun with; nothing is left of it then.
    """
    if run_dir is None:
        env = config.env.replace(":", "-").replace("/", "-")
        run_dir = f"runs/{env}-{config.algo}-{len(seeds)}seeds-{datetime.now():%Y%m%d-%H%M%S-%f}"
    folder = RunFolder.new(config, run_dir)
    for seed in seeds:
        change_config(config, {"seed": seed})  # raises before there is a folder
    settled = resolve_vec(config)
    with remove_on_config_error(folder.root):
        _write_config(folder, settled, seeds)
        log_vec(config)
        return _train_all(folder, settled, seeds, {}, num_jobs, progress)


def resume_repeats(
    run_dir: str, changes: dict[str, Any] | None = None, num_jobs: int | None = None, progress: bool = True
) -> dict[str, Any]:
    """Go on with the runs that have not come to their end, each from its latest checkpoint.

    Args:
        run_dir: the folder that ``train_repeats`` was given.
        changes: hyper-parameters to change from here on, of the configuration's ``changeable_on_resume``.
        num_jobs: as ``train_repeats``.
        progress: as ``train_repeats``.

    Returns:
        the summary, as ``train_repeats``, of all runs.

    Raises:
        ConfigError: a change that is not possible, or no run that could be resumed.
        CheckpointError: as ``resume``.
    """
    folder, changes = RunFolder(check_path(run_dir)), changes or {}
    before, seeds = _read_config(folder)
    config = change_on_resume(before, changes, run_dir)
    if config.total_steps < before.total_steps:
        steps = {seed: _steps_in_checkpoint(_seed_folder(folder, seed), config.algo) for seed in seeds}
        furthest = max(seeds, key=lambda seed: steps[seed])
        if config.total_steps < steps[furthest]:
            furthest_run = _seed_folder(folder, furthest).path
            raise ConfigError(f"{furthest_run} has reached {steps[furthest]:,} steps: --total-steps must not be less")
    if all(_seed_folder(folder, seed).is_over(config) for seed in seeds):
        raise ConfigError(
            f"all runs in {run_dir} have reached {config.total_steps:,} steps or their --stop-at-return: give a "
            "larger one to continue"
        )
    _write_config(folder, config, seeds)
    return _train_all(folder, config, seeds, changes, num_jobs, progress)


def _train_all(
    folder: RunFolder,
    config: RunConfig,
    seeds: Sequence[int],
    changes: dict[str, Any],
    num_jobs: int | None,
    progress: bool,
) -> dict[str, Any]:
    jobs = []
    steps: dict[str, int] = {}
    for seed in seeds:
        run = _seed_folder(folder, seed)
        if run.is_over(config):
            continue
        if run.latest.is_file():
            jobs.append(Job(str(run.root), changes=changes))
            steps[str(run.root)] = run.known_summary().get("env_steps", 0)
        else:
            jobs.append(Job(str(run.root), change_config(config, {"seed": seed})))
            steps[str(run.root)] = 0
    num_jobs = min(num_jobs or runs_that_fit(config), len(jobs))
    has_bar = progress and is_terminal(sys.stderr)
    lines: dict[str, EvaluationLines] = {}  # of the runs under way
    failures: dict[str, str] = {}
    bar = StepsBar(
        desc=f"{config.algo}, {len(jobs)} runs",
        initial=sum(steps.values()),
        total=len(jobs) * config.total_steps,
        disable=not has_bar,
    )

    def advance(job: Job, env_steps: int) -> None:
        bar.update(env_steps - steps[job.run_dir])
        steps[job.run_dir] = env_steps

    def on_point(job: Job, env_steps: int, mean_return: float | None) -> bool:
        advance(job, env_steps)
        if job.run_dir not in lines:  # the start of its process is left out
            lines[job.run_dir] = EvaluationLines(env_steps, config.total_steps, Path(job.run_dir).name)
        if mean_return is not None and progress and not has_bar:
            lines[job.run_dir].write(env_steps, mean_return)
        return True

    def on_end(job: Job, ending: Ending) -> None:
        name = Path(job.run_dir).name
        if ending.error is not None:
            failures[job.run_dir] = ending.error
            told = f"failed: {ending.error}"
        else:
            assert ending.summary is not None
            advance(job, ending.summary["env_steps"])
            told = _in_a_line(ending.summary)
        if progress:
            tqdm.write(f"{name}: {told}")

    with interrupts() as interrupt, interrupt.deferred():
        with bar:
            is_complete = run_side_by_side(iter(jobs), num_jobs, on_point, on_end)
        summary = _summarize(folder, config, seeds, failures, is_complete)
        write_atomically(folder.summary, (json.dumps(summary, indent=2) + "\n").encode())
    return summary


def _in_a_line(summary: dict[str, Any]) -> str:
    steps = f"{summary['env_steps']:,} steps in {as_duration(summary['train_seconds'])}"
    if summary["stopped_by"] == "interrupt":
        return f"interrupted after {steps}"
    return f"evaluation at the end {as_return(summary['eval_mean_return'])}, {steps}"


def _summarize(
    folder: RunFolder, config: RunConfig, seeds: Sequence[int], failures: dict[str, str], is_complete: bool
) -> dict[str, Any]:
    runs = []
    for seed in seeds:
        run = _seed_folder(folder, seed)
        summary = run.known_summary()
        row: dict[str, Any] = {"seed": seed, "run_dir": str(run.path), **{name: summary.get(name) for name in OF_A_RUN}}
        if row["stopped_by"] in COMPLETE and not run.is_over(config):
            row["stopped_by"] = None  # of an earlier call, for fewer steps
        if str(run.root) in failures:
            row |= {"stopped_by": "error", "error": failures[str(run.root)]}
        runs.append(row)
    ended: list[dict[str, Any]] = [row for row in runs if row["stopped_by"] in COMPLETE]
    return {
        "run_dir": str(folder.path),
        "algo": config.algo,
        "env": config.env,
        "network": getattr(config, "network", None),
        "wrappers": list(config.wrappers),
        "seeds": list(seeds),
        "total_steps": config.total_steps,
        "stopped_by": "interrupt" if not is_complete else "error" if failures else "total_steps",
        "aggregate": {name: _aggregate([row[name] for row in ended]) for name in AGGREGATED} if ended else None,
        "runs": runs,
    }


def _aggregate(values: list[float]) -> dict[str, float]:
    array = np.array(values, np.float64)
    return {
        "mean": float(array.mean()),
        "std": float(array.std()),
        "min": float(array.min()),
        "max": float(array.max()),
    }


def _seed_folder(folder: RunFolder, seed: int) -> RunFolder:
    return folder.child(f"seed-{seed}")


def _steps_in_checkpoint(run: RunFolder, algo: str) -> int:
    """Steps that a run resumes from; 0 without a checkpoint.

    Where a run was killed, the summary lacks them, or has those of an earlier call.
    """
    if not run.latest.is_file():
        return 0
    return load_run_state(run.latest, algo)["algorithm"]["env_steps"]


def _read_config(folder: RunFolder) -> tuple[RunConfig, list[int]]:
    """Read the configuration and the seeds that ``_write_config`` wrote; ``ConfigError`` if it is another file."""
    path = repeats_file(folder.root)
    values = read_yaml(path)
    seeds = values.pop("seeds", None)
    if not isinstance(seeds, list) or not seeds:
        raise ConfigError(f"{path} has no list of seeds")
    try:
        config = make_config(values)
        checked = [change_config(config, {"seed": seed}).seed for seed in seeds]
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    if len(set(checked)) < len(checked):
        raise ConfigError(f"{path} names a seed twice: {quoted(seeds)}")
    return config, checked


def _write_config(folder: RunFolder, config: RunConfig, seeds: Sequence[int]) -> None:
    values = {**config.model_dump(mode="json", exclude={"seed"}), "seeds": list(seeds)}
    try:
        write_atomically(repeats_file(folder.root), yaml.safe_dump(values, sort_keys=False).encode())
    except OSError as error:
        raise ConfigError(f"cannot begin runs in {folder.path}: {reason_of(error)}") from None
