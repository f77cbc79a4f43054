"""What is shown of a policy beside its returns: numbers for histograms, pictures and the network's graph."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest

from paddle_ac.config import make_config
from paddle_ac.envs.make import make_shown_env
from paddle_ac.losses.q_learning import make_head
from paddle_ac.nn.action_scale import ActionScale
from paddle_ac.nn.unroll import Unroll
from paddle_ac.registry import ALGORITHMS
from paddle_ac.training.network_graph import draw_networks
from paddle_ac.training.showing import Spread, show_episode, without_screen
from paddle_ac.training.views import EpisodePictures

CASES = {
    "a2c": {"algo": "a2c"},
    "lstm": {"algo": "a2c", "recurrent": "lstm"},
    "gru, shared": {"algo": "a2c", "recurrent": "gru", "shared_torso": True},
    "gaussian": {"algo": "reinforce", "env": "Pendulum-v1"},
    "q_ac": {"algo": "q_ac"},
    "a3c": {"algo": "a3c"},
    "dqn": {"algo": "dqn", "hidden_sizes": (16, 16)},
    "dueling": {"algo": "dqn", "hidden_sizes": (16, 16), "dueling": True},
    "soft_q": {"algo": "soft_q", "hidden_sizes": (16, 16)},
    "sac_discrete": {"algo": "sac_discrete", "hidden_sizes": (16, 16)},
    "pgql": {"algo": "pgql", "hidden_sizes": (16, 16)},
    "async_q": {"algo": "async_q"},
    "async_nstep_q, dueling": {"algo": "async_nstep_q", "dueling": True},
    "sac": {"algo": "sac", "hidden_sizes": (16, 16)},
    "td3": {"algo": "td3", "hidden_sizes": (16, 16)},
}


@pytest.fixture(params=CASES)
def algorithm(request):
    config = make_config(CASES[request.param])
    with ALGORITHMS[config.algo].from_config(config) as algorithm:
        yield algorithm


def some_observations(algorithm, batch: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    shape = (batch, *algorithm.observation_space.shape)
    state = generator.standard_normal((batch, algorithm.policy.state_size)).astype(np.float32)
    return generator.standard_normal(shape).astype(np.float32), state


def test_every_algorithm_tells_what_its_policy_and_its_critic_make_of_observations(algorithm):
    observations, state = some_observations(algorithm, 7)
    seen = algorithm.inspect(observations, state.copy())
    greedy = algorithm.policy.act(observations, None, state.copy())
    assert seen["critic/values"].shape == (7,)
    if "policy/probabilities" in seen:
        assert seen["policy/probabilities"].sum(axis=1) == pytest.approx(np.ones(7), abs=1e-6)
        assert (seen["policy/probabilities"].argmax(axis=1) == greedy).all()
    elif "policy/actions" in seen:
        assert algorithm.scale.to_box(seen["policy/actions"]) == pytest.approx(greedy, abs=1e-6)
    else:
        means = seen["policy/means"]
        scale = ActionScale(algorithm.action_space)
        means = scale.to_box(np.tanh(means)) if algorithm.config.algo == "sac" else scale.to_actions(means)
        assert means == pytest.approx(greedy, abs=1e-6)
        assert (seen["policy/deviations"] > 0).all()


def test_the_values_are_those_that_are_learned(algorithm):
    observations, state = some_observations(algorithm, 7)
    values = algorithm.inspect(observations, state)["critic/values"]
    if algorithm.config.algo in ("sac", "td3"):
        seen = algorithm.inspect(observations, state)
        actions = np.tanh(seen["policy/means"]) if algorithm.config.algo == "sac" else seen["policy/actions"]
        expected = algorithm.critic.values(observations, actions).min(axis=0)
    elif algorithm.config.algo == "sac_discrete":
        log_probs = algorithm.policy.distribution(algorithm.policy.policy_outputs(observations)).log_p
        smaller = np.minimum(*(critic.policy_outputs(observations) for critic in algorithm.critics))
        expected = (np.exp(log_probs) * (smaller - algorithm.alpha * log_probs)).sum(axis=1)
    elif hasattr(algorithm.config, "q_head"):
        head = make_head(algorithm.config.dueling)
        expected = head.q_values(*algorithm.policy.heads(observations)).max(axis=1)
    else:
        expected = algorithm.policy.values(observations, Unroll.of_one_step(state))
    assert values == pytest.approx(expected, abs=1e-5)


def test_the_graph_has_every_parameter_and_leads_from_the_observations_to_the_results(algorithm):
    observations, state = some_observations(algorithm, 1)
    shape = observations.shape[1:]
    layers, compute = algorithm.layers()
    graph = json.loads(draw_networks(layers, shape, lambda: compute(observations, state)))
    drawn = {tuple(variable["shape"]) for variable in graph["vars"] if variable["persistable"]}
    for name, network in layers.items():
        for parameter_name, parameter in network.named_parameters():
            assert tuple(parameter.shape) in drawn, (name, parameter_name)
    followers = {}
    for edge in graph["edges"]:
        followers.setdefault(edge["from_node"], set()).add(edge["to_node"])
    assert followers["/feed_0"] <= {"/actor_torso", "/critic_torso", "/actor", "/critics", "/critic_1", "/critic_2"}
    reached, found = set(), {"/feed_0"}
    while found:
        reached |= found
        found = {after for before in found for after in followers.get(before, ())} - reached
    assert reached == {node["name"] for node in graph["nodes"]} - {"/"}


def test_drawing_leaves_the_networks_as_they_were(algorithm):
    observations, state = some_observations(algorithm, 3)
    before = algorithm.inspect(observations, state)
    networks, compute = algorithm.layers()
    draw_networks(networks, observations.shape[1:], lambda: compute(observations, state))
    after = algorithm.inspect(observations, state)
    assert all((before[tag] == after[tag]).all() for tag in before)
    layers = [layer for network in networks.values() for layer in network.sublayers()]
    assert not any(layer._forward_post_hooks for layer in layers)


@pytest.mark.parametrize("length", [1, 5, 8, 9, 100, 1000])
def test_what_is_kept_of_a_row_is_spread_evenly_over_it(length):
    spread = Spread[int](8)
    for number in range(length):
        spread.offer(lambda number=number: number)
    assert spread.items[0] == 0 and min(length, 4) <= len(spread.items) <= 8
    gaps = np.diff([*spread.items, length])
    assert len(set(gaps[:-1].tolist())) <= 1 and gaps[-1] <= gaps.max()


class AlwaysFirst:
    state_size = 0

    def __init__(self):
        self.generators = []

    def act(self, observations, generator=None, state=None):
        self.generators.append(generator)
        return np.zeros(len(observations), int)


@pytest.mark.parametrize("sampled", [False, True])
def test_the_pictured_episode_is_played_as_in_the_evaluation(sampled):
    config = make_config({"algo": "a2c", "eval_sampled": sampled})
    policy, images = AlwaysFirst(), []
    agent = types.SimpleNamespace(observation_space=types.SimpleNamespace(shape=(4,)))
    logger = types.SimpleNamespace(write_image=lambda *image: images.append(image))
    run = types.SimpleNamespace(config=config, agent=agent, logger=logger)
    EpisodePictures().on_evaluation(run, types.SimpleNamespace(policy=policy, env_steps=5))
    assert [(tag, steps) for tag, _, steps in images] == [("eval/episode", 5)]
    assert policy.generators and {generator is not None for generator in policy.generators} == {sampled}


def test_an_episode_is_pictured_from_its_beginning_to_its_end():
    config = make_config({"algo": "a2c"})
    pictures = []
    for _ in range(2):
        with without_screen(), make_shown_env(config, 0) as envs:
            pictures.append(show_episode(AlwaysFirst(), envs))
    assert pictures[0].shape == (400, 600, 3) and pictures[0].dtype == np.uint8
    assert (pictures[0] == pictures[1]).all(), "the same episode each time"
    first, last = pictures[0][:200, :300], pictures[0][200:, 300:]
    assert (first != last).any() and first.min() < 50, "the cart, and it moves"
