"""What the README says is what happens: in CI, and in its Python, as written."""

from __future__ import annotations

import re
import subprocess
from importlib.metadata import distribution

import pytest

from tests.commands import blocks, ci_lines, command_lines, run_python
from tests.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BASH = command_lines(README)
THE_READERS_OWN = "paddle_ac/algorithms/evolution.py"  # in CONTRIBUTING.md
PAGES = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("docs/**/*.md"))]


def test_the_ci_runs_the_readmes_own_two_lines_first():
    lines = [line for line in BASH if line.startswith("python3 -m venv .venv && ")]
    assert ci_lines()[:2] == lines
    assert [line.rpartition(" && ")[2] for line in lines] == ["python tools/train.py --algo a2c", "pytest -n auto"]


def test_the_readme_is_short_and_names_limits():
    assert len(README.splitlines()) < 200
    assert "\n## What it does not do\n" in README


@pytest.mark.parametrize("place", [0, 1, 2, -2, -1])
def test_a_line_that_fails_fails_the_ci(place):
    with pytest.raises(subprocess.CalledProcessError):
        ci_lines(instead=f"[[ \"$1\" != *'{ci_lines()[place]}' ]]")


def test_what_an_extra_installs_is_there_for_the_tests_too():
    needed: dict[str, set[str]] = {}
    for requirement in distribution("paddle_ac").requires or []:
        package, _, extra = requirement.partition("extra ==")
        if extra:
            needed.setdefault(extra.strip(" \"'"), set()).add(re.split(r"[\s;<>=]", package)[0])
    told = set(re.findall(r"\.\[(\w+)\]", README))
    assert told and told <= needed.keys(), "an extra that there is"
    without = {"tensorboard", "wandb"}  # a viewer, and a service that a stand-in takes the place of
    assert all(packages - without <= needed["test"] for packages in needed.values())
    for extra, package in {"mp4": "imageio-ffmpeg", "tune": "optuna", "docs": "sphinx", "onnx": "paddle2onnx"}.items():
        assert package in needed[extra]


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks(README, "python"), ids=lambda code: code.splitlines()[-1])
def test_the_python_of_the_readme(tmp_path, code):
    ended = run_python(code, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    printed = ended.stdout.split()
    assert bool(printed) == ("paddle_ac" in code), "what trains says what came of it"
    assert not printed or float(printed[-1]) >= 400, "and has learned CartPole"


@pytest.mark.parametrize("name", ["README.md", "README_cn.md", "CONTRIBUTING.md", *PAGES])
def test_the_files_that_a_page_names_are_there(name):
    page, folder = (ROOT / name).read_text(encoding="utf-8"), (ROOT / name).parent
    for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page):
        assert (folder / link).exists(), link
    inside = (
        r"(?:^|[\s`(])((?:benchmarks|configs|docs|notebooks|paddle_ac|tests|tools)/[\w/]+\.(?:py|md|yaml|ipynb|png))\b"
    )
    for file in re.findall(inside, page):
        assert (ROOT / file).is_file() or file == THE_READERS_OWN, file
