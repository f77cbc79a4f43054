"""Q-learning: heads, values and targets against loops, gradients against Paddle's automatic differentiation."""

from __future__ import annotations

import math

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddle_ac.action_masks import MASKED_LOGIT
from paddle_ac.losses.q_learning import (
    DuelingHead,
    PlainHead,
    action_values,
    bellman_targets,
    double_values,
    make_head,
    max_values,
    soft_values,
    td_loss,
)
from paddle_ac.losses.values import CRITIC_LOSSES

B, A = 40, 5
MASKS = pytest.mark.parametrize("masked", [False, True], ids=["all allowed", "masked"])


def random_q(seed=0, masked=False):
    """Q values ``[B, A]``, and which actions are allowed."""
    generator = np.random.default_rng(seed)
    allowed = np.ones((B, A), np.bool_)
    if masked:
        allowed = np.random.default_rng(99).random((B, A)) < 0.5
        allowed[np.arange(B), np.arange(B) % A] = True
    q_values = generator.normal(0, 3, (B, A)).astype(np.float32)
    return np.where(allowed, q_values, MASKED_LOGIT), allowed


def allowed_of(q_values, allowed, row):
    return [float(q_values[row, action]) for action in range(A) if allowed[row, action]]


def random_actions(allowed, seed=3):
    generator = np.random.default_rng(seed)
    return np.array([generator.choice(np.flatnonzero(row)) for row in allowed])


@MASKS
def test_max_value_is_the_largest_among_allowed_actions(masked):
    q_values, allowed = random_q(masked=masked)
    expected = [max(allowed_of(q_values, allowed, row)) for row in range(B)]
    np.testing.assert_array_equal(max_values(q_values), np.float32(expected))


@MASKS
def test_double_value_is_that_of_the_target_network_for_the_action_of_the_other(masked):
    (online, allowed), (target, _) = random_q(1, masked), random_q(2, masked)
    expected = []
    for row in range(B):
        best = max((action for action in range(A) if allowed[row, action]), key=lambda action: online[row, action])
        expected.append(target[row, best])
    found = double_values(online, target)
    np.testing.assert_array_equal(found, expected)
    assert (found <= max_values(target)).all() and (found < max_values(target)).any()


def test_double_value_with_equal_networks_is_the_largest_value():
    q_values, _ = random_q()
    np.testing.assert_array_equal(double_values(q_values, q_values), max_values(q_values))


def test_value_of_given_actions_is_theirs():
    q_values, allowed = random_q()
    actions = random_actions(allowed)
    np.testing.assert_array_equal(action_values(q_values, actions), [q_values[row, actions[row]] for row in range(B)])


@MASKS
@pytest.mark.parametrize("alpha", [0.01, 0.5, 1.0, 20.0])
def test_soft_value_is_the_log_sum_exp_of_allowed_actions(masked, alpha):
    q_values, allowed = random_q(masked=masked)
    expected = [
        alpha * math.log(sum(math.exp((q - 10) / alpha) for q in allowed_of(q_values, allowed, row))) + 10
        if alpha > 0.1
        else max(allowed_of(q_values, allowed, row))
        for row in range(B)
    ]
    np.testing.assert_allclose(soft_values(q_values, alpha), expected, rtol=1e-5, atol=0.02 if alpha < 0.1 else 1e-4)


def test_soft_value_of_equal_q_values_adds_the_entropy_of_the_uniform_policy():
    found = soft_values(np.full((1, 8), 1e4, np.float32), 0.5)
    assert found[0] == pytest.approx(1e4 + 0.5 * math.log(8), rel=1e-6)


def test_targets_bootstrap_by_their_discounts():
    rewards, discounts, values = np.float32([1, 2, -1]), np.float32([0.9, 0, 0.81]), np.float32([10, 20, -10])
    np.testing.assert_allclose(bellman_targets(rewards, discounts, values), [10, 2, -9.1], rtol=1e-6)


@MASKS
def test_dueling_head_adds_the_value_to_advantages_less_their_mean(masked):
    advantages, allowed = random_q(masked=masked)
    values = np.random.default_rng(4).normal(size=B).astype(np.float32)
    found = DuelingHead().q_values(advantages, values)
    for row in range(B):
        mean = sum(allowed_of(advantages, allowed, row)) / allowed[row].sum()
        for action in range(A):
            expected = values[row] + advantages[row, action] - mean if allowed[row, action] else MASKED_LOGIT
            assert found[row, action] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    means = np.where(allowed, found, 0).sum(axis=1) / allowed.sum(axis=1)
    np.testing.assert_allclose(means, values, rtol=1e-4, atol=1e-5)


@MASKS
def test_gradient_of_the_dueling_head_is_that_of_automatic_differentiation(masked):
    outputs, allowed = random_q(masked=masked)
    values = np.random.default_rng(4).normal(size=B).astype(np.float32)
    grad_q = np.random.default_rng(5).normal(size=(B, A)).astype(np.float32) * allowed
    advantages = paddle.to_tensor(np.where(allowed, outputs, 0).astype(np.float32), stop_gradient=False)
    state_values, mask = paddle.to_tensor(values, stop_gradient=False), paddle.to_tensor(allowed.astype(np.float32))
    mean = (advantages * mask).sum(axis=1, keepdim=True) / mask.sum(axis=1, keepdim=True)
    q_values = (state_values.unsqueeze(1) + advantages - mean) * mask
    (q_values * paddle.to_tensor(grad_q)).sum().backward()
    grad_outputs, grad_values = DuelingHead().backward(outputs, grad_q)
    np.testing.assert_allclose(grad_outputs, advantages.grad.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(grad_values, state_values.grad.numpy(), rtol=1e-4, atol=1e-6)
    assert grad_outputs.dtype == grad_values.dtype == np.float32


def test_plain_head_passes_q_values_and_gradients_on():
    outputs, _ = random_q()
    head = make_head(dueling=False)
    assert isinstance(head, PlainHead) and isinstance(make_head(dueling=True), DuelingHead)
    assert head.q_values(outputs, np.empty((B, 0), np.float32)) is outputs
    grad_outputs, grad_critic_outputs = head.backward(outputs, outputs)
    assert grad_outputs is outputs and grad_critic_outputs.shape == (B, 0)


@MASKS
@pytest.mark.parametrize("name", CRITIC_LOSSES)
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_loss_and_gradient_are_those_of_automatic_differentiation(masked, name, weighted):
    q_values, allowed = random_q(masked=masked)
    actions = random_actions(allowed)
    generator = np.random.default_rng(6)
    targets = generator.normal(0, 3, B).astype(np.float32)
    weights = generator.random(B).astype(np.float32) if weighted else np.ones(B, np.float32)
    found = td_loss(q_values, actions, targets, CRITIC_LOSSES[name], weights)

    tensor = paddle.to_tensor(q_values, stop_gradient=False)
    values = paddle.take_along_axis(tensor, paddle.to_tensor(actions[:, np.newaxis]), axis=1).squeeze(1)
    options = {"reduction": "none"}
    loss_of = F.smooth_l1_loss if name == "smooth_l1" else F.mse_loss
    total = (loss_of(values, paddle.to_tensor(targets), **options) * paddle.to_tensor(weights)).mean()
    total.backward()
    assert found.loss == pytest.approx(total.item(), rel=1e-5)
    np.testing.assert_allclose(found.grad_q, tensor.grad.numpy(), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found.errors, targets - q_values[np.arange(B), actions], rtol=1e-6)
    assert np.count_nonzero(found.grad_q) == B and (np.abs(found.errors) > 1).any()
