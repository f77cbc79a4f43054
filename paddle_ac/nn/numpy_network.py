"""``ActorCritic`` in NumPy, on the same parameters.

Paddle's eager mode costs about 20 us an operation on a CPU, which for a small network is far more than the arithmetic.
This computes the same numbers (to rounding) from the same memory: tests compare it with the Paddle network and with
Paddle's automatic differentiation of the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paddle_ac.nn.categorical import log_softmax, sample_categorical
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
        activation: ``"tanh"`` or ``"relu"``.
    """

    def __init__(self, parameters: dict[str, np.ndarray], encode: ObservationEncoder, activation: str):
        self.encode = encode
        self.actor_torso = HiddenLayers(parameters, "actor_torso", activation)
        self.critic_torso = HiddenLayers(parameters, "critic_torso", activation)
        self.shared_torso = not self.critic_torso.layers
        self.actor_head = Linear(parameters, "actor_head")
        self.critic_head = Linear(parameters, "critic_head")

    def act(self, observations: np.ndarray, generator: np.random.Generator | None = None) -> np.ndarray:
        """As ``ActorCritic.act``."""
        logits = self.actor_head(self.actor_torso(self.encode(observations))[-1])
        return np.argmax(logits, axis=-1) if generator is None else sample_categorical(logits, generator)

    def values(self, observations: np.ndarray) -> np.ndarray:
        """As ``ActorCritic.values``."""
        torso = self.actor_torso if self.shared_torso else self.critic_torso
        return self.critic_head(torso(self.encode(observations))[-1])[:, 0]

    def loss_gradient(
        self,
        observations: np.ndarray,
        actions: np.ndarray,
        returns: np.ndarray,
        value_coef: float,
        entropy_coef: float,
        gradient: dict[str, np.ndarray],
    ) -> LossParts:
        """The loss of ``learning.losses.actor_critic_loss`` and its gradient.

        At the outputs it is known in closed form: ``((p - onehot(a)) * A + entropy_coef * p * (log p + H)) / B`` at the
        logits, with the advantage ``A = R - V``, probabilities ``p`` and entropy ``H``, and
        ``2 * value_coef * (V - R) / B`` at the values.

        Args:
            observations: ``[B, *observation_space.shape]``.
            actions: ``[B]`` int64.
            returns: ``[B]`` float32.
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
        log_p = log_softmax(self.actor_head(actor_hidden[-1]))
        values[...] = self.critic_head(critic_hidden[-1])[:, 0]

        rows = np.arange(len(returns))
        advantages = returns - values
        p = np.exp(log_p)
        entropies = -(p * log_p).sum(axis=-1)
        actor = -float(np.sum(log_p[rows, actions] * advantages))
        critic = float(np.sum(np.square(advantages)))
        entropy = float(np.sum(entropies))

        at_logits = p * advantages[:, np.newaxis]
        at_logits[rows, actions] -= advantages
        at_logits += entropy_coef * p * (log_p + entropies[:, np.newaxis])
        at_logits /= batch_size
        at_values = (advantages * -value_weight)[:, np.newaxis]

        self.actor_head.backward(actor_hidden[-1], at_logits, gradient)
        self.critic_head.backward(critic_hidden[-1], at_values, gradient)
        at_actor, at_critic = self.actor_head.at_inputs(at_logits), self.critic_head.at_inputs(at_values)
        if self.shared_torso:
            self.actor_torso.backward(actor_hidden, at_actor + at_critic, gradient)
        else:
            self.actor_torso.backward(actor_hidden, at_actor, gradient)
            self.critic_torso.backward(critic_hidden, at_critic, gradient)
        return actor, critic, entropy
