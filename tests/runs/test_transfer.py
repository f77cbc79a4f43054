"""Saving a policy in one file, loading it anywhere, and starting another training from it."""

from __future__ import annotations

import functools

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

import paddle_ac
from paddle_ac.algorithms.saved_policy import describe_space, make_space, space_in_words
from paddle_ac.checkpoint import load_run_state, save_checkpoint
from paddle_ac.config import make_config, write_yaml
from paddle_ac.training.run_folder import RunFolder
from tests.environments import RandomWalk
from tests.own_networks import Own
from tests.short_runs import QUICK
from tests.tool_calls import run_main

SMALL = {"hidden_sizes": (8,), "seed": 3}
KINDS = {
    "a2c": {"vec": "serial", **SMALL},
    "a2c lstm": {"algo": "a2c", "vec": "serial", "recurrent": "lstm", "recurrent_size": 4, **SMALL},
    "ppo": {"vec": "serial", "num_steps": 16, **SMALL},
    "own": {"algo": "a2c", "vec": "serial", "network": Own, "num_envs": 2},
    "reinforce": {"vec": "serial", "max_episode_steps": 20, **SMALL},
    "q_ac": {"vec": "serial", **SMALL},
    "a3c": {"num_workers": 1, "normalize_observations": True, "normalize_rewards": True, **SMALL},
    "dqn": {"normalize_rewards": True, "learning_starts": 10, "batch_size": 8, "train_freq": 4, **SMALL},
    "soft_q": {"learning_starts": 10, "batch_size": 8, "train_freq": 4, **SMALL},
    "sac_discrete": {"normalize_rewards": True, "learning_starts": 10, "batch_size": 8, **SMALL},
    "pgql": {"vec": "serial", "num_steps": 4, "learning_starts": 10, "batch_size": 8, **SMALL},
    "async_q": {"num_workers": 1, "normalize_observations": True, **SMALL},
    "sac": {"env": "Pendulum-v1", "normalize_rewards": True, "learning_starts": 10, "batch_size": 8, **SMALL},
    "td3": {"env": "Pendulum-v1", "normalize_observations": True, "learning_starts": 10, "batch_size": 8, **SMALL},
    "ddpg": {"env": "Pendulum-v1", "learning_starts": 10, "batch_size": 8, **SMALL},
}


def learned_agent(kind, steps=60, **changes):
    values = {"algo": kind, "env": "CartPole-v1", **KINDS[kind], **changes}
    agent = paddle_ac.make(**values)
    while agent.env_steps < steps:
        agent.update()
    list(agent.finish())
    return agent


def assert_same_learned(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, dict):
            assert_same_learned(value, other[name])
        else:
            np.testing.assert_array_equal(value, other[name])


@pytest.mark.parametrize("kind", KINDS)
def test_saved_agent_acts_the_same_without_its_environment_and_starts_another_training(tmp_path, kind, monkeypatch):
    file = tmp_path / "policy"
    with learned_agent(kind) as agent:
        assert agent.save(file) == tmp_path / "policy.safetensors"
        observations = np.stack([agent.observation_space.sample() for _ in range(20)]).clip(-3, 3)
        actions, learned, steps = agent.predict(observations), agent.learned_state(), agent.env_steps
    with monkeypatch.context() as without:
        without.setattr("paddle_ac.api.make_evaluation_envs", None)
        policy = paddle_ac.load(file)
        np.testing.assert_array_equal(policy.predict(observations), actions)
        assert (policy.env_steps, policy.observation_space) == (steps, agent.observation_space)
    assert policy.save(tmp_path / "again.safetensors").is_file()
    np.testing.assert_array_equal(paddle_ac.load(tmp_path / "again.safetensors").predict(observations), actions)
    values = {"algo": kind, "env": "CartPole-v1", **KINDS[kind], "seed": 8, "gamma": 0.9}
    with paddle_ac.make(**values, init_from=str(file)) as other:
        assert_same_learned(other.learned_state(), learned)
        assert other.env_steps == 0
        np.testing.assert_array_equal(other.predict(observations), actions)
        while other.env_steps < 20:
            other.update()


def test_run_starts_from_the_latest_checkpoint_of_another_with_a_new_optimiser(tmp_path, capsys):
    source = str(tmp_path / "source")
    paddle_ac.train(
        {**QUICK, "vec": "serial", "normalize_rewards": True, "normalize_observations": True}, source, total_steps=1000
    )
    there = load_run_state(RunFolder.open(source).latest, "a2c")["algorithm"]
    seen = {}

    class First(paddle_ac.Callback):
        def on_checkpoint(self, run, path):
            seen.setdefault("state", load_run_state(path, run.config.algo)["algorithm"])

    changes = {"total_steps": 40, "seed": 1, "num_envs": 2, "env_kwargs": {"sutton_barto_reward": True}}
    config = {**QUICK, "vec": "serial", "normalize_rewards": True, "normalize_observations": True, **changes}
    target = str(tmp_path / "target")
    summary = paddle_ac.train(config, target, callbacks=[First()], init_from=source)
    here = seen["state"]
    assert here["env_steps"] == 0 and summary["init_from"] == source
    assert_same_learned(here["parameters"], there["parameters"])
    assert_same_learned(here["encoder"], there["encoder"])
    assert_same_learned(here["reward_normalizer"]["moments"], there["reward_normalizer"]["moments"])
    assert all((value == 1).all() for value in here["optimizer"].values()), "RMSProp's mean square starts at 1"
    assert paddle_ac.resume(target, {"total_steps": 80})["env_steps"] == 80
    flags = [f"--init-from={source}", "--optimizer=adam", "--hidden-sizes=16", "--total-steps=100", "--vec=serial"]
    code, _, errors = run_main(capsys, "train.py", *flags, f"--run-dir={tmp_path / 'flags'}")
    assert code == 0, errors


@pytest.mark.parametrize("kind", ["sac", "td3"])
def test_off_policy_run_starts_from_all_networks_of_another_run(tmp_path, kind):
    config = {"algo": kind, "vec": "serial", **KINDS[kind], "eval_episodes": 1}
    source = str(tmp_path / "source")
    paddle_ac.train(config, source, total_steps=60)
    there = load_run_state(RunFolder.open(source).latest, kind)["algorithm"]
    values = {"vec": "serial", **KINDS[kind], "seed": 8}
    with paddle_ac.make(kind, values.pop("env"), **values, init_from=source) as agent:
        learned = agent.learned_state()
    for name in learned.keys() - {"reward_moments", "encoder"}:
        here, saved = ({"value": state[name]} for state in (learned, there))
        assert_same_learned(here, saved)
    assert {"parameters", "critic", "target"} < learned.keys()


def test_ppo_and_a3c_start_from_an_a2c(tmp_path):
    with learned_agent("a2c", normalize_observations=True) as agent:
        file, learned = agent.save(tmp_path / "a2c"), agent.learned_state()
    for algo, values in (("ppo", {}), ("a3c", {"normalize_observations": True, "normalize_rewards": True})):
        with paddle_ac.make(algo, "CartPole-v1", **SMALL, **values, init_from=str(file)) as other:
            assert_same_learned(other.learned_state(), learned)


class Steered(RandomWalk):
    """Observes what CartPole does, and takes other actions."""

    def __init__(self):
        super().__init__(shape=(4,))
        self.action_space = Box(-1, 1, (1,))


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"hidden_sizes": (9,)}, r"of another network: actor_head.weight is \(8, 2\) there and \(9, 2\) here"),
        ({"env": "Acrobot-v1"}, r"the observation space is Box \(4,\) of floats there and Box \(6,\) of floats here$"),
        ({"activation": "relu"}, "it was trained with activation='tanh', and this is activation='relu'"),
        ({"normalize_observations": False}, "it has moments of observations, unlike the configuration"),
        ({"algo": "sac", "env": "Pendulum-v1"}, r"does not fit sac on Pendulum-v1: the observation space is Box"),
        ({"env": Steered}, r"the action space is Discrete 2 there and Box \(1,\) of floats here$"),
        ({"recurrent": "gru"}, "parameters of another network"),
    ],
)
def test_mismatch_is_one_line_and_leaves_nothing(tmp_path, capsys, changes, message):
    with learned_agent("a2c") as agent:
        file = agent.save(tmp_path / "policy")
    values = {"algo": "a2c", "env": "CartPole-v1", "hidden_sizes": (8,), "total_steps": 100, **changes}
    run = tmp_path / "run"
    with pytest.raises(paddle_ac.CheckpointError, match=message) as failure:
        paddle_ac.train(values, str(run), init_from=str(file))
    assert "\n" not in str(failure.value) and not run.exists()
    if not isinstance(values["env"], str):
        return
    write_yaml(make_config({**values, "init_from": str(file)}), tmp_path / "values.yaml")
    code, _, errors = run_main(capsys, "train.py", f"--config={tmp_path / 'values.yaml'}", f"--run-dir={run}")
    assert code == 2 and errors.count("\n") == 1 and not run.exists()


def test_run_of_other_spaces_is_named_before_its_parameters(tmp_path):
    source = str(tmp_path / "source")
    paddle_ac.train({**QUICK, "vec": "serial"}, source, total_steps=40)
    with pytest.raises(paddle_ac.CheckpointError, match=r"a2c on CartPole-v1, .* Box \(4,\) of floats there and"):
        paddle_ac.make("a2c", "Acrobot-v1", vec="serial", hidden_sizes=(9,), init_from=source)
    latest = RunFolder.open(source).latest
    state = load_run_state(latest, "a2c")
    assert state.pop("spaces") == {"observation": "Box (4,) of floats", "action": "Discrete 2"}
    save_checkpoint(latest, state)  # as earlier versions wrote it
    with pytest.raises(paddle_ac.CheckpointError, match="parameters of another network"):
        paddle_ac.make("a2c", "Acrobot-v1", vec="serial", init_from=source)
    assert paddle_ac.resume(source, total_steps=80)["env_steps"] == 80


def test_what_is_no_policy_is_one_line(tmp_path):
    missing = tmp_path / "missing"
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing")
    for use in (paddle_ac.load, paddle_ac.evaluate, functools.partial(paddle_ac.make, "a2c", "CartPole-v1")):
        options = {"init_from": str(missing)} if isinstance(use, functools.partial) else {}
        with pytest.raises(paddle_ac.ConfigError, match=r"there is no run folder .*missing"):
            use(**options) if options else use(missing)
    paddle_ac.train({**QUICK, "vec": "serial"}, str(tmp_path / "run"), total_steps=20)
    with pytest.raises(paddle_ac.CheckpointError, match="name the run's folder"):
        paddle_ac.load(tmp_path / "run" / "best" / "model.safetensors")
    with pytest.raises(paddle_ac.CheckpointError, match="damaged or not a checkpoint"):
        paddle_ac.load(damaged)
    with learned_agent("a2c") as agent, pytest.raises(paddle_ac.ConfigError, match="cannot save the policy in"):
        agent.save(tmp_path / "no" / "folder")


def test_agents_loaded_policies_files_and_runs_are_evaluated_alike(tmp_path):
    values = {**QUICK, "vec": "serial", "total_steps": 300}
    run = str(tmp_path / "run")
    paddle_ac.train(values, run)
    of_run = paddle_ac.evaluate(run, episodes=5, checkpoint="latest")
    policy = paddle_ac.load(run, "latest")
    file = policy.save(tmp_path / "policy")
    for result in (paddle_ac.evaluate(policy, episodes=5), paddle_ac.evaluate(file, episodes=5)):
        assert result == {name: of_run[name] for name in of_run.keys() - {"run_dir", "checkpoint"}}
    with paddle_ac.make(env="CartPole-v1", **values) as agent:
        while not agent.is_done:
            agent.update()
        assert paddle_ac.evaluate(agent, episodes=5)["mean_return"] == of_run["mean_return"]
        sampled = paddle_ac.evaluate(agent, episodes=5, seed=1, sampled=True)
        assert sampled["sampled"] and sampled["seed"] == 1


def test_asynchronous_agent_is_evaluated_while_its_workers_learn():
    with paddle_ac.make("a3c", "CartPole-v1", num_workers=1, **SMALL) as agent:
        while agent.env_steps < 50:
            agent.update()
        assert paddle_ac.evaluate(agent, episodes=2)["episodes"] == 2


@pytest.mark.parametrize(
    "space",
    [
        Box(-1, 1, (3,), np.float32),
        Box(np.array([-np.inf, 0.1], np.float32), np.array([np.inf, 5], np.float32)),
        Box(0, 255, (4, 4, 3), np.uint8),
        Box(-(2**62), 2**62, (2,), np.int64),
        Discrete(5, start=-2),
        MultiDiscrete([2, 3], start=[1, 0]),
        MultiDiscrete([[2, 3], [4, 5]]),
        MultiBinary(4),
        MultiBinary([2, 3]),
        Dict({"b": Box(0, 1, (2,)), "a": Tuple([Discrete(2), Dict({"x/y": MultiBinary(2)})])}),
    ],
    ids=str,
)
def test_spaces_come_back(space):
    assert space_in_words(space).startswith(type(space).__name__)
    again = make_space(describe_space(space))
    assert again == space and type(again) is type(space)
    if isinstance(space, Dict):
        assert list(again.spaces) == list(space.spaces)


def test_run_whose_configuration_was_edited_is_not_evaluated_as_another_policy(tmp_path):
    run = tmp_path / "run"
    values = {"algo": "a2c", "env": Masked, "vec": "serial", "action_masks": True, "num_envs": 2, "eval_episodes": 1}
    paddle_ac.train(values, str(run), total_steps=40, eval_interval=20)
    file = run / "config.yaml"
    text = file.read_text()
    for line, edited in (("action_masks: true", "action_masks: false"), ("activation: null", "activation: relu")):
        file.write_text(text.replace(line, edited))
        assert file.read_text() != text
        for checkpoint in ("best", "latest"):
            with pytest.raises(paddle_ac.CheckpointError, match=f"it was trained with {line.split(':')[0]}=.*restore"):
                paddle_ac.evaluate(str(run), checkpoint=checkpoint)
        with pytest.raises(paddle_ac.CheckpointError, match=f"it was trained with {line.split(':')[0]}="):
            paddle_ac.resume(str(run), {"total_steps": 80})
    file.write_text(text)
    assert paddle_ac.evaluate(str(run), episodes=1)["episodes"] == 1


class Masked(RandomWalk):
    """Allows every action."""

    def action_masks(self):
        return np.ones(self.action_space.n, np.int8)


def test_network_of_a_script_that_is_not_found_gets_advice(tmp_path):
    run = tmp_path / "run"
    paddle_ac.train(
        algo="a2c",
        env="CartPole-v1",
        network=Own,
        vec="serial",
        run_dir=str(run),
        total_steps=20,
        num_envs=2,
        eval_episodes=1,
    )
    file = run / "config.yaml"
    file.write_text(file.read_text().replace(f"{Own.__module__}:Own", "__main__:OwnOfScript"))
    message = "it was defined in a script or notebook, .* write my_module:Name in its place, in config.yaml too"
    with pytest.raises(paddle_ac.ConfigError, match=message):
        paddle_ac.load(run)
    file.write_text(file.read_text().replace("__main__:OwnOfScript", f"{Own.__module__}:Own"))
    assert paddle_ac.load(run).predict(np.zeros(4, np.float32)) in (0, 1)


def test_evaluations_of_a_run_draw_actions_where_that_is_asked_for(tmp_path):
    values = {**QUICK, "vec": "serial", "total_steps": 1000, "eval_interval": 500}
    runs = {sampled: str(tmp_path / str(sampled)) for sampled in (False, True)}
    summaries = {
        sampled: paddle_ac.train(values, run, eval_sampled=sampled, learning_rate=1e-6) for sampled, run in runs.items()
    }
    assert [summaries[sampled]["eval_sampled"] for sampled in runs] == [False, True]
    assert summaries[True]["eval_mean_return"] != summaries[False]["eval_mean_return"]
    assert paddle_ac.evaluate(runs[True], episodes=3)["sampled"] is True
    again = paddle_ac.evaluate(runs[True], episodes=3, checkpoint="latest")
    assert again["mean_return"] == summaries[True]["eval_mean_return"], "the final evaluation, and as often"
    assert paddle_ac.evaluate(runs[True], episodes=3, sampled=False)["sampled"] is False


@pytest.mark.slow
def test_resumed_run_with_sampled_evaluations_is_the_run_that_never_stopped(tmp_path):
    values = {**QUICK, "vec": "serial", "total_steps": 1000, "eval_interval": 500, "eval_sampled": True}
    straight = paddle_ac.train(values, str(tmp_path / "straight"), total_steps=1500)
    paddle_ac.train(values, str(tmp_path / "resumed"))
    resumed = paddle_ac.resume(str(tmp_path / "resumed"), {"total_steps": 1500})
    assert resumed["eval_mean_return"] == straight["eval_mean_return"] and resumed["eval_sampled"]


def test_gymnasium_env_spec_class_and_factory_are_environments():
    for env in (gymnasium.spec("CartPole-v1"), RandomWalk, lambda: RandomWalk()):
        with paddle_ac.make("a2c", env, num_envs=2, vec="serial") as agent:
            agent.update()


def test_run_folder_that_is_the_current_one_is_opened_and_saving_into_it_names_a_file(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    values = {"algo": "a2c", "env": "CartPole-v1", "vec": "serial", "num_envs": 1}
    short = {"total_steps": 20, "eval_episodes": 1, "eval_max_steps": 20}
    paddle_ac.train({**values, **short}, str(folder), progress=False)
    monkeypatch.chdir(folder)
    assert paddle_ac.load(".").env_steps > 0
    assert paddle_ac.evaluate(".", episodes=2)["run_dir"] == "."
    with paddle_ac.make(**values, init_from=".") as agent:
        for name in (".", ".."):
            with pytest.raises(paddle_ac.ConfigError, match="a folder: name a file, as in"):
                agent.save(name)


def test_init_from_takes_a_path_and_compares_what_an_unset_activation_stands_for(tmp_path):
    with paddle_ac.make("a2c", "CartPole-v1", vec="serial") as agent:
        file = agent.save(tmp_path / "policy")
    paddle_ac.make("a2c", "CartPole-v1", vec="serial", init_from=file, activation="tanh").close()
    with pytest.raises(paddle_ac.CheckpointError, match=r"trained with activation='tanh', and this is .*'relu'"):
        paddle_ac.make("a2c", "CartPole-v1", vec="serial", init_from=file, activation="relu")
    with paddle_ac.make("sac", "Pendulum-v1", vec="serial", hidden_sizes=(8,)) as agent:
        file = agent.save(tmp_path / "sac")
    with pytest.raises(
        paddle_ac.CheckpointError,
        match="sac learns an actor and critics of actions, a2c",
    ):
        paddle_ac.make("a2c", "Pendulum-v1", vec="serial", init_from=file)
