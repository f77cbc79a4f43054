"""The networks of soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905) in Paddle.

They are what a user reads, exports or builds upon. SAC plays and learns by ``nn.numpy_sac``, which computes the same
from the same memory at a fraction of the cost.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
from paddle import nn

from paddle_ac.memory import PARAMETER, require_memory
from paddle_ac.nn.action_scale import ActionScale
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.initialization import uniform_by_inputs
from paddle_ac.nn.numpy_sac import LOG_STD_RANGE
from paddle_ac.nn.paddle_layers import ACTIVATIONS, zeros
from paddle_ac.nn.paddle_parameters import values_of
from paddle_ac.nn.parameters import FlatParameters

NUM_CRITICS = 2


class SquashedGaussianActor(nn.Layer):
    """A policy whose actions are tanh of a Gaussian, mean and deviation by the state (the paper's appendix C).

    Args:
        observation_space: a Box (flattened), a Discrete, MultiDiscrete or MultiBinary space, or a Dict or a Tuple of
            these, whose observations are packed (``ObservationPacking``).
        action_space: a Box of floats with finite bounds.
        hidden_sizes: units of each hidden layer.
        activation: ``"tanh"`` or ``"relu"``, after each hidden layer.
        normalize_observations: by the running moments of ``encode``.
        generator: source of the initial weights and biases, which are uniform within ``1 / sqrt(inputs)`` as in
            PyTorch and Stable-Baselines3; by default one with a seed from the operating system.

    Attributes:
        state_size: 0, for it has no recurrent state.
    """

    state_size = 0

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        hidden_sizes: Sequence[int] = (256, 256),
        activation: str = "relu",
        normalize_observations: bool = False,
        generator: np.random.Generator | None = None,
    ):
        super().__init__()
        generator = generator or np.random.default_rng()
        self.encode = ObservationEncoder(observation_space, normalize_observations)
        self.scale = ActionScale(action_space)
        sizes = [self.encode.num_features, *hidden_sizes]
        self.torso = _hidden_layers(sizes, activation, _linear, generator)
        self.head = _linear(sizes[-1], 2 * self.scale.num_actions, generator)

    def forward(self, observations: np.ndarray) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Mean and logarithm of the deviation of the Gaussian, ``[B, A]`` each, for ``[B, *observation_space.shape]``.

        tanh of a sample of it is an action in the cube ``[-1, 1]^A``.
        """
        features = paddle.to_tensor(self.encode(observations))
        mean, log_std = self.head(self.torso(features)).split(2, axis=-1)
        return mean, log_std.clip(*LOG_STD_RANGE)

    @paddle.no_grad()
    def act(
        self,
        observations: np.ndarray,
        generator: np.random.Generator | None = None,
        state: np.ndarray | None = None,
    ) -> np.ndarray:
        """Choose actions.

        Args:
            observations: ``[B, *observation_space.shape]``.
            generator: draws the actions from the policy; without one each is tanh of the mean.
            state: of no size, for there is nothing to remember.

        Returns:
            actions ``[B, *action_space.shape]`` float32, in the Box.
        """
        mean, log_std = self(observations)
        shape = tuple(mean.shape)
        noise = np.zeros(shape, np.float32) if generator is None else generator.standard_normal(shape, np.float32)
        return self.scale.to_box((mean + log_std.exp() * paddle.to_tensor(noise)).tanh().numpy())

    def parameter_arrays(self) -> dict[str, np.ndarray]:
        """The parameters by name, copied."""
        return values_of(self)

    def load_parameters(self, values: dict[str, np.ndarray]) -> None:
        """Set the parameters by name; ``ValueError`` if they are those of another network."""
        parameters = FlatParameters(values_of(self))
        parameters.load(values)
        for name, parameter in self.named_parameters():
            parameter.set_value(parameters.views[name])


class TwinCritic(nn.Layer):
    """Two estimates of the soft value of an action, layer by layer in one stack of weights each.

    Args:
        num_inputs: features of an observation and numbers of an action, F + A.
        hidden_sizes: units of each hidden layer.
        activation: ``"tanh"`` or ``"relu"``, after each hidden layer.
        generator: as for ``SquashedGaussianActor``.
    """

    def __init__(
        self,
        num_inputs: int,
        hidden_sizes: Sequence[int] = (256, 256),
        activation: str = "relu",
        generator: np.random.Generator | None = None,
    ):
        super().__init__()
        generator = generator or np.random.default_rng()
        sizes = [num_inputs, *hidden_sizes]
        self.torso = _hidden_layers(sizes, activation, _StackedLinear, generator)
        self.head = _StackedLinear(sizes[-1], 1, generator)

    def forward(self, features: paddle.Tensor, actions: paddle.Tensor) -> paddle.Tensor:
        """Estimates ``[2, B]`` float32 for features ``[B, F]`` and actions ``[B, A]`` in the cube ``[-1, 1]^A``."""
        return self.head(self.torso(paddle.concat([features, actions], axis=-1))).squeeze(-1)


class _StackedLinear(nn.Layer):
    def __init__(self, num_inputs: int, num_outputs: int, generator: np.random.Generator):
        super().__init__()
        self.weight = self.create_parameter([NUM_CRITICS, num_inputs, num_outputs], zeros())
        self.bias = self.create_parameter([NUM_CRITICS, num_outputs], zeros(), is_bias=True)
        _draw_weights_and_biases(self, num_inputs, generator)

    def forward(self, inputs: paddle.Tensor) -> paddle.Tensor:
        """``[B, I]`` or ``[2, B, I]`` to ``[2, B, O]``."""
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


def _draw_weights_and_biases(layer: Any, num_inputs: int, generator: np.random.Generator) -> None:
    for parameter in (layer.weight, layer.bias):
        parameter.set_value(uniform_by_inputs(generator, tuple(parameter.shape), num_inputs))
