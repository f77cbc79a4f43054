"""CartPole without its velocities, which a policy cannot balance without a memory.

Importing this module registers ``CartPolePositions-v1``: ``--env paddle_ac.envs.cartpole:CartPolePositions-v1``.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.spaces import Box

POSITIONS = [0, 2]  # of the cart and of the pole


class CartPolePositions(gymnasium.ObservationWrapper):
    """CartPole with observations ``[2]`` float32: the cart's position and the pole's angle."""

    def __init__(self, **arguments: Any):
        env = CartPoleEnv(**arguments)
        super().__init__(env)
        space: Any = env.observation_space
        self.observation_space = Box(space.low[POSITIONS], space.high[POSITIONS])

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return observation[POSITIONS]


gymnasium.register("CartPolePositions-v1", CartPolePositions, max_episode_steps=500, reward_threshold=475)
