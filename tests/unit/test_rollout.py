"""Rollouts: everything in its place and time, nothing that is not finite, and every environment back where it stood."""

from __future__ import annotations

import copy
import functools
import itertools

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from multiprocessing_env import DummyVecEnv
from paddle_ac.envs.wrappers import EpisodeReplay
from paddle_ac.errors import NonFiniteError
from paddle_ac.learning.returns import n_step_returns
from paddle_ac.learning.rollout import CollectingStoppedError, EpisodeCollector, RolloutCollector
from paddle_ac.nn.unroll import Unroll
from tests.environments import RandomWalk
from tests.paddle_networks import ReferenceNetwork


class Scripted(gymnasium.Env):
    """Observes [name, episode, step of the episode]; its steps give the rewards and ends of a script.

    A script is a text with a letter for each step: ``.`` nothing, ``T`` terminated, ``L`` cut by a time limit,
    ``B`` both. The rewards are 1, 2, 4, ... from the first step on.
    """

    observation_space = Box(-np.inf, np.inf, (3,), np.float32)
    action_space = Discrete(1000)

    def __init__(self, name, script):
        self.name, self.script, self.steps, self.episode = name, script, 0, -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.step_of_episode = self.episode + 1, 0
        return self._observe(), {}

    def step(self, action):
        letter, reward = self.script[self.steps], 2.0**self.steps
        self.steps, self.step_of_episode = self.steps + 1, self.step_of_episode + 1
        return self._observe(), reward, letter in "TB", letter in "LB", {}

    def _observe(self):
        return np.array([self.name, self.episode, self.step_of_episode], np.float32)


def collector_of(*scripts, num_steps):
    env_fns = [functools.partial(Scripted, name, script) for name, script in enumerate(scripts)]
    return RolloutCollector(DummyVecEnv(env_fns), num_steps)


def zeros(observations, state):
    return np.zeros(len(observations), np.int64)


def test_a_rollout_is_time_major_and_in_order():
    asked = []

    def act(observations, state):
        asked.append(observations.copy())
        return 10 * len(asked) + np.arange(2)

    rollout = collector_of("..T...", "......", num_steps=4).collect(act)
    assert rollout.observations[:, 0].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 1, 0]]
    assert rollout.observations[:, 1].tolist() == [[1, 0, 0], [1, 0, 1], [1, 0, 2], [1, 0, 3]]
    assert rollout.last_observations.tolist() == [[0, 1, 1], [1, 0, 4]]
    assert rollout.actions.tolist() == [[10, 11], [20, 21], [30, 31], [40, 41]]
    assert rollout.rewards.tolist() == [[1, 1], [2, 2], [4, 4], [8, 8]]
    np.testing.assert_array_equal(rollout.observations, asked)


def test_arrays_have_the_types_of_their_spaces():
    rollout = collector_of("...", num_steps=3).collect(zeros)
    types = [array.dtype for array in (rollout.observations, rollout.actions, rollout.rewards, rollout.terminated)]
    assert types == [np.float32, np.int64, np.float32, np.bool_]
    assert rollout.truncated.dtype == np.bool_ and rollout.last_observations.dtype == np.float32


def test_each_action_goes_to_its_environment():
    class Echo(Scripted):
        def step(self, action):
            observation, _, *rest = super().step(action)
            return observation, float(action), *rest

    collector = RolloutCollector(DummyVecEnv([lambda: Echo(0, "...")] * 3), 2)
    actions = iter(np.array([[1, 2, 3], [4, 5, 6]]))
    assert collector.collect(lambda *_: next(actions)).rewards.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_termination_wins_over_a_truncation_and_each_is_recorded_in_its_place():
    rollout = collector_of(".T..", "L..L", ".B..", "....", num_steps=4).collect(zeros)
    assert np.argwhere(rollout.terminated).tolist() == [[1, 0], [1, 2]]
    assert np.argwhere(rollout.truncated).tolist() == [[0, 1], [3, 1]]
    assert rollout.truncation_places == [(0, 1), (3, 1)]
    assert np.array(rollout.truncation_observations).tolist() == [[1, 0, 1], [1, 1, 3]]


def test_truncations_of_one_step_are_recorded_in_the_order_of_environments():
    rollout = collector_of("L", "L", "T", "L", num_steps=1).collect(zeros)
    assert rollout.truncation_places == [(0, 0), (0, 1), (0, 3)]
    assert [observation[0] for observation in rollout.truncation_observations] == [0, 1, 3]


def test_a_rollout_begins_where_the_one_before_it_ended_and_leaves_that_one_alone():
    collector = collector_of("......T..", ".L.......", num_steps=3)
    rollouts = [collector.collect(zeros)]
    first = copy.deepcopy(rollouts[0])
    rollouts += [collector.collect(zeros), collector.collect(zeros)]
    for before, after in itertools.pairwise(rollouts):
        np.testing.assert_array_equal(before.last_observations, after.observations[0])
    np.testing.assert_equal(vars(rollouts[0]), vars(first))
    assert rollouts[2].rewards.tolist() == [[64, 64], [128, 128], [256, 256]]
    assert [rollout.terminated.any() for rollout in rollouts] == [False, False, True]
    assert [rollout.truncated.any() for rollout in rollouts] == [True, False, False]


def test_episodes_are_counted_whole_however_many_rollouts_they_span():
    collector = collector_of(".....T.L", "T......B", num_steps=2)
    rollouts = [collector.collect(zeros) for _ in range(4)]
    assert [rollout.episode_returns for rollout in rollouts] == [[1], [], [63], [64 + 128, 255 - 1]]
    assert [rollout.episode_lengths for rollout in rollouts] == [[1], [], [6], [2, 7]]


def test_the_return_of_an_episode_is_added_up_in_double_precision():
    class Large(Scripted):
        def step(self, action):
            observation, _, *rest = super().step(action)
            return observation, [1e8, 1, 1, -1e8][self.steps - 1], *rest

    collector = RolloutCollector(DummyVecEnv([lambda: Large(0, "...T")]), 4)
    assert collector.collect(zeros).episode_returns == [2]


class Broken(Scripted):
    """Environment 1 gives a value that is not finite: as an observation or a reward, at one step."""

    def __init__(self, name, script, where, value, at_step):
        super().__init__(name, script)
        self.where, self.value, self.at_step = where if name == 1 else "nowhere", value, at_step

    def step(self, action):
        observation, reward, *rest = super().step(action)
        if self.steps == self.at_step:
            if self.where == "observation":
                observation[2] = self.value
            if self.where == "reward":
                reward = self.value
        return observation, reward, *rest


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "where,scripts,at_step,told",
    [
        ("reward", ["...", "...", "..."], 1, "reward of environment 1"),
        ("reward", ["..T", "..T", "..L"], 3, "reward of environment 1"),
        ("observation", ["...", "...", "..."], 1, "observation of environment 1"),
        ("observation", ["...", "...", "..."], 3, "observation of environment 1"),
        ("observation", ["...", ".L.", "..."], 2, "last observation of environment 1"),
        ("observation", [".L.", "..L", "LLL"], 3, "last observation of environment 1"),
    ],
    ids=["reward", "last reward", "observation", "observation after", "cut off", "cut off at the end"],
)
def test_a_value_that_is_not_finite_is_reported_with_its_environment(where, scripts, at_step, told, value):
    env_fns = [functools.partial(Broken, name, script, where, value, at_step) for name, script in enumerate(scripts)]
    collector = RolloutCollector(DummyVecEnv(env_fns), 3)
    with pytest.raises(NonFiniteError, match=f"^{told} .*{value}"):
        collector.collect(zeros)


def test_an_observation_of_many_rows_that_is_not_finite_is_reported_in_one_line():
    class Image(RandomWalk):
        def step(self, action):
            return np.full((40, 40), np.nan, np.float32), 0.0, False, False, {}

    collector = RolloutCollector(DummyVecEnv([lambda: Image(shape=(40, 40))]), 2)
    with pytest.raises(NonFiniteError) as caught:
        collector.collect(zeros)
    message = str(caught.value)
    assert "environment 0" in message and message.isprintable()


def test_observations_of_whole_numbers_are_finite():
    for dtype in (np.uint8, np.int64):
        collector = RolloutCollector(DummyVecEnv([functools.partial(RandomWalk, dtype)]), 3)
        assert collector.collect(zeros).observations.dtype == dtype


def replayable(make_env, num_envs=3, num_steps=4, key=(0,)):
    env_fns = [
        functools.partial(lambda index: EpisodeReplay(make_env(), (*key, index)), index) for index in range(num_envs)
    ]
    return RolloutCollector(DummyVecEnv(env_fns), num_steps)


def acting(seed):
    generator = np.random.default_rng(seed)
    return lambda observations, state: generator.integers(4, size=len(observations))


@pytest.mark.parametrize("rollouts_before", [0, 1, 2, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_a_restored_collector_goes_on_as_the_one_that_was_saved(rollouts_before, dtype):
    saved = replayable(functools.partial(RandomWalk, dtype))
    act = acting(seed=0)
    for _ in range(rollouts_before):
        saved.collect(act)
    state = copy.deepcopy(saved.state_dict())
    restored = replayable(functools.partial(RandomWalk, dtype))
    restored.collect(acting(seed=5))  # it has been elsewhere meanwhile
    restored.load_state_dict(state)
    np.testing.assert_equal(restored.state_dict(), state)
    act_saved, act_restored = acting(seed=1), acting(seed=1)
    num_ends = 0
    for _ in range(10):
        expected, found = saved.collect(act_saved), restored.collect(act_restored)
        np.testing.assert_equal(vars(found), vars(expected))
        num_ends += len(found.episode_returns)
    assert num_ends > 5


def test_episodes_under_way_are_saved_with_their_actions_so_far():
    collector = replayable(lambda: Scripted(0, "...T....."), num_envs=2, num_steps=6)
    actions = iter(np.arange(12).reshape(6, 2))
    collector.collect(lambda *_: next(actions))
    state = collector.state_dict()
    assert list(state["envs"]) == ["0", "1"]
    assert [episode["episode"] for episode in state["envs"].values()] == [1, 1]
    assert [episode["actions"].tolist() for episode in state["envs"].values()] == [[8, 10], [9, 11]]
    assert state["episode_returns"].tolist() == [16 + 32] * 2 and state["episode_lengths"].tolist() == [2, 2]


def test_episodes_differ_between_environments_and_from_one_to_the_next():
    rollout = replayable(RandomWalk, num_steps=40).collect(acting(seed=0))
    begun = [rollout.observations[0]]
    begun += [rollout.observations[1:][ended[:-1]] for ended in [rollout.terminated | rollout.truncated]]
    begun = np.concatenate(begun)
    assert len(begun) > 10 and len(np.unique(begun, axis=0)) == len(begun)


def test_an_environment_that_does_not_repeat_itself_is_refused_by_its_number():
    class Drifting(RandomWalk):
        drift = itertools.count()

        def _observe(self):
            return super()._observe() + next(self.drift) % 7

    made = itertools.count()
    saved = replayable(lambda: Drifting() if next(made) == 1 else RandomWalk())
    saved.collect(acting(seed=0))
    state = copy.deepcopy(saved.state_dict())
    made = itertools.count()
    with pytest.raises(ValueError, match="environment 1 does not repeat itself"):
        replayable(lambda: Drifting() if next(made) == 1 else RandomWalk()).load_state_dict(state)


def test_environments_of_another_seed_are_refused():
    saved = replayable(RandomWalk)
    saved.collect(acting(seed=0))
    with pytest.raises(ValueError, match="environment 0 does not repeat itself"):
        replayable(RandomWalk, key=(1,)).load_state_dict(copy.deepcopy(saved.state_dict()))


def test_another_number_of_environments_is_refused():
    state = copy.deepcopy(replayable(RandomWalk, num_envs=3).state_dict())
    with pytest.raises(ValueError, match="of 3 environments, these are 2"):
        replayable(RandomWalk, num_envs=2).load_state_dict(state)


def test_an_environment_that_answers_in_higher_precision_than_its_space_can_be_restored():
    class Precise(RandomWalk):
        def _observe(self):
            return self.np_random.uniform(0, 1, 3)

    saved, restored = replayable(Precise), replayable(Precise)
    saved.collect(acting(seed=0))
    restored.load_state_dict(copy.deepcopy(saved.state_dict()))
    np.testing.assert_array_equal(restored.collect(acting(1)).observations, saved.collect(acting(1)).observations)


def test_environments_that_cannot_be_brought_back_begin_with_nothing_counted_or_remembered():
    class Forgetful(DummyVecEnv):
        def get_state(self):
            return {}

        def set_state(self, state, new_episodes=False):
            return None

    collector = RolloutCollector(Forgetful([functools.partial(Scripted, 7, "......")]), num_steps=2, state_size=1)

    def counting(observations, state):
        state += 1
        return zeros(observations, state)

    collector.collect(counting)
    collector.load_state_dict(collector.state_dict())
    rollout = collector.collect(counting)
    assert rollout.observations[:, 0].tolist() == [[7, 1, 0], [7, 1, 1]]
    assert rollout.policy_state.tolist() == [[0]] and rollout.last_policy_state.tolist() == [[2]]
    assert collector.episode_lengths.tolist() == [2] and collector.episode_returns.tolist() == [4 + 8]


def test_a_restored_collector_leaves_the_state_that_it_came_from_as_it_is():
    saved, restored = replayable(RandomWalk), replayable(RandomWalk)
    saved.collect(acting(seed=0))
    state = copy.deepcopy(saved.state_dict())
    before = copy.deepcopy(state)
    restored.load_state_dict(state)
    restored.collect(acting(seed=1))
    np.testing.assert_equal(state, before)


# ------------------------------------------------------------------------------------------------------ whole episodes


def episodes_of(*scripts):
    return EpisodeCollector(
        DummyVecEnv([functools.partial(Scripted, name, script) for name, script in enumerate(scripts)])
    )


def test_one_whole_episode_of_each_environment_counts_and_nothing_else():
    collector = episodes_of("..T" + "." * 20, "T" + ".T" * 10, "....L" + "." * 20)
    rollout = collector.collect(zeros)
    assert rollout.rewards.shape == (5, 3)
    assert rollout.mask.sum(axis=0).tolist() == [3, 1, 5]
    assert rollout.mask[0].all() and not rollout.mask[3:, :2].any()
    assert rollout.episode_returns == [1, 1 + 2 + 4, 1 + 2 + 4 + 8 + 16] and rollout.episode_lengths == [1, 3, 5]
    assert rollout.truncation_places == [(4, 2)]
    assert rollout.truncation_observations[0].tolist() == [2, 0, 5]
    transitions = rollout.transitions(rollout.observations)
    assert len(transitions) == 9 and (transitions[:, 1] == 0).all(), "the first episode of each"


def test_the_next_episodes_begin_at_their_beginning():
    collector = episodes_of("..T" + "." * 30 + "T", "T" + "." * 4 + "T" * 30)
    collector.collect(zeros)
    rollout = collector.collect(lambda observations, state: zeros(observations, state))
    assert rollout.observations[0, :, 2].tolist() == [0, 0], "step 0 of an episode"
    assert not collector.episode_lengths.any()


def test_returns_of_whole_episodes_are_monte_carlo():
    rollout = episodes_of("..T" + "." * 20, "....T" + "." * 20).collect(zeros)
    nothing = np.zeros_like(rollout.rewards)
    known = rollout.rewards, rollout.terminated, rollout.truncated, nothing
    returns = n_step_returns(*known, np.full(2, 1e6, np.float32), 0.5)
    expected = {0: [1 + 1 + 1, 2 + 2, 4], 1: [1 + 1 + 1 + 1 + 1, 2 + 2 + 2 + 2, 4 + 4 + 4, 8 + 8, 16]}
    for env, values in expected.items():
        assert returns[rollout.mask[:, env], env].tolist() == values


# --------------------------------------------------------------------------------------------------- what is remembered


def counting(observations, state):
    """Remembers how many steps of the episode it has seen, and that in two places."""
    state += [1, 10]
    return zeros(observations, state)


def test_what_the_policy_remembers_is_kept_with_the_rollout_and_begun_anew_with_episodes():
    scripts = ["..T.....", ".L.B....", "........"]
    env_fns = [functools.partial(Scripted, name, script) for name, script in enumerate(scripts)]
    collector = RolloutCollector(DummyVecEnv(env_fns), 4, state_size=2)
    first, second = collector.collect(counting), collector.collect(counting)
    assert first.policy_state.tolist() == [[0, 0]] * 3
    assert first.last_policy_state.tolist() == second.policy_state.tolist() == [[1, 10], [0, 0], [4, 40]]
    assert first.unroll.episode_starts.T.tolist() == [[False] * 3 + [True], [False, False, True, False], [False] * 4]
    assert first.unroll.state is first.policy_state
    assert first.truncation_places == [(1, 1)] and first.truncation_policy_states[0].tolist() == [2, 20]
    seen = []
    first.bootstrap_values(lambda observations, unroll: seen.append(unroll) or np.zeros(len(observations), np.float32))
    assert seen[0].state.tolist() == [[1, 10], [0, 0], [4, 40], [2, 20]] and not seen[0].episode_starts.any()


@pytest.mark.parametrize("recurrent,shared_torso", [("lstm", False), ("gru", True)])
def test_a_rollout_is_unrolled_as_it_was_played(recurrent, shared_torso):
    """Step by step, over episodes' ends, the network says what it says of the whole rollout at once."""
    generator = np.random.default_rng(3)
    options = {"shared_torso": shared_torso, "initialization": "xavier", "recurrent": recurrent}
    network = ReferenceNetwork(Box(-1, 1, (3,)), Discrete(4), (8,), generator=generator, **options)
    twin = network.twin()
    values = []

    def act(observations, state):
        values.append(twin.values(observations, Unroll.of_one_step(state)))
        return twin.act(observations, generator, state)

    collector = RolloutCollector(DummyVecEnv([RandomWalk] * 3), 30, twin.state_size)
    for _ in range(2):
        values.clear()
        rollout = collector.collect(act)
        assert rollout.terminated.any() and rollout.truncated.any()
        flat = rollout.transitions(rollout.observations)
        np.testing.assert_allclose(twin.values(flat, rollout.unroll), np.concatenate(values), atol=1e-5)
        np.testing.assert_allclose(network.values(flat, rollout.unroll), np.concatenate(values), atol=1e-5)
        replayed = rollout.policy_state.copy()
        for step in range(30):
            network.act(rollout.observations[step], None, replayed)
            replayed[rollout.terminated[step] | rollout.truncated[step]] = 0
        np.testing.assert_allclose(replayed, rollout.last_policy_state, atol=1e-5)


def test_an_episode_without_an_end_is_truncated_and_logged_once(caplog):
    scripts = ("..T" + "." * 40, "." * 40)
    envs = DummyVecEnv([functools.partial(Scripted, name, script) for name, script in enumerate(scripts)])
    collector = EpisodeCollector(envs, max_steps=6)
    for _ in range(2):
        rollout = collector.collect(zeros)
        assert rollout.rewards.shape == (6, 2) and rollout.mask.sum(axis=0).tolist()[1] == 6
        assert rollout.truncation_places[-1] == (5, 1) and rollout.truncated[5, 1] and not rollout.terminated[5, 1]
        assert rollout.truncation_observations[-1][2] == 6, (
            "the observation after the last step, not of the next episode"
        )
        assert rollout.episode_lengths[-1] == 6 and rollout.episode_returns[-1] == rollout.rewards[:, 1].sum()
        assert rollout.last_observations[:, 2].tolist() == [0, 0], "new episodes begin"
    assert caplog.text.count("truncated after 6 steps (max_episode_steps)") == 1


def test_an_episode_that_ends_in_the_last_step_is_not_truncated(caplog):
    envs = DummyVecEnv([functools.partial(Scripted, 0, ".....T" + "." * 9)])
    rollout = EpisodeCollector(envs, max_steps=6).collect(zeros)
    assert rollout.terminated[5, 0] and not rollout.truncated.any() and not caplog.text


def test_episodes_that_are_given_up_are_played_again():
    def collector_of(should_stop):
        generator = np.random.default_rng(3)
        envs = DummyVecEnv([functools.partial(EpisodeReplay, RandomWalk(), (0, index)) for index in range(2)])
        return EpisodeCollector(envs, None, should_stop, generator), generator

    asked = []
    collector, generator = collector_of(lambda: asked.append(None) or len(asked) == 2)
    undisturbed, other_generator = collector_of(lambda: False)
    before = copy.deepcopy((collector.state_dict(), generator.bit_generator.state))
    with pytest.raises(CollectingStoppedError):
        collector.collect(lambda observations, state: generator.integers(4, size=2))
    np.testing.assert_equal((collector.state_dict(), generator.bit_generator.state), before)
    again = collector.collect(lambda observations, state: generator.integers(4, size=2))
    expected = undisturbed.collect(lambda observations, state: other_generator.integers(4, size=2))
    np.testing.assert_equal(vars(again), vars(expected))
