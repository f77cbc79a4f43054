"""Observations of every kind of space as the features that a network takes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from multiprocessing_env import space_kind


class ObservationEncoder:
    """Observations as float32 features: a Box flattened, discrete parts one-hot.

    Attributes:
        num_features: features F of one observation.
    """

    def __init__(self, observation_space: Any):
        kind = space_kind(observation_space)
        self.categories: np.ndarray | None = None
        if kind == "Discrete":
            self.categories = np.array([observation_space.n])
            self.start = np.array(getattr(observation_space, "start", 0))
        elif kind == "MultiDiscrete":
            self.categories = np.asarray(observation_space.nvec).ravel()
            self.start = np.ravel(getattr(observation_space, "start", 0))
        if self.categories is None:
            self.num_features = math.prod(observation_space.shape)
        else:
            self.num_features = int(self.categories.sum())
            self.first_feature = np.concatenate([[0], np.cumsum(self.categories)[:-1]])

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """``[B, *observation_space.shape]`` to ``[B, F]`` float32."""
        batch_size = len(observations)
        if self.categories is None:
            return np.asarray(observations, np.float32).reshape(batch_size, self.num_features)
        features = np.zeros((batch_size, self.num_features), np.float32)
        chosen = np.reshape(observations, (batch_size, -1)) - self.start + self.first_feature
        np.put_along_axis(features, chosen.astype(np.int64), 1.0, axis=1)
        return features
