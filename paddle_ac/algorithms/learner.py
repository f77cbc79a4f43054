"""A network that learns: its parameters as one vector, their gradient, and the optimiser that changes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from paddle import nn

from paddle_ac.algorithms.state import Part, arrays_part, check_structure
from paddle_ac.nn.optimizers import Optimizer
from paddle_ac.nn.parameters import FlatParameters


class Learner:
    """The parameters of a network, and the optimiser that changes them.

    Args:
        network: Paddle's; its P parameters move into one vector.
        make_optimizer: returns the optimiser of a vector ``[P]`` float32.

    Attributes:
        parameters: vector and views of the network's parameters.
        gradient: ``[P]`` float32, where an algorithm computes gradients.
        gradient_views: name to the parameter's part of ``gradient``.
        optimizer: of ``parameters.vector``.
    """

    def __init__(self, network: nn.Layer, make_optimizer: Callable[[np.ndarray], Optimizer]):
        self.parameters = FlatParameters(network)
        self.gradient = np.zeros_like(self.parameters.vector)
        self.gradient_views = self.parameters.layout.views(self.gradient)
        self.optimizer = make_optimizer(self.parameters.vector)


def parameters_part(parameters: FlatParameters) -> Part:
    """The saved part of a network's parameters, by name."""
    return Part(arrays_part(parameters.views).get, parameters.load, parameters.check)


def optimizer_part(statistics: dict[str, np.ndarray], name: str) -> Part:
    """The saved part of an optimiser's statistics; ``name`` is the optimiser's, for messages."""

    def check(found: dict[str, Any]) -> None:
        if found.keys() != statistics.keys():
            raise ValueError(f"the checkpoint's optimiser is not {name}")
        check_structure(found, statistics, "optimizer")

    part = arrays_part(statistics)
    return Part(part.get, part.set, check)
