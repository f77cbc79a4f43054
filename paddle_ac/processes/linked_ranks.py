"""Ranks of a synchronous training: processes that play apart and learn together, by ``paddle.distributed``."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from paddle_ac.checkpoint import pack_state, unpack_state
from paddle_ac.errors import RankError
from paddle_ac.process import STOP_SIGNALS
from paddle_ac.processes.links import JOIN_SECONDS, RETRY_SECONDS, UPDATE_SECONDS, Links
from paddle_ac.processes.ranks import BY_PROGRAM, Episodes, Ranks

START_SECONDS = 600.0  # that rank 0 may take until it knows what to train
ROOM = (
    16  # numbers behind a gradient in the vector that is averaged: figures, and how many ranks make each stop request
)
STOP_REQUESTS = (*STOP_SIGNALS, BY_PROGRAM)


class LinkedRanks(Ranks):
    """Several processes. What they compute together is the same, bit for bit, in each of them.

    Args:
        links: between rank 0 and the others.

    Attributes:
        patience: seconds for which ranks wait at the start and for rank 0's next sign of life.

    Raises:
        RankError: from every method that waits for other ranks, if one has failed, ended or is stuck.
    """

    def __init__(self, links: Links):
        self.links = links
        self.rank, self.num_ranks = links.rank, links.num_ranks
        self._all_reduce: Callable[[np.ndarray], None]
        self.patience = START_SECONDS
        self._request: int | None = None  # of this rank
        self._agreed: int | None = None  # of all ranks
        self._has_ended = False

    def connect(self) -> None:
        """Connect all ranks by gloo, when all of them are ready for it."""
        if self.rank:
            self._wait_for_store()
        self._all_reduce = connect_gloo()

    def zeros(self, size: int) -> np.ndarray:
        return np.zeros(size + ROOM, np.float32)[:size]

    def mean_in_place(self, vector: np.ndarray, figures: np.ndarray) -> np.ndarray:
        whole, size, end = vector.base, len(vector), len(vector) + len(figures)
        assert isinstance(whole, np.ndarray)
        whole[size:end] = figures
        requests = whole[-len(STOP_REQUESTS) :]
        requests[:] = [request == self._request for request in STOP_REQUESTS]
        self._sum_in_place(whole)
        if self._agreed is None and requests.any():
            self._agreed = int(STOP_REQUESTS[requests.argmax()])
        whole /= np.float32(self.num_ranks)
        return whole[size:end].astype(figures.dtype)

    def pool(self, mean: np.ndarray, variance: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, int]:
        parts = np.zeros((self.num_ranks, 2, *np.shape(mean)))
        parts[self.rank] = mean, variance
        self._sum_in_place(parts)  # the others' parts are zeros: nothing is rounded
        means, variances = parts[:, 0], parts[:, 1]
        return means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0), count * self.num_ranks

    def draw_rows(self, generator: np.random.Generator) -> np.random.Generator:
        return _RowsOfGenerator(generator.bit_generator, self.rank, self.num_ranks)

    def own_rows(self, order: np.ndarray, num_envs: int) -> np.ndarray:
        steps, envs = np.divmod(order, num_envs * self.num_ranks)
        own = envs // num_envs == self.rank
        return steps[own] * num_envs + envs[own] % num_envs

    def start_gathering(self, returns: list[float], lengths: list[int]) -> Callable[[], Episodes]:
        if self.rank:
            self.links.send(0, "episodes", json.dumps([returns, lengths]).encode())
            return lambda: (returns, lengths)
        return lambda: self._receive_episodes(returns, lengths)

    def agree_to_stop(self, request: int | None, others_wait: bool = False) -> int | None:
        self._request = request
        return request if others_wait and self._agreed is None else self._agreed

    def check(self) -> None:
        if not self._has_ended:
            self.links.check()

    def begin(self, config: dict[str, Any]) -> None:
        self.patience = config["start_timeout"]
        self.links.send_all("config", json.dumps(config).encode())

    def share(self, state_of: Callable[[int], dict[str, Any]]) -> None:
        for rank in self.links.others:
            self.links.receive(rank, self.patience)  # its environments are made
            self.links.send(rank, "state", pack_state(state_of(rank)))
        for rank in self.links.others:
            self.links.receive(rank, self.patience)  # its state is loaded
        self.links.send_all("connect")
        self.connect()

    def release(self) -> None:
        self.links.send_all("go")

    def collect(self) -> dict[str, Any]:
        self.links.send_all("save")
        return {str(rank): unpack_state(self.links.receive(rank, UPDATE_SECONDS)[1]) for rank in self.links.others}

    def end(self, stop_signal: int | None) -> None:
        self.links.send_all("end", json.dumps(stop_signal).encode())
        self._has_ended = True

    def receive(self) -> tuple[str, bytes]:
        """On the other ranks: the next request of rank 0."""
        return self.links.receive(0, self.patience)

    def _receive_episodes(self, returns: list[float], lengths: list[int]) -> Episodes:
        received = [json.loads(self.links.receive(rank, UPDATE_SECONDS)[1]) for rank in self.links.others]
        parts = [(returns, lengths), *received]
        return [one for part in parts for one in part[0]], [one for part in parts for one in part[1]]

    def _wait_for_store(self) -> None:
        """Wait until Paddle listens on rank 0; Paddle itself would try again after 3 s only."""
        host, _, port = os.environ["PADDLE_MASTER"].rpartition(":")
        deadline = time.monotonic() + JOIN_SECONDS
        while time.monotonic() < deadline:
            self.links.raise_failure()
            try:
                socket.create_connection((host, int(port)), timeout=1.0).close()
                return
            except OSError:
                time.sleep(RETRY_SECONDS)
        raise RankError(f"rank {self.rank} cannot reach Paddle at {host}:{port} within {JOIN_SECONDS:g} s")

    def _sum_in_place(self, array: np.ndarray) -> None:
        try:
            self._all_reduce(array)
        except RuntimeError:
            raise self.links.explain() from None


class _RowsOfGenerator(np.random.Generator):
    """Draws as many rows as all ranks have together, and returns those of one; the bit generator is shared."""

    def __init__(self, bit_generator: np.random.BitGenerator, rank: int, num_ranks: int):
        super().__init__(bit_generator)
        self._rank, self._num_ranks = rank, num_ranks

    def gumbel(self, *, size: tuple[int, ...]) -> np.ndarray:  # type: ignore[override]
        return self._own(super().gumbel(size=self._of_all(size)))

    def logistic(self, *, size: tuple[int, ...]) -> np.ndarray:  # type: ignore[override]
        return self._own(super().logistic(size=self._of_all(size)))

    def standard_normal(self, size: tuple[int, ...], dtype: Any) -> np.ndarray:  # type: ignore[override]
        return self._own(super().standard_normal(self._of_all(size), dtype))

    def _of_all(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return size[0] * self._num_ranks, *size[1:]

    def _own(self, rows: np.ndarray) -> np.ndarray:
        num_rows = len(rows) // self._num_ranks
        return rows[self._rank * num_rows : (self._rank + 1) * num_rows]


def connect_gloo() -> Callable[[np.ndarray], None]:
    """Connect the ranks of a launch, and return a function that sums an array over all ranks, in place.

    The function raises ``RuntimeError`` if a rank has ended, or if one takes part 30 s later than another.
    """
    os.environ["PADDLE_DISTRI_BACKEND"] = "gloo"  # the vectors are in the memory of the CPU on every device
    import paddle
    import paddle.distributed

    with contextlib.redirect_stderr(io.StringIO()):  # Paddle prints its flags
        paddle.distributed.init_parallel_env()

    def sum_in_place(array: np.ndarray) -> None:
        paddle.distributed.all_reduce(paddle.utils.dlpack.from_dlpack(array))

    return sum_in_place
