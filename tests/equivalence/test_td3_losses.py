"""The losses of TD3 and DDPG against their formulas, automatic differentiation and SciPy."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import scipy.stats

from paddle_ac.losses.td3 import clipped_double_q_targets, deterministic_policy_loss, smoothed_actions


def test_targets_are_of_the_smallest_critic_and_do_not_look_beyond_a_termination():
    rewards, discounts = np.float32([1, 2, 3]), np.float32([0.9, 0.9, 0])
    next_values = np.float32([[3, 7, 5], [4, 6, 5]])
    targets = clipped_double_q_targets(rewards, discounts, next_values)
    assert targets.dtype == np.float32
    assert targets.tolist() == pytest.approx([1 + 0.9 * 3, 2 + 0.9 * 6, 3])
    assert clipped_double_q_targets(rewards, discounts, next_values[1:]).tolist() == pytest.approx([4.6, 7.4, 3])


def test_actor_loss_and_its_gradient_are_those_of_automatic_differentiation():
    values = np.random.default_rng(0).normal(size=6).astype(np.float32)
    loss, gradient = deterministic_policy_loss(values)
    tensor = paddle.to_tensor(values, stop_gradient=False)
    expected = -tensor.mean()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-6)
    assert gradient.dtype == np.float32


def test_smoothed_actions_are_clipped_gaussians_within_the_cube():
    noise = np.random.default_rng(0).normal(0, 0.2, (20_000, 2)).astype(np.float32)
    actions = np.tile(np.float32([0.1, 0.9]), (20_000, 1))
    smoothed = smoothed_actions(actions, noise, 0.5)
    assert smoothed.dtype == np.float32
    central, bounded = smoothed.T
    # The first has the distribution of a Gaussian with its tails beyond 2.5 deviations at 2.5 deviations.
    inside = np.abs(central - 0.1) < 0.5 - 1e-6
    assert inside.mean() == pytest.approx(1 - 2 * scipy.stats.norm.sf(2.5), abs=0.004)
    expected = scipy.stats.truncnorm(-2.5, 2.5, 0.1, 0.2)
    assert scipy.stats.kstest(central[inside], expected.cdf).pvalue > 1e-3
    assert central.min() == pytest.approx(-0.4) and central.max() == pytest.approx(0.6)
    # The second is cut at the cube as well.
    assert bounded.max() == 1 and (bounded == 1).mean() == pytest.approx(scipy.stats.norm.sf(0.5), abs=0.015)
    assert bounded.min() == pytest.approx(0.4)


def test_no_noise_leaves_the_actions():
    actions = np.float32([[-1, 0.3], [1, 0]])
    np.testing.assert_array_equal(smoothed_actions(actions, np.zeros_like(actions), 0.5), actions)
