"""Optimisers on one flat vector of parameters, in place."""

from __future__ import annotations

from typing import Protocol

import numpy as np

# Parameters that are stepped at a time: what is computed on the way then stays in a core's cache.
BLOCK_SIZE = 32768

# The statistics of a unit that is never active fade to subnormal numbers, which processors are ten times slower with:
# every so many steps of Adam what has almost come to that is set to 0.
STEPS_BETWEEN_FLUSHES = 100


class Optimizer(Protocol):
    """Takes steps along gradients.

    Attributes:
        statistics: all of its state, arrays by name; a checkpoint keeps them, and processes may share them.
    """

    statistics: dict[str, np.ndarray]

    def step(self, gradient: np.ndarray, learning_rate: float) -> None:
        """Change the parameters in place; ``gradient`` is ``[P]`` float32."""
        ...


class RMSProp:
    """TF-style RMSProp, as OpenAI baselines and the A3C paper use it (Mnih et al. 2016, equations S2 and S3).

    The running mean square starts at 1, so that the first steps are small, and epsilon stands inside the root.

    Args:
        parameters: ``[P]`` float32, changed in place.
        decay: of the running mean square.
        epsilon: added to the mean square before the root.
        statistics: arrays to update in place; initial ones by default.
    """

    def __init__(
        self,
        parameters: np.ndarray,
        decay: float = 0.99,
        epsilon: float = 1e-5,
        statistics: dict[str, np.ndarray] | None = None,
    ):
        self.parameters = parameters
        self.decay = np.float32(decay)
        self.epsilon = np.float32(epsilon)
        self.statistics = statistics or self.initial_statistics(len(parameters))

    @staticmethod
    def initial_statistics(size: int) -> dict[str, np.ndarray]:
        """The statistics of P parameters before the first step."""
        return {"mean_square": np.ones(size, np.float32)}

    def step(self, gradient: np.ndarray, learning_rate: float) -> None:
        rate = np.float32(learning_rate)
        for first in range(0, len(gradient), BLOCK_SIZE):
            block = slice(first, first + BLOCK_SIZE)
            part, mean_squares = gradient[block], self.statistics["mean_square"][block]
            # From one reading of the statistics, which others may write: the difference of two could be negative.
            mean_square = mean_squares.copy()
            change = part * part
            change -= mean_square
            change *= 1 - self.decay
            mean_square += change
            mean_squares[...] = mean_square
            np.multiply(part, rate, out=change)
            change /= self._root(mean_square)
            self.parameters[block] -= change

    def _root(self, mean_square: np.ndarray) -> np.ndarray:
        """The divisor; overwrites the mean square."""
        mean_square += self.epsilon
        return np.sqrt(mean_square, out=mean_square)


class TorchRMSProp(RMSProp):
    """RMSProp as ``torch.optim.RMSprop`` computes it: the mean square starts at 0, epsilon is added to the root.

    Its first steps are up to ten times longer than those of ``RMSProp``, whose mean square starts at 1.
    """

    @staticmethod
    def initial_statistics(size: int) -> dict[str, np.ndarray]:
        """The statistics of P parameters before the first step."""
        return {"mean_square": np.zeros(size, np.float32)}

    def _root(self, mean_square: np.ndarray) -> np.ndarray:
        np.sqrt(mean_square, out=mean_square)
        mean_square += self.epsilon
        return mean_square


class Adam:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1), with its decay rates of 0.9 and 0.999.

    Args:
        parameters: ``[P]`` float32, changed in place.
        epsilon: added to the root of the mean square.
        statistics: arrays to update in place; initial ones by default.
    """

    def __init__(self, parameters: np.ndarray, epsilon: float = 1e-8, statistics: dict[str, np.ndarray] | None = None):
        self.parameters = parameters
        self.epsilon = np.float32(epsilon)
        self.statistics = statistics or self.initial_statistics(len(parameters))

    @staticmethod
    def initial_statistics(size: int) -> dict[str, np.ndarray]:
        """The statistics of P parameters before the first step."""
        return {
            "mean": np.zeros(size, np.float32),
            "mean_square": np.zeros(size, np.float32),
            "num_steps": np.zeros(1, np.int64),
        }

    def step(self, gradient: np.ndarray, learning_rate: float) -> None:
        self.statistics["num_steps"] += 1
        num_steps = int(self.statistics["num_steps"][0])
        step_size = np.float32(learning_rate / (1 - 0.9**num_steps))
        correction = np.float32(1 / (1 - 0.999**num_steps))
        for first in range(0, len(gradient), BLOCK_SIZE):
            block = slice(first, first + BLOCK_SIZE)
            part = gradient[block]
            means, mean_squares = self.statistics["mean"][block], self.statistics["mean_square"][block]
            mean, mean_square = means.copy(), mean_squares.copy()  # as RMSProp
            change = part - mean
            change *= np.float32(0.1)
            mean += change
            np.multiply(part, part, out=change)
            change -= mean_square
            change *= np.float32(0.001)
            mean_square += change
            if num_steps % STEPS_BETWEEN_FLUSHES == 0:
                mean[np.abs(mean) < 1e-30] = 0
                mean_square[mean_square < 1e-36] = 0
            means[...] = mean
            mean_squares[...] = mean_square
            mean_square *= correction
            root = np.sqrt(mean_square, out=mean_square)
            root += self.epsilon
            mean *= step_size
            mean /= root
            self.parameters[block] -= mean


OPTIMIZERS: dict[str, type[RMSProp] | type[Adam]] = {"rmsprop": RMSProp, "rmsprop_torch": TorchRMSProp, "adam": Adam}


def make_optimizer(
    name: str,
    parameters: np.ndarray,
    rmsprop_decay: float,
    epsilon: float,
    statistics: dict[str, np.ndarray] | None = None,
) -> Optimizer:
    """Make the optimiser of a name in ``OPTIMIZERS``; the arguments are those of the classes."""
    kind = OPTIMIZERS[name]
    if issubclass(kind, RMSProp):
        return kind(parameters, rmsprop_decay, epsilon, statistics)
    return kind(parameters, epsilon, statistics)


def clip_by_norm(gradient: np.ndarray, max_norm: float) -> tuple[np.ndarray, float]:
    """Scale a gradient down, in place, to a norm of ``max_norm`` where it is longer (Pascanu et al. 2013).

    Returns:
        the gradient ``[P]`` float32, and the norm that it had.
    """
    norm = float(np.sqrt(np.dot(gradient, gradient)))
    if norm > max_norm:
        gradient *= np.float32(max_norm / norm)
    return gradient, norm
