"""CartPole without its velocities is CartPole, but for what is seen of it."""

from __future__ import annotations

import gymnasium
import numpy as np

from paddle_ac.config import make_config
from paddle_ac.envs.make import make_training_envs


def test_the_positions_are_those_of_cartpole_and_all_else_is_the_same():
    whole, hidden = (gymnasium.make(name) for name in ("CartPole-v1", "paddle_ac.envs.cartpole:CartPolePositions-v1"))
    actions = np.random.default_rng(0).integers(2, size=300)
    expected, found = (env.reset(seed=4)[0] for env in (whole, hidden))
    for action in actions:
        assert hidden.observation_space.contains(found) and found.dtype == np.float32
        np.testing.assert_array_equal(found, expected[[0, 2]])
        (expected, *rest), (found, *found_rest) = whole.step(action), hidden.step(action)
        assert rest == found_rest
        if rest[1] or rest[2]:
            expected, found = whole.reset()[0], hidden.reset()[0]
    assert hidden.spec.max_episode_steps == whole.spec.max_episode_steps


def test_worker_processes_know_it():
    values = {"algo": "a2c", "env": "paddle_ac.envs.cartpole:CartPolePositions-v1", "num_envs": 2, "vec": "subproc"}
    with make_training_envs(make_config(values)) as envs:
        assert envs.reset().shape == (2, 2)
