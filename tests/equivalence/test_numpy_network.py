"""The network in NumPy is the network in Paddle: the same actions, values, loss and gradient."""

from __future__ import annotations

import itertools

import numpy as np
import paddle
import pytest
import scipy.special
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

from paddle_ac.learning.gradient import BLOCK_SIZE, differentiate
from paddle_ac.losses.actor_critic import ActorCriticLoss, Targets
from paddle_ac.nn.actions import log_softmax
from paddle_ac.nn.unroll import Unroll
from tests.paddle_distributions import Categorical, make_distribution
from tests.paddle_losses import actor_critic_loss
from tests.paddle_networks import ReferenceNetwork

SPACES = {
    "box": (Box(-1, 1, (2, 3)), np.random.default_rng(0).normal(size=(7, 2, 3)).astype(np.float32)),
    "discrete": (Discrete(5), np.random.default_rng(0).integers(5, size=7)),
    "multi": (MultiDiscrete([2, 3]), np.random.default_rng(0).integers(2, size=(7, 2))),
}
ACTIONS = {
    "discrete": Discrete(4),
    "box": Box(np.float32([[-1, 100], [0, -3]]), np.float32([[2, 200], [np.inf, 1]])),
    "multi": MultiDiscrete([[2, 3], [1, 4]]),
    "binary": MultiBinary([2, 2]),
}
TERMS = ("actor", "critic", "entropy")
NETWORKS = [
    *itertools.product(SPACES, ["discrete"], [(), (8,), (8, 16)], ["tanh", "relu"], [False, True], [False]),
    *itertools.product(["box"], ["box", "multi", "binary"], [(), (8, 16)], ["tanh"], [False, True], [False]),
    *itertools.product(["box"], ["box"], [(8, 16)], ["tanh"], [False, True], [True]),
]


@pytest.fixture(params=NETWORKS, ids=lambda network: "-".join(map(str, network)))
def networks(request):
    """A Paddle network with weights large enough for its outputs to matter, its NumPy twin, and observations."""
    space_name, actions, hidden_sizes, activation, shared_torso, dependent = request.param
    space, observations = SPACES[space_name]
    network = ReferenceNetwork(
        space,
        ACTIONS[actions],
        hidden_sizes,
        activation=activation,
        shared_torso=shared_torso,
        initialization="xavier",
        state_dependent_std=dependent,
        generator=np.random.default_rng(3),
    )
    vector = network.parameters.vector
    vector += np.random.default_rng(1).normal(scale=0.3, size=vector.shape).astype(np.float32)
    return network, network.twin(), observations


def loss_of(network, observations, targets, unroll=None, critic_loss="squared", value_coef=0.4, entropy_coef=0.3):
    """The loss of a NumPy network: terms and total by name, values, and the gradient ``[P]``."""
    loss = ActorCriticLoss(network.distribution, critic_loss, value_coef, entropy_coef, network.q_critic)
    gradient = np.full_like(network.parameters.vector, np.nan)
    unroll = unroll or Unroll.of_one_step(network.initial_state(len(observations)))
    terms, values = differentiate(
        network, loss, observations, targets, network.parameters.layout.views(gradient), unroll
    )
    return {**dict(zip(TERMS, terms, strict=True)), "total": loss.total(terms)}, values, gradient


def test_actions_and_values_are_the_same(networks):
    network, twin, observations = networks
    np.testing.assert_allclose(twin.values(observations), network.values(observations), atol=1e-5)
    np.testing.assert_allclose(twin.act(observations), network.act(observations), rtol=1e-5, atol=1e-5)
    drawn = [policy.act(observations, np.random.default_rng(5)) for policy in (twin, network)]
    np.testing.assert_allclose(*drawn, rtol=1e-5, atol=1e-5)
    assert drawn[0].shape == (7, *network.action_space.shape)
    assert drawn[0].dtype == network.action_space.dtype
    network.parameters.vector *= -1
    np.testing.assert_allclose(twin.values(observations), network.values(observations), atol=1e-5)


@pytest.mark.parametrize("with_advantages", [False, True])
def test_the_loss_and_its_gradient_are_those_of_automatic_differentiation(networks, with_advantages):
    network, twin, observations = networks
    generator = np.random.default_rng(2)
    actions = network.act(observations, generator)
    returns, advantages = generator.normal(size=(2, 7)).astype(np.float32)
    advantages = advantages if with_advantages else None
    found, found_values, gradient = loss_of(twin, observations, Targets(actions, returns, advantages))

    outputs, values = network(observations)
    policy = make_distribution(network.action_space, outputs)
    given = None if advantages is None else paddle.to_tensor(advantages)
    loss = actor_critic_loss(policy, values, paddle.to_tensor(actions), paddle.to_tensor(returns), 0.4, 0.3, given)
    loss.total.backward()
    for name in ("total", *TERMS):
        assert found[name] == pytest.approx(getattr(loss, name).item(), rel=1e-5, abs=2e-6), name
    np.testing.assert_allclose(found_values, values.numpy(), atol=1e-5)
    np.testing.assert_allclose(gradient, network.take_gradient(), rtol=1e-4, atol=5e-6)


@pytest.mark.parametrize("q_critic", [False, True])
@pytest.mark.parametrize("shared_torso", [False, True])
@pytest.mark.parametrize("critic_loss", ["squared", "smooth_l1"])
def test_every_critic_is_differentiated_as_paddle_does(critic_loss, shared_torso, q_critic):
    generator = np.random.default_rng(2)
    space = Box(-1, 1, (4,))
    options = {"shared_torso": shared_torso, "initialization": "xavier", "q_critic": q_critic}
    network = ReferenceNetwork(space, Discrete(3), (16,), generator=generator, **options)
    twin = network.twin()
    observations = generator.normal(size=(30, 4)).astype(np.float32)
    actions, returns = generator.integers(3, size=30), generator.normal(0, 3, 30).astype(np.float32)
    targets = Targets(actions, returns)
    found, _, gradient = loss_of(twin, observations, targets, None, critic_loss, 0.7, 0.2)

    logits, values = network(observations)
    advantages = None
    if q_critic:
        np.testing.assert_allclose(twin.values(observations), network.values(observations), atol=1e-5)
        expected = (paddle.nn.functional.softmax(logits) * values).sum(axis=-1)
        np.testing.assert_allclose(twin.values(observations), expected.numpy(), atol=1e-5)
        values = paddle.take_along_axis(values, paddle.to_tensor(actions).unsqueeze(-1), axis=-1).squeeze(-1)
        advantages = (values - expected).detach()
    policy, returned = Categorical(logits), paddle.to_tensor(returns)
    loss = actor_critic_loss(policy, values, paddle.to_tensor(actions), returned, 0.7, 0.2, advantages, critic_loss)
    loss.total.backward()
    for name in ("total", *TERMS):
        assert found[name] == pytest.approx(getattr(loss, name).item(), rel=1e-5, abs=2e-6), name
    np.testing.assert_allclose(gradient, network.take_gradient(), rtol=1e-4, atol=5e-6)


@pytest.mark.parametrize("q_critic", [False, True])
@pytest.mark.parametrize("shared_torso", [False, True])
@pytest.mark.parametrize("hidden_sizes", [(), (8,)])
@pytest.mark.parametrize("recurrent", ["lstm", "gru"])
def test_networks_that_remember_are_differentiated_as_paddle_does(recurrent, hidden_sizes, shared_torso, q_critic):
    generator = np.random.default_rng(2)
    network = ReferenceNetwork(
        Box(-1, 1, (4,)),
        Discrete(3),
        hidden_sizes,
        shared_torso=shared_torso,
        initialization="xavier",
        q_critic=q_critic,
        recurrent=recurrent,
        recurrent_size=5,
        generator=generator,
    )
    vector = network.parameters.vector
    vector += generator.normal(scale=0.3, size=vector.shape).astype(np.float32)
    twin = network.twin()
    num_steps, num_envs = 120, 3  # more rows than a block of others has
    assert twin.state_size == network.state_size == 5 * {"lstm": 2, "gru": 1}[recurrent] * (2 - shared_torso)
    state = generator.normal(size=(num_envs, twin.state_size)).astype(np.float32)
    unroll = Unroll(state, generator.random((num_steps, num_envs)) < 0.1)
    batch_size = num_steps * num_envs
    assert batch_size > BLOCK_SIZE
    observations = generator.normal(size=(batch_size, 4)).astype(np.float32)
    actions, returns = generator.integers(3, size=batch_size), generator.normal(size=batch_size).astype(np.float32)
    found, _, gradient = loss_of(twin, observations, Targets(actions, returns), unroll)

    logits, values = network(observations, unroll)
    np.testing.assert_allclose(twin.values(observations, unroll), network.values(observations, unroll), atol=1e-5)
    advantages = None
    if q_critic:
        expected = (paddle.nn.functional.softmax(logits) * values).sum(axis=-1)
        values = paddle.take_along_axis(values, paddle.to_tensor(actions).unsqueeze(-1), axis=-1).squeeze(-1)
        advantages = (values - expected).detach()
    policy, returned = Categorical(logits), paddle.to_tensor(returns)
    loss = actor_critic_loss(policy, values, paddle.to_tensor(actions), returned, 0.4, 0.3, advantages)
    loss.total.backward()
    assert found["total"] == pytest.approx(loss.total.item(), rel=1e-5)
    np.testing.assert_allclose(gradient, network.take_gradient(), rtol=1e-4, atol=5e-6)

    states = [state.copy(), state.copy()]
    drawn = [
        policy.act(observations[:3], np.random.default_rng(5), memory)
        for policy, memory in zip((network, twin), states, strict=True)
    ]
    np.testing.assert_array_equal(*drawn)
    np.testing.assert_allclose(*states, atol=1e-6)
    assert np.abs(states[0] - state).max(axis=0).all(), "every number of the state is brought up to date"
    at_first = [policy.values(observations) for policy in (network, twin)]
    np.testing.assert_allclose(*at_first, atol=1e-5)


def test_a_batch_of_several_blocks_is_differentiated_as_a_whole():
    generator = np.random.default_rng(2)
    network = ReferenceNetwork(Box(-1, 1, (4,)), Discrete(3), (16, 16), initialization="xavier", generator=generator)
    twin = network.twin()
    batch_size = 2 * BLOCK_SIZE + 77
    observations = generator.normal(size=(batch_size, 4)).astype(np.float32)
    actions, returns = generator.integers(3, size=batch_size), generator.normal(size=batch_size).astype(np.float32)
    found, found_values, gradient = loss_of(twin, observations, Targets(actions, returns))
    logits, values = network(observations)
    loss = actor_critic_loss(
        Categorical(logits), values, paddle.to_tensor(actions), paddle.to_tensor(returns), 0.4, 0.3
    )
    loss.total.backward()
    assert found["total"] == pytest.approx(loss.total.item(), rel=1e-5)
    np.testing.assert_allclose(found_values, values.numpy(), atol=1e-5)
    np.testing.assert_allclose(gradient, network.take_gradient(), rtol=1e-4, atol=2e-6)


def test_log_softmax_is_scipys_however_large_the_logits():
    logits = np.array([[0, 1, 2], [1e4, 0, -1e4], [-1e4, -1e4, -1e4]], np.float32)
    np.testing.assert_allclose(log_softmax(logits), scipy.special.log_softmax(logits, axis=-1), rtol=1e-6)
