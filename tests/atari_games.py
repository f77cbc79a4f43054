"""Atari games that play given actions, and what their steps gave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paddle_ac.config import make_config
from paddle_ac.envs import atari
from paddle_ac.envs.make import make_training_envs

BREAKOUT, PONG = "ALE/Breakout-v5", "ALE/Pong-v5"
KINDS = ("serial", "subproc", "native", "envpool")

# A network that learns from Atari screens in little time, and short rollouts.
SMALL = {"encoder": "small", "num_steps": 5, "eval_max_steps": 20, "eval_episodes": 2}


@dataclass
class Played:
    """A step: what ``VecEnv.step`` returned, the lives, and the observations of ``reset`` before the first one."""

    observations: np.ndarray
    rewards: np.ndarray
    dones: np.ndarray
    infos: list[dict]

    def values(self, name: str) -> list:
        return [info.get(name) for info in self.infos]


def atari_config(**values):
    return make_config({"algo": "a2c", "env": BREAKOUT, "num_envs": 2, "vec": "serial", **values})


def play(actions: np.ndarray, **values) -> tuple[np.ndarray, list[Played]]:
    """The first observations, and the steps that ``actions`` ``[T, N]`` make in training environments."""
    with make_training_envs(atari_config(num_envs=actions.shape[1], **values)) as envs:
        first = envs.reset().copy()
        return first, [Played(*envs.step(chosen)) for chosen in actions]


def play_from(monkeypatch, noop_max: int, actions: np.ndarray, **values) -> tuple[np.ndarray, list[Played]]:
    """As ``play``, with another limit of the frames without action that start a game."""
    with monkeypatch.context() as patch:
        patch.setattr(atari, "NOOP_MAX", noop_max)
        return play(actions, **values)


def random_actions(num_steps: int, num_envs: int, num_actions: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, num_actions, (num_steps, num_envs))
