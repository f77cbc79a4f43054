"""A3C: each worker its own environments, each updates the shared parameters."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing.connection
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import cloudpickle
import numpy as np

from multiprocessing_env import (
    DummyVecEnv,
    VecEnvError,
    WorkerDiedError,
    WorkerFailedError,
    WorkerProcess,
    WorkerTimeoutError,
    probe_spaces,
)
from paddle_ac.algorithms.a3c_worker import READY, A3CWorker, Failure, Report, initial_statistics, run_worker
from paddle_ac.algorithms.agent import Agent
from paddle_ac.algorithms.policy import (
    POLICY_FORMAT,
    check_policy_format,
    inspect_actor_critic,
    make_actor_critic,
)
from paddle_ac.algorithms.state import check_state, identity
from paddle_ac.config.a3c import A3CConfig
from paddle_ac.envs.make import as_config_error, training_env_fns
from paddle_ac.errors import NonFiniteError
from paddle_ac.learning.rollout import rollout_bytes
from paddle_ac.memory import SINGLE_ENV, WORKER, require_memory
from paddle_ac.nn.moments import RunningMoments
from paddle_ac.nn.networks import ActorCritic
from paddle_ac.nn.parameters import FlatParameters
from paddle_ac.processes.lock import ProcessLock
from paddle_ac.processes.shared_parameters import SharedParameters

MAX_DEATHS = 10  # of one worker without a report between, after which replacing it is no use
SECONDS_TO_FINISH = 3.0  # for the workers' last reports, when the run is stopped
START_TIMEOUT = 600.0  # seconds that a worker may take to start and to make its environments
SECONDS_TO_START = 5.0  # in which the first update() waits for all workers to play
SECONDS_WITHOUT_REPORT = 0.5  # after which update() returns with nothing, so that Ctrl-C is not kept waiting
SECONDS_OF_A_MESSAGE = 5.0  # for the rest of a message, once it has begun to arrive


class A3C(Agent):
    """Asynchronous advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783, algorithm S3).

    Workers are processes. Each copies the shared parameters, plays up to t_max (``num_steps``) steps, and applies its
    gradient to the shared parameters, without a lock unless ``config.lock``. This process plays nothing: it hears what
    the workers did.

    Args:
        config: hyper-parameters.
        observation_space: of one environment.
        action_space: of one environment.

    Attributes:
        shared: parameters, statistics and counters; the workers write into them at any moment.

    Raises:
        ConfigError: an action space that there is no distribution for.
    """

    asynchronous = True

    def __init__(self, config: A3CConfig, observation_space: Any, action_space: Any):
        super().__init__(config)
        self.observation_space, self.action_space = observation_space, action_space
        self._network = make_actor_critic(config, observation_space, action_space)
        self._snapshot = FlatParameters(self._network)
        layout = self._snapshot.layout
        moments = {}
        if self._network.encode.moments is not None:
            moments["encoder"] = self._network.encode.state_dict()
        if config.normalize_rewards:
            moments["rewards"] = RunningMoments.initial_statistics(())
        statistics = initial_statistics(config, layout.size)
        self.shared = SharedParameters(layout, statistics, moments, config.num_workers)
        self.shared.vector[:] = self._snapshot.vector
        self.lock = ProcessLock() if config.lock else None
        self._starts = [0] * config.num_workers  # of each worker, over the whole run: a number of its episodes' seeds
        self.metric_tags = (
            "diagnostics/policy_lag",
            "diagnostics/policy_lag_max",
            *(f"workers/steps_{index}" for index in range(config.num_workers)),
        )
        self._workers: list[WorkerProcess] = []
        self._watchdog = Watchdog(self.shared.progress)
        self._inbox: deque[int] = deque()  # workers with a report, in the order in which they came
        self._playing: set[int] = set()
        self._finished: set[int] = set()
        self._deaths = [0] * config.num_workers  # since the last report of each
        self.has_started = False

    @classmethod
    def from_config(cls, config: A3CConfig) -> A3C:
        """For the environment that the configuration names; ``ConfigError`` if it cannot be had."""
        num_workers, num_envs = config.num_workers, config.num_envs
        require_memory(num_workers * WORKER, f"num_workers={num_workers}")
        require_memory(num_workers * num_envs * SINGLE_ENV, f"num_workers={num_workers}, num_envs={num_envs}")
        env_fns = training_env_fns(config, 1)
        with as_config_error(config):
            observation_space, action_space = probe_spaces(env_fns[0])
        row = rollout_bytes(observation_space, action_space)
        require_memory(num_workers * num_envs * config.num_steps * row, f"num_steps={config.num_steps}")
        return cls(config, observation_space, action_space)

    @staticmethod
    def make_policy(config: A3CConfig, observation_space: Any, action_space: Any) -> ActorCritic:
        """The network of a configuration for the spaces of its environment, as ``make_actor_critic``."""
        return make_actor_critic(config, observation_space, action_space)

    @property
    def num_learners(self) -> int:
        """The worker processes."""
        return self.config.num_workers

    @property
    def env_steps(self) -> int:
        """Steps of single environments that the workers have learned from so far."""
        return self.shared.env_steps

    @property
    def num_updates(self) -> int:
        """Writes of all workers so far."""
        return self.shared.num_updates

    @property
    def is_done(self) -> bool:
        """Whether the total of steps is reached, and all that the workers did has been heard."""
        return len(self._finished) == self.config.num_workers

    @property
    def policy(self) -> ActorCritic:
        """A network with the shared parameters as they are now; the same network at each call, filled anew."""
        self._snapshot.vector[:] = self.shared.vector
        if "encoder" in self.shared.moments:
            self._network.encode.load_state_dict(self.shared.moments["encoder"].read())
        return self._network

    @property
    def networks(self) -> dict[str, Any]:
        """The one network, of the actor and the critic."""
        return {"actor_critic": self._network}

    def inspect(self, observations: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
        """What the policy and the critic make of observations; see ``Algorithm.inspect``."""
        return inspect_actor_critic(self._network, observations, state)

    def update(self) -> dict[str, Any]:
        """Return what a worker did since its last report; the first call starts the workers.

        It returns after half a second at most (5 s while the workers start).

        Returns:
            metrics by tag; nothing but empty lists of episodes where no worker had anything to report for a while.

        Raises:
            WorkerDiedError: a worker was killed, and ``config.restart_workers`` is off.
            WorkerTimeoutError: a worker made no step within ``config.step_timeout``, and ``config.restart_workers`` is
                off.
            WorkerFailedError: an environment raised in a worker.
            NonFiniteError: a worker met a NaN or an infinity; it was not written.
        """
        if not self._workers:
            self._workers = [self._start(index) for index in range(self.config.num_workers)]
        if not self.has_started:
            self._wait_for_start()
            return _nothing()
        return self._next_metrics(SECONDS_WITHOUT_REPORT)

    def check(self) -> None:
        """Raise if a worker was killed or is stuck and is not to be replaced; replace one that is stuck."""
        if not self.config.restart_workers:
            for index, worker in enumerate(self._workers):
                if index not in self._finished and worker.process.exitcode not in (None, 0):
                    raise WorkerDiedError(f"{worker.name} {worker.how_it_ended()}")
        self._watch()

    def finish(self) -> Iterator[dict[str, Any]]:
        """Stop the workers and return what they still have to report; one that does not stop in time is killed."""
        self.shared.stop()
        deadline = time.monotonic() + SECONDS_TO_FINISH
        while self._workers and not self.is_done and time.monotonic() < deadline:
            try:
                yield self._next_metrics(0.1)
            except (VecEnvError, NonFiniteError):
                continue  # why the run ends is known already
        for index, worker in enumerate(self._workers):
            if index not in self._finished:
                logging.getLogger(__name__).warning(
                    "%s did not stop within %g s and was killed: its steps since its last update are lost",
                    worker.name,
                    SECONDS_TO_FINISH,
                )
                worker.end(patience=0)
                self._finished.add(index)

    def state_dict(self) -> dict[str, Any]:
        """Parameters, statistics and counters as they are now; episodes under way are not part of it."""
        moments = {group: shared.read() for group, shared in self.shared.moments.items()}
        return {
            "identity": identity(self.config),
            "format": POLICY_FORMAT,
            "env_steps": int(self.shared.env_steps),
            "starts": list(self._starts),
            "parameters": {name: view.copy() for name, view in self.shared.views.items()},
            "optimizer": {name: array.copy() for name, array in self.shared.statistics.items()},
            "encoder": moments.get("encoder", self._network.encode.state_dict()),
            "rewards": moments.get("rewards", {}),
            "worker_steps": self.shared.worker_steps.copy(),
            "worker_updates": self.shared.worker_updates.copy(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that ``state_dict`` gave; every worker begins new episodes.

        Raises:
            ValueError: the state of another network, optimiser, seed, environment or number of workers, or of an
                incompatible version. Nothing has changed then.
        """
        checks: dict[str, Callable[[Any], None]] = {
            "starts": self._check_starts,
            "parameters": self._snapshot.check,
            "encoder": self._network.encode.check_state_dict,
        }
        check_state(state, self.state_dict(), self.config, checks)
        check_policy_format(self._network, state)
        self._network.encode.load_state_dict(state["encoder"])
        self._snapshot.load(state["parameters"])
        self.shared.vector[:] = self._snapshot.vector
        for name, array in self.shared.statistics.items():
            array[...] = state["optimizer"][name]
        for group, moments in self.shared.moments.items():
            moments.write(state[group])
        self.shared.worker_steps[:] = state["worker_steps"]
        self.shared.worker_updates[:] = state["worker_updates"]
        self._starts = list(state["starts"])

    def _check_starts(self, starts: list[int]) -> None:
        if len(starts) != self.config.num_workers:
            raise ValueError(f"the checkpoint has {len(starts)} workers, this run {self.config.num_workers}")

    def phases(self) -> dict[str, Callable[[], int]]:
        """The parts of an update of one worker, in this process; see ``Algorithm.phases``."""
        envs = DummyVecEnv(training_env_fns(self.config, self.config.num_envs, replayable=False))
        return A3CWorker(0, 0, self.config, envs, self.shared, contextlib.nullcontext()).phases()

    def close(self) -> None:
        """End every worker, all within a second, and restore the threads of matrix products."""
        self.shared.stop()
        for worker in self._workers:
            worker.channel.close()  # whoever waits for a word, or to be heard, wakes up
        deadline = time.monotonic() + 1.0
        for worker in self._workers:
            worker.end(patience=max(deadline - time.monotonic(), 0))
        self._workers = []
        super().close()

    def _start(self, index: int) -> WorkerProcess:
        config = self.config
        first = index * config.num_envs
        start = self._starts[index]
        env_fns = training_env_fns(config, first + config.num_envs, start, replayable=False)[first:]
        arguments = (index, start, config, cloudpickle.dumps(env_fns), self.shared, self.lock)
        self._starts[index] += 1
        self._watchdog.restart(index, START_TIMEOUT)
        return WorkerProcess(f"worker {index}", run_worker, arguments)

    def _wait_for_start(self) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        waiting = set(range(self.config.num_workers)) - self._playing
        while waiting and time.monotonic() < deadline:
            for index in self._with_a_message(waiting, SECONDS_WITHOUT_REPORT):
                self._hear(index)
            self._watch()
            waiting -= self._playing
        self.has_started = not waiting

    def _with_a_message(self, indices: Iterable[int], timeout: float) -> list[int]:
        """The workers among ``indices`` that have sent a message or ended, after ``timeout`` seconds at most."""
        channels: dict[Any, int] = {self._workers[index].channel: index for index in indices}
        return [channels[channel] for channel in multiprocessing.connection.wait(list(channels), timeout)]

    def _watch(self) -> None:
        """Kill each worker that has made no progress for ``step_timeout`` seconds, and replace it or raise."""
        for index in self._watchdog.find_stuck():
            if index in self._finished:
                continue
            if self._with_a_message([index], 0):  # it may wait for this process to receive its reports
                self._watchdog.restart(index)
                continue
            worker = self._workers[index]
            worker.kill()  # the system then takes the locks from it that it may hold
            what = f"was not ready within {START_TIMEOUT:g} s"
            if index in self._playing:
                what = f"made no step within {self.config.step_timeout:g} s (step_timeout)"
            self._replace(index, WorkerTimeoutError(f"{worker.name} {what} and was killed"))

    def _replace(self, index: int, error: VecEnvError) -> None:
        """Start another worker in place of one that is lost, or raise the error that says how it was lost."""
        if not self.config.restart_workers:
            raise error
        self._deaths[index] += 1
        if self._deaths[index] == MAX_DEATHS:
            raise type(error)(f"{error}, the {MAX_DEATHS}th time without a report between")
        logging.getLogger(__name__).warning("%s; another takes its place", error)
        self._workers[index].end(patience=0)
        self._playing.discard(index)
        self._workers[index] = self._start(index)

    def _next_metrics(self, timeout: float) -> dict[str, Any]:
        """Metrics of the next report of any worker; none if there is none within ``timeout`` seconds."""
        if not self._inbox:
            self._inbox.extend(self._with_a_message(set(range(len(self._workers))) - self._finished, timeout))
            if not self.shared.stopping:
                self._watch()
        return self._hear(self._inbox.popleft()) if self._inbox else _nothing()

    def _hear(self, index: int) -> dict[str, Any]:
        """Receive a message of a worker and return the metrics in it; replace a worker that is lost."""
        try:
            message = self._receive(self._workers[index])
        except (WorkerDiedError, WorkerTimeoutError) as error:
            if self.shared.stopping:
                self._finished.add(index)
                raise
            self._replace(index, error)
            return _nothing()
        except (WorkerFailedError, NonFiniteError):
            self._finished.add(index)
            raise
        if message == READY:
            self._playing.add(index)
            self._watchdog.restart(index, self.config.step_timeout)
            with contextlib.suppress(OSError):  # it has died, as its next message will show
                self._workers[index].channel.send("go")
            return _nothing()
        assert isinstance(message, Report)
        self._deaths[index] = 0
        if message.last:
            self._finished.add(index)
        return message.metrics

    def _receive(self, worker: WorkerProcess) -> Any:
        try:
            message = worker.channel.recv(SECONDS_OF_A_MESSAGE)
        except TimeoutError:
            worker.kill()
            raise WorkerTimeoutError(
                f"{worker.name} stopped in the middle of a message for {SECONDS_OF_A_MESSAGE:g} s and was killed"
            ) from None
        except (EOFError, OSError):
            raise WorkerDiedError(f"{worker.name} {worker.how_it_ended()}") from None
        if isinstance(message, Failure):
            error = NonFiniteError if message.is_non_finite else WorkerFailedError
            raise error(f"{worker.name}: {message.message}")
        return message


class Watchdog:
    """Finds counters that have not changed for too long.

    Args:
        counters: ``[W]`` int64, which other processes change.
    """

    def __init__(self, counters: np.ndarray):
        self._counters = counters
        self._seen = counters.copy()
        self._timeouts = np.full(len(counters), np.inf)  # in seconds
        self._idle = np.zeros(len(counters))  # in seconds
        self._looked_at = time.monotonic()

    def restart(self, index: int, timeout: float | None = None) -> None:
        """Count a counter's time from now; ``timeout`` is in seconds, and stays as it is by default."""
        self._idle[index] = 0.0
        if timeout is not None:
            self._timeouts[index] = timeout

    def find_stuck(self) -> list[int]:
        """Indices of the counters that have not changed within their timeouts."""
        now, counters = time.monotonic(), self._counters.copy()
        # At least three looks find a stuck counter unchanged: between two, this process or the machine may have slept.
        passed = np.minimum(now - self._looked_at, self._timeouts / 2)
        self._idle = np.where(counters == self._seen, self._idle + passed, 0.0)
        self._seen, self._looked_at = counters, now
        return np.flatnonzero(self._idle > self._timeouts).tolist()


def _nothing() -> dict[str, Any]:
    return {"charts/episode_return": [], "charts/episode_length": []}
