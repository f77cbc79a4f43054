"""Replay buffer of transitions for off-policy learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from paddle_ac.memory import require_memory


@dataclass(frozen=True)
class Batch:
    """B transitions, float32.

    Attributes:
        inputs: ``[B, F + A]``, features of the observation and the action side by side, as a critic takes them.
        features: ``[B, F]``, of the observation: the first columns of ``inputs``, on the same memory.
        next_features: ``[B, F]``, of the next observation of the same episode; arbitrary where it terminated.
        rewards: ``[B]``.
        terminated: ``[B]``, 1 where the episode terminated, else 0; a truncation is 0.
    """

    inputs: np.ndarray
    features: np.ndarray
    next_features: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray


class ReplayBuffer:
    """The latest transitions, each a row of one array; new ones replace the oldest.

    The array is allocated at once, but only the written rows cost memory. A transition is one row, so that sampling
    reads one contiguous piece of memory for each.

    Args:
        capacity: largest number of transitions.
        num_features: F, of an observation.
        num_actions: A, numbers in an action.

    Attributes:
        size: present number of transitions.
    """

    def __init__(self, capacity: int, num_features: int, num_actions: int):
        self.capacity = capacity
        self.num_features = num_features
        self.num_inputs = num_features + num_actions
        self.size = 0
        self._position = 0  # where the next transition goes
        num_columns = self.num_inputs + num_features + 2
        require_memory(4 * capacity * num_columns, f"buffer_size={capacity}")
        self._rows = np.empty((capacity, num_columns), np.float32)

    def add(
        self,
        features: np.ndarray,
        actions: np.ndarray,
        next_features: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
    ) -> None:
        """Add M transitions, ordered by time.

        Args:
            features: ``[M, F]``.
            actions: ``[M, A]``.
            next_features: ``[M, F]``; at a truncation those of the episode's last observation, not of the next
                episode's first.
            rewards: ``[M]``.
            terminated: ``[M]``, the episode terminated there; false for a truncation.
        """
        rows = np.column_stack([features, actions, next_features, rewards, terminated])[-self.capacity :]
        places = (self._position + np.arange(len(rows))) % self.capacity
        self._rows[places] = rows
        self._position = (self._position + len(rows)) % self.capacity
        self.size = min(self.size + len(rows), self.capacity)

    def sample(self, batch_size: int, generator: np.random.Generator) -> Batch:
        """Sample transitions uniformly with replacement; they are copies."""
        rows = self._rows[generator.integers(self.size, size=batch_size)]
        return Batch(
            inputs=rows[:, : self.num_inputs],
            features=rows[:, : self.num_features],
            next_features=rows[:, self.num_inputs : -2],
            rewards=rows[:, -2],
            terminated=rows[:, -1],
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the stored rows ``[size, 2 * F + A + 2]``, not copied, and the position of the next one."""
        return {"rows": self._rows[: self.size], "position": self._position, "capacity": self.capacity}

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise ``ValueError`` for a buffer of another capacity, or of other observations or actions."""
        if not isinstance(state, dict) or not {"rows", "position", "capacity"} <= state.keys():
            raise ValueError("it has no replay buffer")
        if not isinstance(state["rows"], np.ndarray) or type(state["position"]) is not int:
            raise ValueError("the rows of its replay buffer are no array, or their position is no integer")
        there, here = (state["capacity"], *np.shape(state["rows"])[1:]), self._rows.shape
        if there != here:
            raise ValueError(f"the checkpoint's replay buffer holds {there}, this one {here} (transitions, numbers)")
        if len(state["rows"]) > here[0] or not 0 <= state["position"] < here[0]:
            raise ValueError(f"the checkpoint's replay buffer has more than {here[0]} rows")

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned; ``ValueError`` as ``check_state_dict``."""
        self.check_state_dict(state)
        rows = state["rows"]
        self._rows[: len(rows)] = rows
        self.size = len(rows)
        self._position = state["position"]
