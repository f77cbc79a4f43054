"""The network of every on-policy member of the family."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
from paddle import nn

from paddle_ac.nn.categorical import sample_categorical
from paddle_ac.nn.encoding import ObservationEncoder

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


class ActorCritic(nn.Layer):
    """A policy (the actor) and a value estimate (the critic) over hidden layers of their own or shared ones.

    Args:
        observation_space: a Box (flattened), or a Discrete, MultiDiscrete or MultiBinary space.
        num_actions: number of discrete actions A.
        hidden_sizes: units of each hidden layer.
        activation: ``"tanh"`` or ``"relu"``, after each hidden layer.
        shared_torso: one stack of hidden layers for both, rather than one each.
        initialization: ``"orthogonal"`` (gain sqrt(2) in hidden layers, 0.01 for the policy, 1 for the value, as in
            OpenAI baselines) or ``"xavier"`` (uniform; Glorot and Bengio 2010). Biases start at 0. Both draw from
            Paddle's global generator: ``paddle.seed`` first makes them reproducible.
    """

    def __init__(
        self,
        observation_space: Any,
        num_actions: int,
        hidden_sizes: Sequence[int] = (64, 64),
        activation: str = "tanh",
        shared_torso: bool = False,
        initialization: str = "orthogonal",
    ):
        super().__init__()
        self.encode = ObservationEncoder(observation_space)
        sizes = [self.encode.num_features, *hidden_sizes]
        self.actor_torso = _hidden_layers(sizes, activation, initialization)
        self.critic_torso = self.actor_torso if shared_torso else _hidden_layers(sizes, activation, initialization)
        self.actor_head = _linear(sizes[-1], num_actions, initialization, gain=0.01)
        self.critic_head = _linear(sizes[-1], 1, initialization, gain=1.0)

    def forward(self, observations: np.ndarray) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Logits and values of a batch.

        Args:
            observations: ``[B, *observation_space.shape]``, any dtype.

        Returns:
            logits ``[B, A]`` and values ``[B]``, float32.
        """
        features = paddle.to_tensor(self.encode(observations))
        actor_features = self.actor_torso(features)
        critic_features = actor_features if self.critic_torso is self.actor_torso else self.critic_torso(features)
        return self.actor_head(actor_features), self.critic_head(critic_features).squeeze(-1)

    @paddle.no_grad()
    def act(self, observations: np.ndarray, generator: np.random.Generator | None = None) -> np.ndarray:
        """Choose actions.

        Args:
            observations: ``[B, *observation_space.shape]``.
            generator: draws the actions from the policy; without one the most probable action is taken.

        Returns:
            actions ``[B]`` int64.
        """
        logits = self(observations)[0].numpy()
        return np.argmax(logits, axis=-1) if generator is None else sample_categorical(logits, generator)

    @paddle.no_grad()
    def values(self, observations: np.ndarray) -> np.ndarray:
        """The critic's estimates ``[B]`` float32 of observations ``[B, *observation_space.shape]``."""
        return self(observations)[1].numpy()

    def parameter_arrays(self) -> dict[str, np.ndarray]:
        """The parameters by name, copied."""
        return {name: parameter.numpy().copy() for name, parameter in self.named_parameters()}


def _hidden_layers(sizes: Sequence[int], activation: str, initialization: str) -> nn.Sequential:
    layers: list[nn.Layer] = []
    for num_inputs, num_outputs in itertools.pairwise(sizes):
        layers += [_linear(num_inputs, num_outputs, initialization, gain=math.sqrt(2)), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)


def _linear(num_inputs: int, num_outputs: int, initialization: str, gain: float) -> nn.Linear:
    orthogonal = initialization == "orthogonal"
    weight_initializer = nn.initializer.Orthogonal(gain) if orthogonal else nn.initializer.XavierUniform()
    return nn.Linear(num_inputs, num_outputs, weight_attr=paddle.ParamAttr(initializer=weight_initializer))
