"""Catch, whose best return is 1, is solved from images and from Dict observations with a part that is an image."""

from __future__ import annotations

import pytest

import paddle_ac
from paddle_ac.config import read_yaml
from paddle_ac.envs.catch import Catch, CatchByParts
from paddle_ac.envs.make import make_evaluation_envs
from paddle_ac.training.evaluate import evaluate
from tests.paths import CONFIGS

pytestmark = pytest.mark.slow


def greedy_return(algo, env, seed, total_steps, **changes):
    """Mean return of 100 greedy episodes after a training with the configuration for images."""
    values = {**read_yaml(CONFIGS / f"{algo}_images.yaml"), "seed": seed, "total_steps": total_steps, **changes}
    with paddle_ac.make(values.pop("algo"), env, **values) as agent:
        while not agent.is_done:
            agent.update()
        for _ in agent.finish():
            pass
        with make_evaluation_envs(agent.config, seed, 10) as envs:
            return evaluate(agent.policy, envs, 100, max_steps=20).mean()


CELLS = (Catch, 200_000, {})
HIDDEN = (Catch, 500_000, {"env_kwargs": {"is_hidden": True}, "recurrent": "lstm", "entropy_coef": 0.02})
PARTS = (CatchByParts, 200_000, {})


@pytest.mark.parametrize(
    "algo,env,total_steps,changes",
    [
        pytest.param(algo, *case, id=f"{algo}-{name}")
        for algo, cases in {
            "a2c": {"cells": CELLS, "hidden": HIDDEN},
            "a3c": {"parts": PARTS},
        }.items()
        for name, case in cases.items()
    ],
)
def test_catch_is_solved(algo, env, total_steps, changes):
    assert greedy_return(algo, env, 0, total_steps, **changes) >= 0.95
