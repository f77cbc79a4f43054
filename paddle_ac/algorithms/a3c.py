"""A3C: each worker its own environments, each updates the shared parameters."""

from __future__ import annotations

import contextlib
import copy
import logging
import multiprocessing.connection
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle
import numpy as np

from multiprocessing_env import (
    DummyVecEnv,
    WorkerDiedError,
    WorkerFailedError,
    WorkerProcess,
    probe_spaces,
)
from paddle_ac.algorithms.a3c_worker import A3CWorker, Failure, Report, initial_statistics, run_worker
from paddle_ac.algorithms.agent import Agent
from paddle_ac.algorithms.policy import (
    POLICY_FORMAT,
    check_policy_format,
    inspect_actor_critic,
    make_actor_critic,
)
from paddle_ac.algorithms.shared_parameters import ProcessLock, SharedParameters
from paddle_ac.config import A3CConfig
from paddle_ac.envs.make import as_config_error, training_env_fns
from paddle_ac.errors import NonFiniteError
from paddle_ac.nn.moments import RunningMoments
from paddle_ac.nn.networks import ActorCritic
from paddle_ac.nn.parameters import FlatParameters

MAX_DEATHS = 10  # of one worker without a report between, after which replacing it is no use
SECONDS_TO_FINISH = 3.0  # for the workers' last reports, when the run is stopped
SECONDS_WITHOUT_REPORT = 0.5  # after which update() returns with nothing, so that Ctrl-C is not kept waiting


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
        statistics = {
            "optimizer": initial_statistics(config, layout.size),
            "encoder": self._network.encode.state_dict(),
            "rewards": RunningMoments.initial_statistics(()) if config.normalize_rewards else {},
        }
        self.shared = SharedParameters(layout, statistics, config.num_workers)
        self.shared.vector[:] = self._snapshot.vector
        self.lock = ProcessLock() if config.lock else None
        self._starts = [0] * config.num_workers  # of each worker, over the whole run: a number of its episodes' seeds
        self.metric_tags = (
            "diagnostics/policy_lag",
            "diagnostics/policy_lag_max",
            *(f"workers/steps_{index}" for index in range(config.num_workers)),
        )
        self._workers: list[WorkerProcess] = []
        self._inbox: deque[int] = deque()  # workers with a report, in the order in which they came
        self._finished: set[int] = set()
        self._deaths = [0] * config.num_workers  # since the last report of each

    @classmethod
    def from_config(cls, config: A3CConfig) -> A3C:
        """For the environment that the configuration names; ``ConfigError`` if it cannot be had."""
        env_fns = training_env_fns(config, 1)
        with as_config_error(config):
            observation_space, action_space = probe_spaces(env_fns[0])
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
        with self.shared.moments_lock:
            self._network.encode.load_state_dict(self.shared.statistics["encoder"])
        return self._network

    @property
    def networks(self) -> dict[str, Any]:
        """The one network, of the actor and the critic."""
        return {"actor_critic": self._network}

    def inspect(self, observations: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
        """What the policy and the critic make of observations; see ``Algorithm.inspect``."""
        return inspect_actor_critic(self._network, observations, state)

    def update(self) -> dict[str, Any]:
        """Hear what a worker did since its last report; the first call starts the workers and returns when all play.

        Returns:
            metrics by tag; nothing but empty lists of episodes where no worker had anything to report for a while.

        Raises:
            WorkerDiedError: a worker was killed, and ``config.restart_workers`` is off.
            WorkerFailedError: an environment raised in a worker.
            NonFiniteError: a worker met a NaN or an infinity; it was not written.
        """
        if not self._workers:
            self._workers = [self._start(index) for index in range(self.config.num_workers)]
            for index in range(self.config.num_workers):
                self._let_go(index)
            return _nothing()
        return self._next_metrics(SECONDS_WITHOUT_REPORT)

    def check(self) -> None:
        """Raise ``WorkerDiedError`` if a worker was killed and is not to be replaced."""
        if self.config.restart_workers:
            return
        for index, worker in enumerate(self._workers):
            if index not in self._finished and worker.process.exitcode not in (None, 0):
                raise WorkerDiedError(f"{worker.name} {worker.how_it_ended()}")

    def finish(self) -> Iterator[dict[str, Any]]:
        """Stop the workers and hear what they still have to report; one that is stuck is not waited for."""
        self.shared.stop()
        deadline = time.monotonic() + SECONDS_TO_FINISH
        while self._workers and not self.is_done and time.monotonic() < deadline:
            try:
                yield self._next_metrics(0.1)
            except (WorkerDiedError, WorkerFailedError, NonFiniteError):
                continue  # why the run ends is known already

    def state_dict(self) -> dict[str, Any]:
        """Parameters, statistics and counters as they are now; episodes under way are not part of it."""
        with self.shared.moments_lock:
            statistics = copy.deepcopy(self.shared.statistics)
        return {
            "format": POLICY_FORMAT,
            "env_steps": int(self.shared.env_steps),
            "parameters": {name: view.copy() for name, view in self.shared.views.items()},
            **statistics,
            "worker_steps": self.shared.worker_steps.copy(),
            "worker_updates": self.shared.worker_updates.copy(),
            "starts": list(self._starts),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that ``state_dict`` gave; every worker begins new episodes.

        Raises:
            ValueError: the state of another network, optimiser or number of workers, or of an incompatible version.
        """
        check_policy_format(self._network, state)
        if len(state["starts"]) != self.config.num_workers:
            raise ValueError(f"the checkpoint has {len(state['starts'])} workers, this run {self.config.num_workers}")
        self._network.encode.load_state_dict(state["encoder"])
        self._snapshot.load(state["parameters"])
        self.shared.vector[:] = self._snapshot.vector
        self.shared.load_statistics(state)
        self.shared.worker_steps[:] = state["worker_steps"]
        self.shared.worker_updates[:] = state["worker_updates"]
        self._starts = list(state["starts"])

    def phases(self) -> dict[str, Callable[[], int]]:
        """The parts of an update of one worker, in this process; see ``Algorithm.phases``."""
        envs = DummyVecEnv(training_env_fns(self.config, self.config.num_envs))
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
        env_fns = training_env_fns(config, first + config.num_envs, self._starts[index])[first:]
        arguments = (index, self._starts[index], config, cloudpickle.dumps(env_fns), self.shared, self.lock)
        self._starts[index] += 1
        return WorkerProcess(f"worker {index}", run_worker, arguments)

    def _let_go(self, index: int) -> None:
        """Wait until a worker is ready and let it play; replace it, where that is wanted, if it dies before."""
        try:
            self._receive(self._workers[index])
            self._workers[index].channel.send("go")
        except (WorkerDiedError, ConnectionError):
            self._replace(index)

    def _replace(self, index: int) -> None:
        worker = self._workers[index]
        death = f"{worker.name} {worker.how_it_ended()}"
        if not self.config.restart_workers:
            raise WorkerDiedError(death)
        self._deaths[index] += 1
        if self._deaths[index] == MAX_DEATHS:
            raise WorkerDiedError(f"{death}, the {MAX_DEATHS}th time without a report between")
        logging.getLogger(__name__).warning("%s; another takes its place", death)
        worker.end(patience=0)
        self._workers[index] = self._start(index)
        self._let_go(index)

    def _next_metrics(self, timeout: float) -> dict[str, Any]:
        """Metrics of the next report of any worker; none if there is none within ``timeout`` seconds."""
        if not self._inbox:
            playing: dict[Any, int] = {
                worker.channel: index for index, worker in enumerate(self._workers) if index not in self._finished
            }
            ready = multiprocessing.connection.wait(list(playing), timeout)
            self._inbox.extend(playing[channel] for channel in ready)
        if not self._inbox:
            return _nothing()
        index = self._inbox.popleft()
        try:
            report = self._receive(self._workers[index])
        except WorkerDiedError:
            if self.shared.stopping:
                self._finished.add(index)
                raise
            self._replace(index)
            return _nothing()
        except (WorkerFailedError, NonFiniteError):
            self._finished.add(index)
            raise
        assert isinstance(report, Report)
        self._deaths[index] = 0
        if report.last:
            self._finished.add(index)
        return report.metrics

    def _receive(self, worker: WorkerProcess) -> Any:
        try:
            message = worker.channel.recv()
        except (EOFError, OSError):
            raise WorkerDiedError(f"{worker.name} {worker.how_it_ended()}") from None
        if isinstance(message, Failure):
            error = NonFiniteError if message.is_non_finite else WorkerFailedError
            raise error(f"{worker.name}: {message.message}")
        return message


def _nothing() -> dict[str, Any]:
    return {"charts/episode_return": [], "charts/episode_length": []}
