"""A run's curves as a picture."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from paddle_ac.training.logger import read_progress

logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)  # it tells of its cache, at the first run ever

PANELS = (
    ("return", "", {"charts/episode_return": "training", "eval/mean_return": "evaluation"}),
    ("episode length", "steps", {"charts/episode_length": ""}),
    ("losses", "", {"losses/actor": "actor", "losses/critic": "critic"}),
    ("policy entropy", "nats", {"losses/entropy": ""}),
    ("explained variance", "", {"diagnostics/explained_variance": ""}),
    ("speed", "steps/s", {"charts/steps_per_second": ""}),
)


def plot_run(progress: Path, picture: Path, title: str) -> None:
    """Draw the curves of a run's table over its steps.

    Args:
        progress: ``progress.csv``.
        picture: written in the format that its ending names.
        title: stands above.
    """
    columns = read_progress(progress)
    figure = Figure(figsize=(12, 6.5), layout="constrained")
    figure.suptitle(title)
    for axes, (name, unit, curves) in zip(figure.subplots(2, 3, sharex=True).flat, PANELS, strict=True):
        for column, label in curves.items():
            values = columns[column]
            present = ~np.isnan(values)
            marker = "o" if column.startswith("eval/") else ""
            axes.plot(columns["env_steps"][present], values[present], marker=marker, markersize=4, label=label)
        axes.set_title(name)
        axes.set_ylabel(unit)
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        if len(curves) > 1:
            axes.legend()
    figure.supxlabel("steps")
    figure.savefig(picture, dpi=100)
