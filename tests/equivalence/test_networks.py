"""Networks: their shapes, sizes, initial weights and outputs, and their parameters as one vector."""

from __future__ import annotations

import gc
import math

import numpy as np
import paddle
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from gymnasium.spaces.utils import flatten

from paddle_ac.algorithms.policy import make_network
from paddle_ac.config import make_config
from paddle_ac.errors import ConfigError
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.paddle_network import layer_of
from paddle_ac.nn.paddle_parameters import flatten_parameters, values_of
from tests.paddle_networks import ReferenceNetwork, built_in_layer

BOX = Box(-10, 10, (3,), np.float32)
SHARING = pytest.mark.parametrize("shared_torso", [False, True], ids=["separate", "shared"])


def random_observations(batch_size=16, shape=(3,)):
    return np.random.default_rng(0).normal(size=(batch_size, *shape)).astype(np.float32)


def layers_to(head, shared_torso):
    """Names of the layers from the observation to a head, with two hidden layers (an activation is after each)."""
    torso = "actor" if shared_torso else head
    return [f"{torso}_torso.0", f"{torso}_torso.2", f"{head}_head"]


@SHARING
@pytest.mark.parametrize("hidden_sizes", [(), (5,), (4, 7, 3)])
def test_there_is_a_logit_for_each_action_and_one_value_for_each_observation(shared_torso, hidden_sizes):
    network = ReferenceNetwork(BOX, Discrete(4), hidden_sizes, shared_torso=shared_torso)
    logits, values = network(random_observations(6))
    assert (logits.shape, values.shape) == ([6, 4], [6])
    assert (logits.dtype, values.dtype) == (paddle.float32, paddle.float32)
    assert network.values(random_observations(6)).tolist() == values.tolist()


@pytest.mark.parametrize("shared_torso,expected", [(False, 2 * (16 + 25) + 12 + 6), (True, 16 + 25 + 12 + 6)])
def test_a_shared_torso_exists_once_and_separate_ones_twice(shared_torso, expected):
    network = ReferenceNetwork(BOX, Discrete(2), (4, 5), shared_torso=shared_torso)
    assert sum(weight.size for weight in network.weights().values()) == expected
    assert network.parameters.vector.size == expected


@SHARING
def test_the_critic_reaches_the_actors_layers_only_where_they_are_shared(shared_torso):
    network = ReferenceNetwork(BOX, Discrete(2), (4, 5), shared_torso=shared_torso)
    network(random_observations())[1].sum().backward()
    gradient = network.layer.actor_torso[0].weight.grad
    assert (gradient is not None and bool(gradient.numpy().any())) == shared_torso


@SHARING
@pytest.mark.parametrize("activation,function", [("tanh", np.tanh), ("relu", lambda x: np.maximum(x, 0))])
def test_forward_is_the_multilayer_perceptron_of_its_weights(shared_torso, activation, function):
    paddle.seed(0)
    generator = np.random.default_rng(0)
    options = {"activation": activation, "shared_torso": shared_torso, "initialization": "xavier"}
    network = ReferenceNetwork(BOX, Discrete(4), (32, 8), generator=generator, **options)
    for parameter in network.layer.parameters():  # biases other than 0 too
        parameter.set_value(parameter + paddle.uniform(parameter.shape, min=-0.5, max=0.5))
    observations, weights = random_observations(), network.weights()

    def outputs(head):
        first, second, last = layers_to(head, shared_torso)
        features = observations.astype(np.float64)
        for layer in (first, second):
            features = function(features @ weights[f"{layer}.weight"] + weights[f"{layer}.bias"])
        return features @ weights[f"{last}.weight"] + weights[f"{last}.bias"]

    logits, values = network(observations)
    np.testing.assert_allclose(logits.numpy(), outputs("actor"), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(values.numpy(), outputs("critic")[:, 0], rtol=1e-5, atol=1e-5)


@SHARING
def test_orthogonal_weights_are_orthogonal_with_the_gains_of_baselines(shared_torso):
    weights = ReferenceNetwork(BOX, Discrete(4), (16, 8), shared_torso=shared_torso).weights()
    for head, gain_of_head in (("actor", 0.01), ("critic", 1)):
        for layer, gain in zip(layers_to(head, shared_torso), (math.sqrt(2), math.sqrt(2), gain_of_head), strict=True):
            weight = weights[f"{layer}.weight"].astype(np.float64)
            short = weight if len(weight) <= len(weight.T) else weight.T
            np.testing.assert_allclose(short @ short.T, gain**2 * np.eye(len(short)), atol=2e-6 * gain**2)


def test_xavier_weights_fill_their_bounds_evenly():
    weights = ReferenceNetwork(Box(-1, 1, (40,)), Discrete(60), (80,), initialization="xavier").weights()
    for name, num_inputs, num_outputs in (
        ("actor_torso.0", 40, 80),
        ("critic_torso.0", 40, 80),
        ("actor_head", 80, 60),
        ("critic_head", 80, 1),
    ):
        weight, bound = weights[f"{name}.weight"], math.sqrt(6 / (num_inputs + num_outputs))
        assert weight.shape == (num_inputs, num_outputs)
        assert 0.9 * bound < np.abs(weight).max() <= bound
        assert weight.std() == pytest.approx(bound / math.sqrt(3), rel=0.2)


@pytest.mark.parametrize("initialization", ["orthogonal", "xavier"])
def test_biases_start_at_0(initialization):
    weights = ReferenceNetwork(BOX, Discrete(4), (16, 8), initialization=initialization).weights()
    biases = [weight for name, weight in weights.items() if name.endswith(".bias")]
    assert len(biases) == 6 and not any(bias.any() for bias in biases)


def test_actor_and_critic_start_from_weights_of_their_own():
    network = ReferenceNetwork(BOX, Discrete(4), (16,)).layer
    assert not np.array_equal(network.actor_torso[0].weight.numpy(), network.critic_torso[0].weight.numpy())


SPACES = [
    Box(-10, 10, (2, 3), np.float32),
    Box(0, 200, (2, 2, 3), np.uint8),
    Box(-10, 10, (4,), np.float64),
    Discrete(5),
    Discrete(4, start=-2),
    Discrete(3, start=7),
    MultiDiscrete([3, 2, 4]),
    MultiDiscrete([3, 2], start=[5, -1]),
    MultiDiscrete([[2, 3], [4, 1]]),
    MultiBinary(4),
    MultiBinary((2, 3)),
]
EVERY_SPACE = pytest.mark.parametrize("space", SPACES, ids=lambda space: " ".join(str(space).split()))


@EVERY_SPACE
def test_observations_are_encoded_as_gymnasium_flattens_them(space):
    space.seed(0)
    observations = np.array([space.sample() for _ in range(30)])
    encode = ObservationEncoder(space)
    features = encode(observations)
    assert features.dtype == np.float32
    assert features.shape == (30, encode.num_features)
    np.testing.assert_array_equal(features, np.array([flatten(space, each) for each in observations], np.float32))


def test_discrete_observations_are_one_hot_from_their_start():
    encode = ObservationEncoder(Discrete(3, start=2))
    assert encode(np.array([2, 4, 3])).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    encode = ObservationEncoder(MultiDiscrete([2, 3]))
    assert encode(np.array([[1, 0], [0, 2]])).tolist() == [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]


def test_a_box_without_dimensions_is_one_feature():
    encode = ObservationEncoder(Box(-1, 1, (), np.float32))
    assert encode(np.array([0.5, -1], np.float32)).tolist() == [[0.5], [-1]]


@EVERY_SPACE
def test_a_network_takes_every_space_it_is_made_for(space):
    space.seed(0)
    logits, values = ReferenceNetwork(space, Discrete(3), (8,))(np.array([space.sample() for _ in range(5)]))
    assert np.isfinite(logits.numpy()).all() and np.isfinite(values.numpy()).all()


def decided_network():
    """Logits are the observation itself."""
    network = ReferenceNetwork(BOX, Discrete(3), ())
    network.layer.actor_head.weight.set_value(np.eye(3, dtype=np.float32))
    return network


def test_without_a_generator_the_most_probable_action_is_taken():
    observations = random_observations(50)
    actions = decided_network().act(observations)
    assert actions.dtype == np.int64
    np.testing.assert_array_equal(actions, observations.argmax(axis=1))


def test_with_a_generator_actions_are_drawn_from_the_policy():
    network, observations = decided_network(), np.tile(np.log([[0.6, 0.3, 0.1]]), (20_000, 1))
    actions = network.act(observations, np.random.default_rng(0))
    assert actions.shape == (20_000,) and actions.dtype == np.int64
    np.testing.assert_allclose(np.bincount(actions) / 20_000, [0.6, 0.3, 0.1], atol=0.012)
    np.testing.assert_array_equal(network.act(observations, np.random.default_rng(0)), actions)
    assert not np.array_equal(network.act(observations, np.random.default_rng(1)), actions)


@SHARING
def test_parameters_keep_their_values_and_order_as_they_move_into_the_vector(shared_torso):
    layer = built_in_layer(BOX, Discrete(2), hidden_sizes=(4, 5), shared_torso=shared_torso)
    weights, observations = values_of(layer), random_observations()
    outputs_before = [output.numpy() for output in layer(observations)]
    parameters = flatten_parameters(layer)
    assert list(parameters.views) == list(weights)
    np.testing.assert_array_equal(parameters.vector, np.concatenate([weight.ravel() for weight in weights.values()]))
    for before, after in zip(outputs_before, layer(observations), strict=True):
        np.testing.assert_array_equal(before, after.numpy())


def test_the_network_sees_what_is_written_into_the_vector():
    network = ReferenceNetwork(BOX, Discrete(2), (4,))
    parameters = network.parameters
    parameters.vector[...] = 0
    parameters.views["critic_head.bias"][...] = 3
    parameters.views["actor_head.bias"][...] = [1, 2]
    logits, values = network(random_observations(5))
    assert values.tolist() == [3] * 5 and logits.tolist() == [[1, 2]] * 5
    parameters.vector += 1
    assert network.layer.critic_head.bias.tolist() == [4]
    assert all((parameter.numpy() >= 1).all() for parameter in network.layer.parameters())


def test_the_vector_sees_what_is_written_into_the_network():
    network = ReferenceNetwork(BOX, Discrete(2), (4,))
    parameters = network.parameters
    for number, parameter in enumerate(network.layer.parameters()):
        parameter.set_value(paddle.full_like(parameter, number))
    expected = np.concatenate([np.full(view.size, number) for number, view in enumerate(parameters.views.values())])
    np.testing.assert_array_equal(parameters.vector, expected)


def test_the_memory_of_the_parameters_outlives_the_vector():
    layer, observations = built_in_layer(BOX, Discrete(2)), random_observations()
    size = flatten_parameters(layer).vector.size
    before = layer(observations)[0].numpy()
    gc.collect()
    overwriting = [np.full(size, np.nan, np.float32) for _ in range(20)]
    np.testing.assert_array_equal(layer(observations)[0].numpy(), before)
    assert len(overwriting) == 20


@SHARING
def test_take_gradients_gives_the_gradients_of_paddle_in_order_and_clears_them(shared_torso):
    network = ReferenceNetwork(BOX, Discrete(2), (4, 5), shared_torso=shared_torso)

    def loss(scale):
        logits, values = network(random_observations())
        return scale * (logits.square().sum() + values.sum())

    expected = paddle.grad(loss(1), network.layer.parameters())
    expected = np.concatenate([gradient.numpy().ravel() for gradient in expected])
    assert np.abs(expected).max() > 0.1
    loss(1).backward()
    gradient = network.take_gradient()
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)
    loss(2).backward()
    np.testing.assert_allclose(network.take_gradient(), 2 * expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_load_takes_values_by_name():
    source, target = (ReferenceNetwork(BOX, Discrete(2), (4,)).parameters for _ in range(2))
    assert not np.array_equal(source.vector, target.vector)
    vector = target.vector
    target.load(dict(reversed(source.views.items())))
    np.testing.assert_array_equal(target.vector, source.vector)
    assert target.vector is vector and not np.shares_memory(vector, source.vector)


def without(name):
    return lambda values: {key: value for key, value in values.items() if key != name}


@pytest.mark.parametrize(
    "spoil,named",
    [
        (without("critic_head.bias"), "critic_head.bias"),
        (lambda values: {**values, "third_head.bias": np.zeros(1)}, "third_head.bias"),
        (lambda values: {**values, "actor_head.weight": np.zeros((4, 3))}, "actor_head.weight"),
        (lambda values: {**values, "critic_head.bias": np.zeros(())}, "critic_head.bias"),
        (
            lambda values: {**values, "critic_torso.0.weight": values["critic_torso.0.weight"].T},
            "critic_torso.0.weight",
        ),
        (lambda values: {}, "actor_head.bias"),
    ],
    ids=["absent", "unknown", "larger", "without dimensions", "transposed", "empty"],
)
def test_load_refuses_another_networks_parameters_by_name_and_changes_nothing(spoil, named):
    parameters = ReferenceNetwork(BOX, Discrete(2), (4,)).parameters
    before = parameters.vector.copy()
    values = spoil({name: np.full_like(view, 9) for name, view in parameters.views.items()})
    with pytest.raises(ValueError, match="another network") as caught:
        parameters.load(values)
    assert named in str(caught.value) and "\n" not in str(caught.value)
    np.testing.assert_array_equal(parameters.vector, before)


def test_a_configurations_network_is_the_one_that_it_describes():
    space, actions = Box(-1, 1, (3,)), Discrete(2)
    changes = {"activation": "relu", "shared_torso": True, "hidden_sizes": (5, 4), "initialization": "xavier"}
    network = layer_of(make_network(make_config({"algo": "a2c", **changes}), space, actions))
    assert network.critic_torso is network.actor_torso
    assert [type(layer).__name__ for layer in network.actor_torso] == ["Linear", "ReLU", "Linear", "ReLU"]
    assert network.actor_torso[0].weight.shape == [3, 5] and network.actor_head.weight.shape == [4, 2]
    for refused in (Discrete(2, start=1), MultiDiscrete([2, 2], start=[0, 1])):
        with pytest.raises(ConfigError, match="action spaces that begin at 0; the action space of"):
            make_network(make_config({"algo": "a2c"}), space, refused)
