"""Asynchronous Q-learning: targets and gradients, exploration, the target network, and what a run keeps."""

from __future__ import annotations

import contextlib

import gymnasium
import numpy as np
import paddle
import pytest
import scipy.stats
from gymnasium.spaces import Box, Discrete

import paddle_ac
from multiprocessing_env import DummyVecEnv
from paddle_ac.algorithms.async_q import FINAL_EPSILONS, AsyncQ, draw_final_epsilons
from paddle_ac.algorithms.async_q_worker import AsyncQWorker
from paddle_ac.checkpoint import load_checkpoint
from paddle_ac.config import make_config
from paddle_ac.envs.make import training_env_fns
from paddle_ac.errors import ConfigError
from paddle_ac.losses.actor_critic import Targets
from paddle_ac.losses.q_learning import QLoss, make_head
from paddle_ac.registry import ALGORITHMS
from paddle_ac.training.run_folder import RunFolder
from paddle_ac.training.runs import resume, train
from tests.short_runs import visualdl_curves

METHODS = ("async_q", "async_sarsa", "async_nstep_q")
EVERY_METHOD = pytest.mark.parametrize("algo", METHODS)
QUICK = {
    "num_workers": 2,
    "num_envs": 1,
    "num_steps": 5,
    "total_steps": 3020,
    "target_interval": 200,
    "exploration_steps": 1000,
    "hidden_sizes": (16,),
    "log_interval": 300,
    "eval_interval": 1000,
    "eval_episodes": 3,
    "checkpoint_interval": 1000,
}


def quick_agent(algo: str = "async_q", **changes) -> AsyncQ:
    return ALGORITHMS[algo].from_config(make_config({"algo": algo, **QUICK, **changes}))


def worker_of(agent: AsyncQ, index: int = 0, envs: DummyVecEnv | None = None, **options) -> AsyncQWorker:
    """A worker in this process, whose numbers repeat themselves."""
    first, num_envs = index * agent.config.num_envs, agent.config.num_envs
    envs = envs or DummyVecEnv(training_env_fns(agent.config, first + num_envs)[first:])
    options = {**agent.worker_options(index), **options}
    return AsyncQWorker(index, 0, agent.config, envs, agent.shared, contextlib.nullcontext(), **options)


# ------------------------------------------------------------------------------------- against the paper's pseudo-code

GAMMA, LEARNING_RATE, DECAY, EPSILON, MAX_NORM = 0.9, 0.02, 0.9, 1e-3, 2.0


class Stream(gymnasium.Env):
    """Random observations and rewards with ends at given steps; it records every transition.

    Attributes:
        transitions: (s, a, r, s', terminated, truncated) of every step.
    """

    observation_space = Box(-3, 3, (3,), np.float32)
    action_space = Discrete(4)

    def __init__(self, seed: int, terminated: tuple[int, ...], truncated: tuple[int, ...]):
        self._generator = np.random.default_rng(seed)
        self._terminated, self._truncated = terminated, truncated
        self.transitions: list[tuple] = []

    def reset(self, *, seed=None, options=None):
        self._observation = self._draw()
        return self._observation, {}

    def step(self, action):
        before, self._observation = self._observation, self._draw()
        reward, number = float(self._generator.normal()), len(self.transitions)
        ends = number in self._terminated, number in self._truncated
        self.transitions.append((before, int(action), reward, self._observation, *ends))
        return self._observation, reward, *ends, {}

    def _draw(self) -> np.ndarray:
        return self._generator.uniform(-3, 3, 3).astype(np.float32)


def q_values(theta: dict[str, np.ndarray], observation: np.ndarray):
    """A network with a hidden layer, in float64 by Paddle."""
    tensors = {name: paddle.to_tensor(value, stop_gradient=False) for name, value in theta.items()}
    inputs = paddle.to_tensor(observation.astype(np.float64)[np.newaxis])
    hidden = paddle.tanh(inputs @ tensors["actor_torso.0.weight"] + tensors["actor_torso.0.bias"])
    return (hidden @ tensors["actor_head.weight"] + tensors["actor_head.bias"])[0], tensors


def highest(theta: dict[str, np.ndarray], observation: np.ndarray) -> float:
    return float(q_values(theta, observation)[0].max())


def targets_of_window(algo: str, window: list[tuple], following: int, online: dict, target: dict) -> list[float]:
    """y of every transition of an environment between two updates, by the pseudo-code of the paper.

    A state at a time limit is no terminal one; Sarsa's action there is the best one, for an epsilon of 0.
    """
    targets = []
    ahead = highest(target, window[-1][3])  # R of algorithm S2
    for index, (_, _, reward, after, terminated, truncated) in reversed(list(enumerate(window))):
        if terminated:
            value = 0.0
        elif algo == "async_nstep_q":
            value = highest(target, after) if truncated else ahead
        elif algo == "async_q":
            value = highest(target, after)
        else:
            next_action = window[index + 1][1] if index + 1 < len(window) else following
            if truncated:
                next_action = int(q_values(online, after)[0].argmax())
            value = float(q_values(target, after)[0][next_action])
        ahead = reward + GAMMA * value
        targets.append(ahead)
    return targets[::-1]


def plain_loop(algo: str, streams: list[list[tuple]], theta: dict, num_steps: int, num_updates: int, interval: int):
    """Learn from recorded streams by the paper's pseudo-code, with a mean in place of the sum of gradients."""
    online = {name: value.astype(np.float64) for name, value in theta.items()}
    target = {name: value.copy() for name, value in online.items()}
    mean_square = {name: np.ones_like(value) for name, value in online.items()}
    total = 0  # T
    for update in range(num_updates):
        first, last = update * num_steps, (update + 1) * num_steps
        gradient = {name: np.zeros_like(value) for name, value in online.items()}
        for stream in streams:
            window = stream[first:last]
            targets = targets_of_window(algo, window, stream[last][1], online, target)
            for (observation, action, *_), y in zip(window, targets, strict=True):
                values, tensors = q_values(online, observation)
                ((y - values[action]) ** 2).backward()
                for name, tensor in tensors.items():
                    gradient[name] += tensor.grad.numpy() / (num_steps * len(streams))
        norm = np.sqrt(sum((value**2).sum() for value in gradient.values()))
        for name, value in gradient.items():
            value *= min(1, MAX_NORM / norm)
            mean_square[name] += (1 - DECAY) * (value**2 - mean_square[name])
            online[name] -= LEARNING_RATE * value / np.sqrt(mean_square[name] + EPSILON)
        before, total = total, total + num_steps * len(streams)
        if total // interval > before // interval:
            target = {name: value.copy() for name, value in online.items()}
    return online, target


@EVERY_METHOD
@pytest.mark.parametrize("epsilons", [(0.0,), (0.6,), (0.0, 0.0), (0.6, 0.6), (0.0, 0.6), (0.6, 0.0)])
def test_a_worker_learns_as_the_pseudo_code_of_the_paper(algo, epsilons):
    num_envs, num_steps, num_updates, interval = len(epsilons), 5, 8, 22
    streams = []
    for seed, epsilon in enumerate(epsilons):
        # With random actions, the one that Sarsa drew at a time limit is unknown.
        truncated = () if algo == "async_sarsa" and epsilon else (3, 6, 8, 11, 24, 26, 28, 33)
        streams.append(Stream(seed, terminated=(1, 14, 17), truncated=truncated))
    agent = quick_agent(
        algo,
        env="tests.environments:test/Walk-v0",
        num_workers=1,
        num_envs=num_envs,
        gamma=GAMMA,
        critic_loss="squared",
        activation="tanh",
        optimizer="shared_rmsprop",
        learning_rate=LEARNING_RATE,
        lr_schedule="constant",
        rmsprop_decay=DECAY,
        optimizer_epsilon=EPSILON,
        max_grad_norm=MAX_NORM,
        target_interval=interval,
        exploration_steps=0,
    )
    agent = type(agent)(agent.config, Stream.observation_space, Stream.action_space)
    theta = {name: value.copy() for name, value in agent.shared.views.items()}
    envs = DummyVecEnv([lambda stream=stream: stream for stream in streams])
    worker = worker_of(agent, envs=envs, final_epsilons=np.array(epsilons))
    for _ in range(num_updates + 1):  # one more, for the action that follows
        worker.update()
        if worker.shared.num_updates == num_updates:
            found, target = agent.shared.vector.copy(), agent.target.read()
    recorded = [stream.transitions for stream in streams]
    for stream, epsilon in zip(recorded, epsilons, strict=True):
        if epsilon:
            assert len({action for _, action, *_ in stream}) == 4
    expected = plain_loop(algo, recorded, theta, num_steps, num_updates, interval)
    for vector, parameters in zip((found, target), expected, strict=True):
        flat = np.concatenate([parameters[name].ravel() for name in agent.shared.views])
        np.testing.assert_allclose(vector, flat, atol=2e-5)
    assert np.abs(found - target).max() > 1e-3, "the target network lags behind"


@pytest.mark.parametrize("dueling", [False, True])
def test_loss_of_a_batch_is_that_of_its_blocks(dueling):
    generator = np.random.default_rng(0)
    outputs, values = generator.normal(size=(7, 4)).astype(np.float32), generator.normal(size=7).astype(np.float32)
    targets = Targets(generator.integers(4, size=7), generator.normal(size=7).astype(np.float32))
    loss = QLoss(make_head(dueling), "squared")
    whole = loss(outputs, values, targets, 7)
    q_values = outputs + (values - outputs.mean(axis=1))[:, np.newaxis] if dueling else outputs
    errors = targets.returns - q_values[np.arange(7), targets.actions]
    assert whole.terms.tolist() == [pytest.approx((errors**2).sum(), rel=1e-5)]
    np.testing.assert_allclose(whole.values, targets.returns - errors, rtol=1e-4, atol=1e-6)
    blocks = [loss(outputs[rows], values[rows], targets[rows], 7) for rows in (slice(0, 3), slice(3, 7))]
    assert sum(block.terms for block in blocks).tolist() == [pytest.approx(whole.terms[0], rel=1e-6)]
    for name in ("grad_outputs", "grad_critic_outputs", "values"):
        parts = np.concatenate([getattr(block, name) for block in blocks])
        np.testing.assert_allclose(parts, getattr(whole, name), rtol=1e-5, atol=1e-7)


def test_the_three_methods_differ():
    """So that the test above can tell them apart."""
    streams = [Stream(0, terminated=(1,), truncated=())]
    envs = DummyVecEnv([lambda: streams[0]])
    for _ in range(21):
        envs.reset() if not streams[0].transitions else None
        envs.step([len(streams[0].transitions) % 4])
    generator = np.random.default_rng(0)
    shapes = {
        "actor_torso.0.weight": (3, 16),
        "actor_torso.0.bias": (16,),
        "actor_head.weight": (16, 4),
        "actor_head.bias": (4,),
    }
    theta = {name: generator.normal(size=shape) for name, shape in shapes.items()}
    learned = [plain_loop(algo, [streams[0].transitions], theta, 5, 4, 10)[0]["actor_head.weight"] for algo in METHODS]
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(learned[one] - learned[other]).max() > 1e-3


def test_sarsa_takes_the_action_that_its_target_was_computed_with():
    agent = quick_agent("async_sarsa", exploration_steps=0)
    worker = worker_of(agent, final_epsilons=np.ones(1))
    drawn = []
    act = worker.network.act

    def record(*arguments):
        actions = act(*arguments)
        drawn.append(actions.tolist())
        return actions

    worker.network.act = record
    rollouts = []
    collect = worker.collector.collect
    worker.collector.collect = lambda act: rollouts.append(collect(act)) or rollouts[-1]
    for _ in range(20):
        drawn.clear()
        following = None if not rollouts else worker.gradient_of._next_actions.tolist()
        worker.update()
        assert len(drawn) == (6 if following is None else 5), "an action a step, and the one after the rollout"
        assert following in (None, rollouts[-1].actions[0].tolist())


# ---------------------------------------------------------------------------------------------------------- exploration


def test_final_epsilons_are_drawn_with_the_probabilities_of_the_paper():
    generator = np.random.default_rng(0)
    runs = np.stack([draw_final_epsilons(3, 2, generator) for _ in range(1000)])
    for drawn in runs.reshape(1000, 6).T:  # of each environment
        counts = [np.count_nonzero(drawn == epsilon) for epsilon in (0.1, 0.01, 0.5)]
        assert scipy.stats.chisquare(counts, [400, 300, 300]).pvalue > 1e-3


def test_final_epsilons_of_a_run_are_spread_as_evenly_as_their_number_allows():
    generator = np.random.default_rng(0)
    for num_workers, num_envs in ((10, 1), (1, 10), (5, 2)):
        drawn = draw_final_epsilons(num_workers, num_envs, generator)
        assert drawn.shape == (num_workers, num_envs)
        assert sorted(drawn.ravel()) == [0.01] * 3 + [0.1] * 4 + [0.5] * 3
    for _ in range(200):
        one, other = draw_final_epsilons(2, 1, generator)
        assert one != other
        for of_worker in draw_final_epsilons(2, 4, generator):
            assert set(of_worker) == FINAL_EPSILONS.keys(), "each worker has some of all"
    assert {draw_final_epsilons(1, 1, generator).item() for _ in range(50)} == FINAL_EPSILONS.keys()


def test_final_epsilons_depend_on_the_seed_alone():
    agents = [quick_agent(algo, num_workers=20, seed=seed) for seed in (0, 1) for algo in METHODS]
    drawn = [agent.final_epsilons.tolist() for agent in agents]
    assert drawn[0] == drawn[1] == drawn[2] != drawn[3] == drawn[4] == drawn[5]


def test_epsilon_falls_from_1_to_that_of_each_worker_with_the_steps_of_all():
    agent = quick_agent(exploration_steps=100)
    workers = [worker_of(agent, index, final_epsilons=np.array([epsilon])) for index, epsilon in enumerate((0.1, 0.5))]
    used = [[], []]
    for _ in range(12):
        for index, worker in enumerate(workers):
            worker.update()
            used[index].append(float(worker.distribution.epsilon[0]))
    assert used[0][:2] == [1.0, pytest.approx(1 - 0.9 * 10 / 100)]
    assert used[1][:2] == [pytest.approx(1 - 0.5 * 5 / 100), pytest.approx(1 - 0.5 * 15 / 100)]
    assert used[0][-1] == 0.1 and used[1][-1] == 0.5


def test_policy_is_greedy_and_sampled_evaluations_explore():
    agent = quick_agent(env="tests.environments:test/Walk-v0")
    observations = np.zeros((400, *agent.observation_space.shape), np.float32)
    greedy = agent.policy.act(observations)
    assert len(set(greedy.tolist())) == 1
    others = (agent.policy.act(observations, np.random.default_rng(0)) != greedy).mean()
    assert 0.01 < others < 0.1


# --------------------------------------------------------------------------------------------------- the target network


def test_the_worker_that_passes_the_interval_replaces_the_target_network_for_all():
    agent = quick_agent(target_interval=20)
    workers = [worker_of(agent, index) for index in range(2)]
    initial = agent.shared.vector.copy()
    for turn in range(3):
        workers[turn % 2].update()
    np.testing.assert_array_equal(agent.target.read(), initial)
    assert not np.array_equal(agent.shared.vector, initial)
    workers[1].update()  # T is 20
    np.testing.assert_array_equal(agent.target.read(), agent.shared.vector)
    assert agent.target.env_steps == 20
    replaced = agent.target.read()
    for turn in range(3):
        workers[turn % 2].update()
    for worker in workers:
        np.testing.assert_array_equal(worker.target.parameters.vector, replaced)
    np.testing.assert_array_equal(agent.target.read(), replaced)


def test_target_network_normalises_observations_as_the_network_does():
    agent = quick_agent(normalize_observations=True)
    worker = worker_of(agent)
    for _ in range(10):
        worker.update()
    assert worker.encode.moments.statistics["count"] == 50
    assert worker.target.encode is worker.network.encode


# ----------------------------------------------------------------------------------------------------------- networks


def learned_by_a_worker(algo: str, updates: int = 6, records: bool = True, **changes) -> np.ndarray:
    agent = quick_agent(algo, num_workers=1, num_envs=2, target_interval=20, **changes)
    worker = worker_of(agent)
    if not records:
        worker.gradient_of.record = None
    for _ in range(updates):
        worker.update()
    return agent.shared.vector.copy()


@EVERY_METHOD
def test_both_backends_learn_the_same(algo):
    learned = [
        learned_by_a_worker(algo, backend=backend, dueling=True, normalize_observations=True)
        for backend in ("numpy", "paddle")
    ]
    np.testing.assert_allclose(*learned, atol=2e-5)


@EVERY_METHOD
@pytest.mark.parametrize("env", ["Catch", "CatchByParts"])
def test_features_of_images_that_acting_has_computed_give_the_same_gradient(algo, env):
    learned = [
        learned_by_a_worker(algo, env=f"paddle_ac.envs.catch:{env}", records=records) for records in (True, False)
    ]
    np.testing.assert_allclose(*learned, atol=1e-5)
    agent = quick_agent(algo, env=f"paddle_ac.envs.catch:{env}")
    assert (worker_of(agent).gradient_of.record is None) == (algo == "async_sarsa")


# ------------------------------------------------------------------------------------------------------------ the run


@EVERY_METHOD
def test_one_worker_gives_the_same_bits_twice(algo, tmp_path):
    states = []
    for name in ("one", "other"):
        train(make_config({"algo": algo, **QUICK, "num_workers": 1}), str(tmp_path / name))
        states.append(load_checkpoint(RunFolder(tmp_path / name).latest)["algorithm"])
    for one, other in ((state["parameters"], state["target"]["parameters"]) for state in states):
        assert any(not np.array_equal(one[name], other[name]) for name in one)
    for group in ("parameters", "optimizer"):
        for name, value in states[0][group].items():
            np.testing.assert_array_equal(value, states[1][group][name])
    assert states[0]["target"]["env_steps"] == states[1]["target"]["env_steps"] == 3000


@EVERY_METHOD
def test_a_run_counts_and_logs_and_is_resumed_with_its_epsilons_and_target(algo, tmp_path):
    config = make_config({"algo": algo, **QUICK})
    summary = train(config, str(tmp_path / "run"))
    assert 3020 <= summary["env_steps"] < 3030 and summary["updates"] * 5 == summary["env_steps"]
    curves = visualdl_curves(tmp_path / "run")
    tags = {"losses/critic", "diagnostics/q_value", "diagnostics/epsilon", "diagnostics/policy_lag", "workers/steps_1"}
    assert curves.keys() >= tags | {"charts/episode_return", "eval/mean_return"}
    state = load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]
    state["final_epsilons"] = np.array([[0.25], [0.75]])  # as of a run that drew others
    with ALGORITHMS[algo].from_config(config) as agent:
        agent.load_state_dict(state)
        assert [agent.worker_options(index)["final_epsilons"] for index in range(2)] == [0.25, 0.75]
        for name, value in agent.shared.layout.views(agent.target.read()).items():
            np.testing.assert_array_equal(value, state["target"]["parameters"][name])
        assert agent.target.env_steps == state["target"]["env_steps"] >= 3000
    assert resume(str(tmp_path / "run"), {"total_steps": 4000})["env_steps"] >= 4000


def test_a_run_that_starts_from_another_has_its_parameters_as_target(tmp_path):
    with quick_agent() as agent:
        worker = worker_of(agent)
        worker.update()
        path = agent.save(tmp_path / "policy")
        learned = agent.shared.vector.copy()
    with paddle_ac.make("async_nstep_q", "CartPole-v1", init_from=str(path), hidden_sizes=(16,)) as agent:
        np.testing.assert_array_equal(agent.shared.vector, learned)
        np.testing.assert_array_equal(agent.target.read(), learned)


@EVERY_METHOD
def test_the_parts_of_an_update_can_be_timed_one_by_one(algo):
    with quick_agent(algo) as agent:
        phases = agent.phases()
        assert list(phases) == ["copying", "environments", "acting", "learning"]
        for run in phases.values():
            assert [run() for _ in range(3)] == 3 * [5 if run in (phases["copying"], phases["learning"]) else 1]


def test_dueling_network_learns_without_paddle_in_workers(tmp_path):
    agent = quick_agent(env="tests.environments:test/NoPaddle-v0", dueling=True)
    with agent:
        while agent.env_steps < 500:
            agent.update()
    assert any(name.startswith("critic_head") for name in agent.shared.views)


def test_action_spaces_that_are_not_discrete_are_one_line(tmp_path):
    with pytest.raises(ConfigError, match="async_q takes Discrete action spaces that begin at 0"):
        train(make_config({"algo": "async_q", **QUICK, "env": "Pendulum-v1"}), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_own_networks_are_dueling():
    with pytest.raises(ConfigError, match="add dueling=true"):
        make_config({"algo": "async_q", "network": "module:Class"})
