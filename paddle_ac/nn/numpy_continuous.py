"""Actors and critics of continuous actions in NumPy, on the parameters of ``nn.continuous_networks``.

Gradients are in closed form. Tests compare them with the Paddle networks and with Paddle's automatic differentiation of
the losses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from paddle_ac.nn.action_scale import ActionScale
from paddle_ac.nn.description import InputDescription
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.numpy_features import ImageTapes, NumpyFeatures, release
from paddle_ac.nn.numpy_layers import HiddenLayers, Linear
from paddle_ac.nn.threads import RowThreads

LOG_STD_RANGE = (-20.0, 2.0)  # of SAC's own code


@dataclass(frozen=True)
class Tape:
    """Intermediate results of a forward pass, for one backward pass.

    Attributes:
        hidden: the inputs of the hidden layers, and the outputs of each.
        images: of each image encoder.
    """

    hidden: list[np.ndarray]
    images: ImageTapes

    def release(self) -> None:
        """Return the memory of the image encoders; nothing can be differentiated any more."""
        release(self.images)


@dataclass(frozen=True)
class ChosenActions:
    """Actions of a policy, with the intermediate results that their gradients need.

    Attributes:
        actions: ``[B, A]`` float32, in the cube ``[-1, 1]^A``.
        tape: of the network.
    """

    actions: np.ndarray
    tape: Tape


@dataclass(frozen=True)
class DrawnActions(ChosenActions):
    """Sampled actions of a policy.

    Attributes:
        log_probabilities: ``[B]`` float32, in nats, of densities in the cube.
        deviations: ``[B, A]``, ``std * noise``, the sample's distance from the mean before tanh.
        within: ``[B, A]`` bool, the network's log-deviation is within ``LOG_STD_RANGE``.
    """

    log_probabilities: np.ndarray
    deviations: np.ndarray
    within: np.ndarray


class NumpyActor:
    """The layers of a policy.

    Args:
        parameters: name to array, as ``FlatParameters.views`` gives them; read at every call and never copied.
        inputs: how observations are read.
        encode: from observations to the features besides images.
        scale: from the cube to the actions' Box.
        activation: ``"tanh"`` or ``"relu"``.
        threads: that share the rows of a batch of images.
    """

    def __init__(
        self,
        parameters: dict[str, np.ndarray],
        inputs: InputDescription,
        encode: ObservationEncoder,
        scale: ActionScale,
        activation: str,
        threads: RowThreads | None = None,
    ):
        self.scale = scale
        self.features = NumpyFeatures(parameters, inputs, encode, threads)
        self.torso = HiddenLayers(parameters, "torso", activation, threads)
        self.head = Linear(parameters, "head")

    def outputs(self, observations: np.ndarray) -> np.ndarray:
        """Outputs of the head ``[B, O]`` for ``[B, *observation_space.shape]``."""
        return self.head(self.torso(self.features(observations))[-1])

    def _forward(self, observations: np.ndarray) -> tuple[np.ndarray, Tape]:
        features, images = self.features.forward(observations)
        hidden = self.torso(features)
        return self.head(hidden[-1]), Tape(hidden, images)

    def _backward(self, tape: Tape, grad_outputs: np.ndarray, gradient: dict[str, np.ndarray]) -> None:
        self.head.backward(tape.hidden[-1], grad_outputs, gradient)
        grad_hidden = self.head.grad_inputs(grad_outputs)
        grad_features = self.torso.backward(tape.hidden, grad_hidden, gradient, bool(tape.images))
        self.features.backward(tape.images, grad_features, gradient)
        tape.release()


class NumpySquashedGaussianActor(NumpyActor):
    """Samples actions and computes the gradient of a loss of them with respect to the parameters."""

    def act(self, observations: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Choose actions as ``SquashedGaussianActor.act`` does, from standard normal noise ``[B, A]``."""
        outputs = self.outputs(observations)
        num_actions = self.scale.num_actions
        mean, std = outputs[:, :num_actions], np.exp(np.clip(outputs[:, num_actions:], *LOG_STD_RANGE))
        return self.scale.to_box(np.tanh(mean + std * noise))

    def sample(self, observations: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """As ``draw``, without the intermediate results: actions ``[B, A]`` and log-probabilities ``[B]``."""
        drawn = self.draw(observations, generator)
        drawn.tape.release()
        return drawn.actions, drawn.log_probabilities

    def draw(self, observations: np.ndarray, generator: np.random.Generator) -> DrawnActions:
        """Sample actions for ``[B, *observation_space.shape]``, with noise of the generator."""
        outputs, tape = self._forward(observations)
        num_actions = self.scale.num_actions
        mean, unclipped = outputs[:, :num_actions], outputs[:, num_actions:]
        log_std = np.clip(unclipped, *LOG_STD_RANGE)
        noise = generator.standard_normal(mean.shape, np.float32)
        deviations = np.exp(log_std) * noise
        unsquashed = mean + deviations
        return DrawnActions(
            actions=np.tanh(unsquashed),
            tape=tape,
            log_probabilities=squashed_log_probabilities(unsquashed, noise, log_std),
            deviations=deviations,
            within=unclipped == log_std,
        )

    def backward(
        self,
        drawn: DrawnActions,
        grad_actions: np.ndarray,
        grad_log_probability: float,
        gradient: dict[str, np.ndarray],
    ) -> None:
        """Gradient with respect to the parameters, for a loss of actions and their log-probabilities.

        With ``a = tanh(u)``, ``u = mean + std * noise``: ``da/du = 1 - a^2``, ``dlog pi/du = 2 a``; for given
        noise, the density of the Gaussian depends on the deviation alone: ``dlog pi/dlog std = -1``.

        Args:
            drawn: the result of ``draw``, whose tape is released.
            grad_actions: gradient of the loss with respect to the actions, ``[B, A]``.
            grad_log_probability: that with respect to each log-probability, the same for all.
            gradient: name to array in the parameter's shape; overwritten.
        """
        weight = np.float32(grad_log_probability)
        grad_mean = grad_actions * (1 - drawn.actions * drawn.actions) + 2 * weight * drawn.actions
        grad_log_std = (grad_mean * drawn.deviations - weight) * drawn.within
        self._backward(drawn.tape, np.concatenate([grad_mean, grad_log_std], axis=1), gradient)


def squashed_log_probabilities(unsquashed: np.ndarray, noise: np.ndarray, log_std: np.ndarray) -> np.ndarray:
    """Log-densities ``[B]`` of ``tanh(unsquashed)``, in nats (Haarnoja et al. 2018, arXiv:1812.05905, equation 26).

    ``log(1 - tanh(u)^2)`` is computed as ``2 * (log 2 - u - softplus(-2 u))``, which is exact for large ``u`` too.

    Args:
        unsquashed: ``[B, A]``, drawn from a Gaussian.
        noise: ``[B, A]``, how many standard deviations they are from its mean.
        log_std: ``[B, A]``, logarithm of the deviation.
    """
    softplus = np.logaddexp(np.float32(0), -2 * unsquashed)
    correction = 2 * (np.float32(math.log(2)) - unsquashed - softplus)
    return (-0.5 * noise * noise - log_std - np.float32(0.5 * math.log(2 * math.pi)) - correction).sum(axis=-1)


class NumpyDeterministicActor(NumpyActor):
    """Chooses one action for each state and computes the gradient of a loss of it with respect to the parameters."""

    def act(self, observations: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Choose actions as ``DeterministicActor.act`` does, plus noise ``[B, A]`` in units of the cube."""
        return self.scale.to_box(self.actions(observations) + noise)

    def actions(self, observations: np.ndarray) -> np.ndarray:
        """Actions ``[B, A]`` in the cube for ``[B, *observation_space.shape]``."""
        return np.tanh(self.outputs(observations))

    def choose(self, observations: np.ndarray) -> ChosenActions:
        """As ``actions``, with the intermediate results."""
        outputs, tape = self._forward(observations)
        return ChosenActions(np.tanh(outputs), tape)

    def backward(self, chosen: ChosenActions, grad_actions: np.ndarray, gradient: dict[str, np.ndarray]) -> None:
        """Gradient with respect to the parameters, for a loss of the actions.

        Args:
            chosen: the result of ``choose``, whose tape is released.
            grad_actions: gradient of the loss with respect to the actions, ``[B, A]``.
            gradient: name to array in the parameter's shape; overwritten.
        """
        self._backward(chosen.tape, grad_actions * (1 - chosen.actions * chosen.actions), gradient)


class NumpyStackedCritics:
    """K estimates of the value of actions, and their gradients.

    Args:
        parameters: name to array, as ``ParameterLayout.views`` gives them; read at every call and never copied.
        inputs: how observations are read.
        encode: from observations to the features besides images.
        activation: ``"tanh"`` or ``"relu"``.
        threads: that share the rows of a batch of images.
    """

    def __init__(
        self,
        parameters: dict[str, np.ndarray],
        inputs: InputDescription,
        encode: ObservationEncoder,
        activation: str,
        threads: RowThreads | None = None,
    ):
        self.features = NumpyFeatures(parameters, inputs, encode, threads)
        self.torso = HiddenLayers(parameters, "torso", activation)
        self.head = Linear(parameters, "head")

    def values(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """As ``forward``, without the tape."""
        values, tape = self.forward(observations, actions)
        tape.release()
        return values

    def forward(self, observations: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, Tape]:
        """Values ``[K, B]`` float32, and the tape for what follows.

        Args:
            observations: ``[B, *observation_space.shape]``.
            actions: ``[B, A]`` float32, in the cube.
        """
        features, images = self.features.forward(observations)
        hidden = self.torso(np.concatenate([features, actions], axis=1))
        return self.head(hidden[-1])[..., 0], Tape(hidden, images)

    def backward(self, tape: Tape, grad_values: np.ndarray, gradient: dict[str, np.ndarray]) -> None:
        """Compute the gradient of a loss with respect to the parameters.

        Args:
            tape: of ``forward``; released.
            grad_values: its gradient with respect to the values, ``[K, B]``.
            gradient: name to array in the parameter's shape; overwritten.
        """
        grad_outputs = grad_values[..., np.newaxis]
        self.head.backward(tape.hidden[-1], grad_outputs, gradient)
        grad_hidden = self.head.grad_inputs(grad_outputs)
        grad_inputs = self.torso.backward(tape.hidden, grad_hidden, gradient, bool(tape.images))
        if tape.images:
            self.features.backward(tape.images, grad_inputs.sum(axis=0), gradient)
        tape.release()

    def grad_actions(self, tape: Tape, grad_values: np.ndarray) -> np.ndarray:
        """Gradient of a loss with respect to the actions ``[B, A]``, from that with respect to the values ``[K, B]``.

        The tape is released.
        """
        tape.release()
        grad_outputs = grad_values[..., np.newaxis]
        grad_inputs = self.torso.grad_inputs(tape.hidden, self.head.grad_inputs(grad_outputs)).sum(axis=0)
        return grad_inputs[:, self.features.num_inputs :]
