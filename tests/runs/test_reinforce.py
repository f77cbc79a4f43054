"""REINFORCE in environments without a time limit."""

from __future__ import annotations

import copy
import json
import signal

import numpy as np
import pytest

import paddle_ac
from paddle_ac.config import ReinforceConfig
from paddle_ac.training.runs import resume, train
from tests.short_runs import QUICK, assert_same_run, flat, start_tool, wait_until

ENDLESS = {name: value for name, value in QUICK.items() if name in ReinforceConfig.model_fields} | {
    "algo": "reinforce",
    "env": "tests.environments:test/Endless-v0",
    "num_envs": 2,
    "vec": "serial",
}


@pytest.mark.parametrize("baseline", [True, False])
def test_training_without_a_time_limit_ends_near_the_total(tmp_path, caplog, baseline):
    config = {**ENDLESS, "total_steps": 500, "max_episode_steps": 60, "baseline": baseline, "eval_max_steps": 50}
    summary = paddle_ac.train(config, str(tmp_path / "run"))
    assert 500 <= summary["env_steps"] < 500 + 2 * 60 and summary["stopped_by"] == "total_steps"
    assert summary["episodes"] == summary["updates"] * 2
    assert caplog.text.count("an episode was truncated after 60 steps (max_episode_steps)") == 1


def test_the_return_of_a_truncated_episode_bootstraps_from_the_critic():
    with paddle_ac.make(**ENDLESS_AGENT) as agent:
        rollouts, collect = [], agent.collector.collect
        agent.collector.collect = lambda act: rollouts.append(collect(act)) or rollouts[-1]
        value = None

        def values(observations, unroll):
            nonlocal value
            value = real(observations, unroll)
            return value

        real, agent.policy.values = agent.policy.values, values
        agent.update()
        (rollout,) = rollouts
        truncation_values, _ = rollout.bootstrap_values(real)
    assert rollout.truncated[-1].all() and value is not None
    assert (truncation_values[-1] != 0).all() and not truncation_values[:-1].any()


ENDLESS_AGENT = {
    "algo": "reinforce",
    "env": "tests.environments:test/Endless-v0",
    "num_envs": 2,
    "vec": "serial",
    "hidden_sizes": (8,),
    "max_episode_steps": 30,
}


def test_an_update_that_is_stopped_changes_nothing():
    slow = {**ENDLESS_AGENT, "env": "tests.environments:test/SlowEndless-v0"}
    with paddle_ac.make(**slow) as agent, paddle_ac.make(**slow) as undisturbed:
        agent.update()
        undisturbed.update()
        before = flat(copy.deepcopy(agent.state_dict()))
        asked = []
        agent.should_stop = lambda: asked.append(None) or len(asked) > 3
        assert agent.update() == {"charts/episode_return": [], "charts/episode_length": []}
        assert len(asked) == 4 and flat(copy.deepcopy(agent.state_dict())) == before
        agent.should_stop = lambda: False
        agent.update()
        undisturbed.update()
        np.testing.assert_array_equal(agent.parameters.vector, undisturbed.parameters.vector)


def test_ctrl_c_in_the_middle_of_an_endless_episode_ends_the_run(tmp_path):
    flags = {
        "--algo": "reinforce",
        "--env": "tests.environments:test/SlowEndless-v0",
        "--num-envs": "2",
        "--vec": "serial",
        "--max-episode-steps": "100000",
        "--run-dir": str(tmp_path / "run"),
    }
    process = start_tool("train.py", *(f"{name}={value}" for name, value in flags.items()))
    checkpoint = tmp_path / "run" / "checkpoints" / "latest.safetensors"
    wait_until(lambda: checkpoint.exists() or list((tmp_path / "run").glob("checkpoints/*")))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["stopped_by"], summary["env_steps"]) == ("interrupt", 0)


def test_a_longer_total_gives_the_run_of_that_total(tmp_path):
    config = {**ENDLESS, "env": "CartPole-v1", "max_episode_steps": 20}
    whole = paddle_ac.make_config({**config, "total_steps": 3000})
    train(whole, str(tmp_path / "whole"))
    train(paddle_ac.make_config({**config, "total_steps": 1500, "lr_decay_steps": 3000}), str(tmp_path / "run"))
    resume(str(tmp_path / "run"), {"total_steps": 3000})
    assert_same_run(tmp_path / "whole", tmp_path / "run")
