"""The losses: values from their formulas, gradients from finite differences and in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

from paddle_ac.losses.actor_critic import ActorCriticLoss, Targets
from paddle_ac.losses.policy_gradient import policy_gradient
from paddle_ac.losses.sac import (
    actor_loss,
    minimum,
    soft_bellman_targets,
    temperature_loss,
)
from paddle_ac.losses.values import CRITIC_LOSSES, bellman_residual
from paddle_ac.nn.actions import CategoricalActions

COEFFICIENTS = pytest.mark.parametrize("value_coef,entropy_coef", [(0.5, 0.01), (0, 0), (2, 0.7), (0, 1), (1, 0)])


def random_batch(batch_size=7, num_actions=4):
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (batch_size, num_actions))
    values, returns = generator.normal(0, 3, (2, batch_size))
    return logits, values, generator.integers(num_actions, size=batch_size), returns


def reference(logits, values, actions, returns, advantages):
    """Actor, critic and entropy, with the advantages given so that they can be held constant."""
    log_probabilities = scipy.special.log_softmax(logits, axis=-1)
    rows = range(len(actions))
    actor = np.mean([-log_probabilities[row, actions[row]] * advantages[row] for row in rows])
    critic = np.mean([(returns[row] - values[row]) ** 2 for row in rows])
    entropy = np.mean([-(np.exp(log_probabilities[row]) * log_probabilities[row]).sum() for row in rows])
    return actor, critic, entropy


def differences(function, point, step=1e-6):
    """Central finite differences of a scalar function, one entry at a time."""
    gradient = np.empty_like(point)
    for place in np.ndindex(point.shape):
        above, below = point.copy(), point.copy()
        above[place] += step
        below[place] -= step
        gradient[place] = (function(above) - function(below)) / (2 * step)
    return gradient


def loss_of(logits, values, actions, returns, value_coef, entropy_coef, advantages=None, **options):
    loss = ActorCriticLoss(CategoricalActions(logits.shape[1]), "squared", value_coef, entropy_coef, **options)
    part = loss(logits, values, Targets(actions, returns, advantages), len(actions))
    return part, [*(part.terms / len(actions)), loss.total(part.terms / len(actions))]


@COEFFICIENTS
@pytest.mark.parametrize("dtype,tolerance", [("float64", 1e-12), ("float32", 1e-5)])
def test_each_part_and_the_total_follow_the_formula(value_coef, entropy_coef, dtype, tolerance):
    logits, values, actions, returns = random_batch()
    actor, critic, entropy = reference(logits, values, actions, returns, returns - values)
    arrays = logits.astype(dtype), values.astype(dtype), actions, returns.astype(dtype)
    part, found = loss_of(*arrays, value_coef, entropy_coef)
    total = actor + value_coef * critic - entropy_coef * entropy
    np.testing.assert_allclose(found, [actor, critic, entropy, total], rtol=tolerance)
    np.testing.assert_array_equal(part.values, arrays[1])


@COEFFICIENTS
def test_the_gradient_is_that_of_finite_differences_with_the_advantage_held_constant(value_coef, entropy_coef):
    logits, values, actions, returns = random_batch()
    advantages = returns - values

    def surrogate(logits, values):
        actor, critic, entropy = reference(logits, values, actions, returns, advantages)
        return actor + value_coef * critic - entropy_coef * entropy

    part, _ = loss_of(logits, values, actions, returns, value_coef, entropy_coef)
    expected = differences(lambda point: surrogate(point, values), logits)
    np.testing.assert_allclose(part.grad_outputs, expected, rtol=1e-6, atol=1e-8)
    expected = differences(lambda point: surrogate(logits, point), values)
    np.testing.assert_allclose(part.grad_critic_outputs, expected, rtol=1e-6, atol=1e-8)


@COEFFICIENTS
def test_the_gradient_is_the_closed_form(value_coef, entropy_coef):
    logits, values, actions, returns = random_batch()
    part, _ = loss_of(logits, values, actions, returns, value_coef, entropy_coef)
    probabilities = scipy.special.softmax(logits, axis=-1)
    entropies = -(probabilities * np.log(probabilities)).sum(axis=-1, keepdims=True)
    of_actor = (returns - values)[:, np.newaxis] * (probabilities - np.eye(4)[actions])
    of_entropy = -probabilities * (np.log(probabilities) + entropies)
    np.testing.assert_allclose(part.grad_outputs, (of_actor - entropy_coef * of_entropy) / 7, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(part.grad_critic_outputs, value_coef * 2 * (values - returns) / 7, rtol=1e-6)


def test_given_advantages_take_the_place_of_returns_less_values():
    logits, values, actions, returns = random_batch()
    advantages = np.random.default_rng(1).normal(size=7)
    part, (actor, *_) = loss_of(logits, values, actions, returns, 0.5, 0.0, advantages)
    expected = differences(lambda point: reference(point, values, actions, returns, advantages)[0], logits)
    np.testing.assert_allclose(part.grad_outputs, expected, rtol=1e-6, atol=1e-8)
    assert actor == pytest.approx(reference(logits, values, actions, returns, advantages)[0])


def test_a_critic_of_actions_learns_their_values_and_gives_the_advantage():
    logits, _, actions, returns = random_batch()
    q = np.random.default_rng(1).normal(size=logits.shape)
    part, _ = loss_of(logits, q, actions, returns, 0.5, 0.0, q_critic=True)
    values = (scipy.special.softmax(logits, axis=-1) * q).sum(axis=-1)
    chosen = q[range(7), actions]
    np.testing.assert_allclose(part.values, values)
    expected = differences(lambda point: reference(point, values, actions, returns, chosen - values)[0], logits)
    np.testing.assert_allclose(part.grad_outputs, expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(
        part.grad_critic_outputs, np.eye(4)[actions] * ((chosen - returns) / 7)[:, None], rtol=1e-6
    )


def test_a_better_return_makes_its_action_more_probable_and_its_state_more_valued():
    part, _ = loss_of(np.zeros((1, 3)), np.zeros(1), np.array([1]), np.ones(1), 0.5, 0.0)
    assert np.sign(-part.grad_outputs).tolist() == [[-1, 1, -1]]
    assert -part.grad_critic_outputs.item() > 0


def test_a_part_of_a_batch_has_its_share_of_the_mean():
    logits, values, actions, returns = random_batch()
    loss = ActorCriticLoss(CategoricalActions(4), "squared", 0.5, 0.1)
    targets = Targets(actions, returns, returns)
    whole = loss(logits, values, targets, 7)
    parts = [loss(logits[rows], values[rows], targets[rows], 7) for rows in (slice(0, 3), slice(3, 7))]
    np.testing.assert_allclose(whole.terms, parts[0].terms + parts[1].terms)
    np.testing.assert_allclose(whole.grad_outputs, np.concatenate([part.grad_outputs for part in parts]))


@pytest.mark.parametrize("name", CRITIC_LOSSES)
def test_losses_of_values_and_their_gradients(name):
    values, targets = np.linspace(-3, 3, 8), np.zeros(8)
    losses, gradient = CRITIC_LOSSES[name](values, targets)
    expected = values**2 if name == "squared" else np.where(np.abs(values) < 1, values**2 / 2, np.abs(values) - 0.5)
    np.testing.assert_allclose(losses, expected)
    slopes = differences(lambda point: CRITIC_LOSSES[name](point, targets)[0].sum(), values)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6)


@pytest.mark.parametrize("log_epsilon", [0.0, 1e-6, 0.3])
def test_the_policy_gradient_is_that_of_differences(log_epsilon):
    log_probs, advantages = np.random.default_rng(0).normal(size=(2, 5))
    loss, gradient = policy_gradient(log_probs, advantages, log_epsilon)
    assert loss == pytest.approx(-(np.log(np.exp(log_probs) + np.float32(log_epsilon)) * advantages).sum())
    np.testing.assert_allclose(
        gradient, differences(lambda point: policy_gradient(point, advantages, log_epsilon)[0], log_probs), rtol=1e-6
    )


def test_an_epsilon_bounds_the_gradient_of_an_action_that_is_almost_never_taken():
    logits, values, actions, returns = np.zeros((1, 3)), np.zeros(1), np.array([0]), np.full(1, -2.0)
    logits[0, 0] = -30
    without, with_epsilon = (
        loss_of(logits, values, actions, returns, 0, 0, log_epsilon=log_epsilon)[0] for log_epsilon in (0.0, 1e-6)
    )
    assert np.abs(without.grad_outputs).max() > 0.5 and np.abs(with_epsilon.grad_outputs).max() < 1e-6


@COEFFICIENTS
def test_the_gradient_with_an_epsilon_in_the_logarithm_is_that_of_finite_differences(value_coef, entropy_coef):
    logits, values, actions, returns = random_batch()
    advantages = returns - values
    options = {"advantages": advantages, "log_epsilon": 0.1}

    def total(point):
        return loss_of(point, values, actions, returns, value_coef, entropy_coef, **options)[1][-1]

    part, _ = loss_of(logits, values, actions, returns, value_coef, entropy_coef, **options)
    np.testing.assert_allclose(part.grad_outputs, differences(total, logits), atol=1e-7)


def test_the_gradients_of_the_losses_of_sac_are_those_of_differences():
    generator = np.random.default_rng(0)
    values, (targets, log_probs) = generator.normal(size=(2, 6)), generator.normal(size=(2, 6))
    _, gradient = bellman_residual(values, targets)
    expected = differences(lambda point: bellman_residual(point, targets)[0], values)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)
    smaller, gradient = minimum(values)
    np.testing.assert_array_equal(smaller, values.min(axis=0))
    np.testing.assert_allclose(gradient, differences(lambda point: minimum(point)[0].sum(), values), rtol=1e-6)
    _, grad_log_prob, grad_value = actor_loss(log_probs, smaller, 0.7)
    expected = differences(lambda point: actor_loss(point, smaller, 0.7)[0], log_probs)
    np.testing.assert_allclose(np.full(6, grad_log_prob), expected, rtol=1e-6)
    expected = differences(lambda point: actor_loss(log_probs, point, 0.7)[0], smaller)
    np.testing.assert_allclose(np.full(6, grad_value), expected, rtol=1e-6)
    loss, gradient = temperature_loss(-1.5, 0.4, -2.0)
    assert loss == pytest.approx(-1.5 * 2.4) and gradient == pytest.approx(2.4)


def test_targets_of_sac_do_not_look_beyond_a_termination():
    next_values = np.array([[3.0, 3], [4, 4]])
    found = soft_bellman_targets(np.ones(2), np.array([0.9, 0]), next_values, np.full(2, -1.0), 0.5)
    assert found.tolist() == pytest.approx([1 + 0.9 * (3 + 0.5), 1])
