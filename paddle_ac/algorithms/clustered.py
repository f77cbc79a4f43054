"""The base of algorithms on the machines of a cluster: a bundle on each, and a parameter server between them."""

from __future__ import annotations

import functools
import logging
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any, ClassVar, TypeVar

import numpy as np

from multiprocessing_env import VecEnvError, probe_spaces
from paddle_ac.algorithms.algorithm import Panel
from paddle_ac.algorithms.asynchronous import Asynchronous
from paddle_ac.algorithms.bundle import Bundle
from paddle_ac.algorithms.learner import optimizer_part
from paddle_ac.algorithms.policy import format_part, log_backend
from paddle_ac.algorithms.state import Part, arrays_part, constant_part
from paddle_ac.envs.make import as_config_error, training_env_fns
from paddle_ac.envs.names import defined_in_script
from paddle_ac.errors import ConfigError
from paddle_ac.nn.moments import RunningMoments
from paddle_ac.nn.network import Network
from paddle_ac.processes.cluster import Cluster
from paddle_ac.processes.nodes import NodePool
from paddle_ac.processes.parameter_server import Moments
from paddle_ac.processes.servers import RemoteShards, ServerGroup, restore_timeout

READY_TIMEOUT = 5.0  # seconds that an update() waits while the bundles start
REPORT_TIMEOUT = 0.5  # seconds after which update() returns without metrics, so that Ctrl-C takes effect soon
STATUS_SECONDS = 0.2  # between two looks at the counters of the parameter server
RATE_SECONDS = 1.0  # over which rates are measured, at least
SNAPSHOT_SECONDS = 10.0  # between two snapshots, which a lost parameter server is restored from
STALENESS_OF_A_NODE = 10  # largest staleness by default, for each node
FINISH_TIMEOUT = 15.0  # seconds for the last reports and pushes

STALENESS = Panel("staleness of a push", "pushes", {"cluster/staleness": "mean", "cluster/staleness_max": "largest"})
LATE_PUSHES = Panel("pushes that are dropped", "share", {"cluster/late_pushes": "too stale"})

AnyAlgorithm = TypeVar("AnyAlgorithm", bound="Clustered")


class Clustered(Asynchronous):
    """An algorithm on several machines (after Gorila, Nair et al. 2015, arXiv:1507.04296).

    Each node runs a bundle. Every ``push_interval`` updates it sends the sum of what it has added to the parameters,
    and receives the current ones. The statistics of the optimiser belong to a bundle; a checkpoint holds their mean
    over the bundles, which every new bundle starts from. This process does not play: it supervises bundles and
    parameter server, and receives metrics.

    A subclass names its bundles and what they need (``bundle_class``, ``num_cpus``, ``initial_statistics``), and adds
    the metrics of a bundle to ``metric_tags`` and ``panels``.

    Args:
        config: hyper-parameters, with a ``ClusterGroup``.
        observation_space: of one environment.
        action_space: of one environment.
        cluster: that the run uses; the agent closes it.

    Raises:
        ConfigError: an action space that the algorithm does not take.
    """

    bundle_class: ClassVar[type[Bundle]]
    metric_tags: tuple[str, ...] = (
        "cluster/staleness",
        "cluster/staleness_max",
        "cluster/late_pushes",
        "cluster/pushes_per_second",
        "cluster/bytes_per_second",
    )
    panels: tuple[Panel, ...] = (STALENESS, LATE_PUSHES)

    def __init__(self, config: Any, observation_space: Any, action_space: Any, cluster: Cluster):
        super().__init__(config, observation_space, action_space)
        self._network = self.make_policy(config, observation_space, action_space)
        log_backend(config)
        self._vector = self._network.parameters.vector.copy()
        self._views = self._network.parameters.layout.views(self._vector)
        self._moments: Moments = {}
        if self._network.encode.moments is not None:
            self._moments["encoder"] = self._network.encode.state_dict()
        if config.normalize_rewards:
            self._moments["rewards"] = RunningMoments.initial_statistics(())
        self._statistics = self.initial_statistics(len(self._vector))
        self._node_steps = np.zeros(config.num_nodes, np.int64)
        self._node_updates = np.zeros(config.num_nodes, np.int64)
        self._has_started = self._has_finished = False
        self._status_at = self._snapshot_at = self._rates_at = 0.0
        self._traffic = self._rates_of = (0, 0)  # pushes and bytes: latest, and when rates were last measured
        self._staleness: list[float] = []  # of the pushes that no metrics contain yet
        self._is_late: list[bool] = []  # of the same pushes
        self.metric_tags = (*self.metric_tags, *(f"nodes/steps_{index}" for index in range(config.num_nodes)))
        self._cluster = cluster
        self._servers = ServerGroup(cluster, config.num_servers, config.node_timeout, self.max_staleness)
        self._nodes = NodePool(
            cluster,
            self.bundle_class,
            self._bundle_arguments,
            config.num_nodes,
            config.min_nodes or config.num_nodes,
            self.num_cpus,
            config.node_timeout,
        )

    @classmethod
    def from_config(cls: type[AnyAlgorithm], config: Any) -> AnyAlgorithm:
        """Connect to the cluster that the configuration names.

        Raises:
            ConfigError: the environment or the cluster cannot be had, or has too few nodes for bundles or shards.
        """
        for place in filter(None, (config.env, *config.wrappers, config.network)):
            if defined_in_script(place):
                raise ConfigError(f"--cluster: {place} must be in a module that every node can import")
        with as_config_error(config):
            spaces = probe_spaces(training_env_fns(config, 1)[0])
        with ExitStack() as stack:
            cluster = stack.enter_context(closing(Cluster(config.cluster)))
            agent = cls(config, *spaces, cluster)
            stack.push(agent)
            agent._nodes.wait_for_nodes()
            num_servers, num_nodes = config.num_servers, len(cluster.nodes())
            if num_servers > num_nodes:
                raise ConfigError(f"--num-servers {num_servers}: the cluster has only {num_nodes} nodes, for one each")
            stack.pop_all()
        return agent

    @property
    @abstractmethod
    def num_cpus(self) -> int:
        """Processors of a node that a bundle needs."""

    @abstractmethod
    def initial_statistics(self, size: int) -> dict[str, np.ndarray]:
        """Statistics of a bundle's optimiser before the first step, for P parameters."""

    @property
    def max_staleness(self) -> int:
        """``max_staleness`` of the configuration, or what it is where none is given."""
        given = self.config.max_staleness
        return STALENESS_OF_A_NODE * self.config.num_nodes if given is None else given

    @property
    def env_steps(self) -> int:
        """Steps of single environments that the parameter server knew of at the last update."""
        return int(self._node_steps.sum())

    @property
    def num_updates(self) -> int:
        """Updates of all bundles that the parameter server knew of at the last update."""
        return int(self._node_updates.sum())

    @property
    def is_done(self) -> bool:
        """Whether the total of steps is reached, and all metrics have been returned."""
        return self._nodes.is_finished

    @property
    def has_started(self) -> bool:
        """Whether ``min_nodes`` bundles play."""
        return self._nodes.is_ready

    @property
    def policy(self) -> Network:
        """A network with the server's parameters as they are now; the same network at each call, filled anew."""
        if self._is_running:
            self._vector[:], self._moments = self._servers.pull()
        self._network.parameters.vector[:] = self._vector
        self._network.refresh()
        if "encoder" in self._moments:
            self._network.encode.load_state_dict(self._moments["encoder"])
        return self._network

    @property
    def _is_running(self) -> bool:
        return self._has_started and not self._has_finished

    def update(self) -> dict[str, Any]:
        """Return the metrics of a report of a bundle; the first call starts server and bundles.

        It returns after half a second at most (5 s while the bundles start).

        Returns:
            metrics by tag; only empty lists of episodes if no bundle has reported in that time.

        Raises:
            WorkerDiedError: too few nodes are left, or a parameter server cannot be restored.
            Exception: that has ended a bundle, as ``update`` raises it on one machine.
        """
        if not self._has_started:
            self._has_started = True
            self._servers.start(self._vector, self._node_steps, self._node_updates, self._moments)
            self._snapshot_at = self._rates_at = time.monotonic()
        metrics = self._nodes.receive(REPORT_TIMEOUT if self.has_started else READY_TIMEOUT)
        metrics = metrics or {"charts/episode_return": [], "charts/episode_length": []}
        if time.monotonic() - self._status_at > STATUS_SECONDS or self._nodes.is_finished:
            self._supervise_servers()
            metrics |= self._server_metrics()
        return metrics

    def check(self) -> None:
        """Replace bundles and restore shards that are lost; raises as ``update``."""
        if self._is_running:
            self._nodes.check()
            self._supervise_servers()

    def finish(self) -> Iterator[dict[str, Any]]:
        """Stop the bundles, which push what is left, and yield their remaining metrics."""
        if not self._is_running:
            return
        self._nodes.ask_to_finish()
        deadline = time.monotonic() + FINISH_TIMEOUT
        while not self._nodes.is_finished and time.monotonic() < deadline:
            try:
                metrics = self._nodes.receive(0.1)
            except Exception as error:  # a bundle forwards any; what is to be saved does not depend on it
                logging.getLogger(__name__).warning("while the bundles finish: %s", error)
                continue
            if metrics is not None:
                yield metrics
        if not self._nodes.is_finished:
            logging.getLogger(__name__).warning(
                "a bundle did not stop within %g s: its last updates are lost", FINISH_TIMEOUT
            )
        try:
            self._take_status()
            yield {"charts/episode_return": [], "charts/episode_length": [], **self._server_metrics()}
            self._take_snapshot()
        except VecEnvError as error:
            logging.getLogger(__name__).warning("%s; the state is that of its latest snapshot", error)
        self._has_finished = True

    def state_dict(self) -> dict[str, Any]:
        """Return all that resuming needs; see ``Algorithm.state_dict``."""
        if self._is_running:
            self._take_snapshot()
        return super().state_dict()

    def saved_parts(self) -> dict[str, Part]:
        """See ``Agent.saved_parts``: parameters, statistics and counters of the latest snapshot."""
        is_of_cluster = Part(lambda: True, lambda _: None, _check_is_of_cluster, missing=False)
        return {
            **super().saved_parts(),
            "is_of_cluster": is_of_cluster,
            "format": format_part(self._network),
            "env_steps": Part(lambda: self.env_steps, lambda _: None),  # the sum of node_steps
            "starts": Part(lambda: list(self._nodes.starts), self._set_starts, _check_counts),
            "parameters": Part(arrays_part(self._views).get, self._set_parameters, self._network.parameters.check),
            "optimizer": optimizer_part(self._statistics, self.config.optimizer),
            "encoder": Part(self._encoder_state, self._set_encoder_state, self._network.encode.check_state_dict),
            "rewards": self._rewards_part(),
            "node_steps": Part(lambda: self._node_steps.tolist(), self._set_node_steps, _check_counts),
            "node_updates": Part(lambda: self._node_updates.tolist(), self._set_node_updates, _check_counts),
        }

    def learned_parts(self) -> dict[str, Part]:
        """See ``Agent.learned_parts``."""
        saved = self.saved_parts()
        learned = {name: saved[name] for name in ("format", "parameters", "encoder")}
        if "rewards" in self._moments:
            rewards = saved["rewards"]
            learned["reward_moments"] = Part(rewards.get, rewards.set, missing=rewards.get())
        return learned

    def close(self) -> None:
        """End all that the run has created on the cluster, and leave it."""
        self._nodes.close()
        self._cluster.close()
        super().close()

    def _bundle_arguments(self, index: int, start: int) -> tuple:
        shards = RemoteShards(self.config.num_servers, restore_timeout(self.config.node_timeout))
        return self.config, index, start, self._statistics, shards

    def _supervise_servers(self) -> None:
        """Restore lost shards, take a snapshot if one is due, and end or replace bundles by the server's counters."""
        self._take_status()
        if time.monotonic() - self._snapshot_at > SNAPSHOT_SECONDS:
            self._take_snapshot()
        if self.env_steps >= self.config.total_steps:
            self._nodes.ask_to_finish()
        else:  # a restored server may lack steps that finished bundles have counted
            self._nodes.replace_finished()

    def _take_status(self) -> None:
        """Take over the counters of the server."""
        status = self._servers.status()
        self._status_at = time.monotonic()
        self._node_steps, self._node_updates = status.node_steps, status.node_updates
        self._traffic = (status.num_pushes, status.num_bytes)
        self._staleness += status.staleness
        self._is_late += status.is_late

    def _server_metrics(self) -> dict[str, Any]:
        """The metrics of the latest status, with the staleness of all pushes since the last call."""
        metrics: dict[str, Any] = {"cluster/staleness": self._staleness, "cluster/late_pushes": self._is_late}
        if self._staleness:
            metrics["cluster/staleness_max"] = max(self._staleness)
        self._staleness, self._is_late = [], []
        seconds = self._status_at - self._rates_at
        if seconds >= RATE_SECONDS:
            num_pushes, num_bytes = self._traffic[0] - self._rates_of[0], self._traffic[1] - self._rates_of[1]
            if num_pushes >= 0 and num_bytes >= 0:  # a server that was restored counts from 0
                metrics["cluster/pushes_per_second"] = num_pushes / seconds
                metrics["cluster/bytes_per_second"] = num_bytes / seconds
            self._rates_at, self._rates_of = self._status_at, self._traffic
            metrics |= {f"nodes/steps_{index}": int(steps) for index, steps in enumerate(self._node_steps)}
        return metrics

    def _take_snapshot(self) -> None:
        """Take over parameters, moments and counters of the server, and the mean statistics of the bundles."""
        self._vector[:], state = self._servers.snapshot()
        self._moments, self._node_steps, self._node_updates = state.moments, state.node_steps, state.node_updates
        found = self._nodes.call_ready("statistics")
        for name, value in self._statistics.items() if found else ():
            value[...] = np.mean([statistics[name] for statistics in found], axis=0)
        self._snapshot_at = time.monotonic()

    def _set_parameters(self, parameters: dict[str, np.ndarray]) -> None:
        self._network.load_parameters(parameters)
        self._vector[:] = self._network.parameters.vector

    def _encoder_state(self) -> dict[str, Any]:
        return self._moments["encoder"] if "encoder" in self._moments else self._network.encode.state_dict()

    def _set_encoder_state(self, state: dict[str, Any]) -> None:
        self._network.encode.load_state_dict(state)
        if "encoder" in self._moments:
            self._moments["encoder"] = self._network.encode.state_dict()

    def _rewards_part(self) -> Part:
        if "rewards" not in self._moments:
            return constant_part({})
        return Part(lambda: self._moments["rewards"], functools.partial(self._moments.__setitem__, "rewards"))

    def _set_starts(self, starts: list[int]) -> None:
        """Bundles that the saved run did not have begin after those that had most starts."""
        more = [max(starts)] * max(self.config.num_nodes - len(starts), 0)
        self._nodes.starts = [*starts, *more][: self.config.num_nodes]

    def _set_node_steps(self, counts: list[int]) -> None:
        self._node_steps = _fitted(counts, self.config.num_nodes)

    def _set_node_updates(self, counts: list[int]) -> None:
        self._node_updates = _fitted(counts, self.config.num_nodes)


def _fitted(counts: list[int], num_nodes: int) -> np.ndarray:
    """Counters of the nodes of a saved run for another number of nodes: the last one has the rest of the sum."""
    kept = [*counts, *[0] * num_nodes][:num_nodes]
    kept[-1] += sum(counts) - sum(kept)
    return np.array(kept, np.int64)


def _check_counts(counts: Any) -> None:
    if not counts or not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("the checkpoint's counts of its nodes are damaged")


def _check_is_of_cluster(value: bool) -> None:
    if not value:
        raise ValueError("it was saved on one machine: leave out --cluster, or start a run with --init-from")
