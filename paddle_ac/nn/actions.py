"""Action distributions for every kind of action space, in NumPy, with their gradients in closed form.

``ActionDistribution`` belongs to an action space; called with the outputs of an actor's head, it returns a
``Policy``: the distribution for each row of a batch, which knows log-probabilities, entropies and their gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from multiprocessing_env import space_kind
from paddle_ac.nn.action_scale import ActionScale

LOG_2_PI = math.log(2 * math.pi)


class Policy(Protocol):
    """Distributions of actions for a batch of B outputs."""

    def log_prob(self, actions: np.ndarray) -> np.ndarray:
        """Log-probabilities or log-densities ``[B]`` of actions ``[B, *action_space.shape]``, in nats."""
        ...

    def entropy(self) -> np.ndarray:
        """Entropies ``[B]``, in nats."""
        ...

    def backward(self, actions: np.ndarray, grad_log_prob: np.ndarray, grad_entropy: np.float32) -> np.ndarray:
        """Gradient of a loss with respect to the outputs, ``[B, num_outputs]``.

        Args:
            actions: ``[B, *action_space.shape]``.
            grad_log_prob: ``[B]`` float32, its gradient with respect to the log-probabilities of these actions.
            grad_entropy: its gradient with respect to each entropy, the same for all.
        """
        ...


class ActionDistribution(Protocol):
    """The distributions of actions in one action space, each given by ``num_outputs`` numbers."""

    num_outputs: int

    def __call__(self, outputs: np.ndarray) -> Policy:
        """The distributions for outputs ``[B, num_outputs]`` float32."""
        ...

    def sample(self, outputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Draw actions ``[B, *action_space.shape]``; the generator's state is part of a checkpoint."""
        ...

    def mode(self, outputs: np.ndarray) -> np.ndarray:
        """The most probable actions ``[B, *action_space.shape]``."""
        ...

    def describe(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """Numbers for histograms: ``probabilities``, or ``means`` and ``deviations``, ``[B, any]`` float32."""
        ...


class Categorical:
    """One of A actions for each row.

    Args:
        logits: ``[B, A]`` float32, unnormalised log-probabilities.
    """

    def __init__(self, logits: np.ndarray):
        self.log_p = log_softmax(logits)
        self.p = np.exp(self.log_p)
        self._entropy = -(self.p * self.log_p).sum(axis=-1)

    def log_prob(self, actions: np.ndarray) -> np.ndarray:
        """As ``Policy.log_prob``."""
        return self.log_p[np.arange(len(actions)), actions]

    def entropy(self) -> np.ndarray:
        """As ``Policy.entropy``."""
        return self._entropy

    def backward(self, actions: np.ndarray, grad_log_prob: np.ndarray, grad_entropy: np.float32) -> np.ndarray:
        """As ``Policy.backward``: ``dlog p(a)/dlogits = onehot(a) - p`` and ``dH/dlogits = -p * (log p + H)``."""
        grad = self.p * -grad_log_prob[:, np.newaxis]
        grad[np.arange(len(actions)), actions] += grad_log_prob
        grad += -grad_entropy * self.p * (self.log_p + self._entropy[:, np.newaxis])
        return grad


class CategoricalActions:
    """One of A actions: a Discrete space from 0."""

    def __init__(self, num_actions: int):
        self.num_outputs = num_actions

    def __call__(self, outputs: np.ndarray) -> Categorical:
        return Categorical(outputs)

    def sample(self, outputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return sample_categorical(outputs, generator)

    def mode(self, outputs: np.ndarray) -> np.ndarray:
        return outputs.argmax(axis=-1)

    def describe(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        return {"probabilities": np.exp(log_softmax(outputs))}


class MultiCategorical:
    """Several independent choices for each row.

    Args:
        choices: the distribution of each.
    """

    def __init__(self, choices: list[Categorical]):
        self.choices = choices

    def log_prob(self, actions: np.ndarray) -> np.ndarray:
        """As ``Policy.log_prob``."""
        return np.sum([choice.log_prob(chosen) for choice, chosen in self._with_actions(actions)], axis=0)

    def entropy(self) -> np.ndarray:
        """As ``Policy.entropy``."""
        return np.sum([choice.entropy() for choice in self.choices], axis=0)

    def backward(self, actions: np.ndarray, grad_log_prob: np.ndarray, grad_entropy: np.float32) -> np.ndarray:
        """As ``Policy.backward``: the gradients of the choices side by side."""
        parts = [choice.backward(a, grad_log_prob, grad_entropy) for choice, a in self._with_actions(actions)]
        return np.concatenate(parts, axis=1)

    def _with_actions(self, actions: np.ndarray) -> list[tuple[Categorical, np.ndarray]]:
        return list(zip(self.choices, actions.reshape(len(actions), -1).T, strict=True))


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

    def __call__(self, outputs: np.ndarray) -> MultiCategorical:
        return MultiCategorical([Categorical(part) for part in self._split(outputs)])

    def sample(self, outputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        parts = zip(self.choices, self._split(outputs), strict=True)
        return self._join([choice.sample(part, generator) for choice, part in parts])

    def mode(self, outputs: np.ndarray) -> np.ndarray:
        return self._join([choice.mode(part) for choice, part in zip(self.choices, self._split(outputs), strict=True)])

    def describe(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        return {"probabilities": np.exp(np.concatenate([log_softmax(part) for part in self._split(outputs)], axis=1))}

    def _split(self, outputs: np.ndarray) -> list[np.ndarray]:
        return np.split(outputs, self.ends, axis=1)

    def _join(self, actions: list[np.ndarray]) -> np.ndarray:
        return np.stack(actions, axis=1).reshape(-1, *self.shape)


class Bernoulli:
    """Independent switches for each row.

    Args:
        logits: ``[B, A]`` float32, log(p / (1 - p)) of being on.
    """

    def __init__(self, logits: np.ndarray):
        self.logits = logits
        self.p = np.exp(-np.logaddexp(np.float32(0), -logits))
        self._log_normalizer = np.logaddexp(np.float32(0), logits)  # -log(1 - p)

    def log_prob(self, actions: np.ndarray) -> np.ndarray:
        """As ``Policy.log_prob``."""
        return (_as_switches(actions) * self.logits - self._log_normalizer).sum(axis=-1)

    def entropy(self) -> np.ndarray:
        """As ``Policy.entropy``."""
        return (self._log_normalizer - self.p * self.logits).sum(axis=-1)

    def backward(self, actions: np.ndarray, grad_log_prob: np.ndarray, grad_entropy: np.float32) -> np.ndarray:
        """As ``Policy.backward``: ``dlog p(a)/dlogit = a - p`` and ``dH/dlogit = -logit * p * (1 - p)``."""
        grad = (_as_switches(actions) - self.p) * grad_log_prob[:, np.newaxis]
        grad += -grad_entropy * self.logits * self.p * (1 - self.p)
        return grad


def _as_switches(actions: np.ndarray) -> np.ndarray:
    return actions.reshape(len(actions), -1).astype(np.float32)


class BernoulliActions:
    """Independent switches, by the logits of their being on: a MultiBinary space.

    Args:
        shape: of the space.
    """

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape
        self.num_outputs = math.prod(shape)

    def __call__(self, outputs: np.ndarray) -> Bernoulli:
        return Bernoulli(outputs)

    def sample(self, outputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        on = outputs > generator.logistic(size=outputs.shape)  # as the logistic distribution's quantile is the logit
        return on.astype(np.int8).reshape(-1, *self.shape)

    def mode(self, outputs: np.ndarray) -> np.ndarray:
        return (outputs > 0).astype(np.int8).reshape(-1, *self.shape)

    def describe(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """The probabilities of being on."""
        return {"probabilities": np.exp(-np.logaddexp(np.float32(0), -outputs))}


class Gaussian:
    """Independent normal distributions for each row, in the units of ``ActionScale``.

    Args:
        outputs: ``[B, 2 * A]`` float32, means and logarithms of standard deviations side by side.
        scale: the map between these units and the actions of the Box.
    """

    def __init__(self, outputs: np.ndarray, scale: ActionScale):
        self.means, self.log_stds = np.split(outputs, 2, axis=1)
        self.scale = scale

    def log_prob(self, actions: np.ndarray) -> np.ndarray:
        """As ``Policy.log_prob``, of densities in the units of ``ActionScale``."""
        z, _ = self._standardize(actions)
        return (-0.5 * z * z - self.log_stds - np.float32(0.5 * LOG_2_PI)).sum(axis=-1)

    def entropy(self) -> np.ndarray:
        """As ``Policy.entropy``."""
        return (self.log_stds + np.float32(0.5 * (1 + LOG_2_PI))).sum(axis=-1)

    def backward(self, actions: np.ndarray, grad_log_prob: np.ndarray, grad_entropy: np.float32) -> np.ndarray:
        """As ``Policy.backward``: with ``z = (a - mean) / std``, ``z / std`` at the means, ``z^2 - 1`` at log std.

        The entropy's gradient ends at ``ActionScale.largest_log_std``. Beyond it, clipping turns most samples into the
        bounds, and an entropy bonus would widen the Gaussian without limit.
        """
        z, inverse_stds = self._standardize(actions)
        weights = grad_log_prob[:, np.newaxis]
        of_entropy = grad_entropy * (self.log_stds < self.scale.largest_log_std)
        return np.concatenate([weights * z * inverse_stds, weights * (z * z - 1) + of_entropy], axis=1)

    def _standardize(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inverse_stds = np.exp(-self.log_stds)
        return (self.scale.to_units(actions) - self.means) * inverse_stds, inverse_stds


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

    def __call__(self, outputs: np.ndarray) -> Gaussian:
        return Gaussian(outputs, self.scale)

    def sample(self, outputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        means, log_stds = np.split(outputs, 2, axis=1)
        noise = generator.standard_normal(means.shape, np.float32)
        return self.scale.to_actions(means + np.exp(log_stds) * noise)

    def mode(self, outputs: np.ndarray) -> np.ndarray:
        return self.scale.to_actions(np.split(outputs, 2, axis=1)[0])

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
    """Return a function that clips actions ``[N, ...]`` of a Box to its bounds, and returns others unchanged."""
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
    return (logits + generator.gumbel(size=logits.shape)).argmax(axis=-1)


def expected_q(logits: np.ndarray, q_values: np.ndarray) -> np.ndarray:
    """``V(s) = sum_a pi(a|s) Q(s, a)``, ``[B]`` float32, of logits and Q(s, .), both ``[B, A]``."""
    return (np.exp(log_softmax(logits)) * q_values).sum(axis=-1)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities ``[B, A]`` of logits ``[B, A]``, in nats; no logit is too large."""
    # The largest of each row by columns: NumPy's reductions over a short last axis are several times slower.
    shifted = logits - np.maximum.reduce(np.ascontiguousarray(logits.T), axis=0)[:, np.newaxis]
    return shifted - np.log(np.add.reduce(np.exp(shifted), axis=-1, keepdims=True))
