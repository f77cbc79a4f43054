"""The network of every on-policy member of the family."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
from paddle import nn

from paddle_ac.nn.actions import CategoricalActions, GaussianActions, action_distribution, expected_q
from paddle_ac.nn.encoding import ObservationEncoder

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


class ActorCritic(nn.Layer):
    """A policy (the actor) and a value estimate (the critic) over hidden layers of their own or shared ones.

    Args:
        observation_space: a Box (flattened), or a Discrete, MultiDiscrete or MultiBinary space.
        action_space: Discrete, MultiDiscrete (both from 0), MultiBinary, or a Box, whose actions are Gaussian.
        hidden_sizes: units of each hidden layer.
        activation: ``"tanh"`` or ``"relu"``, after each hidden layer.
        shared_torso: one stack of hidden layers for both, rather than one each.
        initialization: ``"orthogonal"`` (gain sqrt(2) in hidden layers, 0.01 for the policy, 1 for the value, as in
            OpenAI baselines) or ``"xavier"`` (uniform; Glorot and Bengio 2010). Biases start at 0. Both draw from
            Paddle's global generator: ``paddle.seed`` first makes them reproducible.
        state_dependent_std: of a Gaussian, the deviation is put out by the actor, rather than a parameter of its own.
        initial_log_std: logarithm of a Gaussian's deviation, before anything is learned.
        normalize_observations: by the running moments of ``encode``.
        q_critic: the critic puts out Q(s, .) of Discrete actions, rather than V(s).

    Attributes:
        distribution: the actions of what the actor puts out.

    Raises:
        TypeError: another action space, or Q(s, .) of one that is not Discrete.
    """

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        hidden_sizes: Sequence[int] = (64, 64),
        activation: str = "tanh",
        shared_torso: bool = False,
        initialization: str = "orthogonal",
        state_dependent_std: bool = False,
        initial_log_std: float = 0.0,
        normalize_observations: bool = False,
        q_critic: bool = False,
    ):
        super().__init__()
        self.encode = ObservationEncoder(observation_space, normalize_observations)
        self.action_space = action_space
        self.distribution = action_distribution(action_space)
        sizes = [self.encode.num_features, *hidden_sizes]
        self.actor_torso = _hidden_layers(sizes, activation, initialization)
        self.critic_torso = self.actor_torso if shared_torso else _hidden_layers(sizes, activation, initialization)
        self.num_stds = math.prod(action_space.shape) if isinstance(self.distribution, GaussianActions) else 0
        self.has_own_stds = self.num_stds > 0 and not state_dependent_std
        num_outputs = self.distribution.num_outputs - self.num_stds * self.has_own_stds
        self.actor_head = _linear(sizes[-1], num_outputs, initialization, gain=0.01)
        if self.has_own_stds:
            constant = nn.initializer.Constant(initial_log_std)
            self.actor_log_std = self.create_parameter([self.num_stds], default_initializer=constant)
        elif self.num_stds:
            bias = np.repeat(np.array([0, initial_log_std], np.float32), self.num_stds)
            self.actor_head.bias.set_value(bias)
        self.q_critic = q_critic
        if q_critic and not isinstance(self.distribution, CategoricalActions):
            raise TypeError("takes Discrete action spaces that begin at 0")
        self.critic_head = _linear(sizes[-1], num_outputs if q_critic else 1, initialization, gain=1.0)

    def forward(self, observations: np.ndarray) -> tuple[paddle.Tensor, paddle.Tensor]:
        """What the actor and the critic put out for a batch.

        Args:
            observations: ``[B, *observation_space.shape]``, any dtype.

        Returns:
            outputs ``[B, distribution.num_outputs]`` (logits, or means and logarithms of deviations) and values
            ``[B]``, float32; ``[B, A]`` of a critic of Q(s, .).
        """
        features = paddle.to_tensor(self.encode(observations))
        actor_features = self.actor_torso(features)
        critic_features = actor_features if self.critic_torso is self.actor_torso else self.critic_torso(features)
        outputs = self.actor_head(actor_features)
        if self.has_own_stds:
            outputs = paddle.concat([outputs, self.actor_log_std.expand_as(outputs)], axis=-1)
        criticism = self.critic_head(critic_features)
        return outputs, criticism if self.q_critic else criticism.squeeze(-1)

    @paddle.no_grad()
    def act(self, observations: np.ndarray, generator: np.random.Generator | None = None) -> np.ndarray:
        """Choose actions.

        Args:
            observations: ``[B, *observation_space.shape]``.
            generator: draws the actions from the policy; without one the most probable action is taken.

        Returns:
            actions ``[B, *action_space.shape]``; those of a Box may lie outside its bounds.
        """
        outputs = self(observations)[0].numpy()
        if generator is None:
            return self.distribution.mode(outputs)
        return self.distribution.sample(outputs, generator)

    @paddle.no_grad()
    def values(self, observations: np.ndarray) -> np.ndarray:
        """The critic's estimates ``[B]`` float32 of observations ``[B, *observation_space.shape]``."""
        outputs, criticism = (tensor.numpy() for tensor in self(observations))
        return expected_q(outputs, criticism) if self.q_critic else criticism

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
