"""What the README says is what happens: its command lines and its Python, as written."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.metadata import distribution

import pytest

from tests.commands import ROOT, blocks, command_lines, copy_of_repository, run_line, run_python

README = (ROOT / "README.md").read_text(encoding="utf-8")
BASH = command_lines(README)
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


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


def test_the_ci_runs_the_readmes_own_two_lines_and_whatever_else_installs_something():
    script = (ROOT / ".ci" / "run").read_text()
    for done in ('(eval "$1")', "rm -rf .venv", "apt-get update && apt-get install"):
        assert script.count(done) == 1
        script = script.replace(done, ":")
    copy = subprocess.run(
        ["bash", "-c", script.replace('"$(dirname "$0")/.."', str(ROOT))], capture_output=True, text=True, check=True
    )
    train, test, *others = copy.stdout.splitlines()
    assert [train, test] == [line for line in BASH if line.startswith("python3 -m venv .venv && ")]
    assert [line.rpartition(" && ")[2] for line in (train, test)] == ["python tools/train.py --algo a2c", "pytest"]

    others = [line.removeprefix(". .venv/bin/activate && ") for line in others]
    pages = [path.read_text(encoding="utf-8") for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))]
    in_text = set(re.findall(r"pip install [^`&\n]*[^`&\s]", "\n".join(FENCED.sub("", page) for page in pages)))
    extras = {f'pip install -e ".[{name}]"' for name in distribution("paddle_ac").metadata.get_all("Provides-Extra")}
    assert in_text <= set(others) and in_text <= extras
    performance = command_lines((ROOT / "docs" / "performance.md").read_text(encoding="utf-8"), "sh")
    assert "python docs/images/make.py" in others and set(performance) <= set(others)
    installing = {line for page in pages for line in command_lines(page, "sh") if "pip install" in line}
    assert installing == {train, performance[0]}


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
