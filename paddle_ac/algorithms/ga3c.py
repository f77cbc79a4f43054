"""GA3C: agents that ask predictors for actions, and trainers that learn from their rollouts, on one model."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import cloudpickle
import numpy as np

from multiprocessing_env import WorkerTimeoutError, space_kind
from paddle_ac.algorithms.algorithm import Panel
from paddle_ac.algorithms.asynchronous import POLICY_LAG, Asynchronous
from paddle_ac.algorithms.ga3c_adjustment import RandomWalk, Trial
from paddle_ac.algorithms.ga3c_agent import run_agent
from paddle_ac.algorithms.ga3c_metrics import Load, Update, UpdateMetrics
from paddle_ac.algorithms.learner import Learner, optimizer_part
from paddle_ac.algorithms.policy import format_part, log_backend, make_network
from paddle_ac.algorithms.state import (
    Part,
    attribute_part,
    check_structure,
    component_part,
    moments_part,
)
from paddle_ac.config.ga3c import GA3CConfig
from paddle_ac.envs.atari import end_at_life_loss
from paddle_ac.envs.make import worker_envs_fn
from paddle_ac.errors import ConfigError
from paddle_ac.learning.gradient import GradientOfRollout, RolloutGradient
from paddle_ac.learning.phases import phases_of_update
from paddle_ac.learning.rewards import RewardNormalizer
from paddle_ac.learning.rollout import Rollout, RolloutCollector
from paddle_ac.learning.schedules import scheduled_learning_rate
from paddle_ac.nn.moments import RunningMoments
from paddle_ac.nn.network import Network
from paddle_ac.nn.optimizers import make_optimizer
from paddle_ac.processes.pool import WorkerPool
from paddle_ac.processes.rollout_slots import SLOTS_PER_AGENT, RolloutSlots, SlotQueues
from paddle_ac.processes.watchdog import Watchdog

READY_TIMEOUT = 5.0  # seconds that the first update() waits for all agents to be ready
REPORT_TIMEOUT = 0.1  # seconds after which update() returns without a report, so that Ctrl-C takes effect soon
THROUGHPUT_SECONDS = 1.0  # over which rates are measured, at least
ADJUSTMENT_SECONDS = 10.0  # that numbers of agents and threads are tried for
THREAD_TIMEOUT = 30.0  # seconds for threads to finish the batch that they compute
WAITS = 3  # that a timeout is divided into: a wait in which the process is suspended (Ctrl-Z) ends when it continues


class Model:
    """The single model: parameters, optimiser and normalisation, which predictors read and trainers change.

    Args:
        config: hyper-parameters.
        observation_space: of one environment.
        action_space: of one environment.

    Attributes:
        network: the policy and critic with the current parameters.
        learner: the current parameters and their optimiser.
        normalize_rewards: scales the rewards of each agent by the same moments; empty without normalisation.
        env_steps: steps of single environments that were learned from.
        num_updates: gradient steps.
        lost_threads: threads that did not stop in time; a model that one of them holds is not waited for.
    """

    def __init__(self, config: GA3CConfig, observation_space: Any, action_space: Any):
        self._config = config
        self._spaces = observation_space, action_space
        self.network = make_network(config, observation_space, action_space)
        self.learner = Learner(
            self.network.parameters,
            lambda vector: make_optimizer(config.optimizer, vector, config.rmsprop_decay, config.optimizer_epsilon),
        )
        self.normalize_rewards: list[RewardNormalizer] = []
        if config.normalize_rewards:
            statistics = RunningMoments.initial_statistics(())
            self.normalize_rewards = [
                RewardNormalizer(config.num_envs, config.gamma, statistics) for _ in range(config.num_agents)
            ]
        self._lock = threading.Lock()
        self._holder: threading.Thread | None = None  # held the model last
        self.lost_threads: list[threading.Thread] = []
        self.env_steps = 0
        self.num_updates = 0

    @property
    def is_done(self) -> bool:
        """Whether the total of steps is reached."""
        return self.env_steps >= self._config.total_steps

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the model while it changes, or is copied as a whole.

        Raises:
            WorkerTimeoutError: another thread has held it for ``config.step_timeout``, or is one of ``lost_threads``.
        """
        timeout = 0.0 if self._holder in self.lost_threads else self._config.step_timeout
        if not any(self._lock.acquire(timeout=timeout / WAITS) for _ in range(WAITS)):
            assert self._holder is not None
            reason = f"has held the model for more than {timeout:g} s (step_timeout)" if timeout else "holds the model"
            raise WorkerTimeoutError(f"{self._holder.name} {reason}")
        self._holder = threading.current_thread()
        try:
            yield
        finally:
            self._lock.release()

    def make_network(self, shares_memory: bool) -> Network:
        """A network with the current parameters: on the model's memory, or with a copy that ``copy_to`` updates."""
        parameters = self.network.parameters
        vector = parameters.vector if shares_memory else None
        return make_network(self._config, *self._spaces, parameters.views, vector=vector)

    def copy_to(self, network: Network) -> None:
        """Copy the parameters and normalisation of one moment to a network."""
        with self.held():
            np.copyto(network.parameters.vector, self.network.parameters.vector)
            network.encode.load_state_dict(self.network.encode.state_dict())
        network.refresh()

    def refresh(self, network: Network) -> None:
        """Copy to a network on the model's memory all that it does not share: normalisation, parameters on a device."""
        if network.encode.moments is not None:
            with self.held():
                network.encode.load_state_dict(self.network.encode.state_dict())
        network.refresh()

    def update(self, learned: RolloutGradient, observations: np.ndarray, versions: np.ndarray) -> Update | None:
        """Take a step of the optimiser.

        Args:
            learned: gradient of a batch of B transitions.
            observations: ``[B, *observation_space.shape]``, for the moments.
            versions: updates of the policies that chose the actions.

        Returns:
            figures of the update; ``None`` if the total of steps was reached before, and nothing was learned.
        """
        config = self._config
        with self.held():
            if self.is_done:
                return None
            learning_rate = scheduled_learning_rate(
                config.lr_schedule, config.learning_rate, self.env_steps, config.decay_steps, config.lr_decay_factor
            )
            self.learner.step(learned.gradient, learning_rate)
            self.network.encode.update(observations)
            lags = self.num_updates - versions
            self.num_updates += 1
            self.env_steps += len(learned.returns)
        losses = learned.actor, learned.critic, learned.entropy, learned.total, learned.norm
        lag = float(lags.mean()), float(lags.max())
        return Update((learning_rate, *losses), lag, learned.values, learned.returns)


class GA3CPredictor:
    """Chooses actions for the agents that wait for some, in one forward pass.

    Args:
        config: hyper-parameters.
        model: read without its lock.
        queues: of the agents' requests.
        load: counts the batches of all predictors.
        index: of this predictor, for its random numbers.

    Attributes:
        batches: number of batches that it has taken.
        is_busy: whether it computes the last of them, rather than wait for another.
    """

    batches = 0
    is_busy = False

    def __init__(self, config: GA3CConfig, model: Model, queues: SlotQueues, load: Load, index: int):
        self._model, self._queues, self._load = model, queues, load
        self._network = model.make_network(shares_memory=True)
        self._version = -1  # updates of the model when the network was last refreshed
        self._max_requests = max(config.prediction_batch // config.num_envs, 1)
        self._needs_log_probs = config.lag_correction == "vtrace"
        self._generator = np.random.default_rng((config.seed, 1, index, model.num_updates))

    def predict(self) -> bool:
        """Wait for requests and answer them; return whether to go on."""
        taken = self._queues.get_requests(self._max_requests)
        if taken is None:
            return False
        agents, numbers = taken
        if not len(agents):
            return True
        self.batches += 1
        self.is_busy = True
        slots, network = self._queues.slots, self._network
        queued, version = self._queues.prediction_queue_length, self._model.num_updates
        if version != self._version:
            self._model.refresh(network)
            self._version = version
        observations = slots.requested(agents)
        state = slots.agent_states[agents].reshape(len(observations), -1)
        outputs = network.policy_outputs(observations, state)
        actions = network.distribution.sample(outputs, self._generator)
        log_probs = network.distribution(outputs).log_prob(actions) if self._needs_log_probs else None
        self._queues.answer(agents, numbers, actions, log_probs, state, version)
        self._load.add(len(observations), queued)
        self.is_busy = False
        return True


class GA3CTrainer:
    """Learns from rollouts of many agents, an update at a time.

    Args:
        config: hyper-parameters.
        model: copied before a gradient is computed if there are other trainers, and changed afterwards.
        queues: of filled slots.
        load: counts the batches of all trainers.
        assembling: held by the one trainer that waits for rollouts.
        record: called with the figures of each update.

    Attributes:
        batches, is_busy: as of ``GA3CPredictor``.
    """

    batches = 0
    is_busy = False

    def __init__(
        self,
        config: GA3CConfig,
        model: Model,
        queues: SlotQueues,
        load: Load,
        assembling: threading.Lock,
        record: Callable[[Update], None],
    ):
        self._config, self._model, self._queues, self._load = config, model, queues, load
        self._assembling, self._record = assembling, record
        is_alone = config.num_trainers == 1  # then nothing changes the model while it computes
        network = model.make_network(shares_memory=is_alone)
        self._network = network
        self._refresh = model.refresh if is_alone else model.copy_to
        layout = network.parameters.layout
        self._gradient_of = GradientOfRollout(config, network, np.zeros(layout.size, np.float32), layout)

    def train(self) -> bool:
        """Wait for a batch and learn from it; return whether to go on."""
        taken = None if self._model.is_done else self._take()
        if taken is None:
            return False
        rollout, versions, queued = taken
        self.batches += 1
        self.is_busy = True
        self._refresh(self._network)
        learned = self._gradient_of(rollout)
        update = self._model.update(learned, rollout.transitions(rollout.observations), versions)
        if update is None:
            self.is_busy = False
            return False
        self._load.add(rollout.rewards.size, queued)
        self._record(update)
        self.is_busy = False
        return True

    def _take(self) -> tuple[Rollout, np.ndarray, int] | None:
        """A batch of rollouts, the versions of the policies that played them, and the length of the queue."""
        queues, slots = self._queues, self._queues.slots
        with self._assembling:
            full = queues.get_rollouts(self._config.rollouts_per_update)
            if full is None:
                return None
            queued = queues.training_queue_length
            rollout = slots.gather(full, with_log_probs=self._config.lag_correction == "vtrace")
            versions = slots.versions[full]
            if normalizers := self._model.normalize_rewards:
                with self._model.held():  # for a checkpoint has their moments
                    for slot in full:
                        done = slots.terminated[slot] | slots.truncated[slot]
                        normalizers[slot // SLOTS_PER_AGENT].update(slots.rewards[slot], done)
                    rollout.rewards = normalizers[0](rollout.rewards)
        queues.free(full)
        return rollout, versions, queued


class GA3C(Asynchronous):
    """GPU/CPU asynchronous advantage actor-critic (Babaeizadeh et al. 2017, arXiv:1611.06256).

    Agents are processes that play and have no network. Predictor threads of this process choose actions for the agents
    that wait, in one forward pass; trainer threads learn from the rollouts that agents have filled. There is a single
    model. Observations and rollouts are in shared memory, and queues carry their indices.

    Args:
        config: hyper-parameters.
        observation_space: of one environment.
        action_space: of one environment.

    Attributes:
        model: the single model; trainers change it at any moment.
        pool: the agents' processes, from the first ``update`` on.

    Raises:
        ConfigError: an action space that there is no distribution for, or other than Discrete with an epsilon in the
            logarithm; or rollouts that do not fit into memory.
    """

    processes = "num_agents"
    num_learners = 1

    def __init__(self, config: GA3CConfig, observation_space: Any, action_space: Any):
        if space_kind(action_space) != "Discrete":  # the probability of a joint action may be below any epsilon
            if config.log_epsilon:
                raise ConfigError(
                    f"log_epsilon={config.log_epsilon:g} is for Discrete actions, and those of {config.env} are "
                    f"{action_space}; leave it out"
                )
            config = config.model_copy(update={"log_epsilon": 0.0})
        super().__init__(config, observation_space, action_space)
        self.model = Model(config, observation_space, action_space)
        log_backend(config)
        self._network = self.model.make_network(shares_memory=False)  # for evaluations
        slots = RolloutSlots(
            config.num_agents,
            config.num_steps,
            config.num_envs,
            observation_space,
            action_space,
            self._network.state_size,
        )
        self.queues = SlotQueues(slots)
        self.pool = WorkerPool(config.num_agents, config.step_timeout, config.restart_workers)
        self._threads: list[threading.Thread] = []
        self._computing: list[tuple[str, GA3CPredictor | GA3CTrainer]] = []  # by name of the thread
        self._batches = np.zeros(config.num_predictors + config.num_trainers, np.int64)  # of each in ``_computing``
        self._watchdog = Watchdog(self._batches)
        self._stopping = False
        self._failure: BaseException | None = None
        self._gate = threading.Condition()  # threads beyond the numbers of ``_working`` wait behind it
        self._working = {"predictor": config.num_predictors, "trainer": config.num_trainers}
        self._predictions, self._trainings = Load(), Load()
        self._updates = UpdateMetrics()
        self._measured_at = 0.0  # time.monotonic()
        self._trial = Trial(0.0, 0)
        self._restart_measurements()
        self._walk: RandomWalk | None = None
        if config.dynamic_adjustment:
            largest = config.num_agents, config.num_predictors, config.num_trainers
            generator = np.random.default_rng((config.seed, 2))
            self._walk = RandomWalk((config.fewest_agents, 1, 1), largest, generator)
        self.metric_tags = (
            "diagnostics/policy_lag",
            "diagnostics/policy_lag_max",
            "ga3c/trainings_per_second",
            "ga3c/predictions_per_second",
            "ga3c/training_batch",
            "ga3c/prediction_batch",
            "ga3c/training_queue",
            "ga3c/prediction_queue",
            "ga3c/agent_wait_ms",
            *(("ga3c/agents", "ga3c/predictors", "ga3c/trainers") if self._walk else ()),
        )
        self.panels = (
            POLICY_LAG,
            Panel(
                "throughput",
                "1/s",
                {"ga3c/predictions_per_second": "predictions", "ga3c/trainings_per_second": "trainings"},
            ),
            Panel(
                "queues",
                "waiting",
                {"ga3c/prediction_queue": "requests for actions", "ga3c/training_queue": "rollouts"},
            ),
            Panel("wait of an agent for an action", "ms", {"ga3c/agent_wait_ms": ""}),
        )

    @property
    def env_steps(self) -> int:
        """Steps of single environments that the trainers have learned from so far."""
        return self.model.env_steps

    @property
    def num_updates(self) -> int:
        """Updates of all trainers so far."""
        return self.model.num_updates

    @property
    def policy(self) -> Network:
        """A network with a copy of the model as it is now; the same network at each call, filled anew."""
        self.model.copy_to(self._network)
        return self._network

    def update(self) -> dict[str, Any]:
        """Return the metrics since the last call; the first call starts the agents, the predictors and the trainers.

        It returns after a fraction of a second (5 s while the agents start).

        Returns:
            metrics by tag; of episodes those that agents have reported.

        Raises:
            WorkerDiedError: an agent was killed, and ``config.restart_workers`` is off.
            WorkerTimeoutError: an agent made no step within ``config.step_timeout``, and ``config.restart_workers`` is
                off; or a predictor or a trainer did not finish a batch in that time.
            WorkerFailedError: an environment raised in an agent.
            ObservationError: an environment returned an observation that does not belong to its space.
            NonFiniteError: a NaN or an infinity in an observation, a reward or the loss; it was not learned from.
            Exception: a predictor or a trainer raised it.
        """
        self._raise_failure()
        if not self.pool.is_started:
            self.pool.start(run_agent, self._agent_arguments)
            self._start_threads()
        if not self.has_started:
            if self.pool.wait_until_ready(READY_TIMEOUT):
                self._restart_measurements()
            return _merge([])
        if self.model.is_done:
            return _merge(self.finish())
        report = self.pool.receive(REPORT_TIMEOUT)
        self._raise_failure()
        self._adjust()
        return _merge([self._take_metrics(), *([] if report is None else [report.content])])

    def check(self) -> None:
        """Raise if an agent, a predictor or a trainer has failed; replace an agent that is stuck."""
        self._raise_failure()
        self.pool.check()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Leave an evaluation, through which agents and trainers work on, out of the trial of their numbers."""
        self._trial.count(time.monotonic(), self.env_steps)
        yield
        self._trial.leave_out(time.monotonic(), self.env_steps)

    def finish(self) -> Iterator[dict[str, Any]]:
        """Stop agents and threads and yield their remaining metrics; an agent that does not stop in time is killed."""
        for report in self.pool.finish():
            yield report.content
        self._stop_threads()
        yield _merge([self._take_metrics(THROUGHPUT_SECONDS / 10)])

    def close(self) -> None:
        """End every agent and thread, and restore the threads of matrix products."""
        self.pool.close()
        if self._stop_threads():
            self.queues.close()
        super().close()

    def phases(self) -> dict[str, Callable[[], int]]:
        """The parts of playing and learning of one agent alone, in this process; see ``Algorithm.phases``."""
        config, network = self.config, self.model.make_network(shares_memory=False)
        envs = end_at_life_loss(worker_envs_fn(config)(), config)
        generator, layout = np.random.default_rng(config.seed), network.parameters.layout
        gradient_of = GradientOfRollout(config, network, np.zeros(layout.size, np.float32), layout)

        def act(observations: np.ndarray, state: np.ndarray) -> np.ndarray:
            return network.act(observations, generator, state)

        def learn(rollout: Rollout) -> None:
            self.model.learner.step(gradient_of(rollout).gradient, 0.0)

        collector = RolloutCollector(envs, config.num_steps, network.state_size)
        return phases_of_update(collector, act, learn, network.has_mask)

    # ------------------------------------------------------------------------------------------------------- threads

    def _agent_arguments(self, index: int, start: int) -> tuple:
        """The arguments of ``run_agent`` after the context; environments have other episodes at every start."""
        if self.model.normalize_rewards:
            with self.model.held():  # trainers add the rewards of the agent's rollouts
                self.model.normalize_rewards[index].returns[:] = 0
        make_envs = cloudpickle.dumps(worker_envs_fn(self.config, index, start))
        return self.config, make_envs, self.queues.of_agent(index)

    def _start_threads(self) -> None:
        config, model, queues, assembling = self.config, self.model, self.queues, threading.Lock()
        for index in range(config.num_predictors):
            predictor = GA3CPredictor(config, model, queues, self._predictions, index)
            self._start_thread("predictor", index, predictor, predictor.predict)
        for index in range(config.num_trainers):
            trainer = GA3CTrainer(config, model, queues, self._trainings, assembling, self._updates.add)
            self._start_thread("trainer", index, trainer, trainer.train)

    def _start_thread(
        self, kind: str, index: int, worker: GA3CPredictor | GA3CTrainer, work: Callable[[], bool]
    ) -> None:
        thread = threading.Thread(target=self._run, args=(kind, index, work), name=f"{kind} {index}", daemon=True)
        self._threads.append(thread)
        self._watchdog.restart(len(self._computing), self.config.step_timeout)
        self._computing.append((thread.name, worker))
        thread.start()

    def _run(self, kind: str, index: int, work: Callable[[], bool]) -> None:
        """Work until there is no more, in a thread; wait while fewer threads than this one's index may work."""
        try:
            while not self._stopping:
                if index >= self._working[kind]:
                    with self._gate:
                        self._gate.wait_for(lambda: self._stopping or index < self._working[kind])
                elif not work():
                    return
        except BaseException as error:  # raised in the main thread by update() or check()
            self._failure = self._failure or error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
        for index, (_, worker) in enumerate(self._computing):
            if not worker.is_busy:
                self._watchdog.restart(index)
            self._batches[index] = worker.batches
        for index in self._watchdog.find_stuck():
            name, timeout = self._computing[index][0], self.config.step_timeout
            raise WorkerTimeoutError(f"{name} has computed a batch for more than {timeout:g} s (step_timeout)")

    def _stop_threads(self) -> bool:
        """Stop the threads, and wait for each of them once; return whether all have ended."""
        self._stopping = True
        with self._gate:
            self._gate.notify_all()
        if self._threads:
            self.queues.stop()
        for _ in range(WAITS):
            deadline = time.monotonic() + THREAD_TIMEOUT / WAITS
            for thread in self._threads:
                thread.join(max(deadline - time.monotonic(), 0))
        lost = [thread for thread in self._threads if thread.is_alive()]
        for thread in lost:
            logging.getLogger(__name__).warning("%s did not stop within %g s", thread.name, THREAD_TIMEOUT)
        self.model.lost_threads += lost
        self._threads = []
        return not any(thread.is_alive() for thread in self.model.lost_threads)

    def _adjust(self) -> None:
        """Try other numbers of agents and threads once in a while, where they are to be adjusted."""
        if self._walk is None:
            return
        self._trial.count(time.monotonic(), self.env_steps)
        if self._trial.seconds > ADJUSTMENT_SECONDS:
            agents, self._working["predictor"], self._working["trainer"] = self._walk.measured(self._trial.rate)
            self.queues.slots.active[0] = agents
            with self._gate:
                self._gate.notify_all()
            self._trial.restart(time.monotonic(), self.env_steps)

    # ------------------------------------------------------------------------------------------------------- metrics

    def _take_metrics(self, min_seconds: float = THROUGHPUT_SECONDS) -> dict[str, Any]:
        """Metrics of training since the last call, and those of throughput if they are of so many seconds."""
        metrics: dict[str, Any] = self._updates.take()
        if time.monotonic() > self._measured_at + min_seconds:
            metrics.update(self._take_throughput())
        return metrics

    def _restart_measurements(self) -> None:
        """Measure rates from now on, for example without the start of the agents."""
        self._predictions.take()
        self._trainings.take()
        self._measured_at = time.monotonic()
        self._trial.restart(self._measured_at, self.env_steps)

    def _take_throughput(self) -> dict[str, float]:
        now = time.monotonic()
        seconds, self._measured_at = now - self._measured_at, now
        metrics: dict[str, float] = {}
        predictions, predicted, waiting_requests = self._predictions.take()
        trainings, trained, waiting_rollouts = self._trainings.take()
        if predictions:
            metrics["ga3c/predictions_per_second"] = predicted / seconds
            metrics["ga3c/prediction_batch"] = predicted / predictions
            metrics["ga3c/prediction_queue"] = waiting_requests / predictions
        if trainings:
            metrics["ga3c/trainings_per_second"] = trainings / seconds
            metrics["ga3c/training_batch"] = trained / trainings
            metrics["ga3c/training_queue"] = waiting_rollouts / trainings
        if self._walk is not None:
            agents, predictors, trainers = self._walk.counts
            metrics.update({"ga3c/agents": agents, "ga3c/predictors": predictors, "ga3c/trainers": trainers})
        return metrics

    # --------------------------------------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """Return all that resuming needs; see ``Algorithm.state_dict``."""
        with self.model.held():  # between two updates
            return super().state_dict()

    def learned_state(self) -> dict[str, Any]:
        """Return the state that another training can start from; see ``Algorithm.learned_state``."""
        with self.model.held():
            return super().learned_state()

    def saved_parts(self) -> dict[str, Part]:
        """See ``Agent.saved_parts``: the model as it is now, without running episodes."""
        model = self.model
        statistics = model.learner.optimizer.statistics
        return {
            **super().saved_parts(),
            "format": format_part(model.network),
            "env_steps": attribute_part(model, "env_steps"),
            "num_updates": attribute_part(model, "num_updates"),
            "starts": Part(lambda: list(self.pool.starts), self._set_starts, self._check_starts),
            "parameters": model.learner.parameters_part(),
            "optimizer": optimizer_part(statistics, self.config.optimizer),
            "encoder": component_part(model.network.encode),
            "rewards": component_part(model.normalize_rewards[0].moments if model.normalize_rewards else None),
        }

    def learned_parts(self) -> dict[str, Part]:
        """See ``Agent.learned_parts``."""
        saved, rewards = self.saved_parts(), self.model.normalize_rewards
        return {
            **{name: saved[name] for name in ("format", "parameters", "encoder")},
            **({"reward_moments": moments_part(rewards[0].moments)} if rewards else {}),
        }

    def _check_starts(self, starts: list[int]) -> None:
        if len(starts) != self.config.num_agents:
            raise ValueError(f"the checkpoint has {len(starts)} agents, this run {self.config.num_agents}")
        check_structure(starts, self.pool.starts, "starts")

    def _set_starts(self, starts: list[int]) -> None:
        self.pool.starts = list(starts)


def _merge(parts: Iterable[dict[str, Any]]) -> dict[str, list[Any]]:
    """Metrics by tag of several parts, as lists of all their values."""
    merged: dict[str, list[Any]] = {"charts/episode_return": [], "charts/episode_length": []}
    for part in parts:
        for tag, value in part.items():
            merged.setdefault(tag, []).extend(value if isinstance(value, list) else [value])
    return merged
