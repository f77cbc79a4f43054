"""Ray: the connection to a cluster, and objects on its nodes. Ray is imported here and nowhere else, on demand."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from multiprocessing_env import WorkerDiedError
from paddle_ac.errors import ConfigError, needs, shortened
from paddle_ac.process import imports_contained

CONNECT_TIMEOUT = 10.0  # seconds until an address must have answered
LOCAL_TIMEOUT = 60.0  # seconds until Ray must have started on this machine
CREATE_TIMEOUT = 30.0  # seconds until the name of a lost object is free again
RETRY_SECONDS = 0.2  # between two calls of an object that cannot be reached

AUTO = "auto"
LOCAL = "local"  # Ray's name for one that starts on this machine
MAX_PORT = 65535


class LostError(RuntimeError):
    """A remote object that has ended, or that cannot be reached."""


class UnreachableError(LostError):
    """A remote object that cannot be reached for the moment; a call may have arrived or not."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        id: of Ray.
        address: its IP address.
        num_cpus: that Ray may use there.
    """

    id: str
    address: str
    num_cpus: float


class Call:
    """A call of a remote object, under way or answered.

    Args:
        reference: of Ray.
    """

    def __init__(self, reference: Any):
        self.reference = reference
        self.since = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the call."""
        return time.monotonic() - self.since

    def result(self, timeout: float) -> Any:
        """Return the answer, or raise the exception that the method raised.

        Raises:
            LostError: the object has ended, or has not answered within ``timeout`` seconds.
            UnreachableError: the connection is interrupted.
        """
        import ray

        try:
            return ray.get(self.reference, timeout=timeout)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, Exception):
                raise error.cause from None
            raise
        except ray.exceptions.GetTimeoutError:
            raise LostError(f"did not answer within {timeout:g} s") from None
        except ray.exceptions.ActorUnavailableError as error:
            raise UnreachableError(_reason(error)) from None
        except ray.exceptions.RayError as error:
            raise LostError(_reason(error)) from None


class RemoteObject:
    """An object in a process of its own on a node of the cluster.

    Args:
        handle: of Ray.
    """

    def __init__(self, handle: Any):
        self._handle = handle

    def start(self, method: str, *arguments: Any) -> Call:
        """Call a method without waiting for its answer."""
        return Call(getattr(self._handle, method).remote(*arguments))

    def kill(self) -> None:
        """End the process at once."""
        import ray

        with suppress(ray.exceptions.RayError):
            ray.kill(self._handle)


class Cluster:
    """The connection of a run to a Ray cluster. All that the run creates there ends with the run's process.

    Args:
        address: ``"auto"``, for the cluster that this machine belongs to, or ``host:port`` of its head. ``None`` takes
            the connection that this process already has, and ``close`` leaves that open. If there is none, it starts
            Ray on this machine, which ends with the connection.
        feature: the option that needs Ray, for errors.
        name: what errors call the address.

    Attributes:
        namespace: in which the names of this run's objects are unique.

    Raises:
        ConfigError: Ray is missing, no cluster answers, or this machine does not belong to it.
    """

    def __init__(self, address: str | None, feature: str = "--cluster", name: str = ""):
        ray = import_ray(feature)
        self._name = name or f"{feature} {address}"
        self.namespace = f"paddle_ac-{uuid.uuid4().hex}"
        self._is_own = not ray.is_initialized()
        self._closing = threading.Event()
        if address is not None and not self._is_own:
            raise ConfigError("this process uses a Ray cluster already: call ray.shutdown() first")
        if address not in (AUTO, None):
            self._check_answers(address)
        if self._is_own:
            self._connect(address)
        self.here = ray.get_runtime_context().get_node_id()

    def _connect(self, address: str | None) -> None:
        """Call ``ray.init`` in a thread, because it waits for two minutes for a cluster that does not answer.

        The thread lives as long as the connection: the kernel ends the processes of a local Ray with the thread that
        started them.
        """
        import ray

        failure: list[Exception] = []
        connected, abandoned = threading.Event(), threading.Event()

        def hold_connection() -> None:
            if address is None and hasattr(signal, "pthread_sigmask"):  # Ray ends its own processes by SIGTERM
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGHUP})
            try:
                ray.init(
                    address=address or LOCAL,
                    namespace=self.namespace,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    include_dashboard=False if address is None else None,
                )
            except Exception as error:
                failure.append(error)
            connected.set()
            self._closing.wait()
            if abandoned.is_set():
                ray.shutdown()

        timeout = LOCAL_TIMEOUT if address is None else CONNECT_TIMEOUT
        try:
            with imports_contained():  # Ray installs handlers of signals, as imports do
                threading.Thread(target=hold_connection, name="ray", daemon=True).start()
                connected.wait(timeout)
            if not connected.is_set():
                hint = "" if address is None else "; one that wants a token needs the variable RAY_AUTH_MODE=token"
                raise ConfigError(f"{self._name}: no Ray cluster answers within {timeout:g} s{hint}")
            if failure and address == AUTO:
                raise ConfigError(
                    f"{self._name}: this machine belongs to no Ray cluster; start one with: ray start --head"
                )
            if failure:
                raise ConfigError(f"{self._name}: {_reason(failure[0])}")
        except BaseException:  # Ctrl-C, too
            abandoned.set()
            self._closing.set()
            raise

    def _check_answers(self, address: str) -> None:
        """Raise ``ConfigError`` unless something answers at ``host:port``."""
        host, _, port = address.rpartition(":")
        if "/" in host or not (host and port.isdecimal() and 1 <= int(port) <= MAX_PORT):
            raise ConfigError(
                f"{self._name}: give auto or host:port with a port from 1 to {MAX_PORT}, such as 10.0.0.1:6379"
            )
        try:
            socket.create_connection((host, int(port)), CONNECT_TIMEOUT).close()
        except OSError as error:
            raise ConfigError(
                f"{self._name} does not answer ({shortened(str(error))}); start a cluster there with: ray start "
                f"--head --port {port}"
            ) from None

    def nodes(self) -> list[Node]:
        """The machines that are up, this one first."""
        import ray

        found = [
            Node(node["NodeID"], node["NodeManagerAddress"], node["Resources"].get("CPU", 0.0))
            for node in ray.nodes()
            if node["Alive"]
        ]
        return sorted(found, key=lambda node: (node.id != self.here, node.id))

    def create(
        self,
        kind: type,
        *arguments: Any,
        node: str,
        num_cpus: float = 0,
        name: str | None = None,
        num_threads: int = 1,
    ) -> RemoteObject:
        """Create ``kind(*arguments)`` in a process on a node, without waiting for it.

        Args:
            kind: class of a module that every node can import.
            arguments: that can be pickled.
            node: id of the node.
            num_cpus: of the node, reserved for the object.
            name: by which ``find`` finds it. The name of an object that was killed is free a moment later.
            num_threads: calls that run at the same time.

        Raises:
            WorkerDiedError: the name is still taken after ``CREATE_TIMEOUT`` seconds.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        options = {
            "num_cpus": num_cpus,
            "max_concurrency": num_threads,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False),
        }
        if name is not None:
            options["name"] = name
        deadline = time.monotonic() + CREATE_TIMEOUT
        while True:
            try:
                return RemoteObject(ray.remote(kind).options(**options).remote(*arguments))
            except ValueError as error:
                if name is None or "already taken" not in str(error):  # older versions of Ray have no type for it
                    raise
                if time.monotonic() > deadline:
                    raise WorkerDiedError(f"{name} did not end within {CREATE_TIMEOUT:g} s") from None
                time.sleep(RETRY_SECONDS)

    @property
    def is_open(self) -> bool:
        """Whether the connection is there; any call without it would make Ray open another."""
        import ray

        return ray.is_initialized()

    def close(self) -> None:
        """Leave the cluster; all that this run created there ends."""
        import ray

        if self._is_own:
            ray.shutdown()
        self._closing.set()


def find(name: str) -> RemoteObject | None:
    """The object of this name that the same run created, if there is one; for objects on other nodes."""
    import ray

    try:
        return RemoteObject(ray.get_actor(name))
    except (ValueError, ray.exceptions.RayError):
        return None


def wait(calls: Iterable[Call], timeout: float | None) -> list[Call]:
    """Return the calls that are answered, or whose object is lost, after up to ``timeout`` seconds for the first.

    Without a timeout, there must be calls to wait for.
    """
    import ray

    by_reference = {call.reference: call for call in calls}
    if not by_reference and timeout is not None:
        time.sleep(timeout)
        return []
    ready, _ = ray.wait(list(by_reference), num_returns=1, timeout=timeout)
    more, _ = ray.wait(list(by_reference), num_returns=len(by_reference), timeout=0)
    return [by_reference[reference] for reference in {*ready, *more}]


def import_ray(feature: str) -> Any:
    """Import Ray; ``ConfigError``, which names ``feature``, if it is not installed."""
    with imports_contained():
        try:
            import ray
        except ImportError:
            raise ConfigError(needs(feature, "ray")) from None
    return ray


def _reason(error: Exception) -> str:
    """The cause of an error of Ray's in one line."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if getattr(error, "actor_init_failed", False):  # the last line of a traceback
        return f"it could not be created: {shortened(lines[-1])}"
    return shortened(lines[0])
