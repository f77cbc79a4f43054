"""What the training loop calls so that others can see, draw or end a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from paddle_ac.algorithms.algorithm import Algorithm, Policy
from paddle_ac.config import RunConfig
from paddle_ac.training.logger import Logger
from paddle_ac.training.run_folder import RunFolder


@dataclass(frozen=True)
class ObservedRun:
    """The run that an observer sees.

    Attributes:
        config: hyper-parameters.
        folder: where its files lie.
        algorithm: what is learning.
        logger: writes histograms and pictures to VisualDL.
    """

    config: RunConfig
    folder: RunFolder
    algorithm: Algorithm
    logger: Logger


@dataclass(frozen=True)
class Point:
    """A point of the curves.

    Attributes:
        env_steps: where it lies.
        metrics: means since the point before, by VisualDL tag. ``"eval/mean_return"`` is there after an evaluation.
        is_last: whether the run has ended.
    """

    env_steps: int
    metrics: Mapping[str, float]
    is_last: bool = False


@dataclass(frozen=True)
class Evaluation:
    """An evaluation in the course of a run.

    Attributes:
        env_steps: when it was made.
        returns: ``[episodes]`` float64.
        policy: the policy that played.
        observations: ``[B, ...]``, a sample of what it saw, as ``Algorithm.inspect`` takes them.
        states: ``[B, S]`` float32, the recurrent states that belong to them.
    """

    env_steps: int
    returns: np.ndarray
    policy: Policy
    observations: np.ndarray
    states: np.ndarray


class Observer:
    """Sees a run. Subclasses override what they need.

    An exception ends the run, with a summary; one in ``on_log`` or ``on_evaluation`` also leaves the last checkpoint.
    """

    def on_start(self, run: ObservedRun) -> None:
        """Called before anything is learned, when a run begins and when it resumes."""

    def on_log(self, run: ObservedRun, point: Point) -> bool | None:
        """Called at every point of the curves; ``False`` ends the run, as ``"pruned"`` and with a checkpoint."""

    def on_evaluation(self, run: ObservedRun, evaluation: Evaluation) -> None:
        """Called after every evaluation but the final one, whose returns are in the summary."""

    def summarize(self) -> dict[str, Any]:
        """Return entries for the summary; called when the run ends."""
        return {}

    def on_end(self, run: ObservedRun, summary: dict[str, Any]) -> None:
        """Called when the run has ended, for whatever reason, and its summary is written."""
