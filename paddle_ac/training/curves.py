"""Curves of several runs: grouping, titles and legends, and the mean of each group with its band."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paddle_ac.config import RunConfig, nearest
from paddle_ac.errors import ConfigError, quoted
from paddle_ac.training.logger import read_progress
from paddle_ac.training.run_folder import RunFolder

NUM_POINTS = 500  # of a mean: as fine as a panel shows
NUM_RESAMPLES = 5000  # of the bootstrap
CONFIDENCE = 0.95
MOST_OF_A_RANGE = 3  # runs: one resample in 27 takes the lowest three times, which is above 2.5 %; of four, one in 256
MAX_LABEL = 70  # characters, of which a legend still reads

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """One run and its table."""

    path: Path
    config: RunConfig
    columns: dict[str, np.ndarray]  # [points] float64 each
    is_over: bool  # it came to its end

    def steps(self, metric: str) -> np.ndarray:
        """Environment steps of the points of a metric, ``[points]`` float64."""
        return self.columns["env_steps"][~np.isnan(self.columns[metric])]


@dataclass(frozen=True)
class Curve:
    """A line and, of several runs, the band around it; arrays ``[P]`` float64."""

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def read_runs(paths: Sequence[str | Path], metric: str) -> list[Run]:
    """The runs in some folders, with what they have of a metric.

    Args:
        paths: run folders, and folders that hold run folders at any depth.
        metric: a column of their tables. Runs without a point of it, and those whose files cannot be read, are left
            out, and named in the log.

    Raises:
        ConfigError: no run, no points, a metric that no run knows, or no run whose files can be read.
    """
    runs, problems = [], []
    for folder in _find_run_folders(paths):
        try:
            runs.append(_read_run(folder))
        except ConfigError as error:
            problems.append(error)
    if not runs:
        raise problems[0]
    for problem in problems:
        logger.warning("left out: %s", problem)
    known = list(dict.fromkeys(column for run in runs for column in run.columns))
    if known and metric not in known:
        raise ConfigError(f"no run has a metric {quoted(metric)}{nearest(metric, known)}; known: {', '.join(known)}")
    empty = [run for run in runs if np.isnan(run.columns.get(metric, np.nan)).all()]
    if len(empty) == len(runs):
        raise ConfigError(f"no run has a point of {metric} yet")
    for run in empty:
        logger.warning("left out: %s has no point of %s", run.path, metric)
    return [run for run in runs if run not in empty]


def _find_run_folders(paths: Sequence[str | Path]) -> list[RunFolder]:
    folders: dict[Path, RunFolder] = {}  # by where they really are: a folder may be named twice
    without = []
    for path in map(Path, paths):
        if (path / "config.yaml").is_file():
            found = [path]
        else:
            found = sorted(file.parent for file in path.rglob("config.yaml"))
        if not path.exists():
            raise ConfigError(f"there is no folder {path}")
        if not found:
            without.append(path)
        folders.update({run.resolve(): RunFolder(run) for run in found})
    if not folders:
        raise ConfigError(f"there is no run in {', '.join(map(str, paths))}")
    for path in without:
        logger.warning("left out: there is no run in %s", path)
    return list(folders.values())


def _read_run(folder: RunFolder) -> Run:
    config = folder.read_config()
    columns = read_progress(folder.progress)
    return Run(folder.path, config, columns, folder.is_over(config))


def group_runs(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs whose configurations differ in the seed alone, together; in the order in which the first of each came."""
    groups: dict[RunConfig, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.config.model_copy(update={"seed": 0}), []).append(run)
    return list(groups.values())


def describe(groups: Sequence[Sequence[Run]]) -> tuple[str, list[str]]:
    """Title that names what all groups have in common, and a legend for each that distinguishes it from the others.

    A legend names the algorithm and the environment where they are not the same everywhere, and hyper-parameters in
    which groups of one algorithm differ. Between algorithms it names those alone that are not at their defaults and
    bear on what is learned, for every algorithm has defaults of its own. Where that would be too much to read, as
    between the trials of a search, it names folders, and the hyper-parameters of each are logged.
    """
    configs = [group[0].config for group in groups]
    same_algo, same_env = (len({getattr(config, name) for config in configs}) == 1 for name in ("algo", "env"))
    title = " on ".join([configs[0].algo] * same_algo + [configs[0].env] * same_env)
    labels = []
    for config in configs:
        parts = [config.algo] * (not same_algo) + [config.env] * (not same_env)
        names = [name for name in type(config).model_fields if name not in ("algo", "env", "seed")]
        parts += [f"{name}={_as_text(getattr(config, name))}" for name in names if _tells_apart(name, config, configs)]
        labels.append(", ".join(parts) or config.algo)
    if max(map(len, labels)) > MAX_LABEL:
        names = _name_by_folder(groups)
        for name, label in zip(names, labels, strict=True):
            logger.info("%s: %s", name, label)
        differing = ([config.algo] * (not same_algo) + [config.env] * (not same_env) for config in configs)
        labels = [", ".join([*parts, name]) for parts, name in zip(differing, names, strict=True)]
    return title, [f"{label} ({_count(group)})" for label, group in zip(labels, groups, strict=True)]


def _name_by_folder(groups: Sequence[Sequence[Run]]) -> list[str]:
    """The folder of each group's runs, or of its first where runs of other groups lie there too."""
    folders = [[os.path.abspath(run.path) for run in group] for group in groups]
    everything = [folder for group in folders for folder in group]
    root, names = os.path.commonpath(everything), []
    for group in folders:
        shared = os.path.commonpath(group)
        is_its_own = len(group) == sum(os.path.commonpath([shared, folder]) == shared for folder in everything)
        names.append(os.path.relpath(shared if is_its_own else group[0], root))
    return names


def _tells_apart(name: str, config: RunConfig, configs: Sequence[RunConfig]) -> bool:
    value = getattr(config, name)
    others = [other for other in configs if getattr(other, name, None) != value]
    if any(other.algo == config.algo for other in others):
        return True
    is_default = value == type(config).model_fields[name].default
    return bool(others) and not is_default and name not in config.changeable_on_resume


def _as_text(value: Any) -> str:
    if value is None:
        return "default"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _count(runs: Sequence[Run]) -> str:
    num_seeds = len({run.config.seed for run in runs})
    seeds = f"{num_seeds} seed{'s' * (num_seeds > 1)}"
    return seeds if num_seeds == len(runs) else f"{len(runs)} runs, {seeds}"


def average(runs: Sequence[Run], x_column: str, metric: str, smooth: int = 1) -> Curve:
    """The mean of runs, and a band that the mean of such runs lies in with a confidence of 95 %.

    It is taken at equal steps, from where the last of the runs begins to where the first of them ends: everywhere it is
    over all of them. Over seconds it stands where the runs are at those steps in the mean. One run is left at its own
    points and has no band.

    Args:
        runs: with a point of the metric each, and steps in common, as ``that_overlap`` gives them.
        x_column: ``"env_steps"`` or ``"train_seconds"``.
        metric: the column of the values.
        smooth: points, of which each is replaced by its mean with those before it; 1 leaves them as they are.
    """
    points = []
    for run in runs:
        present = ~np.isnan(run.columns[metric])
        steps, x, values = (run.columns[name][present] for name in ("env_steps", x_column, metric))
        points.append((steps, x, running_mean(values, smooth)))
    if len(points) == 1:
        return Curve(*points[0][1:])
    common = np.linspace(max(steps[0] for steps, *_ in points), min(steps[-1] for steps, *_ in points), NUM_POINTS)
    x = np.mean([np.interp(common, steps, own) for steps, own, _ in points], axis=0)
    values = np.stack([np.interp(common, steps, own) for steps, _, own in points])
    low, high = bootstrap_band(values)
    return Curve(x, values.mean(axis=0), low, high)


def without_abandoned(runs: Sequence[Run], metric: str) -> list[Run]:
    """Runs of a group without those that are not over where another of their seed went further; the log names these.

    Runs of one seed that came to their end all stay: those of A3C differ.
    """
    kept = []
    for run in runs:
        ends = run.steps(metric)[-1]
        furthest = max(other.steps(metric)[-1] for other in runs if other.config.seed == run.config.seed)
        if run.is_over or ends == furthest:
            kept.append(run)
        else:
            message = "left out: %s ends early, at %s steps; another run of seed %d reaches %s"
            logger.warning(message, run.path, f"{ends:,.0f}", run.config.seed, f"{furthest:,.0f}")
    return kept


def that_overlap(runs: Sequence[Run], metric: str) -> list[Run]:
    """Runs of a group without those that end before others of them begin; the log names these, and what ends early."""
    runs = list(runs)
    steps = {run.path: run.steps(metric) for run in runs}
    while True:
        shortest, longest = (choose(runs, key=lambda run: steps[run.path][-1]) for choose in (min, max))
        ends = steps[shortest.path][-1]
        if ends >= max(steps[run.path][0] for run in runs):
            break
        logger.warning("left out: %s ends at %s steps, before others of its kind begin", shortest.path, f"{ends:,.0f}")
        runs.remove(shortest)
    if ends < 0.95 * steps[longest.path][-1]:
        message = "a mean ends at %s steps, where %s does; others of its runs reach %s"
        logger.warning(message, f"{ends:,.0f}", shortest.path, f"{steps[longest.path][-1]:,.0f}")
    return runs


def describe_band(num_runs: Sequence[int]) -> str | None:
    """The band of ``bootstrap_band`` in words, for curves of so many runs each; ``None`` if none has a band."""
    interval = f"{CONFIDENCE:.0%} bootstrap interval".replace("%", " %")
    has_interval = any(num > MOST_OF_A_RANGE for num in num_runs)
    has_range = any(1 < num <= MOST_OF_A_RANGE for num in num_runs)
    if has_interval and has_range:
        return f"mean and its {interval} (up to {MOST_OF_A_RANGE} seeds: lowest to highest)"
    if has_interval:
        return f"mean and its {interval}"
    return "mean, lowest to highest" if has_range else None


def bootstrap_band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap of the mean over runs, at each point by itself (Efron and Tibshirani 1993, chapter 13).

    For ``MOST_OF_A_RANGE`` runs or fewer, the quantiles of the resampled means are the lowest and the highest value.

    Args:
        values: ``[R, P]`` float64, of R runs.

    Returns:
        the lower and the upper end ``[P]``; always the same for the same values.
    """
    num_runs = len(values)
    counts = np.random.default_rng(0).multinomial(num_runs, np.full(num_runs, 1 / num_runs), NUM_RESAMPLES)
    means = counts / num_runs @ values
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return low, high


def running_mean(values: np.ndarray, num_points: int) -> np.ndarray:
    """Mean of each value and the ones before it, ``num_points`` in all, at first fewer."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(ends - num_points, 0)
    return (sums[ends] - sums[begins]) / (ends - begins)
