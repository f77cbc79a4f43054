"""A new algorithm as CONTRIBUTING.md says: one file and one line, tried on a copy of the package."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from paddle_ac.algorithms.a2c import A2C
from paddle_ac.algorithms.state import Part, attribute_part
from paddle_ac.config import RunConfig, VectorEnvGroup, make_config
from tests.commands import blocks, command_lines
from tests.paths import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CODE, LINE = blocks(PAGE, "python")


@pytest.fixture
def run(tmp_path):
    """A command in a copy of the project that has the new algorithm."""
    for name in ("paddle_ac", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "multiprocessing_env.py", tmp_path)
    (tmp_path / "paddle_ac" / "algorithms" / "evolution.py").write_text(CODE)
    registry = tmp_path / "paddle_ac" / "registry.py"
    registry.write_text(registry.read_text().replace("REGISTRY = {\n", "REGISTRY = {\n    " + LINE))

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


def test_one_file_and_one_line_make_an_algorithm(run, tmp_path):
    first, told, _ = [shlex.split(line) for line in command_lines(PAGE, "sh")]
    assert "evaluation at the end" in run(*first[1:])
    assert "--noise-std" in run(*told[1:])
    train = ("tools/train.py", "--algo", "evolution", "--seed", "1", "--no-progress")
    run(*train, "--total-steps", "60000", "--run-dir", "whole")
    whole = json.loads((tmp_path / "whole" / "summary.json").read_text())
    assert whole["best_eval_mean_return"] > 150, "it learns"
    assert "mean return" in run("tools/evaluate.py", "--run-dir", "whole", "--episodes", "5")
    assert "recorded in" in run("tools/evaluate.py", "--run-dir", "whole", "--record", "episode.gif")
    assert "largest difference" in run("tools/export.py", "--run-dir", "whole", "--format", "pdparams")

    run(*train, "--total-steps", "20000", "--run-dir", "parts")
    run("tools/train.py", "--resume", "parts", "--total-steps", "60000", "--no-progress")
    parts = json.loads((tmp_path / "parts" / "summary.json").read_text())
    assert parts["eval_mean_return"] == whole["eval_mean_return"] and parts["env_steps"] == whole["env_steps"]
    assert curves(tmp_path / "parts") == curves(tmp_path / "whole")


def curves(run_dir: Path) -> list[dict[str, str]]:
    """A run's table without the times, and with the metric that only this algorithm has."""
    with (run_dir / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert any(row["diagnostics/return_spread"] for row in rows)
    return [{tag: value for tag, value in row.items() if "second" not in tag} for row in rows]


def test_its_flags_are_those_that_it_heeds(run):
    """Each field of the configuration, but for those of every run, is read in the one file."""
    fields = run("-c", "from paddle_ac.config import *; print(*CONFIGS['evolution'].model_fields)").split()
    own = set(fields) - VectorEnvGroup.model_fields.keys() - RunConfig.model_fields.keys()
    assert own and all(f"config.{name}" in CODE for name in own)


def test_tune_searches_what_the_fields_declare(run):
    *_, tune = [shlex.split(line) for line in command_lines(PAGE, "sh")]
    report = run(*tune[1:], "--trials", "2", "--total-steps", "3000", "--no-progress")
    assert "2 complete" in report and "noise_std" in report


def test_what_an_algorithm_remembers_beside_its_base_is_kept():
    (sketch,) = blocks(PAGE, "py")
    names = {"A2C": A2C, "Part": Part, "attribute_part": attribute_part}
    exec("class Sketch(A2C):\n" + textwrap.indent(sketch, "    "), names)
    config = make_config({"algo": "a2c", "num_envs": 1, "vec": "serial", "hidden_sizes": (4,)})
    with names["Sketch"].from_config(config) as one, names["Sketch"].from_config(config) as other:
        one.temperature, other.temperature = 0.25, 1.0
        one.update()
        other.load_state_dict(one.state_dict())
        assert other.temperature == 0.25 and other.env_steps == one.env_steps
        assert np.array_equal(other.parameters.vector, one.parameters.vector)
