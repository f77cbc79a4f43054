"""Lines of commands in a terminal."""

from __future__ import annotations

import io
import os
import pty
import shlex
import subprocess
import sys

import pytest

from paddle_ac.commands.terminal import fit
from tests.paths import ROOT, TOOLS


class Terminal(io.StringIO):
    def isatty(self):
        return True


COMMAND = "python tools/evaluate.py 'runs/my first run' --checkpoint latest --import-here --record episode.gif"
TEXT = f"""\
trained for 2,048 steps, 84 episodes in less than 0.1 s, without evaluations, with some more words
mean return: 3
  evaluate:  {COMMAND}
  curves:    paddle-ac dashboard runs
"""


@pytest.mark.parametrize("width", [80, 60, 200])
def test_lines_are_wrapped_at_the_width_and_commands_so_that_a_shell_takes_them(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    fitted = fit(TEXT, Terminal())
    assert max(map(len, fitted.splitlines())) <= width
    assert fitted.split() == TEXT.split() or " \\\n" in fitted
    command = fitted[fitted.index("python tools") : fitted.index("\n  curves")]
    assert shlex.split(command.replace("\\\n", "")) == shlex.split(COMMAND)
    assert fitted.endswith("\n  curves:    paddle-ac dashboard runs\n")
    assert (fitted == TEXT) == (width == 200)


def test_word_without_a_place_to_break_stays_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    path = "runs/a-name-of-some-length"
    assert fit(f"run folder: {path} and more", Terminal()) == f"run folder:\n    {path}\n    and more"


def test_where_there_is_no_terminal_a_line_stays_one_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    assert fit(TEXT, io.StringIO()) == TEXT


def test_error_is_wrapped_between_words_in_a_terminal():
    outer, inner = pty.openpty()
    command = [sys.executable, TOOLS / "train.py", "--algo", "a2d"]
    environment = {**os.environ, "COLUMNS": "40", "PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, stderr=inner, env=environment, check=False).returncode == 2
    os.close(inner)
    lines = os.read(outer, 10_000).decode().splitlines()
    os.close(outer)
    assert len(lines) > 1 and max(map(len, lines)) <= 40
    assert " ".join(map(str.strip, lines)).startswith("error: unknown algorithm 'a2d' (did you mean 'a2c'?); known:")
