"""Catch: a small game to learn from images, from an image and a vector, and from what was visible once."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete


class Catch(gymnasium.Env):
    """A ball falls down a board of 10x10 cells, and a paddle at the bottom catches it (+1) or not (-1).

    The game of bsuite (Osband et al. 2020, arXiv:1908.03568) with more columns.

    Args:
        pixels: side of the image; a cell is a square of ``pixels // 10`` pixels.
        is_hidden: the ball is visible in the first observation only.
        channels_first: images are ``[1, pixels, pixels]`` rather than ``[pixels, pixels, 1]``.
    """

    CELLS = 10

    def __init__(self, pixels: int = CELLS, is_hidden: bool = False, channels_first: bool = False):
        shape = (1, pixels, pixels) if channels_first else (pixels, pixels, 1)
        self.observation_space: Any = Box(0, 255, shape, np.uint8)
        self.action_space = Discrete(3)  # left, stay, right
        self.cell, self.is_hidden = pixels // self.CELLS, is_hidden

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        """Start an episode: the ball at the top, in a random column, and the paddle in the middle."""
        super().reset(seed=seed)
        self.row, self.column = 0, int(self.np_random.integers(self.CELLS))
        self.paddle = self.CELLS // 2
        return self._observe(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict]:
        """Move the paddle and let the ball fall by a row; +1 or -1 in the ninth step, which is the last."""
        self.row += 1
        self.paddle = min(max(self.paddle + int(action) - 1, 0), self.CELLS - 1)
        is_over = self.row == self.CELLS - 1
        reward = (1.0 if self.paddle == self.column else -1.0) if is_over else 0.0
        return self._observe(), reward, is_over, False, {}

    def _observe(self) -> Any:
        image = np.zeros(self.observation_space.shape, np.uint8)
        board = image[0] if image.shape[0] == 1 else image[..., 0]
        if self.row == 0 or not self.is_hidden:
            self._paint(board, self.row, self.column)
        self._paint(board, self.CELLS - 1, self.paddle)
        return image

    def _paint(self, board: np.ndarray, row: int, column: int) -> None:
        board[row * self.cell : (row + 1) * self.cell, column * self.cell : (column + 1) * self.cell] = 255


class CatchByParts(Catch):
    """Catch with the ball in an image, ``board``, and the position of the paddle in a vector, ``paddle``."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = Dict({"board": self.observation_space, "paddle": Box(-1, 1, (1,))})

    def _observe(self) -> Any:
        board = np.zeros((self.CELLS, self.CELLS, 1), np.uint8)
        board[self.row, self.column] = 255
        return {"board": board, "paddle": np.array([2 * self.paddle / (self.CELLS - 1) - 1], np.float32)}
