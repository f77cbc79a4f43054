"""Action distributions in Paddle, which those in NumPy are compared with.

``paddle.distribution.Categorical`` is not used: it samples from and takes the entropy of softmax(x), but its
``log_prob`` takes x for unnormalised probabilities (Paddle 3.3), so that a policy gradient built on it is wrong.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import paddle
import paddle.nn.functional as F

from multiprocessing_env import space_kind
from paddle_ac.nn.action_scale import ActionScale
from paddle_ac.nn.actions import LOG_2_PI


class Distribution(Protocol):
    """A distribution of actions for each row of a batch."""

    def log_prob(self, actions: paddle.Tensor) -> paddle.Tensor:
        """Log-probability or log-density ``[B]`` of actions ``[B, *action_space.shape]``, in nats."""
        ...

    def entropy(self) -> paddle.Tensor:
        """Entropy ``[B]``, in nats."""
        ...


class Categorical:
    """One of A actions for each row of a batch.

    Args:
        logits: ``[B, A]`` float32, unnormalised log-probabilities.
    """

    def __init__(self, logits: paddle.Tensor):
        self.log_probabilities = F.log_softmax(logits, axis=-1)

    def log_prob(self, actions: paddle.Tensor) -> paddle.Tensor:
        chosen = paddle.take_along_axis(self.log_probabilities, actions.unsqueeze(-1), axis=-1)
        return chosen.squeeze(-1)

    def entropy(self) -> paddle.Tensor:
        return -(self.log_probabilities.exp() * self.log_probabilities).sum(axis=-1)


class MultiCategorical:
    """Several independent choices for each row of a batch.

    Args:
        logits: ``[B, sum(nvec)]`` float32, those of each choice side by side.
        nvec: actions of each choice.
    """

    def __init__(self, logits: paddle.Tensor, nvec: np.ndarray):
        self.choices = [Categorical(part) for part in paddle.split(logits, nvec.ravel().tolist(), axis=-1)]

    def log_prob(self, actions: paddle.Tensor) -> paddle.Tensor:
        chosen = actions.flatten(1).unbind(axis=1)
        return paddle.add_n([choice.log_prob(a) for choice, a in zip(self.choices, chosen, strict=True)])

    def entropy(self) -> paddle.Tensor:
        return paddle.add_n([choice.entropy() for choice in self.choices])


class Bernoulli:
    """Independent switches for each row of a batch.

    Args:
        logits: ``[B, A]`` float32, log(p / (1 - p)) of being on.
    """

    def __init__(self, logits: paddle.Tensor):
        self.logits = logits

    def log_prob(self, actions: paddle.Tensor) -> paddle.Tensor:
        on = actions.flatten(1).astype(self.logits.dtype)
        return (on * self.logits - F.softplus(self.logits)).sum(axis=-1)

    def entropy(self) -> paddle.Tensor:
        return (F.softplus(self.logits) - F.sigmoid(self.logits) * self.logits).sum(axis=-1)


class Gaussian:
    """Independent normal distributions for each row of a batch, in the units of ``ActionScale``.

    Args:
        outputs: ``[B, 2 * A]`` float32, means and logarithms of standard deviations side by side.
        scale: the map between these units and the actions of the Box.
    """

    def __init__(self, outputs: paddle.Tensor, scale: ActionScale):
        self.means, self.log_stds = paddle.chunk(outputs, 2, axis=-1)
        self.centre, self.half_range, self.largest_log_std = (
            paddle.to_tensor(array.ravel()) for array in (scale.centre, scale.half_range, scale.largest_log_std)
        )

    def log_prob(self, actions: paddle.Tensor) -> paddle.Tensor:
        """Log-density ``[B]`` in units of ``ActionScale``, of actions ``[B, *action_space.shape]`` of the Box."""
        units = (actions.flatten(1) - self.centre) / self.half_range
        z = (units - self.means) / self.log_stds.exp()
        return (-0.5 * z.square() - self.log_stds - 0.5 * LOG_2_PI).sum(axis=-1)

    def entropy(self) -> paddle.Tensor:
        """Entropy ``[B]`` of the density, without a gradient beyond ``ActionScale.largest_log_std``."""
        log_stds = paddle.where(self.log_stds < self.largest_log_std, self.log_stds, self.log_stds.detach())
        return (log_stds + 0.5 * (1 + LOG_2_PI)).sum(axis=-1)


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
        gaussian = -0.5 * noise**2 - self.log_std - 0.5 * LOG_2_PI
        correction = 2 * (math.log(2) - unsquashed - F.softplus(-2 * unsquashed))
        return unsquashed.tanh(), (gaussian - correction).sum(axis=-1)


def make_distribution(action_space: Any, outputs: paddle.Tensor) -> Distribution:
    """The distribution for an action space, of what an ``ActorCritic`` puts out ``[B, num_outputs]``."""
    kind = space_kind(action_space)
    if kind == "Box":
        return Gaussian(outputs, ActionScale(action_space))
    if kind == "MultiBinary":
        return Bernoulli(outputs)
    if kind == "MultiDiscrete":
        return MultiCategorical(outputs, np.asarray(action_space.nvec))
    return Categorical(outputs)
