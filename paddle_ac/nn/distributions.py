"""Action distributions, computed from ``log_softmax`` alone.

``paddle.distribution.Categorical`` is not used: it samples from and takes the entropy of softmax(x), but its
``log_prob`` takes x for unnormalised probabilities (Paddle 3.3), so that a policy gradient built on it is wrong.
"""

from __future__ import annotations

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
