"""Arguments of environments reach them through every entrance; environments are passed as names or objects."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.spaces import Box, Discrete

import paddle_ac
from paddle_ac.commands.arguments import ArgumentParser
from paddle_ac.config import A2CConfig, change_config, make_config
from paddle_ac.envs.make import make_evaluation_envs, make_rendered_env, make_training_envs, resolve_vec
from paddle_ac.envs.names import name_env
from paddle_ac.errors import ConfigError
from paddle_ac.training.run_folder import RunFolder


class Sized(gymnasium.Env):
    """Observes its arguments; an episode ends after ``size`` steps."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = Box(-100, 100, (2,), np.float32)
    action_space = Discrete(2)

    def __init__(self, size, bonus=0.0, render_mode=None):
        self.size, self.bonus, self.render_mode = size, bonus, render_mode

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return np.array([self.size, self.bonus], np.float32), {}

    def step(self, action):
        self.count += 1
        return np.array([self.size, self.bonus], np.float32), 1.0, self.count == self.size, False, {}

    def render(self):
        return np.full((self.size, 2, 3), 7, np.uint8)


class Wide(CartPoleEnv):
    """Takes an argument that the vectorised CartPole does not."""

    def __init__(self, width=2.4, **options):
        super().__init__(**options)
        self.x_threshold = width


class Plain:
    """No gymnasium.Env."""


def make_sized(size=3, **options):
    return Sized(size, **options)


gymnasium.register("test/Sized-v0", Sized)
gymnasium.register(
    "test/WideCart-v0",
    Wide,
    max_episode_steps=500,
    vector_entry_point="gymnasium.envs.classic_control.cartpole:CartPoleVectorEnv",
)
HERE = f"{__name__}:Sized"
SIZED = {"env": HERE, "env_kwargs": {"size": 4, "bonus": 2.5}}


def parse(*arguments):
    parser = ArgumentParser()
    parser.add_hyper_parameters(A2CConfig)
    return make_config({"algo": "a2c", **parser.parse(list(arguments))})


def test_flags_are_read_as_yaml_values():
    flags = ["a=1", "b=2.5", "c=true", "d=[1, x]", "e=null", "f=8x8", "g=1e-3", "h=a=b", "i={x: 1}", "j='7'", "k="]
    assert parse("--env-kwargs", *flags).env_kwargs == {
        **{"a": 1, "b": 2.5, "c": True, "d": [1, "x"], "e": None, "f": "8x8", "g": 1e-3},
        **{"h": "a=b", "i": {"x": 1}, "j": "7", "k": None},
    }
    assert parse("--env-kwargs", "a=1", "--seed", "3", "--env-kwargs", "b=2").env_kwargs == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "value,message",
    [
        (["gravity"], "'gravity' is not name=value"),
        (["=3"], "'=3' is not name=value"),
        (["a=1", "a=2"], "names a twice"),
        (["a=[1"], "env_kwargs: the value of a cannot be read as YAML"),
        (3, "must be a mapping"),
        ({1: 2}, "names of arguments, not 1"),
        ({"a b": 2}, "names of arguments, not 'a b'"),
        ({"a": np.zeros}, "a must be made of numbers, texts, lists and mappings"),
        ({"max_episode_steps": 0}, "max_episode_steps must be a whole number of at least 1, got 0"),
        ({"max_episode_steps": True}, "max_episode_steps must be a whole number of at least 1, got True"),
    ],
)
def test_mistakes_in_arguments_are_reported_in_one_line(value, message):
    with pytest.raises(ConfigError, match=message) as failure:
        make_training_envs(make_config({"algo": "a2c", "env_kwargs": value, "vec": "serial"}))
    assert "\n" not in str(failure.value)


def test_numpys_numbers_become_plain_ones():
    values = {"a": np.float64(0.5), "b": (1, 2)}
    assert repr(make_config({"algo": "a2c", "env_kwargs": values}).env_kwargs) == "{'a': 0.5, 'b': [1, 2]}"


@pytest.mark.parametrize("vec", ["serial", "subproc"])
def test_arguments_reach_training_evaluation_and_recording(vec):
    config = make_config({"algo": "a2c", "num_envs": 2, "vec": vec, **SIZED})
    for make_envs in (make_training_envs, lambda config: make_evaluation_envs(config, 0, 2)):
        with make_envs(config) as envs:
            assert envs.reset().tolist() == [[4, 2.5]] * 2
    assert make_rendered_env(config, "rgb_array").render().shape == (4, 2, 3)


def test_arguments_reach_the_vectorised_version():
    config = make_config({"algo": "a2c", "vec": "native", "env_kwargs": {"sutton_barto_reward": True}})
    with make_training_envs(config) as envs:
        envs.reset()
        assert envs.step([0] * 8)[1].tolist() == [0] * 8


@pytest.mark.parametrize("kind", [{}, {"vec": "native"}, {"env": "gym:CartPole-v1"}, {"vec": "envpool"}], ids=str)
def test_max_episode_steps_is_the_time_limit(kind):
    if kind.get("vec") == "envpool":
        pytest.importorskip("envpool")
    config = make_config(
        {"algo": "a2c", "num_envs": 2, "vec": "serial", "env_kwargs": {"max_episode_steps": 2}, **kind}
    )
    with make_training_envs(config) as envs:
        envs.reset()
        envs.step([0, 1])
        *_, dones, infos = envs.step([0, 1])
    assert dones.all() and all(info["TimeLimit.truncated"] for info in infos)


@pytest.mark.parametrize(
    "kind",
    [{}, {"vec": "subproc"}, {"vec": "native"}, {"env": "gym:CartPole-v1"}, {"vec": "envpool"}, {"algo": "a3c"}],
    ids=str,
)
def test_an_argument_that_the_environment_does_not_take_is_named(kind):
    if kind.get("vec") == "envpool":
        pytest.importorskip("envpool")
    with pytest.raises(ConfigError, match=r"environment '(gym:)?CartPole-v1' takes no argument 'foo'") as failure:
        paddle_ac.make(**{"algo": "a2c", "env": "CartPole-v1", "env_kwargs": {"foo": 1}, **kind})
    assert "\n" not in str(failure.value)


def test_arguments_that_are_missing_are_named():
    with pytest.raises(ConfigError, match="needs the arguments 'size': give them with --env-kwargs NAME=VALUE"):
        paddle_ac.make("a2c", HERE, vec="serial")


def test_auto_leaves_a_vectorised_version_that_lacks_an_argument():
    values = {"algo": "a2c", "env": "CartPole-v1", "num_envs": 8}
    assert resolve_vec(make_config(values)).vec == "native"
    assert resolve_vec(make_config({**values, "env_kwargs": {"sutton_barto_reward": True}})).vec == "native"
    wide = make_config({**values, "env": "test/WideCart-v0"})
    assert resolve_vec(wide).vec == "native"
    assert resolve_vec(change_config(wide, {"env_kwargs": {"width": 3}})).vec != "native"


def test_a_run_records_its_arguments_and_uses_them_ever_after(tmp_path):
    run = str(tmp_path / "run")
    values = {"algo": "a2c", "num_envs": 1, "vec": "serial", "total_steps": 20, "eval_episodes": 1, **SIZED}
    assert paddle_ac.train(values, run, progress=False)["eval_mean_return"] == 4
    config = RunFolder.open(run).read_config()
    assert (config.env, config.env_kwargs) == (HERE, SIZED["env_kwargs"])
    assert paddle_ac.resume(run, {"total_steps": 40}, progress=False)["eval_mean_return"] == 4
    assert paddle_ac.evaluate(run, episodes=2)["mean_return"] == 4
    with pytest.raises(ConfigError, match="env_kwargs cannot change on resume"):
        paddle_ac.resume(run, {"env_kwargs": {"size": 5}}, progress=False)


def test_objects_get_names_that_other_processes_can_import():
    assert name_env("CartPole-v1") == "CartPole-v1"
    assert name_env(gymnasium.spec("CartPole-v1")) == "CartPole-v1"
    assert name_env(Sized) == HERE
    assert name_env(make_sized) == f"{__name__}:make_sized"
    with pytest.raises(ConfigError, match="a class or a function"):
        name_env(3)


def test_other_objects_are_registered_each_under_its_own_id():
    one, other = functools.partial(Sized, 3), functools.partial(Sized, 5)
    assert name_env(one) == name_env(one) == "python/Sized-v0"
    assert name_env(other) == "python/Sized-v1"
    changed = dataclasses.replace(gymnasium.spec("test/Sized-v0"), kwargs={"size": 9})
    assert name_env(changed) == name_env(changed) == "python/Sized-v2"
    for env, size in ((one, 3), (other, 5), (changed, 9), (lambda: Sized(6), 6)):
        with paddle_ac.make("a2c", env, num_envs=2, vec="subproc") as agent:
            assert agent.collector.observations[:, 0].tolist() == [size] * 2


def test_an_object_of_a_run_is_asked_for_in_another_process(tmp_path):
    run = str(tmp_path / "run")
    values = {"algo": "a2c", "env": lambda: Sized(3), "num_envs": 1, "vec": "serial", "eval_episodes": 1}
    paddle_ac.train({**values, "total_steps": 20}, run, progress=False)
    assert paddle_ac.evaluate(run, episodes=2)["mean_return"] == 3
    command = [sys.executable, "tools/evaluate.py", "--run-dir", run]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    env_id = RunFolder.open(run).read_config().env
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert f"call gymnasium.register('{env_id}', entry_point=...)" in result.stderr


def test_what_is_no_environment_is_rejected_in_one_line():
    with pytest.raises(ConfigError, match=r"is no gymnasium\.Env"):
        paddle_ac.make("a2c", Plain, vec="serial")
