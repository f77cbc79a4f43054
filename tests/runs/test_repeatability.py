"""Environments that repeat themselves, those that do not, and what resuming does with their episodes."""

from __future__ import annotations

import copy
import random

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

import paddle_ac
from multiprocessing_env import DummyVecEnv
from paddle_ac.checkpoint import load_checkpoint
from paddle_ac.envs.wrappers import EpisodeReplay
from paddle_ac.errors import CheckpointError
from paddle_ac.training.run_folder import RunFolder
from tests.environments import Noisy
from tests.short_runs import assert_same_run

SPACE = Box(0, 1, (2,), np.float32)


class Nested(gymnasium.Env):
    """Samples from a part of a Dict space that a wrapper flattens."""

    observation_space = Dict({"a": SPACE, "b": Discrete(3)})
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), float(self.action_space.sample()), False, False, {}


def values_of(source, steps, **changes):
    quick = {"num_envs": 2, "vec": "serial", "eval_episodes": 2, "eval_interval": 10_000, "num_steps": 7}
    quick["lr_schedule"] = "constant"
    return {"algo": "a2c", "env": f"test/Noisy-{source}-v0", "total_steps": steps, **quick, **changes}


def train(folder, source, steps, **changes):
    return paddle_ac.train(values_of(source, steps, **changes), str(folder), progress=False)


@pytest.mark.parametrize("make_env", [Noisy, lambda: gymnasium.wrappers.FlattenObservation(Nested())])
def test_samples_of_spaces_repeat_themselves(make_env):
    def make_envs():
        return DummyVecEnv([lambda index=index: EpisodeReplay(make_env(), (0, index)) for index in range(2)])

    envs, again = make_envs(), make_envs()
    first = envs.reset()
    assert not np.array_equal(first[0], first[1])
    np.testing.assert_array_equal(first, again.reset())
    for _ in range(47):  # into the second episode of the first kind
        observations = envs.step([0, 1])[0]
    np.testing.assert_array_equal(again.set_state(envs.get_state()), observations)
    np.testing.assert_array_equal(again.step([1, 1])[0], envs.step([1, 1])[0])
    again.set_state(envs.get_state(), new_episodes=True)
    new = again.reset()
    assert not np.array_equal(new, envs.set_state(envs.get_state()))
    np.testing.assert_array_equal(make_envs().set_state(again.get_state()), new)


def test_environments_that_never_sample_need_no_more_in_a_checkpoint():
    env = EpisodeReplay(gymnasium.make("CartPole-v1"), (0,))
    env.reset()
    env.step(0)
    env.reset()
    assert env.get_state().keys() == {"episode", "actions"}


class Undisturbed(Noisy):
    """Attributes of an object whose ``__dict__`` was once asked for are slower in Python 3.11 and 3.12."""

    @property
    def __dict__(self):
        raise AssertionError("__dict__ was asked for")


def test_wrapping_an_environment_leaves_its_attributes_as_fast_as_they_were():
    with DummyVecEnv([lambda: EpisodeReplay(Undisturbed(), (0,))]) as envs:
        envs.reset()
        envs.step([0])
        envs.set_attr("level", 3)
        envs.set_attr("level", 4)
        assert envs.get_attr("level") == [4]


def test_a_failed_replay_leaves_the_next_one_whole():
    env = EpisodeReplay(gymnasium.make("CartPole-v1"), (0,))
    env.reset()
    observation = env.step(0)[0]
    state = env.get_state()
    with pytest.raises(AssertionError):
        env.set_state({**state, "actions": np.array([0, 0, 7])})
    np.testing.assert_array_equal(env.set_state(state), observation)
    np.testing.assert_array_equal(env.get_state()["actions"], [0])


def test_a_run_with_noise_of_spaces_resumes_exactly(tmp_path, caplog):
    train(tmp_path / "whole", "space", 1022, log_interval=100)
    train(tmp_path / "run", "space", 504, log_interval=100)
    paddle_ac.resume(str(tmp_path / "run"), {"total_steps": 1022}, progress=False)
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    assert "does not repeat itself" not in caplog.text


def test_noise_of_the_global_generators_repeats_itself_with_a_worker_for_each_environment():
    values = values_of("global", 1000, vec="subproc", num_workers=2)
    with paddle_ac.make(**values) as agent:
        for _ in range(7):
            agent.update()
        assert agent.find_unrepeatable(max_steps=1000) is None
        state = copy.deepcopy(agent.state_dict())
        agent.update()
        after = agent.collector.observations
    with paddle_ac.make(**values) as agent:
        agent.load_state_dict(state)
        agent.update()
        np.testing.assert_array_equal(agent.collector.observations, after)


@pytest.mark.parametrize("source,num_workers", [("system", 2), ("global", 1)])
def test_workers_that_do_not_repeat_themselves_are_found(source, num_workers):
    with paddle_ac.make(**values_of(source, 1000, vec="subproc", num_workers=num_workers)) as agent:
        agent.update()
        assert agent.find_unrepeatable(max_steps=1000) == "the same seed and actions led to different observations"
        with paddle_ac.make(**values_of(source, 1000, vec="serial", resume_episodes="new")) as other:
            assert other.find_unrepeatable(max_steps=1000) is None


@pytest.mark.parametrize("source,algo", [("global", "a2c"), ("system", "a2c"), ("system", "reinforce")])
def test_what_does_not_repeat_itself_is_announced_once_at_the_first_checkpoint(tmp_path, caplog, source, algo):
    values = {**values_of(source, 420, algo=algo), "checkpoint_interval": 100}
    if algo == "reinforce":
        del values["num_steps"]
    paddle_ac.train(values, str(tmp_path / "run"), progress=False)
    told = [record.getMessage() for record in caplog.records if "does not repeat itself" in record.getMessage()]
    assert len(told) == 1 and "--resume-episodes new" in told[0] and "\n" not in told[0]


def test_episodes_longer_than_the_check_are_compared_with_each_other(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(paddle_ac.training.train, "CHECKED_STEPS", 3)
    train(tmp_path / "good", "own", 28)
    assert "does not repeat itself" not in caplog.text
    train(tmp_path / "bad", "system", 28)
    assert "does not repeat itself" in caplog.text


def test_the_main_process_keeps_its_global_generators(tmp_path):
    np.random.seed(3), random.seed(3)
    before = np.random.get_state()[1].tolist(), random.getstate()
    train(tmp_path / "run", "own", 420)
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before


def test_new_episodes_begin_where_that_is_asked_for(tmp_path, caplog):
    run = str(tmp_path / "run")
    train(run, "system", 434)
    with pytest.raises(CheckpointError, match="--resume-episodes new begins new episodes instead"):
        paddle_ac.resume(run, {"total_steps": 840}, progress=False)
    caplog.set_level("INFO", "paddle_ac")
    episodes = load_checkpoint(RunFolder.open(run).latest)["algorithm"]["collector"]["envs"]
    summary = paddle_ac.resume(run, {"total_steps": 840, "resume_episodes": "new"}, progress=False)
    assert summary["env_steps"] == 840
    assert "every environment begins a new episode (--resume-episodes new)" in caplog.text
    after = load_checkpoint(RunFolder.open(run).latest)["algorithm"]["collector"]["envs"]
    played = {index: after[index]["episode"] - episodes[index]["episode"] for index in after}
    assert set(played.values()) == {1 + 203 // 30}


def test_new_episodes_begin_in_vectorised_environments_too(tmp_path):
    run = str(tmp_path / "run")
    values = {"algo": "a2c", "env": "CartPole-v1", "vec": "native", "eval_episodes": 2}
    paddle_ac.train({**values, "total_steps": 400}, run, progress=False)
    paddle_ac.resume(run, {"total_steps": 800, "resume_episodes": "new"}, progress=False)
    assert load_checkpoint(RunFolder.open(run).latest)["algorithm"]["collector"]["envs"]["num_resets"] == 2
