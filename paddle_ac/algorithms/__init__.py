"""The members of the family; each knows how to learn and nothing of files, logs or command lines."""

from paddle_ac.algorithms.a2c import A2C
from paddle_ac.algorithms.algorithm import Algorithm

ALGORITHMS: dict[str, type[Algorithm]] = {"a2c": A2C}
