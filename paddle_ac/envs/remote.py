"""Environments in workers on the nodes of a Ray cluster."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from multiprocessing_env import (
    STEP,
    STEPPED,
    EnvServer,
    MemoryLayout,
    ObservationRows,
    Worker,
    WorkerVecEnv,
    end_child_processes,
    memory_layout,
    observation_rows,
    pickle_message,
    unpickle_message,
)
from paddle_ac.processes.cluster import LOCAL, Call, Cluster, LostError, Node, RemoteObject, import_ray, wait

FEATURE = "--vec ray"
FETCH_TIMEOUT = 10.0  # seconds until an answer that has arrived is read

# Observations, as one array or those of the parts of a Dict or Tuple space, rewards and dones.
Arrays = tuple[Any, np.ndarray, np.ndarray]


class RayVecEnv(WorkerVecEnv):
    """``N`` environments in workers on the nodes of a Ray cluster, with everything else as in ``SubprocVecEnv``.

    A worker is an actor of Ray's. A step sends it its actions, and it answers with observations, rewards, dones and
    infos. The cluster is that of the process if it is connected to one, else that of the environment variable
    ``RAY_ADDRESS`` (``auto`` or ``host:port``). Without either, Ray starts on this machine and ends with the last of
    the process's environments there.

    Workers reserve no CPUs. They are spread over the nodes in proportion to the CPUs that Ray may use there.

    Raises:
        ConfigError: Ray is missing, or the cluster cannot be reached.
        ValueError, TypeError, EnvironmentFailedError, WorkerTimeoutError: as ``SubprocVecEnv``.
        WorkerDiedError: a worker could not be created.
    """

    _cluster: Cluster | None = None

    def _start(
        self, env_fns: list[Callable[[], Any]], spaces: tuple[Any, Any] | None, seed: int | Sequence[int] | None
    ) -> None:
        self._cluster = _shared_cluster.join()
        self._places = iter(spread(self._cluster.nodes(), len(self._chosen)))
        super()._start(env_fns, spaces, seed)

    def _start_worker(self, name: str, chosen: slice, entropy: Sequence[int] | None) -> Worker:
        assert self._cluster is not None, "joined in _start"
        node = next(self._places)
        arguments = (chosen.start, chosen.stop - chosen.start, entropy)
        remote = self._cluster.create(RemoteEnvs, *arguments, node=node.id)
        return _RemoteWorker(f"{name} on node {node.address}", remote)

    def _allocate(self, layout: MemoryLayout, deadline: float | None) -> list[np.ndarray]:
        actions, observations, rewards, dones = arrays = [np.zeros(shape, dtype) for shape, dtype in layout]
        rows = observation_rows(self.observation_space, observations)
        for worker, chosen in zip(self._workers, self._chosen, strict=True):
            worker.channel.share(actions[chosen], rows[chosen], rewards[chosen], dones[chosen])
        return arrays

    def _answered(self, indices: Sequence[int], timeout: float | None) -> list[int]:
        by_call = {self._workers[index].channel.call: index for index in indices}
        return sorted(by_call[call] for call in wait(by_call, timeout))

    def _stop(self, patience: float) -> None:
        self.closed = True
        cluster, self._cluster = self._cluster, None
        if cluster is None:  # it was stopped before, or has not started
            return
        try:
            if cluster.is_open:
                super()._stop(patience)
        finally:
            _shared_cluster.leave()


def spread(nodes: Sequence[Node], num_workers: int) -> list[Node]:
    """The node of each of ``num_workers`` workers, in proportion to the CPUs of the nodes.

    Args:
        nodes: of the cluster; those without CPUs get no worker, unless none has any.
        num_workers: of the workers.
    """
    with_cpus = [node for node in nodes if node.num_cpus > 0]
    load: Counter[str] = Counter()
    places = []
    for _ in range(num_workers):
        place = min(with_cpus or nodes, key=lambda node: (load[node.id] + 1) / (node.num_cpus or 1))
        load[place.id] += 1
        places.append(place)
    return places


class RemoteEnvs:
    """The environments of one worker, in a process on a node.

    Args:
        first_index: index of the first of them.
        num_envs: their number ``n``.
        entropy: as that of ``EnvServer``.
    """

    def __init__(self, first_index: int, num_envs: int, entropy: Sequence[int] | None):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what follows Ctrl-C
        self._server = EnvServer(first_index, entropy)
        self._num_envs = num_envs

    def answer(self, pickled_request: bytes) -> tuple[bytes | None, Arrays | None]:
        """Serve a request other than a step; returns the pickled answer, and arrays after a reset."""
        try:
            request = unpickle_message(pickled_request)
        except pickle.UnpicklingError as error:
            return self._server.refuse(error), None
        command, arguments = request
        if command == "make":
            return self._make(*arguments), None
        answer = self._server.answer(request)
        return answer, self._arrays() if command == "reset" else None

    def step(self, actions: np.ndarray) -> tuple[bytes | None, Arrays | None]:
        """Step the environments; returns as ``answer``.

        Args:
            actions: ``[n, *action_space.shape]``.
        """
        self._actions[...] = actions
        return self._server.answer(STEP), self._arrays()

    def close(self) -> None:
        """Close the environments, and end the processes that they have started and left."""
        self._server.close()
        end_child_processes()

    def _make(self, pickled_env_fns: bytes) -> bytes:
        answer = self._server.make(pickled_env_fns)
        if self._server.has_failed:
            return answer
        try:
            layout = memory_layout(self._server.spaces, self._num_envs)
            self._actions, memory, self._rewards, self._dones = (np.zeros(shape, dtype) for shape, dtype in layout)
        except MemoryError as error:
            return self._server.fail(error)
        self._rows = observation_rows(self._server.spaces[0], memory)
        self._server.share(self._actions, self._rows, self._rewards, self._dones)
        return answer

    def _arrays(self) -> Arrays:
        observations = self._rows.arrays if isinstance(self._rows, ObservationRows) else self._rows
        return observations, self._rewards, self._dones


class _RemoteChannel:
    """Requests to ``RemoteEnvs`` and its answers, as a ``Channel`` carries them; arrays stand for shared memory.

    Attributes:
        call: of the latest request.
        failure: why the actor is gone; empty as long as it is not known to be.
    """

    def __init__(self, remote: RemoteObject):
        self._remote = remote
        self.call: Call
        self.failure = ""

    def share(self, actions: np.ndarray, observations: Any, rewards: np.ndarray, dones: np.ndarray) -> None:
        """Set the arrays that actions are sent from and that results are written to; as ``EnvServer.share``."""
        self._actions, self._observations, self._rewards, self._dones = actions, observations, rewards, dones

    def send(self, message: tuple | None, timeout: float | None = None) -> None:
        if message is STEP:
            self.call = self._remote.start("step", self._actions)
        elif message[0] == "close":
            self.call = self._remote.start("close")
        else:
            self.call = self._remote.start("answer", pickle_message(message))

    def recv(self, timeout: float | None = None) -> Any:
        if not wait([self.call], timeout):
            raise TimeoutError
        try:
            answer, arrays = self.call.result(FETCH_TIMEOUT)
        except LostError as error:
            self.failure = str(error)
            raise EOFError from None
        if arrays is not None:
            self._observations[...], self._rewards[...], self._dones[...] = arrays
        return STEPPED if answer is None else unpickle_message(answer)

    def close(self) -> None:
        """Nothing is to be released."""


class _RemoteWorker:
    """A ``Worker`` that is an actor.

    Args:
        name: what messages call it.
        remote: ``RemoteEnvs``.
    """

    def __init__(self, name: str, remote: RemoteObject):
        self.name = name
        self.channel = _RemoteChannel(remote)
        self._remote = remote

    def end(self, patience: float) -> bool:
        ended = bool(wait([self.channel.call], patience))
        self.kill()
        return ended

    def kill(self) -> None:
        self._remote.kill()

    def how_it_ended(self) -> str:
        return f"was lost: {self.channel.failure}"


class _SharedCluster:
    """The connection to a cluster that the environments of this process share: the last one to leave closes it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # an object that is collected leaves, too
        self._cluster: Cluster | None = None
        self._num_users = 0

    def join(self) -> Cluster:
        """The connection; ``ConfigError`` if there can be none."""
        with self._lock:
            if self._cluster is None:
                self._cluster = _connect()
            self._num_users += 1
            return self._cluster

    def leave(self) -> None:
        """Give up a connection that ``join`` has returned."""
        with self._lock:
            self._num_users -= 1
            if not self._num_users and self._cluster is not None:
                cluster, self._cluster = self._cluster, None
                cluster.close()


def _connect() -> Cluster:
    address = os.environ.get("RAY_ADDRESS")
    if address in ("", LOCAL, None) or import_ray(FEATURE).is_initialized():
        return Cluster(None, FEATURE, f"{FEATURE} on this machine")
    return Cluster(address, FEATURE, f"{FEATURE} with RAY_ADDRESS={address}")


_shared_cluster = _SharedCluster()
