"""Action masks: only allowed actions are taken, and masked ones have no probability and no gradient."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from scipy.special import log_softmax

import paddle_ac
from multiprocessing_env import DummyVecEnv, NotInSpaceError, ObservationError, SubprocVecEnv
from paddle_ac.action_masks import MASK, OBSERVATION, check_mask, packing_of, sample_allowed, space_with_mask
from paddle_ac.config import make_config
from paddle_ac.envs.make import make_evaluation_envs, make_training_envs
from paddle_ac.envs.wrappers import ActionMasks
from paddle_ac.errors import ConfigError
from paddle_ac.losses.actor_critic import ActorCriticLoss, Targets
from paddle_ac.nn.unroll import Unroll
from paddle_ac.training.evaluate import evaluate
from tests.environments import Corridor

DISCRETE_ALONE = ["q_ac", "dqn", "soft_q", "async_q", "async_sarsa", "async_nstep_q"]
ALGORITHMS = ["a2c", "ppo", "paac", "td_ac", "reinforce", "a3c", "ga3c", "sac_discrete", "pgql", *DISCRETE_ALONE]
CORRIDOR = "tests.environments:Corridor"


def policy_of(action_space, algo="a2c", **changes):
    config = make_config({"algo": algo, "action_masks": True, "hidden_sizes": (8,), **changes})
    space = space_with_mask(Box(-1, 1, (3,)), action_space)
    from paddle_ac.algorithms.policy import make_network

    return make_network(config, space, action_space), packing_of(space, action_space, has_mask=True)


def batch_of(packing, masks, seed=0):
    observations = np.random.default_rng(seed).uniform(-1, 1, (len(masks), 3)).astype(np.float32)
    return packing.pack_with_masks(observations, masks)[0]


@pytest.mark.parametrize("backend", ["numpy", "paddle"])
@pytest.mark.parametrize("recurrent", ["none", "gru"])
def test_probabilities_are_those_of_the_allowed_actions_alone(backend, recurrent):
    network, packing = policy_of(Discrete(4), backend=backend, recurrent=recurrent)
    masks = np.array([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 1, 0]])
    unroll = Unroll.of_one_step(network.initial_state(3))
    logits = network.forward(batch_of(packing, np.ones((3, 4))), unroll)[0]
    masked = network.forward(batch_of(packing, masks), unroll)[0]
    policy = network.distribution(masked)
    for row, mask in enumerate(masks):
        expected = log_softmax(logits[row][mask == 1].astype(np.float64))
        for action, log_prob in zip(np.flatnonzero(mask), expected, strict=True):
            actions = np.full(3, action)
            assert policy.log_prob(actions)[row] == pytest.approx(log_prob, abs=1e-6)
        assert policy.entropy()[row] == pytest.approx(-(np.exp(expected) * expected).sum(), abs=1e-6)
    assert (policy.p[masks == 0] == 0).all()


@pytest.mark.parametrize("action_space", [Discrete(6), MultiDiscrete([2, 4])], ids=["discrete", "multi"])
def test_masked_actions_are_never_taken(action_space):
    network, packing = policy_of(action_space)
    generator = np.random.default_rng(1)
    masks = np.zeros((200, 6), np.int8)
    if isinstance(action_space, Discrete):
        masks[np.arange(200), generator.integers(6, size=200)] = 1
        masks[np.arange(200), generator.integers(6, size=200)] = 1
    else:
        masks[np.arange(200), generator.integers(2, size=200)] = 1
        masks[np.arange(200), 2 + generator.integers(4, size=200)] = 1
    batch = batch_of(packing, masks)
    for draw in (None, generator):
        for _ in range(20):
            actions = network.act(batch, draw).reshape(200, -1)
            places = actions + ([0] if isinstance(action_space, Discrete) else [0, 2])
            assert np.take_along_axis(masks, places, axis=1).all()


def test_masked_logits_have_no_gradient():
    network, packing = policy_of(Discrete(4))
    masks = np.array([[1, 0, 1, 0], [0, 1, 1, 1]])
    loss = ActorCriticLoss(network.distribution, "squared", 0.5, entropy_coef=0.3)
    outputs, values, _ = network.forward(batch_of(packing, masks), Unroll.of_one_step(network.initial_state(2)))
    part = loss(outputs, values, Targets(np.array([2, 1]), np.array([1, -1], np.float32)), 2)
    assert np.isfinite(part.terms).all()
    assert (part.grad_outputs[masks == 0] == 0).all() and (part.grad_outputs[masks == 1] != 0).all()


@pytest.mark.parametrize(
    "algo,multi,masks",
    [
        *((algo, False, "info") for algo in ALGORITHMS),
        *((algo, True, "info") for algo in ALGORITHMS if algo not in DISCRETE_ALONE),
        ("a2c", True, "method"),  # algorithms do not depend on where masks come from: one is enough
    ],
)
def test_an_environment_with_masks_is_solved_at_once(algo, multi, masks):
    changes = {"total_steps": 200, "env_kwargs": {"masks": masks, "multi": multi}}
    with paddle_ac.make(algo, CORRIDOR, action_masks=True, **changes) as agent:
        returns = []
        while not agent.is_done:
            returns += agent.update()["charts/episode_return"]
        for metrics in agent.finish():
            returns += metrics["charts/episode_return"]
        with make_evaluation_envs(agent.config, 1, num_envs=3) as envs:
            returns += evaluate(agent.policy, envs, 6, max_steps=20).tolist()
    assert len(returns) >= 6 and set(returns) == {10.0}


def test_without_masks_it_is_not():
    with paddle_ac.make("a2c", CORRIDOR, total_steps=2000) as agent:
        returns = []
        while not agent.is_done:
            returns += agent.update()["charts/episode_return"]
    assert np.mean(returns) < 2


@pytest.mark.parametrize("vec", ["serial", "subproc"])
def test_masks_travel_through_every_vectorised_environment(vec):
    config = make_config({"algo": "a2c", "env": CORRIDOR, "action_masks": True, "vec": vec, "num_envs": 2})
    with make_training_envs(config) as envs:
        assert isinstance(envs, DummyVecEnv if vec == "serial" else SubprocVecEnv)
        observations = envs.reset()
        for _ in range(25):
            assert observations[MASK].sum(axis=1).tolist() == [1, 1]
            observations, _, dones, infos = envs.step(observations[MASK].argmax(axis=1))
            for env in np.flatnonzero(dones):
                assert infos[env]["terminal_observation"][MASK].all(), "no action follows: all are allowed"


def test_a_run_with_masks_is_resumed_loaded_and_predicts(tmp_path):
    run = str(tmp_path / "run")
    paddle_ac.train(
        {"algo": "a2c", "env": CORRIDOR, "action_masks": True, "total_steps": 300, "eval_episodes": 2},
        run,
        progress=False,
    )
    summary = paddle_ac.resume(run, {"total_steps": 600}, progress=False)
    assert summary["eval_mean_return"] == 10
    policy = paddle_ac.load(run)
    observations, masks = np.zeros((3, 4), np.float32), np.eye(20, dtype=bool)[[4, 11, 19]]
    assert policy.predict(observations, action_mask=masks).tolist() == [4, 11, 19]
    assert policy.predict(observations[0], action_mask=masks[1]) == 11
    assert 0 <= policy.predict(observations[0]) < 20
    for mask, message in [
        (masks, r"action_mask must be of shape \(20,\), one entry for each action, not \(3, 20\)"),
        ([False] * 20, "must allow at least one action, and allows none"),
        ([0.5] * 20, "must be bool, or 0 and 1"),
        (["a"] * 20, "must be bool, or 0 and 1"),
    ]:
        with pytest.raises(NotInSpaceError, match=message):
            policy.predict(observations[0], action_mask=mask)
    with pytest.raises(NotInSpaceError, match="there are 3 observations, and 2 rows of action_mask"):
        policy.predict(observations, action_mask=masks[:2])


def test_predict_rejects_masks_of_a_policy_without_them():
    with (
        paddle_ac.make("a2c", "CartPole-v1") as agent,
        pytest.raises(ValueError, match="action_mask is for policies that were made with action_masks=True"),
    ):
        agent.predict(np.zeros(4, np.float32), action_mask=[1, 1])


@pytest.mark.parametrize(
    "mask,message",
    [
        ([1, 0], r"must be of shape \(5,\), one entry for each action, not \(2,\)"),
        ([0, 0, 0, 0, 0], "must allow at least one action of choice 0, and allows none"),
        ([1, 1, 0, 0, 0], "must allow at least one action of choice 1, and allows none"),
        ([1, 2, 1, 1, 1], "must be bool, or 0 and 1"),
        (np.ones((5, 1)), r"not \(5, 1\)"),
        ([[1, 0], [1, 1]], r"not \(4,\)"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(mask, message):
    with pytest.raises(NotInSpaceError, match=message):
        check_mask(mask, [2, 3])


def test_masks_of_choices_can_come_in_a_list():
    assert check_mask([np.array([True, False]), [0, 1, 1]], [2, 3]).tolist() == [1, 0, 0, 1, 1]


class Misguided(Corridor):
    """Masks that allow nothing in the third step."""

    def _mask(self):
        return np.zeros(20, np.int8) if self.count == 2 else np.ones(20, np.int8)


def test_a_mask_without_actions_names_the_environment():
    envs = DummyVecEnv([lambda: ActionMasks(Corridor()), lambda: ActionMasks(Misguided())])
    envs.reset()
    with pytest.raises(ObservationError, match=r"environment 1.*action_mask must allow at least one action"):
        for _ in range(3):
            envs.step(np.array([0, 0]))


def test_an_environment_without_masks_is_reported():
    envs = DummyVecEnv([lambda: ActionMasks(Corridor(masks="none"))])
    with pytest.raises(ObservationError, match=r"has no action masks, neither info\['action_mask'\] nor a method"):
        envs.reset()


def test_masks_need_discrete_actions_and_single_environments():
    with pytest.raises(ConfigError, match="action masks are for Discrete and MultiDiscrete"):
        paddle_ac.make("a2c", "Pendulum-v1", action_masks=True)
    with pytest.raises(ConfigError, match="that begin at 0"):
        space_with_mask(Box(-1, 1, (2,)), Discrete(3, start=5))
    with pytest.raises(ConfigError, match="action_masks is for single environments: --vec must be serial, subproc"):
        paddle_ac.make("a2c", "CartPole-v1", action_masks=True, vec="native")


@pytest.mark.parametrize("algo", ["a2c", "a3c"])
def test_the_phases_of_an_update_take_allowed_actions(algo):
    with paddle_ac.make(algo, CORRIDOR, action_masks=True, env_kwargs={"multi": True}) as agent:
        phases = agent.phases()
        for run in phases.values():
            for _ in range(30):
                assert run() > 0
    assert "step_as_masks_allow" in phases["environments"].__qualname__


def test_actions_are_sampled_evenly_from_those_allowed():
    masks = np.tile([1, 0, 1, 1, 0], (3000, 1))
    actions = sample_allowed(MultiDiscrete([2, 3], seed=0), masks)
    assert (actions[:, 0] == 0).all() and set(actions[:, 1]) == {0, 1}
    assert abs((actions[:, 1] == 0).mean() - 0.5) < 0.03


def test_dict_observations_keep_their_parts():
    inner = Dict({"a": Box(-1, 1, (2,)), "b": Discrete(3)})
    packing = packing_of(space_with_mask(inner, Discrete(2)), Discrete(2), has_mask=True)
    packed, is_one = packing.pack_with_masks({"a": np.ones(2, np.float32), "b": 2}, [0, 1])
    assert is_one and packed[f"{OBSERVATION}/b"].tolist() == [2] and packed[MASK].tolist() == [[0, 1]]
