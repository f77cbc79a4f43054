"""A2C's update in NumPy is the update that Paddle's automatic differentiation gives."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from multiprocessing_env import DummyVecEnv
from paddle_ac.algorithms.a2c import A2C
from paddle_ac.algorithms.reinforce import Reinforce
from paddle_ac.config import make_config, read_yaml
from paddle_ac.learning.returns import generalized_advantages, n_step_returns
from tests.environments import RandomWalk
from tests.paddle_distributions import Categorical
from tests.paddle_losses import actor_critic_loss
from tests.paddle_networks import ReferenceNetwork
from tests.paths import ROOT

BASELINES = ROOT / "configs" / "a2c_baselines.yaml"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"shared_torso": True, "activation": "relu", "max_grad_norm": 1e9},
        {"recurrent": "lstm", "recurrent_size": 8},
        {"recurrent": "gru", "recurrent_size": 8, "shared_torso": True, "initialization": "xavier"},
        {"recurrent": "lstm", "recurrent_size": 8, "gae_lambda": 0.8, "initialization": "xavier"},
    ],
)
def test_updates_are_those_of_automatic_differentiation(changes):
    """Twenty updates over terminations and truncations, each followed on a Paddle network of its own."""
    given = {**read_yaml(BASELINES), "env": "test/Walk-v0", "num_envs": 3, "entropy_coef": 0.1, "gamma": 0.9}
    config = make_config({**given, **changes})
    envs = DummyVecEnv([RandomWalk] * 3)
    envs.seed(1)  # of fifty walks one takes a ReLU across 0 in one of the two networks
    agent = A2C(config, envs)
    rollouts = []
    collect = agent.collector.collect
    agent.collector.collect = lambda act: rollouts.append(collect(act)) or rollouts[-1]

    reference = ReferenceNetwork.of(A2C.make_policy(config, agent.envs.observation_space, agent.envs.action_space))
    vector = reference.parameters.vector
    np.testing.assert_array_equal(vector, agent.parameters.vector)
    mean_square, num_ends = np.ones_like(vector), 0
    for _ in range(20):
        metrics = agent.update()
        rollout = rollouts[-1]
        num_ends += rollout.terminated.sum() * rollout.truncated.sum()
        truncation_values, last_values = rollout.bootstrap_values(reference.values)
        known = rollout.rewards, rollout.terminated, rollout.truncated, truncation_values
        returns, given = n_step_returns(*known, last_values, 0.9).reshape(-1), None
        if config.gae_lambda < 1:
            before = reference.values(rollout.observations.reshape(15, 3), rollout.unroll).reshape(5, 3)
            advantages = generalized_advantages(*known, before, last_values, 0.9, config.gae_lambda)
            returns, given = (advantages + before).reshape(-1), paddle.to_tensor(advantages.reshape(-1))
        logits, values = reference(rollout.observations.reshape(15, 3), rollout.unroll)
        actions = paddle.to_tensor(rollout.actions.reshape(-1))
        loss = actor_critic_loss(Categorical(logits), values, actions, paddle.to_tensor(returns), 0.5, 0.1, given)
        loss.total.backward()
        gradient = reference.take_gradient()
        norm = np.linalg.norm(gradient)
        gradient *= min(1, config.max_grad_norm / norm)
        mean_square = 0.99 * mean_square + 0.01 * gradient**2
        vector -= 7e-4 * gradient / np.sqrt(mean_square + 1e-5)
        assert metrics["losses/total"] == pytest.approx(loss.total.item(), rel=1e-3)
        assert metrics["diagnostics/grad_norm"] == pytest.approx(norm, rel=1e-3)
    assert num_ends > 5
    np.testing.assert_allclose(agent.parameters.vector, vector, atol=2e-5)


@pytest.mark.parametrize("baseline", [True, False])
def test_reinforce_without_a_baseline_reports_no_critic_metrics(baseline):
    config = make_config({"algo": "reinforce", "env": "test/Walk-v0", "num_envs": 3, "baseline": baseline})
    metrics = Reinforce(config, DummyVecEnv([RandomWalk] * 3)).update()
    of_critic = {"losses/critic", "diagnostics/explained_variance"}
    assert metrics.keys() & of_critic == (of_critic if baseline else set())
    assert np.isfinite(metrics["losses/total"])
