"""The worker process of an actor-learner. It imports no Paddle, which takes a second and 300 MB."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import cloudpickle
import numpy as np

from multiprocessing_env import EnvironmentCall, VecEnv, seed_global_generators
from paddle_ac.envs.atari import end_at_life_loss
from paddle_ac.learning.phases import phases_of_update
from paddle_ac.learning.returns import explained_variance
from paddle_ac.learning.rewards import RewardNormalizer
from paddle_ac.learning.rollout import Rollout, RolloutCollector
from paddle_ac.learning.schedules import scheduled_learning_rate
from paddle_ac.nn.network import Network
from paddle_ac.nn.optimizers import OPTIMIZERS, Optimizer, make_optimizer
from paddle_ac.processes.lock import ProcessLock
from paddle_ac.processes.shared_parameters import SharedParameters
from paddle_ac.processes.worker import WorkerContext

UPDATES_PER_REPORT = 100  # often enough for a curve, seldom enough to cost nothing


class Learned(Protocol):
    """The gradient of a rollout, as ``RolloutGradient``; the losses depend on the algorithm."""

    @property
    def gradient(self) -> np.ndarray: ...

    @property
    def norm(self) -> float: ...

    @property
    def values(self) -> np.ndarray: ...

    @property
    def returns(self) -> np.ndarray: ...


class Differentiator(Protocol):
    """Differentiates a loss over a rollout, as ``GradientOfRollout``."""

    def begin(self) -> None: ...

    def __call__(self, rollout: Rollout) -> Learned: ...


class ActorLearnerWorker(ABC):
    """Plays with a copy of the shared parameters, and writes its gradients' steps into them.

    Args:
        index: of the worker, 0 to W - 1.
        start: number of workers that had this index before; part of the seeds, so that no episode is played twice.
        config: hyper-parameters.
        envs: of this worker alone.
        shared: parameters and counters.
        lock: held while writing.
        advance: called several times in an update, to show that the worker is not stuck.
        network_class: of a network of the user's own.
    """

    scalar_tags: ClassVar[tuple[str, ...]]  # of what ``_scalars`` returns
    gradient_of: Differentiator

    def __init__(
        self,
        index: int,
        start: int,
        config: Any,
        envs: VecEnv,
        shared: SharedParameters,
        lock: contextlib.AbstractContextManager[None],
        advance: Callable[[], None] = lambda: None,
        network_class: type | None = None,
    ):
        self.index = index
        self.config = config
        self.shared = shared
        self.lock = lock
        self._advance = advance
        for process_lock in (lock, shared.moments_lock):
            if isinstance(process_lock, ProcessLock):
                process_lock.on_wait = self._advance  # so that only the holder of the lock counts as stuck
        self.network = self._make_network(envs, network_class)
        self.encode, self.vector = self.network.encode, self.network.parameters.vector
        self.generator = np.random.default_rng((config.seed, 1, index, start))
        self.gradient_of = self._make_differentiator()
        self.optimizer = make_shared_optimizer(config, shared, index)
        self.collector = RolloutCollector(envs, config.num_steps, self.network.state_size)
        self.normalize_rewards: RewardNormalizer | None = None
        if config.normalize_rewards:
            self.normalize_rewards = RewardNormalizer(config.num_envs, config.gamma)
        self._reset_metrics()

    @abstractmethod
    def _make_network(self, envs: VecEnv, network_class: type | None) -> Network:
        """Make the worker's network, with a copy of the shared parameters."""

    @abstractmethod
    def _make_differentiator(self) -> Differentiator:
        """Make what differentiates the loss of ``network`` over a rollout."""

    @abstractmethod
    def _act(self, observations: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Choose actions, as for ``RolloutCollector.collect``, and call ``advance``."""

    @abstractmethod
    def _scalars(self, learned: Any) -> tuple[float, ...]:
        """The losses and diagnostics of an update, in the order of ``scalar_tags``."""

    def run(self, context: WorkerContext) -> None:
        """Learn until the total of steps is reached or the pool asks its workers to finish; report metrics."""
        while self.shared.env_steps < self.config.total_steps and not context.stopping:
            self.update()
            if len(self.scalars) == UPDATES_PER_REPORT:
                context.report(self._take_metrics())
        context.report(self._take_metrics(), is_last=True)

    def phases(self) -> dict[str, Callable[[], int]]:
        """The parts of an update, to be timed; see ``Algorithm.phases``."""

        def copy() -> int:
            np.copyto(self.vector, self.shared.vector)
            return self.config.num_steps * self.config.num_envs

        def learn(rollout: Rollout) -> None:
            self.optimizer.step(self.gradient_of(rollout).gradient, 0.0)

        self.gradient_of.begin()
        return {"copying": copy, **phases_of_update(self.collector, self._act, learn, self.network.has_mask)}

    def update(self) -> None:
        """One round of the paper's loop: copy, play up to t_max steps, differentiate, write.

        Raises:
            NonFiniteError: a NaN or an infinity in an observation, a reward or the loss; nothing was written.
            EnvironmentFailedError: an environment raised.
        """
        config, shared = self.config, self.shared
        updates_before = shared.num_updates
        np.copyto(self.vector, shared.vector)
        self.network.refresh()
        if self.encode.moments is not None:
            self.encode.load_state_dict(shared.moments["encoder"].read())
        self.gradient_of.begin()
        rollout = self.collector.collect(self._act)
        self._advance()
        if self.normalize_rewards is not None:
            moments = self.normalize_rewards.moments
            with shared.moments_lock:
                moments.load_state_dict(shared.moments["rewards"].read())
                self.normalize_rewards.update(rollout.rewards, rollout.terminated | rollout.truncated)
                shared.moments["rewards"].write(moments.statistics)
            rollout.rewards = self.normalize_rewards(rollout.rewards)
        learned = self.gradient_of(rollout)
        self._advance()
        learning_rate = scheduled_learning_rate(
            config.lr_schedule, config.learning_rate, shared.env_steps, config.decay_steps, config.lr_decay_factor
        )
        with self.lock:
            self.optimizer.step(learned.gradient, learning_rate)
        if self.encode.moments is not None:
            with shared.moments_lock:
                self.encode.load_state_dict(shared.moments["encoder"].read())
                self.encode.update(rollout.transitions(rollout.observations))
                shared.moments["encoder"].write(self.encode.state_dict())
        policy_lag = shared.num_updates - updates_before
        shared.worker_updates[self.index] += 1
        shared.worker_steps[self.index] += len(learned.returns)

        self.episode_returns += rollout.episode_returns
        self.episode_lengths += rollout.episode_lengths
        self.scalars.append((learning_rate, learned.norm, policy_lag, *self._scalars(learned)))
        self.predictions.append(learned.values)
        self.targets.append(learned.returns)

    def _reset_metrics(self) -> None:
        self.episode_returns: list[float] = []
        self.episode_lengths: list[int] = []
        self.scalars: list[tuple[float, ...]] = []
        self.predictions: list[np.ndarray] = []
        self.targets: list[np.ndarray] = []

    def _take_metrics(self) -> dict[str, Any]:
        """Metrics by tag since the last call; the tags of episodes hold a list with an entry for each that finished."""
        metrics: dict[str, Any] = {
            "charts/episode_return": self.episode_returns,
            "charts/episode_length": self.episode_lengths,
        }
        if self.scalars:
            means = np.mean(self.scalars, axis=0).tolist()
            tags = ("charts/learning_rate", "diagnostics/grad_norm", "diagnostics/policy_lag", *self.scalar_tags)
            metrics.update(zip(tags, means, strict=True))
            metrics["diagnostics/policy_lag_max"] = max(lag for _, _, lag, *_ in self.scalars)
            metrics["diagnostics/explained_variance"] = explained_variance(
                np.concatenate(self.predictions), np.concatenate(self.targets)
            )
        metrics[f"workers/steps_{self.index}"] = int(self.shared.worker_steps[self.index])
        self._reset_metrics()
        return metrics


def make_shared_optimizer(config: Any, shared: SharedParameters, index: int) -> Optimizer:
    """The optimiser of a worker: on the shared parameters, with the shared statistics or its own row of them."""
    statistics = shared.statistics
    if config.optimizer == "rmsprop":
        statistics = {name: rows[index] for name, rows in statistics.items()}
    name = config.optimizer.removeprefix("shared_")
    return make_optimizer(name, shared.vector, config.rmsprop_decay, config.optimizer_epsilon, statistics)


def initial_statistics(config: Any, size: int) -> dict[str, np.ndarray]:
    """Initial statistics of the workers' optimisers, for P parameters."""
    statistics = OPTIMIZERS[config.optimizer.removeprefix("shared_")].initial_statistics(size)
    if config.optimizer == "rmsprop":
        return {name: np.stack([value] * config.num_workers) for name, value in statistics.items()}
    return statistics


def run_worker(
    context: WorkerContext,
    worker_class: type[ActorLearnerWorker],
    config: Any,
    pickled_make_envs: bytes,
    shared: SharedParameters,
    lock: ProcessLock | None,
    pickled_network: bytes,
    options: dict[str, Any],
) -> None:
    """Make the environments and the network of a worker in its process, and learn.

    Args:
        context: connects the worker with its pool.
        worker_class, config, shared: of the worker.
        pickled_make_envs: a function that makes its environments.
        lock: held while writing, if there is one.
        pickled_network: class of a network of the user's own, or ``None``.
        options: further arguments of ``worker_class``.
    """
    index, start = context.index, context.start
    seed_global_generators((config.seed, index, start))
    with EnvironmentCall(index * config.num_envs, "its worker"):
        make_envs = cloudpickle.loads(pickled_make_envs)
    network_class = cloudpickle.loads(pickled_network)
    held = lock or contextlib.nullcontext()
    with make_envs() as envs:
        own_envs = end_at_life_loss(envs, config)
        worker = worker_class(index, start, config, own_envs, shared, held, context.advance, network_class, **options)
        context.wait_for_start()
        worker.run(context)
