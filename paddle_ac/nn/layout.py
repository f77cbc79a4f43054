"""Layout of the parameters of a network in one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np


class ParameterLayout:
    """Names and shapes of parameters, one after the other in a vector; it can be sent to another process.

    Args:
        shapes: the name and the shape of each parameter, in order.

    Attributes:
        size: P, the length of the vector.
    """

    def __init__(self, shapes: Iterable[tuple[str, tuple[int, ...]]]):
        self.shapes = dict(shapes)
        self.size = sum(math.prod(shape) for shape in self.shapes.values())

    def views(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        """Each parameter's part of a vector ``[P]``, in the parameter's shape and on the vector's memory."""
        views, first = {}, 0
        for name, shape in self.shapes.items():
            last = first + math.prod(shape)
            views[name] = vector[first:last].reshape(shape)
            first = last
        return views
