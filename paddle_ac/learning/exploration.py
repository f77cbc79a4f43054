"""Epsilon-greedy and Boltzmann exploration, which respect action masks."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from paddle_ac.action_masks import MASKED_LOGIT
from paddle_ac.nn.actions import CategoricalActions

Epsilon = TypeVar("Epsilon", float, np.ndarray)


def linear_epsilon(initial: float, final: Epsilon, env_steps: int, exploration_steps: float) -> Epsilon:
    """The probability of a random action after a number of steps (Mnih et al. 2015, extended data table 1).

    Args:
        initial: at step 0.
        final: from ``exploration_steps`` on; linear in between. Several, as an array, give as many.
        env_steps: steps of single environments so far.
        exploration_steps: in the same unit; 0 for ``final`` at once.
    """
    if env_steps >= exploration_steps:
        return final
    return initial + (final - initial) * env_steps / exploration_steps


def epsilon_greedy(q_values: np.ndarray, epsilon: float | np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Choose the best action of each row, or with probability epsilon any allowed one (Sutton and Barto 2018, 2.2).

    Args:
        q_values: ``[B, A]`` float32, or advantages; ``MASKED_LOGIT`` for actions that are not allowed.
        epsilon: probability of a random action, or ``[B]`` of one in each row.
        generator: the source of randomness.

    Returns:
        actions ``[B]`` int64.
    """
    actions = q_values.argmax(axis=-1)
    explores = generator.random(len(actions)) < epsilon
    if explores.any():
        rows = q_values[explores]
        scores = np.where(rows == MASKED_LOGIT, -1.0, generator.random(rows.shape))
        actions[explores] = scores.argmax(axis=-1)
    return actions


class EpsilonGreedyActions(CategoricalActions):
    """Epsilon-greedy actions of a Discrete space, whose outputs are Q values or advantages.

    Args:
        num_actions: ``A``.
        epsilon: probability of a random action in ``sample``, or ``[B]`` of one in each row.
    """

    def __init__(self, num_actions: int, epsilon: float | np.ndarray):
        super().__init__(num_actions)
        self.epsilon = epsilon

    def sample(self, outputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """As ``epsilon_greedy``."""
        return epsilon_greedy(outputs, self.epsilon, generator)

    def describe(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """The probabilities of the actions, ``[B, A]``."""
        allowed = outputs != MASKED_LOGIT
        epsilon = np.full(len(outputs), self.epsilon, np.float32)
        probabilities = allowed * (epsilon / allowed.sum(axis=1, dtype=np.float32))[:, np.newaxis]
        probabilities[np.arange(len(outputs)), outputs.argmax(axis=1)] += 1 - epsilon
        return {"probabilities": probabilities}


class BoltzmannActions(CategoricalActions):
    """Actions of a Discrete space with probabilities in proportion to ``exp(Q(s, a) / alpha)``.

    It is the policy of soft Q-learning (Haarnoja et al. 2017, arXiv:1702.08165, equation 6). Advantages give the same
    policy as Q values.

    Args:
        num_actions: ``A``.
        alpha: temperature, greater than 0.
    """

    def __init__(self, num_actions: int, alpha: float):
        super().__init__(num_actions)
        self.alpha = np.float32(alpha)

    def sample(self, outputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Draw actions ``[B]`` int64, given Q values or advantages ``[B, A]`` float32."""
        return super().sample(outputs / self.alpha, generator)

    def describe(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """The probabilities of the actions, ``[B, A]``."""
        return super().describe(outputs / self.alpha)
