"""What the README says is what happens: its command lines and its Python, as written."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.commands import ROOT, blocks, command_lines, copy_of_repository, run_line, run_python

README = (ROOT / "README.md").read_text(encoding="utf-8")
BASH = command_lines(README)


def without_installing(line: str) -> str:
    """The line without its beginning that makes an environment and installs: these tests run in one already."""
    return line.rpartition(" && pip install -e . && ")[2]


def test_every_command_line_of_the_readme(tmp_path):
    copy_of_repository(tmp_path)
    lines = [without_installing(line) for line in BASH if "pytest" not in line]
    assert len(lines) == 12
    for line in lines:
        ended = run_line(line, tmp_path)
        assert ended.returncode == 0, f"{line}\n{ended.stderr}"
        assert ended.stderr == "", line
    first_run = min((tmp_path / "runs").glob("CartPole-v1-a2c-seed0-*"))
    summary = json.loads((first_run / "summary.json").read_text())
    assert summary["eval_mean_return"] >= 475, "the default learns CartPole"
    resumed = json.loads((tmp_path / "runs" / "cartpole" / "summary.json").read_text())
    assert resumed["env_steps"] == 200_000


def test_the_ci_runs_the_readmes_own_two_lines():
    script = (ROOT / ".ci" / "run").read_text().replace('(eval "$line")', "").replace("rm -rf .venv", "")
    copy = subprocess.run(
        ["bash", "-c", script.replace('"$(dirname "$0")/.."', str(ROOT))], capture_output=True, text=True
    )
    lines = copy.stdout.splitlines()
    assert lines == [line for line in BASH if line.startswith("python3 -m venv .venv && ")]
    assert [line.rpartition(" && ")[2] for line in lines] == ["python tools/train.py --algo a2c", "pytest"]


@pytest.mark.parametrize("code", blocks(README, "python"), ids=lambda code: code.splitlines()[-1])
def test_the_python_of_the_readme(tmp_path, code):
    ended = run_python(code, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    printed = ended.stdout.split()
    assert bool(printed) == ("paddle_ac" in code), "what trains says what came of it"
    assert not printed or float(printed[-1]) >= 400, "and has learned CartPole"


def test_the_files_that_the_readme_names_are_there():
    for name in re.findall(r"`(configs/[\w.]+)`|\]\((docs/[\w.]+)\)|^(\w+\.py)  ", README, re.MULTILINE):
        assert (ROOT / "".join(name)).is_file(), name
