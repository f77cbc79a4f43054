"""The copies of a frame that the benchmark of GA3C counts."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from paddle_ac.processes.rollout_slots import RolloutSlots
from tests.paths import ROOT


@pytest.fixture
def extra_copies(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import ga3c_throughput

    yield ga3c_throughput.extra_copies
    del sys.modules["ga3c_throughput"]


@pytest.fixture
def slots():
    return RolloutSlots(4, 5, 2, Box(0, 255, (4, 84, 84), np.uint8), Discrete(6), 0)


def test_frame_is_copied_into_the_batch_alone(slots, extra_copies):
    assert extra_copies(lambda: slots.requested(np.arange(4))) == 0
    assert extra_copies(lambda: slots.gather(np.arange(3), False).observations) == 0


@pytest.mark.parametrize("number", [1, 2])
def test_copies_on_the_way_are_counted(slots, extra_copies, number):
    def gather():
        copies = [slots.observations.copy() for _ in range(number)]
        return copies[-1].reshape(-1, 4, 84, 84).copy()

    assert extra_copies(gather) == number
