"""Order in time of the rows of a batch, for recurrent networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Unroll:
    """T steps of N environments, whose ``B = T * N`` rows lie in a batch time-major.

    Attributes:
        state: ``[N, S]`` float32, recurrent state before the first step; S is 0 of a network that is not recurrent.
        episode_starts: ``[T, N]`` bool, this step is the first of an episode: the recurrent state before it is zeros.
    """

    state: np.ndarray
    episode_starts: np.ndarray

    @classmethod
    def of_one_step(cls, state: np.ndarray) -> Unroll:
        """N environments side by side, each in the middle of an episode, of which the state ``[N, S]`` is known."""
        return cls(state, np.zeros((1, len(state)), np.bool_))
