"""The algorithms by name."""

from paddle_ac.algorithms.a2c import A2C
from paddle_ac.algorithms.a3c import A3C
from paddle_ac.algorithms.algorithm import Algorithm
from paddle_ac.algorithms.sac import SAC

ALGORITHMS: dict[str, type[Algorithm]] = {"a2c": A2C, "paac": A2C, "a3c": A3C, "sac": SAC}
