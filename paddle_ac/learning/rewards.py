"""Rewards as a learner has them: scaled and clipped, while the curves tell what the environment gave."""

from __future__ import annotations

from typing import Any

import numpy as np

from paddle_ac.nn.moments import RunningMoments

LARGEST = 10.0  # of a normalised reward, either way (OpenAI baselines, VecNormalize)


class RewardNormalizer:
    """Divides rewards by the running deviation of the discounted return, as OpenAI baselines' VecNormalize does.

    The mean is left as it is: to take it away would change what the best policy is.

    Args:
        num_envs: ``N``.
        gamma: discount factor.
        statistics: the arrays that ``RunningMoments`` is to keep its own in.
    """

    def __init__(self, num_envs: int, gamma: float, statistics: dict[str, np.ndarray] | None = None):
        self.gamma = gamma
        self.returns = np.zeros(num_envs, np.float64)
        self.moments = RunningMoments((), statistics)

    def __call__(self, rewards: np.ndarray, done: np.ndarray) -> np.ndarray:
        """Take in a rollout, and scale its rewards by all that was seen so far.

        Args:
            rewards: ``[T, N]`` float32.
            done: ``[T, N]`` bool, where an episode ended.

        Returns:
            rewards ``[T, N]`` float32.
        """
        seen = np.empty(rewards.shape, np.float64)
        for step in range(len(rewards)):
            self.returns = seen[step] = self.gamma * self.returns + rewards[step]
            self.returns = np.where(done[step], 0.0, self.returns)
        self.moments.update(seen.ravel())
        scale = np.float32(1 / np.sqrt(self.moments.variance + 1e-8))
        return np.clip(rewards * scale, -LARGEST, LARGEST)

    def state_dict(self) -> dict[str, Any]:
        """All that it takes to go on exactly from here."""
        return {"returns": self.returns.copy(), "moments": self.moments.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.returns = state["returns"].copy()
        self.moments.load_state_dict(state["moments"])
