"""A new algorithm as CONTRIBUTING.md says: one file and one line, tried on a copy of the package."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys

import pytest

from tests.commands import ROOT, blocks, command_lines

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CODE, LINE = blocks(PAGE, "python")


@pytest.fixture
def run(tmp_path):
    """A command in a copy of the project that has the new algorithm."""
    for name in ("paddle_ac", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "multiprocessing_env.py", tmp_path)
    (tmp_path / "paddle_ac" / "algorithms" / "evolution.py").write_text(CODE)
    family = tmp_path / "paddle_ac" / "family.py"
    family.write_text(family.read_text().replace("FAMILY = {\n", "FAMILY = {\n    " + LINE))

    def run_there(*arguments: str) -> str:
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run_there


def test_one_file_and_one_line_make_a_member_of_the_family(run, tmp_path):
    first, *others = [shlex.split(line) for line in command_lines(PAGE, "sh")]
    assert "evaluation at the end" in run(*first[1:])
    assert any("--noise-std" in run(*line[1:]) for line in others)
    train = ("tools/train.py", "--algo", "evolution", "--seed", "1", "--no-progress")
    run(*train, "--total-steps", "60000", "--run-dir", "whole")
    whole = json.loads((tmp_path / "whole" / "summary.json").read_text())
    assert whole["best_eval_mean_return"] > 150, "it learns"
    assert "mean return" in run("tools/evaluate.py", "--run-dir", "whole", "--episodes", "5")

    run(*train, "--total-steps", "20000", "--run-dir", "parts")
    run("tools/train.py", "--resume", "parts", "--total-steps", "60000", "--no-progress")
    parts = json.loads((tmp_path / "parts" / "summary.json").read_text())
    assert parts["eval_mean_return"] == whole["eval_mean_return"] and parts["env_steps"] == whole["env_steps"]
