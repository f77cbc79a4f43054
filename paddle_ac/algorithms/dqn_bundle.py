"""DQN on one node of a cluster: Gorila's bundle of an actor, a replay buffer and a learner. It imports no Paddle."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from multiprocessing_env import VecEnv
from paddle_ac.algorithms.bundle import Bundle
from paddle_ac.algorithms.dqn import DQN
from paddle_ac.algorithms.learner import update_target
from paddle_ac.algorithms.state import Component
from paddle_ac.algorithms.synchronous import closed_on_error
from paddle_ac.config.dqn import DQNConfig
from paddle_ac.envs.make import make_training_envs
from paddle_ac.learning.outliers import LossOutliers
from paddle_ac.learning.replay import Batch
from paddle_ac.processes.parameter_server import Exchange, Pull, Shards

REPORT_SECONDS = 0.2  # between two reports of a bundle, at least
IDLE_PUSH_SECONDS = 1.0  # between two pushes of a bundle that plays and does not learn yet


class DQNReplica:
    """Parameters, moments and counters of a learner, as an exchange reads and changes them (a ``Replica``).

    Args:
        dqn: the learner.
    """

    def __init__(self, dqn: DQN):
        self._dqn = dqn
        self.vector = dqn.parameters.vector
        self.moments: dict[str, ComponentMoments] = {}
        if dqn.policy.encode.moments is not None:
            self.moments["encoder"] = ComponentMoments(dqn.policy.encode)
        if dqn.normalize_rewards is not None:
            self.moments["rewards"] = ComponentMoments(dqn.normalize_rewards.moments)
        self.moments_lock = contextlib.nullcontext()
        self.steps_elsewhere = np.zeros(1, np.int64)

    @property
    def own_steps(self) -> int:
        """Steps of the learner's environments."""
        return self._dqn.env_steps

    @property
    def num_updates(self) -> int:
        """Gradient steps of the learner."""
        return self._dqn.num_updates


class ComponentMoments:
    """The moments that are the state of an object, as an exchange reads and replaces them.

    Args:
        component: an encoder or ``RunningMoments``.
    """

    def __init__(self, component: Component):
        self.read = component.state_dict
        self.write = component.load_state_dict


class GorilaLearner(DQN):
    """DQN that exchanges its parameters with a parameter server (Nair et al. 2015, arXiv:1507.04296).

    * After ``push_interval`` gradient steps it sends their sum, goes on, and takes over the answer before the gradient
      step that follows its arrival.
    * The target network moves towards the parameters of the server, every ``target_interval`` updates of all bundles.
    * Gradients with an outlying loss are dropped; they count as updates.
    * Schedules and the end of the run depend on the steps of all bundles, ``learning_starts`` on its own.

    Args:
        config: hyper-parameters, with a seed of its own.
        envs: N environments, closed by ``close``.
        shards: of the parameter server.
        index: of the bundle.
        start: number of bundles that had this index before.
        executor: pushes in the background, one push at a time.
    """

    def __init__(self, config: DQNConfig, envs: VecEnv, shards: Shards, index: int, start: int, executor: Executor):
        super().__init__(config, envs)
        self._shards, self._executor = shards, executor
        self._replica = DQNReplica(self)
        self._exchange = Exchange(self._replica, shards, index, start, config.push_dtype)
        self._pushed_at = time.monotonic()
        self._answer: Future[list[Pull]] | None = None
        self.learner.refresh()
        self.update_target(1.0)
        self._num_refreshes = self._exchange.num_updates // config.target_interval
        self._outliers = LossOutliers(config.max_loss_deviations)

    @property
    def run_steps(self) -> int:
        """Steps of all bundles, those of the others as they were known at the last exchange."""
        return self.env_steps + int(self._replica.steps_elsewhere[0])

    def update(self) -> dict[str, Any]:
        """As ``DQN.update``, with the share of dropped gradients.

        Raises:
            LostError: a shard of the parameter server cannot be reached.
            RetiredError: another bundle has replaced this one.
        """
        metrics = super().update()
        self._exchange_if_due()
        return metrics

    def gradient_step(self, batch: Batch) -> dict[str, float]:
        """As ``OffPolicy.gradient_step``; a batch whose loss is an outlier changes no parameter."""
        self._exchange_if_due()
        metrics, errors = self.compute_gradient(batch)
        is_outlier = self._outliers.is_outlier(metrics["losses/critic"])
        if not is_outlier:
            self.learner.step(self.learner.gradient, self.learning_rate)
        self.replay.update_priorities(batch.places, errors)
        return {**metrics, "cluster/outliers": float(is_outlier)}

    def push_rest(self) -> None:
        """Push what was learned since the last push, and wait for the answers; raises as ``update``."""
        if self._answer is not None:
            self._take_over(self._answer.result())
        self._exchange.exchange()

    def _exchange_if_due(self) -> None:
        if self._answer is None and self._is_due():
            self._answer = self._executor.submit(self._shards.push, self._exchange.collect())
            self._pushed_at = time.monotonic()
        if self._answer is not None and self._answer.done():
            self._take_over(self._answer.result())

    def _is_due(self) -> bool:
        exchange = self._exchange
        if exchange.unpushed_updates:
            return exchange.unpushed_updates >= self.config.push_interval
        return exchange.unpushed_steps > 0 and time.monotonic() - self._pushed_at > IDLE_PUSH_SECONDS

    def _take_over(self, pulls: list[Pull]) -> None:
        exchange, config = self._exchange, self.config
        exchange.take_over(pulls)
        self._answer = None
        self.learner.refresh()
        num_refreshes = exchange.num_updates // config.target_interval
        if num_refreshes > self._num_refreshes:  # several at once are one step that is as long
            tau = 1 - (1 - config.tau) ** (num_refreshes - self._num_refreshes)
            update_target(self.target, exchange.vector, tau)
        self._num_refreshes = num_refreshes


class DQNBundle(Bundle):
    """A ``GorilaLearner`` with its environments and its replay buffer; see ``Bundle``."""

    _config: DQNConfig

    def _learn(self) -> None:
        executor = ThreadPoolExecutor(1)
        try:
            with closed_on_error(make_training_envs(self._config)) as envs:
                learner = GorilaLearner(self._config, envs, self._shards, self._index, self._start, executor)
            with learner:
                self._start_from_statistics(learner.learner.optimizer.statistics)
                self._add(is_ready=True)
                self._update_until_done(learner)
                learner.push_rest()
        finally:
            executor.shutdown(wait=False)

    def _update_until_done(self, learner: GorilaLearner) -> None:
        """Learn, and report the metrics of several updates at once."""
        metrics: dict[str, Any] = {}
        reported_at = time.monotonic()
        while not learner.is_done and not self._stop.is_set():
            add_metrics(metrics, learner.update())
            if time.monotonic() - reported_at > REPORT_SECONDS:
                self._add(metrics)
                metrics, reported_at = {}, time.monotonic()
        self._add(metrics)


def add_metrics(metrics: dict[str, Any], more: dict[str, Any]) -> None:
    """Add the metrics of another update: lists become longer, numbers are replaced."""
    for tag, value in more.items():
        metrics[tag] = [*metrics.get(tag, []), *value] if isinstance(value, list) else value
