"""DQN: what a gradient step computes, that every variant learns, and that a resumed run is the uninterrupted one."""

from __future__ import annotations

import copy
import os
import signal

import gymnasium
import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete

import paddle_ac
from multiprocessing_env import DummyVecEnv
from paddle_ac.algorithms.dqn import DQN
from paddle_ac.config import make_config
from paddle_ac.envs.make import make_evaluation_envs
from paddle_ac.errors import CheckpointError, ConfigError, NonFiniteError
from paddle_ac.nn.paddle_network import BuiltInPaddleNetwork, layer_of
from paddle_ac.training.callback import Callback
from paddle_ac.training.evaluate import evaluate, evaluate_run
from paddle_ac.training.export import export_run
from paddle_ac.training.runs import resume, train
from tests.environments import Counting, Identity, RandomWalk
from tests.own_networks import Own
from tests.short_runs import assert_same_run, flat

SMALL = {"hidden_sizes": (16,), "batch_size": 8, "buffer_size": 200, "train_freq": 8, "gradient_steps": 4}
QUICK = {**SMALL, "learning_starts": 16, "target_interval": 3, "num_step_returns": 1, "vec": "serial"}
IDENTITY = {
    "env": "test/Identity-v0",
    "total_steps": 1_500,
    "learning_starts": 100,
    "train_freq": 4,
    "gradient_steps": 4,
    "batch_size": 32,
    "hidden_sizes": (32,),
    "target_interval": 20,
    "gamma": 0.5,
    "num_step_returns": 1,
    "learning_rate": 5e-3,
    "vec": "serial",
}
VARIANTS = {
    "double": {},
    "single": {"double": False},
    "dueling": {"dueling": True},
    "n-step": {"num_step_returns": 3, "gamma": 0.1},
    "prioritised": {"prioritized": True},
    "all": {"dueling": True, "num_step_returns": 3, "gamma": 0.1, "prioritized": True},
    "paddle": {"backend": "paddle"},
    "paddle, dueling": {"backend": "paddle", "dueling": True},
    "polyak": {"tau": 0.3},
    "squared": {"critic_loss": "squared"},
    "normalised": {"normalize_observations": True, "normalize_rewards": True, "reward_scale": 2.0},
}


def make_agent(env=RandomWalk, **changes) -> DQN:
    config = make_config({"algo": "dqn", "env": "test/Walk-v0", "num_envs": 2, **QUICK, **changes})
    envs = DummyVecEnv([env] * config.num_envs)
    envs.seed(config.seed)
    return DQN(config, envs)


def learned_agent(updates=6, **changes) -> DQN:
    agent = make_agent(**changes)
    for _ in range(updates):
        agent.update()
    return agent


# ------------------------------------------------------------------------------------------------- a gradient step


def q_of(layer, observations, dueling):
    """Q(s, .) as a tensor, from the Paddle layer of a network."""
    outputs, values, _ = layer(observations)
    if not dueling:
        return outputs
    return values.unsqueeze(1) + outputs - outputs.mean(axis=1, keepdim=True)


@pytest.mark.parametrize("backend", ["numpy", "paddle"])
@pytest.mark.parametrize("dueling", [False, True], ids=["plain", "dueling"])
@pytest.mark.parametrize("double", [False, True], ids=["single", "double"])
def test_gradient_step_is_that_of_automatic_differentiation(backend, dueling, double):
    agent = learned_agent(backend=backend, dueling=dueling, double=double, normalize_observations=True)
    assert isinstance(agent.policy, BuiltInPaddleNetwork) == (backend == "paddle")
    agent.target.parameters.views["actor_head.weight"][...] *= -1
    batch = agent.sample()
    before = agent.parameters.vector.copy()
    online, target = layer_of(agent.policy), layer_of(agent.target)
    with paddle.no_grad():
        next_target = q_of(target, batch.next_observations, dueling).numpy()
        next_online = q_of(online, batch.next_observations, dueling).numpy()
    choices = (next_online if double else next_target).argmax(axis=1)
    targets = batch.rewards + batch.discounts * next_target[np.arange(8), choices]
    assert (next_online.argmax(axis=1) != next_target.argmax(axis=1)).any(), "the networks do not differ"

    q_values = q_of(online, batch.observations, dueling)
    taken = (q_values * F.one_hot(paddle.to_tensor(batch.actions), 4)).sum(axis=1)
    loss = F.smooth_l1_loss(taken, paddle.to_tensor(targets.astype(np.float32)))
    loss.backward()
    expected = {name: parameter.grad.numpy().copy() for name, parameter in online.named_parameters()}
    for parameter in online.parameters():
        parameter.clear_gradient(set_to_zero=False)
    metrics = agent.gradient_step(batch)
    assert metrics["losses/critic"] == pytest.approx(loss.item(), rel=1e-4)
    assert metrics["diagnostics/q_value"] == pytest.approx(taken.mean().item(), rel=1e-4)
    for name, gradient in agent.learner.gradient_views.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-3, atol=1e-5, err_msg=name)
    norm = np.sqrt(sum((gradient**2).sum() for gradient in expected.values()))
    assert metrics["diagnostics/grad_norm"] == pytest.approx(norm, rel=1e-3)
    assert not np.array_equal(agent.parameters.vector, before)


def test_gradient_is_clipped_by_its_norm():
    agent = learned_agent(max_grad_norm=1e-3)
    metrics = agent.gradient_step(agent.sample())
    assert metrics["diagnostics/grad_norm"] > 1e-3
    assert np.linalg.norm(agent.learner.gradient) == pytest.approx(1e-3, rel=1e-4)


@pytest.mark.parametrize("tau", [1.0, 0.25])
@pytest.mark.parametrize("backend", ["numpy", "paddle"])
def test_target_network_moves_every_target_interval_gradient_steps(tau, backend):
    agent = make_agent(target_interval=3, gradient_steps=1, tau=tau, backend=backend, learning_starts=0)
    target, online = agent.target.parameters.vector, agent.parameters.vector
    np.testing.assert_array_equal(target, online)
    assert target is not online
    for number in range(1, 8):
        before = target.copy()
        agent.update()
        assert agent.num_updates == number
        if number % 3:
            np.testing.assert_array_equal(target, before)
        else:
            np.testing.assert_allclose(target, before + tau * (online - before), rtol=1e-6, atol=1e-7)
            assert (tau == 1) == np.array_equal(target, online) and not np.array_equal(target, before)
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    layer = layer_of(agent.target)
    np.testing.assert_allclose(agent.q_values(agent.target, observations), layer(observations)[0].numpy(), rtol=1e-5)


def test_target_network_sees_observations_as_the_other_does():
    agent = learned_agent(normalize_observations=True)
    assert agent.target.encode is agent.policy.encode and agent.policy.encode.moments is not None
    agent.update_target(1.0)
    batch = agent.sample()
    np.testing.assert_array_equal(
        agent.q_values(agent.policy, batch.observations), agent.q_values(agent.target, batch.observations)
    )


def test_priorities_are_the_td_errors_of_the_batch(monkeypatch):
    agent = learned_agent(prioritized=True)
    given = {}
    monkeypatch.setattr(agent.replay, "update_priorities", lambda places, errors: given.update({"errors": errors}))
    batch = agent.sample()
    assert not np.allclose(batch.weights, 1)
    expected = agent.targets(batch) - agent.q_values(agent.policy, batch.observations)[np.arange(8), batch.actions]
    metrics = agent.gradient_step(batch)
    np.testing.assert_allclose(given["errors"], expected, rtol=1e-5, atol=1e-6)
    losses = np.where(np.abs(expected) < 1, expected**2 / 2, np.abs(expected) - 0.5)
    assert metrics["losses/critic"] == pytest.approx((batch.weights * losses).mean(), rel=1e-5)


@pytest.mark.parametrize("steps,exponent", [(0, 0.4), (250, 0.55), (1_000, 1.0), (1_500, 1.0)])
def test_importance_exponent_grows_linearly_to_one_over_the_run(steps, exponent):
    agent = learned_agent(prioritized=True, total_steps=1_000)
    agent.env_steps = steps
    full = agent.replay.sample(8, np.random.default_rng(0), importance_exponent=1.0).weights
    agent.generator = np.random.default_rng(0)
    np.testing.assert_allclose(agent.sample().weights, full**exponent, rtol=1e-5)
    assert full.min() < 0.9


def test_infinite_reward_is_an_error_and_changes_no_parameter():
    agent = learned_agent()
    before = agent.parameters.vector.copy()
    batch = agent.sample()
    batch.rewards[0] = np.inf
    with pytest.raises(NonFiniteError, match="loss or its gradient is not finite"):
        agent.gradient_step(batch)
    np.testing.assert_array_equal(agent.parameters.vector, before)


# ------------------------------------------------------------------------------------------------------ exploration


def test_epsilon_that_would_rise_is_rejected():
    with pytest.raises(ConfigError, match=r"final_epsilon=0.5 must be at most initial_epsilon=0.1$"):
        make_config({"algo": "dqn", "initial_epsilon": 0.1, "final_epsilon": 0.5})


@pytest.mark.parametrize("total_steps,warned", [(500, True), (501, False)])
def test_run_that_ends_before_it_learns_is_warned_of(caplog, total_steps, warned):
    paddle_ac.make("dqn", "test/Walk-v0", **{**QUICK, "learning_starts": 500, "total_steps": total_steps}).close()
    assert ("nothing is learned: total_steps=500 is not above learning_starts=500" in caplog.text) == warned


def test_epsilon_falls_over_its_part_of_the_run():
    agent = make_agent(total_steps=1000, exploration_fraction=0.5, initial_epsilon=0.9, final_epsilon=0.1)
    for steps, epsilon in ((0, 0.9), (250, 0.5), (500, 0.1), (1000, 0.1)):
        agent.env_steps = steps
        assert agent.epsilon == pytest.approx(epsilon)
    agent.env_steps = 250
    assert agent.update()["diagnostics/epsilon"] == pytest.approx(0.5)


def test_actions_before_learning_are_uniform_and_later_epsilon_greedy():
    changes = {"total_steps": 1000, "exploration_fraction": 0.5, "initial_epsilon": 0.6, "final_epsilon": 0.0}
    agent = make_agent(Counting, num_envs=1, learning_starts=10, **changes)
    observations, state = np.zeros((2_000, 2), np.float32), np.zeros((2_000, 0), np.float32)
    counts = np.bincount(agent._act(observations, state), minlength=5)
    assert counts.sum() == 2_000 and (np.abs(counts - 400) < 100).all()
    agent.env_steps = 10
    counts = np.sort(np.bincount(agent._act(observations, state), minlength=5))
    assert abs(counts[:4].sum() / 2_000 - agent.epsilon * 4 / 5) < 0.05
    agent.env_steps = 500
    assert len(set(agent._act(observations, state))) == 1


# --------------------------------------------------------------------------------------------------------- learning


def mean_return(agent, episodes=10) -> float:
    with make_evaluation_envs(agent.config, 1, 5) as envs:
        return float(evaluate(agent.policy, envs, episodes, max_steps=20).mean())


@pytest.mark.parametrize("variant", VARIANTS)
def test_identity_environment_is_learned(variant):
    with paddle_ac.make("dqn", **{**IDENTITY, **VARIANTS[variant]}) as agent:
        while not agent.is_done:
            agent.update()
        assert mean_return(agent) == 20


@pytest.mark.parametrize(
    "env,changes",
    [
        ("Codes", {"network": Own, "dueling": True}),
        ("Pictured", {"encoder": "small"}),
        ("Pictured", {"encoder": "small", "dueling": True, "backend": "paddle"}),
        ("InParts", {"encoder": "small"}),
    ],
    ids=["own network", "images", "images, paddle, dueling", "Dict"],
)
def test_identity_environment_is_learned_from_every_kind_of_observation(env, changes):
    values = {**IDENTITY, "env": globals()[env], **changes}
    if "network" in changes:
        del values["hidden_sizes"]
    with paddle_ac.make("dqn", **values) as agent:
        assert agent.policy.is_custom == ("network" in changes)
        while not agent.is_done:
            agent.update()
        assert mean_return(agent) == 20


class Codes(Identity):
    """Identity whose observations are unit vectors."""

    codes = np.eye(3, dtype=np.float32)

    def __init__(self):
        super().__init__(Box(0, 1, (3,), np.float32))


class Pictured(Identity):
    """Identity whose observations are pictures with one bright row."""

    codes = np.ascontiguousarray(
        np.broadcast_to(np.eye(3, dtype=np.uint8)[:, :, np.newaxis, np.newaxis] * 255, (3, 3, 4, 1))
    )

    def __init__(self):
        super().__init__(Box(0, 255, (3, 4, 1), np.uint8))


class InParts(gymnasium.ObservationWrapper):
    """Identity whose observations are a picture and a vector of noise."""

    def __init__(self):
        super().__init__(Pictured())
        noise = Box(-1, 1, (2,), np.float32)
        self.observation_space = Dict({"picture": self.env.observation_space, "noise": noise})

    def observation(self, observation):
        return {"picture": observation, "noise": self.env.np_random.uniform(-1, 1, 2).astype(np.float32)}


@pytest.mark.parametrize("dueling", [False, True], ids=["plain", "dueling"])
def test_masked_actions_are_neither_taken_nor_bootstrapped_from(dueling):
    changes = {"action_masks": True, "total_steps": 400, "env_kwargs": {"masks": "info"}, "dueling": dueling}
    with paddle_ac.make("dqn", "tests.environments:Corridor", **{**QUICK, **changes}) as agent:
        returns = []
        while not agent.is_done:
            returns += agent.update()["charts/episode_return"]
        assert set(returns) == {10.0} and len(returns) == 40
        batch = agent.sample()
        values = agent.next_values(batch.next_observations)
        assert (np.abs(values) < 1e3).all()
        allowed = batch.next_observations["action_mask"] != 0
        target = agent.q_values(agent.target, batch.next_observations)
        alone = allowed.sum(axis=1) == 1
        assert alone.any()
        np.testing.assert_array_equal(values[alone], target[alone][allowed[alone]])


@pytest.mark.slow
def test_cartpole_is_solved():
    with paddle_ac.make("dqn", "CartPole-v1", seed=1) as agent:
        while not agent.is_done:
            agent.update()
        with make_evaluation_envs(agent.config, 1, 10) as envs:
            assert evaluate(agent.policy, envs, 20, max_steps=1000).mean() >= 475


# ------------------------------------------------------------------------------------------------------- whole runs

RUN = {
    **QUICK,
    "algo": "dqn",
    "env": "CartPole-v1",
    "exploration_fraction": 0,  # it depends on the total of steps, which resuming changes
    "final_epsilon": 0.2,
    "lr_decay_steps": 9_000,
    "log_interval": 50,
    "eval_interval": 200,
    "eval_episodes": 2,
    "checkpoint_interval": 150,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_envs": 3, "num_step_returns": 3, "dueling": True, "normalize_observations": True},
        {"backend": "paddle", "normalize_rewards": True, "tau": 0.5},
        {"env": "paddle_ac.envs.catch:Catch", "encoder": "small", "frame_stack": 2},
    ],
    ids=["CartPole", "n-step, dueling", "paddle", "images"],
)
def test_resumed_run_is_the_uninterrupted_one(tmp_path, changes):
    train(make_config({**RUN, **changes, "total_steps": 720}), str(tmp_path / "whole"), False)
    train(make_config({**RUN, **changes, "total_steps": 360}), str(tmp_path / "run"), False)
    resume(str(tmp_path / "run"), {"total_steps": 720})
    assert_same_run(tmp_path / "whole", tmp_path / "run")


class InterruptHalfway(Callback):
    """Presses Ctrl-C after an update."""

    def on_update(self, run, metrics):
        if run.agent.env_steps == 360:
            os.kill(os.getpid(), signal.SIGINT)


def test_interrupted_run_has_the_epsilon_and_the_weights_of_its_whole_length(tmp_path):
    """Both depend on the total of steps."""
    config = make_config({**RUN, "prioritized": True, "exploration_fraction": 0.9, "total_steps": 720})
    train(config, str(tmp_path / "whole"), False)
    stopped = train(config, str(tmp_path / "run"), False, [InterruptHalfway()])
    assert (stopped["stopped_by"], stopped["env_steps"]) == ("interrupt", 360)
    resume(str(tmp_path / "run"))
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_state_restores_target_priorities_and_random_numbers_exactly():
    values = {**QUICK, "prioritized": True, "tau": 0.5}
    with (
        paddle_ac.make("dqn", "test/Walk-v0", **values) as first,
        paddle_ac.make("dqn", "test/Walk-v0", **values) as second,
    ):
        for _ in range(5):
            first.update()
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        for _ in range(5):
            assert second.update() == first.update()
        assert flat(second.state_dict()) == flat(first.state_dict())
        assert not np.array_equal(second.target.parameters.vector, second.parameters.vector)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dqn") / "run"
    summary = train(make_config({**RUN, "total_steps": 600}), str(folder), False)
    assert summary["env_steps"] == 600 and summary["updates"] > 0
    return folder


def test_run_is_evaluated_exported_and_loaded(run, tmp_path):
    for checkpoint in ("best", "latest"):
        greedy = evaluate_run(run, checkpoint, episodes=3)
        assert greedy["mean_return"] > 0 and not greedy["sampled"]
    assert evaluate_run(run, "latest", episodes=3, sampled=True)["sampled"]
    policy = paddle_ac.load(str(run))
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    greedy, drawn = policy.predict(observations), policy.predict(observations, generator=np.random.default_rng(0))
    assert 0 < (greedy != drawn).sum() < 25, "sampled actions are epsilon-greedy"
    result = export_run(str(run), "paddle", output=str(tmp_path / "model"))
    assert result["largest_difference"] < 1e-5


def test_another_run_starts_from_what_was_learned(run):
    with paddle_ac.make("dqn", "CartPole-v1", **QUICK, init_from=str(run)) as agent:
        learned = paddle_ac.load(str(run), checkpoint="latest").policy.parameter_arrays()
        for name, values in agent.policy.parameter_arrays().items():
            np.testing.assert_array_equal(values, learned[name])
        np.testing.assert_array_equal(agent.target.parameters.vector, agent.parameters.vector)
    with pytest.raises(CheckpointError, match="dqn learns Q values of actions, a2c a policy and a critic of states"):
        paddle_ac.make("a2c", "CartPole-v1", hidden_sizes=(16,), init_from=str(run))


# ----------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize("space", [MultiDiscrete([2, 2]), Box(-1, 1, (1,)), Discrete(3, start=1)], ids=str)
def test_other_action_spaces_are_rejected(space):
    with pytest.raises(ConfigError, match=r"^dqn takes Discrete action spaces that begin at 0; the action space of"):
        DQN.make_policy(make_config({"algo": "dqn"}), Box(-1, 1, (2,)), space)


def test_own_network_needs_the_dueling_head():
    with pytest.raises(ConfigError, match="returns advantages and values of states: add dueling=true"):
        make_config({"algo": "dqn", "network": "tests.own_networks:Own"})
    with pytest.raises(ConfigError, match="takes no network with a recurrent state"):
        paddle_ac.make("dqn", "CartPole-v1", network="tests.own_networks:Remembering", dueling=True)
