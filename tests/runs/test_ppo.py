"""PPO: its loss from formulas and automatic differentiation, its minibatches, and when an update ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import paddle
import pytest
import scipy.special
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

import paddle_ac
from multiprocessing_env import DummyVecEnv
from paddle_ac.algorithms.ppo import PPO, minibatches, standardized
from paddle_ac.config import make_config
from paddle_ac.errors import ConfigError, NonFiniteError
from paddle_ac.losses.ppo import PPOLoss, PPOTargets, clipped_surrogate, clipped_value_loss
from paddle_ac.losses.values import CRITIC_LOSSES, squared_error
from paddle_ac.nn.actions import action_distribution
from paddle_ac.nn.unroll import Unroll
from tests.environments import RandomWalk
from tests.paddle_distributions import make_distribution
from tests.paddle_networks import ReferenceNetwork

SPACES = {
    "discrete": Discrete(4),
    "multi": MultiDiscrete([2, 3]),
    "binary": MultiBinary(3),
    "box": Box(np.float32([-1, 0]), np.float32([2, np.inf])),
}


def make_agent(**changes) -> PPO:
    values = {"num_envs": 3, "num_steps": 8, "minibatch_size": 6, "num_epochs": 2, "hidden_sizes": (16,), **changes}
    config = make_config({"algo": "ppo", "env": "test/Walk-v0", **values})
    envs = DummyVecEnv([RandomWalk] * config.num_envs)
    envs.seed(0)
    return PPO(config, envs)


def batch_of(rollout) -> tuple[np.ndarray, Unroll]:
    """The observations of a rollout, as the transitions of a feed-forward network."""
    observations = rollout.transitions(rollout.observations)
    return observations, Unroll.of_one_step(np.zeros((len(observations), 0), np.float32))


def recurrent_batch(**changes):
    """An agent, and observations, targets of another policy, and sequences of a rollout within running episodes."""
    fixed = {"num_envs": 4, "minibatch_size": 8, "normalize_advantages": False, "max_grad_norm": 1e9}
    agent = make_agent(recurrent_size=6, **fixed, **changes)
    agent.policy.encode.update(agent.collector.collect(agent._act).observations.reshape(-1, 3))
    rollout = agent.collector.collect(agent._act)
    observations = rollout.transitions(rollout.observations)
    targets = agent._targets(rollout, observations, rollout.unroll)
    noise = np.random.default_rng(0).normal(scale=0.2, size=len(observations)).astype(np.float32)
    targets = replace(targets, old_log_probs=targets.old_log_probs + noise)
    assert rollout.unroll.state.any(), "the rollout continues episodes"
    assert rollout.unroll.episode_starts.any(axis=0).sum() > 1, "and others start in it"
    return agent, observations, targets, rollout.unroll


def slopes(function, point, step=1e-6):
    """Central finite differences of a function ``[B]`` to ``[B]`` whose entries do not depend on each other."""
    return (function(point + step) - function(point - step)) / (2 * step)


@pytest.mark.parametrize("log_ratio", [-0.5, -0.1, 0.0, 0.1, 0.5])
@pytest.mark.parametrize("advantage", [-2.0, 3.0])
def test_surrogate_is_flat_only_where_it_would_move_the_ratio_further_away(log_ratio, advantage):
    losses, gradient, ratios = clipped_surrogate(np.array([log_ratio]), np.array([advantage]), 0.2)
    ratio = np.exp(log_ratio)
    assert losses[0] == pytest.approx(-min(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage))
    is_flat = (advantage > 0 and ratio > 1.2) or (advantage < 0 and ratio < 0.8)
    assert gradient[0] == pytest.approx(0 if is_flat else -ratio * advantage)
    found = slopes(lambda point: clipped_surrogate(point, np.array([advantage]), 0.2)[0], np.array([log_ratio]))
    np.testing.assert_allclose(gradient, found, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ratios, ratio)


@pytest.mark.parametrize("name", CRITIC_LOSSES)
def test_clipped_value_loss_is_the_larger_of_both(name):
    critic_loss = CRITIC_LOSSES[name]
    generator = np.random.default_rng(0)
    values, returns, old = generator.normal(0, 2, (3, 200))
    losses, gradient = clipped_value_loss(values, returns, old, 0.3, critic_loss)
    clipped = old + np.clip(values - old, -0.3, 0.3)
    np.testing.assert_allclose(losses, np.maximum(critic_loss(values, returns)[0], critic_loss(clipped, returns)[0]))
    found = slopes(lambda point: clipped_value_loss(point, returns, old, 0.3, critic_loss)[0], values)
    np.testing.assert_allclose(gradient, found, rtol=1e-5, atol=1e-8)
    assert np.any(gradient == 0) and np.any(gradient != 0)


def test_value_that_moved_less_than_the_range_has_the_usual_loss():
    values, returns = np.float32([1, 2]), np.float32([0, 5])
    for found, expected in zip(
        clipped_value_loss(values, returns, values - np.float32(0.1), 0.3, squared_error),
        squared_error(values, returns),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("clip_range_vf", [None, 0.5])
def test_loss_and_gradient_are_those_of_automatic_differentiation(space, clip_range_vf):
    generator = np.random.default_rng(0)
    distribution = action_distribution(space)
    outputs = generator.normal(size=(40, distribution.num_outputs)).astype(np.float32)
    values, returns, advantages, noise = generator.normal(size=(4, 40)).astype(np.float32)
    actions = distribution.sample(outputs, generator)
    old_log_probs = distribution(outputs).log_prob(actions) + np.float32(0.3) * noise
    old_values = values + np.float32(0.6) * generator.normal(size=40).astype(np.float32)
    loss = PPOLoss(distribution, "squared", 0.7, 0.2, 0.2, clip_range_vf)
    found = loss(outputs, values, PPOTargets(actions, returns, advantages, old_log_probs, old_values), 40)

    at = {name: paddle.to_tensor(array, stop_gradient=False) for name, array in (("o", outputs), ("v", values))}
    policy = make_distribution(space, at["o"])
    ratios = (policy.log_prob(paddle.to_tensor(actions)) - paddle.to_tensor(old_log_probs)).exp()
    weights, targets, old = (paddle.to_tensor(array) for array in (advantages, returns, old_values))
    actor = -paddle.minimum(ratios * weights, ratios.clip(0.8, 1.2) * weights).mean()
    critic = (at["v"] - targets).square()
    if clip_range_vf is not None:
        critic = paddle.maximum(critic, (old + (at["v"] - old).clip(-0.5, 0.5) - targets).square())
    total = actor + 0.7 * critic.mean() - 0.2 * policy.entropy().mean()
    total.backward()
    assert loss.total(found.terms / 40) == pytest.approx(total.item(), rel=1e-5)
    np.testing.assert_allclose(found.grad_outputs, at["o"].grad.numpy(), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found.grad_critic_outputs, at["v"].grad.numpy(), rtol=1e-4, atol=1e-7)
    log_ratios = np.log(ratios.numpy())
    expected = [(np.exp(log_ratios) - 1 - log_ratios).sum(), (np.abs(np.exp(log_ratios) - 1) > 0.2).sum()]
    np.testing.assert_allclose(found.terms[3:], expected, rtol=1e-3)


def test_first_gradient_is_that_of_a2c():
    """At a ratio of 1 nothing is clipped: PPO's gradient of a whole rollout is the policy gradient."""
    agent = make_agent(num_epochs=1, minibatch_size=24, normalize_advantages=False, entropy_coef=0.1)
    rollout = agent.collector.collect(agent._act)
    expected = agent.gradient_of(rollout)
    observations, unroll = batch_of(rollout)
    targets = agent._targets(rollout, observations, unroll)
    gradient, terms, _, norm = agent._gradient_of_rows(observations, targets, unroll)
    np.testing.assert_allclose(gradient, expected.gradient, rtol=1e-3, atol=1e-6)
    assert norm == pytest.approx(expected.norm, rel=1e-4)
    np.testing.assert_allclose(terms[1:], [expected.critic, expected.entropy, 0, 0], rtol=1e-4, atol=1e-6)


def test_every_epoch_visits_every_transition_once(monkeypatch):
    agent = make_agent(minibatch_size=7, num_epochs=3)
    visited = []
    original = PPO._gradient_of_rows

    def spy(self, observations, targets, unroll):
        visited.append(targets.returns)
        return original(self, observations, targets, unroll)

    monkeypatch.setattr(PPO, "_gradient_of_rows", spy)
    agent.update()
    assert [len(rows) for rows in visited] == [7, 7, 7, 3] * 3
    epochs = [np.concatenate(visited[first : first + 4]) for first in (0, 4, 8)]
    for epoch in epochs[1:]:
        np.testing.assert_array_equal(np.sort(epoch), np.sort(epochs[0]))
        assert not np.array_equal(epoch, epochs[0]), "the order is another one"
    assert agent.num_updates == 12 and agent.env_steps == 24


def test_update_ends_where_the_policy_has_gone_too_far():
    agent = make_agent(num_epochs=50, target_kl=1e-4, learning_rate=1e-2)
    metrics = agent.update()
    assert 1 <= agent.num_updates < 50 * 4
    assert metrics["diagnostics/approx_kl"] > 0


def test_advantages_are_normalized_within_a_minibatch():
    agent = make_agent(normalize_advantages=True)
    rollout = agent.collector.collect(agent._act)
    observations, unroll = batch_of(rollout)
    targets = agent._targets(rollout, observations, unroll)
    plain = agent._gradient_of_rows(observations, targets, unroll)[1]
    scaled = replace(targets, advantages=5 * targets.advantages - 3)
    np.testing.assert_allclose(agent._gradient_of_rows(observations, scaled, unroll)[1], plain, rtol=1e-3, atol=1e-5)
    assert abs(plain[0]) < 1e-5, "the mean advantage is 0 and every ratio 1"


def test_standardized_values_have_mean_0_and_deviation_1():
    values = np.random.default_rng(0).normal(3, 2, 50).astype(np.float32)
    np.testing.assert_allclose(standardized(values), (values - values.mean()) / values.std(), rtol=1e-4, atol=1e-6)
    assert not standardized(np.full(5, np.float32(0.1))).any()


@pytest.mark.parametrize(
    "changes",
    [{"recurrent": "lstm"}, {"recurrent": "gru", "shared_torso": True}, {"recurrent": "lstm", "clip_range_vf": 0.1}],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_gradient_of_sequences_is_that_of_the_loss_unrolled_in_paddle(changes):
    agent, observations, targets, unroll = recurrent_batch(entropy_coef=0.1, **changes)
    gradient, terms, total, _ = agent._gradient_of_rows(observations, targets, unroll)

    network = ReferenceNetwork.of(agent.policy)
    outputs, values = network(observations, unroll)
    policy = make_distribution(agent.action_space, outputs)
    ratios = (policy.log_prob(paddle.to_tensor(targets.actions)) - paddle.to_tensor(targets.old_log_probs)).exp()
    advantages, returns, old = map(paddle.to_tensor, (targets.advantages, targets.returns, targets.old_values))
    actor = -paddle.minimum(ratios * advantages, ratios.clip(0.8, 1.2) * advantages).mean()
    critic = (values - returns).square()
    if agent.config.clip_range_vf is not None:
        critic = paddle.maximum(critic, (old + (values - old).clip(-0.1, 0.1) - returns).square())
    expected = actor + agent.config.value_coef * critic.mean() - 0.1 * policy.entropy().mean()
    expected.backward()
    assert total == pytest.approx(expected.item(), rel=1e-5)
    assert 0.1 < terms[4] < 0.9, "some ratios are clipped"
    found = agent.parameters.layout.views(gradient)
    for name, parameter in network.layer.named_parameters():
        np.testing.assert_allclose(found[name], parameter.grad.numpy(), rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("recurrent", ["lstm", "gru"])
def test_gradients_of_minibatches_of_environments_average_to_that_of_the_rollout(recurrent):
    agent, observations, targets, unroll = recurrent_batch(recurrent=recurrent)
    whole = agent._gradient_of_rows(observations, targets, unroll)[0].copy()
    parts, visited = [], []
    for rows, sequences in minibatches(unroll, 16, np.random.default_rng(0)):
        parts.append(agent._gradient_of_rows(observations[rows], targets[rows], sequences)[0].copy())
        visited.extend(rows.tolist())
    assert sorted(visited) == list(range(32))
    assert visited[:2] != [0, 1], "environments are shuffled"
    assert len(parts) == 2
    np.testing.assert_allclose(np.mean(parts, axis=0), whole, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("recurrent", ["lstm", "gru"])
def test_policy_that_played_has_a_ratio_of_1_in_every_sequence(recurrent):
    agent, *_ = recurrent_batch(recurrent=recurrent)
    agent.parameters.views["actor_head.weight"][:] *= 100  # initial weights hardly tell observations apart
    agent.collector.collect(agent._act)
    rollout = agent.collector.collect(agent._act)
    observations = rollout.transitions(rollout.observations)
    targets = agent._targets(rollout, observations, rollout.unroll)
    for rows, sequences in minibatches(rollout.unroll, 8, np.random.default_rng(0)):
        terms = agent._gradient_of_rows(observations[rows], targets[rows], sequences)[1]
        assert terms[3] == pytest.approx(0, abs=1e-5) and terms[4] == 0


def test_probabilities_of_a_policy_that_is_certain_stay_finite():
    outputs, actions = np.float32([[200, 0], [200, 0]]), np.array([0, 1])
    distribution = action_distribution(Discrete(2))
    old_log_probs = distribution(outputs).log_prob(actions)
    np.testing.assert_allclose(old_log_probs, scipy.special.log_softmax(outputs, axis=1)[range(2), actions])
    targets = PPOTargets(actions, np.zeros(2, np.float32), np.ones(2, np.float32), old_log_probs, np.zeros(2))
    found = PPOLoss(distribution, "squared", 0.5, 0.0, 0.2)(outputs, np.zeros(2, np.float32), targets, 2)
    assert np.isfinite(found.grad_outputs).all() and np.isfinite(found.terms).all()


def test_a_loss_that_is_not_finite_changes_nothing():
    agent = make_agent()
    before = agent.parameters.vector.copy()
    agent.parameters.vector[:] = before * np.float32(1e30)
    with pytest.raises(NonFiniteError, match="not finite"):
        agent.update()


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"minibatch_size": 0}, "minibatch_size"),
        ({"recurrent": "lstm", "minibatch_size": 300}, "minibatch_size=300 .* num_steps=128 .* nearest size is 256"),
        ({"recurrent": "gru", "num_envs": 6, "minibatch_size": 512}, "num_envs=6 in each; the nearest size is 384"),
        ({"recurrent": "lstm", "minibatch_size": 64}, "whole environments .* nearest size is 128"),
        ({"clip_range": 0}, "clip_range"),
        ({"num_epochs": 0}, "num_epochs"),
    ],
)
def test_hyper_parameters_out_of_range_are_rejected_in_one_line(changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make_config({"algo": "ppo", **changes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes", [{"minibatch_size": 10**6}, {"num_envs": 1}, {"num_envs": 6, "minibatch_size": 384}]
)
def test_recurrent_minibatches_of_whole_environments_are_accepted(changes):
    assert make_config({"algo": "ppo", "recurrent": "lstm", **changes}).recurrent == "lstm"


def test_recurrent_network_that_no_hyper_parameter_names_needs_whole_environments():
    with pytest.raises(ConfigError, match=r"minibatch_size=300 with a network of .* nearest size is 256"):
        make_config({"algo": "ppo", "minibatch_size": 300}).require_whole_environments("a network of one's own")


@pytest.mark.slow
def test_cartpole_without_velocities_is_learned_by_recurrent_networks():
    """Feed-forward policies reach 45 there."""
    changes = {
        "recurrent": "lstm",
        "seed": 11,
        "hidden_sizes": (64,),
        "shared_torso": True,
        "total_steps": 100_000,
    }
    returns = []
    with paddle_ac.make("ppo", "paddle_ac.envs.cartpole:CartPolePositions-v1", **changes) as agent:
        while not agent.is_done:
            returns += agent.update()["charts/episode_return"]
    assert np.mean(returns[-30:]) > 440


def test_cartpole_is_learned_within_60_000_steps():
    with paddle_ac.make("ppo", "CartPole-v1", seed=3, total_steps=100_000) as agent:
        returns = []
        while agent.env_steps < 66_000:
            returns += agent.update()["charts/episode_return"]
    assert np.mean(returns[-20:]) > 450
