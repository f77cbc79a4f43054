"""Rewards to learn from: normalised, scaled and clipped, while the curves show those of the environment."""

from __future__ import annotations

from typing import Any

import numpy as np

from paddle_ac.config import ScalingGroup
from paddle_ac.nn.moments import RunningMoments

LARGEST = 10.0  # of a normalised reward, either way (OpenAI baselines, VecNormalize)


def scale_and_clip(rewards: np.ndarray, config: ScalingGroup) -> np.ndarray:
    """Rewards of any shape, float32, times ``reward_scale`` and then within ``reward_clip`` either way."""
    scaled = rewards * np.float32(config.reward_scale)
    return scaled if config.reward_clip is None else np.clip(scaled, -config.reward_clip, config.reward_clip)


class RewardNormalizer:
    """Divides rewards by the running deviation of the discounted return, as OpenAI baselines' VecNormalize does.

    The mean is left as it is: to take it away would change what the best policy is.

    Args:
        num_envs: ``N``.
        gamma: discount factor.
        statistics: the arrays that ``RunningMoments`` is to keep its own in.

    Attributes:
        returns: ``[N]`` float64, the discounted sums of the rewards of the episodes under way.
        moments: of these sums, after each step.
    """

    def __init__(self, num_envs: int, gamma: float, statistics: dict[str, np.ndarray] | None = None):
        self.gamma = gamma
        self.returns = np.zeros(num_envs, np.float64)
        self.moments = RunningMoments((), statistics)

    def update(self, rewards: np.ndarray, done: np.ndarray, mask: np.ndarray | None = None) -> None:
        """Take in a rollout.

        Args:
            rewards: ``[T, N]`` float32, as the environments gave them.
            done: ``[T, N]`` bool, where an episode ended.
            mask: ``[T, N]`` bool, the valid steps; ``None`` for all. An episode that is still running at a masked
                final step is discarded.
        """
        seen = np.empty(rewards.shape, np.float64)
        for step in range(len(rewards)):
            self.returns = seen[step] = self.gamma * self.returns + rewards[step]
            self.returns = np.where(done[step], 0.0, self.returns)
        if mask is None:
            self.moments.update(seen.ravel())
        else:
            self.moments.update(seen[mask])
            self.returns = np.where(mask[-1], self.returns, 0.0)

    def __call__(self, rewards: np.ndarray) -> np.ndarray:
        """Rewards of any shape, float32, scaled by all that was taken in so far and within -10 and 10."""
        scale = np.float32(1 / np.sqrt(self.moments.variance + 1e-8))
        return np.clip(rewards * scale, -LARGEST, LARGEST)

    def state_dict(self) -> dict[str, Any]:
        """The state to resume from bit-exactly."""
        return {"returns": self.returns.copy(), "moments": self.moments.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.returns = state["returns"].copy()
        self.moments.load_state_dict(state["moments"])


def normalize_and_scale(rewards: np.ndarray, normalize: RewardNormalizer | None, config: ScalingGroup) -> np.ndarray:
    """Rewards of any shape, float32, that are normalised if they are to be, and then scaled and clipped."""
    return scale_and_clip(rewards if normalize is None else normalize(rewards), config)
