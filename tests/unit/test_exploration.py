"""Exploration: the schedule of epsilon, and how often each action is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from paddle_ac.action_masks import MASKED_LOGIT
from paddle_ac.learning.exploration import EpsilonGreedyActions, epsilon_greedy, linear_epsilon

ROWS = 20_000
VALUES = np.float32([1, 3, MASKED_LOGIT, -2, MASKED_LOGIT])


@pytest.mark.parametrize(
    "env_steps,exploration_steps,expected",
    [(0, 100, 1.0), (25, 100, 0.775), (99, 100, 0.109), (100, 100, 0.1), (10**9, 100, 0.1), (0, 0, 0.1), (5, 0.5, 0.1)],
)
def test_epsilon_is_linear_and_then_constant(env_steps, exploration_steps, expected):
    assert linear_epsilon(1.0, 0.1, env_steps, exploration_steps) == pytest.approx(expected)


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_actions_have_the_frequencies_of_epsilon_greedy_and_masked_ones_are_never_drawn(epsilon):
    q_values = np.tile(VALUES, (ROWS, 1))
    actions = epsilon_greedy(q_values, epsilon, np.random.default_rng(0))
    assert actions.shape == (ROWS,) and actions.dtype == np.int64
    expected = epsilon / 3 * np.array([1, 1, 0, 1, 0]) + (1 - epsilon) * np.array([0, 1, 0, 0, 0])
    counts = np.bincount(actions, minlength=5)
    possible = expected > 0
    assert (counts[~possible] == 0).all()
    assert epsilon == 0 or scipy.stats.chisquare(counts[possible], ROWS * expected[possible]).pvalue > 1e-3
    described = EpsilonGreedyActions(5, epsilon).describe(q_values[:2])["probabilities"]
    np.testing.assert_allclose(described, [expected, expected], atol=1e-6)


def test_rows_explore_independently():
    q_values = np.tile(np.float32([0, 1]), (ROWS, 1))
    random = epsilon_greedy(q_values, 1.0, np.random.default_rng(0))
    assert abs(np.corrcoef(random[:-1], random[1:])[0, 1]) < 0.03


def test_distribution_samples_with_its_epsilon_and_its_mode_is_greedy():
    actions = EpsilonGreedyActions(5, 0.3)
    q_values = np.tile(VALUES, (ROWS, 1))
    drawn = actions.sample(q_values, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn, epsilon_greedy(q_values, 0.3, np.random.default_rng(0)))
    assert (actions.mode(q_values) == 1).all() and actions.num_outputs == 5
