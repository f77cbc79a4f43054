"""Losses of SAC for discrete actions: values against loops, gradients against Paddle's automatic differentiation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddle_ac.action_masks import MASKED_LOGIT
from paddle_ac.losses.sac_discrete import Choices, actor_loss, critics_loss, entropies, expected_soft_values
from paddle_ac.losses.values import CRITIC_LOSSES

B, ALPHA = 30, 0.3
SIZES = pytest.mark.parametrize("sizes", [(4,), (3, 2, 4)], ids=["discrete", "multidiscrete"])
MASKS = pytest.mark.parametrize("masked", [False, True], ids=["all allowed", "masked"])


def parts_of(sizes):
    """The columns of each choice."""
    ends = list(itertools.accumulate(sizes))
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]


def batch(sizes, masked=False):
    """Logits ``[B, M]``, Q values ``[2, B, M]``, and which actions are allowed."""
    generator = np.random.default_rng(len(sizes))
    allowed = np.ones((B, sum(sizes)), np.bool_)
    if masked:
        allowed = generator.random(allowed.shape) < 0.6
        for part in parts_of(sizes):
            allowed[:, part.start] |= ~allowed[:, part].any(axis=1)
    logits = generator.normal(0, 1.5, allowed.shape).astype(np.float32)
    q_values = generator.normal(0, 2, (2, *allowed.shape)).astype(np.float32)
    return np.where(allowed, logits, MASKED_LOGIT), np.where(allowed, q_values, MASKED_LOGIT), allowed


def actions_of(sizes, allowed, seed=5):
    generator = np.random.default_rng(seed)
    parts = parts_of(sizes)
    rows = [[generator.choice(np.flatnonzero(row[part])) for part in parts] for row in allowed]
    return np.array(rows) if len(sizes) > 1 else np.array(rows)[:, 0]


def joint_expectations(sizes, logits, q_values, allowed, row):
    """Entropy, and the expectation of ``min Q - alpha log pi`` over all allowed joint actions of a row, by a loop.

    The smaller Q is taken of each choice, and those of a joint action are added.
    """
    entropy = value = 0.0
    choices = []
    for part in parts_of(sizes):
        columns = [column for column in range(part.start, part.stop) if allowed[row, column]]
        weights = [math.exp(logits[row, column]) for column in columns]
        choices.append([(weight / sum(weights), column) for weight, column in zip(weights, columns, strict=True)])
    for joint in itertools.product(*choices):
        probability = math.prod(p for p, _ in joint)
        q = sum(float(q_values[:, row, column].min()) for _, column in joint)
        entropy -= probability * math.log(probability)
        value += probability * (q - ALPHA * math.log(probability))
    return entropy, value


@SIZES
@MASKS
def test_expectations_are_sums_over_all_joint_actions(sizes, masked):
    logits, q_values, allowed = batch(sizes, masked)
    log_probs = Choices(sizes).log_probabilities(logits)
    expected = [joint_expectations(sizes, logits, q_values, allowed, row) for row in range(B)]
    np.testing.assert_allclose(entropies(log_probs), [entropy for entropy, _ in expected], rtol=1e-4, atol=1e-5)
    values = expected_soft_values(log_probs, q_values, ALPHA)
    np.testing.assert_allclose(values, [value for _, value in expected], rtol=1e-4, atol=1e-4)
    loss, _ = actor_loss(log_probs, q_values, ALPHA, Choices(sizes))
    assert loss == pytest.approx(-np.mean([value for _, value in expected]), rel=1e-4)


@SIZES
@MASKS
def test_largest_entropy_is_that_of_the_uniform_policy_over_allowed_actions(sizes, masked):
    _, q_values, allowed = batch(sizes, masked)
    uniform = np.where(allowed, np.float32(0), MASKED_LOGIT)
    expected = [joint_expectations(sizes, uniform, q_values, allowed, row)[0] for row in range(B)]
    logits, _, _ = batch(sizes, masked)
    np.testing.assert_allclose(Choices(sizes).largest_entropies(logits), expected, rtol=1e-5, atol=1e-6)


@SIZES
@MASKS
def test_gradient_of_the_actor_is_that_of_automatic_differentiation(sizes, masked):
    logits, q_values, allowed = batch(sizes, masked)
    tensor, mask = paddle.to_tensor(logits, stop_gradient=False), paddle.to_tensor(allowed.astype(np.float32))
    loss = 0.0
    for part in parts_of(sizes):
        log_probs = F.log_softmax(tensor[:, part]) * mask[:, part]  # its floor is -64, and 0 * -1e9 stays 0
        probabilities = F.softmax(tensor[:, part]) * mask[:, part]
        smaller = paddle.to_tensor(np.where(allowed, q_values.min(axis=0), 0).astype(np.float32))[:, part]
        loss = loss + (probabilities * (ALPHA * log_probs - smaller)).sum(axis=1).mean()
    loss.backward()
    found, grad_logits = actor_loss(Choices(sizes).log_probabilities(logits), q_values, ALPHA, Choices(sizes))
    assert found == pytest.approx(loss.item(), rel=1e-4)
    np.testing.assert_allclose(grad_logits, tensor.grad.numpy(), rtol=1e-3, atol=1e-6)
    assert grad_logits.dtype == np.float32 and not grad_logits[~allowed].any()


@SIZES
@MASKS
@pytest.mark.parametrize("name", CRITIC_LOSSES)
def test_loss_and_gradient_of_the_critics_are_those_of_automatic_differentiation(sizes, masked, name):
    _, q_values, allowed = batch(sizes, masked)
    actions, targets = actions_of(sizes, allowed), np.random.default_rng(6).normal(0, 3, B).astype(np.float32)
    columns = actions.reshape(B, -1) + [part.start for part in parts_of(sizes)]
    tensor = paddle.to_tensor(q_values, stop_gradient=False)
    taken = paddle.to_tensor(sum(np.eye(sum(sizes), dtype=np.float32)[column] for column in columns.T))
    values = (tensor * taken).sum(axis=2)
    function = {"squared": F.mse_loss, "smooth_l1": F.smooth_l1_loss}[name]
    loss = function(values[0], paddle.to_tensor(targets)) + function(values[1], paddle.to_tensor(targets))
    loss.backward()
    found, chosen, grad_q = critics_loss(q_values, Choices(sizes).columns(actions), targets, CRITIC_LOSSES[name])
    assert found == pytest.approx(loss.item(), rel=1e-4)
    np.testing.assert_allclose(chosen, values.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(grad_q, tensor.grad.numpy(), rtol=1e-4, atol=1e-6)
    assert grad_q.dtype == np.float32
