"""The package from Python: what ``import paddle_ac`` offers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

import paddle_ac
from paddle_ac.algorithms.agent import Predictor, TrainedPolicy
from paddle_ac.commands.arguments import ArgumentParser
from paddle_ac.config import CONFIGS
from tests.environments import RandomWalk
from tests.short_runs import QUICK


@pytest.mark.parametrize(
    "algo",
    [
        *["a2c", "ppo", "paac", "a3c", "td_ac", "q_ac", "reinforce"],
        *["dqn", "soft_q", "sac_discrete", "pgql", "sac", "td3"],
    ],
)
def test_an_agent_is_made_learns_and_predicts(algo):
    env = "Pendulum-v1" if algo in ("sac", "td3") else "CartPole-v1"
    with paddle_ac.make(algo, env, seed=0, **({} if algo == "a3c" else {"vec": "serial"})) as agent:
        while agent.env_steps < 60:
            assert "charts/episode_return" in agent.update()
        space = agent.action_space
        observations = np.stack([agent.observation_space.sample() for _ in range(3)])
        actions = agent.predict(observations)
        assert actions.shape == (3, *space.shape)
        for observation, action in zip(observations, actions, strict=True):
            assert space.contains(agent.predict(observation))
            np.testing.assert_allclose(agent.predict(observation), action, atol=1e-5)
        assert space.contains(agent.predict(observations[0], generator=np.random.default_rng(0)))


def test_predicted_actions_are_within_the_box_and_drawn_where_that_is_asked_for():
    with paddle_ac.make("a2c", "Pendulum-v1", vec="serial", initial_log_std=2) as agent:
        observation = agent.observation_space.sample()
        generator = np.random.default_rng(0)
        drawn = np.stack([agent.predict(observation, generator=generator) for _ in range(50)])
        assert (np.abs(drawn) <= 2).all() and len(np.unique(drawn)) > 10
        assert agent.predict(observation) == agent.predict(observation)
        with pytest.raises(ValueError, match=r"of shape \(3,\), or \('B', 3\) for B of them, not \(2,\)"):
            agent.predict([0, 0])


def test_a_recurrent_policy_remembers_in_the_state_that_it_is_given():
    with paddle_ac.make("a2c", "CartPole-v1", vec="serial", recurrent="gru", recurrent_size=4) as agent:
        observations = np.stack([agent.observation_space.sample() for _ in range(2)]).clip(-1, 1)
        one, two = agent.initial_state(), agent.initial_state(2)
        assert one.shape == (8,) and two.shape == (2, 8) and not two.any()
        for _ in range(3):
            agent.predict(observations[0], one)
            agent.predict(observations, two)
        assert one.any()
        for wrong in (two, one.astype(np.float64), one.tolist()):
            with pytest.raises(ValueError, match=r"state must be a float32 array of shape \(8,\)"):
                agent.predict(observations[0], wrong)
        np.testing.assert_allclose(two[0], one, atol=1e-6)


def test_training_from_python_leaves_a_run_whose_policy_can_be_loaded(tmp_path):
    summary = paddle_ac.train({**QUICK, "total_steps": 1000}, str(tmp_path / "run"), progress=False)
    config = paddle_ac.make_config({**QUICK, "total_steps": 1000})
    assert paddle_ac.train(config, str(tmp_path / "same"))["eval_mean_return"] == summary["eval_mean_return"]
    assert paddle_ac.resume(str(tmp_path / "run"), {"total_steps": 1500})["env_steps"] >= 1500
    longer = paddle_ac.resume(str(tmp_path / "run"), {"total_steps": 1500}, total_steps=1600, eval_episodes=2)
    assert longer["env_steps"] >= 1600 and longer["eval_episodes"] == 2
    policy = paddle_ac.load(str(tmp_path / "run"), "latest")
    with pytest.raises(paddle_ac.ConfigError, match="'best' or 'latest', not 'bset'"):
        paddle_ac.load(str(tmp_path / "run"), "bset")
    assert isinstance(policy, TrainedPolicy) and policy.env_steps >= 1500
    env = gymnasium.make("CartPole-v1")
    observation, _ = env.reset(seed=0)
    for _ in range(3):
        observation, *_ = env.step(policy.predict(observation))
    assert paddle_ac.evaluate(str(tmp_path / "run"), episodes=2)["episodes"] == 2


class Interrupting(RandomWalk):
    """Ctrl-C comes in its 300th step."""

    num_steps = 0

    def step(self, action):
        Interrupting.num_steps += 1
        if Interrupting.num_steps == 300:
            os.kill(os.getpid(), signal.SIGINT)
        return super().step(action)


def test_ctrl_c_is_raised_once_there_is_a_checkpoint(tmp_path):
    gymnasium.register("paddle-ac-test/Interrupting-v0", Interrupting)
    values = {"algo": "a2c", "env": "paddle-ac-test/Interrupting-v0", "num_envs": 2, "num_steps": 5, "vec": "serial"}
    with pytest.raises(KeyboardInterrupt, match=r"after 300 steps; resume\(.*run'\) continues"):
        paddle_ac.train(
            {**values, "total_steps": 500, "eval_interval": 1000, "eval_episodes": 1}, str(tmp_path / "run")
        )
    assert paddle_ac.resume(str(tmp_path / "run"))["env_steps"] == 500


@pytest.mark.parametrize("use", [paddle_ac.load, paddle_ac.evaluate])
def test_without_a_best_policy_the_latest_is_named(tmp_path, use):
    paddle_ac.train({**QUICK, "vec": "serial", "total_steps": 100}, str(tmp_path / "run"), progress=False)
    (tmp_path / "run" / "summary.json").unlink()  # as after kill -9 before the first evaluation
    (tmp_path / "run" / "best" / "model.safetensors").unlink()
    with pytest.raises(paddle_ac.CheckpointError, match=r"best/model.safetensors: .*; take checkpoint 'latest'$"):
        use(str(tmp_path / "run"))
    (tmp_path / "run" / "checkpoints" / "latest.safetensors").unlink()
    with pytest.raises(paddle_ac.CheckpointError, match=r"there is no checkpoint .*best/model.safetensors$"):
        use(str(tmp_path / "run"))


def test_environments_registered_in_this_process_are_known():
    gymnasium.register("paddle-ac-test/Walk-v0", RandomWalk)
    with paddle_ac.make("a2c", "paddle-ac-test/Walk-v0", num_envs=2, num_steps=5, vec="subproc") as agent:
        agent.update()
        assert agent.env_steps == 10


def test_mistakes_are_reported_in_one_line():
    for arguments, message in (
        (("a2", "CartPole-v1"), "did you mean 'a2c'"),
        (("a2c", "CartPol-v1"), "CartPol-v1"),
        (("sac", "CartPole-v1"), "Box action spaces"),
    ):
        with pytest.raises(paddle_ac.ConfigError, match=message):
            paddle_ac.make(*arguments)
    with pytest.raises(paddle_ac.ConfigError, match="did you mean 'gamma'"):
        paddle_ac.make("a2c", "CartPole-v1", gama=0.9)
    with pytest.raises(paddle_ac.ConfigError, match="hyper-parameters by name"):
        paddle_ac.train("configs/a2c_cartpole.yaml")
    with pytest.raises(paddle_ac.ConfigError, match="q_ac takes Discrete action spaces that begin at 0"):
        paddle_ac.make("q_ac", "Pendulum-v1")
    with pytest.raises(paddle_ac.ConfigError, match="only observations of a Box can be stacked"):
        paddle_ac.make("a2c", "FrozenLake-v1", frame_stack=2)
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        paddle_ac.tarin


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("PPO", r"paddle_ac has no PPO: paddle_ac\.make\('ppo', env\)$"),
        ("A2C", r"paddle_ac\.make\('a2c', env\)"),
        ("DQN", r"paddle_ac has no DQN: paddle_ac\.make\('dqn', env\)$"),
        ("TRPO", r"the algorithms are a2c, ppo, .*, as in paddle_ac\.make\('a2c', env\)"),
        ("RecurrentPPO", "recurrent='lstm'"),
        ("SubprocVecEnv", "agents make their environments themselves"),
        ("BaseCallback", r"paddle_ac\.Callback"),
        ("evaluate_policy", r"paddle_ac\.evaluate\("),
        ("Nothing", "cannot import name 'Nothing'"),
    ],
)
def test_import_of_a_name_of_another_library_says_what_to_write(name, message):
    with pytest.raises(ImportError, match=message) as failure:
        exec(f"from paddle_ac import {name}")
    assert "\n" not in str(failure.value)


ENV = gymnasium.make("CartPole-v1")


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda agent: agent.learn(100), AttributeError, r"A2C has no learn: paddle_ac\.train\(.*agent\.update\(\)"),
        (lambda agent: agent.num_timesteps, AttributeError, r"agent\.env_steps"),
        (lambda agent: agent.lern, AttributeError, "'A2C' object has no attribute 'lern'"),
        (lambda agent: agent.predict(0, deterministic=True), TypeError, "leave it out: .* unless generator draws them"),
        (lambda agent: agent.predict(0, episode_start=0), TypeError, "write zeros to the rows of state"),
        (lambda agent: agent.predict(ENV.reset()), TypeError, r"of \(observation, info\), pass the observation"),
        (lambda agent: agent.predict(obs=0), TypeError, r"\(did you mean 'observations'\?\)"),
        (lambda agent: agent.predict(0, temperature=1), TypeError, "unexpected keyword argument 'temperature'"),
        (lambda agent: paddle_ac.evaluate(agent, ENV), paddle_ac.ConfigError, r"write evaluate\(agent, episodes=100\)"),
        (lambda agent: paddle_ac.evaluate(agent, env=ENV), TypeError, "come from the configuration of the agent"),
        (lambda agent: paddle_ac.evaluate(agent, n_eval_episodes=5), TypeError, "did you mean 'episodes'"),
        (lambda agent: paddle_ac.evaluate(agent, deterministic=True), TypeError, "unless sampled draws them"),
        (lambda agent: paddle_ac.load("file", env=ENV), TypeError, "come from the configuration of the agent"),
        (lambda agent: paddle_ac.make("a2c", env_id="CartPole-v1"), paddle_ac.ConfigError, "did you mean 'env'"),
        (lambda agent: paddle_ac.train(agent.config, callback=[]), paddle_ac.ConfigError, "did you mean 'callbacks'"),
        (
            lambda agent: paddle_ac.train(agent.config, verbose=0),
            paddle_ac.ConfigError,
            "did you mean 'progress=False'",
        ),
        (lambda agent: paddle_ac.train(agent.config, ent_coef=0), paddle_ac.ConfigError, "did you mean 'entropy_coef'"),
        (lambda agent: paddle_ac.resume("run", callback=[]), paddle_ac.ConfigError, "did you mean 'callbacks'"),
    ],
)
def test_call_of_another_library_says_what_to_write(call, kind, message):
    with paddle_ac.make("a2c", "CartPole-v1", vec="serial", num_envs=1) as agent:
        assert not hasattr(agent, "learn")
        with pytest.raises(kind, match=message) as failure:
            call(agent)
        assert "\n" not in str(failure.value)


def test_attribute_error_inside_a_property_of_an_agent_is_raised_as_it_is():
    class Broken(Predictor):
        @property
        def parameters(self):
            return self.optimizer

    with pytest.raises(AttributeError, match="'Broken' object has no attribute 'optimizer'"):
        Broken().parameters


def test_dir_lists_what_is_offered():
    listed = dir(paddle_ac)
    assert set(paddle_ac.__all__) < set(listed)
    assert all(name.startswith("__") for name in set(listed) - set(paddle_ac.__all__))
    assert {"__version__", "__doc__"} < set(listed)


def test_the_import_brings_no_paddle():
    """Worker processes import the package for every environment."""
    code = "import sys, paddle_ac; sys.exit('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode == 0
    assert set(paddle_ac.__all__) == set(paddle_ac._HOMES)
    assert all(getattr(paddle_ac, name) for name in paddle_ac.__all__)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda agent, file: paddle_ac.evaluate(None), "evaluate takes an agent .*, got None"),
        (lambda agent, file: paddle_ac.evaluate(paddle_ac.make), "evaluate takes an agent .*, got <function make"),
        (lambda agent, file: paddle_ac.evaluate(agent, episodes=0), "episodes must be a whole number from 1 .*got 0"),
        (lambda agent, file: paddle_ac.evaluate(agent, episodes="5"), "episodes must be a whole number .*got '5'"),
        (lambda agent, file: paddle_ac.evaluate(agent, seed=-1), "seed must be a whole number from 0 .*got -1"),
        (lambda agent, file: paddle_ac.evaluate(agent, checkpoint="latest"), "only a run folder has checkpoints"),
        (lambda agent, file: paddle_ac.evaluate(file, checkpoint="latest"), "only a run folder has checkpoints"),
        (lambda agent, file: paddle_ac.load(file, checkpoint="zzz"), "only a run folder has checkpoints"),
        (lambda agent, file: paddle_ac.load(None), "must be a text or a pathlib.Path, got None"),
        (lambda agent, file: paddle_ac.resume("run", 10_000), r"as in resume\(run_dir, total_steps=.*, not 10000"),
        (lambda agent, file: agent.save(None), "must be a text or a pathlib.Path, got None"),
        (lambda agent, file: paddle_ac.make("a2c", "CartPole-v1", callbacks=[]), r"train\(..., callbacks=...\) does"),
        (lambda agent, file: paddle_ac.make("a2c", "CartPole-v1", run_dir="x"), r"train\(..., run_dir=...\) does"),
    ],
)
def test_argument_of_a_wrong_type_is_one_line(tmp_path, call, message):
    with paddle_ac.make("a2c", "CartPole-v1", vec="serial", num_envs=1) as agent:
        file = agent.save(tmp_path / "policy")
        with pytest.raises(paddle_ac.ConfigError, match=message):
            call(agent, file)


def test_flag_of_an_optional_hyper_parameter_is_unset_with_none():
    parser = ArgumentParser("train")
    parser.add_hyper_parameters(CONFIGS["a2c"])
    flags = parser.parse(["--stop-at-return", "none", "--activation", "none", "--recurrent", "none"])
    assert flags == {"stop_at_return": None, "activation": None, "recurrent": "none"}
