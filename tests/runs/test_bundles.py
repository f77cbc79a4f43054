"""Bundles of A3C and of DQN around a parameter server in the same process, without Ray."""

from __future__ import annotations

import time

import numpy as np
import pytest

from paddle_ac.algorithms.a3c_bundle import A3CBundle
from paddle_ac.algorithms.bundle import Bundle, bundle_config
from paddle_ac.algorithms.dqn_bundle import DQNBundle
from paddle_ac.config import make_config
from paddle_ac.processes.nodes import BundleReport
from paddle_ac.processes.parameter_server import ParameterServer, ServerState
from paddle_ac.registry import ALGORITHMS
from tests.environments import misbehaving_id
from tests.local_shards import LocalShards

PATIENCE = 100  # seconds until something must have happened
KINDS = {"a3c": A3CBundle, "dqn": DQNBundle}
SETTINGS = {
    "a3c": {"num_workers": 1},
    "dqn": {
        "vec": "serial",
        "train_freq": 20,
        "gradient_steps": 1,
        "learning_starts": 100,
        "buffer_size": 1_000,
        "optimizer": "rmsprop",
    },
}
STEPS_OF_AN_UPDATE = 20
both = pytest.mark.parametrize("algo", KINDS)


def make_bundle(algo: str, mean_square: float = 1.0, **changes) -> tuple[Bundle, ParameterServer]:
    values = {"cluster": "auto", "num_nodes": 2, "hidden_sizes": (8,), "push_interval": 5, **SETTINGS[algo]}
    config = make_config({"algo": algo, "total_steps": 4_000, **values, **changes})
    with ALGORITHMS[algo].from_config(config) as agent:
        vector, moments = agent.policy.parameters.vector.copy(), {}
        if config.normalize_observations:
            moments["encoder"] = agent.policy.encode.state_dict()
    counts = np.zeros(config.num_nodes, np.int64)
    server = ParameterServer(ServerState(vector, counts, counts, moments), max_staleness=10)
    statistics = {"mean_square": np.full(len(vector), mean_square, np.float32)}
    return KINDS[algo](config, 1, 0, statistics, LocalShards(server)), server


def poll_until_end(bundle: Bundle) -> tuple[list[dict], BundleReport]:
    contents, deadline = [], time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        report = bundle.poll()
        contents += report.contents
        if report.is_finished or report.error:
            return contents, report
    raise AssertionError("the bundle has not ended")


@both
def test_bundle_plays_to_the_total_and_pushes_all_that_it_has_learned(algo):
    bundle, server = make_bundle(algo, normalize_observations=True)
    before = server.pull().vector
    contents, report = poll_until_end(bundle)
    assert report.error is None and report.is_finished
    status = server.status()
    assert status.node_steps[0] == 0 and 4_000 <= status.node_steps[1] < 4_000 + STEPS_OF_AN_UPDATE
    assert 2 <= status.num_pushes <= 4_020 / STEPS_OF_AN_UPDATE / 5 + 1  # of 5 updates at least, but for the last one
    assert server.pull().moments["encoder"]["count"] == status.node_steps[1]
    assert (server.pull().vector != before).any()
    assert (bundle.statistics()["mean_square"] != 1).any()
    assert sum(len(content["charts/episode_return"]) for content in contents) > 0
    assert all("losses/critic" in content or content["charts/episode_return"] for content in contents)
    assert not any(tag.startswith("workers/") for content in contents for tag in content)


@both
def test_bundle_starts_from_the_statistics_that_it_is_given(algo):
    bundle, _ = make_bundle(algo, mean_square=1e6, total_steps=2_000)
    poll_until_end(bundle)
    assert (bundle.statistics()["mean_square"] > 1e6 * 0.99**150).all()  # about 100 updates with a decay of 0.99


@both
def test_bundle_counts_the_steps_of_others_towards_the_total(algo):
    bundle, server = make_bundle(algo, total_steps=10**9)
    server._state.node_steps[0] = 10**9
    _, report = poll_until_end(bundle)
    assert report.is_finished and server.status().node_steps[1] < 10_000


@both
def test_bundle_that_is_asked_to_finish_pushes_the_rest(algo):
    bundle, server = make_bundle(algo, total_steps=10**9, push_interval=10**6)
    deadline = time.monotonic() + PATIENCE
    while not bundle.poll().contents:
        assert time.monotonic() < deadline
    assert server.status().num_pushes == 0
    bundle.finish()
    _, report = poll_until_end(bundle)
    status = server.status()
    assert report.is_finished and status.num_pushes == 1 and status.node_steps[1] > 0


@pytest.mark.parametrize(("algo", "kind"), [("a3c", "WorkerFailedError"), ("dqn", "EnvironmentFailedError")])
def test_error_of_an_environment_is_reported_with_its_type(algo, kind):
    bundle, _ = make_bundle(algo, env=f"tests.environments:{misbehaving_id('raise in step')}")
    _, report = poll_until_end(bundle)
    assert type(report.error).__name__ == kind
    assert ("worker 0" if algo == "a3c" else "environment 0") in str(report.error)


def test_seeds_of_bundles_and_of_their_replacements_differ():
    config = make_config({"algo": "a3c", "cluster": "auto", "num_nodes": 8, "push_interval": 7, "seed": 3})
    configs = [bundle_config(config, index, start) for index in range(8) for start in range(8)]
    assert len({config.seed for config in configs}) == 64
    assert bundle_config(config, 2, 1) == bundle_config(config, 2, 1)
    assert configs[0].total_steps == config.total_steps
