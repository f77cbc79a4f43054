"""The surface of ``VecEnv``: what baselines, Stable-Baselines3 and their vectorised wrappers call."""

from __future__ import annotations

import functools
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from multiprocessing_env import (
    CloudpickleWrapper,
    DummyVecEnv,
    EnvironmentAttributeError,
    EnvironmentFailedError,
    SameEnvironmentError,
    SubprocVecEnv,
    VecEnv,
    VecEnvError,
    VecEnvWrapper,
    get_env_attr,
    set_env_attr,
)
from paddle_ac.config import make_config
from paddle_ac.envs.make import make_training_envs
from paddle_ac.envs.native import NativeVecEnv
from paddle_ac.envs.wrappers import EpisodeReplay, FrameStack
from tests.environments import Counting, OldGym

in_two_workers = functools.partial(SubprocVecEnv, in_series=2)
BOTH = pytest.mark.parametrize("make_vec_env", [DummyVecEnv, SubprocVecEnv], ids=["dummy", "subproc"])


class Rendered(Counting):
    """Renders an image whose shade is the step of the episode, in any render mode of Gymnasium."""

    metadata = {"render_modes": ["human", "rgb_array", "ansi"], "render_fps": 30}  # noqa: RUF012

    def __init__(self, render_mode=None):
        super().__init__()
        self.render_mode = render_mode
        self.windows = 0

    def render(self):
        if self.render_mode == "human":
            self.windows += 1
            return None
        return "text" if self.render_mode == "ansi" else super().render()


class Passing(gymnasium.Wrapper):
    """Changes nothing."""

    def __init__(self, env, level=0):
        super().__init__(env)
        self.level = level


def make_wrapped():
    return Passing(Passing(Counting(), level=1), level=2)


gymnasium.register("test/Rendered-v0", Rendered)


# --------------------------------------------------------------------------------------------- attributes and indices


@BOTH
def test_new_attribute_lands_on_the_innermost_environment(make_vec_env):
    with make_vec_env([make_wrapped, make_wrapped]) as envs:
        envs.set_attr("colour", "red", indices=1)
        envs.set_attr("level", 5)
        assert envs.get_attr("unwrapped", 1)[0].colour == "red"
        assert envs.get_attr("level") == [5, 5]
        assert envs.get_attr("env", 0)[0].level == 1, "the outermost wrapper that has the attribute gets it"


@pytest.mark.parametrize("wrap", [lambda env: EpisodeReplay(env, (0,)), lambda env: FrameStack(env, 2), Passing])
def test_attribute_of_the_environment_is_set_through_every_wrapper(wrap):
    env = wrap(Counting())
    values = {"truncate_at": 3, "colour": "red", "render_mode": "rgb_array", "key": 7, "actions": [], "frames": 4}
    for name, value in values.items():
        set_env_attr(env, name, value)
        assert getattr(env.unwrapped, name) == value == get_env_attr(env, name)


@BOTH
def test_index_counts_from_either_end_and_out_of_range_is_an_index_error(make_vec_env):
    with make_vec_env([Counting, Counting, Counting]) as envs:
        envs.reset()
        envs.set_attr("count", 7, indices=-1)
        assert envs.get_attr("count", [0, -1, np.int64(2)]) == [0, 7, 7]
        calls = {
            "get_attr": lambda index: envs.get_attr("count", index),
            "set_attr": lambda index: envs.set_attr("count", 1, [0, index]),
            "env_method": lambda index: envs.env_method("render", indices=index),
            "env_is_wrapped": lambda index: envs.env_is_wrapped(Passing, index),
            "reset_one": envs.reset_one,
        }
        for name, call in calls.items():
            for index in (3, -4):
                with pytest.raises(IndexError, match=rf"must lie between -3 and 2 \(got {index}\)"):
                    call(index)
            with pytest.raises(TypeError):
                call(0.5)
            assert envs.get_attr("count") == [0, 0, 7], f"{name} changes nothing"


@BOTH
def test_missing_attribute_is_an_attribute_error_that_names_the_environment(make_vec_env):
    with make_vec_env([Counting, Counting]) as envs:
        envs.reset()
        for call in (lambda: envs.get_attr("colour", 1), lambda: envs.env_method("fly", indices=1)):
            with pytest.raises(AttributeError, match=r"environment 1 failed in .*: AttributeError") as raised:
                call()
            assert isinstance(raised.value, EnvironmentFailedError)
        assert envs.has_attr("count") and not envs.has_attr("colour")
        with pytest.raises(EnvironmentFailedError, match="environment 0 failed in step: TypeError") as raised:
            envs.env_method("step")
        assert not isinstance(raised.value, AttributeError)
        assert envs.step([1, 2])[1].tolist() == [1, 2], "nothing is broken"


@BOTH
def test_env_is_wrapped_looks_through_all_wrappers(make_vec_env):
    with make_vec_env([make_wrapped, Counting]) as envs:
        assert envs.env_is_wrapped(Passing) == [True, False]
        assert envs.env_is_wrapped(gymnasium.wrappers.TimeLimit, indices=0) == [False]


@BOTH
def test_spec_metadata_and_render_mode_are_those_of_the_environments(make_vec_env):
    with make_vec_env(
        [lambda: gymnasium.make("tests.unit.test_vecenv_surface:test/Rendered-v0", render_mode="rgb_array")] * 2
    ) as envs:
        assert envs.unwrapped is envs
        assert envs.spec.id == "test/Rendered-v0"
        assert envs.metadata["render_fps"] == 30
        assert envs.render_mode == "rgb_array"
    with make_vec_env([OldGym]) as envs:
        assert (envs.spec, envs.metadata, envs.render_mode) == (None, {}, None)


# -------------------------------------------------------------------------------------------------- seeds and options


@BOTH
def test_seed_takes_one_seed_a_list_or_none(make_vec_env):
    with make_vec_env([Counting, Counting]) as envs:
        assert envs.seed([30, 10]) == [30, 10]
        assert envs.reset()[:, 0].tolist() == [30, 10]
        drawn = envs.seed()
        assert drawn[1] == drawn[0] + 1 and drawn != envs.seed(None)
        envs.seed(np.int64(3))
        envs.reset()
        assert envs.get_attr("seed_given") == [3, 4]
        with pytest.raises(ValueError, match="2 environments need 2 seeds, got 3"):
            envs.seed([1, 2, 3])
        for seed in (-5, [3, -5], -1):
            with pytest.raises(ValueError, match="a seed must be at least 0, got -"):
                envs.seed(seed)
        assert envs.reset().shape == (2, 2), "nothing is broken"


def test_seeds_of_native_environments_decide_their_episodes():
    config = make_config({"algo": "a2c", "env": "CartPole-v1", "vec": "native", "num_envs": 2})
    with make_training_envs(config) as envs, make_training_envs(config) as others:
        assert envs.seed([5, 9]) == others.seed([5, 9]) == [5, 9]
        np.testing.assert_array_equal(envs.reset(), others.reset())
        assert len(set(envs.seed())) == 2
        assert not np.array_equal(envs.reset(), others.reset())


class WithOptions(Counting):
    """Observes the option ``level``."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seed_given = (options or {}).get("level", 0)
        return self._observe(), {"options": options}


@BOTH
def test_options_serve_the_next_reset_only(make_vec_env):
    with make_vec_env([WithOptions, WithOptions]) as envs:
        envs.set_options({"level": 3})
        assert envs.reset()[:, 0].tolist() == [3, 3]
        assert envs.reset()[:, 0].tolist() == [0, 0]
        envs.set_options([{"level": 1}, None])
        assert envs.reset()[:, 0].tolist() == [1, 0]
        with pytest.raises(ValueError, match="2 environments need 2 options, got 1"):
            envs.set_options([{"level": 1}])


@pytest.mark.parametrize("wrap", [lambda env: EpisodeReplay(env, (0,)), lambda env: FrameStack(env, 2)])
def test_options_pass_through_wrappers(wrap):
    with DummyVecEnv([lambda: wrap(WithOptions())]) as envs:
        envs.set_options({"level": 3})
        envs.reset()
        assert envs.reset_infos == [{"options": {"level": 3}}]


# ------------------------------------------------------------------------------------------------------ infos of reset


class Masking(Counting):
    """Its info of ``reset`` has the number of the episode."""

    episodes = 0

    def reset(self, **arguments):
        self.episodes += 1
        return super().reset(**arguments)[0], {"episode": self.episodes}

    def step(self, action):
        return *super().step(action)[:4], {}


@pytest.mark.parametrize("make_vec_env", [DummyVecEnv, SubprocVecEnv, in_two_workers], ids=["dummy", "one", "two"])
def test_reset_infos_follow_every_auto_reset(make_vec_env):
    ends = [2, 3, None, 2]
    with make_vec_env([functools.partial(Masking, terminate_at=end) for end in ends]) as envs:
        envs.reset()
        counts = [1, 1, 1, 1]
        for step in range(1, 7):
            _, _, dones, infos = envs.step([0] * 4)
            for index, end in enumerate(ends):
                ended = end is not None and step % end == 0
                counts[index] += ended
                assert dones[index] == ended == ("reset_info" in infos[index])
                if ended:
                    assert infos[index]["reset_info"] == {"episode": counts[index]}
            assert envs.reset_infos == [{"episode": count} for count in counts]
        envs.reset_one(2)
        assert envs.reset_infos[2] == {"episode": 2}


@BOTH
def test_reset_info_is_there_at_the_end_of_an_episode_even_if_empty(make_vec_env):
    with make_vec_env([OldGym]) as envs:
        envs.reset()
        infos = [envs.step([0])[3][0] for _ in range(4)]
        assert [info.get("reset_info") for info in infos] == [None, None, None, {}]


class Vectorised:
    """Two environments as Gymnasium vectorises them; the second ends in every step, and its reset has a mask."""

    num_envs, single_observation_space, single_action_space = 2, Box(0, 1, (1,)), Discrete(2)

    def reset(self, *, seed=None, options=None):
        level = {"number": np.array([1, 2]), "_number": np.array([True, False])}
        return np.zeros((2, 1), np.float32), {"level": level, "_level": np.array([True, True])}

    def step(self, actions):
        ended = np.array([False, True])
        infos = {"final_obs": np.ones((2, 1)), "final_info": {}, "mask": np.array([[0, 0], [1, 0]]), "_mask": ended}
        return np.zeros((2, 1), np.float32), np.ones(2), ended, ~(ended | True), infos

    def close(self):
        pass


def test_reset_infos_of_native_environments_are_taken_apart():
    with NativeVecEnv(Vectorised(), (0,)) as envs:
        envs.reset()
        assert envs.reset_infos == [{"level": {"number": 1}}, {"level": {}}]
        *_, infos = envs.step([0, 1])
        assert infos[0] == {} and envs.reset_infos[0] == {"level": {"number": 1}}
        assert infos[1]["reset_info"].keys() == envs.reset_infos[1].keys() == {"mask"}
        assert envs.reset_infos[1]["mask"].tolist() == [1, 0]
        envs.reset_one(-1)
        assert envs.reset_infos[1] == {"level": {}}


# ------------------------------------------------------------------------------------------------ actions, cancelling


@BOTH
def test_one_environment_takes_an_action_without_the_first_axis(make_vec_env):
    with make_vec_env([Counting]) as envs:
        envs.reset()
        assert [envs.step(action)[1].tolist() for action in (3, [4], np.int32(2))] == [[3], [4], [2]]
    with make_vec_env([Counting, Counting]) as envs:
        envs.reset()
        with pytest.raises(ValueError, match=r"2 environments need actions of shape \(2,\), got \(\)"):
            envs.step(3)


def make_native():
    config = make_config({"algo": "a2c", "env": "CartPole-v1", "vec": "native", "num_envs": 2})
    return make_training_envs(config)


@pytest.mark.parametrize(
    "make", [lambda: DummyVecEnv([Counting] * 2), lambda: SubprocVecEnv([Counting] * 2), make_native]
)
def test_reset_cancels_a_pending_step(make):
    with make() as envs:
        envs.reset()
        envs.step_async([1, 1])
        first = envs.reset()
        assert first.shape == (2, *envs.observation_space.shape)
        with pytest.raises(VecEnvError, match="step_wait"):
            envs.step_wait()
        _, rewards, dones, _ = envs.step([1, 1])
        assert rewards.tolist() == [1, 1] and not dones.any()
        if not isinstance(envs, NativeVecEnv):
            assert first[:, 1].tolist() == [0, 0] and envs.get_attr("count") == [1, 1]


# ------------------------------------------------------------------------------------------------------------- images


def make_rendered(render_mode):
    return lambda: gymnasium.make("tests.unit.test_vecenv_surface:test/Rendered-v0", render_mode=render_mode)


@BOTH
def test_render_without_a_mode_takes_that_of_the_environments(make_vec_env):
    with make_vec_env([make_rendered("rgb_array")] * 2) as envs:
        envs.reset()
        assert envs.render().shape == envs.render(mode=None).shape == envs.render("rgb_array").shape == (4, 3, 3)
    with make_vec_env([make_rendered("human")] * 2) as envs:
        envs.reset()
        before = envs.get_attr("windows")
        assert envs.render() is None and envs.render("human") is None
        assert [after - first for after, first in zip(envs.get_attr("windows"), before, strict=True)] == [2, 2]


@BOTH
def test_render_of_a_list_of_images_is_the_newest(make_vec_env):
    with make_vec_env([make_rendered("rgb_array_list")] * 2) as envs:
        envs.reset()
        envs.step([0, 0]), envs.step([0, 0])
        assert envs.render()[0, 0].tolist() == [2, 2, 2]
        with pytest.raises(ValueError, match=r"environment 0 returned no image .*'rgb_array_list'"):
            envs.render()  # Gymnasium hands out each image once


@BOTH
@pytest.mark.parametrize(
    "made_with,mode,message",
    [
        ("rgb_array", "human", r'needs environments made with render_mode="human" .*\'rgb_array\''),
        ("human", "rgb_array", r"environment 0 returned no image .*'human'"),
        ("ansi", None, r"environment 0 returned no image .*'ansi'"),
        ("rgb_array", "ansi", r'render mode must be "rgb_array" or "human" \(got \'ansi\'\)'),
    ],
)
def test_a_render_mode_that_the_environments_lack_is_named(make_vec_env, made_with, mode, message):
    with make_vec_env([make_rendered(made_with)]) as envs:
        envs.reset()
        with pytest.raises(ValueError, match=message):
            envs.render(mode)


class OldRendered(OldGym):
    """Renders as gym before 0.26: the mode is an argument of ``render``."""

    def render(self, mode="human"):
        assert mode == "rgb_array", "no window opens"
        return np.full((2, 3, 3), self.count, np.uint8)


@BOTH
def test_environments_of_old_gym_render_images(make_vec_env):
    with make_vec_env([OldRendered]) as envs:
        envs.reset()
        assert envs.render().shape == (2, 3, 3)
    env = EpisodeReplay(OldRendered(), (0,))
    with DummyVecEnv([lambda: env]) as envs:
        envs.reset()
        assert envs.render().shape == (2, 3, 3)


# ------------------------------------------------------------------------------------------------------- one instance


@pytest.mark.parametrize("make_vec_env", [DummyVecEnv, in_two_workers], ids=["dummy", "one worker"])
@pytest.mark.parametrize("wrap", [lambda env: env, Passing, lambda env: EpisodeReplay(env, (0,))])
def test_the_same_environment_returned_twice_is_rejected(make_vec_env, wrap):
    env = Counting()
    with pytest.raises(ValueError, match=r"environment 1 failed in __init__: it is environment 0") as raised:
        make_vec_env([lambda: wrap(env)] * 2)
    assert isinstance(raised.value, SameEnvironmentError)
    assert raised.value.env_index == 1


# ------------------------------------------------------------------------------- subclasses and wrappers of the peers


class Ramp(VecEnv):
    """Implements what is public and abstract alone; observations of any space."""

    def __init__(self):
        super().__init__(2, Dict({"step": Discrete(9)}), Discrete(2))
        self.released = 0

    def reset(self):
        self.count = 0
        return {"step": np.zeros(2)}

    def step_async(self, actions):
        self.actions = np.asarray(actions)

    def step_wait(self):
        self.count += 1
        return {"step": np.full(2, self.count)}, self.actions.astype(np.float32), np.zeros(2, bool), [{}, {}]

    def close_extras(self):
        self.released += 1


def test_a_subclass_needs_public_methods_only():
    with Ramp() as envs:
        envs.reset()
        assert envs.step([1, 0])[1].tolist() == [1, 0]
        assert len(envs) == 2 and envs.unwrapped is envs and envs.reset_infos == [{}, {}]
        assert (envs.spec, envs.metadata, envs.render_mode) == (None, {}, None)
        with pytest.raises(EnvironmentAttributeError, match="Ramp steps its environments as one"):
            envs.get_attr("count")
    envs.close()
    assert envs.released == 1 and envs.closed


def test_a_subclass_may_override_close_as_in_stable_baselines3():
    class Closing(Ramp):
        def close(self):
            self.released += 10

    with Closing() as envs:
        pass
    assert envs.released == 10


def baselines_monitor(base):
    """Calls the vectorised environment as the ``VecMonitor`` of baselines and Stable-Baselines3."""

    class Monitor(base):
        def __init__(self, venv):
            try:
                self.is_monitored = venv.env_is_wrapped(gymnasium.wrappers.RecordEpisodeStatistics)[0]
            except AttributeError:
                self.is_monitored = False
            base.__init__(self, venv)
            self.env_id = venv.spec.id if hasattr(venv, "spec") and venv.spec is not None else None
            self.totals = np.zeros(self.num_envs, np.float32)

        def reset(self):
            self.totals[:] = 0
            return self.venv.reset()

        def step_wait(self):
            observations, rewards, dones, infos = self.venv.step_wait()
            self.totals += rewards
            new_infos = list(infos[:])
            for index in np.flatnonzero(dones):
                new_infos[index] = {**infos[index].copy(), "episode": {"r": self.totals[index]}}
                self.totals[index] = 0
            return observations, rewards, dones, new_infos

    return Monitor


def baselines_normalize(base):
    """Calls the vectorised environment as ``VecNormalize``."""

    class Normalize(base):
        def __init__(self, venv):
            base.__init__(self, venv)
            self.sum = np.zeros(self.observation_space.shape)
            self.seen = 0

        def reset(self):
            return self._scaled(self.venv.reset())

        def step_wait(self):
            observations, rewards, dones, infos = self.venv.step_wait()
            for index, done in enumerate(dones):
                if done:
                    infos[index]["terminal_observation"] = self._scaled(
                        infos[index]["terminal_observation"][np.newaxis]
                    )
            return self._scaled(observations), rewards, dones, infos

        def _scaled(self, observations):
            self.sum, self.seen = self.sum + observations.sum(0), self.seen + len(observations)
            return observations - self.sum / self.seen

    return Normalize


def baselines_frame_stack(base):
    """Calls the vectorised environment as ``VecFrameStack``."""

    class Stack(base):
        def __init__(self, venv, num_frames):
            low = np.repeat(venv.observation_space.low, num_frames, axis=-1)
            high = np.repeat(venv.observation_space.high, num_frames, axis=-1)
            self.stacked = np.zeros((venv.num_envs, *low.shape), low.dtype)
            base.__init__(self, venv, observation_space=Box(low, high, dtype=venv.observation_space.dtype))

        def reset(self):
            self.stacked[...] = 0
            return self._pushed(self.venv.reset())

        def step_wait(self):
            observations, rewards, dones, infos = self.venv.step_wait()
            self.stacked[dones] = 0
            return self._pushed(observations), rewards, dones, infos

        def _pushed(self, observations):
            width = observations.shape[-1]
            self.stacked = np.roll(self.stacked, -width, axis=-1)
            self.stacked[..., -width:] = observations
            return self.stacked.copy()

    return Stack


class TheirWrapper:
    """The calls of the peers' own ``VecEnvWrapper``, which does not inherit from ours."""

    def __init__(self, venv, observation_space=None, action_space=None):
        self.venv = venv
        self.num_envs = venv.num_envs
        self.observation_space = observation_space or venv.observation_space
        self.action_space = action_space or venv.action_space
        try:
            modes = venv.get_attr("render_mode", None)
        except AttributeError:
            modes = [None] * self.num_envs
        assert all(mode == modes[0] for mode in modes)
        self.reset_infos = venv.reset_infos

    def step(self, actions):
        self.venv.step_async(actions)
        return self.step_wait()

    def seed(self, seed=None):
        return self.venv.seed(seed)

    def set_options(self, options=None):
        return self.venv.set_options(options)

    def env_is_wrapped(self, wrapper_class, indices=None):
        return self.venv.env_is_wrapped(wrapper_class, indices=indices)

    def get_attr(self, name, indices=None):
        return self.venv.get_attr(name, indices)

    def has_attr(self, name):
        return self.venv.has_attr(name)

    def env_method(self, name, *arguments, indices=None, **keywords):
        return self.venv.env_method(name, *arguments, indices=indices, **keywords)

    def render(self, mode=None):
        return self.venv.render(mode=mode)

    def close(self):
        return self.venv.close()

    @property
    def unwrapped(self):
        return self.venv.unwrapped

    def getattr_depth_check(self, name, already_found):
        mine = name in vars(self) or hasattr(type(self), name)
        return type(self).__name__ if mine and already_found else self.venv.getattr_depth_check(name, mine)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        assert self.getattr_depth_check(name, already_found=False) is None
        return getattr(self.venv, name)


@pytest.mark.parametrize("base", [VecEnvWrapper, TheirWrapper], ids=["ours", "theirs"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: DummyVecEnv([lambda: gymnasium.make("CartPole-v1")] * 2),
        lambda: SubprocVecEnv([lambda: gymnasium.make("CartPole-v1")] * 2),
        make_native,
    ],
    ids=["dummy", "subproc", "native"],
)
def test_the_wrappers_of_the_peers_work_around_every_kind(base, make):
    inner = make()
    envs = baselines_frame_stack(base)(baselines_normalize(base)(baselines_monitor(base)(inner)), 3)
    envs.seed(0)
    observations = envs.reset()
    assert observations.shape == (2, 12) == (envs.num_envs, *envs.observation_space.shape)
    returns = []
    for _ in range(60):
        observations, rewards, dones, infos = envs.step(np.array([0, 1]))
        assert observations.shape == (2, 12) and rewards.shape == (2,)
        returns += [info["episode"]["r"] for info in infos if "episode" in info]
        for index in np.flatnonzero(dones):
            assert infos[index]["terminal_observation"].shape == (1, 4)
            assert not infos[index]["TimeLimit.truncated"]
    assert len(returns) > 8 and 8 <= np.mean(returns) < 12
    assert envs.unwrapped is inner
    assert envs.reset_infos == [{}, {}]
    assert envs.env_id == ("CartPole-v1" if not isinstance(inner, NativeVecEnv) else inner.spec.id)
    if not isinstance(inner, NativeVecEnv):
        assert envs.env_is_wrapped(gymnasium.wrappers.TimeLimit) == [True, True]
        assert envs.has_attr("gravity") and envs.get_attr("gravity") == [9.8, 9.8]
    envs.close()
    assert inner.closed


def test_a_wrapper_forwards_everything_public():
    inner = DummyVecEnv([Counting, Counting])
    with baselines_monitor(VecEnvWrapper)(inner) as envs:
        assert envs.seed(4) == [4, 5]
        envs.set_options(None)
        envs.reset()
        assert envs.reset_infos is inner.reset_infos and envs.envs is inner.envs and not envs.closed
        envs.set_attr("count", 2)
        assert envs.get_attr("count") == [2, 2] and envs.env_method("reset_task")[0].tolist() == [11, 9]
        assert envs.reset_task().shape == (2, 2) and len(envs.get_images()) == 2 and envs.render().shape == (4, 3, 3)
        assert envs.reset_one(0).tolist() == [0, 0]
        with pytest.raises(AttributeError, match="_group"):
            _ = envs._group
    assert inner.closed and envs.closed


def test_a_closure_travels_in_a_cloudpickle_wrapper():
    number = 3
    wrapped = pickle.loads(pickle.dumps(CloudpickleWrapper(lambda: number)))
    assert wrapped.x() == 3
