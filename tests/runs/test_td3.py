"""TD3 and DDPG: updates against Paddle, exploration, what they learn, their runs against themselves."""

from __future__ import annotations

import gymnasium
import numpy as np
import paddle
import pytest
import scipy.stats
from gymnasium.spaces import Box, Dict, Discrete

import paddle_ac
from multiprocessing_env import DummyVecEnv
from paddle_ac.algorithms.td3 import TD3
from paddle_ac.config import make_config, read_yaml
from paddle_ac.errors import CheckpointError, ConfigError, NonFiniteError
from paddle_ac.nn.continuous_networks import DeterministicActor, StackedCritics
from paddle_ac.nn.paddle_parameters import flatten_parameters
from paddle_ac.training.evaluate import evaluate_run
from paddle_ac.training.runs import resume, train
from tests.environments import ContinuousIdentity
from tests.paths import CONFIGS
from tests.runs.test_sac import SCALED, ConstantReward, Spaces, make_batch
from tests.short_runs import assert_same_run

QUICK = {"env": "test/Continuous-v0", "hidden_sizes": (8,), "batch_size": 16, "learning_starts": 50}
RATES = dict.fromkeys(("actor_learning_rate", "critic_learning_rate"), 3e-3)
BOTH = pytest.mark.parametrize("algo", ["td3", "ddpg"])


def make_agent(algo="td3", action_space=None, **changes) -> TD3:
    """With weights large enough for its outputs to matter, and targets that differ from the networks that learn."""
    envs = DummyVecEnv([lambda: Spaces(None, action_space)])
    agent = TD3(make_config({"algo": algo, "hidden_sizes": (8, 16), "batch_size": 32, **changes}), envs)
    generator = np.random.default_rng(1)
    for parameters in (agent.parameters, agent.critic_parameters, agent.actor_target, agent.critic_target):
        vector = parameters.vector
        vector += generator.normal(scale=0.3, size=vector.shape).astype(np.float32)
    return agent


def vectors_of(agent: TD3) -> dict[str, np.ndarray]:
    networks = {
        "actor": agent.parameters,
        "critic": agent.critic_parameters,
        "actor target": agent.actor_target,
        "critic target": agent.critic_target,
    }
    return {name: parameters.vector.copy() for name, parameters in networks.items()}


# -------------------------------------------------------------------------------------------------------- the updates


@pytest.mark.parametrize(
    "algo,changes",
    [
        ("td3", {}),
        ("td3", {"target_noise": 0.6, "target_noise_clip": 0.3, "activation": "tanh"}),
        ("td3", {"policy_delay": 3, "num_critics": 1}),
        ("ddpg", {}),
    ],
    ids=str,
)
def test_updates_are_those_of_stable_baselines3(algo, changes):
    """``TD3.train`` of Stable-Baselines3 (2.9.2, td3/td3.py) written in Paddle, with Paddle's Adam, for six updates.

    Its critics' losses are mean squared errors; ours are half of these, which Adam divides out.
    """
    agent = make_agent(algo, tau=0.1, gamma=0.9, actor_learning_rate=1e-3, critic_learning_rate=3e-3, **changes)
    config, batch = agent.config, make_batch(gamma=0.9)
    agent.generator, generator = np.random.default_rng(7), np.random.default_rng(7)
    sizes = config.hidden_sizes, config.activation
    space = Box(-1, 1, (3,))
    actor, actor_target = (DeterministicActor(space, Box(-1, 1, (2,)), *sizes) for _ in range(2))
    critic, critic_target = (
        StackedCritics(actor.inputs, actor.encode, 2, config.num_critics, *sizes) for _ in range(2)
    )
    networks = {"actor": actor, "critic": critic, "actor target": actor_target, "critic target": critic_target}
    here = {name: flatten_parameters(network) for name, network in networks.items()}
    for name, vector in vectors_of(agent).items():
        here[name].vector[:] = vector
    actor_optimizer = paddle.optimizer.Adam(1e-3, epsilon=1e-8, parameters=actor.parameters())
    critic_optimizer = paddle.optimizer.Adam(3e-3, epsilon=1e-8, parameters=critic.parameters())
    rewards, discounts, actions = map(paddle.to_tensor, (batch.rewards, batch.discounts, batch.actions))
    for step in range(1, 7):
        found = agent.gradient_step(batch)
        agent.num_updates += 1
        with paddle.no_grad():
            noise = paddle.to_tensor(generator.standard_normal((32, 2), np.float32) * np.float32(config.target_noise))
            noise = noise.clip(-config.target_noise_clip, config.target_noise_clip)
            next_actions = (actor_target(batch.next_observations) + noise).clip(-1, 1)
            targets = rewards + discounts * critic_target(batch.next_observations, next_actions).min(axis=0)
        values = critic(batch.observations, actions)
        critic_loss = sum(paddle.nn.functional.mse_loss(row, targets) for row in values)
        critic_loss.backward()
        critic_optimizer.step()
        critic_optimizer.clear_grad()
        assert found["losses/critic"] == pytest.approx(critic_loss.item() / 2, rel=1e-4)
        assert found["diagnostics/q_value"] == pytest.approx(values.mean().item(), rel=1e-3, abs=1e-4)
        assert ("losses/actor" in found) == (step % config.policy_delay == 0)
        if step % config.policy_delay == 0:
            actor_loss = -critic(batch.observations, actor(batch.observations))[0].mean()
            actor_loss.backward()
            actor_optimizer.step()
            actor_optimizer.clear_grad()
            critic_optimizer.clear_grad()
            assert found["losses/actor"] == pytest.approx(actor_loss.item(), rel=1e-3, abs=1e-4)
            for target, source in ((actor_target, actor), (critic_target, critic)):
                for old, new in zip(target.parameters(), source.parameters(), strict=True):
                    old.set_value(0.9 * old + 0.1 * new)
    for name, vector in vectors_of(agent).items():
        expected = np.concatenate([parameter.numpy().ravel() for parameter in networks[name].parameters()])
        np.testing.assert_allclose(vector, expected, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("policy_delay", [1, 2, 3])
def test_actor_and_targets_change_only_at_every_policy_delay_th_step(policy_delay):
    agent = make_agent(policy_delay=policy_delay)
    for step in range(1, 8):
        before = vectors_of(agent)
        agent.gradient_step(make_batch())
        agent.num_updates += 1
        after = vectors_of(agent)
        changed = {name for name in before if not np.array_equal(before[name], after[name])}
        assert changed == ({*before} if step % policy_delay == 0 else {"critic"}), step


def test_targets_are_of_smoothed_actions_within_the_cube():
    """In float64: the target policy's action, clipped noise, the cube, and the smallest of both target critics."""
    agent, batch = make_agent(target_noise=0.5, target_noise_clip=0.4), make_batch()
    agent.critic_target.views["head.bias"][1] += 1.1  # each critic is the smaller one somewhere
    agent.generator = np.random.default_rng(4)
    found = agent.targets(batch)
    noise = 0.5 * np.random.default_rng(4).standard_normal((32, 2), np.float32).astype(np.float64)
    assert (np.abs(noise) > 0.4).any()
    actions = agent.target_actor.actions(batch.next_observations) + noise.clip(-0.4, 0.4)
    assert (np.abs(actions) > 1).any()
    values = agent.target.values(batch.next_observations, actions.clip(-1, 1).astype(np.float32))
    assert (values[0] < values[1]).any() and (values[0] > values[1]).any()
    np.testing.assert_allclose(found, batch.rewards + batch.discounts * values.min(axis=0), rtol=1e-4, atol=1e-5)
    assert found.dtype == np.float32


@pytest.mark.parametrize("broken", ["critic_target", "critic_parameters", "parameters"])
def test_loss_that_is_not_finite_is_an_error_and_not_learned_from(broken):
    agent = make_agent(policy_delay=1)
    getattr(agent, broken).vector[:] = np.nan
    before = vectors_of(agent)
    with pytest.raises(NonFiniteError, match="loss"):
        agent.gradient_step(make_batch())
    after = vectors_of(agent)
    for name in {*before} - ({"critic"} if broken == "parameters" else set()):
        np.testing.assert_array_equal(after[name], before[name])


# -------------------------------------------------------------------------------------------------------- exploration


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_actions_are_the_policys_plus_noise_in_halves_of_the_box(correlation):
    agent = make_agent(action_space=Box(-1, 7, (2,)), action_noise=0.05, noise_correlation=correlation)
    agent.parameters.vector[:] = 0  # the action is the centre of the Box
    observations, state = np.zeros((1, 3), np.float32), np.zeros((1, 0), np.float32)
    actions = np.concatenate([agent._act_by_policy(observations, state) for _ in range(20_000)])
    noise = (actions - 3) / 4
    np.testing.assert_allclose(noise.std(axis=0), 0.05, rtol=0.05)
    np.testing.assert_allclose((noise[:-1] * noise[1:]).mean(axis=0) / 0.05**2, correlation, atol=0.07)
    if not correlation:
        assert scipy.stats.kstest(noise[:, 0], scipy.stats.norm(0, 0.05).cdf).pvalue > 1e-3
    assert agent.policy.act(observations, np.random.default_rng(0)) == pytest.approx(np.full((1, 2), 3.0))


def test_actions_with_noise_stay_in_the_box():
    agent = make_agent(action_space=Box(-1, 7, (2,)), action_noise=3.0)
    observations = np.random.default_rng(0).normal(size=(1, 3)).astype(np.float32)
    actions = np.concatenate([agent._act_by_policy(observations, np.zeros((1, 0))) for _ in range(200)])
    assert actions.min() == -1 and actions.max() == 7


# ------------------------------------------------------------------------------------------------- what is learned


@BOTH
def test_observation_is_learned_to_be_the_action(algo):
    config = {"learning_starts": 200, "gamma": 0.0, "hidden_sizes": (32, 32), "batch_size": 64, "num_envs": 4}
    envs = DummyVecEnv([ContinuousIdentity] * 4)
    envs.seed(0)
    with TD3(make_config({"algo": algo, **config, **RATES}), envs) as agent:
        while agent.num_updates < 1500:
            agent.update()
        wanted = np.random.default_rng(0).uniform(-0.8, 2.8, (50, 2)).astype(np.float32)
        np.testing.assert_allclose(agent.policy.act(wanted), wanted, atol=0.4)


@BOTH
def test_constant_reward_is_valued_at_its_sum_through_time_limits(algo):
    networks = {"hidden_sizes": (32, 32), "batch_size": 64, "tau": 0.2}
    envs = DummyVecEnv([ConstantReward])
    envs.seed(0)
    with TD3(make_config({"algo": algo, "gamma": 0.9, **networks, **RATES}), envs) as agent:
        metrics = [agent.update() for _ in range(2000)][-200:]
    assert np.mean([each["diagnostics/q_value"] for each in metrics]) == pytest.approx(0.5 / 0.1, rel=0.02)


class PointAtDot(gymnasium.Env):
    """The right action is where the dot is in the image, from left (-1) to right (1); cut after 20 steps.

    As a Dict, it is the mean of that and of a number beside the image.
    """

    def __init__(self, as_dict=False):
        self.as_dict = as_dict
        image = Box(0, 255, (6, 9, 1), np.uint8)
        self.observation_space = Dict({"camera": image, "number": Box(-1, 1, (1,))}) if as_dict else image
        self.action_space = Box(-1, 1, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._draw(), {}

    def step(self, action):
        reward = -float(np.square(action - self.wanted).sum())
        self.count += 1
        return self._draw(), reward, False, self.count == 20, {}

    def _draw(self):
        row, column = self.np_random.integers(6), self.np_random.integers(9)
        image = np.zeros((6, 9, 1), np.uint8)
        image[row, column] = 255
        self.wanted = (column - 4) / 4
        if not self.as_dict:
            return image
        number = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        self.wanted = (self.wanted + float(number[0])) / 2
        return {"camera": image, "number": number}


@pytest.mark.slow
@pytest.mark.parametrize("as_dict", [False, True], ids=["image", "Dict"])
@pytest.mark.parametrize("algo", ["sac", "td3", "ddpg"])
def test_images_are_learned_from(algo, as_dict):
    config = {"vec": "serial", "gamma": 0.0, "hidden_sizes": (32, 32), "batch_size": 64, "learning_starts": 500}
    rates = {"actor_learning_rate": 5e-4, "critic_learning_rate": 3e-3}  # a hasty actor saturates for good
    changes = {"num_envs": 4, "encoder": "small", "env_kwargs": {"as_dict": as_dict}, **config, **rates}
    if algo == "sac":
        changes["init_alpha"] = 0.01
    with paddle_ac.make(algo, PointAtDot, **changes) as agent:
        while agent.num_updates < 2000:
            agent.update()
        env = PointAtDot(as_dict)
        env.reset(seed=1)
        errors = []
        for _ in range(50):
            observation = env._draw()
            errors.append(float(agent.predict(observation)[0]) - env.wanted)
    assert np.abs(errors).mean() < 0.15


@pytest.mark.parametrize("algo", ["sac", "td3", "ddpg"])
def test_every_network_learns_from_images_with_its_own_encoder(algo):
    changes = {"vec": "serial", "hidden_sizes": (8,), "batch_size": 8, "learning_starts": 4, "conv_layers": "4x3x2"}
    with paddle_ac.make(algo, PointAtDot, **changes) as agent:
        vectors = {"actor": agent.parameters, "critic": agent.critic_parameters, "target": agent.critic_target}
        name = "image_encoders.0.0.weight"
        before = {network: parameters.views[name].copy() for network, parameters in vectors.items()}
        assert not np.array_equal(before["actor"], before["critic"])
        for _ in range(10):
            agent.update()
        for network, parameters in vectors.items():
            assert not np.array_equal(parameters.views[name], before[network]), network


@BOTH
def test_other_actions_are_rejected(algo):
    with pytest.raises(ConfigError, match=f"{algo} takes Box action spaces of floats with finite bounds"):
        make_agent(algo, action_space=Discrete(3))


def test_images_too_small_for_the_encoder_are_an_error_that_names_the_environment():
    with pytest.raises(ConfigError, match=r"PointAtDot: the nature encoder needs images of at least 36x36 pixels"):
        paddle_ac.make("td3", PointAtDot, encoder="nature")


# --------------------------------------------------------------------------------------------------------- whole runs


def quick_run(folder, total_steps: int, **changes) -> dict:
    intervals = {"log_interval": 60, "eval_interval": 200, "eval_episodes": 2, "checkpoint_interval": 150}
    return train(make_config({**QUICK, **intervals, "total_steps": total_steps, **changes}), str(folder))


@pytest.mark.parametrize(
    "changes",
    [
        {"algo": "td3", "buffer_size": 250},
        {"algo": "td3", "num_envs": 3, "vec": "serial", "gradient_steps": 5, "policy_delay": 3, **SCALED},
        {"algo": "ddpg", "noise_correlation": 0.5},
        {
            "algo": "td3",
            "env": f"{__name__}:PointAtDot",
            "encoder": "small",
            "env_kwargs": {"as_dict": True},
            "vec": "serial",
        },
    ],
    ids=["td3", "delay across updates", "ddpg", "images"],
)
def test_interrupted_run_equals_uninterrupted_run(tmp_path, changes):
    quick_run(tmp_path / "whole", 600, **changes)
    quick_run(tmp_path / "run", 31, **changes)
    resume(str(tmp_path / "run"), {"total_steps": 333})
    resume(str(tmp_path / "run"), {"total_steps": 600})
    assert_same_run(tmp_path / "whole", tmp_path / "run")


@BOTH
def test_saved_policy_acts_as_it_did_and_another_network_is_rejected(tmp_path, algo):
    summary = quick_run(tmp_path / "run", 200, algo=algo)
    found = evaluate_run(str(tmp_path / "run"), "latest", episodes=summary["eval_episodes"])
    assert found["mean_return"] == pytest.approx(summary["eval_mean_return"])
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("hidden_sizes:\n- 8", "hidden_sizes:\n- 9"))
    with pytest.raises(CheckpointError, match="another network"):
        resume(str(tmp_path / "run"), {"total_steps": 300})


@pytest.mark.parametrize("name", ["td3_pendulum", "ddpg_pendulum", "td3_half_cheetah"])
def test_configurations_are_of_their_algorithm(name):
    assert make_config(read_yaml(CONFIGS / f"{name}.yaml")).algo == name.split("_")[0]
