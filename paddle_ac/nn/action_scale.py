"""Actions of a bounded Box, and the cube [-1, 1] that squashed policies and their critics live in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class ActionScale:
    """The affine map between a Box and the cube ``[-1, 1]^A``.

    Args:
        action_space: a Box of floats with finite bounds, the lower below the upper.

    Attributes:
        num_actions: A, numbers in an action.
    """

    def __init__(self, action_space: Any):
        self.shape = action_space.shape
        self.num_actions = math.prod(self.shape)
        self.low, self.high = action_space.low.astype(np.float32), action_space.high.astype(np.float32)
        self.half_range = self.high / 2 - self.low / 2  # halves first: the range of a float may be none
        self.centre = self.low / 2 + self.high / 2

    def to_box(self, squashed: np.ndarray) -> np.ndarray:
        """``[B, A]`` in the cube to ``[B, *action_space.shape]`` float32 in the Box."""
        actions = self.centre + self.half_range * squashed.reshape(-1, *self.shape)
        return np.clip(actions, self.low, self.high)  # rounding may have left the Box

    def to_cube(self, actions: np.ndarray) -> np.ndarray:
        """``[B, *action_space.shape]`` in the Box to ``[B, A]`` float32 in the cube."""
        squashed = (np.asarray(actions, np.float32) - self.centre) / self.half_range
        return squashed.reshape(-1, self.num_actions)
