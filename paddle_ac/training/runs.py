"""Runs as the command line and ``paddle_ac.train`` start them: the training loop with everything that is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paddle_ac.config import RunConfig
from paddle_ac.training import train as loop
from paddle_ac.training.observer import Observer
from paddle_ac.training.views import CurvesPicture, EpisodePictures, Histograms, NetworkGraph


def standard_observers() -> list[Observer]:
    """Return observers of one run, which draw what every run folder holds."""
    return [NetworkGraph(), Histograms(), EpisodePictures(), CurvesPicture()]


def train(
    config: RunConfig, run_dir: str | None = None, progress: bool = True, observers: Sequence[Observer] = ()
) -> dict[str, Any]:
    """Train from the beginning; see ``paddle_ac.training.train.train``. ``observers`` come after the standard ones."""
    return loop.train(config, run_dir, progress, [*standard_observers(), *observers])


def resume(
    run_dir: str,
    changes: dict[str, Any] | None = None,
    progress: bool = True,
    observers: Sequence[Observer] = (),
) -> dict[str, Any]:
    """Resume a run; see ``paddle_ac.training.train.resume``. ``observers`` come after the standard ones."""
    return loop.resume(run_dir, changes, progress, [*standard_observers(), *observers])
