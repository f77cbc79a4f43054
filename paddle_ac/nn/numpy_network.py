"""``ActorCritic`` in NumPy, on the same parameters.

Paddle's eager mode costs about 20 us an operation on a CPU, which for a small network is far more than the arithmetic.
This computes the same numbers (to rounding) from the same memory: tests compare it with the Paddle network and with
Paddle's automatic differentiation of the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from paddle_ac.nn.actions import ActionDistribution, expected_q
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.numpy_layers import Linear
from paddle_ac.nn.numpy_torso import Torso
from paddle_ac.nn.unroll import Unroll

# Rows of a batch that are differentiated at a time: what lies between the layers then stays in a core's cache.
BLOCK_SIZE = 256


@dataclass(frozen=True)
class LossParts:
    """What ``learning.losses.ActorCriticLoss`` has, as plain numbers, and the values ``[B]`` that the critic gave."""

    total: float
    actor: float
    critic: float
    entropy: float
    values: np.ndarray


class LossConfig(Protocol):
    """What the loss needs of a configuration."""

    @property
    def critic_loss(self) -> str:
        """``"squared"`` or ``"smooth_l1"``."""
        ...

    @property
    def value_coef(self) -> float:
        """Weight of the critic's part."""
        ...

    @property
    def entropy_coef(self) -> float:
        """Weight of the entropy bonus."""
        ...


class NumpyActorCritic:
    """Acts, values and differentiates the actor-critic loss.

    Args:
        parameters: name to array, as ``FlatParameters.views`` gives them; read at every call and never copied.
        encode: from observations to features.
        distribution: the actions of what the actor puts out.
        activation: ``"tanh"`` or ``"relu"``.
        q_critic: the critic puts out Q(s, .) for Discrete actions, rather than V(s).
        recurrent: ``"none"``, ``"lstm"`` or ``"gru"``.

    Attributes:
        state_size: S, the numbers that it remembers of an environment's episode; 0 without a recurrent layer.
    """

    def __init__(
        self,
        parameters: dict[str, np.ndarray],
        encode: ObservationEncoder,
        distribution: ActionDistribution,
        activation: str,
        q_critic: bool = False,
        recurrent: str = "none",
    ):
        self.encode = encode
        self.distribution = distribution
        self.q_critic = q_critic
        self.log_std = parameters.get("actor_log_std")
        self.actor_torso = self.critic_torso = Torso(parameters, "actor", activation, recurrent)
        if any(name.startswith(("critic_torso.", "critic_memory.")) for name in parameters):
            self.critic_torso = Torso(parameters, "critic", activation, recurrent, self.actor_torso.state_size)
        self.shared_torso = self.critic_torso is self.actor_torso
        self.actor_head = Linear(parameters, "actor_head")
        self.critic_head = Linear(parameters, "critic_head")
        self.state_size = self.actor_torso.state_size * (1 if self.shared_torso else 2)

    def act(
        self,
        observations: np.ndarray,
        generator: np.random.Generator | None = None,
        state: np.ndarray | None = None,
    ) -> np.ndarray:
        """As ``ActorCritic.act``."""
        features = self.encode(observations)
        state = self.initial_state(len(features)) if state is None else state
        if self.state_size and not self.shared_torso:  # the critic's memory has to keep up
            self.critic_torso.step(features, state)
        outputs = self._outputs(self.actor_torso.step(features, state))
        return self.distribution.mode(outputs) if generator is None else self.distribution.sample(outputs, generator)

    def initial_state(self, num_envs: int) -> np.ndarray:
        """As ``ActorCritic.initial_state``."""
        return np.zeros((num_envs, self.state_size), np.float32)

    def values(self, observations: np.ndarray, unroll: Unroll | None = None) -> np.ndarray:
        """As ``ActorCritic.values``."""
        features = self.encode(observations)
        unroll = unroll or Unroll.of_one_step(self.initial_state(len(features)))
        critic_features = self.critic_torso.forward(features, unroll).outputs
        criticism = self.critic_head(critic_features)
        if not self.q_critic:
            return criticism[:, 0]
        actor_features = critic_features if self.shared_torso else self.actor_torso.forward(features, unroll).outputs
        return expected_q(self._outputs(actor_features), criticism)

    def loss_gradient(
        self,
        observations: np.ndarray,
        actions: np.ndarray,
        returns: np.ndarray,
        advantages: np.ndarray | None,
        config: LossConfig,
        gradient: dict[str, np.ndarray],
        unroll: Unroll | None = None,
    ) -> LossParts:
        """The loss of ``learning.losses.actor_critic_loss`` and its gradient.

        At the outputs it is known in closed form: at the actor's it is the distribution's, and at the values it is
        ``2 * value_coef * (V - R) / B`` (squared error), or ``value_coef * clip(V - R, -1, 1) / B`` (smooth L1). A
        critic of Q(s, .) has its gradient at the actions that were taken, and the advantage is Q(s, a) - V(s).

        Args:
            observations: ``[B, *observation_space.shape]``.
            actions: ``[B, *action_space.shape]``.
            returns: ``[B]`` float32.
            advantages: ``[B]`` float32; ``None``: returns less values.
            config: the critic's loss, and the weights of the parts.
            gradient: name to array in the parameter's shape; overwritten.
            unroll: as in ``values``.
        """
        batch_size = len(returns)
        unroll = unroll or Unroll.of_one_step(self.initial_state(batch_size))
        # What is remembered ties the rows together: they are differentiated as a whole.
        block_size = batch_size if self.state_size else BLOCK_SIZE
        values = np.empty(batch_size, np.float32)
        sums = np.zeros(3)
        block_gradient = gradient
        for first in range(0, batch_size, block_size):
            block = slice(first, first + block_size)
            if first == block_size:
                block_gradient = {name: np.empty_like(array) for name, array in gradient.items()}
            sums += self._block_gradient(
                observations[block],
                actions[block],
                returns[block],
                None if advantages is None else advantages[block],
                config,
                batch_size,
                values[block],
                block_gradient,
                unroll,
            )
            if first:
                for name, array in gradient.items():
                    array += block_gradient[name]
        actor, critic, entropy = (sums / batch_size).tolist()
        total = actor + config.value_coef * critic - config.entropy_coef * entropy
        return LossParts(total, actor, critic, entropy, values)

    def _block_gradient(
        self,
        observations: np.ndarray,
        actions: np.ndarray,
        returns: np.ndarray,
        advantages: np.ndarray | None,
        config: LossConfig,
        batch_size: int,
        values: np.ndarray,
        gradient: dict[str, np.ndarray],
        unroll: Unroll,
    ) -> tuple[float, float, float]:
        """One block's part of the gradient; fills in its values, and returns the sums of the parts of its loss."""
        features = self.encode(observations)
        actor_tape = self.actor_torso.forward(features, unroll)
        critic_tape = actor_tape if self.shared_torso else self.critic_torso.forward(features, unroll)
        outputs, criticism = self._outputs(actor_tape.outputs), self.critic_head(critic_tape.outputs)
        if self.q_critic:
            rows = np.arange(len(returns))
            values[...] = expected_q(outputs, criticism)
            errors = returns - criticism[rows, actions]
            advantages = criticism[rows, actions] - values
        else:
            values[...] = criticism[:, 0]
            errors = returns - values
            advantages = errors if advantages is None else advantages
        actor, entropy, at_outputs = self.distribution.loss_gradient(
            outputs, actions, advantages, np.float32(config.entropy_coef)
        )
        at_outputs /= np.float32(batch_size)
        if config.critic_loss == "squared":
            critic = float(np.sum(np.square(errors)))
            at_chosen = errors * np.float32(-2 * config.value_coef / batch_size)
        else:
            limited = np.clip(errors, -1, 1)
            critic = float(np.sum(limited * (errors - 0.5 * limited)))
            at_chosen = limited * np.float32(-config.value_coef / batch_size)
        if self.q_critic:
            at_values = np.zeros_like(criticism)
            at_values[rows, actions] = at_chosen
        else:
            at_values = at_chosen[:, np.newaxis]

        if self.log_std is not None:
            at_outputs, at_log_stds = np.split(at_outputs, 2, axis=1)
            np.sum(at_log_stds, axis=0, out=gradient["actor_log_std"])
        self.actor_head.backward(actor_tape.outputs, at_outputs, gradient)
        self.critic_head.backward(critic_tape.outputs, at_values, gradient)
        at_actor, at_critic = self.actor_head.at_inputs(at_outputs), self.critic_head.at_inputs(at_values)
        if self.shared_torso:
            self.actor_torso.backward(actor_tape, at_actor + at_critic, gradient)
        else:
            self.actor_torso.backward(actor_tape, at_actor, gradient)
            self.critic_torso.backward(critic_tape, at_critic, gradient)
        return actor, critic, entropy

    def _outputs(self, hidden: np.ndarray) -> np.ndarray:
        """What the actor puts out, ``[B, distribution.num_outputs]``."""
        outputs = self.actor_head(hidden)
        if self.log_std is None:
            return outputs
        return np.concatenate([outputs, np.broadcast_to(self.log_std, outputs.shape)], axis=1)
