"""From observations to the inputs of the hidden layers, in NumPy: image encoders, and the features of all else."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from paddle_ac.nn.description import InputDescription
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.numpy_images import ImageEncoder, Tape
from paddle_ac.nn.threads import RowThreads

ImageTapes: TypeAlias = list[list[Tape]]  # of each image encoder


class NumpyFeatures:
    """Computes the inputs of hidden layers: the features of the images first, then those of ``encode``.

    Args:
        parameters: name to array; ``image_encoders.INDEX.*`` are read at every call and never copied.
        description: the image encoders.
        encode: from observations to the features besides images.
        threads: that share the rows of a batch of images; not needed without images.

    Attributes:
        num_inputs: I, of the hidden layers.
        image_encoders: one for each image in an observation.
    """

    def __init__(
        self,
        parameters: dict[str, np.ndarray],
        description: InputDescription,
        encode: ObservationEncoder,
        threads: RowThreads | None = None,
    ):
        self.encode = encode
        self.num_inputs = description.num_inputs
        self.image_encoders = [
            ImageEncoder(parameters, f"image_encoders.{index}", layers, image, threads or RowThreads())
            for index, (layers, image) in enumerate(zip(description.image_layers, description.images, strict=True))
        ]

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Inputs of the hidden layers ``[B, I]`` float32 for observations ``[B, *observation_space.shape]``."""
        features, images = self.forward(observations)
        release(images)
        return features

    def forward(self, observations: np.ndarray) -> tuple[np.ndarray, ImageTapes]:
        """As a call, and the tapes that ``backward`` needs."""
        if not self.image_encoders:
            return self.encode(observations), []
        features = np.empty((len(observations), self.num_inputs), np.float32)
        return features, self.forward_into(features, observations)

    def forward_into(self, features: np.ndarray, observations: np.ndarray, first_row: int = 0) -> ImageTapes:
        """Overwrite ``features`` ``[B, I]``, and return the tapes; ``first_row`` as in ``ImageEncoder.forward``."""
        tapes, first = [], 0
        for encoder in self.image_encoders:
            last = first + encoder.num_features
            tapes.append(encoder.forward(encoder.image.of(observations), features[:, first:last], first_row))
            first = last
        features[:, first:] = self.encode(observations)
        return tapes

    def backward(self, images: ImageTapes, grad_features: np.ndarray, gradient: dict[str, np.ndarray]) -> None:
        """Compute the gradient with respect to the parameters of the image encoders; overwrites their arrays.

        Args:
            images: tapes of ``forward``.
            grad_features: ``[B, I]`` or more columns, the gradient with respect to the inputs of the hidden layers;
                columns of images are overwritten.
            gradient: name to array in the parameter's shape.
        """
        first = 0
        for encoder, tapes in zip(self.image_encoders, images, strict=True):
            last = first + encoder.num_features
            encoder.backward(tapes, grad_features[:, first:last], gradient)
            first = last


def release(images: ImageTapes) -> None:
    """Return the memory of the tapes of each image encoder."""
    for tapes in images:
        for tape in tapes:
            tape.release()
