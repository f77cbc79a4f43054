"""The commands on a page of documentation, run as they are written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.paths import ROOT

BUILD_SITE = "python -m sphinx -W docs build/docs"


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def save_modules(page: str, folder: Path) -> None:
    """Write the blocks of Python that a page says to save, as in "Save this as `my_network.py`"."""
    saved = re.findall(
        r"(?:Save this as|保存为)\s+`(\w+\.py)`[^`]*^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE
    )
    for name, code in saved:
        (folder / name).write_text(code, encoding="utf-8")


def command_lines(page: str, language: str = "bash") -> list[str]:
    return [line for block in blocks(page, language) for line in block.splitlines()]


def in_text(page: str) -> list[str]:
    """What stands between backticks outside of blocks."""
    return [code.replace("\n", " ") for code in re.findall(r"`([^`]+)`", re.sub(r"(?ms)^```.*?^```$", "", page))]


def ci_lines(instead: str = ":") -> list[str]:
    """The lines that ``.ci/run`` runs, each in a virtual environment; here something else is done instead of each.

    Raises:
        subprocess.CalledProcessError: one of them failed, and ended it.
    """
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    harmless = {'(eval "$1")': instead, "rm -rf .venv": ":", "apt-get update && apt-get install": ":"}
    for done, nothing in {**harmless, '"$(dirname "$0")/.."': str(ROOT)}.items():
        assert script.count(done) == 1
        script = script.replace(done, nothing)
    printed = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    return [line.removeprefix(". .venv/bin/activate && ") for line in printed.splitlines()]


def copy_of_repository(folder: Path) -> Path:
    """All that command lines name, in a folder that they may write into."""
    for name in ("benchmarks", "configs", "docs", "models", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for page in ROOT.glob("*.md"):
        shutil.copy(page, folder)
    return folder


def run_line(line: str, folder: Path, timeout: float = 280) -> subprocess.CompletedProcess:
    """Run a line of a shell, where ``python`` is the one that runs the tests."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        line, shell=True, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=timeout
    )


def run_python(code: str, folder: Path, timeout: float = 280) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore:No ccache found"}  # of Paddle, where code imports it itself
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout
    )
