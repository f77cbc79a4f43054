"""The networks of soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905) in Paddle.

They are what a user reads, exports or builds upon. SAC plays and learns by ``nn.numpy_sac``, which computes the same
from the same memory at a fraction of the cost.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
from paddle import nn

from paddle_ac.nn.action_scale import ActionScale
from paddle_ac.nn.distributions import SquashedGaussian
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.networks import ACTIVATIONS
from paddle_ac.nn.numpy_sac import LOG_STD_RANGE

NUM_CRITICS = 2


class SquashedGaussianActor(nn.Layer):
    """A policy whose actions are tanh of a Gaussian, mean and deviation by the state (the paper's appendix C).

    Args:
        observation_space: a Box (flattened), or a Discrete, MultiDiscrete or MultiBinary space.
        action_space: a Box of floats with finite bounds.
        hidden_sizes: units of each hidden layer.
        activation: ``"tanh"`` or ``"relu"``, after each hidden layer.
        normalize_observations: by the running moments of ``encode``.

    Attributes:
        state_size: 0, for it remembers nothing.

    Initial weights and biases are uniform within ``1 / sqrt(inputs)``, as PyTorch's (and so Stable-Baselines3's) are,
    from Paddle's global generator.
    """

    state_size = 0

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        hidden_sizes: Sequence[int] = (256, 256),
        activation: str = "relu",
        normalize_observations: bool = False,
    ):
        super().__init__()
        self.encode = ObservationEncoder(observation_space, normalize_observations)
        self.scale = ActionScale(action_space)
        sizes = [self.encode.num_features, *hidden_sizes]
        self.torso = _hidden_layers(sizes, activation, _linear)
        self.head = _linear(sizes[-1], 2 * self.scale.num_actions)

    def forward(self, observations: np.ndarray) -> SquashedGaussian:
        """The distribution of actions ``[B, A]``, in the cube ``[-1, 1]^A``, for ``[B, *observation_space.shape]``."""
        features = paddle.to_tensor(self.encode(observations))
        mean, log_std = self.head(self.torso(features)).split(2, axis=-1)
        return SquashedGaussian(mean, log_std.clip(*LOG_STD_RANGE))

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
        distribution = self(observations)
        shape = tuple(distribution.mean.shape)
        noise = np.zeros(shape, np.float32) if generator is None else generator.standard_normal(shape, np.float32)
        return self.scale.to_box(distribution.sample(paddle.to_tensor(noise))[0].numpy())

    def parameter_arrays(self) -> dict[str, np.ndarray]:
        """The parameters by name, copied."""
        return {name: parameter.numpy().copy() for name, parameter in self.named_parameters()}


class TwinCritic(nn.Layer):
    """Two estimates of the soft value of an action, layer by layer in one stack of weights each.

    Args:
        num_inputs: features of an observation and numbers of an action, F + A.
        hidden_sizes: units of each hidden layer.
        activation: ``"tanh"`` or ``"relu"``, after each hidden layer.
    """

    def __init__(self, num_inputs: int, hidden_sizes: Sequence[int] = (256, 256), activation: str = "relu"):
        super().__init__()
        sizes = [num_inputs, *hidden_sizes]
        self.torso = _hidden_layers(sizes, activation, _StackedLinear)
        self.head = _StackedLinear(sizes[-1], 1)

    def forward(self, features: paddle.Tensor, actions: paddle.Tensor) -> paddle.Tensor:
        """Estimates ``[2, B]`` float32 for features ``[B, F]`` and actions ``[B, A]`` in the cube ``[-1, 1]^A``."""
        return self.head(self.torso(paddle.concat([features, actions], axis=-1))).squeeze(-1)


class _StackedLinear(nn.Layer):
    def __init__(self, num_inputs: int, num_outputs: int):
        super().__init__()
        attr = _uniform(num_inputs)
        self.weight = self.create_parameter([NUM_CRITICS, num_inputs, num_outputs], attr)
        self.bias = self.create_parameter([NUM_CRITICS, num_outputs], attr, is_bias=True)

    def forward(self, inputs: paddle.Tensor) -> paddle.Tensor:
        """``[B, I]`` or ``[2, B, I]`` to ``[2, B, O]``."""
        return paddle.matmul(inputs, self.weight) + self.bias.unsqueeze(1)


def _hidden_layers(sizes: Sequence[int], activation: str, linear: Any) -> nn.Sequential:
    layers: list[nn.Layer] = []
    for num_inputs, num_outputs in itertools.pairwise(sizes):
        layers += [linear(num_inputs, num_outputs), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)


def _linear(num_inputs: int, num_outputs: int) -> nn.Linear:
    return nn.Linear(num_inputs, num_outputs, weight_attr=_uniform(num_inputs), bias_attr=_uniform(num_inputs))


def _uniform(num_inputs: int) -> paddle.ParamAttr:
    bound = 1 / math.sqrt(num_inputs)
    return paddle.ParamAttr(initializer=nn.initializer.Uniform(-bound, bound))
