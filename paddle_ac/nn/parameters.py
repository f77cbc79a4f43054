"""All parameters of a Paddle network as one vector."""

from __future__ import annotations

from typing import cast

import numpy as np
import paddle
from paddle import nn

from paddle_ac.nn.layout import ParameterLayout


class FlatParameters:
    """Lays the parameters of a network side by side in one float32 vector, in place.

    The network's parameters become views of the vector: whoever writes into the vector (an optimiser, a checkpoint,
    another process) has changed the network, with no copy either way.

    Args:
        network: its parameters move into the vector and keep their values.

    Attributes:
        layout: where each parameter lies.
        vector: ``[P]`` float32, all parameters.
        views: name to the parameter's part of ``vector``, in the parameter's shape.
    """

    def __init__(self, network: nn.Layer):
        self._parameters: dict[str, paddle.Tensor] = dict(network.named_parameters())
        self.layout = ParameterLayout((name, tuple(value.shape)) for name, value in self._parameters.items())
        self.vector = np.empty(self.layout.size, np.float32)
        self.views = self.layout.views(self.vector)
        for name, parameter in self._parameters.items():
            self.views[name][...] = parameter.numpy()
            # Private in Paddle 3, and the only way to put a parameter onto given memory; tests watch over it.
            paddle.utils.dlpack.from_dlpack(self.views[name])._share_buffer_to(parameter)

    def take_gradient(self) -> np.ndarray:
        """The gradient ``[P]`` float32 that the last ``backward`` left at the parameters; it is cleared there."""
        gradients = [cast(paddle.Tensor, parameter.grad).numpy().ravel() for parameter in self._parameters.values()]
        for parameter in self._parameters.values():
            parameter.clear_gradient(set_to_zero=False)
        return np.concatenate(gradients)

    def check(self, values: dict[str, np.ndarray]) -> None:
        """Raise ``ValueError`` unless names and shapes are those of this network."""
        for name in sorted(self.views.keys() | values.keys()):
            here = self.views[name].shape if name in self.views else "absent"
            there = np.shape(values[name]) if name in values else "absent"
            if here != there:
                raise ValueError(f"these are parameters of another network: {name} is {there} there and {here} here")

    def load(self, values: dict[str, np.ndarray]) -> None:
        """Give every parameter the value of its name; ``ValueError`` if they are of another network."""
        self.check(values)
        for name, view in self.views.items():
            view[...] = values[name]
