"""Action distributions: the numbers of SciPy, at the extremes too, and draws with the right frequencies."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import scipy.special
import scipy.stats
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

from paddle_ac.nn.action_scale import ActionScale
from paddle_ac.nn.actions import action_distribution, clip_for, sample_categorical
from tests.paddle_distributions import Bernoulli, Categorical, Gaussian, MultiCategorical, make_distribution

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


# ------------------------------------------------------------------------------- of other action spaces than Discrete


def random_outputs(num_outputs, batch_size=20):
    return np.random.default_rng(3).normal(0, 1.5, (batch_size, num_outputs)).astype(np.float32)


def test_a_gaussian_is_scipys():
    outputs = random_outputs(6)
    means, stds = outputs[:, :3], np.exp(outputs[:, 3:])
    actions = np.random.default_rng(4).normal(size=(20, 3)).astype(np.float32)
    box = Box(np.float32([-1, 100, -np.inf]), np.float32([1, 200, np.inf]))
    policy = Gaussian(paddle.to_tensor(outputs), ActionScale(box))
    expected = scipy.stats.norm.logpdf(actions, means, stds).sum(axis=1)
    in_box = actions * np.float32([1, 50, 1]) + np.float32([0, 150, 0])
    np.testing.assert_allclose(policy.log_prob(paddle.to_tensor(in_box)).numpy(), expected, rtol=1e-4)
    np.testing.assert_allclose(policy.entropy().numpy(), scipy.stats.norm.entropy(means, stds).sum(axis=1), rtol=1e-5)


def test_several_choices_are_scipys():
    outputs, nvec = random_outputs(9), np.array([4, 2, 3])
    parts = np.split(outputs.astype(np.float64), [4, 6], axis=1)
    actions = np.random.default_rng(4).integers(nvec, size=(20, 3))
    policy = MultiCategorical(paddle.to_tensor(outputs), nvec)
    expected = sum(
        scipy.special.log_softmax(part, axis=1)[range(20), a] for part, a in zip(parts, actions.T, strict=True)
    )
    np.testing.assert_allclose(policy.log_prob(paddle.to_tensor(actions)).numpy(), expected, rtol=1e-4)
    entropies = sum(scipy.stats.entropy(scipy.special.softmax(part, axis=1), axis=1) for part in parts)
    np.testing.assert_allclose(policy.entropy().numpy(), entropies, rtol=1e-5)


def test_switches_are_scipys():
    outputs = random_outputs(5)
    p = scipy.special.expit(outputs.astype(np.float64))
    actions = np.random.default_rng(4).integers(2, size=(20, 5)).astype(np.int8)
    policy = Bernoulli(paddle.to_tensor(outputs))
    expected = scipy.stats.bernoulli.logpmf(actions, p).sum(axis=1)
    np.testing.assert_allclose(policy.log_prob(paddle.to_tensor(actions)).numpy(), expected, rtol=1e-4)
    np.testing.assert_allclose(policy.entropy().numpy(), scipy.stats.bernoulli.entropy(p).sum(axis=1), rtol=1e-4)


@pytest.mark.parametrize(
    "space",
    [
        Box(-1, 1, (2, 2)),
        Box(np.float32([100, -np.inf]), np.float32([200, np.inf])),
        MultiDiscrete([[2, 3], [1, 4]]),
        MultiBinary([2, 2]),
        MultiBinary(3),
    ],
    ids=str,
)
def test_draws_of_every_space_lie_in_it_and_follow_their_distribution(space):
    distribution = action_distribution(space)
    row = random_outputs(distribution.num_outputs, 1)
    num_draws = 40_000
    draws = distribution.sample(np.repeat(row, num_draws, axis=0), np.random.default_rng(0))
    assert draws.shape == (num_draws, *space.shape) and draws.dtype == space.dtype
    assert all(space.contains(action) for action in clip_for(space)(draws[:100]))
    flat = draws.reshape(num_draws, -1)
    if isinstance(space, Box):
        units = distribution.scale.to_units(draws)
        for action, mean, log_std in zip(units.T, *np.split(row[0], 2), strict=True):
            assert scipy.stats.kstest((action - mean) / np.exp(log_std), "norm").pvalue > 1e-3
    else:
        values, counts = np.unique(flat, axis=0, return_counts=True)
        policy = make_distribution(space, paddle.to_tensor(np.repeat(row, len(values), axis=0)))
        p = np.exp(policy.log_prob(paddle.to_tensor(values.reshape(-1, *space.shape))).numpy().astype(np.float64))
        assert p.sum() == pytest.approx(1, abs=1e-3)
        assert scipy.stats.chisquare(counts, num_draws * p / p.sum()).pvalue > 1e-3
    mode = distribution.mode(row)
    log_probs = make_distribution(space, paddle.to_tensor(np.repeat(row, 500, axis=0)))
    everywhere = log_probs.log_prob(paddle.to_tensor(draws[:500])).numpy()
    assert make_distribution(space, paddle.to_tensor(row)).log_prob(paddle.to_tensor(mode)).item() >= everywhere.max()


@pytest.mark.parametrize(
    "low,high,centre,half_range",
    [
        (-1, 1, 0, 1),
        (100, 200, 150, 50),
        (-np.inf, np.inf, 0, 1),
        (-np.finfo(np.float32).max, np.finfo(np.float32).max, 0, 1),
        (100, np.inf, 100, 1),
        (-np.inf, -5, -5, 1),
        (-1, np.finfo(np.float32).max, 0, 1),
        (7, 7, 7, 1),
    ],
)
def test_a_dimension_with_two_bounds_is_scaled_and_another_keeps_its_unit(low, high, centre, half_range):
    scale = ActionScale(Box(np.float32([low, -1]), np.float32([high, 3])))
    units = np.array([[0, 0], [1, 1], [-3, 0.5]], np.float32)
    actions = scale.to_actions(units)
    assert actions.dtype == np.float32
    assert actions.tolist() == [[centre, 1], [centre + half_range, 3], [centre - 3 * half_range, 2]]
    np.testing.assert_allclose(scale.to_units(actions), units)


def test_bounds_between_minus_1_and_1_or_none_need_no_scaling():
    assert ActionScale(Box(np.float32([-1, -np.inf]), np.float32([1, np.inf]))).is_identity
    assert not ActionScale(Box(-2, 2, (1,))).is_identity
    assert not ActionScale(Box(0, 2, (1,))).is_identity


@pytest.mark.parametrize(
    "space", [Box(-1, 1, (2,)), Box(100, 200, (2,)), MultiDiscrete([2, 3]), MultiBinary(2), Discrete(3)], ids=str
)
def test_the_gradient_at_the_outputs_is_that_of_differences(space):
    distribution, generator = action_distribution(space), np.random.default_rng(6)
    outputs = random_outputs(distribution.num_outputs, 4)
    actions, advantages = distribution.sample(outputs, generator), generator.normal(size=4).astype(np.float32)

    def loss(outputs):
        policy = distribution(outputs)
        actor, entropy = -(policy.log_prob(actions) * advantages).sum(), policy.entropy().sum()
        if isinstance(space, Box):  # no bonus for a deviation beyond half the range
            entropy -= np.maximum(np.split(outputs, 2, axis=1)[1], 0).sum()
        return actor - 0.3 * entropy

    gradient = distribution(outputs).backward(actions, -advantages, -np.float32(0.3))
    for place in np.ndindex(outputs.shape):
        step = np.zeros(outputs.shape)
        step[place] = 1e-6
        slope = (loss(outputs + step) - loss(outputs - step)) / 2e-6
        assert gradient[place] == pytest.approx(slope, rel=1e-3, abs=1e-4)


def test_entropy_bonus_widens_a_gaussian_no_further_than_half_the_range_of_its_box():
    box = Box(np.float32([100, -np.inf]), np.float32([200, np.inf]))
    distribution = action_distribution(box)
    for log_std, bonus in ((-0.1, [-0.3, -0.3]), (0.1, [0, -0.3])):
        outputs = np.float32([[0, 0, log_std, log_std]])
        actions = distribution.mode(outputs)
        gradient = distribution(outputs).backward(actions, np.zeros(1, np.float32), -np.float32(0.3))
        np.testing.assert_allclose(gradient[0, 2:], bonus, rtol=1e-6)
        tensor = paddle.to_tensor(outputs, stop_gradient=False)
        (-0.3 * Gaussian(tensor, ActionScale(box)).entropy()).sum().backward()
        np.testing.assert_allclose(tensor.grad.numpy(), gradient, rtol=1e-6)


def test_extreme_logits_of_a_switch_give_finite_and_right_numbers():
    distribution, outputs = action_distribution(MultiBinary(2)), np.array([[1e4, -1e4]], np.float32)
    assert distribution.sample(outputs, np.random.default_rng(0)).tolist() == [[1, 0]]
    policy, actions = distribution(outputs), np.array([[1, 0]])
    assert policy.log_prob(actions) == 0 and policy.entropy() == 0
    assert not policy.backward(actions, -np.ones(1, np.float32), -np.float32(1)).any()


def test_only_the_actions_of_a_box_are_clipped():
    actions = np.array([[-3.0, 0.5], [0.0, 9.0]], np.float32)
    space = Box(np.array([-1, -1], np.float32), np.array([1, np.inf], np.float32))
    assert clip_for(space)(actions).tolist() == [[-1, 0.5], [0, 9]]
    assert clip_for(Discrete(3))(actions) is actions


@pytest.mark.parametrize("space", [Discrete(3, start=1), MultiDiscrete([2, 2], start=[0, 1])], ids=str)
def test_actions_that_do_not_begin_at_0_are_refused(space):
    with pytest.raises(TypeError, match="begin at 0"):
        action_distribution(space)
