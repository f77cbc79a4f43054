"""Catch, whose best return is 1, is solved from images and from Dict observations with a part that is an image."""

from __future__ import annotations

from pathlib import Path

import pytest

import paddle_ac
from paddle_ac.config import read_yaml
from paddle_ac.envs.make import make_evaluation_envs
from paddle_ac.training.evaluate import evaluate
from tests.environments import Catch, CatchByParts

CONFIGS = Path(__file__).parent.parent / "configs"

pytestmark = pytest.mark.slow


def greedy_return(algo, env, seed, **changes):
    """Mean return of 100 greedy episodes after a training with the configuration for images."""
    values = {**read_yaml(CONFIGS / f"{algo}_images.yaml"), "seed": seed, **changes}
    with paddle_ac.make(values.pop("algo"), env, **values) as agent:
        while not agent.is_done:
            agent.update()
        for _ in agent.finish():
            pass
        with make_evaluation_envs(agent.config, seed, 10) as envs:
            return evaluate(agent.policy, envs, 100, max_steps=20).mean()


@pytest.mark.parametrize("algo", ["a2c", "a3c"])
class TestCatch:
    @pytest.mark.parametrize("seed", [0, 1])
    def test_a_grid_of_cells_is_learned_from(self, algo, seed):
        assert greedy_return(algo, Catch, seed, total_steps=100_000) >= 0.95

    def test_an_image_of_84_pixels_is_learned_from(self, algo):
        changes = {"env_kwargs": {"pixels": 84}, "encoder": "a3c", "total_steps": 80_000}
        assert greedy_return(algo, Catch, 0, **changes) >= 0.95

    @pytest.mark.parametrize("seed", [0, 1])
    def test_an_image_and_a_vector_in_a_dict_are_learned_from(self, algo, seed):
        assert greedy_return(algo, CatchByParts, seed, total_steps=100_000) >= 0.95

    def test_a_ball_seen_in_the_first_image_only_is_remembered_by_an_lstm(self, algo):
        changes = {"env_kwargs": {"is_hidden": True}, "recurrent": "lstm", "total_steps": 500_000}
        assert greedy_return(algo, Catch, 0, **changes) >= 0.95
