"""A network as plain data, from which both backends build it.

``describe_network`` turns spaces and hyper-parameters into a ``NetworkDescription``: what the network reads, its
layers, its parameters in order and their initial values. It imports no Paddle, so workers use it too.
"""

from __future__ import annotations

import functools
import itertools
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paddle_ac.memory import PARAMETER, require_memory
from paddle_ac.nn.actions import CategoricalActions, GaussianActions, MultiCategoricalActions, action_distribution
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.images import (
    ENCODERS,
    Encoder,
    ImageInput,
    ImageLayer,
    choose_encoder,
    image_inputs,
    output_shapes,
    parse_conv_layers,
)
from paddle_ac.nn.initialization import INITIALIZATIONS, Draw
from paddle_ac.nn.layout import ParameterLayout

MLP_HIDDEN_SIZES = (64, 64)  # OpenAI baselines
CONV_LAYERS_HIDDEN_SIZES = (256,)
NUM_GATES = {"lstm": 4, "gru": 3}
STATE_PARTS = {"lstm": 2, "gru": 1}  # of as many numbers as the layer has units


@dataclass(frozen=True)
class InputDescription:
    """Input of a network: an encoder for each image in an observation, and the features of all other parts.

    The features of the images and the other features of the observation, side by side, are the inputs of the hidden
    layers.

    Attributes:
        images: the images in an observation, each with an encoder of its own.
        image_layers: the layers of each encoder.
        num_features: F, features of the observation besides its images.
    """

    images: tuple[ImageInput, ...]
    image_layers: tuple[tuple[ImageLayer, ...], ...]
    num_features: int

    @property
    def num_inputs(self) -> int:
        """Inputs of the hidden layers."""
        encoded = zip(self.image_layers, self.images, strict=True)
        return self.num_features + sum(math.prod(output_shapes(layers, image.shape)[-1]) for layers, image in encoded)


@dataclass(frozen=True)
class NetworkDescription(InputDescription):
    """A policy and a critic: image encoders, hidden layers, a recurrent layer, and two heads.

    Image encoders are shared by actor and critic.

    Attributes:
        hidden_sizes: units of each hidden layer.
        activation: ``"tanh"`` or ``"relu"``, after each hidden layer.
        shared_torso: one stack of hidden and recurrent layers for actor and critic, rather than one each; true without
            a critic.
        recurrent: ``"none"``, ``"lstm"`` or ``"gru"``, behind the hidden layers.
        recurrent_size: its units.
        num_outputs: of the actor's head.
        num_stds: standard deviations of a Gaussian; 0 for other distributions.
        own_stds: they are parameters, rather than outputs of the actor's head.
        initial_log_std: logarithm of a Gaussian's deviation before anything is learned.
        q_critic: the critic estimates Q(s, .) of Discrete actions, rather than V(s).
        initialization: name of the initial weights.
        has_mask: observations have a part with an action mask; see ``action_masks``.
        q_head: what the actor's outputs are. ``"none"``: those of a policy. ``"policy"``: the same, without a critic.
            ``"plain"``: Q(s, .) of Discrete actions, or of each choice of MultiDiscrete ones, without a critic.
            ``"dueling"``: advantages A(s, .) of Discrete actions, beside V(s) of the critic (``losses.q_learning``).
    """

    hidden_sizes: tuple[int, ...]
    activation: str
    shared_torso: bool
    recurrent: str
    recurrent_size: int
    num_outputs: int
    num_stds: int
    own_stds: bool
    initial_log_std: float
    q_critic: bool
    initialization: str
    has_mask: bool = False
    q_head: str = "none"

    @property
    def has_critic(self) -> bool:
        """Whether there is a critic's head."""
        return self.q_head not in ("plain", "policy")

    @property
    def num_critic_outputs(self) -> int:
        """Outputs of the critic's head."""
        return self.num_outputs if self.q_critic else 1

    @property
    def state_size(self) -> int:
        """S, numbers of the recurrent state of one environment."""
        if self.recurrent == "none":
            return 0
        return self.recurrent_size * STATE_PARTS[self.recurrent] * (1 if self.shared_torso else 2)

    @property
    def torsos(self) -> tuple[str, ...]:
        """Names of the stacks of hidden layers: ``"actor"`` alone if it is shared, else also ``"critic"``."""
        return ("actor",) if self.shared_torso else ("actor", "critic")

    def layout(self) -> ParameterLayout:
        """Names and shapes of the parameters, in order."""
        return ParameterLayout((name, shape) for name, shape, _ in self._parameters())

    def initial_parameters(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw the initial parameters, float32 by name.

        Weights of hidden layers and convolutions have a gain of sqrt(2), of recurrent layers and the critic's head 1,
        of the actor's head 0.01 (OpenAI baselines), or 1 for Q values and advantages; biases start at 0.
        """
        draw: Draw = functools.partial(INITIALIZATIONS[self.initialization], generator)
        parameters = {}
        for name, shape, gain in self._parameters():
            if gain is None:
                parameters[name] = np.zeros(shape, np.float32)
            else:  # a convolution's kernel is the matrix of the product that it is
                parameters[name] = draw((math.prod(shape[:-1]), shape[-1]), gain).reshape(shape)
        if self.own_stds:
            parameters["actor_log_std"][:] = self.initial_log_std
        elif self.num_stds:
            parameters["actor_head.bias"][self.num_stds :] = self.initial_log_std
        return parameters

    def _parameters(self) -> Iterator[tuple[str, tuple[int, ...], float | None]]:
        """Name, shape and gain of each parameter; no gain for those that start at 0."""
        if self.own_stds:
            yield "actor_log_std", (self.num_stds,), None
        for index, (layers, image) in enumerate(zip(self.image_layers, self.images, strict=True)):
            shapes = output_shapes(layers, image.shape)
            for position, (layer, shape) in enumerate(zip(layers, shapes, strict=False)):
                for name, parameter_shape in layer.parameter_shapes(shape.channels):
                    gain = math.sqrt(2) if name.endswith("weight") else None
                    yield f"image_encoders.{index}.{position}.{name}", parameter_shape, gain
        sizes = [self.num_inputs, *self.hidden_sizes]
        for whose in self.torsos:
            for index, (num_inputs, num_units) in enumerate(itertools.pairwise(sizes)):
                # Activations are layers too, in Paddle's numbering of layers.
                yield from _dense(f"{whose}_torso.{2 * index}", num_inputs, num_units, math.sqrt(2))
        if self.recurrent != "none":
            gates = NUM_GATES[self.recurrent] * self.recurrent_size
            for whose in self.torsos:
                yield f"{whose}_memory.weight_ih", (gates, sizes[-1]), 1.0
                yield f"{whose}_memory.weight_hh", (gates, self.recurrent_size), 1.0
                yield f"{whose}_memory.bias_ih", (gates,), None
                yield f"{whose}_memory.bias_hh", (gates,), None
            sizes.append(self.recurrent_size)
        yield from _dense("actor_head", sizes[-1], self.num_outputs, 0.01 if self.q_head in ("none", "policy") else 1.0)
        if self.has_critic:
            yield from _dense("critic_head", sizes[-1], self.num_critic_outputs, 1.0)


def _dense(
    name: str, num_inputs: int, num_units: int, gain: float
) -> Iterator[tuple[str, tuple[int, ...], float | None]]:
    yield f"{name}.weight", (num_inputs, num_units), gain
    yield f"{name}.bias", (num_units,), None


def default_activation(has_images: bool) -> str:
    """The activation of a network whose configuration names none."""
    return "relu" if has_images else "tanh"


def describe_inputs(
    observation_space: Any, encoder: str = "auto", conv_layers: str | None = None, has_mask: bool = False
) -> tuple[InputDescription, tuple[int, ...]]:
    """Describe how a network reads the observations of a space.

    Args:
        observation_space: of the environment.
        encoder: ``"auto"``, ``"mlp"``, which flattens images, or a name in ``ENCODERS``.
        conv_layers: takes the place of ``encoder``, as ``parse_conv_layers`` reads it.
        has_mask: observations have a part with an action mask, which is not read.

    Returns:
        the description, and the hidden layers that follow by default.

    Raises:
        ValueError: images with four dimensions or too small for the encoder, or an image encoder without an image.
    """
    inputs = () if encoder == "mlp" else image_inputs(observation_space)
    if not inputs and (conv_layers is not None or encoder not in ("auto", "mlp")):
        needs = f"conv_layers={conv_layers}" if conv_layers is not None else f"the {encoder} encoder"
        raise ValueError(f"{needs} needs an image, a Box [height, width, channels], among {observation_space}")
    encoders = [_encoder_of(image, encoder, conv_layers) for image in inputs]
    description = InputDescription(
        images=inputs,
        image_layers=tuple(chosen.layers for chosen in encoders),
        num_features=ObservationEncoder(observation_space, images=inputs, has_mask=has_mask).num_features,
    )
    return description, encoders[0].hidden_sizes if encoders else MLP_HIDDEN_SIZES


def describe_network(
    observation_space: Any,
    action_space: Any,
    hidden_sizes: Sequence[int] | None = None,
    activation: str | None = None,
    shared_torso: bool | None = None,
    initialization: str = "orthogonal",
    state_dependent_std: bool = False,
    initial_log_std: float = 0.0,
    q_critic: bool = False,
    recurrent: str = "none",
    recurrent_size: int = 64,
    encoder: str = "auto",
    conv_layers: str | None = None,
    has_mask: bool = False,
    q_head: str = "none",
) -> NetworkDescription:
    """Describe the network for an environment's spaces; the arguments are attributes of ``NetworkDescription``.

    Those that are ``None`` depend on whether there are images. ``encoder``, ``conv_layers`` and ``has_mask`` are those
    of ``describe_inputs``.

    Raises:
        TypeError: an action space without a distribution, or Q(s, .) of one that is not Discrete.
        ValueError: as ``describe_inputs``.
        ConfigError: more parameters than there is memory.
    """
    distribution = action_distribution(action_space)
    if (q_critic or q_head == "dueling") and not isinstance(distribution, CategoricalActions):
        raise TypeError("takes Discrete action spaces that begin at 0")
    if q_head == "plain" and not isinstance(distribution, (CategoricalActions, MultiCategoricalActions)):
        raise TypeError("takes Discrete and MultiDiscrete action spaces that begin at 0")
    inputs, default_hidden_sizes = describe_inputs(observation_space, encoder, conv_layers, has_mask)
    has_images = bool(inputs.images)
    num_stds = math.prod(action_space.shape) if isinstance(distribution, GaussianActions) else 0
    own_stds = num_stds > 0 and not state_dependent_std
    description = NetworkDescription(
        images=inputs.images,
        image_layers=inputs.image_layers,
        num_features=inputs.num_features,
        hidden_sizes=default_hidden_sizes if hidden_sizes is None else tuple(hidden_sizes),
        activation=activation or default_activation(has_images),
        shared_torso=q_head in ("plain", "policy") or (has_images if shared_torso is None else shared_torso),
        recurrent=recurrent,
        recurrent_size=recurrent_size,
        num_outputs=distribution.num_outputs - num_stds * own_stds,
        num_stds=num_stds,
        own_stds=own_stds,
        initial_log_std=initial_log_std,
        q_critic=q_critic,
        initialization=initialization,
        has_mask=has_mask,
        q_head=q_head,
    )
    _require_memory_for(description)
    return description


def log_images(description: InputDescription) -> None:
    """Log how the images of an observation are read, in one line for each."""
    for image, layers in zip(description.images, description.image_layers, strict=True):
        names = [name for name, encoder in ENCODERS.items() if encoder.layers == layers] or ["conv_layers"]
        height, width, channels = image.shape
        either = height == channels or width == channels
        logging.getLogger(__name__).info(
            "%s: images of %d x %d pixels with %d channel%s, %s; encoder %s",
            f"observation[{image.part!r}]" if image.part else "observations",
            height,
            width,
            channels,
            "s" * (channels != 1),
            f"channels {'first' if image.channels_first else 'last'}{' (assumed)' if either else ''}",
            names[0],
        )


def _encoder_of(image: ImageInput, encoder: str, conv_layers: str | None) -> Encoder:
    if conv_layers is not None:
        chosen, name = Encoder(parse_conv_layers(conv_layers), CONV_LAYERS_HIDDEN_SIZES), f"conv_layers={conv_layers}"
    else:
        name = choose_encoder(image.shape) if encoder == "auto" else encoder
        chosen, name = ENCODERS[name], f"the {name} encoder"
    try:
        output_shapes(chosen.layers, image.shape)
    except ValueError as error:
        where = "" if image.part is None else f"observation[{image.part!r}]: "
        raise ValueError(f"{where}{name} {error}") from None
    return chosen


def _require_memory_for(description: NetworkDescription) -> None:
    sizes = [description.num_inputs, *description.hidden_sizes]
    num_weights = sum(num_inputs * num_units for num_inputs, num_units in itertools.pairwise(sizes))
    require_memory(num_weights * PARAMETER, f"hidden_sizes={','.join(map(str, description.hidden_sizes))}")
    if description.recurrent != "none":
        units = description.recurrent_size
        num_weights = NUM_GATES[description.recurrent] * units * (sizes[-1] + units)
        require_memory(num_weights * PARAMETER, f"recurrent_size={units}")
