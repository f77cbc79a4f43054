"""SAC: its distribution against SciPy, its losses against automatic differentiation, its runs against themselves."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path

import gymnasium
import numpy as np
import paddle
import pytest
import scipy.stats
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

from multiprocessing_env import DummyVecEnv
from paddle_ac.algorithms.sac import SAC
from paddle_ac.config import make_config, read_yaml
from paddle_ac.errors import CheckpointError, ConfigError, NonFiniteError
from paddle_ac.learning.replay import Batch
from paddle_ac.losses.sac import actor_loss, minimum
from paddle_ac.losses.values import bellman_residual
from paddle_ac.nn.action_scale import ActionScale
from paddle_ac.nn.continuous_networks import StackedCritics
from paddle_ac.nn.numpy_continuous import squashed_log_probabilities
from paddle_ac.nn.paddle_parameters import flatten_parameters
from paddle_ac.training.evaluate import evaluate_run
from paddle_ac.training.runs import resume, train
from tests.environments import ContinuousIdentity, RandomWalk
from tests.paddle_distributions import SquashedGaussian
from tests.paths import CONFIGS, DATA
from tests.short_runs import assert_same_run

QUICK = {"algo": "sac", "env": "test/Continuous-v0", "hidden_sizes": (8,), "batch_size": 16, "learning_starts": 50}
SCALED = {"normalize_observations": True, "normalize_rewards": True, "reward_scale": 3.0, "reward_clip": 0.5}


# ------------------------------------------------------------------------------------------------- the distribution


def gaussians(batch_size=200, num_actions=3):
    """Means, logarithms of deviations and noise, float32."""
    generator = np.random.default_rng(0)
    mean, noise = generator.normal(size=(2, batch_size, num_actions)).astype(np.float32)
    return mean, generator.uniform(-2, 0.3, (batch_size, num_actions)).astype(np.float32), noise


def log_density(mean, log_std, actions):
    """By the change of variables, in float64: SciPy's normal density over the slope of tanh."""
    mean, log_std, actions = (np.asarray(value, np.float64) for value in (mean, log_std, actions))
    return (scipy.stats.norm.logpdf(np.arctanh(actions), mean, np.exp(log_std)) - np.log1p(-(actions**2))).sum(axis=-1)


def test_log_probabilities_are_those_of_scipy():
    mean, log_std, noise = gaussians()
    unsquashed = mean + np.exp(log_std) * noise
    expected = log_density(mean, log_std, np.tanh(unsquashed.astype(np.float64)))
    np.testing.assert_allclose(squashed_log_probabilities(unsquashed, noise, log_std), expected, rtol=1e-4, atol=1e-4)
    policy = SquashedGaussian(paddle.to_tensor(mean), paddle.to_tensor(log_std))
    actions, log_probabilities = policy.sample(paddle.to_tensor(noise))
    np.testing.assert_allclose(actions.numpy(), np.tanh(unsquashed), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(log_probabilities.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_densities_are_those_of_whole_probability():
    actions = np.linspace(-1, 1, 200_001)[1:-1]
    noise = (np.arctanh(actions) - 0.4) / np.exp(-0.3)
    log_p = squashed_log_probabilities(np.arctanh(actions)[:, np.newaxis], noise[:, np.newaxis], np.full((1, 1), -0.3))
    assert np.trapezoid(np.exp(log_p), actions) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("unsquashed", [-1000.0, -20.0, 0.0, 20.0, 1000.0])
def test_log_probabilities_are_right_where_tanh_is_one(unsquashed):
    u = np.full((1, 1), unsquashed, np.float32)
    expected = scipy.stats.norm.logpdf(0) - 2 * (np.log(2) - abs(unsquashed) - np.log1p(np.exp(-2 * abs(unsquashed))))
    assert squashed_log_probabilities(u, np.zeros_like(u), np.zeros_like(u))[0] == pytest.approx(expected, rel=1e-6)
    policy = SquashedGaussian(paddle.to_tensor(u), paddle.zeros([1, 1]))
    assert policy.sample(paddle.zeros([1, 1]))[1].item() == pytest.approx(expected, rel=1e-6)


def test_actions_have_the_distribution_that_the_policy_returns():
    agent = make_agent(action_space=Box(-3, 1, (1,)))
    observations = np.zeros((40_000, 3), np.float32)
    (mean,), (log_std,) = (tensor.numpy()[0] for tensor in agent.policy(observations[:1]))
    expected = scipy.stats.norm(mean, np.exp(log_std))
    for seed in (0, 1):
        actions = agent.policy.act(observations, np.random.default_rng(seed))[:, 0]
        assert scipy.stats.kstest(np.arctanh((actions + 1) / 2), expected.cdf).pvalue > 1e-3
    np.testing.assert_allclose(agent.policy.act(observations[:1])[0, 0], 2 * np.tanh(mean) - 1, rtol=1e-5)


BOXES = [Box(-2, 6, (3,)), Box(np.float32([-1, 0]), np.float32([0.1, 1e6])), Box(0, 1, (2, 2))]


@pytest.mark.parametrize("space", BOXES, ids=str)
def test_the_cube_is_mapped_onto_the_box_and_back(space):
    scale = ActionScale(space)
    corners = np.float32([[-1] * scale.num_actions, [1] * scale.num_actions])
    np.testing.assert_allclose(scale.to_box(corners), [space.low, space.high], rtol=1e-6, atol=1e-6)
    squashed = np.random.default_rng(0).uniform(-1, 1, (50, scale.num_actions)).astype(np.float32)
    actions = scale.to_box(squashed)
    assert actions.dtype == np.float32 and all(action in space for action in actions)
    np.testing.assert_allclose(scale.to_units(actions), squashed, atol=1e-6)


# ------------------------------------------------------------------------------------------- the losses and targets


class Spaces(RandomWalk):
    """Noise, in given spaces."""

    def __init__(self, observation_space=None, action_space=None):
        super().__init__(spaces="continuous")
        self.observation_space = observation_space or Box(-1, 1, (3,))
        self.action_space = action_space or self.action_space


def make_agent(observation_space=None, action_space=None, **changes) -> SAC:
    """With weights large enough for its outputs to matter."""
    envs = DummyVecEnv([lambda: Spaces(observation_space, action_space)])
    agent = SAC(make_config({"algo": "sac", "hidden_sizes": (8, 16), "batch_size": 32, **changes}), envs)
    generator = np.random.default_rng(1)
    vectors = (agent.parameters.vector, agent.critic_parameters.vector, agent.critic_target.vector)
    for vector in vectors:
        vector += generator.normal(scale=0.3, size=vector.shape).astype(np.float32)
    return agent


def make_batch(batch_size=32, num_features=3, num_actions=2, gamma=0.99) -> Batch:
    generator = np.random.default_rng(2)
    inputs = generator.normal(size=(batch_size, num_features + num_actions)).astype(np.float32)
    return batch_of(
        inputs[:, :num_features],
        inputs[:, num_features:],
        generator.normal(size=(batch_size, num_features)).astype(np.float32),
        generator.normal(size=batch_size).astype(np.float32),
        generator.random(batch_size) < 0.3,
        gamma,
    )


def batch_of(observations, actions, next_observations, rewards, terminated, gamma) -> Batch:
    """Single steps, sampled uniformly."""
    return Batch(
        observations,
        actions,
        next_observations,
        rewards,
        discounts=np.where(terminated, 0, gamma).astype(np.float32),
        weights=np.ones(len(rewards), np.float32),
        places=np.arange(len(rewards)),
    )


NETWORKS = list(itertools.product([(), (8,), (8, 16)], ["tanh", "relu"]))


@pytest.fixture(params=NETWORKS, ids=str)
def agent(request):
    hidden_sizes, activation = request.param
    return make_agent(hidden_sizes=hidden_sizes, activation=activation)


def paddle_critic(agent: SAC, views=None) -> StackedCritics:
    """The critics (or with their views the targets) as a Paddle network."""
    critic = StackedCritics(agent.inputs, agent.encode, 2, 2, agent.config.hidden_sizes, agent.config.activation)
    flatten_parameters(critic).load(views or agent.critic_parameters.views)
    return critic


def gradient_of(network, layout) -> np.ndarray:
    gradient = {name: parameter.grad.numpy() for name, parameter in network.named_parameters()}
    return np.concatenate([gradient[name].ravel() for name in layout.shapes])


def test_targets_are_those_of_the_equation(agent):
    """Equation 6, in float64: through a time limit and not through an end, of the smaller of the target networks."""
    batch, alpha = make_batch(), 0.7
    agent.generator = np.random.default_rng(4)
    found = agent.targets(batch, alpha)
    mean, log_std = (tensor.numpy() for tensor in agent.policy(batch.next_observations))
    noise = np.random.default_rng(4).standard_normal((32, 2), np.float32)
    actions = np.tanh(mean + np.exp(log_std) * noise)
    target = paddle_critic(agent, agent.critic_target.views)
    q1, q2 = target(batch.next_observations, paddle.to_tensor(actions)).numpy().astype(np.float64)
    log_pi = log_density(mean, log_std, np.clip(actions, -1 + 1e-7, 1 - 1e-7))
    sure = np.abs(actions).max(axis=1) < 0.999  # arctanh in the reference loses what is closer to 1
    assert sure.sum() > 20
    expected = batch.rewards + batch.discounts * (np.minimum(q1, q2) - alpha * log_pi)
    np.testing.assert_allclose(found[sure], expected[sure], rtol=1e-3, atol=1e-3)
    assert found.dtype == np.float32


def test_the_loss_of_the_critics_and_its_gradient_are_those_of_automatic_differentiation(agent):
    batch, targets = make_batch(), np.random.default_rng(3).normal(size=32).astype(np.float32)
    gradient = np.full_like(agent.critic_parameters.vector, np.nan)
    layout = agent.critic_parameters.layout
    values, tape = agent.critic.forward(batch.observations, batch.actions)
    loss, grad_values = bellman_residual(values, targets)
    agent.critic.backward(tape, grad_values, layout.views(gradient))
    critic = paddle_critic(agent)
    expected_values = critic(batch.observations, paddle.to_tensor(batch.actions))
    expected = 0.5 * ((expected_values - paddle.to_tensor(targets)) ** 2).mean(axis=1).sum()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(values, expected_values.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient, gradient_of(critic, layout), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("log_std_bias", [0.0, 3.0, -30.0], ids=["inside", "above the range", "below the range"])
def test_the_loss_of_the_actor_and_its_gradient_are_those_of_automatic_differentiation(agent, log_std_bias):
    batch, alpha = make_batch(), 0.7
    agent.parameters.views["head.bias"][2] += log_std_bias
    drawn = agent.actor.draw(batch.observations, np.random.default_rng(6))
    both, tape = agent.critic.forward(batch.observations, drawn.actions)
    smaller, grad_both = minimum(both)
    found, grad_log_prob, grad_smaller = actor_loss(drawn.log_probabilities, smaller, alpha)
    grad_actions = agent.critic.grad_actions(tape, grad_both * grad_smaller)
    gradient = np.full_like(agent.parameters.vector, np.nan)
    views = agent.parameters.layout.views(gradient)
    agent.actor.backward(drawn, grad_actions, grad_log_prob, views)

    noise = paddle.to_tensor(np.random.default_rng(6).standard_normal((32, 2), np.float32))
    actions, log_probabilities = SquashedGaussian(*agent.policy(batch.observations)).sample(noise)
    values = paddle_critic(agent)(batch.observations, actions).min(axis=0)
    expected = (alpha * log_probabilities - values).mean()
    expected.backward()
    assert found == pytest.approx(expected.item(), rel=1e-4, abs=1e-4)
    layout = agent.parameters.layout
    np.testing.assert_allclose(gradient, gradient_of(agent.policy, layout), rtol=2e-3, atol=2e-5)


def test_a_gradient_step_is_that_of_paddle_with_its_own_optimisers():
    """The whole of it: temperature, critics, actor, targets, in this order, for three steps."""
    agent = make_agent(init_alpha=0.5, tau=0.1, actor_learning_rate=1e-3, alpha_learning_rate=1e-2)
    actor, critic, target = agent.policy, paddle_critic(agent), paddle_critic(agent, agent.critic_target.views)
    log_alpha = paddle.to_tensor(np.log([0.5]).astype(np.float32), stop_gradient=False)
    names = dict(actor.named_parameters())
    twin = SAC.make_policy(agent.config, agent.envs.observation_space, agent.envs.action_space)
    flatten_parameters(twin).load(agent.parameters.views)
    optimizers = [
        paddle.optimizer.Adam(rate, parameters=parameters)
        for rate, parameters in ((1e-3, twin.parameters()), (3e-4, critic.parameters()), (1e-2, [log_alpha]))
    ]
    agent.generator = np.random.default_rng(7)
    generator, batch = np.random.default_rng(7), make_batch()
    as_tensor = paddle.to_tensor
    for _ in range(3):
        found = agent.gradient_step(batch)
        noise, next_noise = (as_tensor(generator.standard_normal((32, 2), np.float32)) for _ in range(2))
        alpha = log_alpha.exp().item()
        actions, log_pi = SquashedGaussian(*twin(batch.observations)).sample(noise)
        alpha_loss = -(log_alpha * (log_pi.detach() - 2)).mean()  # the target entropy: -2
        with paddle.no_grad():
            next_actions, next_log_pi = SquashedGaussian(*twin(batch.next_observations)).sample(next_noise)
            next_values = target(batch.next_observations, next_actions).min(axis=0) - alpha * next_log_pi
            targets = as_tensor(batch.rewards) + as_tensor(batch.discounts) * next_values
        values = critic(batch.observations, as_tensor(batch.actions))
        critic_loss = 0.5 * ((values - targets) ** 2).mean(axis=1).sum()
        losses = [None, critic_loss, alpha_loss]
        for loss, optimizer in zip(losses[1:], optimizers[1:], strict=True):
            loss.backward()
            optimizer.step()
            optimizer.clear_grad()
        actor_loss = (alpha * log_pi - critic(batch.observations, actions).min(axis=0)).mean()
        actor_loss.backward()
        optimizers[0].step()
        for optimizer in optimizers:
            optimizer.clear_grad()
        critic.clear_gradients()
        for old, new in zip(target.parameters(), critic.parameters(), strict=True):
            old.set_value(0.9 * old + 0.1 * new)
        expected = {"actor": actor_loss, "critic": critic_loss, "alpha": alpha_loss, "entropy": -log_pi.mean()}
        for name, loss in expected.items():
            assert found[f"losses/{name}"] == pytest.approx(loss.item(), rel=1e-3, abs=1e-4), name
        assert found["diagnostics/alpha"] == pytest.approx(alpha, rel=1e-5)
    assert agent.log_alpha[0] == pytest.approx(log_alpha.item(), rel=1e-4)
    for network, views in ((twin, names), (critic, agent.critic_parameters.views), (target, agent.critic_target.views)):
        for name, parameter in network.named_parameters():
            np.testing.assert_allclose(np.asarray(views[name]), parameter.numpy(), rtol=1e-3, atol=1e-4)


class RecordedNoise:
    """In place of a generator: noise that was recorded."""

    def __init__(self, noise):
        self.noise = iter(noise)

    def standard_normal(self, shape, dtype):
        noise = next(self.noise)
        assert noise.shape == shape and noise.dtype == dtype
        return noise


def test_updates_match_stable_baselines3():
    """20 whole updates from the same weights, batches and noise, as `benchmarks/peers/sb3_sac_update.py` recorded them.

    Stable-Baselines3 adds 1e-6 inside the logarithm of the log-probability; the tolerances allow for that.
    """
    recorded = np.load(DATA / "sb3_sac_update.npz")
    rates = dict.fromkeys(("actor_learning_rate", "critic_learning_rate", "alpha_learning_rate"), 1e-2)
    agent = make_agent(batch_size=16, tau=0.1, gamma=0.9, **rates)
    networks = {
        "actor": agent.parameters.views,
        "critic": agent.critic_parameters.views,
        "target": agent.critic_target.views,
    }
    for network, views in networks.items():
        for name, view in views.items():
            view[...] = recorded[f"initial/{network}/{name}"]
    agent.log_alpha[...] = recorded["initial/log_alpha"]
    for step in range(20):
        names = ("features", "actions", "next_features", "rewards", "terminated")
        batch = batch_of(*(recorded[name][step] for name in names), gamma=0.9)
        agent.generator = RecordedNoise(recorded["noise"][step])
        found = agent.gradient_step(batch)
        for loss in ("actor", "critic", "alpha"):
            assert found[f"losses/{loss}"] == pytest.approx(recorded[f"losses/{loss}"][step], rel=1e-4, abs=5e-5), step
    for network, views in networks.items():
        for name, view in views.items():
            np.testing.assert_allclose(view, recorded[f"final/{network}/{name}"], rtol=0, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(agent.log_alpha, recorded["final/log_alpha"], rtol=1e-5)


def test_a_fixed_temperature_stays():
    agent = make_agent(init_alpha=0.3, auto_alpha=False)
    assert [agent.gradient_step(make_batch())["diagnostics/alpha"] for _ in range(3)] == pytest.approx([0.3] * 3)


@pytest.mark.parametrize("target_entropy,grows", [(10.0, True), (-10.0, False)])
def test_the_temperature_grows_where_there_is_too_little_entropy(target_entropy, grows):
    agent = make_agent(target_entropy=target_entropy)
    alphas = [agent.gradient_step(make_batch())["diagnostics/alpha"] for _ in range(3)]
    assert (alphas[0] < alphas[1] < alphas[2]) is grows and (alphas[0] > alphas[1] > alphas[2]) is not grows


# ------------------------------------------------------------------------------------------------------ the algorithm


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_noise_has_the_correlation_that_is_wanted_and_a_variance_of_one(correlation):
    agent = make_agent(noise_correlation=correlation)
    rows = []
    for _ in range(20_000):
        agent._act_by_policy(np.zeros((1, 3), np.float32), np.zeros((1, 0), np.float32))
        rows.append(agent.noise[0].copy())
    noise = np.array(rows)
    np.testing.assert_allclose(noise.var(axis=0), 1, atol=0.1)
    for lag in (1, 5):
        found = (noise[:-lag] * noise[lag:]).mean(axis=0)
        np.testing.assert_allclose(found, correlation**lag, atol=0.1)


@pytest.mark.parametrize(
    "changes,updates,env_steps,gradient_steps",
    [
        ({}, 60, 60, 10),
        ({"train_freq": 4, "gradient_steps": 2}, 20, 80, 16),
        ({"num_envs": 3, "vec": "serial"}, 20, 60, 4),
        ({"learning_starts": 0}, 5, 5, 5),
    ],
    ids=str,
)
def test_so_many_steps_are_played_and_learned_from(changes, updates, env_steps, gradient_steps):
    agent = SAC.from_config(make_config({**QUICK, **changes}))
    metrics = [agent.update() for _ in range(updates)]
    assert (agent.env_steps, agent.num_updates, agent.replay.size) == (env_steps, gradient_steps, env_steps)
    assert sum(len(each.get("losses/actor", [])) for each in metrics) == gradient_steps
    agent.close()


def test_actions_are_uniform_before_learning_starts_and_the_policys_after():
    agent = SAC.from_config(make_config({**QUICK, "learning_starts": 2000, "train_freq": 2000, "batch_size": 1}))
    agent.parameters.vector[...] = 0  # whatever is observed, a deviation of e^-5
    agent.parameters.views["head.bias"][2:] = -5
    agent.update()
    agent.update()
    actions = agent.scale.to_units(agent.replay.state_dict()["rest"]["0"]["actions"])
    assert len(actions) == 4000
    assert scipy.stats.kstest(actions[:2000].ravel(), scipy.stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert actions[2000:].std() < 0.01
    agent.close()


def test_missing_mujoco_is_reported_with_what_installs_it(monkeypatch):
    for module in [name for name in sys.modules if name.startswith("gymnasium.envs.mujoco")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(ConfigError, match=re.escape('pip install "gymnasium[mujoco]"')):
        SAC.from_config(make_config({"algo": "sac", "env": "HalfCheetah-v5"}))


class CountingSteps(Spaces):
    """Observes the step of the episode; truncated after 5 steps, in every second episode terminated after 3."""

    episode = -1

    def reset(self, *, seed=None, options=None):
        self.steps, self.episode = 0, self.episode + 1
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self.steps += 1
        terminated = self.episode % 2 == 1 and self.steps == 3
        return self._observe(), 0.0, terminated, self.steps == 5, {}

    def _observe(self):
        return np.full(3, self.steps, np.float32)


@pytest.mark.parametrize("changes", [{}, {"train_freq": 4}], ids=str)
def test_truncated_transitions_keep_their_own_next_observation_and_are_not_terminal(changes):
    envs = DummyVecEnv([CountingSteps] * 2)
    agent = SAC(make_config({"algo": "sac", "num_envs": 2, "learning_starts": 100, **changes}), envs)
    while agent.env_steps < 96:
        agent.update()
    batch = agent.replay.sample(3000, np.random.default_rng(0))
    assert set(batch.places) == set(range(96))
    step, next_step, played = batch.observations[:, 0], batch.next_observations[:, 0], batch.places // 2 % 8
    np.testing.assert_array_equal(step, np.array([0, 1, 2, 3, 4, 0, 1, 2])[played])
    np.testing.assert_array_equal(batch.discounts, np.where(played == 7, 0, np.float32(0.99)))
    np.testing.assert_array_equal(next_step[played != 7], step[played != 7] + 1)


class ConstantReward(Spaces):
    """0.5 for every step; never terminated, truncated after 10 steps."""

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self.steps += 1
        return self._observe(), 0.5, False, self.steps == 10, {}

    def _observe(self):
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)


@pytest.mark.parametrize("alpha", [1e-6, 0.5])
def test_constant_reward_is_valued_at_its_soft_value_through_time_limits(alpha):
    """``Q = r + gamma * V`` with ``V = (r + alpha * H) / (1 - gamma)``: 5 without the bonus for entropy, else more."""
    rates = dict.fromkeys(("actor_learning_rate", "critic_learning_rate"), 3e-3)
    networks = {"hidden_sizes": (32, 32), "batch_size": 64, "tau": 0.2}
    config = make_config(
        {"algo": "sac", "gamma": 0.9, "auto_alpha": False, "init_alpha": alpha, **networks, **rates},
    )
    envs = DummyVecEnv([ConstantReward])
    envs.seed(0)
    agent = SAC(config, envs)
    metrics = [agent.update() for _ in range(2000)][-200:]
    value, entropy = (np.mean([each[tag] for each in metrics]) for tag in ("diagnostics/q_value", "losses/entropy"))
    assert value == pytest.approx(0.5 + 0.9 * (0.5 + alpha * entropy) / 0.1, rel=0.02)
    if alpha == 0.5:  # the optimal policy is uniform, its entropy log 2 for each of two actions
        assert entropy == pytest.approx(2 * np.log(2), abs=0.1)
    agent.close()


def test_the_observation_is_learned_to_be_the_action():
    config = {"learning_starts": 200, "gamma": 0.0, "hidden_sizes": (32, 32), "batch_size": 64, "num_envs": 4}
    rates = dict.fromkeys(("actor_learning_rate", "critic_learning_rate", "alpha_learning_rate"), 3e-3)
    envs = DummyVecEnv([ContinuousIdentity] * 4)
    envs.seed(0)
    agent = SAC(make_config({"algo": "sac", **config, **rates}), envs)
    while agent.num_updates < 1500:
        agent.update()
    wanted = np.random.default_rng(0).uniform(-0.8, 2.8, (50, 2)).astype(np.float32)
    np.testing.assert_allclose(agent.policy.act(wanted), wanted, atol=0.4)
    agent.close()


@pytest.mark.parametrize(
    "space",
    [
        Discrete(3),
        MultiDiscrete([2, 3]),
        MultiBinary(2),
        Box(-np.inf, np.inf, (2,)),
        Box(0, np.inf, (2,)),
        Box(0, 5, (2,), np.int64),
        Box(np.float32([0, 1]), np.float32([1, 1])),
    ],
    ids=str,
)
def test_other_actions_are_refused(space):
    with pytest.raises(ConfigError, match="sac takes Box action spaces of floats with finite bounds") as refused:
        make_agent(action_space=space)
    assert str(refused.value).endswith(f"; that of Pendulum-v1 is {space}")


def discounted_returns(rewards, done, gamma) -> np.ndarray:
    """Of the episodes under way after each step ``[T, N]``."""
    returns = np.zeros(rewards.shape)
    for step, env in np.ndindex(rewards.shape):
        goes_on = step > 0 and not done[step - 1, env]
        returns[step, env] = rewards[step, env] + (gamma * returns[step - 1, env] if goes_on else 0)
    return returns


@pytest.mark.parametrize("changes", [{}, *({name: value} for name, value in SCALED.items()), SCALED], ids=str)
def test_what_is_learned_from_is_normalised_and_scaled_by_what_is_known_by_then(changes):
    """By hand, from all that was played: the very transitions of a gradient step, raw and as the networks have them."""
    few_steps = {"num_envs": 3, "vec": "serial", "train_freq": 2, "gamma": 0.9, "learning_starts": 0}
    agent = SAC.from_config(make_config({**QUICK, **few_steps, **changes}))
    collect, learn = agent.collector.collect, agent.gradient_step
    played, learned_from = [], []
    agent.collector.collect = lambda act: played.append(collect(act)) or played[-1]
    agent.gradient_step = lambda batch: learned_from.append(batch) or learn(batch)
    for _ in range(20):
        agent.update()
        observations, rewards, terminated, truncated = (
            np.concatenate([getattr(rollout, name) for rollout in played]).astype(np.float64)
            for name in ("observations", "rewards", "terminated", "truncated")
        )
        mean, deviation = observations.mean(axis=(0, 1)), observations.std(axis=(0, 1))
        returns = discounted_returns(rewards, terminated + truncated, 0.9)
        batch = learned_from[-1]
        raw, scaled = observations.reshape(-1, 3)[batch.places], rewards.ravel()[batch.places]
        np.testing.assert_array_equal(batch.observations, raw.astype(np.float32))
        if "normalize_observations" in changes:
            raw = np.clip((raw - mean) / deviation, -10, 10)
        np.testing.assert_allclose(agent.encode(batch.observations), raw, rtol=1e-4, atol=1e-4)
        if "normalize_rewards" in changes:
            scaled = np.clip(scaled / returns.std(), -10, 10)
        limit = changes.get("reward_clip", np.inf)
        scaled = np.clip(scaled * changes.get("reward_scale", 1), -limit, limit)
        assert batch.rewards.dtype == np.float32
        np.testing.assert_allclose(batch.rewards, scaled, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(batch.discounts == 0, terminated.ravel()[batch.places])
    assert terminated.any() and truncated.any() and (np.abs(scaled) < limit).any()
    assert (np.abs(scaled) == limit).any() == ("reward_clip" in changes)
    agent.close()


OBSERVATIONS = [Box(-1, 1, (2, 3)), Discrete(5, start=2), MultiDiscrete([2, 3]), MultiBinary(4)]


@pytest.mark.parametrize("normalize", [False, True], ids=["raw", "normalised"])
@pytest.mark.parametrize("space", OBSERVATIONS, ids=str)
def test_observations_of_every_kind_are_taken(space, normalize):
    class Drawing(gymnasium.Env):
        observation_space, action_space = space, Box(-1, 1, (1, 2))

        def reset(self, *, seed=None, options=None):
            space.seed(seed)
            return space.sample(), {}

        def step(self, action):
            assert action in self.action_space
            return space.sample(), 0.0, False, False, {}

    config = make_config({**QUICK, "learning_starts": 5, "normalize_observations": normalize})
    agent = SAC(config, DummyVecEnv([Drawing]))
    for _ in range(10):
        agent.update()
    assert agent.policy.act(agent.collector.observations).shape == (1, 1, 2)


@pytest.mark.parametrize("broken", ["critic_target", "critic_parameters"])
def test_a_loss_that_is_not_finite_is_reported_and_not_learned_from(broken):
    agent = make_agent()
    getattr(agent, broken).vector[:] = np.nan
    before = agent.parameters.vector.copy(), agent.critic_parameters.vector.copy()
    with pytest.raises(NonFiniteError, match="loss"):
        agent.gradient_step(make_batch())
    np.testing.assert_array_equal(agent.parameters.vector, before[0])
    np.testing.assert_array_equal(agent.critic_parameters.vector, before[1])


# --------------------------------------------------------------------------------------------------------- whole runs


def quick_run(folder: Path, total_steps: int, **changes) -> dict:
    intervals = {"log_interval": 60, "eval_interval": 200, "eval_episodes": 2, "checkpoint_interval": 150}
    return train(make_config({**QUICK, **intervals, "total_steps": total_steps, **changes}), str(folder))


@pytest.mark.parametrize(
    "changes",
    [
        {"buffer_size": 250},
        pytest.param(
            {"num_envs": 3, "vec": "subproc", "train_freq": 2, "gradient_steps": 2, "noise_correlation": 0.5},
            marks=pytest.mark.slow,
        ),
        {"num_envs": 2, "vec": "serial", **SCALED},
    ],
    ids=["wrapped around", "three environments", "normalised and scaled"],
)
def test_stopping_and_going_on_gives_the_same_run_as_never_stopping(tmp_path, changes):
    quick_run(tmp_path / "whole", 600, **changes)
    quick_run(tmp_path / "run", 30, **changes)
    resume(str(tmp_path / "run"), {"total_steps": 330})
    resume(str(tmp_path / "run"), {"total_steps": 600})
    assert_same_run(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("changes", [{}, SCALED], ids=["raw", "normalised and scaled"])
def test_saved_policies_act_as_they_did_and_another_network_is_refused(tmp_path, changes):
    summary = quick_run(tmp_path / "run", 200, **changes)
    found = evaluate_run(str(tmp_path / "run"), "latest", episodes=summary["eval_episodes"])
    assert found["mean_return"] == pytest.approx(summary["eval_mean_return"])
    assert evaluate_run(str(tmp_path / "run"), "best", episodes=2)["env_steps"] == 200
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("buffer_size: 1000000", "buffer_size: 300"))
    with pytest.raises(CheckpointError, match="replay buffer"):
        resume(str(tmp_path / "run"), {"total_steps": 300})


@pytest.mark.parametrize("name", ["sac_pendulum", "sac_pendulum_tutorial", "sac_mountain_car_continuous"])
def test_its_configurations_are_of_it(name):
    assert make_config(read_yaml(CONFIGS / f"{name}.yaml")).algo == "sac"
