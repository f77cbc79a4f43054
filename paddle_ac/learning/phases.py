"""The parts of an update, to be timed one by one."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from paddle_ac.action_masks import MASK, sample_allowed
from paddle_ac.learning.rollout import Act, Rollout, RolloutCollector

NUM_RANDOM_STEPS = 100


def phases_of_update(
    collector: RolloutCollector,
    act: Act,
    learn: Callable[[Rollout], None],
    has_mask: bool = False,
) -> dict[str, Callable[[], int]]:
    """Parts of the update of an algorithm that collects a rollout and then learns from it.

    Args:
        collector: with N environments, which are no good for learning afterwards.
        act: as for ``RolloutCollector.collect``.
        learn: learns from a rollout.
        has_mask: observations have action masks.

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

    def step_as_masks_allow() -> int:
        nonlocal observations
        observations, *_ = envs.step(sample_allowed(space, observations[MASK]))
        return envs.num_envs

    def choose() -> int:
        act(observations, collector.policy_state)
        return envs.num_envs

    def learn_from_rollout() -> int:
        learn(rollout)
        return rollout.rewards.size

    return {
        "environments": step_as_masks_allow if has_mask else step,
        "acting": choose,
        "learning": learn_from_rollout,
    }
