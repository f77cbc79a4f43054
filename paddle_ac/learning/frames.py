"""Stacks of frames as single frames, so that a frame that many observations share is stored once."""

from __future__ import annotations

from typing import Any

import numpy as np

from multiprocessing_env import space_kind
from paddle_ac.nn.images import image_input


def num_stacked_frames(space: Any, frame_stack: int) -> int:
    """The number of frames that observations are split into: ``frame_stack``, or 1 if they cannot be.

    The parts of a Dict space are not split, nor what a wrapper has made of stacks if its shape is not that of stacks.
    """
    is_stack = space_kind(space) == "Box" and space.shape and not space.shape[_axis_of(space)] % frame_stack
    return frame_stack if is_stack else 1


def _axis_of(space: Any) -> int:
    """The axis that frames lie along."""
    image = image_input(space) if len(space.shape) == 3 else None
    return 2 if image is not None and not image.channels_first else 0


class FrameStacks:
    """Splits observations that are stacks of K frames, the newest last, into frames, and joins frames into stacks.

    Args:
        space: a Box of such observations; the frames lie one after the other along one axis: the channels of an image,
            else the first axis.
        num_frames: K, which divides the length of that axis.

    Attributes:
        frame_shape: of one frame.
    """

    def __init__(self, space: Any, num_frames: int):
        self.num_frames = num_frames
        self._shape = tuple(map(int, space.shape))
        self._axis = _axis_of(space)
        length = self._shape[self._axis] // num_frames
        self.frame_shape = (*self._shape[: self._axis], length, *self._shape[self._axis + 1 :])

    def split(self, stacks: np.ndarray) -> np.ndarray:
        """``[B, *space.shape]`` to ``[B, K, *frame_shape]``, on the same memory."""
        axis = 1 + self._axis
        shape = (*stacks.shape[:axis], self.num_frames, self.frame_shape[self._axis], *stacks.shape[axis + 1 :])
        return np.moveaxis(stacks.reshape(shape), axis, 1)

    def join(self, frames: np.ndarray) -> np.ndarray:
        """``[B, K, *frame_shape]`` to ``[B, *space.shape]``; on the same memory if the frames lie along axis 0."""
        return np.moveaxis(frames, 1, 1 + self._axis).reshape(len(frames), *self._shape)
