"""Hand-made streams of experience, with all that was played."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Dict, Discrete

from paddle_ac.learning.rollout import Rollout
from paddle_ac.packing import ObservationPacking


class Stream:
    """N environments that are played by hand.

    Episodes end at random: terminated, truncated, or with a lost life, after which the game and its stack of frames go
    on. A game starts with black frames or with copies of its first frame, as Atari games do, or with other frames.
    """

    def __init__(self, space, num_envs=3, num_frames=1, seed=0, ends=0.3):
        self.generator = np.random.default_rng(seed)
        self.space, self.num_envs, self.num_frames, self.ends = space, num_envs, num_frames, ends
        self.packing = ObservationPacking(space)
        self.is_masked = isinstance(space, Dict) and "action_mask" in space.spaces
        self.stacks = space["observation"] if self.is_masked else space
        self.history = []  # of each step: observations, actions, rewards, terminated, truncated, next observations
        self.observations = self.packing.pack(self._stack([self._start() for _ in range(num_envs)]))

    def _frame(self):
        """One random frame; the axis of frames is the last of 3-channel images, else the first."""
        generator, space = self.generator, self.stacks
        if isinstance(space, Dict):
            return {"a": generator.normal(size=2).astype(np.float32), "b": generator.integers(0, 2, 3).astype(np.int8)}
        if isinstance(space, Discrete):
            return generator.integers(space.n)
        length = space.shape[self.axis] // self.num_frames
        shape = (*space.shape[: self.axis], length, *space.shape[self.axis + 1 :])
        if space.dtype == np.uint8:
            return generator.integers(1, 255, shape, dtype=np.uint8)
        return generator.normal(size=shape).astype(space.dtype)

    @property
    def axis(self):
        return 2 if self.stacks.shape == (8, 8, 6) else 0

    def _start(self):
        """The frames of a game's first observation."""
        frame = self._frame()
        if self.num_frames == 1:
            return [frame]
        starts = (lambda: np.zeros_like(frame), lambda: frame, self._frame)
        older = starts[self.generator.integers(3)]
        return [*(older() for _ in range(self.num_frames - 1)), frame]

    def _stack(self, games):
        self.games = games
        if isinstance(self.stacks, Dict):
            return {name: np.stack([frames[0][name] for frames in games]) for name in self.space.spaces}
        if isinstance(self.space, Discrete):
            return np.array([frames[0] for frames in games])
        stacks = np.stack([np.concatenate(frames, axis=self.axis) for frames in games])
        if self.is_masked:
            masks = np.stack([frames[-1].ravel()[:3] % 2 for frames in games])
            return {"observation": stacks, "action_mask": masks.astype(np.int8)}
        return stacks

    def play(self, num_steps) -> Rollout:
        """The rollout of ``num_steps`` steps of every environment."""
        rows, places, last_observations = [], [], []
        for step in range(num_steps):
            before, games = self.observations, self.games
            after = self.packing.pack(self._stack([[*frames[1:], self._frame()] for frames in games]))
            kinds = np.where(
                self.generator.random(self.num_envs) < self.ends, self.generator.integers(1, 4, self.num_envs), 0
            )
            terminated, truncated = (kinds == 1) | (kinds == 3), kinds == 2
            for env in np.flatnonzero(truncated):
                places.append((step, int(env)))
                last_observations.append(after[env].copy())
            resets = [
                self._start() if kind in (1, 2) else frames for kind, frames in zip(kinds, self.games, strict=True)
            ]
            self.observations = self.packing.pack(self._stack(resets))
            rewards = self.generator.normal(size=self.num_envs).astype(np.float32)
            actions = self.generator.integers(0, 1000, (self.num_envs, 2))
            rows.append((before, actions, rewards, terminated, truncated, after))
        self.history += rows
        observations, actions, rewards, terminated, truncated = (
            np.stack(column) for column in list(zip(*rows, strict=True))[:5]
        )
        nothing = np.zeros((self.num_envs, 0), np.float32)
        return Rollout(
            observations,
            actions,
            rewards,
            terminated,
            truncated,
            self.observations,
            nothing,
            nothing,
            places,
            last_observations,
        )

    def reset(self):
        """Start new games in the middle of the old ones."""
        self.observations = self.packing.pack(self._stack([self._start() for _ in range(self.num_envs)]))


def single(observations, terminated=(), truncated=(), last=None, rewards=None):
    """A rollout of one environment, from its observations, that after it among them."""
    observations = np.asarray(observations)[:, np.newaxis]
    steps = len(observations) - 1
    ends = np.zeros((2, steps, 1), np.bool_)
    ends[0, list(terminated)], ends[1, list(truncated)] = True, True
    rewards = np.arange(1, steps + 1) if rewards is None else rewards
    nothing = np.zeros((1, 0), np.float32)
    return Rollout(
        observations[:-1],
        np.zeros((steps, 1), np.int64),
        np.float32(rewards)[:, np.newaxis],
        *ends,
        observations[-1],
        nothing,
        nothing,
        [(step, 0) for step in truncated],
        [np.asarray(last)] * len(truncated),
    )
