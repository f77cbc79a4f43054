"""The interface between an algorithm and the processes that train together, and its version for one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Episodes = tuple[list[float], list[int]]  # their returns and lengths

BY_PROGRAM = 0  # a request to stop that is not a signal: a target is reached, or a callback has stopped the run


class Ranks:
    """The only rank of a training in one process.

    Attributes:
        rank: of this process.
        num_ranks: processes that learn together.
    """

    rank = 0
    num_ranks = 1

    def zeros(self, size: int) -> np.ndarray:
        """A vector ``[size]`` float32 of zeros that ``mean_in_place`` takes."""
        return np.zeros(size, np.float32)

    def mean_in_place(self, vector: np.ndarray, figures: np.ndarray) -> np.ndarray:
        """Replace a vector of ``zeros`` by its mean over the ranks, and return the mean of figures ``[F]``."""
        return figures

    def pool(self, mean: np.ndarray, variance: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Mean, variance and number of the rows of all ranks, from those of ``count`` rows in each of them."""
        return mean, variance, count

    def draw_rows(self, generator: np.random.Generator) -> np.random.Generator:
        """A generator whose draws ``[N, ...]`` are this rank's rows of draws ``[num_ranks * N, ...]``."""
        return generator

    def own_rows(self, order: np.ndarray, num_envs: int) -> np.ndarray:
        """The rows of this rank's N environments in an order of the time-major rows of all ranks, as its own rows."""
        return order

    def start_gathering(self, returns: list[float], lengths: list[int]) -> Callable[[], Episodes]:
        """Send returns and lengths of this rank's episodes to rank 0, and return a function to be called later.

        It returns those of all ranks on rank 0, which waits for them, and those of this rank on the others.
        """
        return lambda: (returns, lengths)

    def agree_to_stop(self, request: int | None, others_wait: bool = False) -> int | None:
        """Return the request on which all ranks stop now, ``None`` to continue.

        A request takes effect after the next update, which sends it to all ranks. One of rank 0 takes effect at once
        while the others wait for ``release``.

        Args:
            request: of this rank: the number of a stop signal, ``BY_PROGRAM`` or ``None``.
            others_wait: on rank 0, whether the others wait.
        """
        return request

    def begin(self, config: dict[str, Any]) -> None:
        """On rank 0: let the other ranks make the algorithm of a configuration."""

    def share(self, state_of: Callable[[int], dict[str, Any]]) -> None:
        """On rank 0: send each other rank the state that it starts from, and connect all ranks when they have it."""

    def release(self) -> None:
        """On rank 0: let the other ranks go on, which wait at the start and wherever rank 0 evaluates or saves."""

    def collect(self) -> dict[str, Any]:
        """On rank 0: return by rank the state of the environments of the other ranks, which wait."""
        return {}

    def end(self, stop_signal: int | None) -> None:
        """On rank 0: end the other ranks, which wait; with the stop signal that ended the training, if one did."""

    def check(self) -> None:
        """Raise ``RankError`` if another rank has failed; called now and then while rank 0 keeps the others waiting."""


ALONE = Ranks()
