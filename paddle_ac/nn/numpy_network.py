"""The policy and critic in NumPy.

Paddle's eager mode costs about 20 us per operation on a CPU, which for a small network is far more than the arithmetic,
and its convolutions are three times slower there. This backend computes the same numbers, to rounding, from the same
memory: tests compare it with the Paddle network and with Paddle's automatic differentiation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paddle_ac.nn.actions import ActionDistribution, expected_q
from paddle_ac.nn.description import NetworkDescription
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.network import Network
from paddle_ac.nn.numpy_features import ImageTapes, NumpyFeatures, release
from paddle_ac.nn.numpy_layers import Linear
from paddle_ac.nn.numpy_torso import Torso, TorsoTape
from paddle_ac.nn.parameters import FlatParameters
from paddle_ac.nn.threads import RowThreads
from paddle_ac.nn.unroll import Unroll


@dataclass(frozen=True)
class Tape:
    """Intermediate results of a forward pass that the backward pass needs.

    Attributes:
        actor, critic: of the layers before the heads.
        images: of each image encoder.
        is_recorded: the last are of a record, and stay.
    """

    actor: TorsoTape
    critic: TorsoTape
    images: ImageTapes
    is_recorded: bool


class Record:
    """Features and tapes of the images of a rollout, kept while acting so that learning need not compute them again.

    Args:
        max_rows: observations; what comes after them is not kept.
        num_inputs: F, of the hidden layers.
        num_encoders: of images.

    Attributes:
        num_rows: B, observations so far.
        images: tapes of each image encoder.
    """

    def __init__(self, max_rows: int, num_inputs: int, num_encoders: int):
        self.num_rows = 0
        self.images: ImageTapes = [[] for _ in range(num_encoders)]
        self._features = np.empty((max_rows, num_inputs), np.float32)

    @property
    def features(self) -> np.ndarray:
        """``[B, F]`` float32."""
        return self._features[: self.num_rows]

    def begin(self) -> None:
        """Forget all."""
        release(self.images)
        self.images = [[] for _ in self.images]
        self.num_rows = 0

    def has_room(self, num_rows: int) -> bool:
        """Whether so many observations can be kept."""
        return self.num_rows + num_rows <= len(self._features)

    def append(self, num_rows: int) -> np.ndarray:
        """Features of further observations ``[num_rows, F]``, to be computed."""
        first, self.num_rows = self.num_rows, self.num_rows + num_rows
        return self._features[first : self.num_rows]


class NumpyActorCritic(Network):
    """The ``numpy`` backend of the built-in networks.

    Args:
        description: the layers.
        parameters: those of the description's layout; read at every call.
        encode: from observations to the features besides images.
        distribution: of the actions, given by the actor's outputs.
        num_threads: threads that share the rows of a batch of images.
    """

    def __init__(
        self,
        description: NetworkDescription,
        parameters: FlatParameters,
        encode: ObservationEncoder,
        distribution: ActionDistribution,
        num_threads: int = 1,
    ):
        super().__init__(
            parameters, encode, distribution, description.q_critic, description.state_size, description.has_mask
        )
        self.description = description
        views = parameters.views
        self.log_std = views["actor_log_std"] if description.own_stds else None
        threads = RowThreads(num_threads) if description.images else None
        self.features = NumpyFeatures(views, description, encode, threads)
        torso = description.activation, description.recurrent
        self.actor_torso = self.critic_torso = Torso(views, "actor", *torso, threads=threads)
        self.shared_torso = description.shared_torso
        if not self.shared_torso:
            self.critic_torso = Torso(views, "critic", *torso, self.actor_torso.state_size, threads)
        self.actor_head = Linear(views, "actor_head")
        self.critic_head = Linear(views, "critic_head") if description.has_critic else None

    def policy_outputs(
        self, observations: np.ndarray, state: np.ndarray | None = None, record: Record | None = None
    ) -> np.ndarray:
        """As ``Network.policy_outputs``."""
        if record is not None and record.has_room(len(observations)):
            first_row, features = record.num_rows, record.append(len(observations))
            for kept, tapes in zip(
                record.images, self.features.forward_into(features, observations, first_row), strict=True
            ):
                kept += tapes
        else:
            features = self.features(observations)
        state = self.initial_state(len(features)) if state is None else state
        if self.state_size and not self.shared_torso:  # the critic's memory has to keep up
            self.critic_torso.step(features, state)
        return self._masked(self._outputs(self.actor_torso.step(features, state)), observations)

    def values(self, observations: np.ndarray, unroll: Unroll | None = None) -> np.ndarray:
        """As ``Network.values``."""
        features = self.features(observations)
        unroll = unroll or Unroll.of_one_step(self.initial_state(len(features)))
        critic_features = self.critic_torso.forward(features, unroll).outputs
        critic_outputs = self._critic_outputs(critic_features)
        if not self.q_critic:
            return critic_outputs
        actor_features = critic_features if self.shared_torso else self.actor_torso.forward(features, unroll).outputs
        return expected_q(self._masked(self._outputs(actor_features), observations), critic_outputs)

    def heads(self, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``Network.heads``."""
        outputs, critic_outputs, tape = self.forward(
            observations, Unroll.of_one_step(self.initial_state(len(observations)))
        )
        release(tape.images)
        return outputs, critic_outputs

    def make_record(self, max_rows: int) -> Record | None:
        """As ``Network.make_record``; of a network without images there is nothing that is worth it."""
        encoders = self.features.image_encoders
        return Record(max_rows, self.features.num_inputs, len(encoders)) if encoders else None

    def forward(
        self, observations: np.ndarray, unroll: Unroll, record: Record | None = None
    ) -> tuple[np.ndarray, np.ndarray, Tape]:
        """As ``Network.forward``."""
        recorded = None if record is None else (record.features, record.images)
        features, images = recorded or self.features.forward(observations)
        actor = self.actor_torso.forward(features, unroll)
        critic = actor if self.shared_torso else self.critic_torso.forward(features, unroll)
        return (
            self._masked(self._outputs(actor.outputs), observations),
            self._critic_outputs(critic.outputs),
            Tape(actor, critic, images, record is not None),
        )

    def backward(
        self, tape: Tape, grad_outputs: np.ndarray, grad_critic_outputs: np.ndarray, gradient: dict[str, np.ndarray]
    ) -> None:
        """As ``Network.backward``."""
        if self.log_std is not None:
            grad_outputs, grad_log_stds = np.split(grad_outputs, 2, axis=1)
            np.sum(grad_log_stds, axis=0, out=gradient["actor_log_std"])
        self.actor_head.backward(tape.actor.outputs, grad_outputs, gradient)
        grad_actor = self.actor_head.grad_inputs(grad_outputs)
        wants_inputs = bool(tape.images)
        grad_critic: np.ndarray | None = None
        if self.critic_head is not None:
            if not self.q_critic:
                grad_critic_outputs = grad_critic_outputs[:, np.newaxis]
            self.critic_head.backward(tape.critic.outputs, grad_critic_outputs, gradient)
            grad_critic = self.critic_head.grad_inputs(grad_critic_outputs)
        if self.shared_torso:
            grad_shared = grad_actor if grad_critic is None else grad_actor + grad_critic
            grad_features = self.actor_torso.backward(tape.actor, grad_shared, gradient, wants_inputs)
        else:
            assert grad_critic is not None
            grad_features = self.actor_torso.backward(tape.actor, grad_actor, gradient, wants_inputs)
            of_critic = self.critic_torso.backward(tape.critic, grad_critic, gradient, wants_inputs)
            grad_features = grad_features + of_critic if wants_inputs else grad_features
        self.features.backward(tape.images, grad_features, gradient)
        if not tape.is_recorded:
            release(tape.images)

    def _critic_outputs(self, hidden: np.ndarray) -> np.ndarray:
        """Outputs of the critic, ``[B]``, ``[B, A]`` of Q(s, .), or ``[B, 0]`` without a critic."""
        if self.critic_head is None:
            return np.empty((len(hidden), 0), np.float32)
        outputs = self.critic_head(hidden)
        return outputs if self.q_critic else outputs[:, 0]

    def _outputs(self, hidden: np.ndarray) -> np.ndarray:
        """Outputs of the actor, ``[B, distribution.num_outputs]``."""
        outputs = self.actor_head(hidden)
        if self.log_std is None:
            return outputs
        return np.concatenate([outputs, np.broadcast_to(self.log_std, outputs.shape)], axis=1)
