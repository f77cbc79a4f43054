"""Returns: what the definition says, whatever ends in whichever step."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from paddle_ac.learning.returns import explained_variance, generalized_advantages, n_step_returns, v_trace


def discounted_sum(rewards, terminated, truncated, truncation_values, last_value, gamma):
    """The return of the first step of one environment: its rewards to the end of its episode, or the value there."""
    total, discount = 0.0, 1.0
    for reward, ended, cut, value in zip(rewards, terminated, truncated, truncation_values, strict=True):
        total += discount * float(reward)
        discount *= gamma
        if ended:
            return total
        if cut:
            return total + discount * float(value)
    return total + discount * float(last_value)


def reference(rewards, terminated, truncated, truncation_values, last_values, gamma):
    returns = np.empty(rewards.shape)
    for step, env in np.ndindex(rewards.shape):
        rest = [array[step:, env] for array in (rewards, terminated, truncated, truncation_values)]
        returns[step, env] = discounted_sum(*rest, last_values[env], gamma)
    return returns


def random_rollout(generator, terminated, truncated):
    """Random numbers around given ends, with a NaN for every value that is not to be read."""
    rewards, values = generator.normal(size=(2, *terminated.shape)).astype(np.float32)
    values[terminated | ~truncated] = np.nan
    return rewards, terminated, truncated, values, generator.normal(size=terminated.shape[1]).astype(np.float32)


def without_ends(rewards, last_values, gamma):
    rewards, never = np.asarray(rewards, np.float32), np.zeros(np.shape(rewards), np.bool_)
    unread = np.full(rewards.shape, np.nan, np.float32)
    return n_step_returns(rewards, never, never, unread, np.asarray(last_values, np.float32), gamma)


def test_constant_rewards_add_up_to_the_geometric_series():
    gamma, steps_left = 0.9, np.arange(6, 0, -1)
    expected = (1 - gamma**steps_left) / (1 - gamma) + gamma**steps_left * 5
    np.testing.assert_allclose(without_ends(np.ones((6, 1)), [5], gamma)[:, 0], expected, rtol=1e-6)


def test_the_true_value_is_its_own_return():
    np.testing.assert_allclose(without_ends(np.ones((7, 2)), [20, 20], 0.95), 20, rtol=1e-6)


def test_without_discount_returns_are_sums_and_with_full_discount_they_are_the_rewards():
    rewards = np.array([[1, -2], [3, 4], [5, 0.5]])
    np.testing.assert_array_equal(without_ends(rewards, [10, 20], 1.0), [[19, 22.5], [18, 24.5], [15, 20.5]])
    np.testing.assert_array_equal(without_ends(rewards, [10, 20], 0.0), rewards)


def test_a_termination_ends_the_sum_and_a_truncation_goes_on_with_the_value_there():
    rewards = np.ones((3, 3), np.float32)
    terminated, truncated = np.zeros((2, 3, 3), np.bool_)
    terminated[1, [0, 2]] = truncated[1, [1, 2]] = True
    values = np.full((3, 3), 8, np.float32)
    returns = n_step_returns(rewards, terminated, truncated, values, np.full(3, 4, np.float32), 0.5)
    np.testing.assert_array_equal(returns, [[1.5, 3.5, 1.5], [1, 5, 1], [3, 3, 3]])


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4])
def test_every_combination_of_ends_agrees_with_the_definition(num_steps):
    generator = np.random.default_rng(num_steps)
    ends = [(False, False), (True, False), (False, True), (True, True)]
    for ends_of_steps in itertools.product(ends, repeat=num_steps):
        terminated, truncated = np.array(ends_of_steps).T[:, :, np.newaxis]
        rollout = random_rollout(generator, terminated, truncated)
        expected = reference(*rollout, 0.9)
        assert np.isfinite(expected).all()
        returns = n_step_returns(*rollout, 0.9)
        np.testing.assert_allclose(returns, expected, rtol=1e-5, atol=1e-6, err_msg=str(ends_of_steps))


@pytest.mark.parametrize("seed", range(20))
def test_random_rollouts_of_many_environments_agree_with_the_definition(seed):
    generator = np.random.default_rng(seed)
    shape = (int(generator.integers(1, 30)), int(generator.integers(1, 12)))
    rollout = random_rollout(generator, *(generator.random((2, *shape)) < 0.15))
    gamma = generator.random()
    returns = n_step_returns(*rollout, gamma)
    assert returns.dtype == np.float32
    np.testing.assert_allclose(returns, reference(*rollout, gamma), rtol=1e-5, atol=1e-5)


def test_what_goes_in_stays_as_it_is():
    generator = np.random.default_rng(0)
    rollout = random_rollout(generator, *(generator.random((2, 5, 4)) < 0.3))
    before = [array.copy() for array in rollout]
    n_step_returns(*rollout, 0.9)
    np.testing.assert_equal(list(rollout), before)


def test_explained_variance_is_1_for_the_truth_with_any_offset_and_0_for_a_constant():
    targets = np.random.default_rng(0).normal(size=50).astype(np.float32)
    assert explained_variance(targets, targets) == 1
    assert explained_variance(targets + np.float32(3), targets) == pytest.approx(1, abs=1e-6)
    assert explained_variance(np.full_like(targets, 2), targets) == pytest.approx(0, abs=1e-6)
    assert explained_variance(-targets, targets) == pytest.approx(-3, abs=1e-5)


def test_explained_variance_follows_its_formula():
    predictions, targets = np.random.default_rng(1).normal(size=(2, 30))
    errors = targets - predictions
    squares = [sum((x - x.mean()) ** 2) for x in (errors, targets)]
    assert explained_variance(predictions, targets) == pytest.approx(1 - squares[0] / squares[1])


@pytest.mark.parametrize("constant,size", [(0, 5), (1, 40), (0.1, 40), (693.88135, 114)])
def test_explained_variance_of_one_constant_is_0(constant, size):
    predictions = np.linspace(-1, 1, size, dtype=np.float32)
    assert explained_variance(predictions, np.full(size, constant, np.float32)) == 0


def random_estimates(num_steps=9, num_envs=6):
    """A rollout with ends and cuts, the values of its observations, and of those after it."""
    generator = np.random.default_rng(5)
    rewards, truncation_values, values = generator.normal(size=(3, num_steps, num_envs)).astype(np.float32)
    ends = generator.uniform(size=(num_steps, num_envs))
    terminated, truncated = ends < 0.2, (ends > 0.1) & (ends < 0.4)  # some are both: it ended
    return rewards, terminated, truncated, truncation_values, values, generator.normal(size=num_envs).astype(np.float32)


def test_generalised_advantages_with_lambda_1_are_n_step_returns_less_values():
    *known, values, last_values = random_estimates()
    returns = n_step_returns(*known, last_values, 0.9)
    advantages = generalized_advantages(*known, values, last_values, 0.9, 1.0)
    np.testing.assert_allclose(advantages, returns - values, atol=1e-6)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.3, 0.95])
def test_generalised_advantages_are_the_weighted_sums_of_td_errors(gae_lambda):
    """Equation 16 as it is written: a sum over the TD errors up to the end of the episode or the rollout."""
    rewards, terminated, truncated, truncation_values, values, last_values = random_estimates()
    advantages = generalized_advantages(
        rewards, terminated, truncated, truncation_values, values, last_values, 0.9, gae_lambda
    )
    num_steps, num_envs = rewards.shape
    for step, env in np.ndindex(rewards.shape):
        expected, weight = 0.0, 1.0
        for later in range(step, num_steps):
            after = values[later + 1, env] if later + 1 < num_steps else last_values[env]
            if terminated[later, env]:
                after = 0.0
            elif truncated[later, env]:
                after = truncation_values[later, env]
            expected += weight * (rewards[later, env] + 0.9 * after - values[later, env])
            weight *= 0.9 * gae_lambda
            if terminated[later, env] or truncated[later, env]:
                break
        assert advantages[step, env] == pytest.approx(expected, abs=1e-5)


def test_the_closed_form_of_constant_rewards():
    """Reward 1, value 0, no end: delta is 1, and A is the geometric series of gamma * lambda."""
    shape = (6, 1)
    never, zeros = np.zeros(shape, bool), np.zeros(shape, np.float32)
    advantages = generalized_advantages(np.ones(shape, np.float32), never, never, zeros, zeros, zeros[0], 0.8, 0.5)
    np.testing.assert_allclose(advantages[:, 0], [(1 - 0.4**left) / 0.6 for left in range(6, 0, -1)], rtol=1e-6)


def v_trace_by_its_sums(rewards, terminated, truncated, cut_values, values, last_values, log_ratios, gamma, lambda_):
    """Targets and advantages by the sums of the paper's equation 1, one step and environment at a time."""
    num_steps, num_envs = rewards.shape
    targets, advantages = np.empty((2, num_steps, num_envs))
    ratios = np.minimum(1, np.exp(log_ratios.astype(np.float64)))

    def next_value(step, env):
        if terminated[step, env] or truncated[step, env]:
            return 0.0 if terminated[step, env] else float(cut_values[step, env])
        return float(last_values[env] if step == num_steps - 1 else values[step + 1, env])

    for step, env in np.ndindex(rewards.shape):
        total, weight = float(values[step, env]), 1.0
        for later in range(step, num_steps):
            error = rewards[later, env] + gamma * next_value(later, env) - values[later, env]
            total += weight * ratios[later, env] * error
            weight *= gamma * lambda_ * ratios[later, env]
            if terminated[later, env] or truncated[later, env]:
                break
        targets[step, env] = total
    for step, env in np.ndindex(rewards.shape):
        done = terminated[step, env] or truncated[step, env] or step == num_steps - 1
        following = next_value(step, env)
        if not done:
            following = lambda_ * targets[step + 1, env] + (1 - lambda_) * following
        advantages[step, env] = ratios[step, env] * (rewards[step, env] + gamma * following - values[step, env])
    return targets, advantages


def random_values(generator, shape):
    return generator.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("trace_lambda", [1.0, 0.9, 0.0])
def test_v_trace_agrees_with_the_sums_of_the_paper(trace_lambda):
    generator = np.random.default_rng(3)
    terminated, truncated = generator.random((2, 9, 40)) < 0.2
    rollout = random_rollout(generator, terminated, truncated)
    values, log_ratios = random_values(generator, (2, 9, 40))
    known = *rollout[:4], values, rollout[4], log_ratios, 0.9, trace_lambda
    targets, advantages = v_trace(*known)
    assert targets.dtype == advantages.dtype == np.float32
    expected_targets, expected_advantages = v_trace_by_its_sums(*known)
    np.testing.assert_allclose(targets, expected_targets, atol=1e-5)
    np.testing.assert_allclose(advantages, expected_advantages, atol=1e-5)


@pytest.mark.parametrize("trace_lambda", [1.0, 0.9, 0.0])
def test_v_trace_without_lag_is_n_step_returns_and_generalised_advantages(trace_lambda):
    generator = np.random.default_rng(4)
    terminated, truncated = generator.random((2, 7, 30)) < 0.2
    rollout = random_rollout(generator, terminated, truncated)
    values, no_lag = random_values(generator, (7, 30)), np.zeros((7, 30), np.float32)
    targets, advantages = v_trace(*rollout[:4], values, rollout[4], no_lag, 0.95, trace_lambda)
    known = *rollout[:4], values, rollout[4], 0.95, trace_lambda
    np.testing.assert_allclose(advantages, generalized_advantages(*known), atol=1e-5)
    if trace_lambda == 1:
        np.testing.assert_allclose(targets, n_step_returns(*rollout, 0.95), atol=1e-5)


def test_v_trace_learns_nothing_from_an_action_that_the_policy_no_longer_takes():
    ones, never = np.ones((1, 1), np.float32), np.zeros((1, 1), np.bool_)
    known = ones, never, never, 0 * ones, 5 * ones, np.ones(1, np.float32)
    targets, advantages = v_trace(*known, -100 * ones, 0.9)
    assert targets.item() == 5 and abs(advantages.item()) < 1e-30
    for more_probable in (0.0, 3.0):  # ratios above 1 are clipped
        targets, advantages = v_trace(*known, more_probable * ones, 0.9)
        assert targets.item() == pytest.approx(1.9) and advantages.item() == pytest.approx(-3.1)
