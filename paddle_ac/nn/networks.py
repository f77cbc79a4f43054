"""The network of every on-policy member of the family."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
from paddle import nn

from paddle_ac.memory import PARAMETER, require_memory
from paddle_ac.nn.actions import CategoricalActions, GaussianActions, action_distribution, expected_q
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.initialization import Draw, orthogonal, xavier
from paddle_ac.nn.unroll import Unroll

RECURRENT_CELLS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}
NUM_GATES = {"lstm": 4, "gru": 3}
STATE_PARTS = {"lstm": 2, "gru": 1}  # of as many numbers as the layer has units
INITIALIZATIONS = {"orthogonal": orthogonal, "xavier": xavier}
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


class ActorCritic(nn.Layer):
    """A policy (the actor) and a value estimate (the critic) over hidden layers of their own or shared ones.

    Args:
        observation_space: a Box (flattened), a Discrete, MultiDiscrete or MultiBinary space, or a Dict or a Tuple of
            these, whose observations are packed (``ObservationPacking``).
        action_space: Discrete, MultiDiscrete (both from 0), MultiBinary, or a Box, whose actions are Gaussian.
        hidden_sizes: units of each hidden layer.
        activation: ``"tanh"`` or ``"relu"``, after each hidden layer.
        shared_torso: one stack of hidden layers for both, rather than one each.
        initialization: ``"orthogonal"`` (gain sqrt(2) in hidden layers, 0.01 for the policy, 1 for the value, as in
            OpenAI baselines) or ``"xavier"`` (uniform; Glorot and Bengio 2010). Biases start at 0.
        state_dependent_std: of a Gaussian, the deviation is put out by the actor, rather than a parameter of its own.
        initial_log_std: logarithm of a Gaussian's deviation, before anything is learned.
        normalize_observations: by the running moments of ``encode``.
        q_critic: the critic puts out Q(s, .) of Discrete actions, rather than V(s).
        recurrent: ``"none"``, ``"lstm"`` or ``"gru"``: a layer after the hidden ones that remembers the episode; its
            initial weights have a gain of 1.
        recurrent_size: its units.
        generator: source of the initial weights; by default one with a seed from the operating system. Paddle's
            global generator is not used.

    Attributes:
        distribution: the actions of what the actor puts out.
        state_size: S, the numbers that it remembers of an environment's episode; 0 without a recurrent layer.

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
        recurrent: str = "none",
        recurrent_size: int = 64,
        generator: np.random.Generator | None = None,
    ):
        super().__init__()
        draw: Draw = functools.partial(INITIALIZATIONS[initialization], generator or np.random.default_rng())
        self.encode = ObservationEncoder(observation_space, normalize_observations)
        self.action_space = action_space
        self.distribution = action_distribution(action_space)
        sizes = [self.encode.num_features, *hidden_sizes]
        self.actor_torso = _hidden_layers(sizes, activation, draw)
        self.critic_torso = self.actor_torso if shared_torso else _hidden_layers(sizes, activation, draw)
        self.shared_torso = shared_torso
        self.recurrent = recurrent
        self.state_size = 0
        if recurrent != "none":
            self.actor_memory = _recurrent_cell(recurrent, sizes[-1], recurrent_size, draw)
            self.critic_memory = (
                self.actor_memory if shared_torso else _recurrent_cell(recurrent, sizes[-1], recurrent_size, draw)
            )
            sizes.append(recurrent_size)
            self.state_size = recurrent_size * STATE_PARTS[recurrent] * (1 if shared_torso else 2)
        self.num_stds = math.prod(action_space.shape) if isinstance(self.distribution, GaussianActions) else 0
        self.has_own_stds = self.num_stds > 0 and not state_dependent_std
        num_outputs = self.distribution.num_outputs - self.num_stds * self.has_own_stds
        self.actor_head = _linear(sizes[-1], num_outputs, draw, gain=0.01)
        if self.has_own_stds:
            constant = nn.initializer.Constant(initial_log_std)
            self.actor_log_std = self.create_parameter([self.num_stds], default_initializer=constant)
        elif self.num_stds:
            bias = np.repeat(np.array([0, initial_log_std], np.float32), self.num_stds)
            self.actor_head.bias.set_value(bias)
        self.q_critic = q_critic
        if q_critic and not isinstance(self.distribution, CategoricalActions):
            raise TypeError("takes Discrete action spaces that begin at 0")
        self.critic_head = _linear(sizes[-1], num_outputs if q_critic else 1, draw, gain=1.0)

    def forward(self, observations: np.ndarray, unroll: Unroll | None = None) -> tuple[paddle.Tensor, paddle.Tensor]:
        """What the actor and the critic put out for a batch.

        Args:
            observations: ``[B, *observation_space.shape]``, any dtype.
            unroll: for a network that remembers, how the rows follow one another; without one each is the first of an
                episode.

        Returns:
            outputs ``[B, distribution.num_outputs]`` (logits, or means and logarithms of deviations) and values
            ``[B]``, float32; ``[B, A]`` of a critic of Q(s, .).
        """
        return self._forward(observations, unroll or Unroll.of_one_step(self.initial_state(len(observations))))[:2]

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
            generator: draws the actions from the policy; without one the most probable action is taken.
            state: ``[B, S]`` float32, what is remembered of each environment's episode, brought up to date in place;
                its beginning by default.

        Returns:
            actions ``[B, *action_space.shape]``; those of a Box may lie outside its bounds.
        """
        state = self.initial_state(len(observations)) if state is None else state
        outputs, _, new_state = self._forward(observations, Unroll.of_one_step(state))
        state[...] = new_state
        if generator is None:
            return self.distribution.mode(outputs.numpy())
        return self.distribution.sample(outputs.numpy(), generator)

    def initial_state(self, num_envs: int) -> np.ndarray:
        """What is remembered where an episode begins: zeros ``[N, S]`` float32."""
        return np.zeros((num_envs, self.state_size), np.float32)

    @paddle.no_grad()
    def values(self, observations: np.ndarray, unroll: Unroll | None = None) -> np.ndarray:
        """The critic's estimates ``[B]`` float32, for what ``forward`` takes."""
        outputs, critic_outputs = (tensor.numpy() for tensor in self(observations, unroll))
        return expected_q(outputs, critic_outputs) if self.q_critic else critic_outputs

    def _forward(self, observations: np.ndarray, unroll: Unroll) -> tuple[paddle.Tensor, paddle.Tensor, np.ndarray]:
        """As ``forward``, and the state ``[N, S]`` after the last step."""
        features = paddle.to_tensor(self.encode(observations))
        actor_features = self.actor_torso(features)
        critic_features = actor_features if self.shared_torso else self.critic_torso(features)
        new_state = unroll.state
        if self.recurrent != "none" and self.shared_torso:
            actor_features, new_state = _unrolled(
                self.actor_memory, actor_features, unroll.state, unroll.episode_starts
            )
            critic_features = actor_features
        elif self.recurrent != "none":
            actor_state, critic_state = np.split(unroll.state, 2, axis=1)
            actor_features, actor_state = _unrolled(
                self.actor_memory, actor_features, actor_state, unroll.episode_starts
            )
            critic_features, critic_state = _unrolled(
                self.critic_memory, critic_features, critic_state, unroll.episode_starts
            )
            new_state = np.concatenate([actor_state, critic_state], axis=1)
        outputs = self.actor_head(actor_features)
        if self.has_own_stds:
            outputs = paddle.concat([outputs, self.actor_log_std.expand_as(outputs)], axis=-1)
        critic_outputs = self.critic_head(critic_features)
        return outputs, critic_outputs if self.q_critic else critic_outputs.squeeze(-1), new_state

    def parameter_arrays(self) -> dict[str, np.ndarray]:
        """The parameters by name, copied."""
        return {name: parameter.numpy().copy() for name, parameter in self.named_parameters()}


def _hidden_layers(sizes: Sequence[int], activation: str, draw: Draw) -> nn.Sequential:
    num_weights = sum(num_inputs * num_outputs for num_inputs, num_outputs in itertools.pairwise(sizes))
    require_memory(num_weights * PARAMETER, f"hidden_sizes={','.join(map(str, sizes[1:]))}")
    layers: list[nn.Layer] = []
    for num_inputs, num_outputs in itertools.pairwise(sizes):
        layers += [_linear(num_inputs, num_outputs, draw, gain=math.sqrt(2)), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)


def _recurrent_cell(recurrent: str, num_inputs: int, num_units: int, draw: Draw) -> nn.RNNCellBase:
    num_weights = NUM_GATES[recurrent] * num_units * (num_inputs + num_units)
    require_memory(num_weights * PARAMETER, f"recurrent_size={num_units}")
    attributes = {f"{name}_attr": zeros() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    cell = RECURRENT_CELLS[recurrent](num_inputs, num_units, **attributes)
    for weights in (cell.weight_ih, cell.weight_hh):
        weights.set_value(draw(tuple(weights.shape), 1.0))
    return cell


def _unrolled(
    cell: nn.RNNCellBase, inputs: paddle.Tensor, state: np.ndarray, episode_starts: np.ndarray
) -> tuple[paddle.Tensor, np.ndarray]:
    """Step by step through a sequence.

    Args:
        cell: an LSTM, whose state is h and c side by side, or a GRU.
        inputs: ``[T * N, I]``.
        state: ``[N, S]``, before the first step.
        episode_starts: ``[T, N]``.

    Returns:
        outputs ``[T * N, H]``, and the state after the last step.
    """
    inputs = inputs.reshape([*episode_starts.shape, -1])
    remembered = paddle.to_tensor(state)
    kept = paddle.to_tensor(~episode_starts[..., np.newaxis]).astype("float32")
    outputs = []
    for step in range(len(episode_starts)):
        remembered = remembered * kept[step]
        output, remembered = cell_step(cell, inputs[step], remembered)
        outputs.append(output)
    return paddle.concat(outputs), remembered.numpy()


def cell_step(cell: nn.RNNCellBase, inputs: paddle.Tensor, state: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    """One step of an LSTM, whose state is h and c side by side, or of a GRU.

    Inputs ``[N, I]`` and state ``[N, S]`` to outputs ``[N, H]`` and the new state.
    """
    if isinstance(cell, nn.LSTMCell):
        output, parts = cell(inputs, tuple(paddle.split(state, 2, axis=-1)))
        return output, paddle.concat(parts, axis=-1)
    return cell(inputs, state)


def _linear(num_inputs: int, num_outputs: int, draw: Draw, gain: float) -> nn.Linear:
    layer = nn.Linear(num_inputs, num_outputs, weight_attr=zeros())
    layer.weight.set_value(draw((num_inputs, num_outputs), gain))
    return layer


def zeros() -> paddle.ParamAttr:
    """Attribute of a parameter whose value is set later; Paddle's default draws from its global generator."""
    return paddle.ParamAttr(initializer=nn.initializer.Constant(0.0))
