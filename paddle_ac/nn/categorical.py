"""The categorical distribution in NumPy, where actions are chosen and gradients are known in closed form."""

from __future__ import annotations

import numpy as np


def sample_categorical(logits: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw an action for each row by the Gumbel-max trick (Gumbel 1954): argmax of logits plus Gumbel noise.

    Args:
        logits: ``[B, A]`` float32.
        generator: the source of randomness; its state is part of a checkpoint.

    Returns:
        actions ``[B]`` int64.
    """
    return np.argmax(logits + generator.gumbel(size=logits.shape), axis=-1)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities ``[B, A]`` of logits ``[B, A]``, in nats; no logit is too large."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
