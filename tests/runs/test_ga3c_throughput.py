"""The copies of a frame that the benchmark of GA3C counts."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from paddle_ac.processes.rollout_slots import RolloutSlots
from tests.paths import ROOT


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import ga3c_throughput

    yield ga3c_throughput
    del sys.modules["ga3c_throughput"]


def make_slots(num_steps=5, shape=(4, 84, 84)):
    return RolloutSlots(4, num_steps, 2, Box(0, 255, shape, np.uint8), Discrete(6), 0)


SMALLEST = (1, 128, 128)  # 16 KiB


@pytest.mark.parametrize("num_steps,shape", [(5, (4, 84, 84)), (1, (4, 84, 84)), (2, (4, 84, 84)), (1, SMALLEST)])
def test_frame_is_copied_into_the_batch_alone(benchmark, num_steps, shape):
    slots = make_slots(num_steps, shape)
    assert slots.observations[0, 0, 0].nbytes >= benchmark.SMALLEST_FRAME
    slots.truncated[:2] = True
    for number in (1, 3, 4):
        chosen = np.arange(number)
        assert benchmark.extra_copies(lambda chosen=chosen: [slots.requested(chosen)]) == 0
        assert benchmark.extra_copies(lambda chosen=chosen: benchmark.frames_of(slots.gather(chosen, False))) == 0


@pytest.mark.parametrize("number", [1, 2])
def test_copies_on_the_way_are_counted(benchmark, number):
    slots = make_slots()

    def gather():
        copies = [slots.observations.copy() for _ in range(number)]
        return [copies[-1].reshape(-1, 4, 84, 84).copy()]

    assert benchmark.extra_copies(gather) == number


@pytest.fixture
def run(benchmark, monkeypatch):
    """Runs the benchmark with some flags; nothing is measured."""
    figures = dict.fromkeys(("steps", "tps", "pps", "batch", "lag", "wait", "forward", "ratio"), 1.0)
    monkeypatch.setattr(benchmark, "measure_a3c", lambda *_: figures)
    monkeypatch.setattr(benchmark, "measure_ga3c", lambda *_: figures)

    def run(*flags):
        monkeypatch.setattr(sys, "argv", ["ga3c_throughput.py", "--rounds=1", *flags])
        benchmark.main()

    return run


def test_numbers_of_agents_too_small_for_a_batch_are_named(run, capsys):
    run("--agents=1,2,20", "--min-training-batch=150")
    printed = capsys.readouterr().out
    assert "skipped: 1 agent, 2 agents: --min-training-batch 150 needs 15 agents\n" in printed
    assert "GA3C, 20 agents" in printed and "GA3C, 2 agents" not in printed


def test_no_number_of_agents_left_is_one_line(run, capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        run("--agents=1,2", "--min-training-batch=1000", f"--picture={tmp_path / 'p.png'}")
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: --min-training-batch 1000 needs 100 agents: give more --agents or a smaller batch\n"
    )


def test_one_agent_is_singular(run, capsys):
    run("--agents=1")
    printed = capsys.readouterr().out
    assert "GA3C, 1 agent / A3C" in printed and "1 agents" not in printed


def test_copies_of_small_frames_are_neither_counted_nor_printed(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "measure_a3c", lambda *_: {"steps": 1.0, "tps": 1.0})
    monkeypatch.setattr(sys, "argv", ["ga3c_throughput.py", "--rounds=1", "--agents=1", "--seconds=0"])
    benchmark.main()
    printed = capsys.readouterr().out
    assert "GA3C, 1 agent / A3C" in printed and "copies" not in printed
