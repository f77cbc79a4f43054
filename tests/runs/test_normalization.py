"""Normalisation: the moments of NumPy over a stream, the same after saving, frozen where nothing is learned."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from multiprocessing_env import DummyVecEnv
from paddle_ac.algorithms.a2c import A2C
from paddle_ac.algorithms.reinforce import Reinforce
from paddle_ac.checkpoint import load_checkpoint
from paddle_ac.config import make_config
from paddle_ac.envs.make import make_evaluation_envs
from paddle_ac.learning.gradient import GradientOfRollout
from paddle_ac.learning.rewards import RewardNormalizer
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.moments import RunningMoments
from paddle_ac.training.evaluate import load_policy
from paddle_ac.training.run_folder import RunFolder
from paddle_ac.training.runs import resume
from tests.environments import RandomWalk
from tests.short_runs import assert_same_run, quick_run


def stream():
    """Batches of different sizes, far from 0, in different scales."""
    generator = np.random.default_rng(0)
    return [generator.normal([1e4, -3], [0.1, 50], (size, 2)).astype(np.float32) for size in (1, 7, 100, 3, 1, 500)]


def test_the_moments_are_numpys_at_every_point_of_a_stream():
    moments, batches = RunningMoments((2,)), stream()
    for end in range(1, len(batches) + 1):
        moments.update(batches[end - 1])
        seen = np.concatenate(batches[:end]).astype(np.float64)
        assert moments.statistics["count"] == len(seen)
        np.testing.assert_allclose(moments.mean, seen.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(moments.variance, seen.var(axis=0), rtol=1e-9)


def test_the_moments_go_on_from_where_they_were_saved():
    batches = stream()
    one, other = RunningMoments((2,)), RunningMoments((2,))
    for batch in batches[:3]:
        one.update(batch)
    other.load_state_dict(one.state_dict())
    for batch in batches[3:]:
        one.update(batch)
        other.update(batch)
    np.testing.assert_equal(vars(other), vars(one))
    with pytest.raises(ValueError, match="the mean of the moments is"):
        RunningMoments((3,)).load_state_dict(one.state_dict())


def test_features_have_mean_0_and_deviation_1_and_no_outliers():
    space = Box(-np.inf, np.inf, (2,), np.float32)
    encode, observations = ObservationEncoder(space, normalize=True), stream()[-1]
    np.testing.assert_array_equal(encode(observations[:3]), np.clip(observations[:3], -10, 10))  # nothing known yet
    encode.update(observations)
    features = encode(observations)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=2e-2)
    np.testing.assert_allclose(features.std(axis=0), 1, atol=2e-2)
    assert encode(np.array([[1e9, -1e9]], np.float32)).tolist() == [[10, -10]]
    before = encode(observations)
    np.testing.assert_array_equal(encode(observations), before)  # to look is not to learn


def test_one_hot_features_are_left_alone():
    encode = ObservationEncoder(Discrete(3), normalize=True)
    encode.update(np.array([0, 0, 1]))
    assert encode(np.array([2])).tolist() == [[0, 0, 1]] and encode.state_dict() == {}


def test_rewards_are_divided_by_the_deviation_of_the_discounted_return():
    generator = np.random.default_rng(1)
    normalize, returns, seen = RewardNormalizer(3, 0.9), np.zeros(3), []
    for _ in range(5):
        rewards = generator.normal(5, 2, (4, 3)).astype(np.float32)
        done = generator.uniform(size=(4, 3)) < 0.3
        normalize.update(rewards, done)
        found = normalize(rewards)
        for step in range(4):
            returns = 0.9 * returns + rewards[step]
            seen.extend(returns)
            returns = returns * ~done[step]
        np.testing.assert_allclose(found, np.clip(rewards / np.std(seen), -10, 10), rtol=1e-5)
    restored = RewardNormalizer(3, 0.9)
    restored.load_state_dict(normalize.state_dict())
    for normalizer in (restored, normalize):
        normalizer.update(rewards, done)
    np.testing.assert_array_equal(restored(rewards), normalize(rewards))


def test_rewards_are_normalised_and_then_scaled_and_then_clipped(monkeypatch):
    """By hand, in A2C without a future, whose returns are the rewards as they are learned from."""
    changes = {"gamma": 0, "normalize_rewards": True, "reward_scale": 3.0, "reward_clip": 4.0}
    agent = A2C(make_config({"algo": "a2c", **changes}), DummyVecEnv([RandomWalk] * 2))
    collect, real, played, learned = agent.collector.collect, GradientOfRollout.__call__, [], []
    agent.collector.collect = lambda act: played.append(collect(act)) or copy.copy(played[-1])
    monkeypatch.setattr(
        GradientOfRollout, "__call__", lambda self, rollout: learned.append(real(self, rollout)) or learned[-1]
    )
    for _ in range(10):
        agent.update()
        rewards = [rollout.rewards.ravel() for rollout in played]
        expected = np.clip(3 * np.clip(rewards[-1] / np.std(np.float64(rewards)), -10, 10), -4, 4)
        np.testing.assert_allclose(learned[-1].returns, expected, rtol=1e-4, atol=1e-5)
    assert (np.abs(expected) == 4).any() and (np.abs(expected) < 4).any()
    agent.close()


NORMALIZED = {"normalize_observations": True, "normalize_rewards": True}
CONTINUOUS = {"algo": "sac", "env": "test/Continuous-v0", "batch_size": 16, "learning_starts": 50}


def test_a_normalised_run_is_resumed_exactly(tmp_path):
    quick_run(tmp_path / "whole", 3020, **NORMALIZED)
    quick_run(tmp_path / "run", 1510, **NORMALIZED)
    resume(str(tmp_path / "run"), {"total_steps": 3020})
    assert_same_run(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("changes", [{}, CONTINUOUS], ids=["a2c", "sac"])
@pytest.mark.parametrize("checkpoint", ["best", "latest"])
def test_the_moments_are_saved_with_the_model_and_used_in_evaluation(tmp_path, checkpoint, changes):
    quick_run(tmp_path / "run", 1000, **NORMALIZED, eval_interval=500, **changes)
    folder = RunFolder.open(tmp_path / "run")
    config = folder.read_config()
    with make_evaluation_envs(config, 0, 2) as envs:
        policy, _ = load_policy(folder, config, checkpoint, envs)
    state = load_checkpoint(getattr(folder, checkpoint))
    state = state if checkpoint == "best" else state["algorithm"]
    moments = state["encoder"]
    assert moments["count"] == state["env_steps"] >= 500, "evaluations teach it nothing"
    observation = np.ones((1, *moments["mean"].shape), np.float32)
    expected = np.clip((observation - moments["mean"]) / np.sqrt(moments["variance"]), -10, 10)
    np.testing.assert_allclose(policy.encode(observation), expected, rtol=1e-4)


def test_acting_and_learning_see_the_same_features(monkeypatch):
    """The moments change after the gradient, so that the probabilities of the actions are those they were drawn by."""
    config = make_config({"algo": "a2c", "num_steps": 5, **NORMALIZED})
    agent = A2C(config, DummyVecEnv([RandomWalk] * 2))
    call, seen = ObservationEncoder.__call__, set()
    monkeypatch.setattr(
        ObservationEncoder,
        "__call__",
        lambda self, rows: seen.add(int(self.moments.statistics["count"])) or call(self, rows),
    )
    for expected in (0, 10, 20):
        seen.clear()
        agent.update()
        assert seen == {expected}
    agent.close()


def test_reinforce_takes_in_the_rewards_of_its_episodes_alone():
    config = make_config({"algo": "reinforce", "num_envs": 4, "vec": "serial", "normalize_rewards": True})
    with Reinforce.from_config(config) as agent:
        steps = sum(sum(agent.update()["charts/episode_length"]) for _ in range(3))
        assert agent.normalize_rewards.moments.statistics["count"] == steps
        assert not agent.normalize_rewards.returns.any()
