"""Observations of every kind of space as the features that a network takes."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from multiprocessing_env import space_kind, space_parts
from paddle_ac.action_masks import MASK
from paddle_ac.nn.images import PIXEL_SCALE, ImageInput, is_pixels
from paddle_ac.nn.moments import RunningMoments

LARGEST = 10.0  # of a normalised feature, either way (OpenAI baselines, VecNormalize)


class ObservationEncoder:
    """Encode observations as float32 features: a Box flattened, discrete parts one-hot.

    Pixels (a Box of uint8 from 0 to 255) are scaled to [0, 1], unless they are normalised. Numbers up to 255 would
    saturate the first layer, which then does not learn.

    The parts of a Dict or Tuple space are encoded one by one, pixels always scaled, and their features concatenated.

    Args:
        observation_space: a Box, Discrete, MultiDiscrete or MultiBinary space, or a Dict or a Tuple of these, whose
            observations are packed (``ObservationPacking``).
        normalize: make the features of a Box or a MultiBinary space those of mean 0 and deviation 1 by running
            moments, clipped to -10 and 10; the moments change in ``update`` alone.
        statistics: the arrays that the moments are to be kept in; if others change them, ``refresh`` sees it.
        images: what image encoders read; these parts of an observation have no features here.
        has_mask: one part is an action mask, which is no feature either.

    Attributes:
        num_features: features F of one observation.
        has_features: whether there are any; not where an image encoder reads the whole observation.
        parts: the encoders of the parts of a Dict or Tuple space by path, in order; empty for other spaces.
        normalized: ``[F]`` bool, the features that have moments.
        mean, scale: ``[F]`` float32, what is taken off a feature and what it is then multiplied by, if normalised.
        scales_pixels: whether features are pixels divided by 255.
    """

    def __init__(
        self,
        observation_space: Any,
        normalize: bool = False,
        statistics: dict[str, np.ndarray] | None = None,
        images: Collection[ImageInput] = (),
        has_mask: bool = False,
    ):
        excluded = {image.part for image in images} | ({MASK} if has_mask else set())
        self.parts = {
            path: ObservationEncoder(part)
            for path, part in space_parts(observation_space).items()
            if path not in excluded
        }
        is_only_images = bool(images) and not self.parts
        self.num_features: int
        kind = space_kind(observation_space)
        self.categories: np.ndarray | None = None
        if kind == "Discrete":
            self.categories = np.array([observation_space.n])
            self.start = np.array(getattr(observation_space, "start", 0))
        elif kind == "MultiDiscrete":
            self.categories = np.asarray(observation_space.nvec).ravel()
            self.start = np.ravel(getattr(observation_space, "start", 0))
        if is_only_images:
            self.num_features = 0
        elif self.parts:
            self.num_features = sum(part.num_features for part in self.parts.values())
        elif self.categories is None:
            self.num_features = math.prod(observation_space.shape)
        else:
            self.num_features = int(self.categories.sum())
            self.first_feature = np.concatenate([[0], np.cumsum(self.categories)[:-1]])
        self.has_features = self.num_features > 0
        leaves = list(self.parts.values()) or [self]
        self.normalized = np.repeat(
            [leaf.categories is None for leaf in leaves], [leaf.num_features for leaf in leaves]
        )
        self.moments: RunningMoments | None = None
        if normalize and self.normalized.any():
            self.moments = RunningMoments((int(self.normalized.sum()),), statistics)
        self.scales_pixels = self.moments is None and self.has_features and is_pixels(observation_space)
        self.refresh()

    def update(self, observations: np.ndarray) -> None:
        """Take observations ``[B, *observation_space.shape]`` into the moments, if there are any."""
        if self.moments is not None:
            if self.parts:
                self.moments.update(self.flatten(observations)[:, self.normalized])
            else:
                self.moments.update(np.reshape(observations, (len(observations), self.num_features)))
            self.refresh()

    def state_dict(self) -> dict[str, Any]:
        """Return the moments, or the scale of pixels; empty where features are the observations as they are."""
        if self.scales_pixels:
            return {"pixel_scale": np.array(PIXEL_SCALE)}
        return {} if self.moments is None else self.moments.state_dict()

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise ``ValueError`` unless ``state_dict`` of such an encoder returned it."""
        if self.scales_pixels and not state:
            raise ValueError(
                "its network was trained by version 0.1, which did not scale pixels to [0, 1]: train again"
            )
        if self.scales_pixels != ("pixel_scale" in state):
            raise ValueError(f"it was trained on pixels {'not ' * self.scales_pixels}scaled to [0, 1]")
        if self.scales_pixels:
            return
        if bool(state) != (self.moments is not None):
            raise ValueError(f"it has {'' if state else 'no '}moments of observations, unlike the configuration")
        if self.moments is not None:
            self.moments.check_state_dict(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned; ``ValueError`` if that was another encoder's."""
        self.check_state_dict(state)
        if self.moments is not None:
            self.moments.load_state_dict(state)
            self.refresh()

    def refresh(self) -> None:
        """Normalise by the moments as they are now."""
        if self.moments is not None:
            self.mean, self.scale = np.zeros(self.num_features, np.float32), np.ones(self.num_features, np.float32)
            self.mean[self.normalized] = self.moments.mean
            self.scale[self.normalized] = 1 / np.sqrt(self.moments.variance + 1e-8)

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """``[B, *observation_space.shape]`` to ``[B, F]`` float32."""
        return self.normalize(self.flatten(observations))

    def flatten(self, observations: np.ndarray) -> np.ndarray:
        """``[B, *observation_space.shape]`` to raw features ``[B, F]`` float32, which no moments change."""
        batch_size = len(observations)
        if not self.has_features:
            return np.empty((batch_size, 0), np.float32)
        if self.parts:
            return np.concatenate([part.flatten(observations[path]) for path, part in self.parts.items()], axis=1)
        if self.scales_pixels:
            pixels = np.reshape(observations, (batch_size, self.num_features))
            return np.multiply(pixels, PIXEL_SCALE, dtype=np.float32)
        if self.categories is None:
            return np.asarray(observations, np.float32).reshape(batch_size, self.num_features)
        features = np.zeros((batch_size, self.num_features), np.float32)
        chosen = np.reshape(observations, (batch_size, -1)).astype(np.int64) - self.start + self.first_feature
        features[np.arange(batch_size)[:, np.newaxis], chosen] = 1.0
        return features

    def normalize(self, features: np.ndarray) -> np.ndarray:
        """Raw features ``[B, F]`` as the network takes them: the same ones where there are no moments."""
        if self.moments is None:
            return features
        return np.clip((features - self.mean) * self.scale, -LARGEST, LARGEST)
