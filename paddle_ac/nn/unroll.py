"""How the rows of a batch follow one another in time, for networks that remember."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Unroll:
    """T steps of N environments, whose ``B = T * N`` rows lie in a batch time-major.

    Attributes:
        state: ``[N, S]`` float32, what the network remembers before the first step; S is 0 of one that does not.
        episode_starts: ``[T, N]`` bool, this step is the first of an episode: nothing from before is remembered.
    """

    state: np.ndarray
    episode_starts: np.ndarray

    @classmethod
    def of_one_step(cls, state: np.ndarray) -> Unroll:
        """N environments side by side, each in the middle of an episode, of which the state ``[N, S]`` is known."""
        return cls(state, np.zeros((1, len(state)), np.bool_))
