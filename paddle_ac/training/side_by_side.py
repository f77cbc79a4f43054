"""Runs side by side, each in a process of its own that trains as ever; this process hears how far they are."""

from __future__ import annotations

import logging
import math
import multiprocessing.connection
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from multiprocessing_env import Channel, WorkerProcess
from paddle_ac.config import RunConfig
from paddle_ac.cores import usable_cores
from paddle_ac.errors import ConfigError
from paddle_ac.memory import RUN, require_memory
from paddle_ac.process import escape_output, imports_contained
from paddle_ac.training.callback import Callback, Point, Run
from paddle_ac.training.interrupt import interrupts

SECONDS_BETWEEN_LOOKS = 0.2  # for Ctrl-C, where no run has anything to report


@dataclass(frozen=True)
class Job:
    """A run to be trained.

    Attributes:
        run_dir: its folder, an absolute path.
        config: to train from the beginning; ``None`` to resume the run in the folder.
        changes: hyper-parameters to change on resume, as ``resume``.
    """

    run_dir: str
    config: RunConfig | None = None
    changes: dict[str, Any] | None = None


@dataclass(frozen=True)
class Ending:
    """Outcome of a run.

    Attributes:
        summary: as ``train`` returns it; ``None`` if the run ended before it had one.
        error: what went wrong, in words; ``None`` if nothing did.
        is_bad_input: whether it could not begin because of its configuration or its folder.
    """

    summary: dict[str, Any] | None = None
    error: str | None = None
    is_bad_input: bool = False


def runs_that_fit(config: RunConfig) -> int:
    """Number of runs of a configuration, ``vec`` resolved, that the cores here train at a time; at least 1."""
    return max(usable_cores() // max(config.num_threads, config.num_other_workers), 1)


def run_side_by_side(
    jobs: Iterator[Job],
    num_jobs: int,
    on_point: Callable[[Job, int, float | None], bool],
    on_end: Callable[[Job, Ending], None],
) -> bool:
    """Train runs, so many at a time, until there are no more.

    Ctrl-C and SIGTERM stop all of them with a checkpoint; a second one, seconds later, ends them at once.

    Args:
        jobs: asked for the next one whenever a run can be begun.
        num_jobs: runs at a time.
        on_point: called at every point of a run's curves with its steps, and the mean return where there was an
            evaluation; returns whether the run continues, which counts after an evaluation.
        on_end: called with the outcome of a run, unless it was stopped before it had a summary.

    Returns:
        whether all of it came to its end: ``False`` after Ctrl-C.

    Raises:
        ConfigError: a run cannot be begun with its configuration or in its folder (the others are ended), or there is
            not memory for so many at a time.
    """
    require_memory(num_jobs * RUN, f"jobs={num_jobs}")
    running: dict[Any, tuple[WorkerProcess, Job]] = {}
    stopping = False
    try:
        with interrupts() as interrupt, interrupt.deferred():
            while True:
                while len(running) < num_jobs and not interrupt.is_set() and (job := next(jobs, None)):
                    process = WorkerProcess(job.run_dir, _train, (job,), leads_group=False)
                    running[process.channel] = process, job
                if not running:
                    return not interrupt.is_set()
                if interrupt.is_set() and not stopping:
                    stopping = True
                    for process, _ in running.values():
                        process.process.terminate()
                for channel in multiprocessing.connection.wait(list(running), SECONDS_BETWEEN_LOOKS):
                    process, job = running[channel]
                    told = _hear(process)
                    if not isinstance(told, Ending):
                        env_steps, mean_return = told
                        goes_on = on_point(job, env_steps, mean_return)
                        if mean_return is not None:
                            process.channel.send(goes_on)
                        continue
                    process.process.join()
                    process.end(patience=0)
                    del running[channel]
                    if told.is_bad_input:
                        raise ConfigError(told.error)
                    if told.summary or not interrupt.is_set():
                        on_end(job, told)
    finally:
        for process, _ in running.values():
            process.end(patience=0)


def _hear(process: WorkerProcess) -> Any:
    try:
        return process.channel.recv()
    except (EOFError, OSError):
        return Ending(error=f"its process {process.how_it_ended()}")


class Reporter(Callback):
    """Reports points to the parent process, which decides after each evaluation whether the run continues."""

    def __init__(self, channel: Channel):
        self._channel = channel

    def on_log(self, run: Run, point: Point) -> None:
        """Report the steps and, after an evaluation, the mean return; stop the run if the parent requests it."""
        if point.is_last:  # the parent gets the summary instead
            return
        mean_return = point.metrics.get("eval/mean_return")
        self._channel.send((point.env_steps, mean_return))
        if mean_return is not None and not self._channel.recv():
            run.stop("pruned", evaluate=False)


def _train(channel: Channel, job: Job) -> None:
    """Train or resume a run in its own process, and send its ``Ending`` to the parent."""
    escape_output()
    # Before Paddle and VisualDL are imported, which have handlers of their own: warnings with the run's name.
    logging.basicConfig(level=logging.WARNING, format=f"{Path(job.run_dir).name}: %(message)s", stream=sys.stdout)
    tqdm.set_lock(threading.RLock())  # its own is a semaphore, which a process that is killed would leave behind

    with interrupts() as interrupt:
        try:
            with imports_contained():
                from paddle_ac.training.runs import resume, train  # here: the parent does not need Paddle

            if job.config is not None:
                summary = train(job.config, job.run_dir, progress=False, callbacks=[Reporter(channel)])
            else:
                summary = resume(job.run_dir, job.changes, progress=False, callbacks=[Reporter(channel)])
            ending = Ending(summary)
        except KeyboardInterrupt:
            ending = Ending()
        except Exception as error:
            is_bad_input = isinstance(error, ConfigError) and job.config is not None
            ending = Ending(
                error=str(error) if is_bad_input else f"{type(error).__name__}: {error}", is_bad_input=is_bad_input
            )
        with interrupt.deferred(patience=math.inf):
            channel.send(ending)
