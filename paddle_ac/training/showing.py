"""Views of a policy beside its returns: an evenly spread sample of an evaluation's steps, and pictures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from multiprocessing_env import VecEnv, tile_images
from paddle_ac.algorithms.algorithm import Policy
from paddle_ac.nn.actions import clip_for
from paddle_ac.packing import packed
from paddle_ac.process_settings import variable_set

NUM_FRAMES = 4  # of an episode, in a picture
FRAME_SIZE = 300  # pixels of the longer side of a frame, at most
SHOWN_STEPS = 200  # of an episode, at most: it is played for nothing else

AnyItem = TypeVar("AnyItem")


class Spread(Generic[AnyItem]):
    """Keeps items of a row, evenly spread over it, however long it becomes.

    Args:
        limit: how many at most; at least half as many are kept of a row that has them.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.items: list[AnyItem] = []
        self._interval = 1
        self._position = 0

    def offer(self, make_item: Callable[[], AnyItem]) -> None:
        """Make the next item of the row and keep it, if it is one to be kept."""
        if self._position % self._interval == 0:
            self.items.append(make_item())
        self._position += 1
        if len(self.items) > self.limit:
            self.items = self.items[::2]
            self._interval *= 2


def show_episode(policy: Policy, envs: VecEnv, generator: np.random.Generator | None = None) -> np.ndarray:
    """Play an episode and picture it.

    Args:
        policy: chooses the actions.
        envs: one environment with ``render_mode="rgb_array"``.
        generator: draws the actions; ``None`` for the most probable ones.

    Returns:
        frames from its beginning to its end (or as far as it is played) in one, row by row, ``[H, W, 3]`` uint8.

    Raises:
        ValueError: the environment gives no pictures.
    """
    frames = Spread[np.ndarray](2 * NUM_FRAMES)
    envs, clip = packed(envs), clip_for(envs.action_space)
    observations = envs.reset()
    state = np.zeros((1, policy.state_size), np.float32)
    for _ in range(SHOWN_STEPS):
        frames.offer(lambda: _small(envs.get_images()[0]))
        observations, _, dones, _ = envs.step(clip(policy.act(observations, generator, state)))
        if dones[0]:
            break
    chosen = np.linspace(0, len(frames.items) - 1, NUM_FRAMES).round().astype(int)
    return tile_images([frames.items[index] for index in chosen])


def without_screen() -> AbstractContextManager[None]:
    """Let environments that draw with SDL do so without a screen: by default SDL looks for one and prints warnings."""
    return variable_set("SDL_VIDEODRIVER", "dummy")


def _small(frame: np.ndarray | None) -> np.ndarray:
    if frame is None:
        raise ValueError("it gives no pictures")
    image = Image.fromarray(frame)
    image.thumbnail((FRAME_SIZE, FRAME_SIZE))
    return np.asarray(image)
