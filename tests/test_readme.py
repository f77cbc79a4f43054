"""What the README says is what happens: its command lines and its Python, as written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BASH = [line for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def as_it_runs_here(line: str) -> str:
    """The line without its beginning that makes an environment and installs: these tests run in one already."""
    return line.rpartition(" && pip install -e . && ")[2].replace("python tools/", f"{sys.executable} {ROOT}/tools/")


def test_every_command_line_of_the_readme(tmp_path):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    lines = [as_it_runs_here(line) for line in BASH if "pytest" not in line]
    assert len(lines) == 6
    for line in lines:
        ended = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=280)
        assert ended.returncode == 0, f"{line}\n{ended.stderr}"
        assert ended.stderr == "", line
    first_run = min((tmp_path / "runs").glob("CartPole-v1-a2c-seed0-*"))
    summary = json.loads((first_run / "summary.json").read_text())
    assert summary["eval_mean_return"] >= 475, "the default learns CartPole"
    resumed = json.loads((tmp_path / "runs" / "cartpole" / "summary.json").read_text())
    assert resumed["env_steps"] == 200_000


def test_the_ci_runs_the_readmes_own_test_line():
    script = (ROOT / ".ci" / "run").read_text().replace('eval "$line"', "").replace("rm -rf .venv", "")
    copy = subprocess.run(
        ["bash", "-c", script.replace('"$(dirname "$0")/.."', str(ROOT))], capture_output=True, text=True
    )
    (line,) = copy.stdout.splitlines()
    assert line in BASH and line.startswith("python3 -m venv .venv && ") and line.endswith("&& pytest")


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.splitlines()[-1])
def test_the_python_of_the_readme(tmp_path, code):
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    noise = [line for line in ended.stderr.splitlines() if "environments: native (" not in line]  # of the log
    assert not noise


def test_the_files_that_the_readme_names_are_there():
    for name in re.findall(r"`(configs/[\w.]+)`|\]\((docs/[\w.]+)\)|^(\w+\.py)  ", README, re.MULTILINE):
        assert (ROOT / "".join(name)).is_file(), name
