"""Policies as they are deployed: one graph of Paddle operations from an observation to the action.

The networks encode observations and choose actions in NumPy, for speed; an exported one does both by itself. It has
the actor alone: nobody who acts needs the critic.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.static import InputSpec

from multiprocessing_env import space_kind, space_parts
from paddle_ac.action_masks import MASK, MASKED_LOGIT, OBSERVATION
from paddle_ac.nn.action_scale import ActionScale
from paddle_ac.nn.continuous_networks import ContinuousActor, SquashedGaussianActor
from paddle_ac.nn.custom_network import CustomActorCritic
from paddle_ac.nn.description import STATE_PARTS
from paddle_ac.nn.encoding import LARGEST, PIXEL_SCALE, ObservationEncoder
from paddle_ac.nn.network import Network
from paddle_ac.nn.numpy_continuous import LOG_STD_RANGE
from paddle_ac.nn.paddle_layers import ObservingLayer, cell_step
from paddle_ac.nn.paddle_network import layer_of


class ExportedPolicy(nn.Layer, ABC):
    """From observations to greedy actions, the parameters of their distribution, and the new state.

    Inputs, by name: ``observation`` ``[B, *observation_space.shape]``, float32 of a Box and int64 of the discrete
    kinds, as the environment gives it; and, of a recurrent policy, ``state`` ``[B, S]`` float32, zeros where an episode
    begins. A Dict or Tuple space has an input for each part in place of ``observation``, named by its path,
    such as ``observation.robot.joints``.

    Outputs, in the order of ``output_names``: ``action`` ``[B, *action_space.shape]``, float32 within a Box and int64
    of the discrete kinds; ``logits`` ``[B, K]`` float32, those of each choice side by side, or ``mean`` and ``log_std``
    ``[B, A]`` float32 of a Gaussian in the units of ``ActionScale``, before the action is squashed, scaled or clipped;
    and, of a recurrent policy, the ``new_state`` ``[B, S]``. A deterministic policy has the ``action`` alone.

    Args:
        policy: its layers are shared, not copied.
        observation_space: of the policy.
        action_space: of the policy.

    Attributes:
        state_size: S, 0 without a recurrent layer; where the critic has a recurrent layer of its own, the first half of
            the policy's state.
    """

    state_size = 0

    def __init__(self, policy: Any, observation_space: Any, action_space: Any):
        super().__init__()
        parts = space_parts(observation_space)
        self.encode = ExportedEncoder(policy.encode, list(parts))
        self.paths = list(parts)
        self.has_mask = bool(getattr(policy, "has_mask", False))
        prefix = "" if self.has_mask else "observation/"
        self.observation_names = [f"{prefix}{path}".replace("/", ".") for path in parts] or ["observation"]
        spaces = list(parts.values()) or [observation_space]
        self.observation_shapes = [tuple(space.shape) for space in spaces]
        self.observation_dtypes: list[Literal["float32", "int64"]] = [
            "float32" if space_kind(space) == "Box" else "int64" for space in spaces
        ]
        self.action_shape = tuple(action_space.shape)
        if space_kind(action_space) == "Box":
            self.register_buffer("low", paddle.to_tensor(action_space.low.astype(np.float32)))
            self.register_buffer("high", paddle.to_tensor(action_space.high.astype(np.float32)))
            scale = ActionScale(action_space)
            self.register_buffer("centre", paddle.to_tensor(scale.centre))
            self.register_buffer("half_range", paddle.to_tensor(scale.half_range))

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs of a call, in order."""
        distribution = ["mean", "log_std"] if hasattr(self, "low") else ["logits"]
        return ["action", *distribution] + ["new_state"] * (self.state_size > 0)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs of a call, in order."""
        return self.observation_names + ["state"] * (self.state_size > 0)

    @property
    def input_specs(self) -> list[Any]:
        """The name, shape and dtype of each input, as ``forward`` takes them."""
        observations = zip(self.observation_shapes, self.observation_dtypes, self.observation_names, strict=True)
        specs: list[Any] = [InputSpec([None, *shape], dtype, name) for shape, dtype, name in observations]
        if self.paths:
            specs = [specs]
        if self.state_size:
            specs.append(InputSpec([None, self.state_size], "float32", "state"))
        return specs

    def inputs_of(self, observations: np.ndarray, states: np.ndarray) -> list[np.ndarray]:
        """The inputs, in the order of ``input_names``.

        Args:
            observations: ``[B, *observation_space.shape]``, packed where the space is a Dict or a Tuple.
            states: ``[B, S]`` or wider, of the policy.
        """
        parts = [observations[path] for path in self.paths] or [observations]
        inputs = [part.astype(dtype) for part, dtype in zip(parts, self.observation_dtypes, strict=True)]
        return inputs + [states[:, : self.state_size]] * (self.state_size > 0)

    def outputs_of(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """The outputs for inputs in the order of ``input_names``."""
        tensors = list(map(paddle.to_tensor, inputs))
        num_parts = len(self.observation_names)
        observation = tensors[:num_parts] if self.paths else tensors[0]
        return [output.numpy() for output in self(observation, *tensors[num_parts:])]

    @abstractmethod
    def forward(self, observation: Any, state: paddle.Tensor | None = None) -> list[paddle.Tensor]:
        """The outputs for the inputs; the parts of a Dict or Tuple space are a list."""

    def _in_box(self, units: paddle.Tensor) -> paddle.Tensor:
        """Map ``[B, A]`` units of ``ActionScale`` to actions, clipped to the bounds of the Box."""
        actions = self.centre + self.half_range * units.reshape([-1, *self.action_shape])
        return paddle.minimum(paddle.maximum(actions, self.low), self.high)


class ExportedNetwork(ExportedPolicy):
    """The policy of an on-policy network; ``_outputs`` computes the outputs of the actor."""

    def __init__(self, policy: Network, observation_space: Any, action_space: Any):
        super().__init__(policy, observation_space, action_space)
        self.action_kind = space_kind(action_space)
        self.choices = np.ravel(getattr(action_space, "nvec", [])).tolist()

    @abstractmethod
    def _outputs(self, observation: Any, state: paddle.Tensor | None) -> tuple[paddle.Tensor, paddle.Tensor | None]:
        """Outputs of the actor ``[B, num_outputs]``, and the new state of a recurrent network."""

    def forward(self, observation: Any, state: paddle.Tensor | None = None) -> list[paddle.Tensor]:
        outputs, state = self._outputs(observation, state)
        if self.has_mask:
            is_allowed = observation[self.paths.index(MASK)] != 0
            outputs = paddle.where(is_allowed, outputs, paddle.full_like(outputs, float(MASKED_LOGIT)))
        new_state = [] if state is None else [state]
        if self.action_kind != "Box":
            return [self._most_probable(outputs), outputs, *new_state]
        mean, log_std = paddle.split(outputs, 2, axis=-1)
        return [self._in_box(mean), mean, log_std, *new_state]

    def _most_probable(self, logits: paddle.Tensor) -> paddle.Tensor:
        if self.action_kind == "Discrete":
            return logits.argmax(axis=-1)
        if self.action_kind == "MultiBinary":
            return (logits > 0).astype("int64").reshape([-1, *self.action_shape])
        parts = paddle.split(logits, self.choices, axis=-1)
        return paddle.stack([part.argmax(axis=-1) for part in parts], axis=1).reshape([-1, *self.action_shape])


class ExportedActorCritic(ExportedNetwork):
    """The actor of a built-in network."""

    def __init__(self, policy: Network, observation_space: Any, action_space: Any):
        super().__init__(policy, observation_space, action_space)
        layer = layer_of(policy)
        self.features = ExportedFeatures(layer, self.encode, self.paths)
        self.torso = layer.actor_torso
        self.head = layer.actor_head
        self.log_std = layer.actor_log_std if layer.description.own_stds else None
        self.memory = None
        if layer.state_size:
            self.memory = layer.actor_memory
            self.state_size = layer.actor_memory.hidden_size * STATE_PARTS[layer.description.recurrent]

    def _outputs(
        self, observation: paddle.Tensor, state: paddle.Tensor | None
    ) -> tuple[paddle.Tensor, paddle.Tensor | None]:
        features = self.torso(self.features(observation))
        if self.memory is not None and state is not None:
            features, state = cell_step(self.memory, features, state)
        outputs = self.head(features)
        if self.log_std is not None:
            outputs = paddle.concat([outputs, paddle.zeros_like(outputs) + self.log_std], axis=-1)
        return outputs, state


class ExportedCustomNetwork(ExportedNetwork):
    """A network of the user's own, critic included."""

    def __init__(self, policy: Network, observation_space: Any, action_space: Any):
        super().__init__(policy, observation_space, action_space)
        layer = layer_of(policy)
        self.network = layer.network
        self.state_size = layer.state_size
        parts = list(space_parts(observation_space).values()) or [observation_space]
        self.own_shape = layer.observation_space.shape
        self.dtypes: list[Any] = [np.dtype(part.dtype).name for part in parts]

    def _outputs(self, observation: Any, state: paddle.Tensor | None) -> tuple[paddle.Tensor, paddle.Tensor | None]:
        given: Any
        if self.encode.is_normalized:
            given = self.encode(observation).reshape([-1, *self.own_shape])
        elif self.paths:
            given = {}
            for path, part, dtype in zip(self.paths, observation, self.dtypes):  # noqa: B905 (unknown to the tracing)
                given[path.removeprefix(f"{OBSERVATION}/") if self.has_mask else path] = part.astype(dtype)
            if self.has_mask:
                del given[MASK]
                given = given.get(OBSERVATION, given)
        else:
            given = observation.astype(self.dtypes[0])
        first = observation[0] if self.paths else observation
        outputs, _, new_state = self.network(given, paddle.zeros([first.shape[0], 0]) if state is None else state)
        return outputs, new_state if self.state_size else None


class ExportedContinuousActor(ExportedPolicy):
    """The actor of an algorithm of continuous actions."""

    def __init__(self, policy: ContinuousActor, observation_space: Any, action_space: Any):
        super().__init__(policy, observation_space, action_space)
        self.features = ExportedFeatures(policy, self.encode, self.paths)
        self.torso = policy.torso
        self.head = policy.head

    def _head_outputs(self, observation: Any) -> paddle.Tensor:
        return self.head(self.torso(self.features(observation)))


class ExportedSquashedGaussianActor(ExportedContinuousActor):
    """The actor of SAC."""

    def forward(self, observation: Any, state: paddle.Tensor | None = None) -> list[paddle.Tensor]:
        mean, log_std = paddle.split(self._head_outputs(observation), 2, axis=-1)
        return [self._in_box(mean.tanh()), mean, log_std.clip(*LOG_STD_RANGE)]


class ExportedDeterministicActor(ExportedContinuousActor):
    """The actor of TD3 and DDPG, which has no distribution."""

    @property
    def output_names(self) -> list[str]:
        """As ``ExportedPolicy.output_names``."""
        return ["action"]

    def forward(self, observation: Any, state: paddle.Tensor | None = None) -> list[paddle.Tensor]:
        return [self._in_box(self._head_outputs(observation).tanh())]


class ExportedFeatures(nn.Layer):
    """Layer that computes ``ObservingLayer.features`` from the inputs of an exported policy.

    Args:
        layer: its image encoders are shared, not copied.
        encode: from observations to the features besides images.
        paths: of all parts of a Dict or Tuple space, in the order in which ``forward`` receives them.
    """

    def __init__(self, layer: ObservingLayer, encode: ExportedEncoder, paths: Sequence[str]):
        super().__init__()
        self.encode = encode
        self.image_encoders = nn.LayerList(
            nn.Sequential(as_images, encoder, nn.Flatten())
            for as_images, encoder in zip(layer.as_images, layer.image_encoders, strict=True)
        )
        images = [as_images.image for as_images in layer.as_images]
        self.image_places = [None if image.part is None else paths.index(image.part) for image in images]

    def forward(self, observation: Any) -> paddle.Tensor:
        """``[B, *observation_space.shape]``, or a list of the parts, to the inputs of the hidden layers ``[B, I]``."""
        parts = []
        for place, encode in zip(self.image_places, self.image_encoders):  # noqa: B905 (unknown to Paddle's tracing)
            parts.append(encode(observation if place is None else observation[place]))
        if self.encode.has_features:
            parts.append(self.encode(observation))
        return paddle.concat(parts, axis=-1) if len(parts) > 1 else parts[0]


class ExportedEncoder(nn.Layer):
    """Layer that computes the features of an ``ObservationEncoder``, with its moments as they are now.

    Args:
        encode: the encoder.
        paths: of all parts of a Dict or Tuple space, in the order in which ``forward`` receives them.
    """

    def __init__(self, encode: ObservationEncoder, paths: Sequence[str] = ()):
        super().__init__()
        self.parts = nn.LayerList([ExportedEncoder(part) for part in encode.parts.values()])
        self.positions = [paths.index(path) for path in encode.parts]
        self.has_features = encode.has_features
        self.num_features = encode.num_features
        self.is_normalized = encode.moments is not None
        self.scales_pixels = encode.scales_pixels
        if encode.moments is not None:
            self.register_buffer("mean", paddle.to_tensor(encode.mean))
            self.register_buffer("scale", paddle.to_tensor(encode.scale))
        self.categories: list[int] = []
        if encode.categories is not None:
            self.categories = encode.categories.tolist()
            start = np.broadcast_to(encode.start, encode.categories.shape).astype(np.int64)
            self.register_buffer("start", paddle.to_tensor(start))

    def forward(self, observation: Any) -> paddle.Tensor:
        """``[B, *observation_space.shape]``, or a list of the parts, to ``[B, F]`` float32."""
        if len(self.parts):
            features = []
            for encode, position in zip(self.parts, self.positions):  # noqa: B905 (unknown to Paddle's tracing)
                features.append(encode(observation[position]))
            return self._normalized(paddle.concat(features, axis=-1))
        if self.categories:
            chosen = observation.reshape([-1, len(self.categories)]) - self.start
            one_hot = [F.one_hot(chosen[:, part], n) for part, n in enumerate(self.categories)]
            return paddle.concat(one_hot, axis=-1)
        features = observation.astype("float32").reshape([-1, self.num_features])
        if self.scales_pixels:
            return features * float(PIXEL_SCALE)
        return self._normalized(features)

    def _normalized(self, features: paddle.Tensor) -> paddle.Tensor:
        return ((features - self.mean) * self.scale).clip(-LARGEST, LARGEST) if self.is_normalized else features


def exported_policy(policy: Any, observation_space: Any, action_space: Any) -> ExportedPolicy:
    """A ``Network`` or a ``ContinuousActor`` as it is deployed."""
    if isinstance(policy, ContinuousActor):
        is_gaussian = isinstance(policy, SquashedGaussianActor)
        of_actor = ExportedSquashedGaussianActor if is_gaussian else ExportedDeterministicActor
        return of_actor(policy, observation_space, action_space)
    is_custom = isinstance(layer_of(policy), CustomActorCritic)
    kind = ExportedCustomNetwork if is_custom else ExportedActorCritic
    return kind(policy, observation_space, action_space)


def layer_to_save(policy: Any) -> nn.Layer:
    """The Paddle layer with a policy's parameters, under the names of the run's checkpoints."""
    return policy if isinstance(policy, ContinuousActor) else layer_of(policy)
