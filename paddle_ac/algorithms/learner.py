"""A network that learns: its parameters as one vector, their gradient, and the optimiser that changes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from paddle_ac.algorithms.state import Part, arrays_part, check_structure
from paddle_ac.nn.optimizers import Optimizer
from paddle_ac.nn.parameters import FlatParameters
from paddle_ac.processes.ranks import ALONE, Ranks


class Learner:
    """The parameters of a network, and the optimiser that changes them.

    Args:
        parameters: the P parameters of a network.
        make_optimizer: returns the optimiser of a vector ``[P]`` float32.
        refresh: called after every change of the parameters.
        ranks: the processes that average the gradient.

    Attributes:
        parameters: vector and views of the network's parameters.
        gradient: ``[P]`` float32, where an algorithm computes gradients.
        gradient_views: name to the parameter's part of ``gradient``.
        optimizer: of ``parameters.vector``.
    """

    def __init__(
        self,
        parameters: FlatParameters,
        make_optimizer: Callable[[np.ndarray], Optimizer],
        refresh: Callable[[], None] = lambda: None,
        ranks: Ranks = ALONE,
    ):
        self.parameters = parameters
        self.refresh = refresh
        self.gradient = ranks.zeros(len(self.parameters.vector))
        self.gradient_views = self.parameters.layout.views(self.gradient)
        self.optimizer = make_optimizer(self.parameters.vector)

    def step(self, gradient: np.ndarray, learning_rate: float) -> None:
        """Take a step of the optimiser along a gradient ``[P]``."""
        self.optimizer.step(gradient, learning_rate)
        self.refresh()

    def parameters_part(self) -> Part:
        """The saved part of the parameters, by name."""

        def load(values: dict[str, np.ndarray]) -> None:
            self.parameters.load(values)
            self.refresh()

        return Part(arrays_part(self.parameters.views).get, load, self.parameters.check)


def optimizer_part(statistics: dict[str, np.ndarray], name: str) -> Part:
    """The saved part of an optimiser's statistics; ``name`` is the optimiser's, for messages."""

    def check(found: dict[str, Any]) -> None:
        if found.keys() != statistics.keys():
            raise ValueError(f"the checkpoint's optimiser is not {name}")
        check_structure(found, statistics, "optimizer")

    part = arrays_part(statistics)
    return Part(part.get, part.set, check)
