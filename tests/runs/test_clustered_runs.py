"""A3C and DQN on a Ray cluster of simulated nodes: runs, faults, and what is left when the driver is gone."""

from __future__ import annotations

import csv
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from multiprocessing_env import EnvironmentFailedError, WorkerDiedError, WorkerFailedError, probe_spaces
from paddle_ac.algorithms import clustered
from paddle_ac.algorithms.a3c_cluster import ClusterA3C
from paddle_ac.algorithms.clustered import Clustered
from paddle_ac.algorithms.dqn_cluster import ClusterDQN
from paddle_ac.checkpoint import load_checkpoint
from paddle_ac.config import make_config
from paddle_ac.envs.make import training_env_fns
from paddle_ac.errors import ConfigError
from paddle_ac.processes import cluster as cluster_module
from paddle_ac.processes import nodes as nodes_module
from paddle_ac.processes.cluster import LostError
from paddle_ac.processes.parameter_server import ParameterServer, ServerState, Status, partition
from paddle_ac.registry import make_algorithm
from paddle_ac.training.benchmark import benchmark
from paddle_ac.training.run_folder import RunFolder
from paddle_ac.training.runs import resume
from tests.environments import misbehaving_id
from tests.paths import ROOT
from tests.short_runs import quick_run

ray = pytest.importorskip("ray")
from ray.cluster_utils import Cluster  # noqa: E402

from tests.ray_nodes import NODE, two_nodes  # noqa: E402

PATIENCE = 100  # seconds until something must have happened
SETTINGS = {
    "a3c": {"num_workers": 1, "optimizer": "shared_rmsprop"},
    "dqn": {
        "vec": "serial",
        "optimizer": "rmsprop",
        "train_freq": 20,
        "gradient_steps": 2,
        "learning_starts": 100,
        "buffer_size": 2_000,
    },
}
both = pytest.mark.parametrize("algo", SETTINGS)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes of one CPU; a test that removes a node adds another."""
    with two_nodes() as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def no_process_of_a_run_is_left() -> Iterator[None]:
    """After any fault; what is left in shared memory is looked for in tests/conftest.py."""
    yield
    _, alive = psutil.wait_procs(processes_of_runs().values(), timeout=PATIENCE)
    assert not alive


def settings(cluster: Cluster, algo: str = "a3c", **changes) -> dict:
    return {
        "algo": algo,
        "cluster": cluster.address,
        "num_nodes": 2,
        "num_envs": 1,
        "push_interval": 20,
        "hidden_sizes": (16,),
        "lr_schedule": "constant",
        **SETTINGS[algo],
        **changes,
    }


def start_agent(cluster: Cluster, algo: str = "a3c", **changes) -> Clustered:
    return make_algorithm(make_config({"total_steps": 10**9, **settings(cluster, algo, **changes)}))


def play_until(agent: Clustered, happened: Callable[[], bool]) -> list[dict]:
    """Metrics of the updates until something has happened."""
    metrics, deadline = [], time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline
        metrics.append(agent.update())
    return metrics


def processes_of_runs() -> dict[int, psutil.Process]:
    """Actors, and the worker processes that they have started, by id."""
    found = {}
    for process in psutil.process_iter():
        try:
            if re.search(r"ray::(\w+Bundle|ParameterServer)", name_of(process)):
                found.update({child.pid: child for child in [process, *process.children(recursive=True)]})
        except psutil.Error:
            continue
    return found


def name_of(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


def actor_named(name: str) -> psutil.Process:
    return next(process for process in processes_of_runs().values() if f"ray::{name}" in name_of(process))


def assert_all_end(processes: dict[int, psutil.Process]) -> None:
    assert processes
    _, alive = psutil.wait_procs(processes.values(), timeout=PATIENCE)
    assert not alive


@pytest.mark.slow
@both
def test_a_run_on_two_nodes_is_like_any_other_and_goes_on_with_another_number_of_nodes(cluster, tmp_path, algo):
    changes = {"num_servers": 2, "push_dtype": "float16", "normalize_observations": True, "normalize_rewards": True}
    changes = {**settings(cluster, algo, **changes), "lr_schedule": "step"}
    summary = quick_run(tmp_path / "run", 6_000, **changes)
    assert summary["stopped_by"] == "total_steps" and summary["env_steps"] >= 6_000
    assert summary["eval_mean_return"] is not None
    with (tmp_path / "run" / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    measured = ("staleness", "staleness_max", "late_pushes", "bytes_per_second", "pushes_per_second")
    tags = [f"cluster/{name}" for name in (*measured, *(["outliers"] if algo == "dqn" else []))]
    for tag in [*tags, "nodes/steps_0", "nodes/steps_1"]:
        assert any(row[tag] for row in rows), tag
    state = load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]
    assert sum(state["node_steps"]) == summary["env_steps"]
    for moments in (state["encoder"], state["rewards"]):
        assert moments["count"] == summary["env_steps"]  # each row of each bundle once
    assert (state["optimizer"]["mean_square"] != 1).any()
    starts = state["starts"]

    summary = resume(str(tmp_path / "run"), {"total_steps": 9_000, "num_nodes": 1}, progress=False)
    assert summary["env_steps"] >= 9_000
    state = load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]
    assert state["starts"] == [starts[0] + 1]
    assert sum(state["node_steps"]) == state["env_steps"] == summary["env_steps"]


@pytest.mark.slow
@pytest.mark.parametrize("num_servers", [1, 2])
def test_the_first_shard_is_on_the_node_of_the_run_and_each_other_on_another(cluster, num_servers):
    with start_agent(cluster, num_servers=num_servers) as agent:
        play_until(agent, lambda: (agent._node_steps > 0).all())
        parents = {process.ppid() for process in processes_of_runs().values() if "ParameterServer" in name_of(process)}
    raylets = [node.all_processes["raylet"][0].process.pid for node in (cluster.head_node, *cluster.worker_nodes)]
    assert parents == set(raylets[:num_servers])


@pytest.mark.slow
def test_more_shards_than_nodes_are_one_line(cluster):
    with pytest.raises(ConfigError, match=r"^--num-servers 3: the cluster has only 2 nodes, for one each$"):
        start_agent(cluster, num_servers=3)


@pytest.mark.slow
def test_a_lost_node_is_dropped_and_one_that_joins_later_takes_its_place(cluster, caplog):
    lost = cluster.add_node(**NODE)
    with start_agent(cluster, num_nodes=3, min_nodes=2, node_timeout=20) as agent:
        play_until(agent, lambda: (agent._node_steps > 0).all())
        on_lost = next(index for index, b in agent._nodes._bundles.items() if b.node.id == lost.node_id)
        cluster.remove_node(lost, allow_graceful=False)
        play_until(agent, lambda: on_lost not in agent._nodes._bundles)
        before = agent._node_steps.copy()
        play_until(agent, lambda: (np.delete(agent._node_steps - before, on_lost) > 0).all())
        assert on_lost not in agent._nodes._bundles
        joined = cluster.add_node(**NODE)
        before = agent._node_steps.copy()
        play_until(agent, lambda: agent._node_steps[on_lost] > before[on_lost])
        assert agent._nodes.starts[on_lost] == 2
        assert agent._nodes._bundles[on_lost].node.id == joined.node_id
    assert f"bundle {on_lost} on node" in caplog.text and "was lost" in caplog.text
    cluster.remove_node(joined)


@pytest.mark.slow
def test_too_few_nodes_end_the_run_with_a_checkpoint(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(nodes_module, "JOIN_TIMEOUT", 0.5)

    real, killed = nodes_module.NodePool.receive, []

    def kill_once(pool, timeout):
        if pool.is_ready and not killed:
            killed.append(pool._bundles[0].remote.kill())
            pool._cluster.nodes = list
        return real(pool, timeout)

    monkeypatch.setattr(nodes_module.NodePool, "receive", kill_once)
    with pytest.raises(WorkerDiedError, match=r"the run has 1 nodes, and needs 2 \(min_nodes\)"):
        quick_run(tmp_path / "run", 10**6, **settings(cluster, lr_schedule="step"))
    assert RunFolder(tmp_path / "run").read_summary()["stopped_by"] == "error"
    assert load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]["env_steps"] > 0


@pytest.mark.slow
@both
def test_a_stopped_bundle_is_replaced(cluster, caplog, algo):
    with start_agent(cluster, algo, num_nodes=1, node_timeout=4) as agent:
        play_until(agent, lambda: agent.env_steps > 0)
        os.kill(actor_named(agent.bundle_class.__name__).pid, signal.SIGSTOP)
        play_until(agent, lambda: agent._nodes.starts == [2])
        before = agent.env_steps
        play_until(agent, lambda: agent.env_steps > before)
    assert "bundle 0 on node" in caplog.text and "did not answer within" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(("algo", "shard"), [("a3c", 0), ("a3c", 1), ("dqn", 0)])
def test_a_lost_parameter_server_is_restored_and_the_bundles_find_it(cluster, caplog, monkeypatch, algo, shard):
    monkeypatch.setattr(clustered, "SNAPSHOT_SECONDS", 1e9)
    with start_agent(cluster, algo, num_servers=2) as agent:
        play_until(agent, lambda: (agent._node_steps > 0).all())
        agent.state_dict()  # takes a snapshot
        steps = agent.env_steps
        play_until(agent, lambda: agent.env_steps > steps + 1_000)
        agent._servers._servers[shard].kill()
        seen, counts = [agent.env_steps], agent._node_steps.copy()
        play_until(agent, lambda: seen.append(agent.env_steps) or (agent._node_steps > counts + 1_000).all())
        before = agent.policy.parameters.vector.copy()
        assert seen == sorted(seen)  # although the snapshot knew of fewer steps
        assert agent._nodes.starts == [1, 1]
        counts = agent._node_steps.copy()
        play_until(agent, lambda: (agent._node_steps > counts + 1_000).all())
        part = partition(len(before), 2)[shard]
        assert (agent.policy.parameters.vector[part] != before[part]).any()
    assert f"parameter-server-{shard} was lost" in caplog.text


@pytest.mark.slow
def test_a_stopped_parameter_server_is_restored_and_takes_no_bundle_with_it(cluster, caplog):
    with start_agent(cluster, node_timeout=3) as agent:
        play_until(agent, lambda: (agent._node_steps > 0).all())
        os.kill(actor_named("ParameterServer").pid, signal.SIGSTOP)
        counts = agent._node_steps.copy()
        play_until(agent, lambda: (agent._node_steps > counts + 1_000).all())
        assert agent._nodes.starts == [1, 1]
    assert "parameter-server-0 was lost (did not answer within 3 s)" in caplog.text


@pytest.mark.slow
def test_a_parameter_server_lost_during_an_evaluation_is_restored_and_training_goes_on(cluster, caplog):
    with start_agent(cluster) as agent:
        play_until(agent, lambda: (agent._node_steps > 0).all())
        agent._servers._servers[0].kill()
        counts, deadline = agent._node_steps.copy(), time.monotonic() + PATIENCE
        while not (agent._node_steps > counts + 1_000).all():
            assert time.monotonic() < deadline
            agent.check()  # an evaluation calls nothing else
        assert agent._nodes.starts == [1, 1]
    assert "parameter-server-0 was lost" in caplog.text


@pytest.mark.slow
def test_a_parameter_server_lost_after_its_bundles_have_finished_gets_the_missing_steps_from_new_ones(
    cluster, caplog, monkeypatch
):
    monkeypatch.setattr(clustered, "SNAPSHOT_SECONDS", 1e9)
    with start_agent(cluster, total_steps=3_000) as agent, monkeypatch.context() as without_status:
        without_status.setattr(clustered, "STATUS_SECONDS", 1e9)
        agent.update()
        deadline = time.monotonic() + PATIENCE
        while not all(bundle.is_finished for bundle in agent._nodes._bundles.values()):
            assert time.monotonic() < deadline
            agent._nodes.receive(0.1)
        agent._servers._servers[0].kill()
        without_status.undo()
        play_until(agent, lambda: agent.is_done)
        assert agent.env_steps >= 3_000
        assert max(agent._nodes.starts) == 2
    assert "the parameter server has lost some of its steps: a new one starts" in caplog.text


@pytest.mark.slow
def test_when_the_driver_is_killed_nothing_is_left(cluster, tmp_path):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings(cluster, hidden_sizes=16).items()]
    command = [sys.executable, "tools/train.py", *flags, f"--run-dir={tmp_path}/run", "--total-steps=1000000000"]
    with subprocess.Popen([*command, "--log-interval=1000"], cwd=ROOT, stdout=subprocess.DEVNULL) as driver:
        table, deadline = tmp_path / "run" / "progress.csv", time.monotonic() + PATIENCE
        while not (table.exists() and table.read_text().count("\n") > 2):  # it trains
            assert time.monotonic() < deadline and driver.poll() is None
            time.sleep(0.1)
        processes = processes_of_runs()
        assert sum("ray::" not in " ".join(process.cmdline()) for process in processes.values()) >= 2  # workers
        driver.kill()
    assert_all_end(processes)
    assert load_checkpoint(RunFolder(tmp_path / "run").latest)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_stop_signal_ends_the_command_with_its_code_and_the_run_goes_on(cluster, tmp_path, number, code):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings(cluster, hidden_sizes=16).items()]
    command = [sys.executable, "tools/train.py", *flags, f"--run-dir={tmp_path}/run", "--total-steps=1000000000"]
    with subprocess.Popen([*command, "--log-interval=1000"], cwd=ROOT, stdout=subprocess.DEVNULL) as driver:
        table, deadline = tmp_path / "run" / "progress.csv", time.monotonic() + PATIENCE
        while not (table.exists() and table.read_text().count("\n") > 2):
            assert time.monotonic() < deadline and driver.poll() is None
            time.sleep(0.1)
        processes = processes_of_runs()
        driver.send_signal(number)
        assert driver.wait(PATIENCE) == code
    assert_all_end(processes)
    steps = load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]["env_steps"]
    assert steps > 0
    summary = resume(str(tmp_path / "run"), {"total_steps": steps + 2_000, "eval_episodes": 1}, progress=False)
    assert summary["env_steps"] >= steps + 2_000 and summary["stopped_by"] == "total_steps"


@pytest.mark.slow
@pytest.mark.parametrize(("algo", "place"), [("a3c", "worker 0"), ("dqn", "environment 0")])
def test_an_environment_that_fails_on_a_node_ends_the_run(cluster, algo, place):
    with (
        start_agent(cluster, algo, num_nodes=1, env=f"tests.environments:{misbehaving_id('raise in step')}") as agent,
        pytest.raises((EnvironmentFailedError, WorkerFailedError), match=place),
    ):
        play_until(agent, lambda: False)


@pytest.mark.slow
def test_the_cause_of_a_failed_creation_is_reported_and_other_errors_are_not_retried(cluster, monkeypatch):
    with closing(cluster_module.Cluster(cluster.address)) as connection:
        remote = connection.create(ParameterServer, None, 1.0, node=connection.here)  # a state is missing
        with pytest.raises(LostError, match="could not be created: AttributeError: 'NoneType' object has no attribute"):
            remote.start("status").result(PATIENCE)
        monkeypatch.setattr(cluster_module.time, "sleep", lambda seconds: pytest.fail("it was tried again"))
        for name in (None, "unique"):
            with pytest.raises(ValueError, match="num_cpus"):
                connection.create(ParameterServer, None, 1.0, node=connection.here, num_cpus=-1, name=name)
        monkeypatch.undo()
        monkeypatch.setattr(cluster_module, "CREATE_TIMEOUT", 0.0)
        counts = np.zeros(1, np.int64)
        state = ServerState(np.zeros(1, np.float32), counts, counts)
        kept = connection.create(ParameterServer, state, 1.0, node=connection.here, name="taken")
        kept.start("status").result(PATIENCE)
        with pytest.raises(WorkerDiedError, match=r"^taken did not end within 0 s$"):
            connection.create(ParameterServer, state, 1.0, node=connection.here, name="taken")


@pytest.mark.slow
@both
def test_late_pushes_are_dropped_and_counted(cluster, algo):
    seen, deadline = [], time.monotonic() + PATIENCE
    with start_agent(cluster, algo, max_staleness=0, push_interval=1) as agent:
        while set(seen) != {False, True}:
            assert time.monotonic() < deadline
            seen += agent.update().get("cluster/late_pushes", [])
        assert agent.num_updates > 0


@pytest.mark.parametrize(("changes", "number"), [({}, 30), ({"max_staleness": 2}, 2)])
@pytest.mark.parametrize("kind", [ClusterA3C, ClusterDQN])
def test_server_drops_pushes_of_more_than_ten_times_the_nodes_by_default(kind, changes, number):
    algo = {ClusterA3C: "a3c", ClusterDQN: "dqn"}[kind]
    config = make_config({"algo": algo, "cluster": "auto", "num_nodes": 3, **changes})
    spaces = probe_spaces(training_env_fns(config, 1)[0])
    with kind(config, *spaces, cluster=SimpleNamespace(close=lambda: None)) as agent:
        assert agent.max_staleness == agent._servers._max_staleness == number


def test_network_with_a_recurrent_state_is_rejected_for_dqn_before_a_bundle_starts():
    config = make_config(
        {"algo": "dqn", "cluster": "auto", "network": "tests.own_networks:Remembering", "dueling": True}
    )
    spaces = probe_spaces(training_env_fns(config, 1)[0])
    with pytest.raises(ConfigError, match="takes no network with a recurrent state"):
        ClusterDQN(config, *spaces, cluster=SimpleNamespace(close=lambda: None))


@pytest.mark.parametrize(("vec", "number"), [("serial", 1), ("subproc", 2), ("ray", 1)])
def test_bundle_of_dqn_needs_a_processor_for_each_worker_on_its_node(vec, number):
    config = make_config({"algo": "dqn", "cluster": "auto", "num_envs": 4, "num_workers": 2, "vec": vec})
    spaces = probe_spaces(training_env_fns(config, 1)[0])
    with ClusterDQN(config, *spaces, cluster=SimpleNamespace(close=lambda: None)) as agent:
        assert agent.num_cpus == agent._nodes._num_cpus == number


class Servers:
    """Shards whose counters a test sets."""

    def __init__(self, agent: Clustered, steps: int = 0):
        self.vector = agent._vector + 1
        self.state = ServerState(self.vector, np.array([steps]), np.array([steps]), agent._moments)
        self.told = Status(np.array([steps]), np.array([steps]), 0, 0, [], [], {})

    def status(self):
        return self.told

    def snapshot(self):
        return self.vector, self.state

    def pull(self):
        return self.vector, self.state.moments


def agent_without_a_cluster() -> ClusterA3C:
    config = make_config({"algo": "a3c", "cluster": "auto", "hidden_sizes": (8,), "num_workers": 1})
    spaces = probe_spaces(training_env_fns(config, 1)[0])
    agent = ClusterA3C(config, *spaces, cluster=SimpleNamespace(close=lambda: None))
    agent._has_started = True
    return agent


def test_metrics_have_each_push_once_however_often_the_server_is_asked(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(clustered.time, "monotonic", lambda: clock[0])
    with agent_without_a_cluster() as agent:
        agent._servers = servers = Servers(agent)
        agent._rates_at = clock[0]
        for steps, pushes, staleness, late in ((10, 3, [1.0, 4.0], [False, True]), (20, 5, [2.0], [False])):
            servers.told = Status(np.array([steps]), np.array([steps]), pushes, 100 * pushes, staleness, late, {})
            agent._take_status()
        clock[0] += 2.0
        servers.told = Status(np.array([20]), np.array([20]), 8, 800, [], [], {})
        agent._take_status()
        metrics = agent._server_metrics()
        assert metrics["cluster/staleness"] == [1.0, 4.0, 2.0] and metrics["cluster/staleness_max"] == 4.0
        assert metrics["cluster/late_pushes"] == [False, True, False]
        assert metrics["cluster/pushes_per_second"] == 4.0 and metrics["cluster/bytes_per_second"] == 400.0
        assert metrics["nodes/steps_0"] == 20
        assert agent._server_metrics() == {"cluster/staleness": [], "cluster/late_pushes": []}
        clock[0] += 2.0
        servers.told = Status(np.array([25]), np.array([25]), 1, 100, [0.0], [False], {})  # of a restored server
        agent._take_status()
        metrics = agent._server_metrics()
        assert metrics["cluster/staleness"] == [0.0] and metrics["nodes/steps_0"] == 25
        assert not any(tag.endswith("per_second") for tag in metrics)


def test_a_checkpoint_has_parameters_and_counters_of_the_same_moment():
    with agent_without_a_cluster() as agent:
        agent._nodes, agent._servers = (
            SimpleNamespace(call_ready=lambda method: [], close=lambda: None),
            Servers(agent, 5),
        )
        agent._nodes.starts, agent._nodes.is_finished = [1], False
        state = agent.state_dict()
        assert (state["env_steps"], state["node_steps"], state["node_updates"]) == (5, [5], [5])


def test_any_error_of_a_bundle_while_the_run_finishes_leaves_the_state_to_be_saved(caplog):
    class Nodes:
        starts, is_finished = [1], False

        def receive(self, timeout):
            self.is_finished = True
            raise KeyError("of the environment")

        def ask_to_finish(self): ...

        def call_ready(self, method):
            return []

        def close(self): ...

    with agent_without_a_cluster() as agent:
        agent._nodes, agent._servers = Nodes(), Servers(agent, 7)
        assert [metrics["charts/episode_return"] for metrics in agent.finish()] == [[]]
        assert agent.state_dict()["env_steps"] == 7
        assert (agent.policy.parameters.vector == agent._servers.vector).all()
    assert "while the bundles finish: 'of the environment'" in caplog.text


@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_a_port_that_there_cannot_be_is_one_line(port):
    with pytest.raises(ConfigError, match=f"^--cluster 127.0.0.1:{port}: give auto or host:port with a port from 1 to"):
        cluster_module.Cluster(f"127.0.0.1:{port}")


def test_an_unusable_address_is_one_line(monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_TIMEOUT", 1.0)
    with pytest.raises(ConfigError, match=r"^--cluster 127\.0\.0\.1:1 does not answer \(.*refused\); start a cluster"):
        cluster_module.Cluster("127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"^--cluster here: give auto or host:port"):
        cluster_module.Cluster("here")


def test_missing_ray_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"^--cluster needs ray: pip install ray$"):
        cluster_module.Cluster("auto")


@pytest.mark.slow
def test_too_few_nodes_are_one_line_and_leave_no_run(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(nodes_module, "NODES_TIMEOUT", 0.1)
    with pytest.raises(ConfigError, match=r"the cluster has 2 nodes with 1 CPUs.*--min-nodes"):
        quick_run(tmp_path / "run", 1_000, **settings(cluster, num_nodes=3, lr_schedule="step"))
    assert not (tmp_path / "run").exists()
    assert not ray.is_initialized()


@pytest.mark.slow
def test_signal_handlers_and_logging_stay_as_they_were(cluster):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    handlers = list(logging.getLogger().handlers)
    with start_agent(cluster):
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    assert logging.getLogger().handlers == handlers


@both
def test_environment_of_a_script_is_rejected_before_the_cluster_is_asked(algo):
    config = make_config({"algo": algo, "cluster": "127.0.0.1:1", "env": "__main__:MyEnv"})
    with pytest.raises(
        ConfigError, match=r"^--cluster: __main__:MyEnv must be in a module that every node can import$"
    ):
        make_algorithm(config)


def test_benchmark_of_a_cluster_is_rejected():
    config = make_config({"algo": "a3c", "cluster": "127.0.0.1:1"})
    with pytest.raises(ConfigError, match=r"benchmarks/cluster\.py measures clusters"):
        benchmark(config, rounds=1, seconds=0.1)
