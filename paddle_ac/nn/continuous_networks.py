"""Actors and critics of continuous actions in Paddle: the networks of SAC, TD3 and DDPG.

They are what a user reads, exports or builds upon. The algorithms act and learn by ``nn.numpy_continuous``, which
computes the same from the same memory at a fraction of the cost.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
from paddle import nn

from paddle_ac.memory import PARAMETER, require_memory
from paddle_ac.nn.action_scale import ActionScale
from paddle_ac.nn.description import InputDescription, describe_inputs
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.initialization import uniform_by_inputs
from paddle_ac.nn.numpy_continuous import LOG_STD_RANGE
from paddle_ac.nn.paddle_layers import ACTIVATIONS, Convolution, ObservingLayer, zeros
from paddle_ac.nn.paddle_parameters import values_of
from paddle_ac.nn.parameters import FlatParameters


class ContinuousActor(ObservingLayer, ABC):
    """The base of policies of continuous actions.

    Args:
        observation_space: a Box, Discrete, MultiDiscrete or MultiBinary space, or a Dict or a Tuple of these, whose
            observations are packed (``ObservationPacking``).
        action_space: a Box of floats with finite bounds.
        hidden_sizes: units of each hidden layer.
        activation: ``"tanh"`` or ``"relu"``, after each hidden layer.
        normalize_observations: by the running moments of ``encode``.
        generator: source of the initial weights and biases, which are uniform within ``1 / sqrt(inputs)`` as in
            PyTorch and Stable-Baselines3; by default one with a seed from the operating system.
        encoder, conv_layers: of images, as in ``describe_inputs``.

    Attributes:
        inputs: how observations are read.
        scale: from the cube ``[-1, 1]^A`` to the Box.
        state_size: 0, for it has no recurrent state.

    Raises:
        ValueError: as ``describe_inputs``.
    """

    state_size = 0
    outputs_per_action: int  # of the head

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        hidden_sizes: Sequence[int] = (256, 256),
        activation: str = "relu",
        normalize_observations: bool = False,
        generator: np.random.Generator | None = None,
        encoder: str = "auto",
        conv_layers: str | None = None,
    ):
        inputs, _ = describe_inputs(observation_space, encoder, conv_layers)
        super().__init__(inputs, ObservationEncoder(observation_space, normalize_observations, images=inputs.images))
        generator = generator or np.random.default_rng()
        self.inputs = inputs
        self.scale = ActionScale(action_space)
        _draw_convolutions(self.image_encoders, generator)
        sizes = [inputs.num_inputs, *hidden_sizes]
        self.torso = _hidden_layers(sizes, activation, _linear, generator)
        self.head = _linear(sizes[-1], self.outputs_per_action * self.scale.num_actions, generator)

    def outputs(self, observations: np.ndarray) -> paddle.Tensor:
        """Outputs of the head ``[B, outputs_per_action * A]`` for ``[B, *observation_space.shape]``."""
        return self.head(self.torso(self.features(observations)))

    @abstractmethod
    def act(
        self,
        observations: np.ndarray,
        generator: np.random.Generator | None = None,
        state: np.ndarray | None = None,
    ) -> np.ndarray:
        """Choose actions.

        Args:
            observations: ``[B, *observation_space.shape]``.
            generator: draws the actions from the policy; without one they are the most probable ones.
            state: of size 0, for the policy is not recurrent.

        Returns:
            actions ``[B, *action_space.shape]`` float32, in the Box.
        """

    def parameter_arrays(self) -> dict[str, np.ndarray]:
        """The parameters by name, copied."""
        return values_of(self)

    def load_parameters(self, values: dict[str, np.ndarray]) -> None:
        """Set the parameters by name; ``ValueError`` if they are those of another network."""
        parameters = FlatParameters(values_of(self))
        parameters.load(values)
        for name, parameter in self.named_parameters():
            parameter.set_value(parameters.views[name])


class SquashedGaussianActor(ContinuousActor):
    """A policy whose actions are tanh of a Gaussian, mean and deviation by the state (SAC, appendix C).

    Its arguments and attributes are those of ``ContinuousActor``.
    """

    outputs_per_action = 2

    def forward(self, observations: np.ndarray) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Mean and logarithm of the deviation of the Gaussian, ``[B, A]`` each, for ``[B, *observation_space.shape]``.

        tanh of a sample of it is an action in the cube ``[-1, 1]^A``.
        """
        mean, log_std = self.outputs(observations).split(2, axis=-1)
        return mean, log_std.clip(*LOG_STD_RANGE)

    @paddle.no_grad()
    def act(
        self,
        observations: np.ndarray,
        generator: np.random.Generator | None = None,
        state: np.ndarray | None = None,
    ) -> np.ndarray:
        """As ``ContinuousActor.act``; without a generator each action is tanh of the mean."""
        mean, log_std = self(observations)
        shape = tuple(mean.shape)
        noise = np.zeros(shape, np.float32) if generator is None else generator.standard_normal(shape, np.float32)
        return self.scale.to_box((mean + log_std.exp() * paddle.to_tensor(noise)).tanh().numpy())


class DeterministicActor(ContinuousActor):
    """A policy with one action for each state, tanh of the outputs (DDPG, section 7).

    Its arguments and attributes are those of ``ContinuousActor``.
    """

    outputs_per_action = 1

    def forward(self, observations: np.ndarray) -> paddle.Tensor:
        """Actions ``[B, A]`` in the cube ``[-1, 1]^A`` for ``[B, *observation_space.shape]``."""
        return self.outputs(observations).tanh()

    @paddle.no_grad()
    def act(
        self,
        observations: np.ndarray,
        generator: np.random.Generator | None = None,
        state: np.ndarray | None = None,
    ) -> np.ndarray:
        """As ``ContinuousActor.act``; there is nothing to draw."""
        return self.scale.to_box(self(observations).numpy())


class StackedCritics(ObservingLayer):
    """K estimates of the value of an action, layer by layer in one stack of weights, on the same image encoders.

    Args:
        inputs: how observations are read.
        encode: from observations to the features besides images.
        num_actions: A, numbers in an action.
        num_critics: ``K``.
        hidden_sizes: units of each hidden layer.
        activation: ``"tanh"`` or ``"relu"``, after each hidden layer.
        generator: as for ``ContinuousActor``.
    """

    def __init__(
        self,
        inputs: InputDescription,
        encode: ObservationEncoder,
        num_actions: int,
        num_critics: int = 2,
        hidden_sizes: Sequence[int] = (256, 256),
        activation: str = "relu",
        generator: np.random.Generator | None = None,
    ):
        super().__init__(inputs, encode)
        generator = generator or np.random.default_rng()

        def linear(num_inputs: int, num_outputs: int, generator: np.random.Generator) -> _StackedLinear:
            return _StackedLinear(num_critics, num_inputs, num_outputs, generator)

        _draw_convolutions(self.image_encoders, generator)
        sizes = [inputs.num_inputs + num_actions, *hidden_sizes]
        self.torso = _hidden_layers(sizes, activation, linear, generator)
        self.head = linear(sizes[-1], 1, generator)

    def forward(self, observations: np.ndarray, actions: paddle.Tensor) -> paddle.Tensor:
        """Estimates ``[K, B]`` float32 for actions ``[B, A]`` in the cube ``[-1, 1]^A``.

        Observations are ``[B, *observation_space.shape]``.
        """
        features = self.features(observations)
        features.stop_gradient = False  # so that graphs show that the critics read observations
        return self.head(self.torso(paddle.concat([features, actions], axis=-1))).squeeze(-1)


class _StackedLinear(nn.Layer):
    def __init__(self, num_layers: int, num_inputs: int, num_outputs: int, generator: np.random.Generator):
        super().__init__()
        self.weight = self.create_parameter([num_layers, num_inputs, num_outputs], zeros())
        self.bias = self.create_parameter([num_layers, num_outputs], zeros(), is_bias=True)
        _draw_weights_and_biases(self, num_inputs, generator)

    def forward(self, inputs: paddle.Tensor) -> paddle.Tensor:
        """``[B, I]`` or ``[K, B, I]`` to ``[K, B, O]``."""
        return paddle.matmul(inputs, self.weight) + self.bias.unsqueeze(1)


def _hidden_layers(sizes: Sequence[int], activation: str, linear: Any, generator: np.random.Generator) -> nn.Sequential:
    num_weights = sum(num_inputs * num_outputs for num_inputs, num_outputs in itertools.pairwise(sizes))
    require_memory(num_weights * PARAMETER, f"hidden_sizes={','.join(map(str, sizes[1:]))}")
    layers: list[nn.Layer] = []
    for num_inputs, num_outputs in itertools.pairwise(sizes):
        layers += [linear(num_inputs, num_outputs, generator), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)


def _linear(num_inputs: int, num_outputs: int, generator: np.random.Generator) -> nn.Linear:
    layer = nn.Linear(num_inputs, num_outputs, weight_attr=zeros())
    _draw_weights_and_biases(layer, num_inputs, generator)
    return layer


def _draw_convolutions(image_encoders: nn.LayerList, generator: np.random.Generator) -> None:
    for layer in image_encoders.sublayers():
        if isinstance(layer, Convolution):
            _draw_weights_and_biases(layer, math.prod(layer.weight.shape[:-1]), generator)


def _draw_weights_and_biases(layer: Any, num_inputs: int, generator: np.random.Generator) -> None:
    for parameter in (layer.weight, layer.bias):
        parameter.set_value(uniform_by_inputs(generator, tuple(parameter.shape), num_inputs))
