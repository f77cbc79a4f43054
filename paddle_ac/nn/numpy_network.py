"""``ActorCritic`` in NumPy, on the same parameters.

Paddle's eager mode costs about 20 us an operation on a CPU, which for a small network is far more than the arithmetic.
This computes the same numbers (to rounding) from the same memory: tests compare it with the Paddle network and with
Paddle's automatic differentiation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paddle_ac.nn.actions import ActionDistribution, expected_q
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.numpy_layers import Linear
from paddle_ac.nn.numpy_torso import Torso, TorsoTape
from paddle_ac.nn.unroll import Unroll


@dataclass(frozen=True)
class Tape:
    """What a forward pass keeps for the backward pass: what the layers before the heads made of a batch."""

    actor: TorsoTape
    critic: TorsoTape


class NumpyActorCritic:
    """Acts, values, and differentiates a loss of its heads.

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
        critic_outputs = self.critic_head(critic_features)
        if not self.q_critic:
            return critic_outputs[:, 0]
        actor_features = critic_features if self.shared_torso else self.actor_torso.forward(features, unroll).outputs
        return expected_q(self._outputs(actor_features), critic_outputs)

    def forward(self, observations: np.ndarray, unroll: Unroll) -> tuple[np.ndarray, np.ndarray, Tape]:
        """Compute the heads for a batch, and what ``backward`` needs of it.

        Args:
            observations: ``[B, *observation_space.shape]``.
            unroll: how the rows follow one another, for a network that remembers.

        Returns:
            outputs of the actor ``[B, distribution.num_outputs]``, of the critic ``[B]`` (``[B, A]`` of Q(s, .)), and
            the tape.
        """
        features = self.encode(observations)
        actor = self.actor_torso.forward(features, unroll)
        critic = actor if self.shared_torso else self.critic_torso.forward(features, unroll)
        critic_outputs = self.critic_head(critic.outputs)
        return (
            self._outputs(actor.outputs),
            critic_outputs if self.q_critic else critic_outputs[:, 0],
            Tape(actor, critic),
        )

    def backward(
        self, tape: Tape, grad_outputs: np.ndarray, grad_critic_outputs: np.ndarray, gradient: dict[str, np.ndarray]
    ) -> None:
        """Compute the gradient of a loss with respect to the parameters.

        Args:
            tape: of ``forward``.
            grad_outputs: its gradient with respect to the actor's outputs, ``[B, distribution.num_outputs]``.
            grad_critic_outputs: that with respect to the critic's, ``[B]`` or ``[B, A]``.
            gradient: name to array in the parameter's shape; overwritten.
        """
        if self.log_std is not None:
            grad_outputs, grad_log_stds = np.split(grad_outputs, 2, axis=1)
            np.sum(grad_log_stds, axis=0, out=gradient["actor_log_std"])
        if not self.q_critic:
            grad_critic_outputs = grad_critic_outputs[:, np.newaxis]
        self.actor_head.backward(tape.actor.outputs, grad_outputs, gradient)
        self.critic_head.backward(tape.critic.outputs, grad_critic_outputs, gradient)
        grad_actor = self.actor_head.grad_inputs(grad_outputs)
        grad_critic = self.critic_head.grad_inputs(grad_critic_outputs)
        if self.shared_torso:
            self.actor_torso.backward(tape.actor, grad_actor + grad_critic, gradient)
        else:
            self.actor_torso.backward(tape.actor, grad_actor, gradient)
            self.critic_torso.backward(tape.critic, grad_critic, gradient)

    def _outputs(self, hidden: np.ndarray) -> np.ndarray:
        """What the actor puts out, ``[B, distribution.num_outputs]``."""
        outputs = self.actor_head(hidden)
        if self.log_std is None:
            return outputs
        return np.concatenate([outputs, np.broadcast_to(self.log_std, outputs.shape)], axis=1)
