"""The algorithms by name."""

from paddle_ac.algorithms.a2c import A2C
from paddle_ac.algorithms.a3c import A3C
from paddle_ac.algorithms.algorithm import Algorithm
from paddle_ac.algorithms.sac import SAC

# Those of one learner differ by what their configurations say of the estimator.
ALGORITHMS: dict[str, type[Algorithm]] = {
    "reinforce": A2C,
    "td_ac": A2C,
    "q_ac": A2C,
    "a2c": A2C,
    "paac": A2C,
    "a3c": A3C,
    "sac": SAC,
}
