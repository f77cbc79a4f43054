"""Environments in workers on a Ray cluster: the contract of SubprocVecEnv, faults, and what is left behind."""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple

from multiprocessing_env import (
    EnvironmentFailedError,
    SubprocVecEnv,
    VecEnvError,
    WorkerDiedError,
    WorkerTimeoutError,
)
from paddle_ac.config import make_config
from paddle_ac.envs.make import make_training_envs
from paddle_ac.envs.remote import RayVecEnv, spread
from paddle_ac.errors import ConfigError
from paddle_ac.processes import cluster as cluster_module
from paddle_ac.processes.cluster import Node
from paddle_ac.training.runs import resume
from tests.environments import Counting, Misbehaving, RandomWalk, misbehaving_id
from tests.paths import ROOT
from tests.short_runs import assert_same_run, quick_run
from tests.unit import test_multiprocessing_env as of_envs
from tests.unit import test_vecenv_surface as of_surface

ray = pytest.importorskip("ray")
from ray.cluster_utils import Cluster  # noqa: E402

from tests.ray_nodes import NODE, two_nodes  # noqa: E402

pytestmark = pytest.mark.slow

PATIENCE = 60  # seconds until something must have happened


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes of one CPU."""
    with two_nodes() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def connection(cluster) -> Iterator[cluster_module.Cluster]:
    """A connection of this process, which all environments of this file use."""
    connection = cluster_module.Cluster(cluster.address)
    yield connection
    connection.close()


def on_ray(env_fns, *arguments, **options):
    """All environments in one worker, which starts faster than several."""
    return RayVecEnv(env_fns, *arguments, **{"in_series": max(len(env_fns), 1), **options})


def processes_of_workers() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if "ray::RemoteEnvs" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


# ------------------------------------------------------------------------------------------ the contract of the others


class Parts(RandomWalk):
    """Observes a Dict with an image and a Tuple."""

    def __init__(self):
        super().__init__()
        self.observation_space = Dict(
            image=Box(0, 255, (84, 84, 4), np.uint8), pair=Tuple([Box(-9, 9, (2,)), Discrete(7)])
        )

    def _observe(self):
        image = self.np_random.integers(0, 255, (84, 84, 4)).astype(np.uint8)
        return {"image": image, "pair": (self.np_random.random(2, np.float32), self.np_random.integers(7))}


@pytest.mark.parametrize(
    ("make_env", "num_steps"),
    [
        (RandomWalk, 60),
        (functools.partial(RandomWalk, np.uint8, (8, 8, 3)), 20),
        (functools.partial(RandomWalk, spaces="continuous"), 20),
        (Parts, 20),
    ],
    ids=["vectors", "images", "continuous actions", "parts"],
)
def test_actors_answer_step_for_step_as_processes_do(connection, make_env, num_steps):
    env_fns, generator = [make_env] * 4, np.random.default_rng(0)
    with SubprocVecEnv(env_fns, in_series=4) as local, RayVecEnv(env_fns, in_series=2) as far:
        local.seed(5), far.seed(5)
        np.testing.assert_equal(local.reset(), far.reset())
        num_dones = 0
        for _ in range(num_steps):
            shape = (4, *local.action_space.shape)
            actions = generator.random(shape) if local.action_space.dtype.kind == "f" else generator.integers(4, size=4)
            expected, found = local.step(actions), far.step(actions)
            np.testing.assert_equal(expected, found)
            assert [part.dtype for part in expected[1:3]] == [part.dtype for part in found[1:3]]
            num_dones += expected[2].sum()
        np.testing.assert_equal(local.reset_infos, far.reset_infos)
        assert num_dones > 3


def unwrapped(test, **arguments):
    return pytest.param(functools.partial(test, **arguments), id="-".join([test.__name__, *arguments.values()]))


@pytest.mark.parametrize(
    "contract",
    [
        unwrapped(of_envs.test_a_finished_environment_is_reset_at_once_and_tells_how_it_ended),
        unwrapped(of_envs.test_what_was_returned_does_not_change_in_the_next_step),
        unwrapped(of_envs.test_seeds_attributes_methods_and_pictures_reach_every_environment),
        unwrapped(of_envs.test_environments_of_old_gym_with_four_results_work),
        unwrapped(of_envs.test_a_part_of_an_unsupported_kind_is_named),
        unwrapped(of_envs.test_environments_with_other_spaces_than_the_first_are_refused),
        unwrapped(of_envs.test_attributes_and_images_wait_for_a_pending_step),
        unwrapped(of_envs.test_an_attribute_that_is_not_there_breaks_nothing),
        unwrapped(of_envs.test_too_few_actions_are_refused),
        unwrapped(of_envs.test_an_observation_of_the_wrong_shape_is_an_error_not_a_broadcast),
        *(
            unwrapped(
                of_envs.test_an_environment_that_raises_is_reported_with_its_traceback_index_and_action,
                operation=operation,
                said=said,
            )
            for operation, said in (("__init__", "no display"), ("reset", "level file"), ("step", "wheel came off"))
        ),
        unwrapped(of_surface.test_index_counts_from_either_end_and_out_of_range_is_an_index_error),
        unwrapped(of_surface.test_missing_attribute_is_an_attribute_error_that_names_the_environment),
    ],
)
def test_contract_of_vectorised_environments_holds_on_ray(connection, contract):
    contract(make_vec_env=on_ray)


class Locked(Counting):
    """Its infos hold a lock, which cannot be pickled."""

    def step(self, action):
        *result, info = super().step(action)
        return *result, {**info, "lock": threading.Lock()}

    def make_lock(self):
        return threading.Lock()


def test_info_that_cannot_be_pickled_arrives_as_unsent_value_and_closures_travel(connection):
    class Local(Locked):
        """Not importable on a node."""

    with on_ray([lambda: Local(truncate_at=2)] * 2) as envs:
        envs.reset()
        for _ in range(2):
            infos = envs.step([1, 2])[3]
        assert [info["lock"].type_name for info in infos] == ["lock", "lock"] and infos[0]["count"] == 2
        with pytest.raises(EnvironmentFailedError, match=r"environment 1 failed in make_lock: .*cannot pickle"):
            envs.env_method("make_lock", indices=1)
        assert envs.step([1, 2])[1].tolist() == [1, 2], "nothing is broken"


# --------------------------------------------------------------------------------------------------------------- faults


def test_worker_that_is_killed_is_named(connection):
    envs = RayVecEnv([Counting, functools.partial(Misbehaving, "killed")])
    envs.reset()
    with pytest.raises(WorkerDiedError, match=r"^worker 1 \(environment 1\) on node [\d.]+ was lost: .*actor died"):
        for _ in range(3):
            envs.step([0, 0])
    with pytest.raises(VecEnvError, match="closed"):
        envs.reset()


@pytest.mark.parametrize("fault", ["stuck", "stuck with Python's lock"])
def test_stuck_worker_is_named_when_its_time_is_up_and_its_process_ends(connection, fault):
    envs = on_ray([Counting, functools.partial(Misbehaving, fault)], step_timeout=0.5)
    envs.reset()
    processes = processes_of_workers()
    with pytest.raises(
        WorkerTimeoutError, match=r"^worker 0 \(environments 0 to 1\) on node [\d.]+ gave no answer within 0.5 s"
    ):
        for _ in range(3):
            envs.step([0, 0])
    assert processes and not psutil.wait_procs(processes, timeout=PATIENCE)[1]


class Interrupted(Counting):
    def step(self, action):
        raise KeyboardInterrupt


def test_interrupt_that_an_environment_raises_is_a_failure_of_it(connection):
    envs = on_ray([Interrupted])
    envs.reset()
    with pytest.raises(EnvironmentFailedError, match=r"^environment 0 failed in step with action 1: Keyboard"):
        envs.step([1])


class SlowToClose(Counting):
    def close(self):
        time.sleep(3600)


def test_environment_that_does_not_close_is_ended(connection, caplog):
    envs = on_ray([SlowToClose], close_timeout=0.2)
    processes = processes_of_workers()
    envs.close()
    assert "did not close within 0.2 s (close_timeout) and was killed" in caplog.text
    assert processes and not psutil.wait_procs(processes, timeout=PATIENCE)[1]


def test_lost_node_is_named(cluster, connection):
    lost = cluster.add_node(**NODE)
    envs = RayVecEnv([Counting] * 3)
    envs.reset()
    cluster.remove_node(lost, allow_graceful=False)
    with pytest.raises(WorkerDiedError, match=r"^worker \d \(environment \d\) on node [\d.]+ was lost: "):
        for _ in range(1_000):
            envs.step([0, 0, 0])
    deadline = time.monotonic() + PATIENCE
    while len(connection.nodes()) > 2:  # later tests place no worker on it
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_environment_that_a_node_cannot_import_is_one_line(connection, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("from tests.environments import Counting\nclass Env(Counting): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = make_config({"algo": "a2c", "env": "only_here:Env", "vec": "ray", "num_envs": 1})
    with pytest.raises(ConfigError, match=r"^environment 'only_here:Env': No module named 'only_here'$"):
        make_training_envs(config)


@pytest.fixture
def unconnected(monkeypatch) -> None:
    """A process that is not connected to Ray."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)


def test_address_that_does_not_answer_is_one_line(unconnected, monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_TIMEOUT", 1.0)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"^--vec ray with RAY_ADDRESS=127\.0\.0\.1:1 does not answer \(.*refused\)"):
        RayVecEnv([Counting])
    monkeypatch.setenv("RAY_ADDRESS", "ray://10.0.0.1")
    with pytest.raises(ConfigError, match=r"^--vec ray with RAY_ADDRESS=ray://10\.0\.0\.1: give auto or host:port"):
        RayVecEnv([Counting])


def test_address_that_never_answers_has_a_deadline(unconnected, monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_TIMEOUT", 0.1)
    released = threading.Event()
    monkeypatch.setattr(ray, "init", lambda **_: released.wait(PATIENCE))
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    ended = []
    monkeypatch.setattr(ray, "shutdown", lambda: ended.append(True))
    message = r"^--vec ray with RAY_ADDRESS=auto: no Ray cluster answers within 0\.1 s; .* RAY_AUTH_MODE=token$"
    with pytest.raises(ConfigError, match=message):
        RayVecEnv([Counting])
    (connecting,) = [thread for thread in threading.enumerate() if thread.name == "ray" and thread.is_alive()][-1:]
    released.set()
    connecting.join(PATIENCE)
    assert ended, "a connection that comes too late is closed"


def test_missing_ray_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"^--vec ray needs ray: pip install ray$"):
        RayVecEnv([Counting])


# ---------------------------------------------------------------------------------------------- nodes, connection, runs


def test_workers_are_spread_in_proportion_to_the_cpus():
    large, small, head = Node("large", "10.0.0.2", 4.0), Node("small", "10.0.0.3", 2.0), Node("head", "10.0.0.1", 0.0)
    assert [node.id for node in spread([head, small, large], 6)].count("large") == 4
    assert {node.id for node in spread([head, small, large], 2)} == {"large", "small"}
    assert {node.id for node in spread([head], 2)} == {"head"}


def test_workers_run_on_every_node_with_the_threads_and_seeds_of_processes(connection):
    with RayVecEnv([Placed] * 2, seed=7) as far, SubprocVecEnv([Placed] * 2, seed=7) as local:
        assert set(far.env_method("node")) == {node.id for node in connection.nodes()}
        assert far.env_method("num_threads") == ["1", "1"]
        assert far.env_method("draw") == local.env_method("draw"), "global generators have the same seeds"


class Placed(Counting):
    def node(self):
        return ray.get_runtime_context().get_node_id()

    def num_threads(self):
        return os.environ["OMP_NUM_THREADS"]

    def draw(self):
        return np.random.random(), random.random()


def test_connection_of_the_user_stays_open(connection):
    on_ray([Counting]).close()
    assert ray.is_initialized()


LOCAL_SCRIPT = """
    import functools, psutil, ray
    from paddle_ac.envs.remote import RayVecEnv
    from tests.environments import Misbehaving
    envs = RayVecEnv([functools.partial(Misbehaving, {fault!r}, at_step=1)] * 2, in_series=2)
    others = RayVecEnv([functools.partial(Misbehaving, "")])
    envs.reset(), others.reset()
    if {fault!r}:
        envs.step_async([0, 0])
    print("ready", *(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
    if {fault!r}:
        input()
    envs.close()
    print(others.step([3])[1].tolist(), flush=True)
    others.close()
    print(ray.is_initialized(), flush=True)
"""


def start_script(fault: str) -> tuple[subprocess.Popen, list[psutil.Process]]:
    """Start it without an address, so that a Ray of its own starts; returns it and all the processes of that."""
    script = textwrap.dedent(LOCAL_SCRIPT.format(fault=fault))
    env = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    ready, *pids = process.stdout.readline().split()
    assert ready == "ready" and len(pids) > 3
    return process, [psutil.Process(int(pid)) for pid in pids if psutil.pid_exists(int(pid))]


def test_local_ray_is_shared_and_ends_with_the_last_environments():
    process, children = start_script("")
    output, _ = process.communicate(timeout=PATIENCE)
    assert output == "[3.0]\nFalse\n" and process.returncode == 0
    assert not psutil.wait_procs(children, timeout=5)[1]


def test_local_ray_and_a_stuck_environment_end_when_the_parent_is_killed():
    process, children = start_script("stuck with Python's lock")
    stuck = [child for child in children if child in processes_of_workers()]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert stuck and not psutil.wait_procs(stuck, timeout=20)[1]
    assert not psutil.wait_procs(children, timeout=150)[1]  # Ray's agents look for its other processes for a minute


def test_run_on_ray_is_that_of_processes_also_when_resumed(connection, tmp_path):
    quick_run(tmp_path / "local", 2_100, vec="subproc", num_workers=2, eval_episodes=1)
    quick_run(tmp_path / "far", 1_000, vec="ray", num_workers=2, eval_episodes=1)
    resume(str(tmp_path / "far"), {"total_steps": 2_100}, progress=False)
    assert_same_run(tmp_path / "local", tmp_path / "far")


def test_error_of_an_environment_ends_a_run_on_ray_as_elsewhere(connection, tmp_path):
    env = f"tests.environments:{misbehaving_id('raise in step')}"
    with pytest.raises(
        EnvironmentFailedError, match=r"^environment \d failed in step with action \d: RuntimeError: the wheel"
    ):
        quick_run(tmp_path / "run", 1_000, env=env, vec="ray", num_envs=1)
