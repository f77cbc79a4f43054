"""Learning, tested by learning: environments whose best policy is known are solved in seconds."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

import paddle_ac
from multiprocessing_env import DummyVecEnv
from paddle_ac.algorithms.a2c import A2C
from paddle_ac.algorithms.a3c import A3C
from paddle_ac.config import make_config, read_yaml
from paddle_ac.nn.unroll import Unroll
from paddle_ac.registry import ALGORITHMS
from paddle_ac.training.evaluate import evaluate
from tests.environments import Aiming, Fuse, Identity, OneStepChain, Recall, Repeating
from tests.paths import CONFIGS


def trained(env_fn, total_steps: int, **changes) -> A2C:
    values = {
        "algo": "a2c",
        "vec": "serial",
        "learning_rate": 5e-3,
        "optimizer": "adam",
        "lr_schedule": "constant",
        "gamma": 0.5,
        "entropy_coef": 0.01,
        **({} if changes.get("algo") == "reinforce" else {"num_steps": 8}),
        **changes,
    }
    envs = DummyVecEnv([env_fn] * 8)
    envs.seed(0)
    config = make_config(values)
    agent = ALGORITHMS[config.algo](config, envs)
    while agent.env_steps < total_steps:
        agent.update()
    agent.close()
    return agent


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "rmsprop"},
        {"optimizer": "rmsprop_torch", "learning_rate": 2e-3},
        {"shared_torso": True, "activation": "relu"},
        {"initialization": "xavier", "hidden_sizes": (16,)},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())) or "default",
)
def test_the_observation_is_learned_to_be_the_action(changes):
    agent = trained(Identity, 8000, **changes)
    assert agent.policy.act(np.arange(3)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "space,observations",
    [
        (Box(0, 1, (3,)), np.eye(3, dtype=np.float32)),
        (Discrete(3), np.arange(3)),
        (Discrete(3, start=5), np.arange(5, 8)),
        (MultiDiscrete([2, 3]), np.array([[1, 0], [1, 1], [1, 2]])),
        (MultiBinary(3), np.eye(3, dtype=np.int8)),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, np.ndarray) else "",
)
def test_observations_of_every_kind_are_learned_from(space, observations):
    class Encoded(Identity):
        def __init__(self):
            super().__init__(space)
            self.codes = observations

    agent = trained(Encoded, 8000)
    assert agent.policy.act(observations).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "changes",
    [
        {"algo": "paac"},
        {"algo": "ppo", "num_steps": 20, "minibatch_size": 40},
        {"algo": "td_ac"},
        {"algo": "q_ac"},
        {"algo": "reinforce"},
        {"algo": "reinforce", "baseline": False},
        {"algo": "a2c", "gae_lambda": 0.9},
        {"algo": "a2c", "normalize_rewards": True, "normalize_observations": True},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_every_member_learns_the_identity(changes):
    agent = trained(Identity, 12_000, num_envs=8, **changes)
    assert agent.policy.act(np.arange(3)).tolist() == [0, 1, 2]


def test_a3c_learns_the_identity():
    values = {"gamma": 0.5, "entropy_coef": 0.01, "lr_schedule": "constant", "learning_rate": 5e-3, "num_envs": 4}
    config = make_config({"algo": "a3c", "env": "tests.environments:test/Identity-v0", "total_steps": 20_000, **values})
    with A3C.from_config(config) as agent:
        while not agent.is_done:
            agent.update()
        assert agent.policy.act(np.arange(3)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("algo", ["async_q", "async_sarsa", "async_nstep_q"])
def test_asynchronous_q_learning_learns_the_identity(algo):
    values = {"gamma": 0.5, "lr_schedule": "constant", "exploration_steps": 5_000, "target_interval": 200}
    with paddle_ac.make(algo, "tests.environments:test/Identity-v0", total_steps=20_000, **values) as agent:
        while not agent.is_done:
            agent.update()
        assert agent.policy.act(np.arange(3)).tolist() == [0, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["a2c", "td_ac", "reinforce"])
@pytest.mark.parametrize("dependent", [False, True])
@pytest.mark.parametrize("low,high", [(-1, 1), (100, 200)])
def test_a_box_is_learned_to_the_point(algo, dependent, low, high):
    agent = trained(lambda: Aiming(low, high), 40_000, algo=algo, num_envs=8, state_dependent_std=dependent)
    for target in (-0.5, 0.0, 0.5):
        action = agent.policy.act(np.full((1, 1), target, np.float32))[0, 0]
        assert (action - low) / (high - low) * 2 - 1 == pytest.approx(target, abs=0.25)


def test_defaults_of_a2c_learn_in_a_box_far_from_0():
    """The middle of the Box at every step returns about -6.7."""
    with DummyVecEnv([lambda: Aiming(100, 200)] * 8) as envs:
        envs.seed(0)
        agent = A2C(make_config({"algo": "a2c", "total_steps": 100_000}), envs)
        while not agent.is_done:
            agent.update()
        assert evaluate(agent.policy, envs, 40, max_steps=20).mean() > -2


def test_clipping_does_not_hide_the_ends_of_episodes_from_the_critic_of_td_ac():
    """With raw rewards the critic learned a mean value of 65 here, for 25."""
    with DummyVecEnv([Fuse]) as envs:
        agent = A2C(make_config({"algo": "td_ac", "total_steps": 40_000}), envs)
        while not agent.is_done:
            agent.update()
        values = agent.policy.values(np.arange(60, dtype=np.float32)[:, np.newaxis] / 60)
        exact = (1 - 0.99 ** np.arange(60, 0, -1)) / 0.01
        deviation = np.sqrt(agent.normalize_rewards.moments.variance)
        assert values.mean() * deviation == pytest.approx(exact.mean(), rel=0.1)


def test_switches_and_several_choices_are_learned():
    for space in (MultiDiscrete([2, 2]), MultiBinary(2)):
        agent = trained(lambda space=space: Repeating(space), 20_000)
        for wanted in ([0, 0], [1, 1], [0, 1]):
            assert agent.policy.act(np.array([wanted], np.float32))[0].tolist() == wanted


@pytest.mark.parametrize("how_it_ends,value", [("terminated", 1.0), ("truncated", 2.0)])
def test_the_critic_sees_through_a_time_limit_and_not_through_an_end(how_it_ends, value):
    """A reward of 1 a step, gamma 1/2: worth 1 where the episode ends after one step, 1 + 1/2 + ... where it is cut."""
    agent = trained(lambda: OneStepChain(how_it_ends), 8000, normalize_rewards=False)
    assert agent.policy.values(np.zeros((1, 1), np.float32))[0] == pytest.approx(value, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a2c_cartpole_fast", "paac_cartpole"])
def test_a_configuration_learns_cartpole(name):
    config = make_config(read_yaml(CONFIGS / f"{name}.yaml"))
    agent = A2C.from_config(config)
    returns = deque(maxlen=100)
    while not agent.is_done and (len(returns) < 100 or np.mean(returns) < 475):
        returns.extend(agent.update()["charts/episode_return"])
    agent.close()
    assert np.mean(returns) >= 475


def test_more_entropy_is_kept_where_it_is_paid_for():
    observations = np.arange(3)
    paid, unpaid = (trained(Identity, 3000, entropy_coef=coef).policy for coef in (1.0, 0.0))
    unroll = Unroll.of_one_step(paid.initial_state(3))
    logits = [policy.forward(observations, unroll)[0] for policy in (paid, unpaid)]
    assert np.ptp(logits[0]) < 2 < 4 < np.ptp(logits[1])


@pytest.mark.parametrize("recurrent", ["lstm", "gru", "none"])
@pytest.mark.parametrize(
    "algo",
    [{"algo": "a2c"}, {"algo": "ppo", "minibatch_size": 32, "num_epochs": 4, "learning_rate": 2e-3}],
    ids=["a2c", "ppo"],
)
def test_what_is_seen_no_more_is_remembered_by_recurrent_networks_alone(algo, recurrent):
    agent = trained(Recall, 12000, recurrent=recurrent, recurrent_size=16, hidden_sizes=(16,), gamma=0.9, **algo)
    with DummyVecEnv([Recall] * 10) as envs:
        envs.seed(7)
        mean_return = evaluate(agent.policy, envs, 200, max_steps=10).mean()
    if recurrent == "none":
        assert mean_return < 0.7
    else:
        assert mean_return > 0.95
