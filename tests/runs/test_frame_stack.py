"""Stacks of frames: the newest last, restarted with an episode, for every generation of the gym interface."""

from __future__ import annotations

import functools

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import paddle_ac
from paddle_ac.config import make_config
from paddle_ac.envs.make import make_evaluation_envs, make_training_envs
from paddle_ac.envs.wrappers import FrameStack
from paddle_ac.errors import ConfigError
from paddle_ac.nn.images import image_input
from paddle_ac.training.runs import resume
from tests.environments import Counting, Identity, OldGym
from tests.short_runs import assert_same_run, quick_run


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


class Film(gymnasium.Env):
    """Observes a different number in every place and frame."""

    action_space = Discrete(2)

    def __init__(self, shape, dtype=np.uint8):
        self.observation_space = Box(0, 255, shape, dtype)

    def reset(self, *, seed=None, options=None):
        self.first = 0
        return self._observe(), {}

    def step(self, action):
        self.first += 1
        return self._observe(), 0.0, False, False, {}

    def _observe(self):
        space = self.observation_space
        return (self.first + np.arange(np.prod(space.shape)).reshape(space.shape) % 200).astype(space.dtype)


@pytest.mark.parametrize(
    "shape,num_frames,join,image",
    [
        ((8, 6, 1), 4, functools.partial(np.concatenate, axis=2), (8, 6, 4)),
        ((7, 7, 3), 4, functools.partial(np.concatenate, axis=2), (7, 7, 12)),  # more channels than rows
        ((1, 8, 6), 4, functools.partial(np.concatenate, axis=0), (8, 6, 4)),
        ((3, 7, 7), 4, functools.partial(np.concatenate, axis=0), (7, 7, 12)),
        ((8, 6), 4, np.stack, (8, 6, 4)),
    ],
)
def test_frames_of_an_image_become_its_channels(shape, num_frames, join, image):
    env, plain = FrameStack(Film(shape), num_frames), Film(shape)
    frames = [plain.reset()[0]] * num_frames
    found = env.reset()[0]
    for _ in range(num_frames + 2):
        assert env.observation_space.contains(found)
        np.testing.assert_array_equal(found, join(frames[-num_frames:]))
        found = env.step(0)[0]
        frames.append(plain.step(0)[0])
    assert image_input(env.observation_space).shape == image


@pytest.mark.parametrize(
    "shape,dtype,expected",
    [((128,), np.uint8, (512,)), ((5, 3), np.float32, (20, 3)), ((6,), np.float32, (4, 6)), ((), np.float32, (4,))],
)
def test_frames_that_are_no_image_are_none_together(shape, dtype, expected):
    env = FrameStack(Film(shape, dtype), 4)
    first, second = env.reset()[0], env.step(0)[0]
    assert first.shape == second.shape == expected and image_input(env.observation_space) is None
    assert np.array_equal(second.reshape(4, -1), first.reshape(4, -1) + [[0], [0], [0], [1]])


@pytest.mark.parametrize("shape,num_frames", [((1, 8, 8), 8), ((8, 8), 8), ((3, 6, 8), 3), ((8, 6, 3), 2)])
def test_a_stack_whose_channels_cannot_be_told_is_rejected(shape, num_frames):
    with pytest.raises(ConfigError, match=rf"frame_stack={num_frames} makes .* channels cannot be identified"):
        FrameStack(Film(shape), num_frames)


def test_a_policy_predicts_for_stacks_of_images():
    agent = paddle_ac.make(
        "a2c", "paddle_ac.envs.catch:Catch", env_kwargs={"pixels": 10}, frame_stack=4, num_envs=2, vec="serial"
    )
    with agent:
        assert agent.policy.act(np.zeros((3, 10, 10, 4), np.uint8)).shape == (3,)


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
    with pytest.raises(ConfigError, match="--vec must be serial, subproc or ray"):
        make_training_envs(config)


def test_a_run_with_stacks_is_resumed_exactly(tmp_path):
    quick_run(tmp_path / "whole", 3020, frame_stack=3)
    quick_run(tmp_path / "run", 1510, frame_stack=3)
    resume(str(tmp_path / "run"), {"total_steps": 3020})
    assert_same_run(tmp_path / "whole", tmp_path / "run")
