"""The progress bar, of which no number is ever cut, and the lines that stand in for it elsewhere."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from paddle_ac.training import progress
from paddle_ac.training.progress import EvaluationLines, FittingBar, StepsBar, name_of
from tests.paths import ROOT
from tests.short_runs import quick_run


def seen(columns: int, steps: int, total: int, mean_return: float | None = None, env: str = "CartPole-v1") -> str:
    """A line of the bar in a terminal so wide, five seconds after the beginning."""

    class InTerminal(StepsBar):
        @property
        def format_dict(self):
            return {**super().format_dict, "ncols": columns, "elapsed": 5.0, "rate": 33_400.0}

    bar = InTerminal(desc=f"a2c {name_of(env)}", total=total, file=io.StringIO())
    bar.n = steps
    if mean_return is not None:
        bar.set_postfix_str(f"return {mean_return:.1f}", refresh=False)
    with bar:
        return str(bar)


@pytest.mark.parametrize(
    "columns,expected",
    [
        (100, r"a2c CartPole-v1  13% \|[^|]{20,}\| 64\.5k/500k, 33\.4k/s, return -200\.0 \[00:05<00:13\]"),
        (80, r"a2c CartPole-v1  13% \|[^|]{5,}\| 64\.5k/500k, 33\.4k/s, return -200\.0 \[00:05<00:13\]"),
        (72, r"a2c CartPole-v1  13% 64\.5k/500k, 33\.4k/s, return -200\.0 \[00:05<00:13\]"),
        (60, r"64\.5k/500k, 33\.4k/s, return -200\.0 \[00:05<00:13\]"),
        (45, r"64\.5k/500k, 33\.4k/s, return -200\.0"),
        (30, r"64\.5k/500k"),
    ],
)
def test_a_narrow_terminal_lacks_parts_but_cuts_none(columns, expected):
    line = seen(columns, 64_500, 500_000, -200.0)
    assert re.fullmatch(expected, line) and len(line) <= columns


@pytest.mark.parametrize(
    "env,name",
    [
        ("gym:CartPole-v1", "CartPole-v1"),
        ("paddle_ac.envs.cartpole:CartPolePositions-v1", "CartPolePositions-v1"),
        ("ale_py:ALE/Pong-v5", "ALE/Pong-v5"),
        ("mine:MyFirstWarehouseRobot-v12", "MyFirstWarehouseR..."),
    ],
)
def test_an_environment_is_named_without_where_it_is_from(env, name):
    assert name_of(env) == name
    assert name in seen(80, 64_500, 500_000, 9.5, env)


def test_small_counts_are_whole_numbers_and_the_end_is_100_percent():
    assert " 0/100, " in seen(80, 0, 100)
    assert "100% |########| 40/40, " in seen(60, 40, 40)
    assert "100% |########| 44/40, " in seen(60, 44, 40), "the last update may go beyond"


def test_a_bar_that_fits_nowhere_is_in_its_shortest_format():
    with FittingBar(("{desc}: {n_fmt} |{bar}|", "{n_fmt}"), desc="trials", total=9, file=io.StringIO()) as bar:
        bar.dynamic_ncols = lambda file: (17, 30)
        assert re.fullmatch(r"trials: 0 \|.{5}\|", str(bar))
        bar.dynamic_ncols = lambda file: (16, 30)
        assert str(bar) == "0"


def test_line_of_an_evaluation_has_steps_return_speed_and_time_left(capsys, monkeypatch):
    seconds = iter([100.0, 102.5, 150.0, 200.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    lines = EvaluationLines(steps=50_000, total_steps=250_000, name="seed-3")
    for steps, mean_return in ((50_000, 0.7416), (100_000, 143.25), (250_000, -1234.5)):
        lines.write(steps, mean_return)
    assert capsys.readouterr().out == (
        "seed-3: 50,000/250,000 steps, return 0.742\n"
        "seed-3: 100,000/250,000 steps, return 143.2, 1,000 steps/s, 2 min 30 s left\n"
        "seed-3: 250,000/250,000 steps, return -1234.5, 2,000 steps/s\n"
    )


def test_without_a_terminal_every_evaluation_is_a_line(capsys, tmp_path):
    quick_run(tmp_path / "run", 2500, progress=True)
    shown = capsys.readouterr()
    assert shown.err == ""
    expected = [rf"{steps}/2,500 steps, return \d+\.\d, [\d,]+ steps/s" for steps in ("1,000", "2,000", "2,500")]
    expected[:2] = [f"{line}, .+ left" for line in expected[:2]]
    for line, pattern in zip(shown.out.splitlines(), expected, strict=True):
        assert re.fullmatch(pattern, line), line


def test_in_a_terminal_the_bar_says_that_the_final_evaluation_is_running(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "is_terminal", lambda stream: True)
    quick_run(tmp_path / "run", 1500, progress=True)
    shown = capsys.readouterr()
    *_, evaluating, last = [line.strip() for line in shown.err.split("\r") if line.strip()]
    assert shown.out == "" and "100%" in evaluating and ", evaluating" in evaluating
    assert "evaluating" not in last and re.search(r"return \d+\.\d", last)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 60])
def test_in_a_terminal_every_line_fits_and_ends_with_the_whole_return(tmp_path, columns):
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    flags = ("--env=gym:CartPole-v1", "--vec=serial", "--total-steps=3000", "--num-steps=5")
    flags += ("--log-interval=300", "--eval-episodes=1")
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tools" / "train.py"), *flags, f"--run-dir={tmp_path / 'run'}"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.DEVNULL,
        stderr=inner,
    )
    os.close(inner)
    told = b""
    while part := _read(outer):
        told += part
    assert process.wait(timeout=60) == 0
    os.close(outer)
    lines = [line.strip() for line in told.decode().split("\r")]
    last = [line for line in lines if line][-1]
    assert max(map(len, lines)) <= columns
    assert re.search(r"3\.00k/3\.00k, \S+/s, return \d+\.\d( \[[\d:]+<[\d:]+\])?$", last), last


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # on Linux, once nobody writes any more
        return b""
