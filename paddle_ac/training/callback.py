"""Callbacks: what the training loop calls so that others can see a run, add metrics to it, or stop it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from paddle_ac.algorithms.algorithm import Algorithm, Policy
from paddle_ac.config import RunConfig
from paddle_ac.errors import ConfigError, quoted
from paddle_ac.training.logger import Logger
from paddle_ac.training.run_folder import RunFolder


@dataclass(frozen=True)
class Stop:
    """A request to stop a run.

    Attributes:
        reason: ``stopped_by`` of the summary.
        evaluate: whether the final evaluation follows.
    """

    reason: str
    evaluate: bool


@dataclass
class Run:
    """The run that a callback sees.

    Attributes:
        config: hyper-parameters.
        folder: where its files lie.
        agent: learns; ``run.agent.env_steps``, ``run.agent.predict(observation)``, ``run.agent.save(path)``.
        logger: writes histograms and images to VisualDL.
        stop_request: what ``stop`` asked for, ``None`` so far.
    """

    config: RunConfig
    folder: RunFolder
    agent: Algorithm
    logger: Logger
    stop_request: Stop | None = field(default=None, init=False)

    def stop(self, reason: str = "callback", evaluate: bool = True) -> None:
        """Stop the run after the current update, with a checkpoint; the first request counts.

        Args:
            reason: ``stopped_by`` of the summary.
            evaluate: run the final evaluation.
        """
        self.stop_request = self.stop_request or Stop(reason, evaluate)

    def record(self, metrics: Mapping[str, float]) -> None:
        """Add metrics to the next point of the curves, which holds the mean of all values since the point before.

        Args:
            metrics: a number by tag; every tag is in ``metric_tags`` of a callback or of the algorithm.

        Raises:
            ValueError: an undeclared tag, or a value that is not a finite number.
        """
        self.logger.check_tags(metrics)
        numbers = {tag: float(value) for tag, value in metrics.items()}
        for tag, value in numbers.items():
            if not math.isfinite(value):
                raise ValueError(f"{tag} must be a finite number (got {value})")
        self.logger.record(numbers)


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
        is_best: whether no earlier evaluation has a higher mean return.
        policy: the policy that played.
        observations: ``[B, ...]``, a sample of what it saw, as ``Algorithm.inspect`` takes them.
        states: ``[B, S]`` float32, the recurrent states that belong to them.
    """

    env_steps: int
    returns: np.ndarray
    is_best: bool
    policy: Policy
    observations: np.ndarray
    states: np.ndarray

    @property
    def mean_return(self) -> float:
        """Mean of ``returns``."""
        return float(self.returns.mean())


class Callback:
    """Sees a run. Subclasses override the methods that they need.

    Callbacks are called in the process that trains, in the order in which they are passed.

    An exception in a callback ends the run: ``stopped_by`` is ``"error"``, ``on_end`` is called, and ``train`` raises
    the exception. The last checkpoint stays as it is, so that ``resume`` continues from there. A callback has no state
    in the checkpoint: on resume, pass the callbacks again.

    Attributes:
        metric_tags: tags of the metrics that it adds by ``run.record``, as ``"group/name"``.
    """

    metric_tags: tuple[str, ...] = ()

    def on_start(self, run: Run) -> None:
        """Called before the first update, when a run starts and when it resumes; a checkpoint exists."""

    def on_update(self, run: Run, metrics: Mapping[str, Any]) -> None:
        """Called after every ``agent.update()``, with its metrics by tag: numbers, or lists of numbers.

        A3C returns from ``update()`` with each report of a worker, which covers up to 100 gradient steps, and after
        half a second without one. The last reports, of the workers' end, go to the curves alone.
        """

    def on_log(self, run: Run, point: Point) -> None:
        """Called at every point of the curves, after it was written."""

    def on_evaluation(self, run: Run, evaluation: Evaluation) -> None:
        """Called after every evaluation but the final one, whose returns are in the summary.

        The best policy so far was saved before.
        """

    def on_checkpoint(self, run: Run, path: Path) -> None:
        """Called after a checkpoint was written to ``path``, the one from before the first update among them."""

    def summarize(self) -> dict[str, Any]:
        """Return entries for the summary; called when the run ends."""
        return {}

    def on_end(self, run: Run, summary: dict[str, Any]) -> None:
        """Called when the run has ended and its summary is written: complete, stopped, or after an ``Exception``.

        Every callback whose ``on_start`` was called gets it, but not after ``SystemExit``. An exception raised here is
        logged if another one ended the run.
        """


MakeCallbacks = Callable[[RunConfig], Sequence[Callback]]


def no_callbacks(config: RunConfig) -> Sequence[Callback]:
    """Return none."""
    return ()


class Callbacks:
    """The callbacks of a run, as the training loop calls them.

    Args:
        callbacks: in the order of their calls.

    Attributes:
        metric_tags: those of all callbacks.
    """

    def __init__(self, callbacks: Sequence[Callback]):
        for one in callbacks:
            if not isinstance(one.metric_tags, (tuple, list)) or not all(
                isinstance(tag, str) for tag in one.metric_tags
            ):
                raise ConfigError(
                    f"metric_tags of {type(one).__name__} must be a tuple of texts, as in ('own/metric',), got "
                    f"{quoted(one.metric_tags)}"
                )
        self._callbacks = callbacks
        self._failures: list[Exception] = []  # of ``summarize``
        self._started: list[Callback] = []
        # Most callbacks do nothing in an update, and updates can be short.
        self._on_update = [one for one in callbacks if type(one).on_update is not Callback.on_update]
        self.metric_tags = tuple(dict.fromkeys(tag for one in callbacks for tag in one.metric_tags))

    def start(self, run: Run) -> None:
        """Call ``on_start``."""
        for callback in self._callbacks:
            self._started.append(callback)
            callback.on_start(run)

    def update(self, run: Run, metrics: Mapping[str, Any]) -> None:
        """Call ``on_update``."""
        for callback in self._on_update:
            callback.on_update(run, metrics)

    def log(self, run: Run, point: Point) -> None:
        """Call ``on_log``."""
        for callback in self._callbacks:
            callback.on_log(run, point)

    def evaluation(self, run: Run, evaluation: Evaluation) -> None:
        """Call ``on_evaluation``."""
        for callback in self._callbacks:
            callback.on_evaluation(run, evaluation)

    def checkpoint(self, run: Run, path: Path) -> None:
        """Call ``on_checkpoint``."""
        for callback in self._callbacks:
            callback.on_checkpoint(run, path)

    def summarize(self) -> dict[str, Any]:
        """The entries of all callbacks; ``end`` raises the exception of one that fails."""
        entries: dict[str, Any] = {}
        for callback in self._callbacks:
            try:
                entries |= callback.summarize()
            except Exception as error:
                self._failures.append(error)
        return entries

    def end(self, run: Run, last: Point | None, summary: dict[str, Any]) -> None:
        """Call ``on_log`` for the last point, and ``on_end``, of every callback that was started.

        The first exception is raised at the end, or logged if the run ended by an error.
        """
        failures = self._failures
        for callback in self._started:
            try:
                if last is not None:
                    callback.on_log(run, last)
            except Exception as error:
                failures.append(error)
        for callback in self._started:
            try:
                callback.on_end(run, summary)
            except Exception as error:
                failures.append(error)
        if not failures:
            return
        if summary["stopped_by"] != "error":
            raise failures[0]
        for failure in failures:
            logging.getLogger(__name__).warning(
                "a callback failed at the end of the run: %s: %s", type(failure).__name__, failure
            )
