"""Prioritised sampling: sums against cumulative sums, draws against their distribution, weights in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from gymnasium.spaces import Box, Discrete

from paddle_ac.learning.priorities import SMALLEST_ERROR, Priorities, SumTree
from paddle_ac.learning.replay import ReplayBuffer
from tests.streams import single

SIZES = [1, 2, 3, 7, 8, 9, 100]


@pytest.mark.parametrize("capacity", SIZES)
def test_the_tree_has_the_sum_and_finds_places_as_cumulative_sums_do(capacity):
    generator, tree, numbers = np.random.default_rng(capacity), SumTree(capacity), np.zeros(capacity)
    for _ in range(30):
        places = generator.integers(0, capacity, generator.integers(1, 20))
        values = generator.integers(0, 10, len(places))  # exact sums, and zeros among them
        tree[places] = values
        for place, value in zip(places, values, strict=True):
            numbers[place] = value
        np.testing.assert_array_equal(tree[:capacity], numbers)
        assert tree.total == numbers.sum()
        if tree.total:
            parts = np.append(generator.uniform(0, tree.total, 200), [0, np.nextafter(tree.total, 0)])
            np.testing.assert_array_equal(tree.find(parts), np.searchsorted(np.cumsum(numbers), parts, side="right"))


def test_a_place_with_nothing_is_never_found_whatever_is_rounded():
    """Sums of numbers of very different size are rounded: a part that is close to the total must not fall off it."""
    tree = SumTree(1000)
    tree[np.arange(600)] = np.random.default_rng(0).lognormal(0, 12, 600)
    parts = np.append(np.linspace(0, tree.total, 100_000), np.nextafter(tree.total, np.inf))
    found = tree.find(parts)
    assert (tree[found] > 0).all() and found.max() == 599


def test_places_are_drawn_in_proportion_to_their_priorities():
    priorities, generator = Priorities(50, 0.6), np.random.default_rng(0)
    errors = generator.normal(size=40)
    priorities.add(np.arange(40))
    priorities.update(np.arange(40), errors)
    expected = (np.abs(errors) + SMALLEST_ERROR) ** 0.6
    expected /= expected.sum()
    counts = sum(np.bincount(priorities.sample(1, generator), minlength=50) for _ in range(4_000))
    assert not counts[40:].any()
    assert scipy.stats.chisquare(counts[:40], 4_000 * expected).pvalue > 1e-3


def test_a_batch_is_stratified():
    """One draw from each of B equal parts of the sum: counts hardly vary (Schaul et al., B.2.1)."""
    priorities, generator = Priorities(8, 1.0), np.random.default_rng(0)
    priorities.add(np.arange(8))
    priorities.update(np.arange(8), np.arange(1, 9).astype(np.float32))
    expected = 36 * np.arange(1, 9) / 36
    for _ in range(100):
        counts = np.bincount(priorities.sample(36, generator), minlength=8)
        assert (np.abs(counts - expected) < 2).all()


@pytest.mark.parametrize("exponent", [0.0, 0.4, 1.0])
def test_importance_weights_are_those_of_the_closed_form(exponent):
    priorities = Priorities(10, 0.5)
    priorities.add(np.arange(5))
    priorities.update(np.arange(5), np.float32([1, -4, 9, 16, 0]))
    roots = np.sqrt(np.array([1, 4, 9, 16, 0]) + SMALLEST_ERROR)
    places = np.array([0, 3, 3, 2])
    weights = (5 * roots[places] / roots.sum()) ** -exponent
    found = priorities.weights(places, 5, exponent)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, weights / weights.max(), rtol=1e-6)


def test_weighted_draws_estimate_the_uniform_mean_without_bias():
    """With an exponent of 1 before the division by the maximum: E[w x] is the mean of x over the buffer."""
    priorities, generator = Priorities(30, 1.0), np.random.default_rng(0)
    values = generator.normal(size=30)
    priorities.add(np.arange(30))
    priorities.update(np.arange(30), generator.uniform(0.5, 2, 30))
    places = priorities.sample(100_000, generator)
    weights = priorities.weights(places, 30, 1.0).astype(np.float64)
    assert (weights * values[places]).sum() / weights.sum() == pytest.approx(values.mean(), abs=0.01)


def test_a_new_transition_has_the_largest_priority_so_far():
    priorities = Priorities(6, 1.0)
    priorities.add(np.array([0, 1]))
    np.testing.assert_array_equal(priorities.state_dict()["priorities"], [1, 1, 0, 0, 0, 0])
    priorities.update(np.array([0, 1]), np.float32([-5, 0.5]))
    priorities.add(np.array([2]))
    priorities.update(np.array([0]), np.float32([0.25]))
    priorities.add(np.array([3]))
    expected = [0.25 + 1e-6, 0.5 + 1e-6, 5 + 1e-6, 5 + 1e-6, 0, 0]
    np.testing.assert_allclose(priorities.state_dict()["priorities"], expected, rtol=1e-12)


def test_a_restored_state_draws_the_same_places():
    priorities, again = Priorities(20, 0.6), Priorities(20, 0.6)
    priorities.add(np.arange(20))
    priorities.update(np.arange(15), np.random.default_rng(0).lognormal(0, 3, 15))
    state = priorities.state_dict()
    again.check_state_dict(state)
    again.load_state_dict(state)
    for one in (priorities, again):
        one.add(np.array([3]))
    draws = [one.sample(100, np.random.default_rng(1)) for one in (priorities, again)]
    np.testing.assert_array_equal(*draws)


@pytest.mark.parametrize(
    "change",
    [
        {"largest": 0.0},
        {"largest": np.nan},
        {"largest": None},
        {"priorities": np.zeros(3)},
        {"priorities": None},
        {"priorities": np.full(4, -1.0)},
        {"priorities": np.full(4, np.nan)},
        {"priorities": np.zeros(4, np.float32)},
    ],
    ids=str,
)
def test_a_state_of_something_else_is_refused(change):
    with pytest.raises(ValueError, match="replay buffer"):
        Priorities(4, 1.0).check_state_dict({**Priorities(4, 1.0).state_dict(), **change})


@pytest.mark.parametrize("state", [None, 3, [], {}])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(ValueError, match="replay buffer"):
        Priorities(4, 1.0).check_state_dict(state)


# ------------------------------------------------------------------------------------------------ in a replay buffer


def make_replay(capacity=8, **changes) -> ReplayBuffer:
    return ReplayBuffer(capacity, Box(-100, 100, (1,)), Discrete(2), priority_exponent=1.0, **changes)


def test_transitions_are_drawn_by_the_errors_that_were_given_for_them():
    replay, generator = make_replay(), np.random.default_rng(0)
    replay.add(single(np.arange(6.0)[:, np.newaxis], rewards=np.arange(5)))
    replay.update_priorities(np.arange(5), np.float32([0, 0, 3, 0, 1]))
    batch = replay.sample(40_000, generator, importance_exponent=1.0)
    np.testing.assert_array_equal(batch.observations[:, 0], batch.places)
    counts = np.bincount(batch.places, minlength=5)
    np.testing.assert_allclose(counts, 40_000 * np.array([0, 0, 0.75, 0, 0.25]), atol=2)
    np.testing.assert_allclose(batch.weights[batch.places == 4], 1, rtol=1e-5)
    np.testing.assert_allclose(batch.weights[batch.places == 2], 1 / 3, rtol=1e-5)


def test_a_transition_that_replaces_another_has_a_priority_of_its_own():
    replay = make_replay(4)
    replay.add(single(np.arange(5.0)[:, np.newaxis]))
    replay.update_priorities(np.arange(4), np.float32([0, 0, 0, 0]))
    replay.add(single(np.arange(4.0, 6)[:, np.newaxis]))
    batch = replay.sample(100, np.random.default_rng(0))
    assert set(batch.places) == {0} and set(batch.observations[:, 0]) == {4}


def test_errors_change_nothing_where_sampling_is_uniform():
    replay = ReplayBuffer(8, Box(-100, 100, (1,)), Discrete(2))
    replay.add(single(np.arange(6.0)[:, np.newaxis]))
    replay.update_priorities(np.arange(5), np.float32([0, 0, 3, 0, 1]))
    assert set(replay.sample(200, np.random.default_rng(0)).places) == set(range(5))
