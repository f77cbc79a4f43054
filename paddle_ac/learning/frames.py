"""Stacks of frames as single frames, so that a frame that many observations share is stored once."""

from __future__ import annotations

from typing import Any

import numpy as np

from multiprocessing_env import space_kind, space_parts
from paddle_ac.action_masks import MASK, OBSERVATION
from paddle_ac.nn.images import image_input
from paddle_ac.packing import ObservationPacking


def num_stacked_frames(space: Any, frame_stack: int) -> int:
    """The number of frames that observations are split into: ``frame_stack``, or 1 if they cannot be.

    Observations of a Dict space are not split, unless it is that of a stack with an action mask, and neither is what a
    wrapper has made of stacks if its shape is not that of stacks.
    """
    stack = _stack_in(space)
    is_stack = space_kind(stack) == "Box" and stack.shape and not stack.shape[_axis_of(stack)] % frame_stack
    return frame_stack if is_stack else 1


def _stack_in(space: Any) -> Any:
    """The space of the stack in an observation: beside an action mask, or the observation itself."""
    parts = space_parts(space)
    return parts[OBSERVATION] if parts.keys() == {OBSERVATION, MASK} else space


def _axis_of(stack: Any) -> int:
    """The axis that frames lie along."""
    image = image_input(stack) if len(stack.shape) == 3 else None
    return 2 if image is not None and not image.channels_first else 0


class FrameStacks:
    """Takes observations with a stack of K frames, the newest last, apart into frames, and puts them together again.

    An entry is an observation with its newest frame in place of the stack: with an action mask a structured value as
    ``ObservationPacking`` makes them, otherwise the frame alone.

    Args:
        space: of the observations: a Box whose frames lie one after the other along one axis, the channels of an image
            or else the first axis; or a Dict of such a Box and an action mask.
        num_frames: K, which divides the length of that axis.

    Attributes:
        frame_shape: of one frame.
        frame_dtype: of one frame.
        entry_shape: of one entry.
        entry_dtype: of one entry.
    """

    def __init__(self, space: Any, num_frames: int):
        self.num_frames = num_frames
        stack = _stack_in(space)
        self._shape, self._axis = tuple(map(int, stack.shape)), _axis_of(stack)
        length = self._shape[self._axis] // num_frames
        self.frame_shape = (*self._shape[: self._axis], length, *self._shape[self._axis + 1 :])
        self.frame_dtype = np.dtype(stack.dtype)
        self._dtype = ObservationPacking(space).dtype
        self._has_mask = self._dtype.names is not None
        self.entry_shape, self.entry_dtype = self.frame_shape, self.frame_dtype
        if self._has_mask:
            self.entry_shape = ()
            self.entry_dtype = np.dtype([(OBSERVATION, self.frame_dtype, self.frame_shape), (MASK, self._dtype[MASK])])

    def split(self, observations: np.ndarray) -> np.ndarray:
        """The frames ``[B, K, *frame_shape]`` of observations ``[B, ...]``, on the same memory."""
        stacks = observations[OBSERVATION] if self._has_mask else observations
        axis = 1 + self._axis
        shape = (*stacks.shape[:axis], self.num_frames, self.frame_shape[self._axis], *stacks.shape[axis + 1 :])
        return np.moveaxis(stacks.reshape(shape), axis, 1)

    def entries(self, observations: np.ndarray) -> np.ndarray:
        """The entries ``[B, *entry_shape]`` of observations ``[B, ...]``."""
        newest = self.split(observations)[:, -1]
        if not self._has_mask:
            return newest
        entries = np.empty(len(observations), self.entry_dtype)
        entries[OBSERVATION], entries[MASK] = newest, observations[MASK]
        return entries

    def frames_at(self, entries: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """The frames ``[B, K, *frame_shape]`` of the entries at indices ``[B, K]``."""
        # take() would first copy all entries of a field, which do not lie side by side.
        return entries[OBSERVATION][indices] if self._has_mask else entries.take(indices, axis=0)

    def join(self, frames: np.ndarray, entries: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Observations ``[B, ...]`` of frames ``[B, K, *frame_shape]`` and the masks of entries at indices ``[B]``."""
        stacks = np.moveaxis(frames, 1, 1 + self._axis).reshape(len(frames), *self._shape)
        if not self._has_mask:
            return stacks
        observations = np.empty(len(frames), self._dtype)
        observations[OBSERVATION], observations[MASK] = stacks, entries[MASK][indices]
        return observations
