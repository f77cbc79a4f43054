"""A state that does not fit is rejected before anything changes, and the message names the difference."""

from __future__ import annotations

import copy
import types

import numpy as np
import pytest

import paddle_ac
from multiprocessing_env import DummyVecEnv, EnvironmentFailedError
from paddle_ac.algorithms.a2c import A2C
from paddle_ac.algorithms.state import arrays_part, attribute_part, constant_part, generator_part, load_parts
from paddle_ac.config import make_config
from paddle_ac.envs.make import training_env_fns
from paddle_ac.envs.wrappers import EpisodeReplay
from paddle_ac.processes.lock import ProcessLock
from tests.environments import RandomWalk
from tests.short_runs import flat

QUICK = {
    "a2c": {"env": "test/Walk-v0", "normalize_observations": True, "normalize_rewards": True},
    "paac": {"env": "CartPole-v1", "num_envs": 8},
    "ppo": {"env": "test/Walk-v0", "num_steps": 5, "minibatch_size": 4},
    "td_ac": {"env": "test/Walk-v0"},
    "q_ac": {"env": "test/Walk-v0", "recurrent": "none"},
    "reinforce": {"env": "test/Walk-v0"},
    "dqn": {"env": "test/Walk-v0", "learning_starts": 20, "buffer_size": 500, "batch_size": 8, "train_freq": 4},
    "soft_q": {"env": "test/Walk-v0", "learning_starts": 20, "buffer_size": 500, "batch_size": 8, "train_freq": 4},
    "sac_discrete": {"env": "test/Walk-v0", "learning_starts": 20, "buffer_size": 500, "batch_size": 8},
    "pgql": {"env": "test/Walk-v0", "num_steps": 5, "learning_starts": 20, "buffer_size": 500, "batch_size": 8},
    "sac": {"env": "Pendulum-v1", "num_envs": 2, "learning_starts": 20, "buffer_size": 500, "batch_size": 8},
    "td3": {"env": "Pendulum-v1", "num_envs": 2, "learning_starts": 20, "buffer_size": 500, "batch_size": 8},
    "ddpg": {"env": "Pendulum-v1", "num_envs": 2, "learning_starts": 20, "buffer_size": 500, "batch_size": 8},
    "a3c": {"env": "test/Walk-v0", "normalize_observations": True, "normalize_rewards": True, "num_workers": 1},
    "async_q": {"env": "test/Walk-v0", "normalize_observations": True, "target_interval": 40, "num_workers": 1},
    "async_sarsa": {"env": "test/Walk-v0", "normalize_rewards": True, "num_workers": 1},
    "async_nstep_q": {"env": "test/Walk-v0", "dueling": True, "num_workers": 1},
}
ACTOR_LEARNERS = ("a3c", "async_q", "async_sarsa", "async_nstep_q")
EVERY_ALGORITHM = pytest.mark.parametrize("algo", QUICK)


def make_agent(algo: str, **changes):
    values = {"hidden_sizes": (16,), **QUICK[algo], **changes}
    if algo not in ACTOR_LEARNERS:
        values = {"num_envs": 3, "vec": "native" if algo == "paac" else "serial", **values}
    return paddle_ac.make(algo, values.pop("env"), **values)


def learn(agent, updates: int = 12) -> None:
    if not hasattr(agent, "shared"):
        for _ in range(updates):
            agent.update()
        return
    # A worker in this process, so that its numbers repeat themselves.
    if not hasattr(agent, "worker"):
        envs = DummyVecEnv(training_env_fns(agent.config, agent.config.num_envs))
        options = agent.worker_options(0)
        agent.worker = agent.worker_class(0, 0, agent.config, envs, agent.shared, ProcessLock(), **options)
    for _ in range(updates):
        agent.worker.update()


def state_of(agent) -> dict:
    return copy.deepcopy(agent.state_dict())


def misfits(algo: str) -> dict[str, tuple[dict, str]]:
    """States that do not fit: by what makes them, and the message."""
    is_continuous = algo in ("sac", "td3", "ddpg")
    other_env = "MountainCarContinuous-v0" if is_continuous else "test/Walk-v0" if algo == "paac" else "CartPole-v1"
    vec = {"vec": "serial"} if algo == "paac" else {}
    cases = {
        "seed": ({"seed": 5}, "seed=5, and this is seed=0"),
        "environment": ({"env": other_env, **vec}, f"env='{other_env}'"),
        "network": ({"hidden_sizes": (7,)}, "parameters of another network"),
    }
    if algo in ACTOR_LEARNERS:
        cases["workers"] = ({"num_workers": 2}, "2 workers, this run 1")
    else:
        cases["number"] = ({"num_envs": 9 if algo == "paac" else 4}, "environments, these are|noise is")
    config = make_config({"algo": algo})
    if algo not in ACTOR_LEARNERS and hasattr(config, "optimizer"):
        is_adam = config.optimizer == "adam"
        cases["optimizer"] = ({"optimizer": "rmsprop" if is_adam else "adam"}, "optimiser is not")
    return cases


@pytest.mark.parametrize("algo,case", [(algo, case) for algo in QUICK for case in misfits(algo)])
def test_a_state_that_does_not_fit_changes_nothing(algo, case):
    changes, message = misfits(algo)[case]
    with make_agent(algo, **changes) as other:
        if algo not in ACTOR_LEARNERS or case != "workers":
            learn(other, 2)
        wrong = state_of(other)
    check_rejected(algo, wrong, message)


def check_rejected(algo: str, wrong: dict, message: str) -> None:
    with make_agent(algo) as agent, make_agent(algo) as undisturbed:
        learn(agent)
        learn(undisturbed)
        before = flat(state_of(agent))
        with pytest.raises(ValueError, match=message):
            agent.load_state_dict(wrong)
        assert flat(state_of(agent)) == before
        learn(agent, 6)
        learn(undisturbed, 6)
        assert flat(state_of(agent)) == flat(state_of(undisturbed))


@pytest.mark.parametrize("algo", [algo for algo in QUICK if algo not in (*ACTOR_LEARNERS, "paac")])
def test_a_state_of_version_01_and_another_seed_is_rejected_by_its_episodes(algo):
    """It does not say whose it is, and the difference shows only when an episode has been replayed."""
    with make_agent(algo, seed=5) as other:
        learn(other, 3)
        other.collector.collect(other._act_by_policy if algo in ("sac", "td3", "ddpg") else other._act)
        wrong = state_of(other)
    del wrong["identity"]
    check_rejected(algo, wrong, "does not repeat itself")


@EVERY_ALGORITHM
def test_a_part_that_is_missing_or_of_another_type_is_named(algo):
    with make_agent(algo) as agent:
        learn(agent, 2)
        before = flat(state_of(agent))
        good = state_of(agent)
        for key in good.keys() - {"format", "identity"}:
            for wrong in (None, 1.5, {}, []):
                if isinstance(good[key], dict) and not good[key] and wrong == {}:
                    continue
                state = {**good, key: wrong}
                with pytest.raises(ValueError, match=r"\w"):
                    agent.load_state_dict(state)
            state = {name: value for name, value in good.items() if name != key}
            with pytest.raises(ValueError, match=f"it has no '{key}'"):
                agent.load_state_dict(state)
        with pytest.raises(ValueError, match="a state is a dictionary"):
            agent.load_state_dict(None)
        assert flat(state_of(agent)) == before


@pytest.mark.parametrize("algo", [algo for algo in QUICK if algo not in ACTOR_LEARNERS])
@pytest.mark.parametrize("damage", ["generator", "environments"])
def test_a_damaged_part_deep_inside_changes_nothing(algo, damage):
    with make_agent(algo) as agent:
        learn(agent)
        before = flat(state_of(agent))
        wrong = state_of(agent)
        if damage == "generator":
            wrong["generator"]["state"]["state"] = -1
        else:
            envs = wrong["collector"]["envs"]
            envs.get("envs", envs.get("0")).clear()
        with pytest.raises((ValueError, KeyError, EnvironmentFailedError)):
            agent.load_state_dict(wrong)
        assert flat(state_of(agent)) == before


def test_no_part_is_restored_when_a_later_one_does_not_fit():
    owner = types.SimpleNamespace(steps=1)
    array, generator = np.zeros(3), np.random.default_rng(0)
    parts = {
        "steps": attribute_part(owner, "steps"),
        "arrays": arrays_part({"weight": array}),
        "generator": generator_part(generator),
    }
    before = {key: part.get() for key, part in parts.items()}
    good = {"steps": 2, "arrays": {"weight": np.ones(3)}, "generator": np.random.default_rng(1).bit_generator.state}
    for wrong in ({"steps": 2.0}, {"arrays": {"weight": np.ones(4)}}, {"arrays": {}}, {"generator": {}}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            load_parts(parts, {**good, **wrong})
        assert (owner.steps, array.sum()) == (1, 0) and generator.bit_generator.state == before["generator"]
    load_parts(parts, good)
    assert (owner.steps, array.tolist()) == (2, [1, 1, 1]) and generator.bit_generator.state == good["generator"]
    assert before["arrays"]["weight"].sum() == 0, "arrays are copied when they are saved"


def test_a_missing_part_has_the_value_that_older_states_imply():
    seen = []
    parts = {"format": constant_part(2, seen.append, missing=1)}
    load_parts(parts, {})
    load_parts(parts, {"format": 2})
    assert seen == [1, 2]


@pytest.mark.parametrize("algo,other,here", [("a2c", "adam", "rmsprop"), ("a3c", "shared_adam", "shared_rmsprop")])
def test_statistics_of_another_optimiser_are_named(algo, other, here):
    with make_agent(algo, optimizer=other) as agent:
        state = state_of(agent)
    with make_agent(algo, optimizer=here) as agent, pytest.raises(ValueError, match=f"optimiser is not {here}"):
        agent.load_state_dict(state)


def test_start_numbers_that_are_no_integers_are_rejected():
    with make_agent("a3c") as agent, pytest.raises(ValueError, match="starts/0 is float, not int"):
        agent.load_state_dict({**state_of(agent), "starts": [1.5]})


@EVERY_ALGORITHM
def test_a_state_that_fits_is_restored_whole(algo):
    with make_agent(algo) as agent, make_agent(algo) as restored:
        learn(agent)
        restored.load_state_dict(state_of(agent))
        assert flat(state_of(restored)) == flat(state_of(agent))
        if algo not in ACTOR_LEARNERS:
            learn(agent, 4)
            learn(restored, 4)
            assert flat(state_of(restored)) == flat(state_of(agent))


class Failing(RandomWalk):
    """Raises when an episode that another one has played is replayed."""

    fails = False

    def step(self, action):
        if Failing.fails:
            raise RuntimeError("the simulator is gone")
        return super().step(action)


def test_an_environment_that_raises_during_the_replay_changes_nothing():
    config = make_config({"algo": "a2c", "env": "test/Walk-v0", "vec": "serial", "num_envs": 1, "hidden_sizes": (8,)})
    agent = A2C(config, DummyVecEnv([lambda: EpisodeReplay(Failing(), (0,))]))
    agent.update()
    state, parameters = state_of(agent), agent.parameters.vector.copy()
    agent.update()
    later = agent.parameters.vector.copy()
    Failing.fails = True
    try:
        with pytest.raises(EnvironmentFailedError, match="the simulator is gone"):
            agent.load_state_dict(state)
    finally:
        Failing.fails = False
    np.testing.assert_array_equal(agent.parameters.vector, later)
    assert not np.array_equal(later, parameters)
    agent.close()
