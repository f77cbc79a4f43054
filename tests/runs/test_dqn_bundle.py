"""The learner of a DQN bundle beside DQN on one machine, with a parameter server in the same process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import contextmanager

import numpy as np
import pytest

from paddle_ac.algorithms import dqn_bundle
from paddle_ac.algorithms.dqn import DQN
from paddle_ac.algorithms.dqn_bundle import GorilaLearner
from paddle_ac.config import make_config
from paddle_ac.config.dqn import DQNConfig
from paddle_ac.envs.make import make_training_envs
from paddle_ac.learning import outliers
from paddle_ac.nn.moments import RunningMoments
from paddle_ac.nn.numpy_network import NumpyActorCritic
from paddle_ac.processes.parameter_server import ParameterServer, Push, ServerState
from tests.local_shards import LocalShards

NEAR = {"rtol": 1e-5, "atol": 1e-6}


class AtOnce(Executor):
    """Runs a function when it is submitted."""

    def submit(self, function, *arguments):
        future: Future = Future()
        future.set_result(function(*arguments))
        return future


class OnDemand(Executor):
    """Runs functions when the test says so."""

    def __init__(self):
        self.waiting: list[Callable[[], None]] = []

    def submit(self, function, *arguments):
        future: Future = Future()
        self.waiting.append(lambda: future.set_result(function(*arguments)))
        return future

    def run(self) -> None:
        self.waiting.pop(0)()


def config_of(**changes) -> DQNConfig:
    values = {
        "algo": "dqn",
        "cluster": "auto",
        "num_nodes": 2,
        "push_interval": 1,
        "vec": "serial",
        "num_envs": 2,
        "hidden_sizes": (16,),
        "train_freq": 5,
        "gradient_steps": 3,
        "batch_size": 8,
        "buffer_size": 500,
        "learning_starts": 0,
        "target_interval": 2,
        "total_steps": 10_000,
    }
    return make_config({**values, **changes})


@contextmanager
def learning(config: DQNConfig, executor: Executor | None = None):
    """A learner with index 0, and its server."""
    with DQN.from_config(config) as dqn:
        vector, moments = dqn.parameters.vector.copy(), {}
        if config.normalize_observations:
            moments["encoder"] = dqn.policy.encode.state_dict()
        if config.normalize_rewards:
            moments["rewards"] = RunningMoments.initial_statistics(())
    counts = np.zeros(config.num_nodes, np.int64)
    server = ParameterServer(ServerState(vector, counts, counts, moments), max_staleness=10)
    envs = make_training_envs(config)
    with GorilaLearner(config, envs, LocalShards(server), 0, 0, executor or AtOnce()) as learner:
        yield learner, server


def push_of_other(server: ParameterServer, sequence: int = 1, change: float = 0.0, **values) -> None:
    delta = np.full_like(server.pull().vector, change)
    server.push(Push(1, 0, sequence, server.pull().num_updates, delta, **values))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dueling": True, "prioritized": True, "num_step_returns": 1, "optimizer": "rmsprop"},
        {"normalize_observations": True, "normalize_rewards": True, "tau": 0.3},
        {"backend": "paddle", "double": False},
    ],
    ids=["default", "prioritised", "normalised", "paddle"],
)
def test_one_bundle_that_pushes_every_gradient_step_computes_what_dqn_computes(changes):
    config = config_of(num_nodes=1, **changes)
    with learning(config) as (learner, server), DQN.from_config(config) as dqn:
        for _ in range(6):
            found, expected = learner.update(), dqn.update()
            assert found.pop("cluster/outliers") == [0.0] * 3
            assert found.keys() == expected.keys()
            np.testing.assert_allclose(found["losses/critic"], expected["losses/critic"], rtol=1e-3)
            assert found["charts/learning_rate"] == expected["charts/learning_rate"]
            assert found["diagnostics/epsilon"] == expected["diagnostics/epsilon"]
            for vector in (learner.parameters.vector, server.pull().vector):
                np.testing.assert_allclose(vector, dqn.parameters.vector, **NEAR)
            np.testing.assert_allclose(learner.target.parameters.vector, dqn.target.parameters.vector, **NEAR)
        status = server.status()
        assert (status.node_steps.tolist(), status.node_updates.tolist()) == ([60], [18])
        observations = dqn.sample().observations
        for one, other in ((learner.policy, dqn.policy), (learner.target, dqn.target)):
            np.testing.assert_allclose(
                learner.q_values(one, observations), dqn.q_values(other, observations), rtol=1e-3, atol=1e-4
            )


def test_push_contains_the_sum_of_the_gradient_steps_since_the_push_before():
    with learning(config_of(push_interval=4)) as (learner, server):
        vectors = [learner.parameters.vector.copy()]
        sent, push = [], server.push
        server.push = lambda given: sent.append(given.delta.copy()) or push(given)
        step = learner.learner.step
        learner.learner.step = lambda *arguments: (step(*arguments), vectors.append(learner.parameters.vector.copy()))
        for _ in range(4):
            learner.update()  # of 3 gradient steps each
        assert len(sent) == 3
        for delta, first in zip(sent, (0, 4, 8), strict=True):
            np.testing.assert_allclose(delta, vectors[first + 4] - vectors[first], **NEAR)
        assert server.status().node_updates.tolist() == [12, 0]


def test_learner_goes_on_until_its_push_is_answered_and_then_adds_what_others_have_learned():
    executor = OnDemand()
    with learning(config_of(target_interval=1), executor) as (learner, server):
        learner.update()
        before = learner.parameters.vector.copy()
        learner.update()
        assert (learner.parameters.vector != before).any()
        assert len(executor.waiting) == 1  # one push at a time
        push_of_other(server, change=0.25, steps=1_000)
        executor.run()
        before, refreshed = learner.parameters.vector.copy(), []
        learner.learner.refresh = lambda: refreshed.append(learner.parameters.vector.copy())
        learner._exchange_if_due()
        np.testing.assert_allclose(learner.parameters.vector, before + 0.25, **NEAR)
        assert (refreshed[-1] == learner.parameters.vector).all()
        assert (learner.run_steps, learner.env_steps) == (1_020, 20)
        np.testing.assert_allclose(learner.target.parameters.vector, server.pull().vector, **NEAR)
        learner._exchange_if_due()
        executor.run()
        learner.push_rest()
        for vector in (learner.parameters.vector, server.pull().vector):
            np.testing.assert_allclose(vector, before + 0.25, **NEAR)
        assert server.status().node_updates.tolist() == [6, 0]


@pytest.mark.parametrize("tau", [1.0, 0.25])
def test_target_network_follows_the_server_every_target_interval_updates_of_all_bundles(tau):
    with learning(config_of(target_interval=10, tau=tau, push_interval=3)) as (learner, server):
        target = learner.target.parameters.vector
        initial = target.copy()
        learner.update()
        assert (target == initial).all()  # 3 updates
        push_of_other(server, change=0.5, updates=6)
        learner.update()  # 12 updates
        expected = initial + tau * (server.pull().vector - initial)
        np.testing.assert_allclose(target, expected, **NEAR)
        before = target.copy()
        learner.update()  # 15 updates
        assert (target == before).all()
        push_of_other(server, sequence=2, updates=20)
        learner.update()  # 38 updates: past 20 and 30
        factor = 1 - (1 - tau) ** 2
        np.testing.assert_allclose(target, before + factor * (server.pull().vector - before), **NEAR)


def test_gradient_with_an_outlying_loss_changes_no_parameter(monkeypatch):
    monkeypatch.setattr(outliers, "WARM_UP", 3)
    with learning(config_of(push_interval=100, prioritized=True)) as (learner, _):
        for _ in range(3):
            learner.update()
        before = {name: value.copy() for name, value in learner.learner.optimizer.statistics.items()}
        vector, given = learner.parameters.vector.copy(), {}
        monkeypatch.setattr(learner.replay, "update_priorities", lambda places, errors: given.update(errors=errors))
        batch = learner.sample()
        metrics = learner.gradient_step(dataclasses.replace(batch, rewards=batch.rewards + 1e4))
        assert metrics["cluster/outliers"] == 1.0
        assert (learner.parameters.vector == vector).all()
        assert all((learner.learner.optimizer.statistics[name] == value).all() for name, value in before.items())
        assert (np.abs(given["errors"]) > 1e3).all()
        assert learner.gradient_step(batch)["cluster/outliers"] == 0.0
        assert (learner.parameters.vector != vector).any()


def test_target_network_of_a_new_bundle_has_no_interval_to_make_up_for():
    config = config_of(target_interval=10, tau=0.5, push_interval=3)
    with learning(config) as (_, server):
        push_of_other(server, updates=1_000)
        with GorilaLearner(config, make_training_envs(config), LocalShards(server), 0, 0, AtOnce()) as learner:
            before = learner.target.parameters.vector.copy()
            learner.update()
            assert server.pull().num_updates == 1_003
            assert (learner.target.parameters.vector == before).all()


def test_new_bundle_of_a_run_under_way_first_fills_its_own_replay_buffer(monkeypatch):
    config = config_of(learning_starts=25)
    with learning(config) as (_, server):
        push_of_other(server, change=0.5, steps=5_000, updates=100)
        envs, refreshed = make_training_envs(config), []
        monkeypatch.setattr(
            NumpyActorCritic, "refresh", lambda network: refreshed.append(network.parameters.vector.copy())
        )
        with GorilaLearner(config, envs, LocalShards(server), 0, 0, AtOnce()) as learner:
            assert [(vector == server.pull().vector).all() for vector in refreshed] == [True, True]
            for vector in (learner.parameters.vector, learner.target.parameters.vector):
                assert (vector == server.pull().vector).all()
            assert learner.epsilon == config.final_epsilon and learner.run_steps == 5_000
            for num_updates in (0, 0, 3):
                learner.update()
                assert learner.num_updates == num_updates


def test_bundle_that_does_not_learn_yet_pushes_its_steps_now_and_then(monkeypatch):
    monkeypatch.setattr(dqn_bundle, "IDLE_PUSH_SECONDS", 1e9)
    with learning(config_of(learning_starts=1_000, push_interval=100)) as (learner, server):
        learner.update()
        assert server.status().num_pushes == 0
        monkeypatch.setattr(dqn_bundle, "IDLE_PUSH_SECONDS", -1)
        learner.update()
        status = server.status()
        assert (status.num_pushes, status.node_steps.tolist()) == (1, [20, 0])
