"""Policies as they are deployed: one graph of Paddle operations from an observation to the action.

The networks encode observations and choose actions in NumPy, for speed; an exported one does both by itself. It has
the actor alone: nobody who acts needs the critic.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.static import InputSpec

from multiprocessing_env import space_kind, space_parts
from paddle_ac.nn.action_scale import ActionScale
from paddle_ac.nn.encoding import LARGEST, PIXEL_SCALE, ObservationEncoder
from paddle_ac.nn.networks import STATE_PARTS, ActorCritic, cell_step
from paddle_ac.nn.numpy_sac import LOG_STD_RANGE
from paddle_ac.nn.sac_networks import SquashedGaussianActor


class ExportedPolicy(nn.Layer, ABC):
    """From observations to greedy actions, the parameters of their distribution, and the new state.

    Inputs, by name: ``observation`` ``[B, *observation_space.shape]``, float32 of a Box and int64 of the discrete
    kinds, as the environment gives it; and, of a policy that remembers, ``state`` ``[B, S]`` float32, zeros where an
    episode begins. A Dict or Tuple space has an input for each part in place of ``observation``, named by its path,
    such as ``observation.robot.joints``.

    Outputs, in the order of ``output_names``: ``action`` ``[B, *action_space.shape]``, float32 within a Box and int64
    of the discrete kinds; ``logits`` ``[B, K]`` float32, those of each choice side by side, or ``mean`` and ``log_std``
    ``[B, A]`` float32 of a Gaussian in the units of ``ActionScale``, before the action is squashed, scaled or clipped;
    and, of a policy that remembers, the ``new_state`` ``[B, S]``.

    Args:
        policy: its layers are shared, not copied.
        observation_space: of the policy.
        action_space: of the policy.

    Attributes:
        state_size: S, 0 of a policy that does not remember; where the critic remembers for itself, it is the first half
            of the policy's state.
    """

    state_size = 0

    def __init__(self, policy: Any, observation_space: Any, action_space: Any):
        super().__init__()
        self.encode = ExportedEncoder(policy.encode)
        parts = space_parts(observation_space)
        self.paths = list(parts)
        self.observation_names = [".".join(["observation", *path.split("/")]) for path in parts] or ["observation"]
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
        """Of what a call returns."""
        distribution = ["mean", "log_std"] if hasattr(self, "low") else ["logits"]
        return ["action", *distribution] + ["new_state"] * (self.state_size > 0)

    @property
    def input_names(self) -> list[str]:
        """Of what a call takes."""
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


class ExportedActorCritic(ExportedPolicy):
    """The actor of an ``ActorCritic``."""

    def __init__(self, policy: ActorCritic, observation_space: Any, action_space: Any):
        super().__init__(policy, observation_space, action_space)
        self.action_kind = space_kind(action_space)
        self.choices = np.ravel(getattr(action_space, "nvec", [])).tolist()
        self.torso = policy.actor_torso
        self.head = policy.actor_head
        self.log_std = policy.actor_log_std if policy.has_own_stds else None
        self.memory = None
        if policy.recurrent != "none":
            self.memory = policy.actor_memory
            self.state_size = policy.actor_memory.hidden_size * STATE_PARTS[policy.recurrent]

    def forward(self, observation: Any, state: paddle.Tensor | None = None) -> list[paddle.Tensor]:
        features = self.torso(self.encode(observation))
        new_state = []
        if self.memory is not None and state is not None:
            features, remembered = cell_step(self.memory, features, state)
            new_state = [remembered]
        outputs = self.head(features)
        if self.action_kind != "Box":
            return [self._most_probable(outputs), outputs, *new_state]
        if self.log_std is None:
            mean, log_std = paddle.split(outputs, 2, axis=-1)
        else:
            mean, log_std = outputs, paddle.zeros_like(outputs) + self.log_std
        return [self._in_box(mean), mean, log_std, *new_state]

    def _most_probable(self, logits: paddle.Tensor) -> paddle.Tensor:
        if self.action_kind == "Discrete":
            return logits.argmax(axis=-1)
        if self.action_kind == "MultiBinary":
            return (logits > 0).astype("int64").reshape([-1, *self.action_shape])
        parts = paddle.split(logits, self.choices, axis=-1)
        return paddle.stack([part.argmax(axis=-1) for part in parts], axis=1).reshape([-1, *self.action_shape])


class ExportedSquashedGaussianActor(ExportedPolicy):
    """The actor of SAC."""

    def __init__(self, policy: SquashedGaussianActor, observation_space: Any, action_space: Any):
        super().__init__(policy, observation_space, action_space)
        self.torso = policy.torso
        self.head = policy.head

    def forward(self, observation: Any, state: paddle.Tensor | None = None) -> list[paddle.Tensor]:
        mean, log_std = paddle.split(self.head(self.torso(self.encode(observation))), 2, axis=-1)
        return [self._in_box(mean.tanh()), mean, log_std.clip(*LOG_STD_RANGE)]


class ExportedEncoder(nn.Layer):
    """What an ``ObservationEncoder`` computes, by its moments as they are now."""

    def __init__(self, encode: ObservationEncoder):
        super().__init__()
        self.parts = nn.LayerList([ExportedEncoder(part) for part in encode.parts.values()])
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
            features = paddle.concat([encode(observation[index]) for index, encode in enumerate(self.parts)], axis=-1)
            return self._normalized(features)
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
    """An ``ActorCritic`` or a ``SquashedGaussianActor`` as it is deployed."""
    kind = ExportedSquashedGaussianActor if isinstance(policy, SquashedGaussianActor) else ExportedActorCritic
    return kind(policy, observation_space, action_space)
