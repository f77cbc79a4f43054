"""Optimisers and schedules: step for step what the papers' formulas give in double precision."""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest

from paddle_ac.learning.schedules import scheduled_learning_rate
from paddle_ac.nn.optimizers import BLOCK_SIZE, STEPS_BETWEEN_FLUSHES, Adam, RMSProp, TorchRMSProp, clip_by_norm

NUM_STEPS, NUM_PARAMETERS = 50, 6


def random_steps():
    """Parameters to begin at, and gradients of very different sizes with a learning rate for each."""
    generator = np.random.default_rng(0)
    sizes = np.array([1e-3, 1e-2, 0.1, 1, 10, 100])
    gradients = (generator.normal(size=(NUM_STEPS, NUM_PARAMETERS)) * sizes).astype(np.float32)
    learning_rates = generator.uniform(1e-3, 1e-2, NUM_STEPS)
    return generator.normal(size=NUM_PARAMETERS).astype(np.float32), gradients, learning_rates


def rmsprop_reference(parameter, gradients, learning_rates, decay, epsilon):
    mean_square = 1.0
    for gradient, learning_rate in zip(gradients, learning_rates, strict=True):
        mean_square = decay * mean_square + (1 - decay) * gradient**2
        parameter -= learning_rate * gradient / math.sqrt(mean_square + epsilon)
        yield parameter


def torch_rmsprop_reference(parameter, gradients, learning_rates, decay, epsilon):
    mean_square = 0.0
    for gradient, learning_rate in zip(gradients, learning_rates, strict=True):
        mean_square = decay * mean_square + (1 - decay) * gradient**2
        parameter -= learning_rate * gradient / (math.sqrt(mean_square) + epsilon)
        yield parameter


def adam_reference(parameter, gradients, learning_rates, epsilon):
    first, second = 0.0, 0.0
    for step, (gradient, learning_rate) in enumerate(zip(gradients, learning_rates, strict=True), 1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected_first, corrected_second = first / (1 - 0.9**step), second / (1 - 0.999**step)
        parameter -= learning_rate * corrected_first / (math.sqrt(corrected_second) + epsilon)
        yield parameter


def check_against(reference, optimizer, parameters, gradients, learning_rates, **options):
    """Each parameter has a reference of its own, in Python's double precision."""
    references = [
        reference(float(parameter), gradients[:, index].tolist(), learning_rates.tolist(), **options)
        for index, parameter in enumerate(parameters)
    ]
    for gradient, learning_rate in zip(gradients, learning_rates, strict=True):
        optimizer.step(gradient, float(learning_rate))
        np.testing.assert_allclose(parameters, [next(each) for each in references], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("decay,epsilon", [(0.99, 1e-5), (0.9, 0.1), (0.0, 1e-3)])
def test_rmsprop_follows_the_formula(decay, epsilon):
    parameters, gradients, learning_rates = random_steps()
    optimizer = RMSProp(parameters, decay, epsilon)
    check_against(rmsprop_reference, optimizer, parameters, gradients, learning_rates, decay=decay, epsilon=epsilon)


@pytest.mark.parametrize("decay,epsilon", [(0.99, 1e-5), (0.9, 0.1), (0.0, 1e-3)])
def test_torch_rmsprop_follows_the_formula(decay, epsilon):
    parameters, gradients, learning_rates = random_steps()
    optimizer = TorchRMSProp(parameters, decay, epsilon)
    reference = torch_rmsprop_reference
    check_against(reference, optimizer, parameters, gradients, learning_rates, decay=decay, epsilon=epsilon)


def test_torch_rmsprop_takes_the_steps_of_pytorch():
    """Those of ``torch.optim.RMSprop([parameter], lr=0.3, alpha=0.9, eps=0.1)`` in PyTorch 2.13."""
    parameters, found = np.ones(1, np.float32), []
    optimizer = TorchRMSProp(parameters, 0.9, 0.1)
    for gradient in (2, -1, 0):
        optimizer.step(np.array([gradient], np.float32), 0.3)
        found.append(parameters[0])
    assert found == pytest.approx([0.18083763, 0.56632632, 0.56632632], abs=1e-6)


def test_the_mean_square_of_rmsprop_starts_at_1_and_epsilon_is_inside_the_root():
    parameters = np.zeros(1, np.float32)
    RMSProp(parameters, decay=0.75, epsilon=0.5).step(np.array([2], np.float32), 0.3)
    assert parameters[0] == pytest.approx(-0.4)  # 0.3 * 2 / sqrt(0.75 * 1 + 0.25 * 2^2 + 0.5), and the root is 1.5


@pytest.mark.parametrize("epsilon", [1e-8, 1e-5, 0.1])
def test_adam_follows_the_formula(epsilon):
    parameters, gradients, learning_rates = random_steps()
    check_against(adam_reference, Adam(parameters, epsilon), parameters, gradients, learning_rates, epsilon=epsilon)


def test_adam_steps_every_block_of_many_parameters_alike():
    parameters, gradients, learning_rates = random_steps()
    repeats = BLOCK_SIZE // 3  # six parameters over two blocks and a bit
    many = np.repeat(parameters, repeats)
    one, all_of_them = Adam(parameters), Adam(many)
    for gradient, learning_rate in zip(gradients, learning_rates, strict=True):
        one.step(gradient, float(learning_rate))
        all_of_them.step(np.repeat(gradient, repeats), float(learning_rate))
    np.testing.assert_allclose(many, np.repeat(parameters, repeats), rtol=1e-6)


def test_what_adam_remembers_of_a_gradient_that_is_gone_does_not_become_subnormal():
    optimizer = Adam(np.zeros(3, np.float32))
    optimizer.step(np.array([1e-3, 1e-17, 1e-22], np.float32), 1e-3)
    for _ in range(20 * STEPS_BETWEEN_FLUSHES):
        optimizer.step(np.zeros(3, np.float32), 1e-3)
    for name in ("mean", "mean_square"):
        statistic = optimizer.statistics[name]
        assert not ((statistic != 0) & (np.abs(statistic) < np.finfo(np.float32).tiny)).any(), name
    assert optimizer.statistics["mean_square"][0] > 1e-11, "what is large enough is left"


@pytest.mark.parametrize("epsilon", [1e-8, 1e-5, 0.1])
def test_adam_is_the_adam_of_paddle(epsilon):
    parameters, gradients, learning_rates = random_steps()
    theirs = paddle.create_parameter([NUM_PARAMETERS], "float32")
    theirs.set_value(parameters)
    their_optimizer = paddle.optimizer.Adam(0.0, epsilon=epsilon, parameters=[theirs])
    optimizer = Adam(parameters, epsilon)
    for gradient, learning_rate in zip(gradients, learning_rates, strict=True):
        (theirs * paddle.to_tensor(gradient)).sum().backward()
        their_optimizer.set_lr(float(learning_rate))
        their_optimizer.step()
        their_optimizer.clear_grad()
        optimizer.step(gradient, float(learning_rate))
        np.testing.assert_allclose(parameters, theirs.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [RMSProp, Adam])
def test_statistics_are_all_that_an_optimizer_remembers(kind):
    parameters, gradients, learning_rates = random_steps()
    optimizer = kind(parameters)
    for gradient, learning_rate in zip(gradients[:20], learning_rates[:20], strict=True):
        optimizer.step(gradient, learning_rate)
    other_parameters = parameters.copy()
    other = kind(other_parameters)
    for name, statistic in other.statistics.items():
        statistic[...] = optimizer.statistics[name]
    for gradient, learning_rate in zip(gradients[20:], learning_rates[20:], strict=True):
        optimizer.step(gradient, learning_rate)
        other.step(gradient, learning_rate)
    np.testing.assert_array_equal(parameters, other_parameters)


@pytest.mark.parametrize("kind", [RMSProp, Adam])
def test_a_step_changes_the_vector_in_place_in_its_precision_and_leaves_the_gradient(kind):
    network_sized = np.zeros(10, np.float32)
    optimizer = kind(network_sized[:4])
    gradient = np.array([1, -1, 2, 0], np.float32)
    optimizer.step(gradient, 0.1)
    assert np.sign(network_sized).tolist() == [-1, 1, -1, 0, 0, 0, 0, 0, 0, 0]
    assert gradient.tolist() == [1, -1, 2, 0]
    floats = [statistic for name, statistic in optimizer.statistics.items() if name != "num_steps"]
    assert {array.dtype for array in floats} == {np.dtype(np.float32)}


def test_a_gradient_longer_than_the_limit_is_shortened_to_it_in_its_direction():
    gradient = np.array([3, -4, 12], np.float32)
    clipped, norm = clip_by_norm(gradient, 6.5)
    assert norm == 13
    np.testing.assert_allclose(clipped, [1.5, -2, 6], rtol=1e-6)
    assert clipped is gradient and clipped.dtype == np.float32


@pytest.mark.parametrize("max_norm", [13, 13.5, 1e9])
def test_a_gradient_within_the_limit_stays_as_it_is(max_norm):
    clipped, norm = clip_by_norm(np.array([3, -4, 12], np.float32), max_norm)
    assert norm == 13 and clipped.tolist() == [3, -4, 12]


def test_a_gradient_of_nothing_has_no_norm_and_stays():
    clipped, norm = clip_by_norm(np.zeros(3, np.float32), 0.5)
    assert norm == 0 and clipped.tolist() == [0, 0, 0]


@pytest.mark.parametrize("entry", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_has_a_norm_that_is_not(entry):
    with np.errstate(invalid="ignore"):
        assert not np.isfinite(clip_by_norm(np.array([1, entry], np.float32), 0.5)[1])


@pytest.mark.parametrize("env_steps", [0, 1, 999, 10**9])
def test_a_constant_learning_rate_is_constant(env_steps):
    assert scheduled_learning_rate("constant", 0.25, env_steps, 100, 0.5) == 0.25


@pytest.mark.parametrize("env_steps,expected", [(0, 8), (1, 7.92), (25, 6), (50, 4), (99, 0.08), (100, 0), (250, 0)])
def test_a_linear_learning_rate_falls_to_0_and_stays_there(env_steps, expected):
    assert scheduled_learning_rate("linear", 8.0, env_steps, 100, 0.5) == pytest.approx(expected)


@pytest.mark.parametrize("env_steps,expected", [(0, 8), (99, 8), (100, 4), (101, 4), (199, 4), (200, 2), (300, 1)])
def test_a_step_learning_rate_falls_by_its_factor_at_every_multiple_and_nowhere_else(env_steps, expected):
    assert scheduled_learning_rate("step", 8.0, env_steps, 100, 0.5) == pytest.approx(expected)
