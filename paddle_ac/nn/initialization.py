"""Initial weights, drawn from a NumPy generator so that no other code in the process can change them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

Draw: TypeAlias = Callable[[tuple[int, int], float], np.ndarray]  # from a shape and a gain to weights of that shape


def weights_generator(seed: int, network: int = 0) -> np.random.Generator:
    """Generator of the initial weights of a run's network.

    Args:
        seed: of the run.
        network: 0 for the policy, another number for each further network of the algorithm.
    """
    # A spawn key keeps the stream apart from those of actions and environments, which are seeded with tuples.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(network,)))


def orthogonal(generator: np.random.Generator, shape: tuple[int, int], gain: float = 1.0) -> np.ndarray:
    """Orthogonal matrix times ``gain`` (Saxe et al. 2014, arXiv:1312.6120), ``shape`` float32.

    The shorter of the rows and the columns are orthogonal and each has the norm ``gain``.
    """
    q, r = np.linalg.qr(generator.standard_normal((max(shape), min(shape))))
    q *= np.where(np.diag(r) < 0, -gain, gain)  # without the signs, orthogonal matrices are not equally likely
    return (q if shape[0] >= shape[1] else q.T).astype(np.float32)


def xavier(generator: np.random.Generator, shape: tuple[int, int], gain: float = 1.0) -> np.ndarray:
    """Uniform weights whose variance is 2 / (inputs + outputs) (Glorot and Bengio 2010), ``shape`` float32.

    ``gain`` is not used: the scale follows from the shape alone.
    """
    bound = math.sqrt(6 / sum(shape))
    return generator.uniform(-bound, bound, shape).astype(np.float32)


INITIALIZATIONS: dict[str, Callable[[np.random.Generator, tuple[int, int], float], np.ndarray]] = {
    "orthogonal": orthogonal,
    "xavier": xavier,
}


def uniform_by_inputs(generator: np.random.Generator, shape: tuple[int, ...], num_inputs: int) -> np.ndarray:
    """Uniform weights or biases within ``1 / sqrt(num_inputs)``, PyTorch's default for linear layers, float32."""
    bound = 1 / math.sqrt(num_inputs)
    return generator.uniform(-bound, bound, shape).astype(np.float32)
