"""Connections between rank 0 and the other ranks of a training: messages, failures, and which rank they are of."""

from __future__ import annotations

import json
import math
import os
import selectors
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from paddle_ac.errors import ConfigError, RankError, shortened

JOIN_SECONDS = 60.0  # that the processes of a launch may take to connect
HELLO_SECONDS = 5.0  # that a process may take to introduce itself when it has connected
MAX_HELLO_BYTES = 1 << 24  # of that introduction, with the arguments of the command
RETRY_SECONDS = 0.05  # between two attempts to connect
UPDATE_SECONDS = 30.0  # that an update of one rank may take longer than another's: gloo's timeout, which is fixed
NEWS_SECONDS = 5.0  # for news of the other ranks after gloo has failed
VERDICT_SECONDS = 10.0  # for rank 0's account of it
SIGN_OF_LIFE_SECONDS = 1.0  # between two signs of life of rank 0 while the others wait for it

_HEADER = struct.Struct("!8sQ")
_LAUNCH_VARIABLES = ("PADDLE_TRAINER_ID", "PADDLE_TRAINER_ENDPOINTS", "PADDLE_MASTER")
FAILED, LOST, ALIVE = "failed", "lost", "alive"


class Place(NamedTuple):
    """Position of a process in a launch.

    Attributes:
        rank: from 0 to ``num_ranks - 1``.
        num_ranks: processes on all machines.
        address: host and port where rank 0 listens.
        log: file to which the launcher writes the output of rank N, with ``{}`` for N; empty if other machines have it.
    """

    rank: int
    num_ranks: int
    address: tuple[str, int]
    log: str


def place_of_launch(environment: Mapping[str, str]) -> Place | None:
    """The place that ``paddle.distributed.launch`` gave to this process; ``None`` without a launch of several.

    Raises:
        ConfigError: the environment variables announce several processes, but do not give their addresses.
    """
    number = environment.get("PADDLE_TRAINERS_NUM") or "1"
    if number in ("0", "1"):
        return None
    missing = [name for name in _LAUNCH_VARIABLES if not environment.get(name)]
    if missing:
        raise ConfigError(
            f"PADDLE_TRAINERS_NUM is {shortened(number)} without {', '.join(missing)}: start several processes with "
            "python -m paddle.distributed.launch, or unset PADDLE_TRAINERS_NUM to train in one"
        )
    host, _, port = environment["PADDLE_TRAINER_ENDPOINTS"].split(",")[0].rpartition(":")
    for name, text in (("PADDLE_TRAINERS_NUM", number), ("PADDLE_TRAINER_ID", environment["PADDLE_TRAINER_ID"])):
        if not text.isdecimal():
            raise ConfigError(f"{name} is {shortened(text)}, not a number: unset it, or start with the launcher")
    if not port.isdecimal():
        raise ConfigError("PADDLE_TRAINER_ENDPOINTS must be HOST:PORT,...: unset it, or start with the launcher")
    folder = environment.get("PADDLE_LOG_DIR") if environment.get("PADDLE_NNODES", "1") == "1" else None
    log = os.path.join(os.path.relpath(folder), "workerlog.{}") if folder else ""
    rank, num_ranks = int(environment["PADDLE_TRAINER_ID"]), int(environment["PADDLE_TRAINERS_NUM"])
    return Place(rank, num_ranks, (host, int(port)), log)


class Links:
    """Messages between rank 0 and each other rank, over TCP without authentication.

    A message is a kind and bytes. A rank that fails sends its reason before it ends. A connection that ends without one
    means that its rank was killed.

    Args:
        place: of this process.
        arguments: of the command, which must be those of rank 0.

    Raises:
        RankError: a rank has not connected within ``JOIN_SECONDS``.
        ConfigError: on rank 0, a rank that was started with other arguments.
    """

    def __init__(self, place: Place, arguments: list[str]):
        self.place = place
        self.rank, self.num_ranks = place.rank, place.num_ranks
        self._sockets: dict[int, socket.socket] = {}
        self._has_reported = False
        self._sign_of_life_at = time.monotonic()
        try:
            if self.rank:
                self._connect(arguments)
            else:
                self._accept(arguments)
        except BaseException as error:
            self.report(error, 2 if isinstance(error, ConfigError) else 1)
            self.close()
            raise

    @property
    def others(self) -> Iterable[int]:
        """The ranks that this one is connected with: all others for rank 0, and rank 0 for all others."""
        return list(self._sockets)

    def _accept(self, arguments: list[str]) -> None:
        deadline = time.monotonic() + JOIN_SECONDS
        with socket.create_server(self.place.address, backlog=self.num_ranks) as server:
            while len(self._sockets) < self.num_ranks - 1:
                server.settimeout(max(deadline - time.monotonic(), 0.001))
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    missing = set(range(1, self.num_ranks)) - self._sockets.keys()
                    raise RankError(f"{self._names(missing)} did not start within {JOIN_SECONDS:g} s") from None
                try:
                    rank, theirs = self._read_hello(connection)
                except (OSError, ValueError, RecursionError):  # not one of the ranks
                    connection.close()
                    continue
                self._add(rank, connection)
                if theirs != arguments:
                    here, there = (shortened(" ".join(flags)) or "no flags" for flags in (arguments, theirs))
                    raise ConfigError(
                        f"{self._names([rank])} was started with {there}, rank 0 with {here}: start the same command "
                        "on every machine"
                    )

    def _read_hello(self, connection: socket.socket) -> tuple[int, list[str]]:
        """Rank and arguments of a process that has connected.

        Raises:
            OSError: it sent nothing in time, or has ended.
            ValueError, RecursionError: it is not a rank that rank 0 waits for.
        """
        match json.loads(_receive(connection, HELLO_SECONDS, MAX_HELLO_BYTES)[1]):
            case [int(rank), [*arguments]] if all(isinstance(argument, str) for argument in arguments):
                if type(rank) is int and 1 <= rank < self.num_ranks and rank not in self._sockets:
                    return rank, arguments
        raise ValueError("not a rank that is missing")

    def _connect(self, arguments: list[str]) -> None:
        deadline = time.monotonic() + JOIN_SECONDS
        while True:
            try:
                connection = socket.create_connection(self.place.address, timeout=JOIN_SECONDS)
                break
            except OSError:
                if time.monotonic() > deadline:
                    host, port = self.place.address
                    raise RankError(
                        f"rank {self.rank} cannot reach rank 0 at {host}:{port} within {JOIN_SECONDS:g} s"
                    ) from None
                time.sleep(RETRY_SECONDS)
        self._add(0, connection)
        self.send(0, "hello", json.dumps([self.rank, arguments]).encode())

    def _add(self, rank: int, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets[rank] = connection

    def send(self, rank: int, kind: str, data: bytes = b"") -> None:
        """Send a message.

        Raises:
            RankError: the rank has ended, or does not read.
        """
        connection = self._sockets[rank]
        connection.settimeout(UPDATE_SECONDS)
        try:
            connection.sendall(_HEADER.pack(kind.encode(), len(data)) + data)
        except TimeoutError:
            raise self._stuck([rank], UPDATE_SECONDS) from None
        except OSError:
            raise self.explain() from None

    def send_all(self, kind: str, data: bytes = b"") -> None:
        """Send a message to all other ranks; ``RankError`` as ``send``."""
        for rank in self.others:
            self.send(rank, kind, data)

    def receive(self, rank: int, timeout: float) -> tuple[str, bytes]:
        """Wait for a message.

        Args:
            rank: from which.
            timeout: in seconds, counted from its last sign of life.

        Raises:
            RankError: the rank has failed, ended or sent nothing in time.
        """
        while True:
            try:
                kind, data = _receive(self._sockets[rank], timeout)
            except TimeoutError:
                raise self._stuck([rank], timeout) from None
            except OSError:
                raise self._gone(rank) from None
            if kind == FAILED:
                raise self._failure(data)
            if kind == LOST:
                raise self.explain()
            if kind != ALIVE:
                return kind, data

    def check(self) -> None:
        """Show the waiting ranks that rank 0 is at work; raise ``RankError`` if one of them has failed or ended."""
        now = time.monotonic()
        if now - self._sign_of_life_at < SIGN_OF_LIFE_SECONDS:
            return
        self._sign_of_life_at = now
        self.raise_failure()
        self.send_all(ALIVE)

    def raise_failure(self) -> None:
        """Raise ``RankError`` if a rank has failed or ended, while no rank sends anything else."""
        for rank in self._readable(0.0):
            self.receive(rank, UPDATE_SECONDS)

    def explain(self) -> RankError:
        """Find which rank is the reason that ranks have lost each other; rank 0 also sends it to the others."""
        if self.rank:
            return self._verdict_of_rank_0()
        waiting = set(self.others)
        deadline = time.monotonic() + NEWS_SECONDS
        while waiting and (left := deadline - time.monotonic()) > 0:
            for rank in self._readable(left):
                try:
                    kind, data = _receive(self._sockets[rank], NEWS_SECONDS)
                except OSError:
                    return self._gone(rank)
                if kind == FAILED:
                    return self._failure(data)
                if kind == LOST:
                    waiting.discard(rank)
        if waiting:
            return self._stuck(waiting, UPDATE_SECONDS)
        return RankError("the ranks have lost their connections with each other, though all of them are running")

    def _verdict_of_rank_0(self) -> RankError:
        try:
            self._sockets[0].sendall(_HEADER.pack(LOST.encode(), 0))
            while True:
                kind, data = _receive(self._sockets[0], VERDICT_SECONDS)
                if kind == FAILED:
                    return self._failure(data)
        except TimeoutError:
            return self._stuck([0], UPDATE_SECONDS)
        except OSError:
            return self._gone(0)

    def report(self, error: BaseException, exit_code: int) -> bool:
        """Send the reason for which this process ends to the others, once; returns whether all of them got it."""
        if self._has_reported:
            return True
        self._has_reported = True
        text = shortened(str(error).partition("\n")[0]) or type(error).__name__
        if isinstance(error, KeyboardInterrupt):
            text = f"{self._names([self.rank])} was interrupted"
        elif not isinstance(error, RankError):
            text = f"{self._names([self.rank])} failed: {text}"
        data, has_reached_all = json.dumps([exit_code, text]).encode(), True
        for connection in self._sockets.values():
            connection.settimeout(1.0)
            try:
                connection.sendall(_HEADER.pack(FAILED.encode(), len(data)) + data)
            except OSError:
                has_reached_all = False
        return has_reached_all and bool(self._sockets)

    def close(self) -> None:
        """Close the connections."""
        for connection in self._sockets.values():
            with suppress(OSError):
                connection.close()

    def _readable(self, timeout: float) -> list[int]:
        with selectors.DefaultSelector() as selector:
            for rank, connection in self._sockets.items():
                selector.register(connection, selectors.EVENT_READ, rank)
            return [key.data for key, _ in selector.select(timeout)]

    def _names(self, ranks: Iterable[int]) -> str:
        ranks = sorted(ranks)
        return f"rank{'s' * (len(ranks) > 1)} {' and '.join(map(str, ranks))} of {self.num_ranks}"

    def _log_of(self, rank: int) -> str:
        return f" (its output: {self.place.log.format(rank)})" if self.place.log else ""

    def _gone(self, rank: int) -> RankError:
        return self._lost(f"{self._names([rank])} has ended without a message{self._log_of(rank)}")

    def _stuck(self, ranks: Iterable[int], seconds: float) -> RankError:
        return self._lost(f"{self._names(ranks)} gave no answer within {seconds:g} s")

    def _lost(self, text: str) -> RankError:
        return self._known_to_all(RankError(f"{text}; --resume continues from the last checkpoint"))

    def _failure(self, data: bytes) -> RankError:
        exit_code, text = json.loads(data)
        return self._known_to_all(RankError(text, exit_code))

    def _known_to_all(self, error: RankError) -> RankError:
        if not self.rank:
            self.report(error, error.exit_code)
        return error


def _receive(connection: socket.socket, timeout: float, max_bytes: float = math.inf) -> tuple[str, bytes]:
    """Receive kind and bytes of the next message.

    Raises:
        OSError: the connection ended; ``TimeoutError`` if nothing arrives.
        ValueError: the message has more than ``max_bytes``, or its kind is not text.
    """
    connection.settimeout(timeout)
    kind, size = _HEADER.unpack(_receive_bytes(connection, _HEADER.size))
    if size > max_bytes:
        raise ValueError(f"a message of {size} bytes, of {max_bytes} at most")
    return kind.rstrip(b"\0").decode(), _receive_bytes(connection, size)


def _receive_bytes(connection: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            raise ConnectionResetError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
