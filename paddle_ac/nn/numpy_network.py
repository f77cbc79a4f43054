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
        self.parameters = parameters
        self.encode = encode
        self.activation = activation
        self._actor = _layer_names(parameters, "actor_torso")
        self._critic = _layer_names(parameters, "critic_torso") or self._actor

    def act(self, observations: np.ndarray, generator: np.random.Generator | None = None) -> np.ndarray:
        """As ``ActorCritic.act``."""
        logits = self._linear("actor_head", self._hidden(self._actor, self.encode(observations))[-1])
        return np.argmax(logits, axis=-1) if generator is None else sample_categorical(logits, generator)

    def values(self, observations: np.ndarray) -> np.ndarray:
        """As ``ActorCritic.values``."""
        return self._linear("critic_head", self._hidden(self._critic, self.encode(observations))[-1])[:, 0]

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
        actor_hidden = self._hidden(self._actor, features)
        shared = self._critic is self._actor
        critic_hidden = actor_hidden if shared else self._hidden(self._critic, features)
        log_p = log_softmax(self._linear("actor_head", actor_hidden[-1]))
        values[...] = self._linear("critic_head", critic_hidden[-1])[:, 0]

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

        self._back_through_linear("actor_head", actor_hidden[-1], at_logits, gradient)
        self._back_through_linear("critic_head", critic_hidden[-1], at_values, gradient)
        at_actor = at_logits @ self.parameters["actor_head.weight"].T
        at_critic = at_values * self.parameters["critic_head.weight"].T  # a product with one column: no sum to take
        if shared:
            self._back_through_hidden(self._actor, actor_hidden, at_actor + at_critic, gradient)
        else:
            self._back_through_hidden(self._actor, actor_hidden, at_actor, gradient)
            self._back_through_hidden(self._critic, critic_hidden, at_critic, gradient)
        return actor, critic, entropy

    def _hidden(self, layers: list[str], features: np.ndarray) -> list[np.ndarray]:
        """The features, and what each hidden layer makes of them."""
        outputs = [features]
        for layer in layers:
            output = self._linear(layer, outputs[-1])
            outputs.append(np.tanh(output, output) if self.activation == "tanh" else np.maximum(output, 0, out=output))
        return outputs

    def _linear(self, layer: str, inputs: np.ndarray) -> np.ndarray:
        outputs = inputs @ self.parameters[f"{layer}.weight"]
        outputs += self.parameters[f"{layer}.bias"]
        return outputs

    def _back_through_linear(
        self, layer: str, inputs: np.ndarray, at_outputs: np.ndarray, gradient: dict[str, np.ndarray]
    ) -> None:
        np.matmul(inputs.T, at_outputs, out=gradient[f"{layer}.weight"])
        np.sum(at_outputs, axis=0, out=gradient[f"{layer}.bias"])

    def _back_through_hidden(
        self, layers: list[str], outputs: list[np.ndarray], at_last: np.ndarray, gradient: dict[str, np.ndarray]
    ) -> None:
        at_output = at_last
        for index in reversed(range(len(layers))):
            output = outputs[index + 1]
            at_output *= 1 - output * output if self.activation == "tanh" else output > 0
            self._back_through_linear(layers[index], outputs[index], at_output, gradient)
            if index:  # nobody asks for the gradient at the features
                at_output = at_output @ self.parameters[f"{layers[index]}.weight"].T


def _layer_names(parameters: dict[str, np.ndarray], torso: str) -> list[str]:
    """``["actor_torso.0", "actor_torso.2", ...]``, in order."""
    return [name.removesuffix(".weight") for name in parameters if name.startswith(torso) and name.endswith(".weight")]
