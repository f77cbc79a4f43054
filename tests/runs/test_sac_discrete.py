"""SAC for discrete actions: what a gradient step computes, and that it learns in every kind of space."""

from __future__ import annotations

import gymnasium
import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from gymnasium.spaces import Box, Dict, MultiDiscrete

import paddle_ac
from multiprocessing_env import DummyVecEnv
from paddle_ac.algorithms.sac_discrete import SACDiscrete
from paddle_ac.config import make_config
from paddle_ac.envs.make import make_evaluation_envs
from paddle_ac.errors import ConfigError, NonFiniteError
from paddle_ac.nn.paddle_network import layer_of
from paddle_ac.training.evaluate import evaluate
from tests.environments import Identity, RandomWalk

SMALL = {"hidden_sizes": (16,), "batch_size": 8, "buffer_size": 200, "train_freq": 4, "gradient_steps": 1}
QUICK = {**SMALL, "learning_starts": 16, "learning_rate": 1e-2, "vec": "serial", "tau": 0.1}
IDENTITY = {
    "total_steps": 2_000,
    "learning_starts": 100,
    "train_freq": 4,
    "gradient_steps": 4,
    "batch_size": 32,
    "hidden_sizes": (32,),
    "tau": 0.05,
    "gamma": 0.5,
    "learning_rate": 5e-3,
    "target_entropy_scale": 0.1,
    "vec": "serial",
}


def walk(spaces):
    return lambda: RandomWalk(spaces=spaces)


def make_agent(spaces="box", **changes) -> SACDiscrete:
    config = make_config({"algo": "sac_discrete", "env": "test/Walk-v0", "num_envs": 2, **QUICK, **changes})
    envs = DummyVecEnv([walk(spaces)] * config.num_envs)
    envs.seed(config.seed)
    return SACDiscrete(config, envs)


def learned_agent(updates=12, **changes) -> SACDiscrete:
    agent = make_agent(**changes)
    for _ in range(updates):
        agent.update()
    return agent


def choices_of(tensor, sizes):
    return paddle.split(tensor, list(sizes), axis=1) if len(sizes) > 1 else [tensor]


@pytest.mark.parametrize("backend", ["numpy", "paddle"])
@pytest.mark.parametrize("spaces,sizes", [("box", (4,)), ("multi", (3, 4))], ids=["discrete", "multidiscrete"])
def test_gradient_step_is_that_of_automatic_differentiation(backend, spaces, sizes):
    agent = learned_agent(
        spaces=spaces, backend=backend, max_grad_norm=1e6, normalize_observations=True, critic_loss="squared"
    )
    batch, alpha = agent.sample(), agent.alpha
    assert alpha != 1
    actor, critics = layer_of(agent.policy), [layer_of(critic) for critic in agent.critics]
    with paddle.no_grad():
        next_logits = choices_of(actor(batch.next_observations)[0], sizes)
        q = [layer_of(target)(batch.next_observations)[0] for target in agent.targets]
        next_q = choices_of(paddle.minimum(*q), sizes)
        values = sum(
            (F.softmax(logits) * (smaller - alpha * F.log_softmax(logits))).sum(axis=1)
            for logits, smaller in zip(next_logits, next_q, strict=True)
        )
        targets = paddle.to_tensor(batch.rewards) + paddle.to_tensor(batch.discounts) * values
    np.testing.assert_allclose(agent.bellman_targets(batch, alpha), targets.numpy(), rtol=1e-3, atol=1e-4)

    actions = batch.actions.reshape(8, -1)
    q_values = [critic(batch.observations)[0] for critic in critics]
    taken = [
        sum(
            (part * F.one_hot(paddle.to_tensor(actions[:, number]), sizes[number])).sum(axis=1)
            for number, part in enumerate(choices_of(q, sizes))
        )
        for q in q_values
    ]
    critic_loss = F.mse_loss(taken[0], targets) + F.mse_loss(taken[1], targets)
    critic_loss.backward(retain_graph=True)
    smaller = choices_of(paddle.minimum(*q_values).detach(), sizes)
    logits = choices_of(actor(batch.observations)[0], sizes)
    log_probs = [F.log_softmax(part) for part in logits]
    actor_loss = sum(
        (F.softmax(part) * (alpha * log_prob - q)).sum(axis=1).mean()
        for part, log_prob, q in zip(logits, log_probs, smaller, strict=True)
    )
    actor_loss.backward()
    entropy = -sum((log_prob.exp() * log_prob).sum(axis=1).mean() for log_prob in log_probs)
    layers = {"actor": actor, "critic_1": critics[0], "critic_2": critics[1]}
    expected = {
        name: {key: parameter.grad.numpy().copy() for key, parameter in layer.named_parameters()}
        for name, layer in layers.items()
    }
    for layer in layers.values():
        for parameter in layer.parameters():
            parameter.clear_gradient(set_to_zero=False)

    before = float(agent.log_alpha[0])
    metrics = agent.gradient_step(batch)
    assert metrics["losses/critic"] == pytest.approx(critic_loss.item(), rel=1e-3)
    assert metrics["losses/actor"] == pytest.approx(actor_loss.item(), rel=1e-3)
    assert metrics["losses/entropy"] == pytest.approx(entropy.item(), rel=1e-3)
    assert metrics["diagnostics/alpha"] == pytest.approx(alpha)
    for name, learner in agent.learners.items():
        for key, gradient in learner.gradient_views.items():
            scale = np.abs(expected[name][key]).max() + 1e-6
            np.testing.assert_allclose(
                gradient / scale, expected[name][key] / scale, atol=2e-3, err_msg=f"{name} {key}"
            )
    wanted = 0.5 * sum(np.log(size) for size in sizes)
    assert (float(agent.log_alpha[0]) < before) == (entropy.item() > wanted), (
        "alpha falls where there is enough entropy"
    )


def test_critics_differ_and_their_targets_start_equal_to_them():
    agent = make_agent()
    first, second = (critic.parameters.vector for critic in agent.critics)
    assert not np.array_equal(first, second)
    for target, critic in zip(agent.targets, agent.critics, strict=True):
        np.testing.assert_array_equal(target.parameters.vector, critic.parameters.vector)
        assert target.parameters.vector is not critic.parameters.vector
        assert target.encode is critic.encode is agent.policy.encode


@pytest.mark.parametrize("backend", ["numpy", "paddle"])
def test_target_networks_move_by_tau_every_target_interval_gradient_steps(backend):
    agent = make_agent(target_interval=3, tau=0.25, learning_starts=0, backend=backend)
    for number in range(1, 7):
        before = [target.parameters.vector.copy() for target in agent.targets]
        agent.update()
        for target, critic, old in zip(agent.targets, agent.critics, before, strict=True):
            new = old + 0.25 * (critic.parameters.vector - old) if number % 3 == 0 else old
            np.testing.assert_allclose(target.parameters.vector, new, rtol=1e-5, atol=1e-6)


def test_temperature_moves_the_entropy_to_its_target():
    changes = {"target_entropy_scale": 0.6, "init_alpha": 0.1, "reward_scale": 0.1, "normalize_observations": True}
    agent = make_agent(**changes, batch_size=32)
    entropies = [np.mean(agent.update().get("losses/entropy", [0])) for _ in range(500)]
    assert np.mean(entropies[-100:]) == pytest.approx(0.6 * np.log(4), rel=0.2)


def test_fixed_temperature_stays():
    agent = learned_agent(auto_alpha=False, init_alpha=0.3)
    assert agent.alpha == pytest.approx(0.3) and "log_alpha" not in agent.learned_parts()


def test_infinite_reward_is_an_error_and_changes_no_parameter():
    agent = learned_agent()
    before = {name: learner.parameters.vector.copy() for name, learner in agent.learners.items()}
    batch = agent.sample()
    batch.rewards[0] = np.inf
    with pytest.raises(NonFiniteError, match="loss is not finite"):
        agent.gradient_step(batch)
    for name, learner in agent.learners.items():
        np.testing.assert_array_equal(learner.parameters.vector, before[name])


def mean_return(agent) -> float:
    with make_evaluation_envs(agent.config, 1, 5) as envs:
        return float(evaluate(agent.policy, envs, 10, max_steps=20).mean())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"backend": "paddle", "total_steps": 1_500}, marks=pytest.mark.slow),
        {"num_step_returns": 3, "num_envs": 3},
        {"critic_loss": "smooth_l1", "optimizer": "rmsprop_torch", "normalize_rewards": True},
        {"env": "tests.runs.test_sac_discrete:TwoAnswers"},
        pytest.param(
            {"env": "tests.runs.test_sac_discrete:InParts", "hidden_sizes": (32,), "encoder": "small"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["numpy", "paddle", "n-step", "variant", "multidiscrete", "image and vector"],
)
def test_identity_environment_is_learned(changes):
    with paddle_ac.make("sac_discrete", **{"env": "test/Identity-v0", **IDENTITY, **changes}) as agent:
        while not agent.is_done:
            agent.update()
        assert mean_return(agent) == 20


@pytest.mark.slow
def test_own_network_learns():
    changes = {**IDENTITY, "env": "tests.runs.test_sac_discrete:Codes", "network": "tests.own_networks:Own"}
    del changes["hidden_sizes"]
    with paddle_ac.make("sac_discrete", **{**changes, "total_steps": 1_000}) as agent:
        first, second = (critic.parameters.vector for critic in agent.critics)
        assert not np.array_equal(first, second)
        while not agent.is_done:
            agent.update()
        assert mean_return(agent) == 20


@pytest.mark.parametrize("env", ["Pendulum-v1", "test/FromOne-v0"])
def test_other_action_spaces_are_rejected_in_one_line(env):
    with pytest.raises(
        ConfigError, match="sac_discrete takes Discrete and MultiDiscrete action spaces that begin at 0"
    ):
        paddle_ac.make("sac_discrete", env, vec="serial")


class Codes(Identity):
    """Identity whose observations are unit vectors."""

    codes = np.eye(3, dtype=np.float32)

    def __init__(self):
        super().__init__(Box(0, 1, (3,), np.float32))


class TwoAnswers(Codes):
    """Half a point for the number of the observation, and half for whether it is 0."""

    def __init__(self):
        super().__init__()
        self.action_space = MultiDiscrete([3, 2])

    def step(self, action):
        reward = 0.5 * float(action[0] == self.wanted) + 0.5 * float(action[1] == (self.wanted == 0))
        self.count += 1
        return self._draw(), reward, False, self.count == 20, {}

    def _draw(self):
        self.wanted = int(self.np_random.integers(3))
        return self.codes[self.wanted]


class Pictured(Identity):
    """Identity whose observations are pictures with one bright row."""

    codes = np.ascontiguousarray(np.broadcast_to(np.eye(3, dtype=np.uint8)[:, :, None, None] * 255, (3, 3, 4, 1)))

    def __init__(self):
        super().__init__(Box(0, 255, (3, 4, 1), np.uint8))


class InParts(gymnasium.ObservationWrapper):
    """Identity whose observations are a picture and a vector, of which the vector is noise."""

    def __init__(self):
        super().__init__(Pictured())
        parts = {"picture": self.env.observation_space, "noise": Box(-1, 1, (2,), np.float32)}
        self.observation_space = Dict(parts)

    def observation(self, observation):
        return {"picture": observation, "noise": self.env.np_random.uniform(-1, 1, 2).astype(np.float32)}
