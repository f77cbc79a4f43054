"""The trained policies of ``models/``: their size, and that they still have the scores that the page of them says."""

from __future__ import annotations

import re

import pytest

import paddle_ac
from paddle_ac.config import make_config, read_yaml
from tests.paths import ROOT

pytest.importorskip("ale_py")
pytest.importorskip("cv2")

MODELS = ROOT / "models"
ROW = re.compile(r"^\| `(\w+)` \| `([\w/-]+)` \| (\w+)[^|]* \| [\d,]+ \| ([-\d.]+) \| ([-\d.]+) \|$", re.MULTILINE)
ROWS = {row[0]: row[1:] for row in ROW.findall((MODELS / "README.md").read_text(encoding="utf-8"))}
GAMES = 5
SPREAD = 3.0  # standard errors that the mean of a few games may be away


def test_every_policy_has_a_row_and_a_size_that_fits_a_repository():
    files = list(MODELS.glob("*/policy.safetensors"))
    assert {file.parent.name for file in files} == ROWS.keys()
    assert all(file.stat().st_size < 10e6 for file in files)


@pytest.mark.parametrize("name", ROWS)
def test_the_policy_is_that_of_its_configuration(name):
    config = paddle_ac.load(MODELS / name / "policy.safetensors").config
    game, algo = ROWS[name][:2]
    assert (config.env, config.algo) == (game, algo.lower())
    values = read_yaml(MODELS / name / "config.yaml")
    assert config == make_config({**values, "vec": config.vec})


@pytest.mark.slow
@pytest.mark.parametrize("column,sampled", [(2, False), (3, True)], ids=["greedy", "sampled"])
@pytest.mark.parametrize("name", ROWS)
def test_the_policy_scores_what_the_page_says(name, column, sampled):
    score = float(ROWS[name][column])
    played = paddle_ac.evaluate(MODELS / name / "policy.safetensors", GAMES, seed=1, sampled=sampled)
    assert abs(played["mean_return"] - score) <= SPREAD * played["std_return"] / GAMES**0.5 + 0.5
