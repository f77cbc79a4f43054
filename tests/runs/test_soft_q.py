"""Soft Q-learning: its targets and its policy in an agent, and that every variant learns."""

from __future__ import annotations

import numpy as np
import pytest

import paddle_ac
from multiprocessing_env import DummyVecEnv
from paddle_ac.algorithms.soft_q import SoftQ
from paddle_ac.config import make_config
from paddle_ac.envs.make import make_evaluation_envs
from paddle_ac.errors import ConfigError
from paddle_ac.training.evaluate import evaluate
from tests.environments import RandomWalk
from tests.markov import FiveStates, q_of, softmax, values_of

QUICK = {
    "total_steps": 1_500,
    "learning_starts": 100,
    "train_freq": 4,
    "gradient_steps": 4,
    "batch_size": 32,
    "hidden_sizes": (32,),
    "target_interval": 20,
    "gamma": 0.5,
    "learning_rate": 5e-3,
    "vec": "serial",
}
VARIANTS = {
    "plain": {},
    "dueling": {"dueling": True},
    "n-step, prioritised": {"num_step_returns": 3, "prioritized": True},
    "paddle": {"backend": "paddle"},
}


def make_agent(env=RandomWalk, **changes) -> SoftQ:
    config = make_config({"algo": "soft_q", "env": "test/Walk-v0", "num_envs": 2, **QUICK, **changes})
    envs = DummyVecEnv([env] * config.num_envs)
    envs.seed(config.seed)
    return SoftQ(config, envs)


@pytest.mark.parametrize("dueling", [False, True], ids=["plain", "dueling"])
def test_targets_bootstrap_from_the_soft_values_of_the_target_network(dueling):
    agent = make_agent(dueling=dueling, temperature=0.7)
    for _ in range(20):
        agent.update()
    batch = agent.sample()
    q_values = agent.q_values(agent.target, batch.next_observations).astype(np.float64)
    soft = 0.7 * np.log(np.exp(q_values / 0.7).sum(axis=1))
    np.testing.assert_allclose(agent.targets(batch), batch.rewards + batch.discounts * soft, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dueling", [False, True], ids=["plain", "dueling"])
def test_agent_explores_by_the_boltzmann_policy_of_its_q_values(dueling):
    agent = make_agent(dueling=dueling, temperature=0.7)
    agent.env_steps = agent.config.learning_starts
    observation = np.float32([[0.1, 2, 0.3]])
    q_values = agent.q_values(agent.policy, observation)
    drawn = agent._act(np.repeat(observation, 20_000, axis=0), np.zeros((20_000, 0), np.float32))
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 20_000, softmax(q_values, 0.7)[0], atol=0.015)


@pytest.mark.parametrize("variant", VARIANTS)
def test_identity_environment_is_learned(variant):
    with paddle_ac.make("soft_q", "test/Identity-v0", **QUICK, **VARIANTS[variant]) as agent:
        while not agent.is_done:
            agent.update()
        with make_evaluation_envs(agent.config, 1, 5) as envs:
            assert evaluate(agent.policy, envs, 10, max_steps=20).mean() == 20
            sampled = evaluate(agent.policy, envs, 10, max_steps=20, generator=np.random.default_rng(0)).mean()
            assert 18 < sampled <= 20, "temperature 0.1: other actions have a probability near exp(-10)"


@pytest.mark.slow
def test_q_values_of_a_process_with_five_states_are_its_soft_q_values():
    alpha = 0.5
    changes = {
        "gamma": 0.8,
        "temperature": alpha,
        "total_steps": 8_000,
        "num_step_returns": 1,
        "critic_loss": "squared",
    }
    agent = make_agent(FiveStates, **changes)
    while not agent.is_done:
        agent.update()
    found = agent.q_values(agent.policy, np.arange(5))
    expected = np.zeros((5, 3))
    for _ in range(200):
        expected = q_of(values_of(softmax(expected, alpha), alpha))
    np.testing.assert_allclose(found, expected, atol=0.25)


def test_other_action_spaces_are_rejected_in_one_line():
    with pytest.raises(ConfigError, match="soft_q takes Discrete action spaces that begin at 0"):
        paddle_ac.make("soft_q", "Pendulum-v1", vec="serial")
