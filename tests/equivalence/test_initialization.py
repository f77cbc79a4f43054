"""Initial weights: their distributions, their source, and what they leave alone."""

import math

import numpy as np
import paddle
import pytest
from gymnasium.spaces import Box, Discrete
from scipy import stats

from paddle_ac.algorithms.policy import make_network
from paddle_ac.algorithms.sac import SAC
from paddle_ac.config import make_config
from paddle_ac.nn.continuous_networks import DeterministicActor, SquashedGaussianActor, StackedCritics
from paddle_ac.nn.description import describe_inputs
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.initialization import orthogonal, uniform_by_inputs, weights_generator, xavier
from paddle_ac.nn.paddle_parameters import flatten_parameters
from tests.paddle_networks import ReferenceNetwork

BOX = Box(-1, 1, (3,), np.float32)
INPUTS = describe_inputs(BOX)[0], ObservationEncoder(BOX)


@pytest.mark.parametrize("gain", [1.0, math.sqrt(2), 0.01])
@pytest.mark.parametrize("shape", [(64, 64), (4, 64), (64, 2), (256, 1), (1, 1)])
def test_orthogonal_weights_satisfy_their_definition(shape, gain):
    weight = orthogonal(np.random.default_rng(0), shape, gain)
    assert weight.shape == shape and weight.dtype == np.float32
    short = weight.astype(np.float64) if shape[0] <= shape[1] else weight.T.astype(np.float64)
    np.testing.assert_allclose(short @ short.T, gain**2 * np.eye(len(short)), atol=1e-6 * gain**2)


def test_orthogonal_weights_are_uniform_over_orthogonal_matrices():
    """As SciPy's Haar-distributed matrices: the first entry has the same distribution, and both determinants occur."""
    generator, haar = np.random.default_rng(0), stats.ortho_group(3, seed=1)
    matrices = np.array([orthogonal(generator, (3, 3)) for _ in range(2000)])
    assert stats.ks_2samp(matrices[:, 0, 0], haar.rvs(2000)[:, 0, 0]).pvalue > 0.01
    assert 0.45 < (np.linalg.det(matrices) > 0).mean() < 0.55


@pytest.mark.parametrize(
    "draw,bound",
    [
        (lambda generator: xavier(generator, (40, 80)), math.sqrt(6 / 120)),
        (lambda generator: uniform_by_inputs(generator, (2, 40, 80), 40), 1 / math.sqrt(40)),
    ],
    ids=["xavier", "uniform_by_inputs"],
)
def test_uniform_weights_fill_their_bounds_evenly(draw, bound):
    weights = draw(np.random.default_rng(0)).ravel()
    assert weights.dtype == np.float32
    assert stats.kstest(weights, stats.uniform(-bound, 2 * bound).cdf).pvalue > 0.01


def built_in(*arguments, **options):
    return lambda generator: ReferenceNetwork(BOX, *arguments, generator=generator, **options).layer


NETWORKS = {
    "orthogonal": built_in(Discrete(4), (16, 8)),
    "xavier": built_in(Discrete(4), (8,), initialization="xavier"),
    "lstm": built_in(Discrete(4), (8,), recurrent="lstm"),
    "gru": built_in(BOX, (8,), shared_torso=True, recurrent="gru"),
    "sac actor": lambda generator: SquashedGaussianActor(BOX, BOX, (8,), generator=generator),
    "td3 actor": lambda generator: DeterministicActor(BOX, BOX, (8,), generator=generator),
    "critics": lambda generator: StackedCritics(*INPUTS, 3, 2, (8,), generator=generator),
}
EVERY_NETWORK = pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)


@EVERY_NETWORK
def test_weights_depend_on_the_generator_alone(make):
    def vector(seed, paddles_seed):
        paddle.seed(paddles_seed)
        return flatten_parameters(make(np.random.default_rng(seed))).vector

    np.testing.assert_array_equal(vector(3, 0), vector(3, 1))
    assert not np.array_equal(vector(3, 0), vector(4, 0))


@EVERY_NETWORK
def test_networks_without_a_generator_differ(make):
    assert not np.array_equal(flatten_parameters(make(None)).vector, flatten_parameters(make(None)).vector)


@EVERY_NETWORK
def test_a_network_leaves_the_global_generators_alone(make):
    paddle.seed(5)
    np.random.seed(5)
    expected = paddle.rand([4]).numpy(), np.random.rand(4)
    paddle.seed(5)
    np.random.seed(5)
    make(np.random.default_rng(0))
    make(None)
    np.testing.assert_array_equal(paddle.rand([4]).numpy(), expected[0])
    np.testing.assert_array_equal(np.random.rand(4), expected[1])


def test_every_layer_has_weights_of_its_own():
    for make in NETWORKS.values():
        weights = [view for view in flatten_parameters(make(np.random.default_rng(0))).views.values() if view.any()]
        firsts = [float(weight.ravel()[0]) for weight in weights]
        assert len(set(firsts)) == len(firsts)


def test_both_critics_start_from_weights_of_their_own():
    for name, view in flatten_parameters(NETWORKS["critics"](np.random.default_rng(0))).views.items():
        assert not np.array_equal(view[0], view[1]), name


def test_recurrent_weights_are_orthogonal_and_their_biases_0():
    network = NETWORKS["lstm"](np.random.default_rng(0))
    for memory in (network.actor_memory, network.critic_memory):
        for weights in (memory.weight_ih.numpy(), memory.weight_hh.numpy()):
            assert weights.shape == (4 * 64, weights.shape[1])
            np.testing.assert_allclose(weights.T @ weights, np.eye(weights.shape[1]), atol=1e-5)
        assert not memory.bias_ih.numpy().any() and not memory.bias_hh.numpy().any()


@pytest.mark.parametrize("algo", ["a2c", "sac"])
def test_the_seed_of_a_configuration_decides_the_weights(algo):
    def vector(seed):
        config = make_config({"algo": algo, "seed": seed})
        if algo == "sac":
            return flatten_parameters(SAC.make_policy(config, BOX, BOX)).vector
        return make_network(config, BOX, BOX).parameters.vector

    np.testing.assert_array_equal(vector(3), vector(3))
    assert not np.array_equal(vector(3), vector(4))


def test_weights_have_streams_that_actions_and_environments_do_not_use():
    def first(generator):
        return int(generator.integers(2**63))

    weights = {first(weights_generator(7, network)) for network in range(3)}
    others = {first(np.random.default_rng((7, *key))) for key in ((), (1,), (2,), (1, 2, 3), (2, 0, 0, 1))}
    assert len(weights) == 3 and not weights & others
