"""All parameters of a network as one vector."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from paddle_ac.nn.layout import ParameterLayout


class FlatParameters:
    """Named parameters side by side in one float32 vector.

    Networks compute on the vector's memory: an optimiser, a checkpoint or another process that writes to the vector
    changes the network.

    Args:
        values: initial value of each parameter by name, in order; copied.
        vector: ``[P]`` float32, memory for the parameters, such as that of another network; new memory by default.

    Attributes:
        layout: where each parameter lies.
        vector: ``[P]`` float32, all parameters.
        views: name to the parameter's part of ``vector``, in the parameter's shape.
    """

    def __init__(self, values: Mapping[str, np.ndarray], vector: np.ndarray | None = None):
        self.layout = ParameterLayout((name, value.shape) for name, value in values.items())
        self.vector = np.empty(self.layout.size, np.float32) if vector is None else vector
        self.views = self.layout.views(self.vector)
        for name, value in values.items():
            self.views[name][...] = value

    def check(self, values: Mapping[str, np.ndarray]) -> None:
        """Raise ``ValueError`` unless names and shapes are those of this network."""
        for name in sorted(self.views.keys() | values.keys()):
            here = self.views[name].shape if name in self.views else "absent"
            there = np.shape(values[name]) if name in values else "absent"
            if here != there:
                raise ValueError(f"these are parameters of another network: {name} is {there} there and {here} here")

    def load(self, values: Mapping[str, np.ndarray]) -> None:
        """Set every parameter to the value of its name; ``ValueError`` as ``check``."""
        self.check(values)
        for name, view in self.views.items():
            view[...] = values[name]
