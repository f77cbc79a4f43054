"""Curves as pictures: everything of one run, and one metric of many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from cycler import Cycler, cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from paddle_ac.algorithms.algorithm import Panel
from paddle_ac.errors import ConfigError
from paddle_ac.training.curves import (
    Run,
    average,
    describe,
    describe_band,
    group_runs,
    read_runs,
    that_overlap,
    without_abandoned,
)
from paddle_ac.training.logger import read_progress

COMMON_PANELS = (
    Panel("return", "", {"charts/episode_return": "training", "eval/mean_return": "evaluation"}),
    Panel("episode length", "steps", {"charts/episode_length": ""}),
    Panel("losses", "", {"losses/actor": "actor", "losses/critic": "critic"}),
    Panel("policy entropy", "nats", {"losses/entropy": ""}),
    Panel("explained variance", "", {"diagnostics/explained_variance": ""}),
    Panel("speed", "steps/s", {"charts/steps_per_second": ""}),
)

X_AXES = {"steps": ("env_steps", "steps"), "seconds": ("train_seconds", "seconds of training")}

# Words for the tags whose second part alone does not describe the curve.
IN_WORDS = {
    "charts/episode_return": "mean return of training episodes",
    "charts/episode_length": "mean length of training episodes [steps]",
    "charts/steps_per_second": "speed [steps/s]",
    "charts/updates_per_second": "speed [updates/s]",
    "losses/actor": "actor loss",
    "losses/critic": "critic loss",
    "losses/entropy": "policy entropy [nats]",
    "losses/total": "total loss",
    "diagnostics/grad_norm": "gradient norm",
    "eval/mean_return": "mean return of an evaluation",
    "eval/std_return": "standard deviation of the returns of an evaluation",
    "eval/best_mean_return": "best mean return of an evaluation so far",
}

MAX_NAMES = 5  # of environments in an error message
SMALLEST_SPAN = 1e-3  # of a y axis, as a part of its numbers

# Those of Okabe and Ito (2008) that show on white, which colour-blind readers can distinguish; then with other dashes.
STYLES = cycler(linestyle=["-", "--", "-.", ":"]) * cycler(
    color=["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
)


def plot_run(progress: Path, picture: Path, title: str, own_panels: Sequence[Panel] = ()) -> Figure:
    """Draw the curves of a run's table over its steps: those that have points, as without a critic not all have.

    The picture is as large as its panels take.

    Args:
        progress: ``progress.csv``.
        picture: written in the format that its ending names.
        title: stands above.
        own_panels: of the algorithm's own metrics, after the common ones.

    Returns:
        the figure, which is written already.
    """
    columns = read_progress(progress)
    panels = []
    for name, unit, curves in (*COMMON_PANELS, *own_panels):
        drawn = {column: label for column, label in curves.items() if not np.isnan(columns.get(column, np.nan)).all()}
        if drawn:
            panels.append((name, unit, drawn))
    num_columns = 2 if len(panels) == 4 else min(len(panels), 3) or 1
    num_rows = -(-len(panels) // num_columns) or 1
    figure = Figure(figsize=(max(4 * num_columns, 6), 0.3 + 3.1 * num_rows))  # inches
    figure.suptitle(title)
    _set_margins(figure, num_rows, num_columns)
    for place, (name, unit, curves) in enumerate(panels, start=1):
        axes = figure.add_subplot(num_rows, num_columns, place, sharex=figure.axes[0] if figure.axes else None)
        prepare_axes(axes)
        for column, label in curves.items():
            present = ~np.isnan(columns[column])
            steps, values = columns["env_steps"][present], columns[column][present]
            _draw(axes, steps, values, label, has_few_points=column.startswith("eval/"))
        _make_room(axes)
        axes.set_title(name, y=1.0)  # Matplotlib would draw everything once more to place it
        axes.set_ylabel(unit)
        if place + num_columns > len(panels):  # nothing below it
            axes.set_xlabel("steps")
        if any(curves.values()):
            axes.legend()
    figure.savefig(picture, dpi=100)
    return figure


def plot_runs(
    paths: Sequence[str | Path],
    picture: str | Path,
    x_axes: Sequence[str] = tuple(X_AXES),
    metric: str = "charts/episode_return",
    smooth: int = 1,
    mix_envs: bool = False,
) -> Figure:
    """Draw the learning curves of runs side by side: a line for each configuration, the mean over its seeds.

    A mean of several runs goes as far as the shortest of them, with a band that such means lie in with a confidence of
    95 % (percentile bootstrap over the runs; of three or fewer it reaches from the lowest to the highest).

    Args:
        paths: run folders, and folders that hold run folders at any depth.
        picture: the file; its ending, ``.png`` or ``.svg``, is its format.
        x_axes: a panel each: ``"steps"``, ``"seconds"`` of training, without evaluations.
        metric: a column of the runs' ``progress.csv``.
        smooth: points of a run's curve that each shown one is the mean of.
        mix_envs: draw runs of different environments on the same axis.

    Returns:
        the figure, which is written already.

    Raises:
        ConfigError: no run, runs of different environments, an unknown metric, or a file that cannot be read.
    """
    runs = read_runs(paths, metric)
    envs = list(dict.fromkeys(run.config.env.rpartition(":")[2] for run in runs))
    if len(envs) > 1 and not mix_envs:
        names = ", ".join(envs[:MAX_NAMES]) + (f" and {len(envs) - MAX_NAMES} more" if len(envs) > MAX_NAMES else "")
        raise ConfigError(
            f"the runs are of different environments, whose curves do not compare: {names}; name runs of one "
            "environment, or give --mix-envs"
        )
    groups = [that_overlap(without_abandoned(group, metric), metric) for group in group_runs(runs)]
    title, labels = describe(groups)
    width = 1 + 6 * len(x_axes)  # inches
    num_columns = min(int(width / (0.7 + 0.085 * max(map(len, labels)))), len(groups)) or 1  # of the legend, below
    num_rows = -(-len(groups) // num_columns)
    figure = Figure(figsize=(width, 4.7 + 0.25 * num_rows), layout="constrained")
    figure.suptitle(title)
    all_axes = figure.subplots(1, len(x_axes), sharey=True, squeeze=False)[0]
    for axes, x_axis in zip(all_axes, x_axes, strict=True):
        prepare_axes(axes)
        draw_means(axes, groups, labels, x_axis, metric, smooth)
    _make_room(all_axes[0])
    all_axes[0].set_ylabel(in_words(metric))
    figure.legend(
        *all_axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=num_columns,
        title=describe_band([len(group) for group in groups]),
    )
    figure.savefig(picture, dpi=120)
    return figure


def draw_means(
    axes: Axes, groups: Sequence[Sequence[Run]], labels: Sequence[str], x_axis: str, metric: str, smooth: int
) -> None:
    """Draw the mean of each group of runs and its band, as ``curves.average`` computes them.

    Args:
        axes: as ``prepare_axes`` leaves them.
        groups: runs of the same configuration, which overlap.
        labels: one for each group.
        x_axis: ``"steps"`` or ``"seconds"``.
        metric: a column of the runs' ``progress.csv``.
        smooth: points of a run's curve that each shown one is the mean of.
    """
    x_column, x_label = X_AXES[x_axis]
    axes.set_xlabel(x_label)
    for group, label in zip(groups, labels, strict=True):
        curve = average(group, x_column, metric, smooth)
        line = _draw(axes, curve.x, curve.mean, label)
        if curve.low is not None and curve.high is not None:
            axes.fill_between(curve.x, curve.low, curve.high, color=line.get_color(), alpha=0.2, linewidth=0)


def in_words(metric: str) -> str:
    """A metric as the label of an axis, ``"explained variance"`` for ``"diagnostics/explained_variance"``."""
    return IN_WORDS.get(metric, metric.rpartition("/")[2].replace("_", " "))


def _set_margins(figure: Figure, num_rows: int, num_columns: int) -> None:
    """Leave room for labels and titles. The layout engine of Matplotlib takes as long as the drawing itself."""
    width, height = figure.get_size_inches()
    left, right, top, bottom, between_columns, between_rows = 0.9, 0.15, 0.75, 0.55, 0.95, 0.6
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        top=1 - top / height,
        bottom=bottom / height,
        wspace=between_columns * num_columns / (width - left - right - between_columns * (num_columns - 1)),
        hspace=between_rows * num_rows / (height - top - bottom - between_rows * (num_rows - 1)),
    )


def prepare_axes(axes: Axes, styles: Cycler = STYLES) -> None:
    """Give axes a grid, the styles of their lines, and numbers such as 20k."""
    axes.set_prop_cycle(styles)
    axes.grid(alpha=0.3)
    for axis in (axes.xaxis, axes.yaxis):
        formatter = EngFormatter(sep="")
        formatter.ENG_PREFIXES = {0: "", 3: "k", 6: "M", 9: "G"}  # 0.5 is not 500m
        axis.set_major_formatter(formatter)


def _draw(axes: Axes, x: np.ndarray, values: np.ndarray, label: str, has_few_points: bool = False) -> Line2D:
    is_one_point = x[0] == x[-1]  # of which there is no line to be seen
    marker = "o" if has_few_points or is_one_point else ""
    (line,) = axes.plot(x, values, marker=marker, markersize=4, label=label)
    return line


def _make_room(axes: Axes) -> None:
    """Show values that are nearly constant as a level line: noise is no curve, and their numbers stay short."""
    low, high = axes.get_ylim()
    missing = SMALLEST_SPAN * max(abs(low), abs(high)) - (high - low)
    if missing > 0:
        axes.set_ylim(low - missing / 2, high + missing / 2)
