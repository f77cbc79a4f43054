"""A Markov decision process with five states and three actions, and its values by linear equations and enumeration."""

from __future__ import annotations

import itertools

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete

NUM_STATES, NUM_ACTIONS, GAMMA = 5, 3, 0.8
_generator = np.random.default_rng(2016)
TRANSITIONS = _generator.dirichlet(np.full(NUM_STATES, 0.5), (NUM_STATES, NUM_ACTIONS))  # [S, A, S]
REWARDS = _generator.normal(0, 1, (NUM_STATES, NUM_ACTIONS)).round(2)
STATES, ACTIONS = (grid.ravel() for grid in np.indices((NUM_STATES, NUM_ACTIONS)))  # every pair once


def softmax(q_values: np.ndarray, alpha: float) -> np.ndarray:
    """Policy ``[S, A]`` in proportion to ``exp(Q / alpha)``."""
    weights = np.exp((q_values - q_values.max(axis=1, keepdims=True)) / alpha)
    return weights / weights.sum(axis=1, keepdims=True)


def entropy(policy: np.ndarray) -> np.ndarray:
    """``[S]``, in nats."""
    return -np.sum(policy * np.log(np.where(policy > 0, policy, 1)), axis=1)


def values_of(policy: np.ndarray, alpha: float = 0.0) -> np.ndarray:
    """``[S]``, expected discounted sums of rewards and ``alpha`` times entropies, by solving Bellman's equation."""
    rewards = (policy * REWARDS).sum(axis=1) + alpha * entropy(policy)
    return np.linalg.solve(np.eye(NUM_STATES) - GAMMA * np.einsum("sa,sat->st", policy, TRANSITIONS), rewards)


def q_of(values: np.ndarray) -> np.ndarray:
    """``[S, A]``, rewards and discounted values of the next states."""
    return REWARDS + GAMMA * TRANSITIONS @ values


def deterministic_policies() -> list[np.ndarray]:
    """All 243 of them, ``[S, A]``."""
    return [np.eye(NUM_ACTIONS)[list(actions)] for actions in itertools.product(range(NUM_ACTIONS), repeat=NUM_STATES)]


class FiveStates(gymnasium.Env):
    """The process as an environment; an episode is cut after 50 steps."""

    observation_space = Discrete(NUM_STATES)
    action_space = Discrete(NUM_ACTIONS)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state, self.count = int(self.np_random.integers(NUM_STATES)), 0
        return self.state, {}

    def step(self, action):
        reward = float(REWARDS[self.state, action])
        self.state = int(self.np_random.choice(NUM_STATES, p=TRANSITIONS[self.state, action]))
        self.count += 1
        return self.state, reward, False, self.count == 50, {}
