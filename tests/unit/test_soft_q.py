"""Soft Q-learning on a process with five states: values and policy against linear equations and enumeration."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_ac.action_masks import MASKED_LOGIT
from paddle_ac.learning.exploration import BoltzmannActions
from paddle_ac.losses.q_learning import bellman_targets, soft_values
from tests.markov import (
    GAMMA,
    NUM_ACTIONS,
    NUM_STATES,
    REWARDS,
    TRANSITIONS,
    deterministic_policies,
    entropy,
    q_of,
    softmax,
    values_of,
)


def soft_value_iteration(alpha):
    """Q values ``[S, A]`` after many backups with the functions of the library."""
    q_values = np.zeros((NUM_STATES, NUM_ACTIONS), np.float32)
    discounts = np.full(NUM_STATES * NUM_ACTIONS, GAMMA, np.float32)
    for _ in range(200):
        next_values = (TRANSITIONS @ soft_values(q_values, alpha)).astype(np.float32).ravel()
        targets = bellman_targets(REWARDS.astype(np.float32).ravel(), discounts, next_values)
        q_values = targets.reshape(NUM_STATES, NUM_ACTIONS)
    return q_values


def boltzmann_policy(q_values, alpha):
    return BoltzmannActions(NUM_ACTIONS, alpha).describe(q_values)["probabilities"]


@pytest.mark.parametrize("alpha", [0.05, 0.5, 5.0])
def test_soft_values_are_those_of_the_boltzmann_policy_with_its_entropy(alpha):
    q_values = soft_value_iteration(alpha)
    policy = boltzmann_policy(q_values, alpha)
    np.testing.assert_allclose(policy, softmax(q_values, alpha), rtol=1e-4, atol=1e-7)
    values = values_of(policy.astype(np.float64), alpha)
    np.testing.assert_allclose(soft_values(q_values, alpha), values, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(q_values, q_of(values), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("alpha", [0.05, 0.5, 5.0])
def test_no_policy_has_a_larger_soft_value(alpha):
    values = soft_values(soft_value_iteration(alpha), alpha)
    generator = np.random.default_rng(0)
    others = deterministic_policies() + list(generator.dirichlet(np.ones(NUM_ACTIONS), (300, NUM_STATES)))
    largest = np.max([values_of(policy, alpha) for policy in others], axis=0)
    assert (largest <= values + 1e-4).all()


def test_low_temperature_gives_the_best_deterministic_policy():
    q_values = soft_value_iteration(1e-3)
    best = max(deterministic_policies(), key=lambda policy: values_of(policy).sum())
    np.testing.assert_array_equal(boltzmann_policy(q_values, 1e-3).argmax(axis=1), best.argmax(axis=1))
    np.testing.assert_allclose(soft_values(q_values, 1e-3), values_of(best), atol=0.01)


def test_high_temperature_gives_the_uniform_policy():
    policy = boltzmann_policy(soft_value_iteration(1e3), 1e3)
    np.testing.assert_allclose(entropy(policy.astype(np.float64)), np.log(NUM_ACTIONS), atol=1e-5)


def test_boltzmann_actions_are_drawn_by_their_probabilities_and_never_masked():
    q_values = np.float32([[1.0, 0.5, MASKED_LOGIT, -1.0]])
    actions = BoltzmannActions(4, 0.7).sample(np.repeat(q_values, 40_000, axis=0), np.random.default_rng(1))
    weights = np.exp(np.array([1.0, 0.5, -np.inf, -1.0]) / 0.7)
    np.testing.assert_allclose(np.bincount(actions, minlength=4) / 40_000, weights / weights.sum(), atol=0.01)
    assert not (actions == 2).any()
    np.testing.assert_allclose(
        BoltzmannActions(4, 0.7).describe(q_values)["probabilities"][0], weights / weights.sum(), rtol=1e-5, atol=0
    )


def test_most_probable_boltzmann_action_has_the_largest_q_value():
    q_values = np.random.default_rng(2).normal(size=(50, 4)).astype(np.float32)
    np.testing.assert_array_equal(BoltzmannActions(4, 10.0).mode(q_values), q_values.argmax(axis=1))
