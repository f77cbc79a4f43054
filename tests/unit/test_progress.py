"""The progress bar: no number on it is ever cut."""

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

from paddle_ac.training.progress import FittingBar, StepsBar, name_of
from tests.paths import ROOT


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
