"""``SquashedGaussianActor`` and ``TwinCritic`` in NumPy, on the same parameters, with their gradients in closed form.

Tests compare them with the Paddle networks and with Paddle's automatic differentiation of the losses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from paddle_ac.nn.action_scale import ActionScale
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.numpy_layers import HiddenLayers, Linear

LOG_STD_RANGE = (-20.0, 2.0)  # of the paper's own code


@dataclass(frozen=True)
class DrawnActions:
    """Sampled actions of a policy, with the intermediate results that their gradients need.

    Attributes:
        actions: ``[B, A]`` float32, in the cube ``[-1, 1]^A``.
        log_probabilities: ``[B]`` float32, in nats, of densities in the cube.
        deviations: ``[B, A]``, ``std * noise``, the sample's distance from the mean before tanh.
        within: ``[B, A]`` bool, the network's log-deviation is within ``LOG_STD_RANGE``.
        hidden: the outputs of the hidden layers.
    """

    actions: np.ndarray
    log_probabilities: np.ndarray
    deviations: np.ndarray
    within: np.ndarray
    hidden: list[np.ndarray]


class NumpySquashedGaussianActor:
    """Samples actions and computes the gradient of a loss of them with respect to the parameters.

    Args:
        parameters: name to array, as ``FlatParameters.views`` gives them; read at every call and never copied.
        encode: from observations to features.
        scale: from the cube to the actions' Box.
        activation: ``"tanh"`` or ``"relu"``.
    """

    def __init__(
        self, parameters: dict[str, np.ndarray], encode: ObservationEncoder, scale: ActionScale, activation: str
    ):
        self.encode = encode
        self.scale = scale
        self.torso = HiddenLayers(parameters, "torso", activation)
        self.head = Linear(parameters, "head")

    def act(self, observations: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Choose actions as ``SquashedGaussianActor.act`` does, from standard normal noise ``[B, A]``."""
        outputs = self.head(self.torso(self.encode(observations))[-1])
        num_actions = self.scale.num_actions
        mean, std = outputs[:, :num_actions], np.exp(np.clip(outputs[:, num_actions:], *LOG_STD_RANGE))
        return self.scale.to_box(np.tanh(mean + std * noise))

    def draw(self, features: np.ndarray, generator: np.random.Generator) -> DrawnActions:
        """Sample actions for features ``[B, F]``, as ``SquashedGaussian.sample`` does, with noise of the generator."""
        hidden = self.torso(features)
        outputs = self.head(hidden[-1])
        num_actions = self.scale.num_actions
        mean, unclipped = outputs[:, :num_actions], outputs[:, num_actions:]
        log_std = np.clip(unclipped, *LOG_STD_RANGE)
        noise = generator.standard_normal(mean.shape, np.float32)
        deviations = np.exp(log_std) * noise
        unsquashed = mean + deviations
        return DrawnActions(
            actions=np.tanh(unsquashed),
            log_probabilities=squashed_log_probabilities(unsquashed, noise, log_std),
            deviations=deviations,
            within=unclipped == log_std,
            hidden=hidden,
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
            drawn: the result of ``draw``.
            grad_actions: gradient of the loss with respect to the actions, ``[B, A]``.
            grad_log_probability: that with respect to each log-probability, the same for all.
            gradient: name to array in the parameter's shape; overwritten.
        """
        weight = np.float32(grad_log_probability)
        grad_mean = grad_actions * (1 - drawn.actions * drawn.actions) + 2 * weight * drawn.actions
        grad_log_std = (grad_mean * drawn.deviations - weight) * drawn.within
        grad_outputs = np.concatenate([grad_mean, grad_log_std], axis=1)
        self.head.backward(drawn.hidden[-1], grad_outputs, gradient)
        self.torso.backward(drawn.hidden, self.head.grad_inputs(grad_outputs), gradient)


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


class NumpyTwinCritic:
    """Two estimates of the soft value of actions, and their gradients.

    Args:
        parameters: name to array, as ``ParameterLayout.views`` gives them; read at every call and never copied.
        activation: ``"tanh"`` or ``"relu"``.
    """

    def __init__(self, parameters: dict[str, np.ndarray], activation: str):
        self.torso = HiddenLayers(parameters, "torso", activation)
        self.head = Linear(parameters, "head")

    def values(self, inputs: np.ndarray) -> np.ndarray:
        """Estimate soft values ``[2, B]`` float32 for features and actions side by side ``[B, F + A]``."""
        return self.forward(inputs)[0]

    def forward(self, inputs: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Values ``[2, B]`` for features and actions side by side ``[B, F + A]``, and the tape for what follows."""
        hidden = self.torso(inputs)
        return self.head(hidden[-1])[..., 0], hidden

    def backward(self, tape: list[np.ndarray], grad_values: np.ndarray, gradient: dict[str, np.ndarray]) -> None:
        """Compute the gradient of a loss with respect to the parameters.

        Args:
            tape: of ``forward``.
            grad_values: its gradient with respect to the values, ``[2, B]``.
            gradient: name to array in the parameter's shape; overwritten.
        """
        grad_outputs = grad_values[..., np.newaxis]
        self.head.backward(tape[-1], grad_outputs, gradient)
        self.torso.backward(tape, self.head.grad_inputs(grad_outputs), gradient)

    def grad_inputs(self, tape: list[np.ndarray], grad_values: np.ndarray) -> np.ndarray:
        """Gradient of a loss with respect to the inputs ``[B, F + A]``, from that to the values ``[2, B]``."""
        grad_outputs = grad_values[..., np.newaxis]
        return self.torso.grad_inputs(tape, self.head.grad_inputs(grad_outputs)).sum(axis=0)
