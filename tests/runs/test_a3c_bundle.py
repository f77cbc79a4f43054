"""A bundle of A3C workers around a parameter server in the same process, without Ray."""

from __future__ import annotations

import time

import numpy as np

from paddle_ac.algorithms.a3c import A3C
from paddle_ac.algorithms.a3c_bundle import Bundle, bundle_config
from paddle_ac.config import make_config
from paddle_ac.processes.nodes import BundleReport
from paddle_ac.processes.parameter_server import ParameterServer, ServerState
from tests.environments import misbehaving_id
from tests.local_shards import LocalShards

PATIENCE = 100  # seconds until something must have happened


def make_bundle(mean_square: float = 1.0, **changes) -> tuple[Bundle, ParameterServer]:
    values = {"cluster": "auto", "num_nodes": 2, "num_workers": 1, "hidden_sizes": (8,), "push_interval": 5}
    config = make_config({"algo": "a3c", "total_steps": 4_000, **values, **changes})
    with A3C.from_config(bundle_config(config, 0, 0)) as a3c:
        vector = a3c.shared.vector.copy()
        moments = {group: moments.read() for group, moments in a3c.shared.moments.items()}
    counts = np.zeros(config.num_nodes, np.int64)
    server = ParameterServer(ServerState(vector, counts, counts, moments))
    statistics = {"mean_square": np.full(len(vector), mean_square, np.float32)}
    return Bundle(config, 1, 0, statistics, LocalShards(server)), server


def poll_until_end(bundle: Bundle) -> tuple[list[dict], BundleReport]:
    contents, deadline = [], time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        report = bundle.poll()
        contents += report.contents
        if report.is_finished or report.error:
            return contents, report
    raise AssertionError("the bundle has not ended")


def test_bundle_plays_to_the_total_and_pushes_all_that_it_has_learned():
    bundle, server = make_bundle(normalize_observations=True)
    before = server.pull().vector
    contents, report = poll_until_end(bundle)
    assert report.error is None and report.is_finished
    status = server.status()
    assert status.node_steps[0] == 0 and 4_000 <= status.node_steps[1] < 4_000 + 20
    assert 2 <= status.version <= 4_020 / 20 / 5 + 1  # pushes, each of 5 updates at least, but for the last one
    assert server.pull().moments["encoder"]["count"] == status.node_steps[1]
    assert (server.pull().vector != before).any()
    assert (bundle.statistics()["mean_square"] != 1).any()
    assert sum(len(content["charts/episode_return"]) for content in contents) > 0
    assert all("losses/actor" in content or content["charts/episode_return"] for content in contents)
    assert not any(tag.startswith("workers/") for content in contents for tag in content)


def test_bundle_starts_from_the_statistics_that_it_is_given():
    bundle, _ = make_bundle(mean_square=1e6, total_steps=2_000)
    poll_until_end(bundle)
    assert (bundle.statistics()["mean_square"] > 1e6 * 0.99**150).all()  # about 100 updates with a decay of 0.99


def test_bundle_counts_the_steps_of_others_towards_the_total():
    bundle, server = make_bundle(total_steps=10**9)
    server._state.node_steps[0] = 10**9
    _, report = poll_until_end(bundle)
    assert report.is_finished and server.status().node_steps[1] < 10_000


def test_bundle_that_is_asked_to_finish_pushes_the_rest():
    bundle, server = make_bundle(total_steps=10**9, push_interval=10**6)
    deadline = time.monotonic() + PATIENCE
    while not bundle.poll().contents:
        assert time.monotonic() < deadline
    assert server.status().version == 0
    bundle.finish()
    _, report = poll_until_end(bundle)
    status = server.status()
    assert report.is_finished and status.version == 1 and status.node_steps[1] > 0


def test_error_of_a_worker_is_reported_with_its_type():
    bundle, _ = make_bundle(env=f"tests.environments:{misbehaving_id('raise in step')}")
    _, report = poll_until_end(bundle)
    assert type(report.error).__name__ == "WorkerFailedError" and "worker 0" in str(report.error)


def test_seeds_of_bundles_and_of_their_replacements_differ():
    config = make_config({"algo": "a3c", "cluster": "auto", "num_nodes": 8, "push_interval": 7, "seed": 3})
    configs = [bundle_config(config, index, start) for index in range(8) for start in range(8)]
    assert len({config.seed for config in configs}) == 64
    assert bundle_config(config, 2, 1) == bundle_config(config, 2, 1)
    assert configs[0].cluster is None and configs[0].total_steps == config.total_steps
