"""The shards of a parameter server as remote objects: for the bundles, and for the process that supervises them."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from multiprocessing_env import WorkerDiedError
from paddle_ac.processes.cluster import (
    CREATE_TIMEOUT,
    RETRY_SECONDS,
    Call,
    Cluster,
    LostError,
    RemoteObject,
    UnreachableError,
    find,
)
from paddle_ac.processes.parameter_server import (
    Moments,
    ParameterServer,
    Pull,
    Push,
    ServerState,
    Status,
    partition,
)

MAX_RESTORES = 10  # of one shard without an answer in between; then the run ends
ANSWER_TIMEOUT = 10.0  # seconds until a call that may have been lost is repeated


def restore_timeout(node_timeout: float) -> float:
    """Seconds within which a stuck shard is found by its supervisor, which may just have had an answer, and restored.

    Args:
        node_timeout: seconds after which the supervisor takes a shard that does not answer for lost.
    """
    return 2 * node_timeout + CREATE_TIMEOUT


def shard_name(shard: int) -> str:
    """The name of the remote object of a shard."""
    return f"parameter-server-{shard}"


class RemoteShards:
    """The shards as a bundle reaches them: a call that is lost is repeated until ``timeout`` seconds have passed.

    A push that arrives twice is applied once. A shard that was lost is found again by its name.

    Args:
        num_shards: ``S``.
        timeout: in seconds; see ``restore_timeout``.
    """

    def __init__(self, num_shards: int, timeout: float):
        self._objects: list[RemoteObject | None] = [None] * num_shards
        self._timeout = timeout

    def push(self, pushes: list[Push]) -> list[Pull]:
        """See ``Shards.push``; ``LostError`` if a shard cannot be reached in time."""
        return self._call_all("push", [(push,) for push in pushes])

    def pull(self) -> list[Pull]:
        """See ``Shards.pull``; ``LostError`` if a shard cannot be reached in time."""
        return self._call_all("pull", [()] * len(self._objects))

    def _call_all(self, method: str, arguments: Sequence[tuple]) -> list[Any]:
        deadline = time.monotonic() + self._timeout
        calls = [self._start(shard, method, given) for shard, given in enumerate(arguments)]
        answers = []
        for shard, given in enumerate(arguments):
            call = calls[shard]
            while True:
                try:
                    if call is None:
                        raise LostError("is not there")
                    answers.append(call.result(min(ANSWER_TIMEOUT, self._timeout)))
                    break
                except LostError as error:
                    if time.monotonic() > deadline:
                        raise LostError(
                            f"{shard_name(shard)} was not reached within {self._timeout:g} s: {error}"
                        ) from None
                time.sleep(RETRY_SECONDS)
                self._objects[shard] = None
                call = self._start(shard, method, given)
        return answers

    def _start(self, shard: int, method: str, arguments: tuple) -> Call | None:
        server = self._objects[shard] = self._objects[shard] or find(shard_name(shard))
        return None if server is None else server.start(method, *arguments)


class ServerGroup:
    """Starts the shards of a parameter server, and restores a shard that is lost from its latest snapshot.

    Args:
        cluster: on whose nodes they are.
        num_shards: ``S``, each on the next node; the first is on this machine's.
        timeout: seconds after which a shard that does not answer is lost.
        max_staleness: as for ``ParameterServer``.
    """

    def __init__(self, cluster: Cluster, num_shards: int, timeout: float, max_staleness: float):
        self._cluster = cluster
        self._num_shards = num_shards
        self._timeout = timeout
        self._max_staleness = max_staleness
        self._servers: list[RemoteObject] = []
        self._snapshots: list[ServerState] = []
        self._statuses: list[Status] = []

    def start(self, vector: np.ndarray, node_steps: np.ndarray, node_updates: np.ndarray, moments: Moments) -> None:
        """Start the shards with parameters ``[P]``, counters ``[M]`` and moments."""
        nodes = self._cluster.nodes()
        for shard, part in enumerate(partition(len(vector), self._num_shards)):
            of_shard = {} if shard else moments
            self._snapshots.append(ServerState(vector[part].copy(), node_steps, node_updates, of_shard))
            self._statuses.append(Status(node_steps, node_updates, 0, 0, [], [], {}))
            self._servers.append(self._create(shard, nodes[shard % len(nodes)].id))

    def status(self) -> Status:
        """The counters of all bundles, the bytes of all shards, and the staleness of the deltas since the last call.

        Raises:
            WorkerDiedError: a shard was lost ``MAX_RESTORES`` times in a row.
        """
        self._statuses = self._call_each("status", range(self._num_shards))  # a lost shard is noticed here
        num_bytes = sum(status.num_bytes for status in self._statuses)
        return dataclasses.replace(self._statuses[0], num_bytes=num_bytes)

    def pull(self) -> tuple[np.ndarray, Moments]:
        """The current parameters ``[P]``, and the moments; ``WorkerDiedError`` as ``status``."""
        pulls: list[Pull] = self._call_each("pull", range(self._num_shards))
        return np.concatenate([pull.vector for pull in pulls]), pulls[0].moments

    def snapshot(self) -> tuple[np.ndarray, ServerState]:
        """Take the snapshots that lost shards are restored from.

        Returns:
            the parameters ``[P]`` and the first shard's snapshot; ``WorkerDiedError`` as ``status``.
        """
        self._snapshots = self._call_each("snapshot", range(self._num_shards))
        return np.concatenate([state.vector for state in self._snapshots]), self._snapshots[0]

    def _call_each(self, method: str, shards: Sequence[int]) -> list[Any]:
        calls = [(shard, self._servers[shard].start(method)) for shard in shards]
        return [self._answer(shard, method, call) for shard, call in calls]

    def _answer(self, shard: int, method: str, call: Call) -> Any:
        deadline, num_restores = time.monotonic() + self._timeout, 0
        while True:
            try:
                return call.result(self._timeout)
            except LostError as error:
                if isinstance(error, UnreachableError) and time.monotonic() < deadline:
                    time.sleep(RETRY_SECONDS)
                elif num_restores == MAX_RESTORES:
                    raise WorkerDiedError(f"{shard_name(shard)} was lost {MAX_RESTORES} times in a row") from None
                else:
                    logging.getLogger(__name__).warning(
                        "%s was lost (%s) and is restored from its latest snapshot", shard_name(shard), error
                    )
                    self._restore(shard)
                    num_restores += 1
            call = self._servers[shard].start(method)

    def _restore(self, shard: int) -> None:
        """Start a shard again, on this machine, whose node is certainly up.

        Its counters do not fall behind those that were already reported, and count no push that these contain again.
        """
        self._servers[shard].kill()
        state, status = self._snapshots[shard], self._statuses[shard]
        state.node_steps = np.maximum(state.node_steps, status.node_steps)
        state.node_updates = np.maximum(state.node_updates, status.node_updates)
        for bundle, push in status.applied.items():
            state.applied[bundle] = max(state.applied.get(bundle, push), push)
        self._servers[shard] = self._create(shard, self._cluster.here)

    def _create(self, shard: int, node: str) -> RemoteObject:
        arguments = self._snapshots[shard], self._max_staleness
        return self._cluster.create(ParameterServer, *arguments, node=node, name=shard_name(shard))
