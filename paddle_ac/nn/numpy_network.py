"""``ActorCritic`` in NumPy, on the same parameters.

Paddle's eager mode costs about 20 us an operation on a CPU, which for a small network is far more than the arithmetic.
This computes the same numbers (to rounding) from the same memory: tests compare it with the Paddle network and with
Paddle's automatic differentiation of the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paddle_ac.nn.actions import ActionDistribution
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.numpy_layers import HiddenLayers, Linear

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


class NumpyActorCritic:
    """Acts, values and differentiates the actor-critic loss.

    Args:
        parameters: name to array, as ``FlatParameters.views`` gives them; read at every call and never copied.
        encode: from observations to features.
        distribution: the actions of what the actor puts out.
        activation: ``"tanh"`` or ``"relu"``.
    """

    def __init__(
        self,
        parameters: dict[str, np.ndarray],
        encode: ObservationEncoder,
        distribution: ActionDistribution,
        activation: str,
    ):
        self.encode = encode
        self.distribution = distribution
        self.log_std = parameters.get("actor_log_std")
        self.actor_torso = HiddenLayers(parameters, "actor_torso", activation)
        self.critic_torso = HiddenLayers(parameters, "critic_torso", activation)
        self.shared_torso = not self.critic_torso.layers
        self.actor_head = Linear(parameters, "actor_head")
        self.critic_head = Linear(parameters, "critic_head")

    def act(self, observations: np.ndarray, generator: np.random.Generator | None = None) -> np.ndarray:
        """As ``ActorCritic.act``."""
        outputs = self._outputs(self.actor_torso(self.encode(observations))[-1])
        return self.distribution.mode(outputs) if generator is None else self.distribution.sample(outputs, generator)

    def values(self, observations: np.ndarray) -> np.ndarray:
        """As ``ActorCritic.values``."""
        torso = self.actor_torso if self.shared_torso else self.critic_torso
        return self.critic_head(torso(self.encode(observations))[-1])[:, 0]

    def loss_gradient(
        self,
        observations: np.ndarray,
        actions: np.ndarray,
        returns: np.ndarray,
        advantages: np.ndarray | None,
        value_coef: float,
        entropy_coef: float,
        gradient: dict[str, np.ndarray],
    ) -> LossParts:
        """The loss of ``learning.losses.actor_critic_loss`` and its gradient.

        At the outputs it is known in closed form: at the actor's it is the distribution's, and at the values it is
        ``2 * value_coef * (V - R) / B``.

        Args:
            observations: ``[B, *observation_space.shape]``.
            actions: ``[B, *action_space.shape]``.
            returns: ``[B]`` float32.
            advantages: ``[B]`` float32; ``None``: returns less values.
            value_coef: weight of the critic's part.
            entropy_coef: weight of the entropy bonus.
            gradient: name to array in the parameter's shape; overwritten.
        """
        batch_size = len(returns)
        values = np.empty(batch_size, np.float32)
        sums = np.zeros(3)
        block_gradient = gradient
        for first in range(0, batch_size, BLOCK_SIZE):
            block = slice(first, first + BLOCK_SIZE)
            if first == BLOCK_SIZE:
                block_gradient = {name: np.empty_like(array) for name, array in gradient.items()}
            sums += self._block_gradient(
                observations[block],
                actions[block],
                returns[block],
                None if advantages is None else advantages[block],
                np.float32(2 * value_coef / batch_size),
                np.float32(entropy_coef),
                np.float32(batch_size),
                values[block],
                block_gradient,
            )
            if first:
                for name, array in gradient.items():
                    array += block_gradient[name]
        actor, critic, entropy = (sums / batch_size).tolist()
        return LossParts(actor + value_coef * critic - entropy_coef * entropy, actor, critic, entropy, values)

    def _block_gradient(
        self,
        observations: np.ndarray,
        actions: np.ndarray,
        returns: np.ndarray,
        advantages: np.ndarray | None,
        value_weight: np.float32,
        entropy_coef: np.float32,
        batch_size: np.float32,
        values: np.ndarray,
        gradient: dict[str, np.ndarray],
    ) -> tuple[float, float, float]:
        """One block's part of the gradient; fills in its values, and returns the sums of the parts of its loss."""
        features = self.encode(observations)
        actor_hidden = self.actor_torso(features)
        critic_hidden = actor_hidden if self.shared_torso else self.critic_torso(features)
        outputs = self._outputs(actor_hidden[-1])
        values[...] = self.critic_head(critic_hidden[-1])[:, 0]

        errors = returns - values
        advantages = errors if advantages is None else advantages
        actor, entropy, at_outputs = self.distribution.loss_gradient(outputs, actions, advantages, entropy_coef)
        at_outputs /= batch_size
        critic = float(np.sum(np.square(errors)))
        at_values = (errors * -value_weight)[:, np.newaxis]

        if self.log_std is not None:
            at_outputs, at_log_stds = np.split(at_outputs, 2, axis=1)
            np.sum(at_log_stds, axis=0, out=gradient["actor_log_std"])
        self.actor_head.backward(actor_hidden[-1], at_outputs, gradient)
        self.critic_head.backward(critic_hidden[-1], at_values, gradient)
        at_actor, at_critic = self.actor_head.at_inputs(at_outputs), self.critic_head.at_inputs(at_values)
        if self.shared_torso:
            self.actor_torso.backward(actor_hidden, at_actor + at_critic, gradient)
        else:
            self.actor_torso.backward(actor_hidden, at_actor, gradient)
            self.critic_torso.backward(critic_hidden, at_critic, gradient)
        return actor, critic, entropy

    def _outputs(self, hidden: np.ndarray) -> np.ndarray:
        """What the actor puts out, ``[B, distribution.num_outputs]``."""
        outputs = self.actor_head(hidden)
        if self.log_std is None:
            return outputs
        return np.concatenate([outputs, np.broadcast_to(self.log_std, outputs.shape)], axis=1)
