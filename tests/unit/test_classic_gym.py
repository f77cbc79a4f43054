"""Environments of classic gym, of every generation: with and without a seed, with four results and with five."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import paddle_ac
from multiprocessing_env import DummyVecEnv, EnvironmentFailedError, SubprocVecEnv
from paddle_ac.config import make_config
from paddle_ac.envs.single import import_classic_gym
from paddle_ac.envs.wrappers import TimeLimit
from paddle_ac.training.runs import train
from tests.environments import OldGym

gym = import_classic_gym()

BOTH = pytest.mark.parametrize("make_vec_env", [DummyVecEnv, SubprocVecEnv], ids=["dummy", "subproc"])


class Unseeded(gym.Env):
    """Takes no seed in any way; ends after 7 steps."""

    observation_space, action_space = gym.spaces.Box(0, 9, (1,)), gym.spaces.Discrete(2)

    def reset(self):
        self.count = 0
        return np.zeros(1, np.float32), {"first": True}

    def step(self, action):
        self.count += 1
        return np.full(1, self.count, np.float32), 1.0, self.count == 7, False, {}


class FourResults(gym.Env):
    """The interface before gym 0.26: ``seed()``, four results, no info from ``reset``; ends after 7 steps."""

    observation_space, action_space = Unseeded.observation_space, Unseeded.action_space

    def seed(self, seed=None):
        self.given = seed

    def reset(self):
        self.count = 0
        return np.zeros(1, np.float32)

    def step(self, action):
        self.count += 1
        return np.full(1, self.count, np.float32), 1.0, self.count == 7, {}


class FourTruncated(FourResults):
    """Reports in the info that its last step is a truncation."""

    def step(self, action):
        observation, reward, done, _ = super().step(action)
        return observation, reward, done, {"TimeLimit.truncated": done}


class FourOfGymnasium(gymnasium.Env):
    """A Gymnasium environment that returns what gym returned before 0.26."""

    observation_space = gymnasium.spaces.Box(0, 9, (1,))
    action_space = gymnasium.spaces.Discrete(2)
    reset, step = FourResults.reset, FourResults.step


for name, kind in {"Unseeded": Unseeded, "FourResults": FourResults}.items():
    gym.register(f"{name}-v0", kind)
    gym.register(f"{name}Limited-v0", kind, max_episode_steps=5)


@pytest.mark.parametrize(
    "name,vec",
    [("Unseeded", "serial"), ("FourResults", "serial"), pytest.param("FourResults", "subproc", marks=pytest.mark.slow)],
)
def test_every_generation_trains_with_and_without_a_time_limit(tmp_path, vec, name):
    for suffix, length in {"": 7, "Limited": 5}.items():
        config = {"algo": "a2c", "env": f"gym:{name}{suffix}-v0", "vec": vec, "num_workers": 1, "hidden_sizes": (4,)}
        quick = {"total_steps": 100, "num_envs": 2, "eval_episodes": 1}
        summary = train(make_config({**config, **quick}), str(tmp_path / f"run{suffix}"), progress=False)
        assert summary["eval_mean_return"] == summary["mean_return_last_100"] == length


@pytest.mark.parametrize(
    ("env", "limit", "length", "truncated"),
    [
        (Unseeded, None, 7, False),
        (Unseeded, 5, 5, True),
        (FourResults, None, 7, False),
        (FourResults, 5, 5, True),
        (FourResults, 7, 7, False),
        (FourTruncated, None, 7, True),
        (lambda: FourTruncated(), None, 7, True),
        ("tests.unit.test_classic_gym:FourResults", 5, 5, True),
        (FourOfGymnasium, None, 7, False),
        (FourOfGymnasium, 5, 5, True),
        (lambda: FourOfGymnasium(), None, 7, False),
    ],
)
@pytest.mark.parametrize("vec", ["serial", pytest.param("subproc", marks=pytest.mark.slow)])
def test_class_or_function_of_any_generation_is_an_environment(env, limit, length, truncated, vec):
    arguments = {} if limit is None else {"max_episode_steps": limit}
    with paddle_ac.make("a2c", env, env_kwargs=arguments, num_envs=2, num_workers=1, vec=vec) as agent:
        assert set(agent.update()["charts/episode_length"]) == {length}
        agent.envs.reset()
        for _ in range(length):
            _, _, dones, infos = agent.envs.step([0, 0])
        assert dones.all() and infos[0]["terminal_observation"] == [length]
        assert infos[0]["TimeLimit.truncated"] == truncated


@pytest.mark.parametrize("make", [gym.make, gym.spec])
def test_environment_or_specification_of_classic_gym_says_what_to_write(make):
    with pytest.raises(paddle_ac.ConfigError, match="; write env='gym:CartPole-v1' "):
        paddle_ac.make("a2c", make("CartPole-v1"))


@pytest.mark.slow
def test_a3c_learns_in_an_environment_of_classic_gym():
    with paddle_ac.make("a3c", FourResults, num_workers=1) as agent:
        while agent.env_steps < 50:
            assert set(agent.update()["charts/episode_length"]) <= {7}


def test_four_results_within_the_time_limit_of_gymnasium_say_what_to_return():
    class Mixed(FourOfGymnasium):
        def reset(self, *, seed=None, options=None):
            return super().reset()

    with (
        paddle_ac.make("a2c", Mixed, env_kwargs={"max_episode_steps": 5}, num_envs=1, vec="serial") as agent,
        pytest.raises(EnvironmentFailedError, match=r"four results, .*needs five .*: return those"),
    ):
        agent.update()


@BOTH
def test_an_environment_that_takes_no_seed_says_so_and_runs(make_vec_env):
    with make_vec_env([lambda: gym.make("tests.unit.test_classic_gym:Unseeded-v0", disable_env_checker=True)]) as envs:
        with pytest.warns(RuntimeWarning, match=r"environment 0 takes no seed: it has neither reset\(seed=...\) nor"):
            assert envs.seed(3) == [3]
        assert envs.reset().tolist() == [[0]] and envs.reset_infos == [{"first": True}]
        assert envs.step([0])[0].tolist() == [[1]]


@BOTH
def test_four_results_with_gyms_own_time_limit_say_what_to_do(make_vec_env):
    def make(**options):
        return lambda: gym.make(
            "tests.unit.test_classic_gym:FourResultsLimited-v0", disable_env_checker=True, **options
        )

    envs = make_vec_env([make()])
    envs.reset()
    with pytest.raises(EnvironmentFailedError, match=r"environment 0 failed in step .*apply_api_compatibility=True"):
        envs.step([0])
    envs.close()
    with make_vec_env([make(apply_api_compatibility=True)]) as envs:
        envs.seed(3)
        envs.reset()
        for _ in range(5):
            *_, dones, infos = envs.step([0])
        assert dones[0] and infos[0]["TimeLimit.truncated"]


@pytest.mark.parametrize("max_steps,truncated", [(3, True), (4, False), (5, False)])
def test_a_time_limit_truncates_four_results_as_it_does_five(max_steps, truncated):
    class Ending(OldGym):
        def step(self, action):
            observation, reward, done, _ = super().step(action)  # done after 4 steps
            return observation, reward, done, {}

    class Five(Ending):
        def step(self, action):
            observation, reward, done, info = super().step(action)
            return observation, reward, done, False, info

    for kind in (Ending, Five):
        with DummyVecEnv([lambda kind=kind: TimeLimit(kind(), max_steps)]) as envs:
            for _ in range(2):
                envs.reset()
                dones = [False]
                while not dones[0]:
                    observations, _, dones, infos = envs.step([0])
                assert infos[0]["terminal_observation"][1] == min(max_steps, 4)
                assert infos[0]["TimeLimit.truncated"] == truncated


def test_the_specification_keeps_its_time_limit():
    from paddle_ac.envs.single import make_classic_gym

    env = make_classic_gym(gym.spec("FourResultsLimited-v0"), {})
    assert env.unwrapped.spec.max_episode_steps == 5
    assert gym.spec("FourResultsLimited-v0").max_episode_steps == 5
