"""A pool of worker processes: start, supervise, replace and stop them, and receive their reports.

The pool knows nothing of what its workers do. A worker function looks like this::

    def play(context: WorkerContext, config, shared):
        envs = make_envs(config)  # within START_TIMEOUT
        context.wait_for_start()
        while not context.stopping:
            ...
            context.advance()  # at least every step_timeout seconds
            context.report({"episodes": 3})
        context.report({"episodes": 1}, is_last=True)
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing.connection
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from multiprocessing_env import (
    ObservationError,
    SharedArray,
    VecEnvError,
    WorkerDiedError,
    WorkerFailedError,
    WorkerProcess,
    WorkerTimeoutError,
)
from paddle_ac.errors import NonFiniteError
from paddle_ac.processes.watchdog import Watchdog
from paddle_ac.processes.worker import READY, Failure, Report, WorkerFunction, run_function

MAX_DEATHS = 10  # of one worker without a report in between; then it is not replaced again
START_TIMEOUT = 600.0  # seconds until a worker is ready
STOP_TIMEOUT = 3.0  # seconds for the last reports
CLOSE_TIMEOUT = 1.0  # seconds for all processes to end
MESSAGE_TIMEOUT = 5.0  # seconds for the rest of a message that has begun to arrive
POLL_SECONDS = 0.5  # between two checks for stuck workers while nothing arrives


class WorkerPool:
    """Worker processes that run the same function side by side.

    Each worker has a counter that it increases while it makes progress. A worker whose counter stands still for
    ``step_timeout`` seconds, or that is not ready within ``START_TIMEOUT`` seconds, is killed. A worker that is killed
    or dies is replaced by one with the next start number, or ends the pool's work with an error.

    Args:
        num_workers: ``W``.
        step_timeout: seconds that a worker may take between two signs of progress.
        restart: replace workers that die or are stuck. A worker whose function raises is never replaced.

    Attributes:
        starts: of each worker, over the whole run; a caller may set them to resume a run.
        is_ready: whether every worker has been ready at least once.
    """

    def __init__(self, num_workers: int, step_timeout: float, restart: bool):
        self.starts = [0] * num_workers
        self.is_ready = False
        self._num_workers = num_workers
        self._step_timeout = step_timeout
        self._restart = restart
        self._progress = SharedArray((num_workers,), np.int64)
        self._stop = SharedArray((1,), np.bool_)
        self._stopping = self._stop.array
        self._watchdog = Watchdog(self._progress.array)
        self._workers: list[WorkerProcess] = []
        self._ready: set[int] = set()
        self._finished: set[int] = set()
        self._inbox: deque[int] = deque()  # workers with a message, in the order of arrival
        self._deaths = [0] * num_workers  # since the last report of each worker

    @property
    def is_started(self) -> bool:
        """Whether there are worker processes."""
        return bool(self._workers)

    @property
    def is_finished(self) -> bool:
        """Whether every worker has sent its last report, or has failed."""
        return len(self._finished) == self._num_workers

    @property
    def stopping(self) -> bool:
        """Whether the workers have been asked to finish."""
        return bool(self._stopping[0])

    def start(self, function: WorkerFunction, arguments: Callable[[int, int], tuple]) -> None:
        """Start the workers, without waiting for them.

        Args:
            function: of a module; called in each worker process with a ``WorkerContext`` and the worker's arguments.
            arguments: ``arguments(index, start)`` returns the arguments of a worker. It is called whenever a worker is
                started, so for every replacement too.

        Raises:
            VecEnvError: this process may not start processes.
        """
        self._function, self._arguments = function, arguments
        self._workers = [self._start(index) for index in range(self._num_workers)]

    def wait_until_ready(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for workers to be ready; return ``is_ready``.

        Raises:
            see ``receive``.
        """
        deadline = time.monotonic() + timeout
        missing = set(range(self._num_workers)) - self._ready
        while missing and time.monotonic() < deadline:
            for index in self._with_message(missing, POLL_SECONDS):
                self._receive_from(index)
            self._watch()
            missing -= self._ready
        self.is_ready = self.is_ready or not missing
        return self.is_ready

    def receive(self, timeout: float) -> Report | None:
        """Return the next report of any worker, or ``None`` if there is none within ``timeout`` seconds.

        Workers are served in turn. ``None`` may also be returned at once, when a worker got ready or was replaced.

        Raises:
            WorkerDiedError: a worker process ended before its last report, and is not replaced.
            WorkerFailedError: the worker function raised an exception.
            NonFiniteError, ObservationError: the worker function raised one.
        """
        if not self._inbox:
            self._inbox.extend(self._with_message(set(range(self._num_workers)) - self._finished, timeout))
            if not self.stopping:
                self._watch()
        return self._receive_from(self._inbox.popleft()) if self._inbox else None

    def check(self) -> None:
        """Raise if a worker died or is stuck and is not replaced; replace one that is stuck. Receive nothing."""
        if not self._restart:
            for index, worker in enumerate(self._workers):
                if index not in self._finished and worker.process.exitcode not in (None, 0):
                    raise WorkerDiedError(f"{worker.name} {worker.how_it_ended()}")
        self._watch()

    def finish(self) -> Iterator[Report]:
        """Ask the workers to finish and yield their remaining reports; kill those that take over ``STOP_TIMEOUT``."""
        self._stopping[0] = True
        deadline = time.monotonic() + STOP_TIMEOUT
        while self._workers and not self.is_finished and time.monotonic() < deadline:
            try:
                report = self.receive(0.1)
            except (VecEnvError, NonFiniteError):
                continue  # the reason why the run ends is already known
            if report is not None:
                yield report
        for index, worker in enumerate(self._workers):
            if index not in self._finished:
                logging.getLogger(__name__).warning(
                    "%s did not stop within %g s and was killed: its steps since its last update are lost",
                    worker.name,
                    STOP_TIMEOUT,
                )
                worker.end(patience=0)
                self._finished.add(index)

    def close(self) -> None:
        """End every worker, all within ``CLOSE_TIMEOUT`` seconds."""
        self._stopping[0] = True
        for worker in self._workers:
            worker.channel.close()  # wakes a worker that waits for the start or to send a report
        deadline = time.monotonic() + CLOSE_TIMEOUT
        for worker in self._workers:
            worker.end(patience=max(deadline - time.monotonic(), 0))
        self._workers = []

    def _start(self, index: int) -> WorkerProcess:
        start = self.starts[index]
        self.starts[index] += 1
        self._watchdog.restart(index, START_TIMEOUT)
        arguments = (index, start, self._progress, self._stop, self._function, self._arguments(index, start))
        return WorkerProcess(f"worker {index}", run_function, arguments)

    def _with_message(self, indices: Iterable[int], timeout: float) -> list[int]:
        """Return the workers among ``indices`` that have sent a message or ended, after up to ``timeout`` seconds."""
        channels: dict[Any, int] = {self._workers[index].channel: index for index in indices}
        return [channels[channel] for channel in multiprocessing.connection.wait(list(channels), timeout)]

    def _watch(self) -> None:
        """Kill each worker that is stuck, and replace it or raise."""
        for index in self._watchdog.find_stuck():
            if index in self._finished:
                continue
            if self._with_message([index], 0):  # it may be waiting for this process to receive its reports
                self._watchdog.restart(index)
                continue
            worker = self._workers[index]
            worker.kill()  # the operating system then releases its locks
            reason = f"was not ready within {START_TIMEOUT:g} s"
            if index in self._ready:
                reason = f"made no step within {self._step_timeout:g} s (step_timeout)"
            self._replace(index, WorkerTimeoutError(f"{worker.name} {reason} and was killed"))

    def _replace(self, index: int, error: VecEnvError) -> None:
        """Start another worker in place of a lost one, or raise the error that describes the loss."""
        if not self._restart:
            raise error
        self._deaths[index] += 1
        if self._deaths[index] == MAX_DEATHS:
            raise type(error)(f"{error}, the {MAX_DEATHS}th time without a report between")
        logging.getLogger(__name__).warning("%s; another takes its place", error)
        self._workers[index].end(patience=0)
        self._ready.discard(index)
        self._workers[index] = self._start(index)

    def _receive_from(self, index: int) -> Report | None:
        """Receive a message of a worker and return it if it is a report; replace a worker that is lost."""
        try:
            message = self._message_of(self._workers[index])
        except (WorkerDiedError, WorkerTimeoutError) as error:
            if self.stopping:
                self._finished.add(index)
                raise
            self._replace(index, error)
            return None
        except (WorkerFailedError, ObservationError, NonFiniteError):
            self._finished.add(index)
            raise
        if message == READY:
            self._ready.add(index)
            self._watchdog.restart(index, self._step_timeout)
            with contextlib.suppress(OSError):  # it has died, as its next message will show
                self._workers[index].channel.send("go")
            return None
        assert isinstance(message, Report)
        self._deaths[index] = 0
        if message.is_last:
            self._finished.add(index)
        return message

    def _message_of(self, worker: WorkerProcess) -> Any:
        try:
            message = worker.channel.recv(MESSAGE_TIMEOUT)
        except TimeoutError:
            worker.kill()
            raise WorkerTimeoutError(
                f"{worker.name} stopped in the middle of a message for {MESSAGE_TIMEOUT:g} s and was killed"
            ) from None
        except (EOFError, OSError):
            raise WorkerDiedError(f"{worker.name} {worker.how_it_ended()}") from None
        if isinstance(message, Failure):
            if (found := message.observation_error) is not None:
                reason = f"{found.reason} (in {worker.name})"
                raise ObservationError(found.env_index, found.operation, found.action, "", reason)
            error = NonFiniteError if message.is_non_finite else WorkerFailedError
            raise error(f"{worker.name}: {message.message}")
        return message
