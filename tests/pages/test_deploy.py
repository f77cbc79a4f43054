"""What docs/deploy.md shows is what happens: its command lines and its Python, as written."""

from __future__ import annotations

import re
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

import paddle_ac
from tests.commands import command_lines, copy_of_repository, run_line
from tests.paths import ROOT

pytestmark = pytest.mark.slow

DEPLOY = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
BASH = command_lines(DEPLOY)
PYTHON = dict(re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?```python\n(.*?)```", DEPLOY, re.DOTALL | re.MULTILINE))

# What each of them is to do without.
NOT_NEEDED = {
    "Paddle Inference": {"paddle_ac", "gymnasium"},
    "ONNX Runtime": {"paddle_ac", "gymnasium", "paddle"},
    "Recurrent policies": {"paddle_ac", "paddle"},
    "The parameters, in the same network": set(),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder that the document's command lines were run in."""
    folder = copy_of_repository(tmp_path_factory.mktemp("deploy"))
    for line in BASH:
        ended = run_line(line, folder)
        assert (ended.returncode, ended.stderr) == (0, ""), line
    return folder


def test_the_document_shows_how_to_load_each_format():
    assert PYTHON.keys() == NOT_NEEDED.keys() and len(BASH) == 6
    assert DEPLOY.count("```python") == len(PYTHON)
    assert len([line for line in PYTHON["Paddle Inference"].splitlines() if line]) <= 10


@pytest.mark.parametrize("heading", NOT_NEEDED)
def test_the_python_of_the_document(exported, heading):
    imports = f"import sys; needless = {NOT_NEEDED[heading]!r} & set(sys.modules); assert not needless, needless"
    # Paddle's import recommends ccache, which nobody here needs.
    command = [sys.executable, "-W", "ignore:No ccache found", "-c", f"{PYTHON[heading]}\n{imports}"]
    ended = subprocess.run(command, cwd=exported, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")
    if heading == "Recurrent policies":
        assert int(ended.stdout) == steps_of_an_episode(str(exported / "runs" / "memory"))
        return
    action = np.clip(float(ended.stdout.strip("[]\n")), -2, 2)
    wanted = paddle_ac.load(str(exported / "runs" / "pendulum")).predict(np.array([1.0, 0.0, 0.5], np.float32))
    assert action == pytest.approx(float(wanted[0]), abs=1e-4) and abs(action) > 1e-3


def steps_of_an_episode(run: str) -> int:
    policy, env = paddle_ac.load(run), gymnasium.make("CartPole-v1")
    observation, _ = env.reset(seed=0)
    state, steps, done = policy.initial_state(), 0, False
    while not done:
        observation, _, terminated, truncated, _ = env.step(policy.predict(observation, state))
        steps, done = steps + 1, terminated or truncated
    return steps
