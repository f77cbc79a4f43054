"""Actors and critics of continuous actions: NumPy against Paddle and its automatic differentiation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import paddle
import pytest
from gymnasium.spaces import Box, Discrete

from paddle_ac.nn.continuous_networks import DeterministicActor, SquashedGaussianActor, StackedCritics
from paddle_ac.nn.numpy_continuous import NumpyDeterministicActor, NumpySquashedGaussianActor, NumpyStackedCritics
from paddle_ac.nn.paddle_parameters import flatten_parameters, take_gradients
from paddle_ac.nn.parameters import FlatParameters
from paddle_ac.nn.threads import SMALLEST_PART, RowThreads
from tests.equivalence.test_backends import OBSERVATIONS, SIDES, assert_close, sampled
from tests.paddle_distributions import SquashedGaussian

BATCH_SIZE = 2 * SMALLEST_PART + 1
ACTIONS = Box(np.float32([-2, 0]), np.float32([2, 3]))
CASES = [
    ("vector", "mlp", (8, 6), "relu"),
    ("vector", "mlp", (), "tanh"),
    ("Discrete", "mlp", (8,), "tanh"),
    ("uint8, channels last", "mlp", (8,), "relu"),
    ("uint8, channels first", "small", (), "relu"),
    ("float", "nature", (8, 6), "relu"),
    ("Dict", "small", (8, 6), "tanh"),
    ("Dict", "8x3x2,4x2x1", (8,), "relu"),
    ("Dict", "impala", (8,), "relu"),
]


class Networks(NamedTuple):
    """A policy and critics in Paddle, and the same in NumPy on the same memory."""

    policy: DeterministicActor | SquashedGaussianActor
    critics: StackedCritics
    actor: NumpyDeterministicActor | NumpySquashedGaussianActor
    twin: NumpyStackedCritics
    parameters: FlatParameters  # of the policy
    critic_parameters: FlatParameters
    observations: np.ndarray  # [B, ...]


def make_networks(case, actor_class, numpy_class, num_critics=2, threads=None) -> Networks:
    observations, encoder, hidden_sizes, activation = case
    space = Discrete(4, start=1) if observations == "Discrete" else OBSERVATIONS[observations](SIDES.get(encoder, 5))
    named = {"conv_layers": encoder} if "x" in encoder else {"encoder": encoder}
    generator = np.random.default_rng(3)
    policy = actor_class(space, ACTIONS, hidden_sizes, activation, generator=generator, **named)
    critics = StackedCritics(policy.inputs, policy.encode, 2, num_critics, hidden_sizes, activation, generator)
    parameters, critic_parameters = flatten_parameters(policy), flatten_parameters(critics)
    for vector in (parameters.vector, critic_parameters.vector):
        vector += generator.normal(scale=0.05, size=vector.shape).astype(np.float32)
    inputs = policy.inputs, policy.encode
    actor = numpy_class(parameters.views, *inputs, policy.scale, activation, threads)
    twin = NumpyStackedCritics(critic_parameters.views, *inputs, activation, threads)
    return Networks(policy, critics, actor, twin, parameters, critic_parameters, sampled(space, BATCH_SIZE))


def make_deterministic(case, num_critics=2, threads=None) -> Networks:
    return make_networks(case, DeterministicActor, NumpyDeterministicActor, num_critics, threads)


def weights_of_loss(*shape):
    return np.random.default_rng(5).normal(size=shape).astype(np.float32)


def expected_gradient(network, parameters: FlatParameters) -> dict[str, np.ndarray]:
    """What Paddle's ``backward`` has left at the parameters."""
    gradient = parameters.layout.views(np.empty_like(parameters.vector))
    take_gradients(network, gradient)
    return gradient


def unset_gradient(parameters: FlatParameters) -> dict[str, np.ndarray]:
    return parameters.layout.views(np.full_like(parameters.vector, np.nan))


def assert_same_gradient(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, gradient in found.items():
        assert_close(gradient, expected[name], name)
        assert expected[name].any(), name


def check_deterministic_actor(networks: Networks) -> None:
    actions = networks.policy(networks.observations)
    grad_actions = weights_of_loss(*actions.shape)
    (actions * paddle.to_tensor(grad_actions)).sum().backward()
    expected = expected_gradient(networks.policy, networks.parameters)
    for _ in range(2):  # the second pass uses the memory of the first
        chosen = networks.actor.choose(networks.observations)
        assert_close(chosen.actions, actions.numpy(), "actions")
        gradient = unset_gradient(networks.parameters)
        networks.actor.backward(chosen, grad_actions, gradient)
        assert_same_gradient(gradient, expected)
    assert len(np.unique(actions.numpy().round(4), axis=0)) > 1
    assert_close(networks.actor.actions(networks.observations), actions.numpy(), "actions")
    no_noise = np.zeros(actions.shape, np.float32)
    acted = networks.policy.act(networks.observations)
    assert_close(networks.actor.act(networks.observations, no_noise), acted, "actions in the Box")
    np.testing.assert_allclose(acted, [0, 1.5] + actions.numpy() * [2, 1.5], rtol=1e-5, atol=1e-6)


def check_critics(networks: Networks) -> None:
    generator = np.random.default_rng(6)
    taken = generator.uniform(-1, 1, (BATCH_SIZE, 2)).astype(np.float32)
    actions = paddle.to_tensor(taken, stop_gradient=False)
    values = networks.critics(networks.observations, actions)
    grad_values = weights_of_loss(*values.shape)
    (values * paddle.to_tensor(grad_values)).sum().backward()
    expected = expected_gradient(networks.critics, networks.critic_parameters)
    for _ in range(2):
        found, tape = networks.twin.forward(networks.observations, taken)
        assert_close(found, values.numpy(), "values")
        gradient = unset_gradient(networks.critic_parameters)
        networks.twin.backward(tape, grad_values.copy(), gradient)
        assert_same_gradient(gradient, expected)
        _, tape = networks.twin.forward(networks.observations, taken)
        assert_close(networks.twin.grad_actions(tape, grad_values.copy()), actions.grad.numpy(), "actions")
    assert_close(networks.twin.values(networks.observations, taken), values.numpy(), "values")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_deterministic_actor_and_its_gradient_are_those_of_paddle(case):
    check_deterministic_actor(make_deterministic(case))


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("num_critics", [1, 2])
def test_critics_and_their_gradients_are_those_of_paddle(case, num_critics):
    networks = make_deterministic(case, num_critics)
    check_critics(networks)
    values = networks.critics(networks.observations, paddle.zeros([BATCH_SIZE, 2])).numpy()
    assert values.shape == (num_critics, BATCH_SIZE)
    assert len(np.unique(values.round(4))) > num_critics, "values depend on the critic and the observation"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gaussian_actor_and_its_gradient_are_those_of_paddle(case):
    networks = make_networks(case, SquashedGaussianActor, NumpySquashedGaussianActor)
    noise = np.random.default_rng(7).standard_normal((BATCH_SIZE, 2), np.float32)
    actions, log_probabilities = SquashedGaussian(*networks.policy(networks.observations)).sample(
        paddle.to_tensor(noise)
    )
    grad_actions = weights_of_loss(BATCH_SIZE, 2)
    ((actions * paddle.to_tensor(grad_actions)).sum() + 0.3 * log_probabilities.sum()).backward()
    expected = expected_gradient(networks.policy, networks.parameters)
    drawn = networks.actor.draw(networks.observations, np.random.default_rng(7))
    assert_close(drawn.actions, actions.numpy(), "actions")
    assert_close(drawn.log_probabilities, log_probabilities.numpy(), "log-probabilities")
    gradient = unset_gradient(networks.parameters)
    networks.actor.backward(drawn, grad_actions, 0.3, gradient)
    assert_same_gradient(gradient, expected)
    for found, right in zip(
        networks.actor.sample(networks.observations, np.random.default_rng(7)),
        (actions, log_probabilities),
        strict=True,
    ):
        assert_close(found, right.numpy(), "sample")
    acted = networks.policy.act(networks.observations, np.random.default_rng(7))
    assert_close(networks.actor.act(networks.observations, noise), acted, "actions in the Box")


def test_threads_that_share_the_rows_of_images_change_no_result():
    threads = RowThreads(2)
    assert len(threads.parts(BATCH_SIZE)) == 2
    networks = make_deterministic(("Dict", "small", (8, 6), "relu"), threads=threads)
    check_deterministic_actor(networks)
    check_critics(networks)


def test_networks_return_the_memory_of_images():
    networks = make_deterministic(("uint8, channels last", "small", (8,), "relu"))
    taken = np.zeros((BATCH_SIZE, 2), np.float32)

    def arrays(network) -> list[int]:
        (encoder,) = network.features.image_encoders
        return sorted(id(array) for free in encoder._free for arrays in free.values() for array in arrays)

    networks.actor.actions(networks.observations)
    networks.twin.backward(
        networks.twin.forward(networks.observations, taken)[1],
        np.ones((2, BATCH_SIZE), np.float32),
        unset_gradient(networks.critic_parameters),
    )
    held = arrays(networks.actor), arrays(networks.twin)
    assert all(held)
    networks.actor.actions(networks.observations)
    networks.twin.values(networks.observations, taken)
    networks.twin.grad_actions(
        networks.twin.forward(networks.observations, taken)[1], np.ones((2, BATCH_SIZE), np.float32)
    )
    assert (arrays(networks.actor), arrays(networks.twin)) == held


@pytest.mark.parametrize("actor_class", [DeterministicActor, SquashedGaussianActor])
def test_initial_weights_are_uniform_by_the_number_of_inputs(actor_class):
    space = OBSERVATIONS["uint8, channels last"](40)
    policy = actor_class(space, ACTIONS, (32,), generator=np.random.default_rng(0), encoder="a3c")
    critics = StackedCritics(policy.inputs, policy.encode, 2, 2, (32,), generator=np.random.default_rng(1))
    assert policy.inputs.num_inputs == 3 * 3 * 32
    fan_ins = {"image_encoders.0.0": 8 * 8 * 3, "image_encoders.0.1": 4 * 4 * 16, "torso.0": 288, "head": 32}
    for network, extra in ((policy, 0), (critics, 2)):
        assert {name.rsplit(".", 1)[0] for name, _ in network.named_parameters()} == set(fan_ins)
        for name, parameter in network.named_parameters():
            values, layer = parameter.numpy(), name.rsplit(".", 1)[0]
            bound = (fan_ins[layer] + (extra if layer == "torso.0" else 0)) ** -0.5
            assert np.abs(values).max() <= bound, name
            if values.size > 1000:
                assert values.std() == pytest.approx(bound / np.sqrt(3), rel=0.05), name
