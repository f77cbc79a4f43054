"""The actor-critic loss: its value from the formula, its gradient from differences and in closed form."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import scipy.special

from paddle_ac.learning.losses import actor_critic_loss
from paddle_ac.nn.distributions import Categorical

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


def loss_of(logits, values, actions, returns, value_coef, entropy_coef, dtype="float64"):
    """The library's loss, and the tensors that its gradient goes to."""
    logits, values = (paddle.to_tensor(array, dtype, stop_gradient=False) for array in (logits, values))
    actions, returns = paddle.to_tensor(actions), paddle.to_tensor(returns, dtype)
    return actor_critic_loss(Categorical(logits), values, actions, returns, value_coef, entropy_coef), logits, values


def differences(function, point, step=1e-6):
    """Central finite differences of a scalar function, one entry at a time."""
    gradient = np.empty_like(point)
    for place in np.ndindex(point.shape):
        above, below = point.copy(), point.copy()
        above[place] += step
        below[place] -= step
        gradient[place] = (function(above) - function(below)) / (2 * step)
    return gradient


@COEFFICIENTS
@pytest.mark.parametrize("dtype,tolerance", [("float64", 1e-12), ("float32", 1e-5)])
def test_each_part_and_the_total_follow_the_formula(value_coef, entropy_coef, dtype, tolerance):
    logits, values, actions, returns = random_batch()
    loss, *_ = loss_of(logits, values, actions, returns, value_coef, entropy_coef, dtype)
    actor, critic, entropy = reference(logits, values, actions, returns, returns - values)
    expected = [actor, critic, entropy, actor + value_coef * critic - entropy_coef * entropy]
    found = [part.item() for part in (loss.actor, loss.critic, loss.entropy, loss.total)]
    np.testing.assert_allclose(found, expected, rtol=tolerance)
    assert loss.total.shape == []


@COEFFICIENTS
def test_the_gradient_is_that_of_finite_differences_with_the_advantage_held_constant(value_coef, entropy_coef):
    logits, values, actions, returns = random_batch()
    advantages = returns - values

    def surrogate(logits, values):
        actor, critic, entropy = reference(logits, values, actions, returns, advantages)
        return actor + value_coef * critic - entropy_coef * entropy

    loss, logits_tensor, values_tensor = loss_of(logits, values, actions, returns, value_coef, entropy_coef)
    loss.total.backward()
    expected = differences(lambda point: surrogate(point, values), logits)
    np.testing.assert_allclose(logits_tensor.grad.numpy(), expected, rtol=1e-6, atol=1e-8)
    expected = differences(lambda point: surrogate(logits, point), values)
    np.testing.assert_allclose(values_tensor.grad.numpy(), expected, rtol=1e-6, atol=1e-8)


@COEFFICIENTS
def test_the_gradient_is_the_closed_form(value_coef, entropy_coef):
    logits, values, actions, returns = random_batch()
    loss, logits_tensor, values_tensor = loss_of(logits, values, actions, returns, value_coef, entropy_coef)
    loss.total.backward()
    probabilities = scipy.special.softmax(logits, axis=-1)
    entropies = -(probabilities * np.log(probabilities)).sum(axis=-1, keepdims=True)
    policy_gradient = (returns - values)[:, np.newaxis] * (probabilities - np.eye(4)[actions])
    entropy_gradient = -probabilities * (np.log(probabilities) + entropies)
    expected = (policy_gradient - entropy_coef * entropy_gradient) / 7
    np.testing.assert_allclose(logits_tensor.grad.numpy(), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(values_tensor.grad.numpy(), value_coef * 2 * (values - returns) / 7, rtol=1e-10)


def test_the_actor_does_not_teach_the_critic():
    loss, logits, values = loss_of(*random_batch(), value_coef=0.5, entropy_coef=0.01)
    (loss.actor + loss.entropy).backward()
    assert values.grad is None or not values.grad.numpy().any()
    assert logits.grad.numpy().all()


def test_the_critic_does_not_teach_the_actor():
    loss, logits, values = loss_of(*random_batch(), value_coef=0.5, entropy_coef=0.01)
    loss.critic.backward()
    assert logits.grad is None or not logits.grad.numpy().any()
    assert values.grad.numpy().all()


def test_a_better_return_makes_its_action_more_probable_and_its_state_more_valued():
    loss, logits, values = loss_of(np.zeros((1, 3)), np.zeros(1), np.array([1]), np.ones(1), 0.5, 0.0)
    loss.total.backward()
    assert np.sign(-logits.grad.numpy()).tolist() == [[-1, 1, -1]]
    assert -values.grad.item() > 0
