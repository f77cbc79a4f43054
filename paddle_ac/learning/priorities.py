"""Proportional prioritised sampling (Schaul et al. 2016, Prioritized Experience Replay, arXiv:1511.05952)."""

from __future__ import annotations

from typing import Any

import numpy as np

SMALLEST_ERROR = 1e-6  # added to every error, so that all transitions are drawn now and then (section 3.3)


class SumTree:
    """Non-negative numbers by place, their sum, and the place where a part of the sum is reached.

    A binary tree in one array: node ``i`` holds the sum of nodes ``2 i`` and ``2 i + 1``; the leaves are the numbers.
    Changing or finding B numbers takes O(B log capacity).

    Args:
        capacity: number of places.
    """

    def __init__(self, capacity: int):
        self._depth = max(capacity - 1, 1).bit_length()
        self._first_leaf = 1 << self._depth
        self._nodes = np.zeros(2 * self._first_leaf, np.float64)

    @property
    def total(self) -> float:
        """Sum of all numbers."""
        return float(self._nodes[1])

    def __getitem__(self, places: Any) -> np.ndarray:
        """The numbers of places ``[B]``, or of a slice of places."""
        return self._nodes[self._first_leaf :][places]

    def __setitem__(self, places: np.ndarray, values: Any) -> None:
        """Set the numbers of places ``[B]``; of a place that occurs twice, to the last value."""
        nodes, sums = places + self._first_leaf, self._nodes
        sums[nodes] = values
        for _ in range(self._depth):
            nodes = nodes >> 1
            sums[nodes] = sums[2 * nodes] + sums[2 * nodes + 1]

    def find(self, parts: np.ndarray) -> np.ndarray:
        """The places ``[B]`` where the running sum of the numbers first exceeds ``parts`` ``[B]``, in [0, total)."""
        nodes, rest = np.ones(len(parts), np.int64), np.array(parts, np.float64)
        for _ in range(self._depth):
            left = self._nodes[2 * nodes]
            # Rounded sums must not lead to a place whose number is 0.
            goes_right = (rest >= left) & (self._nodes[2 * nodes + 1] > 0)
            rest -= np.where(goes_right, left, 0)
            nodes = 2 * nodes + goes_right
        return nodes - self._first_leaf


class Priorities:
    """Priorities of the transitions in a replay buffer: ``(|TD error| + SMALLEST_ERROR) ** exponent``.

    A new transition has the largest priority so far, so that it is soon drawn.

    Args:
        capacity: number of places in the buffer.
        exponent: alpha; 0 draws all transitions alike, 1 in proportion to their errors.
    """

    def __init__(self, capacity: int, exponent: float):
        self.capacity = capacity
        self.exponent = exponent
        self.largest = 1.0  # |TD error| so far
        self._tree = SumTree(capacity)

    def add(self, places: np.ndarray) -> None:
        """Give new transitions at places ``[B]`` the largest priority."""
        self._tree[places] = self.largest**self.exponent

    def update(self, places: np.ndarray, errors: np.ndarray) -> None:
        """Set the priorities of transitions at places ``[B]`` from their TD errors ``[B]``."""
        sizes = np.abs(errors.astype(np.float64)) + SMALLEST_ERROR
        self._tree[places] = sizes**self.exponent
        self.largest = max(self.largest, float(sizes.max()))

    def sample(self, batch_size: int, generator: np.random.Generator) -> np.ndarray:
        """Draw places ``[B]`` in proportion to their priorities, one from each of B equal parts of the sum."""
        parts = (np.arange(batch_size) + generator.random(batch_size)) / batch_size
        return self._tree.find(parts * self._tree.total)

    def weights(self, places: np.ndarray, size: int, exponent: float) -> np.ndarray:
        """Importance weights ``(size * P) ** -exponent`` over their maximum in the batch (section 3.4).

        Args:
            places: ``[B]``, drawn with probabilities P.
            size: number of transitions in the buffer.
            exponent: beta; 1 corrects the distribution of the draws completely.

        Returns:
            ``[B]`` float32, the largest 1.
        """
        weights = (size * self._tree[places] / self._tree.total) ** -exponent
        return (weights / weights.max()).astype(np.float32)

    def state_dict(self) -> dict[str, Any]:
        """The state to resume from bit-exactly: ``priorities`` ``[capacity]`` float64 and the largest error."""
        return {"priorities": self._tree[: self.capacity].copy(), "largest": self.largest}

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise ``ValueError`` for the state of another number of places, or with values that are no priorities."""
        values, largest = (state.get(name) if isinstance(state, dict) else None for name in ("priorities", "largest"))
        if not isinstance(values, np.ndarray) or (values.shape, values.dtype) != ((self.capacity,), np.float64):
            raise ValueError(f"the priorities of its replay buffer are not those of {self.capacity} transitions")
        if not np.isfinite(values).all() or values.min() < 0 or not isinstance(largest, float) or not largest > 0:
            raise ValueError("the priorities of its replay buffer are not finite numbers of at least 0")

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned; ``ValueError`` as ``check_state_dict``."""
        self.check_state_dict(state)
        self.largest = state["largest"]
        self._tree[np.arange(self.capacity)] = state["priorities"]
