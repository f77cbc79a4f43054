"""All parameters of a network as one vector."""

from __future__ import annotations

from typing import cast

import numpy as np
import paddle
from paddle import nn


class FlatParameters:
    """Lays the parameters of a network side by side in one float32 vector, in place.

    The network's parameters become views of the vector: whoever writes into the vector (an optimiser, a checkpoint,
    another process) has changed the network, with no copy either way.

    Args:
        network: its parameters move into the vector and keep their values.

    Attributes:
        vector: ``[P]`` float32, all parameters.
        views: name to the parameter's part of ``vector``, in the parameter's shape.
    """

    def __init__(self, network: nn.Layer):
        self._parameters = list(network.named_parameters())
        self.vector = np.empty(sum(int(parameter.size) for _, parameter in self._parameters), np.float32)
        self.views: dict[str, np.ndarray] = {}
        first = 0
        for name, parameter in self._parameters:
            view = self.vector[first : first + int(parameter.size)].reshape(parameter.shape)
            view[...] = parameter.numpy()
            # Private in Paddle 3, and the only way to put a parameter onto given memory; tests watch over it.
            paddle.utils.dlpack.from_dlpack(view)._share_buffer_to(parameter)
            self.views[name] = view
            first += int(parameter.size)

    def take_gradient(self) -> np.ndarray:
        """The gradient ``[P]`` float32 that the last ``backward`` left at the parameters; it is cleared there."""
        gradients = [cast(paddle.Tensor, parameter.grad).numpy().ravel() for _, parameter in self._parameters]
        for _, parameter in self._parameters:
            parameter.clear_gradient(set_to_zero=False)
        return np.concatenate(gradients)

    def load(self, values: dict[str, np.ndarray]) -> None:
        """Give every parameter the value of its name.

        Raises:
            ValueError: the names or shapes are those of another network.
        """
        for name in sorted(self.views.keys() | values.keys()):
            here = self.views[name].shape if name in self.views else "absent"
            there = values[name].shape if name in values else "absent"
            if here != there:
                raise ValueError(f"these are parameters of another network: {name} is {there} there and {here} here")
        for name, view in self.views.items():
            view[...] = values[name]
