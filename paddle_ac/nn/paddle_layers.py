"""Built-in networks as Paddle layers: how they read observations, and the network of the on-policy algorithms."""

from __future__ import annotations

import itertools

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from paddle_ac.nn import images
from paddle_ac.nn.description import STATE_PARTS, InputDescription, NetworkDescription
from paddle_ac.nn.encoding import ObservationEncoder

RECURRENT_CELLS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


class ObservingLayer(nn.Layer):
    """The base of networks that read observations: image encoders, and the features of all else.

    Args:
        inputs: the image encoders; parameters start at 0.
        encode: from observations to the features besides images.
    """

    def __init__(self, inputs: InputDescription, encode: ObservationEncoder):
        super().__init__()
        self.encode = encode
        self.as_images = nn.LayerList(AsImages(image) for image in inputs.images)
        self.image_encoders = nn.LayerList(
            nn.Sequential(*_image_layers(layers, image))
            for layers, image in zip(inputs.image_layers, inputs.images, strict=True)
        )

    def features(self, observations: np.ndarray) -> paddle.Tensor:
        """Inputs of the hidden layers ``[B, I]``, those of images first, for ``[B, *observation_space.shape]``."""
        features = paddle.to_tensor(self.encode(observations))
        encoded = [
            encoder(as_images(paddle.to_tensor(np.ascontiguousarray(as_images.image.of(observations))))).flatten(1)
            for encoder, as_images in zip(self.image_encoders, self.as_images, strict=True)
        ]
        return paddle.concat([*encoded, features], axis=-1) if encoded else features


class ActorCritic(ObservingLayer):
    """A policy (the actor) and a value estimate (the critic), built from a description.

    Args:
        description: the layers; parameters start at 0.
        encode: from observations to the features besides images.

    Attributes:
        state_size: S, numbers of the recurrent state of one environment; 0 without a recurrent layer.
    """

    def __init__(self, description: NetworkDescription, encode: ObservationEncoder):
        super().__init__(description, encode)
        self.description = description
        self.state_size = description.state_size
        sizes = [description.num_inputs, *description.hidden_sizes]
        self.actor_torso = _hidden_layers(sizes, description.activation)
        self.critic_torso = (
            self.actor_torso if description.shared_torso else _hidden_layers(sizes, description.activation)
        )
        num_features = sizes[-1]
        if description.recurrent != "none":
            cell = description.recurrent, num_features, description.recurrent_size
            self.actor_memory = _recurrent_cell(*cell)
            self.critic_memory = self.actor_memory if description.shared_torso else _recurrent_cell(*cell)
            num_features = description.recurrent_size
        self.actor_head = _linear(num_features, description.num_outputs)
        if description.own_stds:
            self.actor_log_std = self.create_parameter([description.num_stds], default_initializer=_ZERO)
        self.critic_head = _linear(num_features, description.num_critic_outputs) if description.has_critic else None

    def forward(
        self, observations: np.ndarray, state: paddle.Tensor | None = None
    ) -> tuple[paddle.Tensor, paddle.Tensor | None, paddle.Tensor]:
        """Compute the heads for a batch.

        Args:
            observations: ``[B, *observation_space.shape]``, as the environment returns them.
            state: ``[B, S]`` float32, the recurrent state of each; zeros by default.

        Returns:
            outputs of the actor ``[B, num_outputs]`` (logits, or means and logarithms of standard deviations), values
            ``[B]`` (``[B, A]`` of Q(s, .), ``None`` without a critic), and the new state ``[B, S]``, all float32.
        """
        state = paddle.zeros([len(observations), self.state_size]) if state is None else state
        features = self.features(observations)
        actor_features = self.actor_torso(features)
        critic_features = actor_features if self.description.shared_torso else self.critic_torso(features)
        if self.state_size and self.description.shared_torso:
            actor_features, state = cell_step(self.actor_memory, actor_features, state)
            critic_features = actor_features
        elif self.state_size:
            actor_state, critic_state = paddle.split(state, 2, axis=-1)
            actor_features, actor_state = cell_step(self.actor_memory, actor_features, actor_state)
            critic_features, critic_state = cell_step(self.critic_memory, critic_features, critic_state)
            state = paddle.concat([actor_state, critic_state], axis=-1)
        outputs = self.actor_head(actor_features)
        if self.description.own_stds:
            outputs = paddle.concat([outputs, self.actor_log_std.expand_as(outputs)], axis=-1)
        if self.critic_head is None:
            return outputs, None, state
        critic_outputs = self.critic_head(critic_features)
        return outputs, critic_outputs if self.description.q_critic else critic_outputs.squeeze(-1), state


class AsImages(nn.Layer):
    """From the images of observations to float32 images ``[B, H, W, C]``, pixels between 0 and 1."""

    def __init__(self, image: images.ImageInput):
        super().__init__()
        self.image = image

    def forward(self, pixels: paddle.Tensor) -> paddle.Tensor:
        """``[B, *shape of the observation]`` of any dtype to ``[B, H, W, C]`` float32."""
        pixels = pixels.astype("float32")
        pixels = pixels.transpose([0, 2, 3, 1]) if self.image.channels_first else pixels
        return pixels.reshape([-1, *self.image.shape]) * self.image.scale


class Convolution(nn.Layer):
    """See ``images.Convolution``; the weight is ``[K, K, C, O]``, as a matrix product of patches needs it."""

    def __init__(self, num_channels: int, layer: images.Convolution):
        super().__init__()
        self.layer = layer
        shapes = dict(layer.parameter_shapes(num_channels))
        self.weight = self.create_parameter(shapes["weight"], default_initializer=_ZERO)
        self.bias = self.create_parameter(shapes["bias"], default_initializer=_ZERO)

    def forward(self, inputs: paddle.Tensor) -> paddle.Tensor:
        """``[B, H, W, C]`` to ``[B, H', W', O]``."""
        layer = self.layer
        kernel = self.weight.transpose([3, 2, 0, 1])
        outputs = F.conv2d(inputs.transpose([0, 3, 1, 2]), kernel, self.bias, layer.stride, layer.padding)
        return (F.relu(outputs) if layer.relu else outputs).transpose([0, 2, 3, 1])


class MaxPool(nn.Layer):
    """See ``images.MaxPool``."""

    def forward(self, inputs: paddle.Tensor) -> paddle.Tensor:
        """``[B, H, W, C]`` to ``[B, H', W', C]``."""
        layer = images.MaxPool()
        pooled = F.max_pool2d(inputs.transpose([0, 3, 1, 2]), layer.kernel, layer.stride, layer.padding)
        return pooled.transpose([0, 2, 3, 1])


class Residual(nn.Layer):
    """See ``images.Residual``."""

    def __init__(self, num_channels: int):
        super().__init__()
        convolution = images.Convolution(num_channels, 3, padding=1, relu=False)
        self.first = Convolution(num_channels, convolution)
        self.second = Convolution(num_channels, convolution)

    def forward(self, inputs: paddle.Tensor) -> paddle.Tensor:
        """``[B, H, W, C]`` to ``[B, H, W, C]``."""
        return inputs + self.second(F.relu(self.first(F.relu(inputs))))


def _image_layers(layers: tuple[images.ImageLayer, ...], image: images.ImageInput) -> list[nn.Layer]:
    """The layers behind ``AsImages``; the parameters of the layer at index i are named after i."""
    shapes = images.output_shapes(layers, image.shape)
    built: list[nn.Layer] = []
    for layer, shape in zip(layers, shapes, strict=False):
        if isinstance(layer, images.Convolution):
            built.append(Convolution(shape.channels, layer))
        elif isinstance(layer, images.Residual):
            built.append(Residual(shape.channels))
        else:
            built.append(MaxPool() if isinstance(layer, images.MaxPool) else nn.ReLU())
    return built


def _hidden_layers(sizes: list[int], activation: str) -> nn.Sequential:
    layers: list[nn.Layer] = []
    for num_inputs, num_units in itertools.pairwise(sizes):
        layers += [_linear(num_inputs, num_units), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)


def _recurrent_cell(recurrent: str, num_inputs: int, num_units: int) -> nn.RNNCellBase:
    attributes = {f"{name}_attr": zeros() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    return RECURRENT_CELLS[recurrent](num_inputs, num_units, **attributes)


def cell_step(cell: nn.RNNCellBase, inputs: paddle.Tensor, state: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    """One step of an LSTM, whose state is h and c side by side, or of a GRU.

    Inputs ``[N, I]`` and state ``[N, S]`` to outputs ``[N, H]`` and the new state.
    """
    if isinstance(cell, nn.LSTMCell):
        output, parts = cell(inputs, tuple(paddle.split(state, STATE_PARTS["lstm"], axis=-1)))
        return output, paddle.concat(parts, axis=-1)
    return cell(inputs, state)


def _linear(num_inputs: int, num_outputs: int) -> nn.Linear:
    return nn.Linear(num_inputs, num_outputs, weight_attr=zeros())


_ZERO = nn.initializer.Constant(0.0)


def zeros() -> paddle.ParamAttr:
    """Attribute of a parameter whose value is set later; Paddle's default draws from its global generator."""
    return paddle.ParamAttr(initializer=_ZERO)
