"""Environments that their makers vectorised: the same resets and truncations as those of ``SubprocVecEnv``."""

from __future__ import annotations

import copy
import functools
import importlib

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.wrappers import TimeLimit

from multiprocessing_env import SubprocVecEnv, VecEnvError
from paddle_ac.config import make_config
from paddle_ac.envs import make as envs_make
from paddle_ac.envs.make import log_vec, make_evaluation_envs, make_training_envs, resolve_vec
from paddle_ac.envs.native import NativeVecEnv, SameStepCartPole, SameStepEnvPool
from paddle_ac.errors import ConfigError
from paddle_ac.learning.rollout import RolloutCollector

NUM_ENVS, NUM_STEPS, TIME_LIMIT = 5, 300, 25


class FollowingCartPole(CartPoleEnv):
    """Begins its episodes where it is told to."""

    def __init__(self, beginnings):
        super().__init__()
        self.beginnings = iter(beginnings)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = next(self.beginnings)
        return np.array(self.state, np.float32), {}


def config_of(**values):
    return make_config({"algo": "a2c", "env": "CartPole-v1", "num_envs": 4, **values})


def play(envs, actions):
    """First observations, and everything that every step gave."""
    return envs.reset(), [envs.step(chosen) for chosen in actions]


def assert_steps_are_the_same(found, expected, atol):
    num_terminated = num_truncated = 0
    for step, (one, other) in enumerate(zip(found, expected, strict=True)):
        for name, value, right in zip(("observations", "rewards", "dones"), one, other, strict=False):
            assert value.dtype == right.dtype, name
            np.testing.assert_allclose(value, right, atol=atol, err_msg=f"{name} of step {step}")
        for info, right in zip(one[3], other[3], strict=True):
            assert info.keys() == right.keys()
            if info:
                np.testing.assert_allclose(info["terminal_observation"], right["terminal_observation"], atol=atol)
                assert info["TimeLimit.truncated"] == right["TimeLimit.truncated"]
                num_truncated += info["TimeLimit.truncated"]
                num_terminated += not info["TimeLimit.truncated"]
    return num_terminated, num_truncated


def beginnings_of(first, steps):
    """Where each environment's episodes began, one after the other."""
    begun = [[row] for row in first]
    for observations, _, dones, _ in steps:
        for env in np.flatnonzero(dones):
            begun[env].append(observations[env])
    return begun


@pytest.mark.parametrize("kind", ["gymnasium", "envpool"])
def test_the_same_resets_and_truncations_as_in_worker_processes(kind):
    actions = np.random.default_rng(0).integers(0, 2, (NUM_STEPS, NUM_ENVS))
    if kind == "envpool":
        pytest.importorskip("envpool")
        actions[:, 0] = np.arange(NUM_STEPS) % 2
        native = NativeVecEnv(SameStepEnvPool("CartPole-v1", NUM_ENVS, 2), (7,))
        limit = 500
    else:
        native = NativeVecEnv(SameStepCartPole(NUM_ENVS, max_episode_steps=TIME_LIMIT), (7,))
        limit = TIME_LIMIT
    with native:
        first, steps = play(native, actions)
        assert native.observation_space == CartPoleEnv().observation_space
    env_fns = [
        functools.partial(lambda states: TimeLimit(FollowingCartPole(states), limit), states)
        for states in beginnings_of(first, steps)
    ]
    with SubprocVecEnv(env_fns, spaces=(native.observation_space, native.action_space)) as envs:
        expected_first, expected = play(envs, actions)
    np.testing.assert_array_equal(first, expected_first)
    atol = 1e-4 if kind == "envpool" else 1e-6  # envpool's beginnings are known in single precision only
    num_terminated, num_truncated = assert_steps_are_the_same(steps, expected, atol)
    assert num_terminated > 10
    assert kind == "envpool" or num_truncated > 10


def test_a_time_limit_of_envpool_is_a_truncation_told_in_the_same_step():
    pytest.importorskip("envpool")
    with NativeVecEnv(SameStepEnvPool("MountainCar-v0", 3, 1), (0,)) as envs:
        before = envs.reset()
        for _ in range(199):
            before, rewards, dones, infos = envs.step(np.ones(3, np.int64))
            assert not dones.any() and infos == [{}] * 3
        observations, rewards, dones, infos = envs.step(np.ones(3, np.int64))
        assert dones.all() and (rewards == -1).all()
        for env in range(3):
            assert infos[env]["TimeLimit.truncated"]
            np.testing.assert_allclose(infos[env]["terminal_observation"], before[env], atol=0.07)
            assert observations[env][1] == 0 and -0.6 <= observations[env][0] <= -0.4
        after, *_ = envs.step(np.ones(3, np.int64))
        np.testing.assert_allclose(after, observations, atol=0.01)
        assert (after[:, 1] != 0).all(), "a step of the new episode, not its reset"


def test_one_environment_can_begin_anew_alone():
    kinds = [SameStepCartPole(3)]
    if importlib.util.find_spec("envpool"):
        kinds.append(SameStepEnvPool("CartPole-v1", 3, 1))
    for kind in kinds:
        with NativeVecEnv(kind, (0,)) as envs:
            envs.reset()
            before, *_ = envs.step(np.ones(3, np.int64))
            begun = envs.reset_one(1)
            after, *_ = envs.step(np.zeros(3, np.int64))
        assert (np.abs(begun) <= 0.05).all() and not np.array_equal(begun, before[1])
        np.testing.assert_allclose(after[1], begun, atol=0.3)
        np.testing.assert_allclose(after[[0, 2], 1], 0, atol=0.1)  # pushed once to each side
        assert after[1, 1] < -0.1


def test_seeds_repeat_and_no_two_purposes_share_episodes():
    def first_episodes(make, **values):
        with make(config_of(vec="native", **values)) as envs:
            return np.stack([envs.reset(), envs.reset()])

    one, again = (first_episodes(make_training_envs, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    others = [
        first_episodes(make_training_envs, seed=4),
        first_episodes(functools.partial(make_evaluation_envs, seed=3, num_envs=4)),
        first_episodes(functools.partial(make_evaluation_envs, seed=3, num_envs=4, purpose=2)),
    ]
    everything = np.concatenate([one, *others]).reshape(-1, 4)
    assert len(np.unique(everything, axis=0)) == len(everything)


def test_a_restored_collector_goes_on_as_if_nothing_had_been():
    def act_with(generator):
        return lambda observations, state: generator.integers(0, 2, len(observations))

    saved = RolloutCollector(make_training_envs(config_of(vec="native")), 30)
    saved.collect(act_with(np.random.default_rng(0)))
    state = copy.deepcopy(saved.state_dict())
    restored = RolloutCollector(make_training_envs(config_of(vec="native")), 30)
    restored.load_state_dict(state)
    generators = np.random.default_rng(1), np.random.default_rng(1)
    num_ends = 0
    for _ in range(5):
        expected, found = (one.collect(act_with(g)) for one, g in zip((saved, restored), generators, strict=True))
        np.testing.assert_equal(vars(found), vars(expected))
        num_ends += len(found.episode_returns)
    assert num_ends > 10


def test_what_cannot_be_brought_back_begins_new_episodes_and_says_so(caplog):
    pytest.importorskip("envpool")
    config = config_of(vec="envpool")
    saved = RolloutCollector(make_training_envs(config), 30)
    first = saved.collect(lambda observations, state: np.zeros(4, np.int64)).observations[0]
    state = copy.deepcopy(saved.state_dict())
    restored = RolloutCollector(make_training_envs(config), 30)
    restored.load_state_dict(state)
    assert "cannot be brought back" in caplog.text
    assert not restored.episode_lengths.any()
    assert not np.isin(restored.observations, first).any(), "other episodes than the run began with"


def test_single_and_vectorised_environments_are_not_resumed_as_each_other():
    states = {}
    for vec in ("serial", "native"):
        with make_training_envs(config_of(vec=vec)) as envs:
            envs.reset()
            states[vec] = envs.get_state()
    for vec, other in (("serial", "native"), ("native", "serial")):
        with make_training_envs(config_of(vec=vec)) as envs, pytest.raises(ValueError, match="the state is of"):
            envs.set_state(states[other])


@pytest.mark.parametrize(
    "values,said",
    [
        ({"vec": "native", "env": "Acrobot-v1"}, "'Acrobot-v1' has no vectorised version"),
        ({"vec": "native", "env": "gym:CartPole-v1"}, "classic gym has no vectorised versions"),
        ({"vec": "native", "env": "CartPol-v1"}, "CartPol"),
        ({"vec": "envpool", "env": "CartPol-v1"}, "envpool has no environment 'CartPol-v1'"),
    ],
)
def test_a_missing_environment_or_vectorised_version_is_reported_in_one_line(values, said):
    if values["vec"] == "envpool":
        pytest.importorskip("envpool")
    with pytest.raises(ConfigError, match=said) as error:
        make_training_envs(config_of(**values))
    assert "\n" not in str(error.value)


def test_a_vectorised_version_that_begins_anew_in_the_step_after_is_refused():
    class NextStep:
        def __init__(self, num_envs):
            raise AssertionError("not to be made")

    gymnasium.register("NextStep-v0", vector_entry_point=NextStep)
    try:
        with pytest.raises(ConfigError, match="cannot begin anew in the same step"):
            make_training_envs(config_of(vec="native", env="NextStep-v0"))
    finally:
        del gymnasium.registry["NextStep-v0"]


def test_a_seed_and_the_number_of_resets_decide_the_episodes():
    with make_training_envs(config_of(vec="native", num_envs=400)) as envs:
        envs.seed(5)
        first, second = envs.reset(), envs.reset()
        envs.seed(5)
        np.testing.assert_array_equal(envs.reset(), first)
        state = envs.get_state()
        np.testing.assert_array_equal(envs.reset(), second)
        envs.set_state(state)
        np.testing.assert_array_equal(envs.reset(), second)
        for _ in range(100):  # long enough for every one to begin anew
            observations, _, dones, _ = envs.step(np.ones(400, np.int64))
            if dones.sum() > 30:
                begun = observations[dones]
                assert (begun.min(axis=0) < -0.02).all() and (begun.max(axis=0) > 0.02).all()
                assert (np.abs(begun) <= 0.05).all()
                break
        else:
            raise AssertionError("no episodes ended together")


def test_an_error_in_the_environments_is_reported(monkeypatch):
    envs = make_training_envs(config_of(vec="native"))
    envs.reset()
    monkeypatch.setattr(SameStepCartPole, "step", lambda *_: 1 / 0)
    with pytest.raises(VecEnvError, match=r"the environments failed in step: ZeroDivisionError"):
        envs.step([0, 1, 1, 0])


def test_misuse_is_reported():
    envs = make_training_envs(config_of(vec="native"))
    envs.reset()
    with pytest.raises(VecEnvError, match="step_async"):
        envs.step_wait()
    with pytest.raises(ValueError, match="between 0 and 1"):
        envs.step([0, 1, 2, 0])
    with pytest.raises(ValueError, match="between 0 and 1"):
        envs.step([0, -1, 1, 0])
    with pytest.raises(VecEnvError, match="one by one"):
        envs.get_attr("gravity")
    envs.close()
    envs.close()
    with pytest.raises(VecEnvError, match="closed"):
        envs.reset()


@pytest.mark.parametrize(
    "values,step,expected",
    [
        ({"num_envs": 8, "env": "Acrobot-v1"}, 500e-6, "subproc"),
        ({"num_envs": 1}, 500e-6, "serial"),
        ({"num_envs": 7}, 10e-6, "serial"),
        ({"num_envs": 8}, 10e-6, "native"),
        ({"num_envs": 8, "env": "Acrobot-v1"}, 10e-6, "serial"),
        ({"num_envs": 8, "env": "Acrobot-v1", "num_workers": 8}, 40e-6, "serial"),
        ({"num_envs": 8, "num_workers": 1, "env": "Acrobot-v1"}, 500e-6, "serial"),
        ({"num_envs": 64, "env": "gym:CartPole-v1"}, 10e-6, "subproc"),
        ({"num_envs": 64, "vec": "serial"}, 500e-6, "serial"),
        ({"num_envs": 64, "frame_stack": 2}, 1e-6, "serial"),
    ],
)
def test_auto_takes_what_is_fastest_and_says_why(monkeypatch, caplog, values, step, expected):
    monkeypatch.setattr(envs_make, "_seconds_of_a_step", lambda config: step)
    monkeypatch.setattr("paddle_ac.cores.usable_cores", lambda: 2)
    envs_make._choose_vec.cache_clear()
    with caplog.at_level("INFO", logger="paddle_ac"):
        settled = resolve_vec(config_of(**values))
        log_vec(config_of(**values))
    envs_make._choose_vec.cache_clear()
    assert settled.vec == expected
    assert (f"environments: {expected} (" in caplog.text) == (values.get("vec") is None)


def test_a_step_is_timed():
    assert 1e-6 < envs_make._seconds_of_a_step(config_of()) < 0.01
