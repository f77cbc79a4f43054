"""Networks of the user's own: a ``paddle.nn.Layer`` class, checked when it is made.

The class is called with the observation space, the action space and its own arguments. Its ``forward(observations,
state)`` returns the outputs of the policy ``[B, num_outputs]``, values ``[B]`` and the new state ``[B, state_size]`` or
``None``; see docs/networks.md.
"""

from __future__ import annotations

import importlib
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from paddle_ac.action_masks import MASK, OBSERVATION
from paddle_ac.errors import ConfigError, hint_of_main, hint_of_module_here, quoted, shortened
from paddle_ac.nn.actions import ActionDistribution
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.packing import ObservationPacking

CHECK_BATCH_SIZES = (3, 1)  # a batch of 1 shows results that lose an axis

_making = threading.Lock()  # Paddle's generator of initial weights is one for the whole process


class CustomActorCritic(nn.Layer):
    """A layer of the user's own, with the signature of ``paddle_layers.ActorCritic``.

    Args:
        network: the layer.
        encode: normalises the observations of a Box, if it normalises at all.
        observation_space: of the environment, without action masks.
        has_mask: observations are packed with action masks, which the layer does not receive.
    """

    def __init__(self, network: nn.Layer, encode: ObservationEncoder, observation_space: Any, has_mask: bool):
        super().__init__()
        self.network = network
        self.encode = encode
        self.observation_space = observation_space
        self.has_mask = has_mask
        self.state_size = int(getattr(network, "state_size", 0))

    def forward(
        self, observations: np.ndarray, state: paddle.Tensor
    ) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        """As ``ActorCritic.forward``; the layer gets tensors ``[B, *observation_space.shape]``."""
        outputs, values, new_state = self.network(self.inputs_of(observations), state)
        return outputs, values, state if new_state is None else new_state

    def inputs_of(self, observations: np.ndarray) -> paddle.Tensor | dict[str, paddle.Tensor]:
        """The first argument of the user's layer for a batch of observations."""
        if self.encode.moments is not None:
            shape = (len(observations), *self.observation_space.shape)
            return paddle.to_tensor(self.encode(observations).reshape(shape))
        return as_tensors(observations, self.has_mask)


def as_tensors(observations: np.ndarray, has_mask: bool) -> paddle.Tensor | dict[str, paddle.Tensor]:
    """A batch as a tensor of the same dtype; one of a Dict or Tuple space as tensors by the path of the part.

    Action masks are left out.
    """
    names = observations.dtype.names
    if names is None:
        return paddle.to_tensor(np.ascontiguousarray(observations))
    if has_mask and OBSERVATION in names:
        return as_tensors(observations[OBSERVATION], has_mask=False)
    paths = {path: path.removeprefix(f"{OBSERVATION}/") for path in names if path != MASK} if has_mask else {}
    return {
        name: paddle.to_tensor(np.ascontiguousarray(observations[path]))
        for path, name in (paths or dict(zip(names, names, strict=True))).items()
    }


def import_network(place: str) -> type[nn.Layer]:
    """The class at a place ``module:Class``.

    Raises:
        ConfigError: there is none, or it is no ``paddle.nn.Layer``.
    """
    module_name, _, name = place.partition(":")
    try:
        found = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever a module of the user's own may raise
        reason = shortened(f"{type(error).__name__}: {error}".splitlines()[0])
        hint = hint_of_module_here(module_name, error) if isinstance(error, ImportError) else hint_of_main(module_name)
        raise ConfigError(f"network {quoted(place)} cannot be imported: {reason}{hint}") from None
    if not (isinstance(found, type) and issubclass(found, nn.Layer)):
        raise ConfigError(f"network {quoted(place)} must be a class that derives from paddle.nn.Layer")
    return found


def make_custom_network(
    network_class: type[nn.Layer],
    arguments: dict[str, Any],
    observation_space: Any,
    action_space: Any,
    distribution: ActionDistribution,
    encode: ObservationEncoder,
    seed: int,
    has_mask: bool = False,
) -> CustomActorCritic:
    """Make the user's network and check it.

    Args:
        network_class: the class.
        arguments: further arguments of the class.
        observation_space: of the environment.
        action_space: of the environment.
        distribution: of the actions.
        encode: of the observations.
        seed: of the initial weights; Paddle's own generator is as before afterwards.
        has_mask: the observation space is that of ``space_with_mask``.

    Raises:
        ConfigError: the class raises, its results have other shapes or dtypes, or a parameter has no influence on them.
    """
    name = network_class.__name__
    with _making:
        states = paddle.get_rng_state()
        try:
            paddle.seed(seed)
            own_space = observation_space[OBSERVATION] if has_mask else observation_space
            network = network_class(own_space, action_space, **arguments)
            layer = CustomActorCritic(network, encode, own_space, has_mask)
            _check_kind(layer)
            for batch_size in CHECK_BATCH_SIZES:
                observations = np.repeat(ObservationPacking(observation_space).blank(), batch_size, axis=0)
                _check(layer, observations, distribution)
        except _NetworkError as error:
            raise ConfigError(f"network {name}: {error}") from None
        except Exception as error:  # whatever a class of the user's own may raise
            reason = shortened(f"{type(error).__name__}: {error}".splitlines()[0])
            raise ConfigError(f"network {name} failed{_line_of(error, network_class)}: {reason}") from error
        finally:
            paddle.set_rng_state(states)
    return layer


def _line_of(error: Exception, network_class: type) -> str:
    """The innermost line of the class's own file that raised an error."""
    own_file = sys.modules[network_class.__module__].__dict__.get("__file__")
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own_file]
    return f" ({Path(own_file).name}, line {lines[-1]})" if own_file and lines else ""


class _NetworkError(Exception):
    """A network violates a requirement; the message names it."""


def _check_kind(layer: CustomActorCritic) -> None:
    if layer.state_size < 0:
        raise _NetworkError(f"state_size must be 0 or more, not {layer.state_size}")
    if all(parameter.stop_gradient for parameter in layer.network.parameters()):
        raise _NetworkError("it has no parameters to learn: use paddle.nn layers, and leave one without stop_gradient")
    for name, part in layer.network.named_sublayers():
        if isinstance(part, nn.layer.norm._BatchNormBase):
            raise _NetworkError(f"{name} is a BatchNorm, whose statistics are no parameters; use LayerNorm instead")
        if isinstance(part, (nn.Dropout, nn.Dropout2D, nn.Dropout3D, nn.AlphaDropout)):
            raise _NetworkError(f"{name} is a Dropout, which makes the policy's probabilities random; leave it out")


def _check(layer: CustomActorCritic, observations: np.ndarray, distribution: ActionDistribution) -> None:
    batch_size = len(observations)
    state = paddle.zeros([batch_size, layer.state_size])
    results = layer.network(layer.inputs_of(observations), state)
    if not isinstance(results, tuple) or len(results) != 3:
        raise _NetworkError("forward must return (policy outputs, values, new state); None is no state")
    outputs, values, new_state = results
    expected = {
        "policy outputs": (outputs, [batch_size, distribution.num_outputs]),
        "values": (values, [batch_size]),
    }
    if layer.state_size or new_state is not None:
        expected["the new state"] = (new_state, [batch_size, layer.state_size])
    for name, (tensor, shape) in expected.items():
        if not isinstance(tensor, paddle.Tensor):
            raise _NetworkError(f"{name} must be a tensor of shape {['B', *shape[1:]]}, not {quoted(tensor)}")
        if list(tensor.shape) != shape or tensor.dtype != paddle.float32:
            found = f"{str(tensor.dtype).removeprefix('paddle.')} {list(tensor.shape)}"
            raise _NetworkError(f"{name} must be float32 {shape} for {batch_size} observations, not {found}")
    paddle.autograd.backward([outputs, values], [paddle.ones_like(outputs), paddle.ones_like(values)])
    for name, parameter in layer.network.named_parameters():
        if parameter.grad is None and not parameter.stop_gradient:
            raise _NetworkError(
                f"the parameter {name} has no influence on policy outputs or values: use it, remove it, or set its "
                "stop_gradient"
            )
        parameter.clear_gradient(set_to_zero=False)
