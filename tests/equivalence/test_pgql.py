"""PGQL's update: against a reference in NumPy, and its fixed points on a process with five states."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

from paddle_ac.losses.actor_critic import ActorCriticLoss, Targets
from paddle_ac.losses.pgql import estimated_q, pgql_loss
from paddle_ac.losses.values import CRITIC_LOSSES
from paddle_ac.nn.actions import CategoricalActions, action_distribution
from tests.markov import (
    ACTIONS,
    GAMMA,
    NUM_ACTIONS,
    NUM_STATES,
    REWARDS,
    STATES,
    TRANSITIONS,
    entropy,
    q_of,
    softmax,
    values_of,
)

ALPHA, VALUE_COEF = 1.0, 0.5
DISTRIBUTION = CategoricalActions(NUM_ACTIONS)
SPACES = [Discrete(4), MultiDiscrete([3, 4]), MultiBinary(3), Box(-1, 1, (2,), np.float32)]


def reference_update(logits, values, actions, targets):
    """Equation 13 row by row: the directions of logits ``[B, A]`` and of V ``[B]``, means over the batch."""
    along_logits, along_values = np.zeros_like(logits), np.zeros_like(values)
    for row, action in enumerate(actions):
        policy = np.exp(logits[row]) / np.exp(logits[row]).sum()
        q = ALPHA * (np.log(policy[action]) - np.sum(policy * np.log(policy))) + values[row]
        error = (targets[row] - q) / len(actions)
        along_logits[row] = error * (np.eye(len(policy))[action] - policy)
        along_values[row] = error
    return along_logits, along_values


def test_update_is_that_of_the_paper():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 1, (20, NUM_ACTIONS)).astype(np.float32)
    values, targets = generator.normal(0, 2, (2, 20)).astype(np.float32)
    actions = generator.integers(NUM_ACTIONS, size=20)
    found = pgql_loss(DISTRIBUTION(logits), values, actions, targets, CRITIC_LOSSES["squared"], ALPHA, VALUE_COEF)
    along_logits, along_values = reference_update(logits.astype(np.float64), values, actions, targets)
    np.testing.assert_allclose(found.grad_outputs, -along_logits, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.grad_values, -along_values, rtol=1e-4, atol=1e-6)
    assert found.loss == pytest.approx(np.mean((targets - found.q_values) ** 2), rel=1e-5)
    assert found.grad_outputs.dtype == found.grad_values.dtype == np.float32


def test_smooth_l1_limits_the_step_of_the_values():
    logits, values = np.zeros((2, NUM_ACTIONS), np.float32), np.zeros(2, np.float32)
    targets = np.float32([0.25, 50])
    loss = pgql_loss(
        DISTRIBUTION(logits), values, np.array([0, 1]), targets, CRITIC_LOSSES["smooth_l1"], ALPHA, VALUE_COEF
    )
    np.testing.assert_allclose(loss.grad_values, -VALUE_COEF * np.array([0.25, 1]) / 2, rtol=1e-5)


def test_mean_q_value_over_the_policy_is_the_value():
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 2, (NUM_STATES, NUM_ACTIONS)).astype(np.float32)
    values = generator.normal(size=NUM_STATES).astype(np.float32)
    q_values = table_of(logits, values)
    np.testing.assert_allclose((softmax(logits, 1) * q_values).sum(axis=1), values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
def test_most_probable_action_has_the_largest_q_value(space):
    distribution = action_distribution(space)
    generator = np.random.default_rng(2)
    outputs = generator.normal(size=(50, distribution.num_outputs)).astype(np.float32)
    policy, values = distribution(outputs), np.zeros(50, np.float32)
    largest = estimated_q(policy, values, distribution.mode(outputs), ALPHA)
    for _ in range(30):
        others = estimated_q(policy, values, distribution.sample(outputs, generator), ALPHA)
        assert (others <= largest + 1e-5).all()


def table_of(logits, values):
    """``estimated_q`` of all states and actions, ``[S, A]``."""
    policy = DISTRIBUTION(logits[STATES].astype(np.float32))
    q_values = estimated_q(policy, values[STATES].astype(np.float32), ACTIONS, ALPHA)
    return q_values.reshape(NUM_STATES, NUM_ACTIONS)


def expected_gradient(logits, values, eta):
    """Gradient of PGQL's update ``[S, A]`` and ``[S]``, an expectation: states uniform, actions of the policy.

    The part of A2C has returns Q^pi of the rewards alone, as the paper has them. Both parts are those of the library
    for every pair of state and action, which the policy then weighs.
    """
    policy = softmax(logits, 1)
    returns = q_of(values_of(policy)).ravel().astype(np.float32)
    best = table_of(logits, values).max(axis=1)
    targets = (REWARDS + GAMMA * TRANSITIONS @ best).ravel().astype(np.float32)
    outputs, critic_outputs = logits[STATES].astype(np.float32), values[STATES].astype(np.float32)
    a2c = ActorCriticLoss(DISTRIBUTION, "squared", VALUE_COEF, ALPHA)
    part = a2c(outputs, critic_outputs, Targets(ACTIONS, returns), len(STATES))
    q_part = pgql_loss(
        DISTRIBUTION(outputs), critic_outputs, ACTIONS, targets, CRITIC_LOSSES["squared"], ALPHA, VALUE_COEF
    )
    weights = policy.ravel() * NUM_ACTIONS
    grad_outputs = (1 - eta) * part.grad_outputs + eta * q_part.grad_outputs
    grad_values = (1 - eta) * part.grad_critic_outputs + eta * q_part.grad_values
    grad_logits = (weights[:, np.newaxis] * grad_outputs).reshape(NUM_STATES, NUM_ACTIONS, NUM_ACTIONS).sum(axis=1)
    return grad_logits, (weights * grad_values).reshape(NUM_STATES, NUM_ACTIONS).sum(axis=1)


def fixed_point(eta):
    """Q values ``[S, A]`` that solve ``Q = (1 - eta) Q^pi + eta T* Q``, with ``pi = softmax(Q / alpha)``."""
    q_values = np.zeros((NUM_STATES, NUM_ACTIONS))
    for _ in range(300):
        after = (1 - eta) * q_of(values_of(softmax(q_values, ALPHA))) + eta * q_of(q_values.max(axis=1))
        q_values = q_values + 0.5 * (after - q_values)
    np.testing.assert_allclose(q_values, after, atol=1e-9)
    return q_values


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_update_vanishes_at_the_fixed_point_only(eta):
    q_values = fixed_point(eta)
    policy = softmax(q_values, ALPHA)
    logits, values = q_values / ALPHA, (policy * q_values).sum(axis=1)
    np.testing.assert_allclose(table_of(logits, values), q_values, rtol=1e-4, atol=1e-4)
    for gradient in expected_gradient(logits, values, eta):
        np.testing.assert_allclose(gradient, 0, atol=1e-5)
    for gradient in expected_gradient(np.zeros_like(logits), np.zeros_like(values), eta):
        assert np.abs(gradient).max() > 0.01


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_gradient_descent_reaches_the_fixed_point(eta):
    logits, values = np.zeros((NUM_STATES, NUM_ACTIONS)), np.zeros(NUM_STATES)
    for _ in range(400):
        grad_logits, grad_values = expected_gradient(logits, values, eta)
        logits, values = logits - 5 * grad_logits, values - 2 * grad_values
    np.testing.assert_allclose(table_of(logits, values), fixed_point(eta), atol=0.01)


def test_fixed_points_are_the_entropy_regularised_policy_and_the_optimal_q_values():
    regularised = fixed_point(0.0)
    policy = softmax(regularised, ALPHA)
    np.testing.assert_allclose(regularised, q_of(values_of(policy)), atol=1e-8)
    assert (entropy(policy) > 0.01).any()
    optimal = fixed_point(1.0)
    np.testing.assert_allclose(optimal, q_of(optimal.max(axis=1)), atol=1e-8)
