"""The command lines of the READMEs and of the pages of ``docs/``: each is run as it is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.commands import BUILD_SITE, command_lines, copy_of_repository, run_line, save_modules
from tests.paths import ROOT

INSTALLS = " && pip install -e . && "

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # for all lines of a page


def lines_of(name: str) -> list[str]:
    """Those to be run here: not those that CI runs whole, nor that which builds the site, in tests/test_docs.py."""
    lines = command_lines((ROOT / name).read_text(encoding="utf-8"))
    return [line.rpartition(INSTALLS)[2] for line in lines if line != BUILD_SITE and "pytest" not in line]


# The lines of docs/deploy.md are run by tests/pages/test_deploy.py, with the Python that is between them.
PAGES = ["README.md", "models/README.md"]
PAGES += sorted({str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")} - {"docs/deploy.md"})
PAGES = [name for name in PAGES if not name.startswith("docs/cn/")]  # tests/test_docs.py: the lines of English pages
LINES = {name: lines for name in PAGES if (lines := lines_of(name))}


@dataclass(frozen=True)
class Ran:
    """What came of the lines of a page: what they left and printed, and the first that failed or complained."""

    folder: Path
    printed: str
    problem: str


def folder_for(name: str, folder: Path) -> Path:
    """A copy of the repository, with the modules that a page says to save."""
    save_modules((ROOT / name).read_text(encoding="utf-8"), folder)
    return copy_of_repository(folder)


def run_in_turn(lines: list[str], folder: Path) -> Ran:
    printed = ""
    for line in lines:
        ended = run_line(line, folder)
        if ended.returncode != 0 or ended.stderr:
            return Ran(folder, printed, f"{line}\nended with {ended.returncode}\n{ended.stderr}")
        printed += ended.stdout
    return Ran(folder, printed, "")


@pytest.fixture(scope="module")
def run_page(tmp_path_factory) -> Callable[[str], Ran]:
    """Runs the lines of a page, once in the module."""
    return cache(lambda name: run_in_turn(LINES[name], folder_for(name, tmp_path_factory.mktemp("page"))))


@pytest.mark.parametrize("name", LINES)
def test_every_command_line_of_a_page(run_page, name):
    assert not run_page(name).problem


def test_the_readmes_default_learns_cartpole_and_its_run_goes_on(run_page):
    assert len(LINES["README.md"]) == 11
    runs = run_page("README.md").folder / "runs"
    first_run = min(runs.glob("CartPole-v1-a2c-seed0-*"))
    assert json.loads((first_run / "summary.json").read_text())["eval_mean_return"] >= 475
    assert json.loads((runs / "cartpole" / "summary.json").read_text())["env_steps"] >= 200_000


def test_a_row_of_the_results_and_the_times_to_a_return_come_out_again(run_page):
    printed = run_page("docs/results.md").printed
    returns = re.findall(r"^mean return ([\d.]+)", printed, re.MULTILINE)
    assert len(returns) == 10 and min(map(float, returns)) >= 475, "five seeds, best and latest"
    times = re.findall(r"^ +\d +[\d.]+ +[\d,]+  ([\d.]+)$", printed, re.MULTILINE)
    assert len(times) == 8 and sum(float(reached) >= 475 for reached in times) >= 7, "A3C misses it now and then"
