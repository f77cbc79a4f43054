"""Stacks of frames as single frames, so that a frame that many observations share is stored once."""

from __future__ import annotations

from typing import Any

import numpy as np

from paddle_ac.nn.images import image_input


class FrameStacks:
    """Splits observations that are stacks of K frames, the newest last, into frames, and joins frames into stacks.

    Args:
        space: a Box of such observations; the frames lie one after the other along one axis: the channels of an image,
            else the first axis.
        num_frames: K.

    Attributes:
        frame_shape: of one frame.

    Raises:
        ValueError: the axis is not divisible into K frames.
    """

    def __init__(self, space: Any, num_frames: int):
        self.num_frames = num_frames
        self._shape = tuple(map(int, space.shape))
        image = image_input(space) if len(self._shape) == 3 else None
        self._axis = 2 if image is not None and not image.channels_first else 0
        length, remainder = divmod(self._shape[self._axis], num_frames)
        if remainder:
            raise ValueError(f"observations {self._shape} are no stacks of {num_frames} frames")
        self.frame_shape = (*self._shape[: self._axis], length, *self._shape[self._axis + 1 :])

    def split(self, stacks: np.ndarray) -> np.ndarray:
        """``[B, *space.shape]`` to ``[B, K, *frame_shape]``, on the same memory."""
        axis = 1 + self._axis
        shape = (*stacks.shape[:axis], self.num_frames, self.frame_shape[self._axis], *stacks.shape[axis + 1 :])
        return np.moveaxis(stacks.reshape(shape), axis, 1)

    def join(self, frames: np.ndarray) -> np.ndarray:
        """``[B, K, *frame_shape]`` to ``[B, *space.shape]``; on the same memory if the frames lie along axis 0."""
        return np.moveaxis(frames, 1, 1 + self._axis).reshape(len(frames), *self._shape)
