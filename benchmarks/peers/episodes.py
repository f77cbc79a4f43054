"""Greedy episodes that are the same for every library; it needs `gymnasium` alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium


def greedy_return(act: Callable[[Any], Any], env_id: str, num_episodes: int) -> float:
    """Mean return of whole episodes, of which the i-th starts from seed 100,000 + i.

    Args:
        act: from an observation to an action.
        env_id: of the environment.
        num_episodes: episodes.
    """
    env = gymnasium.make(env_id)
    total = 0.0
    for episode in range(num_episodes):
        observation, _ = env.reset(seed=100_000 + episode)
        done = False
        while not done:
            observation, reward, terminated, truncated, _ = env.step(act(observation))
            total += float(reward)
            done = terminated or truncated
    env.close()
    return total / num_episodes
