"""The parts of an update, to be timed one by one."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from paddle_ac.learning.gradient import GradientOfRollout
from paddle_ac.learning.rollout import RolloutCollector
from paddle_ac.nn.optimizers import Optimizer

NUM_RANDOM_STEPS = 100


def phases_of_update(
    collector: RolloutCollector,
    act: Callable[[np.ndarray], np.ndarray],
    gradient_of: GradientOfRollout,
    optimizer: Optimizer,
) -> dict[str, Callable[[], int]]:
    """What an on-policy update consists of.

    Args:
        collector: with N environments, which are no good for learning afterwards.
        act: from observations ``[N, ...]`` to actions ``[N, ...]``.
        gradient_of: differentiates the loss over a rollout.
        optimizer: takes a step of length 0.

    Returns:
        by name, functions that do a part once and return the steps of single environments that it is done for:
        a step of all environments with random actions; choosing their actions; learning from a rollout.
    """
    rollout = collector.collect(act)
    envs, observations = collector.envs, collector.observations
    space = envs.action_space
    actions = [np.stack([space.sample() for _ in range(envs.num_envs)]) for _ in range(NUM_RANDOM_STEPS)]
    next_actions = itertools.cycle(actions).__next__

    def step() -> int:
        envs.step(next_actions())
        return envs.num_envs

    def choose() -> int:
        act(observations)
        return envs.num_envs

    def learn() -> int:
        optimizer.step(gradient_of(rollout).gradient, 0.0)
        return rollout.rewards.size

    return {"environments": step, "acting": choose, "learning": learn}
