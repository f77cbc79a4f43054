"""Bundles on the nodes of a cluster: start, supervise, replace and stop them, and receive their reports."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from multiprocessing_env import WorkerDiedError
from paddle_ac.errors import ConfigError
from paddle_ac.processes.cluster import (
    RETRY_SECONDS,
    Call,
    Cluster,
    LostError,
    Node,
    RemoteObject,
    UnreachableError,
    wait,
)

START_TIMEOUT = 60.0  # seconds until a bundle that was created answers
JOIN_TIMEOUT = 60.0  # seconds that a run continues with fewer nodes than it needs
NODES_TIMEOUT = 10.0  # seconds that a run waits for its nodes before it starts
CALL_TIMEOUT = 5.0  # seconds until all bundles have answered a call
LOOK_SECONDS = 1.0  # between two looks for a free node
MAX_LOSSES = 10  # of bundles on one node without a report in between; then the node is not used again
NUM_THREADS = 3  # of a bundle's process: its run, a poll, and another call


@dataclass
class BundleReport:
    """The answer of a bundle to a poll.

    Attributes:
        contents: reports of its workers since the poll before.
        is_ready: whether its workers play.
        is_finished: whether it has pushed all that it has learned, and reports nothing any more.
        error: that has ended it.
    """

    contents: list[Any] = field(default_factory=list)
    is_ready: bool = False
    is_finished: bool = False
    error: Exception | None = None


@dataclass
class _Bundle:
    remote: RemoteObject
    node: Node
    poll: Call
    has_answered: bool = False
    is_ready: bool = False
    is_finished: bool = False
    is_asked_to_finish: bool = False


class NodePool:
    """Runs a bundle on each of M nodes.

    A bundle is an object with the methods ``poll() -> BundleReport``, which answers within a second, and ``finish()``.
    One that is lost, or does not answer, is replaced by one with the next start number on a node that is free, the
    same one or another, now or when a node joins the cluster. A bundle that reports an error ends the pool's work.

    Args:
        cluster: that the nodes belong to.
        kind: class of the bundles.
        arguments: ``arguments(index, start)`` returns those of a bundle.
        num_nodes: ``M``.
        min_nodes: fewest bundles that the run continues with.
        num_cpus: of a node, for its bundle.
        timeout: seconds after which a bundle that does not answer is lost.

    Attributes:
        starts: of each bundle, over the whole run; a caller may set them to resume a run.
        is_ready: whether ``min_nodes`` bundles have been ready at least once.
    """

    def __init__(
        self,
        cluster: Cluster,
        kind: type,
        arguments: Callable[[int, int], tuple],
        num_nodes: int,
        min_nodes: int,
        num_cpus: int,
        timeout: float,
    ):
        self._cluster, self._kind, self._arguments = cluster, kind, arguments
        self._num_nodes, self._min_nodes, self._num_cpus, self._timeout = num_nodes, min_nodes, num_cpus, timeout
        self.starts = [0] * num_nodes
        self.is_ready = False
        self._bundles: dict[int, _Bundle] = {}
        self._inbox: deque[Any] = deque()
        self._losses: Counter[str] = Counter()  # by id of the node, since the last report from there
        self._lost_on = ""  # id of the node that has last lost a bundle
        self._looked_at = -LOOK_SECONDS
        self._few_since: float | None = None
        self._is_finishing = False

    @property
    def is_finished(self) -> bool:
        """Whether every bundle that was started has finished, and every report was received."""
        all_finished = all(bundle.is_finished for bundle in self._bundles.values())
        return self._is_finishing and all_finished and not self._inbox

    def wait_for_nodes(self) -> None:
        """Wait until ``min_nodes`` nodes are there.

        Raises:
            ConfigError: the cluster has fewer within ``NODES_TIMEOUT`` seconds.
        """
        deadline = time.monotonic() + NODES_TIMEOUT
        while len(self._free_nodes()) < self._min_nodes:
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"--num-nodes {self._num_nodes}: the cluster has {len(self._free_nodes())} nodes with "
                    f"{self._num_cpus} CPUs, as a bundle needs them; start more with: ray start "
                    "--address HOST:PORT, or give --min-nodes or fewer --num-workers"
                )
            time.sleep(LOOK_SECONDS / 4)

    def receive(self, timeout: float) -> Any:
        """The next report of any worker, or ``None`` if there is none within ``timeout`` seconds.

        Raises:
            WorkerDiedError: there are fewer than ``min_nodes`` bundles for ``JOIN_TIMEOUT`` seconds, or so many nodes
                have lost ``MAX_LOSSES`` bundles in a row that fewer than ``min_nodes`` are left.
            Exception: that has ended a bundle.
        """
        if not self._inbox:
            self._supervise(timeout)
        return self._inbox.popleft() if self._inbox else None

    def check(self) -> None:
        """Replace bundles that are lost; raises as ``receive``."""
        self._supervise(0)

    def replace_finished(self) -> None:
        """Replace every bundle that has finished by a new one."""
        for index, bundle in list(self._bundles.items()):
            if bundle.is_finished and not self._is_finishing:
                self._remove(index)
                logging.getLogger(__name__).warning(
                    "bundle %d finished, but the parameter server has lost some of its steps: a new one starts", index
                )

    def call_ready(self, method: str) -> list[Any]:
        """The answers of the bundles that are ready to a call of a method, within ``CALL_TIMEOUT`` seconds together.

        A bundle that does not answer is lost, or is not ready until it answers a poll.
        """
        calls = [(bundle, bundle.remote.start(method)) for bundle in self._bundles.values() if bundle.is_ready]
        deadline = time.monotonic() + CALL_TIMEOUT
        answers = []
        for bundle, call in calls:
            try:
                answers.append(call.result(max(deadline - time.monotonic(), 0)))
            except LostError:
                bundle.is_ready = False
        return answers

    def ask_to_finish(self) -> None:
        """Ask every bundle to finish; no other is started."""
        self._is_finishing = True
        for bundle in self._bundles.values():
            if not bundle.is_asked_to_finish:
                bundle.is_asked_to_finish = True
                bundle.remote.start("finish")

    def close(self) -> None:
        """End every bundle at once."""
        for bundle in self._bundles.values():
            bundle.remote.kill()
        self._bundles = {}

    def _usable_nodes(self) -> list[Node]:
        """Nodes with enough CPUs that have not lost ``MAX_LOSSES`` bundles in a row."""
        nodes = self._cluster.nodes()
        return [node for node in nodes if node.num_cpus >= self._num_cpus and self._losses[node.id] < MAX_LOSSES]

    def _free_nodes(self) -> list[Node]:
        """Nodes that a bundle can be started on; the one that has last lost a bundle comes last."""
        taken = {bundle.node.id for bundle in self._bundles.values()}
        free = [node for node in self._usable_nodes() if node.id not in taken]
        return sorted(free, key=lambda node: node.id == self._lost_on)

    def _supervise(self, timeout: float) -> None:
        """Start missing bundles, and take the answers of the others, after up to ``timeout`` seconds for the first."""
        self._start_missing()
        waiting = {bundle.poll: index for index, bundle in self._bundles.items() if not bundle.is_finished}
        answered = wait(waiting, timeout)
        for call, index in waiting.items():
            bundle = self._bundles[index]
            if call in answered:
                self._take_answer(index, bundle)
            elif bundle.has_answered and bundle.poll.seconds > self._timeout:
                self._lose(index, f"did not answer within {bundle.poll.seconds:.0f} s")
            elif bundle.poll.seconds > max(self._timeout, START_TIMEOUT):
                self._lose(index, f"did not start within {bundle.poll.seconds:.0f} s; are the node's CPUs in use?")

    def _take_answer(self, index: int, bundle: _Bundle) -> None:
        try:
            report: BundleReport = bundle.poll.result(self._timeout)
        except UnreachableError as error:  # repeat the poll, with the deadline of the first
            if bundle.poll.seconds > self._timeout:
                self._lose(index, str(error))
                return
            time.sleep(RETRY_SECONDS)
            since, bundle.poll = bundle.poll.since, bundle.remote.start("poll")
            bundle.poll.since = since
            return
        except LostError as error:
            self._lose(index, str(error))
            return
        if isinstance(report.error, LostError):  # the bundle has lost its parameter server
            self._lose(index, str(report.error))
            return
        if report.error is not None:
            bundle.is_finished = True
            raise report.error
        if report.contents:
            self._losses[bundle.node.id] = 0
        self._inbox.extend(report.contents)
        bundle.has_answered = True
        bundle.is_ready, bundle.is_finished = report.is_ready, report.is_finished
        num_ready = sum(bundle.is_ready for bundle in self._bundles.values())
        self.is_ready = self.is_ready or num_ready >= self._min_nodes
        if not bundle.is_finished:
            bundle.poll = bundle.remote.start("poll")

    def _lose(self, index: int, reason: str) -> None:
        bundle = self._remove(index)
        self._lost_on = bundle.node.id
        self._losses[bundle.node.id] += 1
        text = f"bundle {index} on node {bundle.node.address} was lost: {reason}"
        if self._losses[bundle.node.id] >= MAX_LOSSES:
            text += f", the {MAX_LOSSES}th time without a report in between: the node is not used again"
            if len(self._usable_nodes()) < self._min_nodes:
                raise WorkerDiedError(f"{text}, and fewer than {self._min_nodes} (min_nodes) are left")
        logging.getLogger(__name__).warning("%s", text)

    def _remove(self, index: int) -> _Bundle:
        """End a bundle at once; another is started in its place at the next opportunity."""
        bundle = self._bundles.pop(index)
        bundle.remote.kill()
        self._looked_at = -LOOK_SECONDS
        return bundle

    def _start_missing(self) -> None:
        if self._is_finishing:
            return
        missing = [index for index in range(self._num_nodes) if index not in self._bundles]
        if missing and time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._looked_at = time.monotonic()
            for index, node in zip(missing, self._free_nodes(), strict=False):
                self._start(index, node)
        if len(self._bundles) >= self._min_nodes:
            self._few_since = None
        elif self._few_since is None:
            self._few_since = time.monotonic()
        elif time.monotonic() - self._few_since > JOIN_TIMEOUT:
            raise WorkerDiedError(
                f"the run has {len(self._bundles)} nodes, and needs {self._min_nodes} (min_nodes); none joined the "
                f"cluster within {JOIN_TIMEOUT:g} s"
            )

    def _start(self, index: int, node: Node) -> None:
        start = self.starts[index]
        self.starts[index] += 1
        remote = self._cluster.create(
            self._kind,
            *self._arguments(index, start),
            node=node.id,
            num_cpus=self._num_cpus,
            num_threads=NUM_THREADS,
        )
        logging.getLogger(__name__).info("bundle %d starts on node %s", index, node.address)
        self._bundles[index] = _Bundle(remote, node, remote.start("poll"))
