"""The base of A3C and asynchronous Q-learning: workers play in their own environments and update shared parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import cloudpickle
import numpy as np

from paddle_ac.algorithms.actor_learner_worker import ActorLearnerWorker, initial_statistics, run_worker
from paddle_ac.algorithms.asynchronous import POLICY_LAG, Asynchronous
from paddle_ac.algorithms.learner import optimizer_part
from paddle_ac.algorithms.policy import format_part, log_backend
from paddle_ac.algorithms.state import Part, arrays_part, check_structure, constant_part
from paddle_ac.envs.atari import end_at_life_loss
from paddle_ac.envs.make import worker_envs_fn
from paddle_ac.learning.rollout import rollout_bytes
from paddle_ac.memory import require_memory
from paddle_ac.nn.moments import RunningMoments
from paddle_ac.nn.network import Network
from paddle_ac.processes.lock import ProcessLock
from paddle_ac.processes.pool import WorkerPool
from paddle_ac.processes.shared_parameters import SharedParameters

READY_TIMEOUT = 5.0  # seconds that the first update() waits for all workers to play
REPORT_TIMEOUT = 0.5  # seconds after which update() returns without metrics, so that Ctrl-C takes effect soon


class ActorLearners(Asynchronous):
    """Asynchronous actor-learners (Mnih et al. 2016, arXiv:1602.01783, section 4).

    Workers are processes. Each copies the shared parameters, plays up to t_max (``num_steps``) steps, and applies its
    gradient to the shared parameters, without a lock unless ``config.lock``. This process does not play: it receives
    the workers' metrics.

    Args:
        config: hyper-parameters.
        observation_space: of one environment.
        action_space: of one environment.

    Attributes:
        shared: parameters, statistics and counters; the workers write into them at any moment.
        pool: the worker processes, from the first ``update`` on.

    Raises:
        ConfigError: an action space that the algorithm does not take.
    """

    processes = "num_workers"
    worker_class: ClassVar[type[ActorLearnerWorker]]

    def __init__(self, config: Any, observation_space: Any, action_space: Any):
        num_steps = config.num_steps
        row = rollout_bytes(observation_space, action_space)
        require_memory(config.num_workers * config.num_envs * num_steps * row, f"num_steps={num_steps}")
        super().__init__(config, observation_space, action_space)
        self._network = self.make_policy(config, observation_space, action_space)
        log_backend(config)
        layout = self._network.parameters.layout
        moments = {}
        if self._network.encode.moments is not None:
            moments["encoder"] = self._network.encode.state_dict()
        if config.normalize_rewards:
            moments["rewards"] = RunningMoments.initial_statistics(())
        statistics = initial_statistics(config, layout.size)
        self.shared = SharedParameters(layout, statistics, moments, config.num_workers)
        self.shared.vector[:] = self._network.parameters.vector
        self.lock = ProcessLock() if config.lock else None
        self.pool = WorkerPool(config.num_workers, config.step_timeout, config.restart_workers)
        self.metric_tags = (
            "diagnostics/policy_lag",
            "diagnostics/policy_lag_max",
            *(f"workers/steps_{index}" for index in range(config.num_workers)),
        )
        self.panels = (POLICY_LAG,)

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
    def policy(self) -> Network:
        """A network with the shared parameters as they are now; the same network at each call, filled anew."""
        self._network.parameters.vector[:] = self.shared.vector
        self._network.refresh()
        if "encoder" in self.shared.moments:
            self._network.encode.load_state_dict(self.shared.moments["encoder"].read())
        return self._network

    def update(self, timeout: float = REPORT_TIMEOUT) -> dict[str, Any]:
        """Return the metrics of a worker since its last report; the first call starts the workers.

        It returns after ``timeout`` seconds at most (5 s while the workers start).

        Returns:
            metrics by tag; only empty lists of episodes if no worker has reported in that time.

        Raises:
            WorkerDiedError: a worker was killed, and ``config.restart_workers`` is off.
            WorkerTimeoutError: a worker made no step within ``config.step_timeout``, and ``config.restart_workers`` is
                off.
            WorkerFailedError: an environment raised in a worker.
            ObservationError: an environment returned an observation that does not belong to its space.
            NonFiniteError: a worker met a NaN or an infinity; it was not written.
        """
        if not self.pool.is_started:
            self.pool.start(run_worker, self._worker_arguments)
        if not self.has_started:
            self.pool.wait_until_ready(READY_TIMEOUT)
            report = None
        else:
            report = self.pool.receive(timeout)
        return {"charts/episode_return": [], "charts/episode_length": []} if report is None else report.content

    def check(self) -> None:
        """Raise if a worker was killed or is stuck and is not replaced; replace one that is stuck."""
        self.pool.check()

    def finish(self) -> Iterator[dict[str, Any]]:
        """Stop the workers and yield their remaining metrics; a worker that does not stop in time is killed."""
        for report in self.pool.finish():
            yield report.content

    def saved_parts(self) -> dict[str, Part]:
        """See ``Agent.saved_parts``: parameters, statistics and counters as they are now, without running episodes."""
        shared, rewards = self.shared, self.shared.moments.get("rewards")
        return {
            **super().saved_parts(),
            "format": format_part(self._network),
            "env_steps": Part(lambda: self.env_steps, lambda _: None),  # the sum of worker_steps
            "starts": Part(lambda: list(self.pool.starts), self._set_starts, self._check_starts),
            "parameters": Part(arrays_part(shared.views).get, self._set_parameters, self._network.parameters.check),
            "optimizer": optimizer_part(shared.statistics, self.config.optimizer),
            "encoder": Part(self._encoder_state, self._set_encoder_state, self._network.encode.check_state_dict),
            "rewards": Part(rewards.read, rewards.write) if rewards else constant_part({}),
            "worker_steps": arrays_part(shared.worker_steps),
            "worker_updates": arrays_part(shared.worker_updates),
        }

    def learned_parts(self) -> dict[str, Part]:
        """See ``Agent.learned_parts``."""
        saved, rewards = self.saved_parts(), self.shared.moments.get("rewards")
        return {
            **{name: saved[name] for name in ("format", "parameters", "encoder")},
            **(
                {} if rewards is None else {"reward_moments": Part(rewards.read, rewards.write, missing=rewards.read())}
            ),
        }

    def _set_parameters(self, parameters: dict[str, np.ndarray]) -> None:
        self._network.load_parameters(parameters)
        self.shared.vector[:] = self._network.parameters.vector

    def _encoder_state(self) -> dict[str, Any]:
        moments = self.shared.moments
        return moments["encoder"].read() if "encoder" in moments else self._network.encode.state_dict()

    def _set_encoder_state(self, state: dict[str, Any]) -> None:
        self._network.encode.load_state_dict(state)
        if "encoder" in self.shared.moments:
            self.shared.moments["encoder"].write(state)

    def _check_starts(self, starts: list[int]) -> None:
        if len(starts) != self.config.num_workers:
            raise ValueError(f"the checkpoint has {len(starts)} workers, this run {self.config.num_workers}")
        check_structure(starts, self.pool.starts, "starts")

    def _set_starts(self, starts: list[int]) -> None:
        self.pool.starts = list(starts)

    def phases(self) -> dict[str, Callable[[], int]]:
        """The parts of an update of one worker, in this process; see ``Algorithm.phases``."""
        envs = end_at_life_loss(worker_envs_fn(self.config)(), self.config)
        worker = self.worker_class(
            0, 0, self.config, envs, self.shared, contextlib.nullcontext(), **self.worker_options(0)
        )
        return worker.phases()

    def close(self) -> None:
        """End every worker, all within a second, and restore the threads of matrix products."""
        self.pool.close()
        super().close()

    def worker_options(self, index: int) -> dict[str, Any]:
        """Arguments of a worker that its algorithm adds to those of ``ActorLearnerWorker``, by name."""
        return {}

    def _worker_arguments(self, index: int, start: int) -> tuple:
        """The arguments of ``run_worker`` after the context; environments have other episodes at every start."""
        config, shared = self.config, self.shared
        network_class = None
        if config.network is not None:  # the class itself: one of a script or notebook cannot be imported there
            from paddle_ac.nn.custom_network import import_network

            network_class = import_network(config.network)
        pickled = cloudpickle.dumps(worker_envs_fn(config, index, start)), cloudpickle.dumps(network_class)
        options = self.worker_options(index)
        return self.worker_class, config, pickled[0], shared, self.lock, pickled[1], options
