"""Action distributions: the numbers of SciPy, at the extremes too, and draws with the right frequencies."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import scipy.special
import scipy.stats

from paddle_ac.nn.categorical import sample_categorical
from paddle_ac.nn.distributions import Categorical

LOGITS = np.array([1.5, -0.5, 0.25, 0.0, -2.0], np.float32)
EXTREMES = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4], [-1e4, 1e4, 1e4]], np.float32)


def random_logits(batch_size=64, num_actions=6):
    return np.random.default_rng(0).normal(0, 3, (batch_size, num_actions)).astype(np.float32)


def test_log_prob_is_that_of_the_softmax():
    logits = random_logits()
    actions = np.random.default_rng(1).integers(6, size=64)
    expected = scipy.special.log_softmax(logits.astype(np.float64), axis=-1)[np.arange(64), actions]
    found = Categorical(paddle.to_tensor(logits)).log_prob(paddle.to_tensor(actions)).numpy()
    assert found.shape == (64,)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_entropy_is_that_of_the_softmax_in_nats():
    logits = random_logits()
    expected = scipy.stats.entropy(scipy.special.softmax(logits.astype(np.float64), axis=-1), axis=-1)
    found = Categorical(paddle.to_tensor(logits)).entropy().numpy()
    assert found.shape == (64,)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_equal_logits_have_the_largest_entropy_whatever_they_are():
    logits = np.array([[0] * 4, [7] * 4, [-300] * 4], np.float32)
    np.testing.assert_allclose(Categorical(paddle.to_tensor(logits)).entropy().numpy(), np.log(4), rtol=1e-6)


@pytest.mark.parametrize("action", [0, 1, 2])
def test_extreme_logits_give_finite_and_right_numbers_and_gradients(action):
    logits = paddle.to_tensor(EXTREMES, stop_gradient=False)
    policy = Categorical(logits)
    log_prob, entropy = policy.log_prob(paddle.full([4], action, "int64")), policy.entropy()
    log_probabilities = scipy.special.log_softmax(EXTREMES.astype(np.float64), axis=-1)
    probabilities, entropies = np.exp(log_probabilities), np.log([[1], [3], [3], [2]])
    assert np.isfinite(log_prob.numpy()).all()
    # Paddle's log_softmax has a floor of -64: what is less probable than e^-60 only has to be so.
    np.testing.assert_allclose(
        np.maximum(log_prob.numpy(), -60), np.maximum(log_probabilities[:, action], -60), rtol=1e-6
    )
    np.testing.assert_allclose(entropy.numpy(), entropies[:, 0], rtol=1e-6, atol=1e-6)
    (log_prob.sum() + entropy.sum()).backward()
    expected = np.eye(3)[action] - probabilities - probabilities * (log_probabilities + entropies)
    np.testing.assert_allclose(logits.grad.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_draws_have_the_frequencies_of_the_softmax_and_of_nothing_else():
    num_draws = 100_000
    actions = sample_categorical(np.tile(LOGITS, (num_draws, 1)), np.random.default_rng(0))
    assert actions.shape == (num_draws,) and actions.dtype == np.int64
    counts = np.bincount(actions, minlength=5)

    def p_value(logits):
        return scipy.stats.chisquare(counts, num_draws * scipy.special.softmax(logits.astype(np.float64))).pvalue

    assert p_value(LOGITS) > 1e-3
    nearly = LOGITS + np.array([0.05, 0, 0, 0, 0], np.float32)
    for wrong in (nearly, 0.9 * LOGITS, 1.1 * LOGITS, -LOGITS, np.zeros(5)):
        assert p_value(wrong) < 1e-3


def test_rows_are_drawn_independently_each_from_its_own_logits():
    generator = np.random.default_rng(0)
    rows = np.stack([LOGITS, LOGITS[::-1]])
    pairs = np.array([sample_categorical(rows, generator) for _ in range(9000)])
    counts = np.bincount(5 * pairs[:, 0] + pairs[:, 1], minlength=25)
    expected = len(pairs) * np.outer(*scipy.special.softmax(rows.astype(np.float64), axis=-1)).ravel()
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3


def test_a_certain_action_is_always_drawn():
    generator = np.random.default_rng(0)
    for _ in range(50):
        assert sample_categorical(np.array([[1e4, -1e4, 0], [0, 0, 1e4]], np.float32), generator).tolist() == [0, 2]


def test_the_state_of_the_generator_decides_the_draws():
    logits = np.tile(LOGITS, (100, 1))
    generator = np.random.default_rng(7)
    sample_categorical(logits, generator)
    state = generator.bit_generator.state
    following = [sample_categorical(logits, generator) for _ in range(3)]
    restored = np.random.default_rng()
    restored.bit_generator.state = state
    np.testing.assert_array_equal([sample_categorical(logits, restored) for _ in range(3)], following)
    assert not np.array_equal(following[0], following[1])
