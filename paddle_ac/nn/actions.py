"""How actions come from what the actor's head puts out, for every kind of action space, in NumPy.

Actions are drawn here, and the gradient of the loss at the head's outputs is known in closed form; ``distributions.py``
has the same distributions in Paddle, which tests compare these with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from multiprocessing_env import space_kind
from paddle_ac.nn.action_scale import ActionScale

LOG_2_PI = math.log(2 * math.pi)


class ActionDistribution(Protocol):
    """A distribution of actions for each row of outputs ``[B, num_outputs]`` float32."""

    num_outputs: int

    def sample(self, outputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Draw actions ``[B, *action_space.shape]``; the generator's state is part of a checkpoint."""
        ...

    def mode(self, outputs: np.ndarray) -> np.ndarray:
        """The most probable actions ``[B, *action_space.shape]``."""
        ...

    def loss_gradient(
        self, outputs: np.ndarray, actions: np.ndarray, advantages: np.ndarray, entropy_coef: np.float32
    ) -> tuple[float, float, np.ndarray]:
        """The actor's loss ``sum(-log pi(a) * advantage)`` and the entropy, summed over the batch, and their gradient.

        Args:
            outputs: ``[B, num_outputs]``.
            actions: ``[B, *action_space.shape]``.
            advantages: ``[B]`` float32, held constant.
            entropy_coef: weight of the entropy bonus.

        Returns:
            loss, entropy in nats, and the gradient of ``loss - entropy_coef * entropy`` at the outputs.
        """
        ...

    def describe(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """What a histogram is made of: ``probabilities``, or ``means`` and ``deviations``, ``[B, any]`` float32."""
        ...


class CategoricalActions:
    """One of A actions, by their logits: a Discrete space from 0."""

    def __init__(self, num_actions: int):
        self.num_outputs = num_actions

    def sample(self, outputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return sample_categorical(outputs, generator)

    def mode(self, outputs: np.ndarray) -> np.ndarray:
        return np.argmax(outputs, axis=-1)

    def loss_gradient(
        self, outputs: np.ndarray, actions: np.ndarray, advantages: np.ndarray, entropy_coef: np.float32
    ) -> tuple[float, float, np.ndarray]:
        """``(p - onehot(a)) * A + entropy_coef * p * (log p + H)`` at the logits."""
        rows = np.arange(len(actions))
        log_p = log_softmax(outputs)
        p = np.exp(log_p)
        entropies = -(p * log_p).sum(axis=-1)
        at_outputs = p * advantages[:, np.newaxis]
        at_outputs[rows, actions] -= advantages
        at_outputs += entropy_coef * p * (log_p + entropies[:, np.newaxis])
        return -float(np.sum(log_p[rows, actions] * advantages)), float(np.sum(entropies)), at_outputs

    def describe(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        return {"probabilities": np.exp(log_softmax(outputs))}


class MultiCategoricalActions:
    """Several independent choices, by the logits of each side by side: a MultiDiscrete space.

    Args:
        nvec: actions of each choice; an array in the shape of the space.
    """

    def __init__(self, nvec: np.ndarray):
        self.shape = nvec.shape
        self.choices = [CategoricalActions(int(num_actions)) for num_actions in nvec.ravel()]
        self.ends = np.cumsum(nvec.ravel())[:-1]
        self.num_outputs = int(nvec.sum())

    def sample(self, outputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        parts = zip(self.choices, self._split(outputs), strict=True)
        return self._join([choice.sample(part, generator) for choice, part in parts])

    def mode(self, outputs: np.ndarray) -> np.ndarray:
        return self._join([choice.mode(part) for choice, part in zip(self.choices, self._split(outputs), strict=True)])

    def loss_gradient(
        self, outputs: np.ndarray, actions: np.ndarray, advantages: np.ndarray, entropy_coef: np.float32
    ) -> tuple[float, float, np.ndarray]:
        """The sum of what the choices have: they are independent."""
        chosen = actions.reshape(len(actions), -1).T
        parts = [
            choice.loss_gradient(part, chosen_here, advantages, entropy_coef)
            for choice, part, chosen_here in zip(self.choices, self._split(outputs), chosen, strict=True)
        ]
        losses, entropies, at_outputs = zip(*parts, strict=True)
        return sum(losses), sum(entropies), np.concatenate(at_outputs, axis=1)

    def describe(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        return {"probabilities": np.exp(np.concatenate([log_softmax(part) for part in self._split(outputs)], axis=1))}

    def _split(self, outputs: np.ndarray) -> list[np.ndarray]:
        return np.split(outputs, self.ends, axis=1)

    def _join(self, actions: list[np.ndarray]) -> np.ndarray:
        return np.stack(actions, axis=1).reshape(-1, *self.shape)


class BernoulliActions:
    """Independent switches, by the logits of their being on: a MultiBinary space.

    Args:
        shape: of the space.
    """

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape
        self.num_outputs = math.prod(shape)

    def sample(self, outputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        on = outputs > generator.logistic(size=outputs.shape)  # as the logistic distribution's quantile is the logit
        return on.astype(np.int8).reshape(-1, *self.shape)

    def mode(self, outputs: np.ndarray) -> np.ndarray:
        return (outputs > 0).astype(np.int8).reshape(-1, *self.shape)

    def loss_gradient(
        self, outputs: np.ndarray, actions: np.ndarray, advantages: np.ndarray, entropy_coef: np.float32
    ) -> tuple[float, float, np.ndarray]:
        """With probabilities p of being on: ``(p - a) * A + entropy_coef * logit * p * (1 - p)`` at the logits."""
        on = actions.reshape(len(actions), -1).astype(np.float32)
        p = np.exp(-np.logaddexp(np.float32(0), -outputs))
        log_normalizer = np.logaddexp(np.float32(0), outputs)  # -log(1 - p)
        log_probs = (on * outputs - log_normalizer).sum(axis=-1)
        entropy = float(np.sum(log_normalizer - p * outputs))
        at_outputs = (p - on) * advantages[:, np.newaxis] + entropy_coef * outputs * p * (1 - p)
        return -float(np.sum(log_probs * advantages)), entropy, at_outputs

    def describe(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """The probabilities of being on."""
        return {"probabilities": np.exp(-np.logaddexp(np.float32(0), -outputs))}


class GaussianActions:
    """Independent normal distributions in the units of ``ActionScale``: a Box space.

    The outputs are means and logarithms of standard deviations side by side. Log-probabilities and entropies are those
    of densities in these units; in the units of the environment they differ by a constant. Sampled actions may lie
    outside the Box; the environment receives them clipped.

    Args:
        action_space: a Box of floats.
    """

    def __init__(self, action_space: Any):
        self.scale = ActionScale(action_space)
        self.num_outputs = 2 * self.scale.num_actions

    def sample(self, outputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        means, log_stds = np.split(outputs, 2, axis=1)
        noise = generator.standard_normal(means.shape, np.float32)
        return self.scale.to_actions(means + np.exp(log_stds) * noise)

    def mode(self, outputs: np.ndarray) -> np.ndarray:
        return self.scale.to_actions(np.split(outputs, 2, axis=1)[0])

    def loss_gradient(
        self, outputs: np.ndarray, actions: np.ndarray, advantages: np.ndarray, entropy_coef: np.float32
    ) -> tuple[float, float, np.ndarray]:
        """With ``z = (a - mean) / std``: ``-A * z / std`` at the means, ``A * (1 - z^2) - entropy_coef`` at log std.

        The entropy bonus ends at ``ActionScale.largest_log_std``. Beyond it, clipping turns most samples into the
        bounds, and the bonus would widen the Gaussian without limit.
        """
        means, log_stds = np.split(outputs, 2, axis=1)
        inverse_stds = np.exp(-log_stds)
        z = (self.scale.to_units(actions) - means) * inverse_stds
        log_probs = (-0.5 * z * z - log_stds - np.float32(0.5 * LOG_2_PI)).sum(axis=-1)
        entropy = float(np.sum(log_stds + np.float32(0.5 * (1 + LOG_2_PI))))
        weights = advantages[:, np.newaxis]
        bonus = entropy_coef * (log_stds < self.scale.largest_log_std)
        at_outputs = np.concatenate([-weights * z * inverse_stds, weights * (1 - z * z) - bonus], axis=1)
        return -float(np.sum(log_probs * advantages)), entropy, at_outputs

    def describe(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        means, log_stds = np.split(outputs, 2, axis=1)
        return {"means": means, "deviations": np.exp(log_stds)}


def action_distribution(action_space: Any) -> ActionDistribution:
    """The distribution for an action space.

    Raises:
        TypeError: a space that there is none for, or whose actions do not begin at 0.
    """
    kind = space_kind(action_space)
    if kind == "Box" and np.issubdtype(action_space.dtype, np.floating):
        return GaussianActions(action_space)
    if kind == "MultiBinary":
        return BernoulliActions(action_space.shape)
    if kind in ("Discrete", "MultiDiscrete") and not np.any(getattr(action_space, "start", 0)):
        if kind == "Discrete":
            return CategoricalActions(int(action_space.n))
        return MultiCategoricalActions(np.asarray(action_space.nvec))
    raise TypeError("takes Box (of floats), MultiBinary, and Discrete and MultiDiscrete action spaces that begin at 0")


def clip_for(action_space: Any) -> Callable[[np.ndarray], np.ndarray]:
    """What makes actions ``[N, ...]`` fit for the environment: those of a Box are clipped to its bounds."""
    if space_kind(action_space) != "Box":
        return lambda actions: actions
    return lambda actions: np.clip(actions, action_space.low, action_space.high)


def sample_categorical(logits: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw an action for each row by the Gumbel-max trick (Gumbel 1954): argmax of logits plus Gumbel noise.

    Args:
        logits: ``[B, A]`` float32.
        generator: the source of randomness.

    Returns:
        actions ``[B]`` int64.
    """
    return np.argmax(logits + generator.gumbel(size=logits.shape), axis=-1)


def expected_q(logits: np.ndarray, q_values: np.ndarray) -> np.ndarray:
    """``V(s) = sum_a pi(a|s) Q(s, a)``, ``[B]`` float32, of logits and Q(s, .), both ``[B, A]``."""
    return (np.exp(log_softmax(logits)) * q_values).sum(axis=-1)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities ``[B, A]`` of logits ``[B, A]``, in nats; no logit is too large."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
