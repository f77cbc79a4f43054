"""Paddle layers on the memory of NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import paddle
from paddle import nn

from paddle_ac.nn.parameters import FlatParameters


def values_of(layer: nn.Layer) -> dict[str, np.ndarray]:
    """The parameters of a layer by name, copied."""
    return {name: parameter.numpy().copy() for name, parameter in layer.named_parameters()}


def share_memory(layer: nn.Layer, views: Mapping[str, np.ndarray]) -> None:
    """Move the parameters of a layer on the CPU onto the arrays of their names, whose values they take."""
    for name, parameter in layer.named_parameters():
        # Private in Paddle 3, and the only way to put a parameter onto given memory; a test checks that it works.
        paddle.utils.dlpack.from_dlpack(views[name])._share_buffer_to(parameter)


def flatten_parameters(layer: nn.Layer) -> FlatParameters:
    """Move the parameters of a layer, with their values, into one vector that the layer computes on."""
    parameters = FlatParameters(values_of(layer))
    share_memory(layer, parameters.views)
    return parameters


def take_gradients(layer: nn.Layer, gradient: Mapping[str, np.ndarray]) -> None:
    """Move the gradients that ``backward`` left at the parameters into arrays by name; 0 for frozen parameters."""
    for name, parameter in layer.named_parameters():
        if parameter.stop_gradient:
            gradient[name][...] = 0
        else:
            gradient[name][...] = cast(paddle.Tensor, parameter.grad).numpy()
            parameter.clear_gradient(set_to_zero=False)
