"""Wrappers around environments reach training, workers, evaluation, resume, recording and load."""

from __future__ import annotations

import functools
import subprocess
import sys
import textwrap

import gymnasium
import numpy as np
import pytest

import paddle_ac
from multiprocessing_env import DummyVecEnv, SubprocVecEnv
from paddle_ac.config import make_config, read_yaml
from paddle_ac.envs.make import make_evaluation_envs, make_rendered_env, make_training_envs, resolve_vec
from paddle_ac.errors import ConfigError
from paddle_ac.training.run_folder import RunFolder
from tests.environments import RandomWalk
from tests.paths import ROOT
from tests.tool_calls import run_main


class Scaled(gymnasium.RewardWrapper):
    """Multiplies rewards."""

    def __init__(self, env, factor=2.0):
        super().__init__(env)
        self.factor = factor

    def reward(self, reward):
        return self.factor * float(reward)


def shifted(env, by):
    return gymnasium.wrappers.TransformReward(env, lambda reward: float(reward) + by)


def nothing(env):
    return None


HERE = __name__
TWO = [f"{HERE}:Scaled(factor=3)", functools.partial(shifted, by=1)]  # 3 r + 1
SMALL = {"algo": "a2c", "env": "CartPole-v1", "num_envs": 2, "vec": "serial", "eval_episodes": 2, "eval_max_steps": 5}


@pytest.mark.parametrize("vec", ["serial", "subproc"])
def test_wrappers_surround_training_evaluation_and_recording_the_first_innermost(vec):
    config = make_config({**SMALL, "vec": vec, "wrappers": TWO})
    assert config.wrappers == (f"{HERE}:Scaled(factor=3)", f"{HERE}:shifted(by=1)")
    for make_envs in (make_training_envs, lambda config: make_evaluation_envs(config, 0, 2)):
        with make_envs(config) as envs:
            envs.reset()
            assert envs.step([0, 1])[1].tolist() == [4, 4]
    env = make_rendered_env(config, "rgb_array")
    assert env.render().ndim == 3 and env.step(0)[1] == 4
    env.close()


@pytest.mark.parametrize("algo", ["a2c", pytest.param("a3c", marks=pytest.mark.slow)])
def test_wrappers_travel_through_train_resume_evaluate_and_load(tmp_path, algo):
    run = str(tmp_path / "run")
    kind = {"num_workers": 2, "num_envs": 1} if algo == "a3c" else {"num_envs": 2, "vec": "serial"}
    shared = {"algo": algo, "env": "CartPole-v1", "eval_episodes": 2, "eval_max_steps": 5, "hidden_sizes": (8,)}
    summary = paddle_ac.train(**shared, **kind, run_dir=run, wrappers=[Scaled], total_steps=200, progress=False)
    assert summary["eval_mean_return"] == 10 and summary["wrappers"] == [f"{HERE}:Scaled"]
    assert summary["mean_return_last_100"] > 16, "an episode has eight steps at least, each with a reward of 2"
    assert RunFolder.open(run).read_config().wrappers == (f"{HERE}:Scaled",)
    assert paddle_ac.resume(run, {"total_steps": 400}, progress=False)["eval_mean_return"] == 10
    assert paddle_ac.evaluate(run, episodes=1, checkpoint="latest")["mean_return"] == 10
    assert paddle_ac.load(run).config.wrappers == (f"{HERE}:Scaled",)
    with pytest.raises(ConfigError, match="wrappers cannot change on resume"):
        paddle_ac.resume(run, {"wrappers": []}, progress=False)


def test_a_run_with_objects_of_a_script_warns_that_other_programs_do_not_find_them(tmp_path, caplog, monkeypatch):
    def mine(env):
        return env

    mine.__module__, mine.__qualname__ = "__main__", "mine"
    monkeypatch.setattr(sys.modules["__main__"], "mine", mine, raising=False)
    small = {"num_envs": 1, "total_steps": 1, "eval_episodes": 1, "eval_max_steps": 1, "hidden_sizes": (4,)}
    paddle_ac.train(algo="a2c", wrappers=[mine], run_dir=str(tmp_path / "run"), progress=False, **small)
    warned = [message for message in caplog.messages if "is defined in this script or notebook" in message]
    assert len(warned) == 1 and warned[0].startswith("__main__:mine ")


def test_wrappers_of_a_command_line_and_of_yaml(tmp_path, capsys):
    run = str(tmp_path / "run")
    flags = ("--wrapper", f"{HERE}:Scaled(factor=0.5)", "--wrapper", f"{HERE}:shifted(by=1)")
    small = ("--total-steps=100", "--num-envs=2", "--eval-episodes=1", "--eval-max-steps=4", f"--run-dir={run}")
    code, _, errors = run_main(capsys, "train.py", *flags, *small)
    assert code == 0, errors
    values = read_yaml(f"{run}/config.yaml")
    assert values["wrappers"] == [f"{HERE}:Scaled(factor=0.5)", f"{HERE}:shifted(by=1)"]
    assert make_config(values).wrappers == tuple(values["wrappers"])
    code, output, errors = run_main(capsys, "evaluate.py", "--run-dir", run, "--episodes", "1")
    assert code == 0 and "return 6.00" in output, errors


@pytest.mark.slow
def test_wrappers_of_a_script_work_in_workers(tmp_path):
    script = f"""
        import functools, gymnasium, paddle_ac

        class Mine(gymnasium.RewardWrapper):
            def __init__(self, env, factor):
                super().__init__(env)
                self.factor = factor

            def reward(self, reward):
                return self.factor * float(reward)

        wrappers = [functools.partial(Mine, factor=5)]
        small = dict(total_steps=40, eval_episodes=1, eval_max_steps=3, hidden_sizes=(8,), progress=False)
        for vec in ("serial", "subproc"):
            run = {str(tmp_path)!r} + "/" + vec
            summary = paddle_ac.train(
                algo="a2c", env="CartPole-v1", num_envs=2, vec=vec, run_dir=run, wrappers=wrappers, **small
            )
            print(summary["eval_mean_return"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["15.0", "15.0"], done.stderr
    with pytest.raises(ConfigError, match=r"__main__ has no class or function Mine; it was defined in a script or"):
        paddle_ac.evaluate(str(tmp_path / "serial"))


def test_gymnasiums_and_classic_gyms_environments_take_wrappers():
    clip = "gymnasium.wrappers:ClipReward(min_reward=0.0, max_reward=0.25)"
    with make_training_envs(make_config({**SMALL, "wrappers": [clip]})) as envs:
        envs.reset()
        assert envs.step([0, 1])[1].tolist() == [0.25, 0.25]
    with make_training_envs(make_config({**SMALL, "env": "gym:CartPole-v1", "wrappers": f"{HERE}:Counted"})) as envs:
        envs.reset()
        assert envs.step([0, 1])[1].tolist() == [7, 7]


class Counted:
    """A wrapper that derives from no class of Gymnasium."""

    def __init__(self, env):
        self.env, self.observation_space, self.action_space = env, env.observation_space, env.action_space

    def reset(self, **options):
        return self.env.reset(**options)

    def step(self, action):
        observation, _, *rest = self.env.step(action)
        return observation, 7.0, *rest

    def close(self):
        self.env.close()


def test_auto_leaves_the_vectorised_version_and_native_is_rejected():
    values = {**SMALL, "num_envs": 8, "wrappers": [Scaled]}
    assert resolve_vec(make_config({**values, "vec": "auto"})).vec in ("serial", "subproc")
    with pytest.raises(ConfigError, match=r"--wrapper .*:Scaled \(wrappers\) is for single environments: --vec must"):
        make_training_envs(make_config({**values, "vec": "native"}))


@pytest.mark.parametrize(
    "wrappers,message",
    [
        (["nowhere"], "'nowhere' is not module:Class"),
        ([3], "3 must be a class or function at the top level"),
        ([lambda env: env], "must be a class or function at the top level"),
        ([functools.partial(shifted, 1)], "must take its arguments by name"),
        ([functools.partial(Scaled, factor=np.zeros)], "must be literals by name"),
        (["a:B(1)"], "must be literals by name"),
        (["a:B(x=y)"], "must be literals by name"),
        (["a:B(x=1"], "is not module:Class"),
        (["a:B(x=1, x=2)"], "must be literals by name"),
        ({"a:B": 1}, "must be a list of module:Class"),
        (["no_such_module:Class"], "wrapper 'no_such_module:Class': No module named 'no_such_module'"),
        ([f"{HERE}:Scald"], r"has no class or function Scald \(did you mean 'Scaled'\?\)"),
        ([f"{HERE}:Scaled(factr=2)"], "got an unexpected keyword argument 'factr'"),
        ([f"{HERE}:shifted"], "missing a required argument: 'by'"),
        ([f"{HERE}:nothing"], "wrapper nothing must return an environment, not None"),
    ],
)
@pytest.mark.parametrize("algo", ["a2c", "a3c"])
def test_mistakes_are_one_line(wrappers, message, algo):
    vec = {"vec": "serial"} if algo == "a2c" else {}
    with pytest.raises(ConfigError, match=message) as failure:
        paddle_ac.make(algo, "CartPole-v1", wrappers=wrappers, **vec)
    assert "\n" not in str(failure.value)


def test_environments_that_exist_already_are_answered_with_the_line_to_write():
    def make_env():
        return RandomWalk()

    side_by_side = gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="sync")
    for env, line in (
        (gymnasium.make("CartPole-v1"), "write env='CartPole-v1' "),
        (RandomWalk(), "write env=RandomWalk "),
        (side_by_side, "write env='CartPole-v1', num_envs=3, vec='serial' "),
        (gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point"), "'CartPole-v1', num_envs=2 "),
        (DummyVecEnv([make_env] * 2), r"write env=make_env, num_envs=2, vec='serial', where make_env\(\) returns one"),
    ):
        with pytest.raises(ConfigError, match=line) as failure:
            paddle_ac.make("a2c", env)
        assert "\n" not in str(failure.value)
        env.close()
    for env, line in (
        ([RandomWalk, RandomWalk], "write env=RandomWalk, num_envs=2 "),
        (SubprocVecEnv, "write env=..., vec='subproc' "),
        (gymnasium.vector.SyncVectorEnv, "write env=..., vec='serial' "),
    ):
        with pytest.raises(ConfigError, match=line):
            paddle_ac.make("a2c", env)
    with (
        SubprocVecEnv([RandomWalk] * 2, in_series=2) as envs,
        pytest.raises(ConfigError, match=r"num_envs=2, vec='subproc'"),
    ):
        paddle_ac.train(algo="a2c", env=envs)
