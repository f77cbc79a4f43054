"""Observations and actions of every kind of space: converted without changing a number, or rejected."""

from __future__ import annotations

import functools
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control import PendulumEnv
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from gymnasium.wrappers import FrameStackObservation

import paddle_ac
from multiprocessing_env import DummyVecEnv, EnvironmentFailedError, ObservationConverter, SubprocVecEnv
from paddle_ac.envs.native import NativeVecEnv
from paddle_ac.envs.wrappers import EpisodeReplay, FrameStack

PIXELS = Box(0, 255, (2,), np.uint8)
GRID = Box(0, 8, (2,), np.int64)
VECTOR = Box(-1, 1, (2,), np.float32)
NAN = float("nan")

ACCEPTED = [
    (PIXELS, np.array([3, 255]), [3, 255]),
    (PIXELS, [0, 7], [0, 7]),
    (PIXELS, np.array([True, False]), [1, 0]),
    (GRID, np.array([8, 0], np.uint8), [8, 0]),
    (VECTOR, np.array([0.1, -0.2]), [0.1, -0.2]),
    (VECTOR, [1, 0], [1, 0]),
    (VECTOR, np.array([1.0001, 0], np.float32), [1.0001, 0]),
    (Discrete(3), 2, 2),
    (Discrete(3), np.uint8(2), 2),
    (Discrete(3), np.array(0), 0),
    (Discrete(3, start=5), 7, 7),
    (MultiDiscrete([2, 3], dtype=np.uint8), [1, 2], [1, 2]),
    (MultiDiscrete([2, 3], start=[4, -1]), np.array([5, 1]), [5, 1]),
    (MultiBinary(2), np.array([True, False]), [1, 0]),
]
REJECTED = [
    (PIXELS, np.array([0.5, 1.0]), "float64.*uint8"),
    (PIXELS, np.array([NAN, 0], np.float32), "float32.*uint8"),
    (PIXELS, np.array([300, 0]), "300"),
    (PIXELS, [-1, 0], "-1"),
    (PIXELS, np.array([None, 0]), "object"),
    (GRID, np.array([9, 0]), "9.*0 to 8"),
    (GRID, np.array([2**63, 0], np.uint64), str(2**63)),
    (VECTOR, np.array([1j, 0]), "complex128"),
    (VECTOR, np.zeros(3, np.float32), r"\(3,\)"),
    (Discrete(3), -1, "-1.*0 to 2"),
    (Discrete(3), 3, "3.*0 to 2"),
    (Discrete(3, start=5), np.int64(4), "4.*5 to 7"),
    (Discrete(3), 1.0, "float64.*int64"),
    (MultiDiscrete([2, 3]), [2, 0], "2.*0 to 1"),
    (MultiDiscrete([2, 3], start=[4, -1]), np.array([4, 2]), "2.*-1 to 1"),
    (MultiBinary(2), [0, 2], "2.*0 to 1"),
]
UNSIGNED = [
    Discrete(5, dtype=np.uint8),
    Discrete(5, dtype=np.int32),
    MultiDiscrete([2, 3], dtype=np.uint8),
    MultiDiscrete([[2, 3], [4, 2]], dtype=np.uint32),
    MultiBinary((2, 2)),
]


class Showing(gymnasium.Env):
    """Observes ``first``, and after the first step ``then``; an episode has ``steps`` steps."""

    action_space = Discrete(2)

    def __init__(self, space, first, then, steps=2):
        self.observation_space, self.first, self.then, self.steps = space, first, then, steps

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return self.first, {}

    def step(self, action):
        self.count += 1
        return self.then, 1.0, self.count == self.steps, False, {}

    def reset_task(self):
        return self.then


class Acting(gymnasium.Env):
    """Asserts that its actions lie in their space."""

    observation_space = VECTOR

    def __init__(self, action_space):
        self.action_space = action_space

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.count += 1
        return np.zeros(2, np.float32), 1.0, False, self.count == 10, {}


gymnasium.register("test/ShowingDiscrete-v0", functools.partial(Showing, Discrete(3), 0, 1))
gymnasium.register("test/ShowingFromFive-v0", functools.partial(Showing, Discrete(3, start=5), 5, 7))
gymnasium.register("test/ActingUnsigned-v0", functools.partial(Acting, UNSIGNED[0]))
gymnasium.register("test/ActingNarrow-v0", functools.partial(Acting, UNSIGNED[1]))
gymnasium.register("test/ActingMulti-v0", functools.partial(Acting, UNSIGNED[2]))
gymnasium.register("test/ActingMatrix-v0", functools.partial(Acting, UNSIGNED[3]))
gymnasium.register("test/ActingBinary-v0", functools.partial(Acting, UNSIGNED[4]))
gymnasium.register("test/ActingDouble-v0", functools.partial(Acting, Box(-1, 1, (2,), np.float64)))
gymnasium.register("test/ActingHalf-v0", functools.partial(Acting, Box(-1, 1, (2,), np.float16)))


@pytest.mark.parametrize("space,observation,expected", ACCEPTED)
def test_observations_that_the_space_can_hold_keep_their_values(space, observation, expected):
    with DummyVecEnv([functools.partial(Showing, space, observation, observation)]) as envs:
        first = envs.reset()
        assert first.dtype == space.dtype and first.shape == (1, *space.shape)
        np.testing.assert_allclose(first[0], expected, rtol=1e-6)
        envs.step([0])
        observations, _, _, infos = envs.step([0])
        np.testing.assert_allclose(observations[0], expected, rtol=1e-6)
        terminal = infos[0]["terminal_observation"]
        assert terminal.dtype == space.dtype and terminal.shape == space.shape
        np.testing.assert_allclose(terminal, expected, rtol=1e-6)
        assert envs.reset_one(0).dtype == envs.reset_task().dtype == space.dtype


@pytest.mark.parametrize("space,observation,message", REJECTED)
def test_observations_that_the_space_cannot_hold_are_rejected(space, observation, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ObservationConverter(space)(observation)


@pytest.mark.parametrize("operation", ["reset", "step", "last step", "reset_one", "reset_task", "set_state"])
@pytest.mark.parametrize("make_vec_env", [DummyVecEnv, SubprocVecEnv], ids=["dummy", "subproc"])
def test_the_environment_and_the_operation_are_named(make_vec_env, operation):
    good, bad = np.zeros(2, np.uint8), np.array([0.5, 0.5])
    first, then = (bad, good) if operation == "reset" else (good, bad)
    kinds = [(good, good), (first, then, 1 if operation == "last step" else 3)]
    env_fns = [functools.partial(EpisodeReplay, Showing(PIXELS, *kind), (0,)) for kind in kinds]
    envs = make_vec_env(env_fns)
    name = "step" if operation == "last step" else operation
    with pytest.raises(EnvironmentFailedError, match="float64 cannot be converted to uint8") as failure:
        envs.reset()
        if operation in ("step", "last step"):
            envs.step([0, 0])
        if operation == "reset_one":
            envs.set_attr("first", bad, indices=1)
            envs.reset_one(1)
        if operation == "reset_task":
            envs.reset_task()
        if operation == "set_state":
            episode = {"episode": 0, "actions": np.zeros(1, np.int64)}
            envs.set_state({"0": episode, "1": episode})
    assert (failure.value.env_index, failure.value.operation) == (1, name)
    envs.close()


def test_observations_need_no_conversion_after_a_space_was_sent_to_another_process():
    convert = ObservationConverter(pickle.loads(pickle.dumps(Box(-1, 1, (2,), np.float32))))
    observation = np.zeros(2, np.float32)
    assert convert(observation) is observation and observation.dtype is convert.accepted_dtype


def test_stacked_frames_are_those_of_gymnasiums_wrapper():
    ours, theirs = FrameStack(PendulumEnv(), 3), FrameStackObservation(PendulumEnv(), 3, padding_type="reset")
    assert ours.observation_space == theirs.observation_space
    np.testing.assert_array_equal(ours.reset(seed=1)[0], theirs.reset(seed=1)[0])
    for _ in range(5):
        np.testing.assert_array_equal(ours.step(np.ones(1))[0], theirs.step(np.ones(1))[0])


def test_stacked_frames_are_converted_like_single_ones():
    env = FrameStack(Showing(PIXELS, np.zeros(2, np.uint8), np.array([0.5, 0.5])), 2)
    env.reset()
    with pytest.raises(TypeError, match="float64 cannot be converted to uint8"):
        env.step(0)


def test_environments_vectorised_by_their_maker_are_checked_too():
    class Maker:
        num_envs, single_observation_space, single_action_space = 2, Discrete(3), Discrete(2)
        observations = np.array([0, 2], np.int32)

        def reset(self, *, seed=None, options=None):
            return self.observations, {}

        def step(self, actions):
            nothing = np.zeros(2)
            return self.observations, nothing, nothing > 0, nothing > 0, {}

        def close(self):
            pass

    maker = Maker()
    with NativeVecEnv(maker, (0,)) as envs:
        assert envs.reset().dtype == np.int64
        maker.observations = np.array([0, 3], np.int32)
        with pytest.raises(EnvironmentFailedError, match=r"environment 1 failed in step with action 1: .*0 to 2"):
            envs.step([0, 1])


@pytest.mark.parametrize("space", UNSIGNED, ids=str)
@pytest.mark.parametrize("make_vec_env", [DummyVecEnv, SubprocVecEnv], ids=["dummy", "subproc"])
def test_integer_actions_suit_any_space_of_integers(make_vec_env, space):
    with make_vec_env([functools.partial(Acting, space)] * 2) as envs:
        envs.reset()
        ones = np.ones((2, *space.shape), np.int64)
        for actions in (ones, ones.tolist(), ones.astype(np.uint8), ones.astype(space.dtype)):
            assert envs.step(actions)[1].tolist() == [1, 1]


def test_actions_that_the_dtype_cannot_hold_are_rejected():
    with DummyVecEnv([functools.partial(Acting, UNSIGNED[0])]) as envs:
        envs.reset()
        for actions, error, message in (
            ([300], ValueError, "actions: 300 does not fit into uint8"),
            ([-1], ValueError, "actions: -1 does not fit"),
            ([1.0], TypeError, "actions of dtype float64 cannot be converted to uint8"),
        ):
            with pytest.raises(error, match=message):
                envs.step(actions)
        envs.step([1])


@pytest.mark.parametrize("name", ["Unsigned", "Narrow", "Multi", "Matrix", "Binary", "Double", "Half"])
def test_predicted_actions_lie_in_the_action_space(name):
    env_id = f"test/Acting{name}-v0"
    with paddle_ac.make("a2c", env_id, num_envs=2, vec="serial") as agent:
        agent.update()
        space, observations = agent.action_space, np.zeros((3, 2), np.float32)
        for generator in (None, np.random.default_rng(0)):
            action = agent.predict(observations[0], generator=generator)
            assert space.contains(action) and action.dtype == space.dtype and np.shape(action) == space.shape
            actions = agent.predict(observations, generator=generator)
            assert actions.shape == (3, *space.shape) and all(map(space.contains, actions))


def test_predict_rejects_observations_outside_the_space():
    with paddle_ac.make("a2c", "test/ShowingDiscrete-v0", num_envs=1, vec="serial") as agent:
        for observation in (3, -1):
            with pytest.raises(ValueError, match=f"has the value {observation}"):
                agent.predict(observation)
        with pytest.raises(TypeError, match="float64"):
            agent.predict([0.0, 1.0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predict_rejects_observations_that_are_not_finite(value):
    agent = paddle_ac.make("a2c", "CartPole-v1", num_envs=1, vec="serial")
    with agent, pytest.raises(ValueError, match="observations must be finite"):
        agent.predict(np.full(4, value, np.float32))


def test_categories_that_do_not_begin_at_0_can_be_observed(tmp_path):
    config = {"algo": "a2c", "env": "test/ShowingFromFive-v0", "total_steps": 50, "eval_episodes": 1, "vec": "serial"}
    assert paddle_ac.train(config, str(tmp_path / "run"))["env_steps"] >= 50
