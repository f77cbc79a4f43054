"""The search for the numbers of agents, predictors and trainers of GA3C while it trains."""

from __future__ import annotations

import numpy as np


class RandomWalk:
    """The paper's search (Babaeizadeh et al. 2017, section 4.3).

    Each of the three numbers goes up or down by 1 or stays, at random. A change is kept if training per second does
    not fall. After one that is not kept, the numbers of before are measured again, so that one lucky measurement does
    not stand for ever.

    Args:
        smallest: of each number.
        largest: of each number, with which the walk starts.
        generator: draws the changes.

    Attributes:
        counts: the three numbers to measure now.
    """

    def __init__(self, smallest: tuple[int, int, int], largest: tuple[int, int, int], generator: np.random.Generator):
        self._smallest, self._largest = np.array(smallest), np.array(largest)
        self._generator = generator
        self.counts = largest
        self._kept = largest
        self._kept_rate = 0.0  # steps/s

    def measured(self, rate: float) -> tuple[int, int, int]:
        """Return the next ``counts``, after the steps/s that were learned from with the present ones."""
        if self.counts != self._kept and rate < self._kept_rate:
            self.counts = self._kept
            return self.counts
        self._kept, self._kept_rate = self.counts, rate
        change = self._generator.integers(-1, 2, 3)
        agents, predictors, trainers = np.clip(np.array(self._kept) + change, self._smallest, self._largest).tolist()
        self.counts = agents, predictors, trainers
        return self.counts


class Trial:
    """Time and steps of training with some numbers, without those of evaluations.

    Attributes:
        seconds: of training so far.
    """

    def __init__(self, now: float, steps: int):
        self.restart(now, steps)

    def restart(self, now: float, steps: int) -> None:
        """Measure from now on: ``now`` in seconds, ``steps`` of training so far."""
        self.seconds, self._steps = 0.0, 0
        self._seen = now, steps

    def count(self, now: float, steps: int) -> None:
        """Count what has passed since the last call of any method."""
        self.seconds += now - self._seen[0]
        self._steps += steps - self._seen[1]
        self._seen = now, steps

    def leave_out(self, now: float, steps: int) -> None:
        """Leave out what has passed since the last call of any method."""
        self._seen = now, steps

    @property
    def rate(self) -> float:
        """Steps per second of training."""
        return self._steps / self.seconds
