"""The replay buffer: the last transitions and no others, as they were, through wrap-around, time limits and files."""

from __future__ import annotations

import functools
import resource

import numpy as np
import pytest
from gymnasium.spaces import Box

from multiprocessing_env import DummyVecEnv
from paddle_ac.algorithms.sac import SAC
from paddle_ac.checkpoint import load_checkpoint, save_checkpoint
from paddle_ac.config import make_config
from paddle_ac.learning.replay import ReplayBuffer
from tests.environments import Counting

F, A = 3, 2


def transitions(first: int, last: int) -> dict[str, np.ndarray]:
    """Transitions that tell their number in every part: number 5 has a reward of 5, features 50, 51, 52, ..."""
    numbers = np.arange(first, last, dtype=np.float32)
    return {
        "features": 10 * numbers[:, np.newaxis] + np.arange(F),
        "actions": numbers[:, np.newaxis] / 10 + np.arange(A),
        "next_features": -10 * numbers[:, np.newaxis] - np.arange(F),
        "rewards": numbers,
        "terminated": numbers % 2 == 1,
    }


def numbers_held(replay: ReplayBuffer) -> set[int]:
    """The numbers of all transitions held, each seen to be whole."""
    batch = replay.sample(60 * replay.size, np.random.default_rng(0))
    numbers = batch.rewards[:, np.newaxis]
    np.testing.assert_array_equal(batch.features, 10 * numbers + np.arange(F))
    np.testing.assert_array_equal(batch.inputs[:, :F], batch.features)
    np.testing.assert_allclose(batch.inputs[:, F:], numbers / 10 + np.arange(A), rtol=1e-6)
    np.testing.assert_array_equal(batch.next_features, -10 * numbers - np.arange(F))
    np.testing.assert_array_equal(batch.terminated, batch.rewards % 2)
    return set(batch.rewards.astype(int))


@pytest.mark.parametrize("step", [1, 3, 4, 10, 25], ids="{} at a time".format)
def test_the_last_transitions_are_held_through_wrap_around(step):
    replay = ReplayBuffer(10, F, A)
    for first in range(0, 100, step):
        replay.add(**transitions(first, first + step))
        last = first + step
        assert numbers_held(replay) == set(range(max(0, last - 10), last))
        assert replay.size == min(last, 10)


def test_every_transition_is_drawn_as_often():
    replay = ReplayBuffer(8, F, A)
    replay.add(**transitions(0, 13))
    drawn = replay.sample(80_000, np.random.default_rng(0)).rewards
    counts = np.unique(drawn, return_counts=True)[1]
    assert len(counts) == 8 and np.ptp(counts) < 600  # six standard deviations


@pytest.mark.parametrize("added", [4, 10, 13])
def test_its_state_goes_through_a_file_and_on_alike(added, tmp_path):
    replay = ReplayBuffer(10, F, A)
    replay.add(**transitions(0, added))
    save_checkpoint(tmp_path / "it", {"replay": replay.state_dict()})
    state = load_checkpoint(tmp_path / "it")["replay"]
    assert len(state["rows"]) == min(added, 10), "only what is filled"
    again = ReplayBuffer(10, F, A)
    again.load_state_dict(state)
    assert numbers_held(again) == numbers_held(replay)
    for buffer in (replay, again):
        buffer.add(**transitions(added, added + 3))
    batches = [buffer.sample(50, np.random.default_rng(1)) for buffer in (replay, again)]
    np.testing.assert_array_equal(batches[0].inputs, batches[1].inputs)


@pytest.mark.parametrize("other", [(11, F, A), (10, F + 1, A), (10, F, A + 1)], ids=str)
def test_the_state_of_another_buffer_is_refused(other):
    with pytest.raises(ValueError, match="replay buffer"):
        ReplayBuffer(10, F, A).load_state_dict(ReplayBuffer(*other).state_dict())


def test_a_large_buffer_costs_no_memory_until_it_is_used():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    replay = ReplayBuffer(100_000_000, 10, 5)
    replay.add(np.zeros((1, 10)), np.zeros((1, 5)), np.zeros((1, 10)), np.zeros(1), np.zeros(1))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes, of ten million"


class ContinuousCounting(Counting):
    """``Counting``, observing [seed, step of the episode], with a continuous action."""

    def __init__(self, **how_it_ends):
        super().__init__(**how_it_ends)
        self.action_space = Box(-2, 6, (1,))

    def step(self, action):
        return super().step(action[0])


SCALED = {"normalize_observations": True, "normalize_rewards": True, "reward_scale": 3.0, "reward_clip": 0.5}


@pytest.mark.parametrize("changes", [{}, SCALED], ids=["", "scaled when drawn, raw when kept"])
@pytest.mark.parametrize("train_freq", [1, 7])
def test_what_was_played_is_kept_with_the_last_observations_of_episodes(train_freq, changes):
    """Three environments side by side: one whose episodes end by themselves, one cut by a time limit, one endless."""
    ends = ({"terminate_at": 4}, {"truncate_at": 5}, {})
    env_fns = [functools.partial(ContinuousCounting, **how_it_ends) for how_it_ends in ends]
    played_alone = {"train_freq": train_freq, "learning_starts": 10_000, "buffer_size": 1000}
    agent = SAC(make_config({"algo": "sac", **played_alone, **changes}), DummyVecEnv(env_fns))
    agent.envs.seed(0)
    for _ in range(70 // train_freq):
        agent.update()
    rows = agent.replay.state_dict()["rows"]
    before, action, after, reward, terminated = rows[:, 1], rows[:, 2], rows[:, 4], rows[:, 5], rows[:, 6]
    assert len(rows) == 210
    # Never the first observation of the next episode, but where nobody asks what follows.
    np.testing.assert_array_equal(after[terminated == 0], before[terminated == 0] + 1)
    np.testing.assert_allclose(reward, 2 + 4 * action, rtol=1e-5, atol=1e-5)  # kept in the cube, played in the Box
    assert np.abs(action).max() <= 1 < np.ptp(action)
    np.testing.assert_array_equal(terminated[0::3], before[0::3] == 3)
    assert not terminated[1::3].any() and not terminated[2::3].any()
    assert (after[1::3].max(), after[2::3].max()) == (5, 70)
    agent.close()


@pytest.mark.parametrize(
    "change", [{"position": {}}, {"position": 1.0}, {"position": None}, {"rows": [[1.0]]}], ids=str
)
def test_a_state_with_values_of_another_kind_is_refused(change):
    with pytest.raises(ValueError, match="replay buffer"):
        ReplayBuffer(10, F, A).load_state_dict({**ReplayBuffer(10, F, A).state_dict(), **change})
