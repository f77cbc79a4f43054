"""The units in which policies choose actions of a Box."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# Larger bounds count as none: environments often write the largest float for "unbounded".
UNBOUNDED = 1e30


class ActionScale:
    """The affine map between the actions of a Box and the units that a policy acts in.

    A dimension with two bounds is mapped to [-1, 1]. A dimension that lacks a bound keeps its unit, and 0 is mapped to
    its value closest to 0.

    Args:
        action_space: a Box of floats.

    Attributes:
        num_actions: A, numbers in an action.
        centre: ``[*action_space.shape]`` float32, the action that 0 is mapped to.
        half_range: ``[*action_space.shape]`` float32, half the distance of the bounds, or 1 where one is missing.
        largest_log_std: ``[A]`` float32, up to which more noise makes other actions: 0 (half the range) in a dimension
            with two bounds, infinite in one that lacks a bound.
    """

    def __init__(self, action_space: Any):
        self.shape = action_space.shape
        self.num_actions = math.prod(self.shape)
        self.low, self.high = action_space.low.astype(np.float32), action_space.high.astype(np.float32)
        bounded = (self.low > -UNBOUNDED) & (self.high < UNBOUNDED) & (self.low < self.high)
        low, high = np.where(bounded, self.low, -1), np.where(bounded, self.high, 1)
        self.half_range = high / 2 - low / 2
        self.largest_log_std = np.where(bounded, np.float32(0), np.float32(np.inf)).ravel()
        self.centre = np.where(bounded, low / 2 + high / 2, np.clip(np.float32(0), self.low, self.high))

    @property
    def is_identity(self) -> bool:
        """Whether every action is its own image, as in a Box between -1 and 1 or without bounds."""
        return bool(np.all(self.centre == 0) and np.all(self.half_range == 1))

    def to_actions(self, units: np.ndarray) -> np.ndarray:
        """Map ``[B, A]`` units to actions ``[B, *action_space.shape]`` float32, which may lie outside the Box."""
        return self.centre + self.half_range * units.reshape(-1, *self.shape)

    def to_units(self, actions: np.ndarray) -> np.ndarray:
        """Map actions ``[B, *action_space.shape]`` to units ``[B, A]`` float32."""
        units = (np.asarray(actions, np.float32) - self.centre) / self.half_range
        return units.reshape(-1, self.num_actions)

    def to_box(self, units: np.ndarray) -> np.ndarray:
        """Map ``[B, A]`` units to actions ``[B, *action_space.shape]`` float32, clipped to the Box."""
        return np.clip(self.to_actions(units), self.low, self.high)
