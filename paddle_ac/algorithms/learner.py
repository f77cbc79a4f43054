"""A network that learns: its parameters as one vector, their gradient, and the optimiser that changes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from paddle_ac.algorithms.state import Part, arrays_part, check_structure
from paddle_ac.nn.network import Network
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


def update_target(target: Network, parameters: np.ndarray, tau: float) -> None:
    """Move a target network by ``tau`` times the distance to the parameters ``[P]`` that learn; 1 makes them equal."""
    vector = target.parameters.vector
    if tau == 1:
        vector[...] = parameters
    else:
        vector += np.float32(tau) * (parameters - vector)
    target.refresh()


def target_part(target: Network) -> Part:
    """The saved part of a target network's parameters, by name."""
    part = arrays_part(target.parameters.views)

    def load(values: dict[str, np.ndarray]) -> None:
        part.set(values)
        target.refresh()

    return Part(part.get, load)


class TargetParameters:
    """A copy of a network's parameters that follows them slowly, for a target network.

    Args:
        parameters: of the network that learns.

    Attributes:
        vector: ``[P]`` float32, the copy.
        views: name to the parameter's part of ``vector``.
    """

    def __init__(self, parameters: FlatParameters):
        self._followed = parameters.vector
        self.vector = parameters.vector.copy()
        self.views = parameters.layout.views(self.vector)

    def follow(self, tau: float) -> None:
        """Take a step of ``tau`` times the distance towards the parameters that learn."""
        self.vector += np.float32(tau) * (self._followed - self.vector)

    def part(self) -> Part:
        """The saved part of the copy, by name."""
        return arrays_part(self.views)


def optimizer_part(statistics: dict[str, np.ndarray], name: str) -> Part:
    """The saved part of an optimiser's statistics; ``name`` is the optimiser's, for messages."""

    def check(found: dict[str, Any]) -> None:
        if found.keys() != statistics.keys():
            raise ValueError(f"the checkpoint's optimiser is not {name}")
        check_structure(found, statistics, "optimizer")

    part = arrays_part(statistics)
    return Part(part.get, part.set, check)
