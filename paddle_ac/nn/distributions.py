"""Action distributions, computed from ``log_softmax`` alone.

``paddle.distribution.Categorical`` is not used: it samples from and takes the entropy of softmax(x), but its
``log_prob`` takes x for unnormalised probabilities (Paddle 3.3), so that a policy gradient built on it is wrong.
"""

from __future__ import annotations

import math

import paddle
import paddle.nn.functional as F


class Categorical:
    """One of A actions for each row of a batch.

    Args:
        logits: ``[B, A]`` float32, unnormalised log-probabilities.
    """

    def __init__(self, logits: paddle.Tensor):
        self.log_probabilities = F.log_softmax(logits, axis=-1)

    def log_prob(self, actions: paddle.Tensor) -> paddle.Tensor:
        """Log-probability ``[B]`` of actions ``[B]`` int64, in nats."""
        chosen = paddle.take_along_axis(self.log_probabilities, actions.unsqueeze(-1), axis=-1)
        return chosen.squeeze(-1)

    def entropy(self) -> paddle.Tensor:
        """Entropy ``[B]``, in nats."""
        return -(self.log_probabilities.exp() * self.log_probabilities).sum(axis=-1)


class SquashedGaussian:
    """tanh of a diagonal Gaussian: actions within the cube ``[-1, 1]^A`` (Haarnoja et al. 2018, arXiv:1812.05905, C).

    Args:
        mean: ``[B, A]`` float32, of the Gaussian.
        log_std: ``[B, A]`` float32, logarithm of its standard deviation.
    """

    def __init__(self, mean: paddle.Tensor, log_std: paddle.Tensor):
        self.mean = mean
        self.log_std = log_std

    def sample(self, noise: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Actions ``[B, A]`` from standard normal noise ``[B, A]``, reparameterised, and log-probabilities ``[B]``.

        The correction ``log(1 - tanh(u)^2)`` is ``2 * (log 2 - u - softplus(-2 u))``, which no ``u`` is too large for.
        """
        unsquashed = self.mean + self.log_std.exp() * noise
        gaussian = -0.5 * noise**2 - self.log_std - 0.5 * math.log(2 * math.pi)
        correction = 2 * (math.log(2) - unsquashed - F.softplus(-2 * unsquashed))
        return unsquashed.tanh(), (gaussian - correction).sum(axis=-1)
