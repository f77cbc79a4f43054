"""PGQL: how the gradients of A2C and of Q-learning come together, and that it learns."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import paddle_ac
from multiprocessing_env import DummyVecEnv
from paddle_ac.algorithms.a2c import A2C
from paddle_ac.algorithms.pgql import PGQL
from paddle_ac.config import make_config
from paddle_ac.envs.make import make_evaluation_envs
from paddle_ac.errors import ConfigError, NonFiniteError
from paddle_ac.learning.gradient import GradientOfRollout
from paddle_ac.nn.paddle_network import layer_of
from paddle_ac.training.evaluate import evaluate
from tests.environments import Identity, RandomWalk
from tests.markov import FiveStates, q_of

QUICK = {
    "num_envs": 2,
    "num_steps": 8,
    "hidden_sizes": (16,),
    "batch_size": 8,
    "learning_starts": 0,
    "vec": "serial",
    "normalize_observations": False,
    "normalize_rewards": False,
}


def make_agent(algo="pgql", agent_class=PGQL, env=RandomWalk, **changes):
    known = {"batch_size", "learning_starts"} if algo == "a2c" else set()
    quick = {name: value for name, value in QUICK.items() if name not in known}
    config = make_config({"algo": algo, "env": "test/Walk-v0", **quick, **changes})
    envs = DummyVecEnv([env] * config.num_envs)
    envs.seed(config.seed)
    return agent_class(config, envs)


def learned_agent(updates=3, **changes):
    agent = make_agent(**changes)
    for _ in range(updates):
        agent.update()
    return agent


@pytest.mark.parametrize("backend", ["numpy", "paddle"])
def test_q_gradient_is_that_of_automatic_differentiation(backend):
    agent = learned_agent(backend=backend, max_grad_norm=1e6, entropy_coef=0.3)
    batch, layer = agent.sample(), layer_of(agent.policy)
    with paddle.no_grad():
        logits, values, _ = layer(batch.next_observations)
        log_probs = paddle.nn.functional.log_softmax(logits)
        entropy = -(log_probs.exp() * log_probs).sum(axis=1)
        best = (0.3 * (log_probs + entropy.unsqueeze(1)) + values.unsqueeze(1)).max(axis=1)
        targets = paddle.to_tensor(batch.rewards) + paddle.to_tensor(batch.discounts) * best
    np.testing.assert_allclose(agent.targets(batch), targets.numpy(), rtol=1e-4, atol=1e-4)

    logits, values, _ = layer(batch.observations)
    log_probs = paddle.nn.functional.log_softmax(logits)
    entropy = -(log_probs.exp() * log_probs).sum(axis=1)
    taken = (log_probs * paddle.nn.functional.one_hot(paddle.to_tensor(batch.actions), 4)).sum(axis=1)
    q_values = 0.3 * (taken + entropy) + values
    errors = (targets - q_values).detach()
    (-(errors * taken).mean() - (errors * values).mean()).backward()  # value_coef is 0.5, of squared errors
    expected = {name: parameter.grad.numpy().copy() for name, parameter in layer.named_parameters()}
    for parameter in layer.parameters():
        parameter.clear_gradient(set_to_zero=False)
    gradient, metrics = agent.q_gradient(batch)
    assert metrics["losses/q_learning"] == pytest.approx((errors**2).mean().item(), rel=1e-4)
    assert metrics["diagnostics/q_value"] == pytest.approx(q_values.mean().item(), rel=1e-4)
    for name, view in agent.parameters.layout.views(gradient).items():
        np.testing.assert_allclose(view, expected[name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_step_follows_both_gradients_with_weight_eta(monkeypatch):
    agent = learned_agent(eta=0.25, max_grad_norm=0.5)
    seen = {}
    of_rollout, q_gradient = GradientOfRollout.__call__, agent.q_gradient

    def watched_rollout(self, rollout):
        learned = of_rollout(self, rollout)
        seen["a2c"] = learned.gradient.copy()
        return learned

    def watched_batch(batch):
        gradient, metrics = q_gradient(batch)
        seen["q"] = gradient.copy()
        return gradient, metrics

    monkeypatch.setattr(GradientOfRollout, "__call__", watched_rollout)
    monkeypatch.setattr(agent, "q_gradient", watched_batch)
    monkeypatch.setattr(agent.learner, "step", lambda gradient, learning_rate: seen.update(step=gradient))
    agent.update()
    np.testing.assert_allclose(seen["step"], 0.75 * seen["a2c"] + 0.25 * seen["q"], rtol=1e-6, atol=1e-8)
    assert np.linalg.norm(seen["q"]) <= 0.5 + 1e-6 and seen["q"].any() and seen["a2c"].any()


def test_without_q_learning_it_is_a2c():
    options = {"entropy_coef": 0.01, "optimizer": "adam", "learning_rate": 3e-3, "lr_schedule": "constant"}
    agents = [
        make_agent(learning_starts=10**6, **options),
        make_agent("a2c", A2C, **options),
    ]
    for _ in range(5):
        metrics = [agent.update() for agent in agents]
        assert metrics[0] == metrics[1]
    np.testing.assert_array_equal(agents[0].parameters.vector, agents[1].parameters.vector)


def test_replay_keeps_rewards_as_the_environments_returned_them():
    agent = learned_agent(env=Identity, normalize_rewards=True, reward_scale=3.0)
    stored = agent.replay.sample(50, np.random.default_rng(0)).rewards
    assert set(stored.tolist()) == {0.0, 1.0}
    agent.generator = np.random.default_rng(0)
    sampled = agent.sample().rewards
    expected = 3 * agent.normalize_rewards(agent.replay.sample(8, np.random.default_rng(0)).rewards)
    np.testing.assert_allclose(sampled, expected, rtol=1e-6)
    assert not np.isin(sampled[sampled > 0], 3).any(), "they are normalised too"


def test_infinite_reward_in_the_replay_is_an_error_and_changes_no_parameter():
    agent = learned_agent()
    before, batch = agent.parameters.vector.copy(), agent.sample()
    batch.rewards[0] = np.inf
    with pytest.raises(NonFiniteError, match="loss or its gradient is not finite"):
        agent.q_gradient(batch)
    np.testing.assert_array_equal(agent.parameters.vector, before)


@pytest.mark.parametrize(
    "changes",
    [{}, {"eta": 1.0}, {"backend": "paddle"}, {"num_step_returns": 3, "shared_torso": True}],
    ids=["half", "only Q-learning", "paddle", "n-step"],
)
def test_identity_environment_is_learned(changes):
    options = {"num_envs": 4, "num_steps": 8, "gamma": 0.5, "total_steps": 6_000, "batch_size": 32, **changes}
    with paddle_ac.make("pgql", "test/Identity-v0", **{**QUICK, **options}) as agent:
        while not agent.is_done:
            agent.update()
        with make_evaluation_envs(agent.config, 1, 5) as envs:
            assert evaluate(agent.policy, envs, 10, max_steps=20).mean() == 20


@pytest.mark.slow
def test_q_learning_alone_finds_the_optimal_values_of_a_process_with_five_states():
    options = {"gamma": 0.8, "eta": 1.0, "entropy_coef": 1.0, "total_steps": 40_000, "batch_size": 128}
    agent = make_agent(env=FiveStates, num_envs=4, learning_rate=5e-3, **options)
    while not agent.is_done:
        agent.update()
    outputs, values = agent.policy.heads(np.arange(5))
    policy = agent.policy.distribution(outputs)
    found = policy.log_p + policy.entropy()[:, np.newaxis] + values[:, np.newaxis]
    expected = np.zeros((5, 3))
    for _ in range(200):
        expected = q_of(expected.max(axis=1))
    np.testing.assert_allclose(found, expected, atol=0.3)


def test_network_with_memory_is_rejected_in_one_line():
    with pytest.raises(ConfigError, match="takes no network with a recurrent state"):
        paddle_ac.make("pgql", "CartPole-v1", network="tests.own_networks:Remembering", vec="serial")
