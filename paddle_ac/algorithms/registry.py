"""The algorithms by name."""

from collections.abc import Mapping

from paddle_ac.algorithms.algorithm import Algorithm
from paddle_ac.family import MembersClasses

ALGORITHMS: Mapping[str, type[Algorithm]] = MembersClasses(1)
