"""Frames side by side: the newest last, begun anew with an episode, for every generation of the gym interface."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_ac.config import make_config
from paddle_ac.envs.make import make_evaluation_envs, make_training_envs
from paddle_ac.envs.wrappers import FrameStack
from paddle_ac.errors import ConfigError
from tests.environments import Counting, Identity, OldGym
from tests.test_run import assert_same_run, quick_run, resume


@pytest.mark.parametrize("make_env", [Counting, OldGym])
def test_the_last_observations_are_side_by_side(make_env):
    env, plain = FrameStack(make_env(), 3), make_env()
    first = env.reset(seed=5)[0]
    observation = plain.reset(seed=5)[0] if make_env is Counting else (plain.seed(5), plain.reset())[1]
    assert first.tolist() == [np.asarray(observation).tolist()] * 3
    assert env.observation_space.contains(first)
    seen = [observation] * 3
    for _ in range(4):
        seen.append(plain.step(1)[0])
        found, *rest = env.step(1)
        assert found.tolist() == np.array(seen[-3:]).tolist()
        assert len(rest) == (4 if make_env is Counting else 3)
    before = found.copy()
    env.step(1)
    assert found.tolist() == before.tolist(), "what was handed out does not change"
    env.reset(seed=5)
    assert env.reset(seed=5)[0].tolist() == first.tolist()


def test_what_is_not_a_box_cannot_be_stacked():
    with pytest.raises(ConfigError, match="only observations of a Box"):
        FrameStack(Identity(), 2)


@pytest.mark.parametrize("vec", ["serial", "subproc"])
def test_training_and_evaluation_see_stacks(vec):
    config = make_config({"algo": "a2c", "frame_stack": 4, "num_envs": 2, "vec": vec})
    for make_envs in (make_training_envs, lambda config: make_evaluation_envs(config, 0, 2)):
        with make_envs(config) as envs:
            assert envs.reset().shape == (2, 4, 4) == (2, *envs.observation_space.shape)


def test_vectorised_versions_have_none():
    config = make_config({"algo": "a2c", "frame_stack": 4, "vec": "native"})
    with pytest.raises(ConfigError, match="--vec must be serial or subproc"):
        make_training_envs(config)


def test_a_run_with_stacks_is_resumed_exactly(tmp_path):
    quick_run(tmp_path / "whole", 3020, frame_stack=3)
    quick_run(tmp_path / "run", 1510, frame_stack=3)
    resume(str(tmp_path / "run"), {"total_steps": 3020})
    assert_same_run(tmp_path / "whole", tmp_path / "run")
