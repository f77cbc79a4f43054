"""The worker's side of a pool: what runs in the worker process before, beside and after the worker function."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from multiprocessing_env import Channel, EnvironmentFailedError, ObservationError, SharedArray
from paddle_ac.errors import NonFiniteError

READY = "ready"  # the first message of a worker


@dataclass
class Report:
    """A report of a worker to the process of its pool.

    Attributes:
        index: of the worker.
        content: anything that can be pickled.
        is_last: whether the worker has finished; it reports nothing afterwards and ends.
    """

    index: int
    content: Any
    is_last: bool = False


@dataclass
class Failure:
    """The exception that ended a worker function, as text.

    Attributes:
        message: the text.
        is_non_finite: whether it is a ``NonFiniteError``.
        observation_error: the exception, if it is an ``ObservationError``.
    """

    message: str
    is_non_finite: bool = False
    observation_error: ObservationError | None = None


class WorkerContext:
    """Connects a worker function with its pool.

    Args:
        channel: to the pool.
        index: of the worker, 0 to W - 1.
        start: number of workers that had this index before, over the whole run.
        progress: ``[W]`` int64, a counter for each worker.
        stop: ``[1]`` bool.
    """

    def __init__(self, channel: Channel, index: int, start: int, progress: SharedArray, stop: SharedArray):
        self.index = index
        self.start = start
        self._channel = channel
        self._progress = progress.array[index : index + 1]
        self._stop = stop.array

    @property
    def stopping(self) -> bool:
        """Whether the pool has asked its workers to finish."""
        return bool(self._stop[0])

    def wait_for_start(self) -> None:
        """Report that the worker is ready, and wait until the pool expects progress from it."""
        self._channel.send(READY)
        self._channel.recv()

    def advance(self) -> None:
        """Show the pool that the worker is not stuck; call it more often than every ``step_timeout`` seconds."""
        self._progress[0] += 1

    def report(self, content: Any, is_last: bool = False) -> None:
        """Send a ``Report``; wait while the pool receives none."""
        self._channel.send(Report(self.index, content, is_last))


WorkerFunction = Callable[..., None]  # called with a WorkerContext and the worker's arguments


def run_function(
    channel: Channel,
    index: int,
    start: int,
    progress: SharedArray,
    stop: SharedArray,
    function: WorkerFunction,
    arguments: tuple,
) -> None:
    """Run a worker function in its process, and send the pool the exception that ends it, if any."""
    try:
        function(WorkerContext(channel, index, start, progress, stop), *arguments)
    except NonFiniteError as error:
        failure = Failure(str(error), is_non_finite=True)
    except ObservationError as error:
        failure = Failure(str(error), observation_error=error)
    except EnvironmentFailedError as error:
        failure = Failure(str(error))
    except Exception:
        failure = Failure(traceback.format_exc())
    else:
        return
    with contextlib.suppress(OSError):  # the pool is closed, which may be why the function has failed
        channel.send(failure)
