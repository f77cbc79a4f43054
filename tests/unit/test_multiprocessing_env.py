"""Vectorised environments: the same answers from one process and from many, whatever the environment is or does."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import gymnasium
import numpy as np
import psutil
import pytest

import multiprocessing_env
from multiprocessing_env import (
    Channel,
    DummyVecEnv,
    EnvironmentFailedError,
    SubprocVecEnv,
    VecEnvError,
    WorkerDiedError,
    WorkerTimeoutError,
    tile_images,
)
from tests.environments import Asking, Counting, Misbehaving, OldGym, RandomWalk

BOTH = pytest.mark.parametrize("make_vec_env", [DummyVecEnv, SubprocVecEnv], ids=["dummy", "subproc"])


@pytest.mark.parametrize("in_series", [1, 2, 4])
@pytest.mark.parametrize("dtype,shape", [(np.float32, (3,)), (np.float64, (2, 2)), (np.uint8, (8, 8, 3))])
def test_workers_answer_step_for_step_as_one_process_does(in_series, dtype, shape):
    env_fns = [functools.partial(RandomWalk, dtype, shape)] * 4
    generator = np.random.default_rng(0)
    with DummyVecEnv(env_fns) as serial, SubprocVecEnv(env_fns, in_series=in_series) as parallel:
        serial.seed(5), parallel.seed(5)
        np.testing.assert_array_equal(serial.reset(), parallel.reset())
        num_dones = 0
        for _ in range(60):
            actions = generator.integers(4, size=4)
            (*expected, infos_expected), (*found, infos_found) = serial.step(actions), parallel.step(actions)
            for one, other in zip(expected, found, strict=True):
                assert one.dtype == other.dtype
                np.testing.assert_array_equal(one, other)
            np.testing.assert_equal(infos_expected, infos_found)
            num_dones += expected[2].sum()
        assert num_dones > 10
        assert expected[0].shape == (4, *shape) and expected[0].dtype == dtype


@pytest.mark.parametrize("spaces,shape", [("multi", (2,)), ("continuous", (2,))])
def test_actions_of_any_shape_arrive_whole(spaces, shape):
    env_fns = [functools.partial(RandomWalk, spaces=spaces)] * 2
    with DummyVecEnv(env_fns) as serial, SubprocVecEnv(env_fns, context="forkserver") as parallel:
        serial.seed(0), parallel.seed(0)
        serial.reset(), parallel.reset()
        actions = np.array([[0.5, 1], [1, -0.25]]) if spaces == "continuous" else np.array([[0, 3], [2, 1]])
        np.testing.assert_array_equal(serial.step(actions)[1], parallel.step(actions)[1])
        assert serial.action_space.shape == shape


@BOTH
def test_a_finished_environment_is_reset_at_once_and_tells_how_it_ended(make_vec_env):
    kinds = [{"terminate_at": 2}, {"truncate_at": 2}, {"terminate_at": 2, "truncate_at": 2}, {}]
    with make_vec_env([functools.partial(Counting, **kind) for kind in kinds]) as envs:
        envs.reset()
        envs.step(np.zeros(4, int))
        observations, rewards, dones, infos = envs.step(np.array([1, 2, 3, 4]))
    assert dones.tolist() == [True, True, True, False]
    assert rewards.tolist() == [1, 2, 3, 4] and rewards.dtype == np.float32
    assert observations[:, 1].tolist() == [0, 0, 0, 2]
    assert [info.get("TimeLimit.truncated") for info in infos] == [False, True, False, None]
    assert [info["terminal_observation"][1] for info in infos[:3]] == [2, 2, 2]
    assert "terminal_observation" not in infos[3] and infos[3]["count"] == 2


@BOTH
def test_what_was_returned_does_not_change_in_the_next_step(make_vec_env):
    with make_vec_env([Counting]) as envs:
        first = envs.reset()
        second, rewards, dones, _ = envs.step([1])
        envs.step([2])
        assert (first[0, 1], second[0, 1], rewards[0], dones[0]) == (0, 1, 1, False)


@BOTH
def test_seeds_attributes_methods_and_pictures_reach_every_environment(make_vec_env):
    with make_vec_env([Counting, Counting, Counting]) as envs:
        assert len(envs) == envs.num_envs == 3
        assert envs.seed(10) == [10, 11, 12]
        assert envs.reset()[:, 0].tolist() == [10, 11, 12]
        assert [info["seed_given"] for info in envs.reset_infos] == [10, 11, 12]
        envs.reset()
        assert [info["seed_given"] for info in envs.reset_infos] == [-1, -1, -1], "a seed serves one reset"
        envs.set_attr("count", 7, indices=[0, 2])
        assert envs.get_attr("count") == [7, 0, 7]
        assert envs.get_attr("count", indices=1) == [0]
        assert [image[0, 0, 0] for image in envs.env_method("render")] == [7, 0, 7]
        assert envs.render().shape == (4, 6, 3)
        assert envs.reset_task().tolist() == [[7, 14], [7, 7], [7, 14]]
        with pytest.raises(ValueError, match="rgb_array"):
            envs.render(mode="ascii")


def test_pictures_are_laid_out_row_by_row():
    images = [np.full((2, 3, 1), value, np.uint8) for value in (1, 2, 3)]
    assert tile_images(images)[::2, ::3, 0].tolist() == [[1, 2], [3, 0]]


@BOTH
def test_environments_of_old_gym_with_four_results_work(make_vec_env):
    with make_vec_env([OldGym]) as envs:
        envs.seed(3)
        assert envs.reset().tolist() == [[3, 0]]
        for _ in range(4):
            observations, _, dones, infos = envs.step([0])
        assert dones[0] and infos[0]["TimeLimit.truncated"] and observations.tolist() == [[3, 0]]
        assert infos[0]["terminal_observation"].tolist() == [3, 4]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("env_id,num_actions", [("CartPole-v0", 2), ("Acrobot-v1", 3)])
@BOTH
def test_the_closure_of_the_tutorial_around_classic_gym_works_unchanged(make_vec_env, env_id, num_actions):
    import gym

    def make_env():
        def _thunk():
            env = gym.make(env_id)
            return env

        return _thunk

    with make_vec_env([make_env() for _ in range(2)]) as envs:
        envs.seed(0)
        first = envs.reset()
        for _ in range(30):
            observations, rewards, dones, infos = envs.step(np.random.default_rng(0).integers(num_actions, size=2))
        assert np.isfinite(observations).all() and observations.shape == first.shape
        assert envs.action_space.n == num_actions


@BOTH
def test_a_part_of_an_unsupported_kind_is_named(make_vec_env):
    with pytest.raises(TypeError, match=r'observation\["question"\] space Text.*must be Box, Discrete, .* or a Tuple'):
        make_vec_env([Asking])


@pytest.mark.parametrize(
    "options,message",
    [
        ({"context": "fork"}, 'context must be "spawn" or "forkserver"'),
        ({"in_series": 2}, "in_series=2 must divide"),
        ({"in_series": 0}, "in_series=0 must divide"),
    ],
)
def test_options_that_cannot_be_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SubprocVecEnv([Counting] * 3, **options)


@BOTH
@pytest.mark.parametrize("env_fns,message", [([], "empty"), ([Counting()], r"env_fns\[0\].*a function")])
def test_lists_that_hold_no_functions_are_named(make_vec_env, env_fns, message):
    with pytest.raises(ValueError, match=message):
        make_vec_env(env_fns)


@BOTH
def test_environments_with_other_spaces_than_the_first_are_refused(make_vec_env):
    with pytest.raises(EnvironmentFailedError, match=r"environment 1 failed in __init__: its spaces are \(Box"):
        make_vec_env([Counting, RandomWalk])


@BOTH
def test_attributes_and_images_wait_for_a_pending_step(make_vec_env):
    with make_vec_env([Counting, Counting]) as envs:
        envs.reset()
        envs.step_async([1, 2])
        for call in (lambda: envs.get_attr("count"), envs.get_images):
            with pytest.raises(VecEnvError, match=r"call step_wait\(\) first"):
                call()
        assert envs.step_wait()[1].tolist() == [1, 2]


@BOTH
def test_an_attribute_that_is_not_there_breaks_nothing(make_vec_env):
    with make_vec_env([Counting, Counting]) as envs:
        envs.reset()
        with pytest.raises(EnvironmentFailedError, match="colour"):
            envs.get_attr("colour")
        assert envs.step([1, 2])[1].tolist() == [1, 2]


@BOTH
def test_too_few_actions_are_refused(make_vec_env):
    with make_vec_env([Counting, Counting]) as envs:
        envs.reset()
        with pytest.raises(ValueError, match=r"2 environments need actions of shape \(2,\), got \(1,\)"):
            envs.step([0])
        with pytest.raises(TypeError, match="float64"):
            envs.step([0.0, 1.0])  # an environment would take them for indices, or not


@BOTH
@pytest.mark.parametrize(
    "operation,said", [("__init__", "no display"), ("reset", "level file"), ("step", "wheel came off")]
)
def test_an_environment_that_raises_is_reported_with_its_traceback_index_and_action(make_vec_env, operation, said):
    env_fns = [Counting, functools.partial(Misbehaving, f"raise in {operation}")]
    with pytest.raises(EnvironmentFailedError, match=f"environment 1 failed in {operation}") as raised:
        envs = make_vec_env(env_fns)
        envs.reset()
        for _ in range(5):
            envs.step([1, 4])
    failure = raised.value
    assert (failure.env_index, failure.operation) == (1, operation)
    assert failure.action == (4 if operation == "step" else None)
    assert said in str(failure) and "environments.py" in str(failure) and "Traceback" in str(failure)


@BOTH
def test_an_observation_of_the_wrong_shape_is_an_error_not_a_broadcast(make_vec_env):
    with pytest.raises(EnvironmentFailedError, match=r"shape \(1,\), the observation space \(2,\)"):
        envs = make_vec_env([functools.partial(Misbehaving, "wrong shape")])
        envs.reset()
        for _ in range(3):
            envs.step([0])


def test_a_killed_worker_is_named_at_once():
    envs = SubprocVecEnv([Counting] * 3)
    envs.reset()
    worker = psutil.Process(envs._workers[1].process.pid)
    worker.kill()
    started = time.monotonic()
    with pytest.raises(WorkerDiedError, match=r"worker 1 \(environment 1\) was killed by SIGKILL"):
        envs.step(np.zeros(3, int))
    assert time.monotonic() - started < 5
    with pytest.raises(VecEnvError, match="closed"):
        envs.reset()


def test_a_worker_killed_in_the_middle_of_a_step_is_named():
    envs = SubprocVecEnv([Counting, functools.partial(Misbehaving, "killed")])
    envs.reset()
    with pytest.raises(WorkerDiedError, match=r"worker 1 .* was killed by SIGKILL"):
        for _ in range(3):
            envs.step([0, 0])


def test_a_stuck_worker_is_named_when_its_time_is_up():
    envs = SubprocVecEnv([Counting, functools.partial(Misbehaving, "stuck")], step_timeout=0.5)
    envs.reset()
    started = time.monotonic()
    with pytest.raises(WorkerTimeoutError, match=r"worker 1 \(environment 1\) gave no answer within 0.5 s"):
        for _ in range(3):
            envs.step([0, 0])
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("fault", "context"),
    [
        ("", "spawn"),
        ("", "forkserver"),
        ("stuck", "spawn"),
        ("stuck", "forkserver"),
        ("stuck with Python's lock", "spawn"),
    ],
)
def test_workers_end_by_themselves_when_the_parent_is_killed(fault, context):
    script = f"""
        import functools, numpy
        from multiprocessing_env import SubprocVecEnv
        from tests.environments import Misbehaving
        envs = SubprocVecEnv([functools.partial(Misbehaving, {fault!r}, at_step=1)] * 2, context={context!r})
        envs.reset()
        if {fault!r}:
            envs.step_async(numpy.zeros(2, int))
        print("ready", *(worker.process.pid for worker in envs._workers), flush=True)
        input()
    """
    parent = run_script(script)
    ready, *pids = parent.stdout.readline().split()
    assert ready == "ready"
    workers = [psutil.Process(int(pid)) for pid in pids]
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive


def test_ctrl_c_in_the_terminal_is_the_parents_alone():
    script = """
        from multiprocessing_env import SubprocVecEnv
        from tests.environments import Counting
        envs = SubprocVecEnv([Counting] * 2)
        envs.reset()
        try:
            print("ready", flush=True)
            input()
        except KeyboardInterrupt:
            print(envs.step([1, 2])[1].tolist(), flush=True)
            envs.close()
    """
    parent = run_script(script, start_new_session=True)
    assert parent.stdout.readline() == "ready\n"
    os.killpg(parent.pid, signal.SIGINT)
    output, errors = parent.communicate(timeout=20)
    assert output == "[1.0, 2.0]\n" and errors == ""


def test_a_script_needs_no_main_guard_and_workers_import_nothing_of_it():
    script = """
        import gymnasium, sys
        import paddle
        from multiprocessing_env import SubprocVecEnv

        class Telling(gymnasium.Env):
            observation_space = gymnasium.spaces.Discrete(2)
            action_space = gymnasium.spaces.Discrete(2)
            def reset(self, seed=None, options=None):
                return 0, {}
            def modules(self):
                return sorted(sys.modules)

        print("imported")
        envs = SubprocVecEnv([lambda: Telling()])
        modules, = envs.env_method("modules")
        print([name for name in ("paddle", "matplotlib", "visualdl", "pydantic", "gymnasium") if name in modules])
        envs.close()
    """
    parent = run_script(script)
    output, errors = parent.communicate(timeout=60)
    assert output == "imported\n['gymnasium']\n", errors


@BOTH
def test_closing_twice_and_using_afterwards(make_vec_env):
    envs = make_vec_env([Counting])
    envs.close()
    envs.close()
    with pytest.raises(VecEnvError, match="closed"):
        envs.step([0])


def test_a_forgotten_close_ends_the_workers_when_nobody_holds_them():
    envs = SubprocVecEnv([Counting])
    process = psutil.Process(envs._workers[0].process.pid)
    del envs
    assert not psutil.wait_procs([process], timeout=5)[1]


@BOTH
def test_waiting_for_a_step_that_was_not_begun_is_an_error(make_vec_env):
    with make_vec_env([Counting]) as envs:
        envs.reset()
        with pytest.raises(VecEnvError, match="step_async"):
            envs.step_wait()


@pytest.mark.slow
def test_eight_workers_start_in_three_cpu_seconds_with_at_most_45_megabytes_each():
    def seconds_of(process: psutil.Process) -> float:
        times = process.cpu_times()
        return times.user + times.system

    def start() -> tuple[float, float]:
        before = seconds_of(psutil.Process())
        with SubprocVecEnv([lambda: gymnasium.make("CartPole-v1")] * 8) as envs:
            envs.reset()
            workers = [psutil.Process(worker.process.pid) for worker in envs._workers]
            seconds = seconds_of(psutil.Process()) - before + sum(map(seconds_of, workers))
            return seconds, max(worker.memory_full_info().pss for worker in workers) / 1e6

    starts = [start() for _ in range(3)]
    assert sorted(seconds for seconds, _ in starts)[1] < 3.0
    assert max(megabytes for _, megabytes in starts) < 45


def run_script(script: str, **options) -> subprocess.Popen:
    root = str(Path(multiprocessing_env.__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


# ------------------------------------------------------------------------------------------------------- the channel


def test_messages_come_out_as_they_went_in_however_long():
    one, other = Channel.pair()
    messages = [None, ("step", np.arange(3)), None, None, "x" * 3_000_000, {"a": b"\x00N"}, (None,)]
    sender = threading.Thread(target=lambda: [one.send(message) for message in messages])
    sender.start()
    for message in messages:
        np.testing.assert_equal(other.recv(), message)
    sender.join()
    one.close()
    with pytest.raises(EOFError):
        other.recv()
    with pytest.raises(OSError):
        for _ in range(2):
            other.send("nobody there")
    other.close()


@pytest.mark.parametrize("soon_before", [False, True])
def test_a_message_that_does_not_come_is_not_waited_for_longer_than_said(soon_before):
    one, other = Channel.pair()
    if soon_before:
        one.send(None)
        other.recv()
    began = time.perf_counter()
    with pytest.raises(TimeoutError):
        other.recv(timeout=0.05)
    assert 0.04 < time.perf_counter() - began < 1
    one.send("late")
    assert other.recv(timeout=5) == "late"
    one.close()
    other.close()


def test_a_longer_patience_before_does_not_prolong_the_next():
    one, other = Channel.pair()
    for _ in range(2):
        one.send(None)
        other.recv(timeout=5)
    began = time.perf_counter()
    with pytest.raises(TimeoutError):
        other.recv(timeout=0.05)
    assert time.perf_counter() - began < 1
    threading.Timer(0.2, one.send, ("at last",)).start()
    assert other.recv() == "at last", "without a limit, after one with"
    one.close()
    other.close()


@pytest.mark.parametrize("timeout", [None, 5])
def test_who_waits_for_what_comes_soon_lets_others_run_meanwhile(monkeypatch, timeout):
    one, other = Channel.pair()
    yields, let_others_run = [], os.sched_yield

    def answer_at_the_third():
        yields.append(None)
        if len(yields) == 3:
            one.send(None)
        let_others_run()

    monkeypatch.setattr(os, "sched_yield", answer_at_the_third)
    monkeypatch.setattr(multiprocessing_env, "SOON", 60.0)  # however busy the machine is
    one.send(None)
    other.recv(timeout)
    assert not yields
    other.recv(timeout)
    assert len(yields) == 3
    one.close()
    other.close()


def test_who_waits_stays_awake_only_as_long_as_messages_come_soon(monkeypatch):
    monkeypatch.setattr(multiprocessing_env, "SOON", 0.1)
    one, other = Channel.pair()

    def seconds_of_processor(delay):
        sender = threading.Timer(delay, one.send, (None,))
        sender.start()
        before = time.thread_time()
        other.recv()
        sender.join()
        return time.thread_time() - before

    one.send(None)
    other.recv()
    awake, asleep = seconds_of_processor(0.4), seconds_of_processor(0.4)
    assert asleep < 0.5 * awake
    one.close()
    other.close()


# ------------------------------------------------------------------------------------------- what belongs to each alone


class Reusing(Counting):
    """Gives the same observation array, info and reward array again and again."""

    def __init__(self):
        super().__init__(terminate_at=2)
        self.observation, self.info = np.zeros(2, np.float32), {"mine": True}

    def _observe(self):
        self.observation[:] = self.count
        return self.observation

    def step(self, action):
        observation, reward, terminated, truncated, _ = super().step(action)
        return observation, reward, terminated, truncated, self.info

    def reset(self, **kwargs):
        return super().reset(**kwargs)[0], {}


class Remembering(Counting):
    """Remembers the arrays that it was given as actions."""

    def __init__(self):
        super().__init__()
        self.action_space, self.actions = gymnasium.spaces.Box(-1, 1, (2,), np.float32), []

    def step(self, action):
        self.actions.append(action)
        self.count += 1
        return self._observe(), 0.0, False, False, {}


@BOTH
def test_what_an_environment_uses_again_is_not_shared_with_it(make_vec_env):
    with make_vec_env([Reusing, Reusing]) as envs:
        envs.reset()
        envs.step([0, 0])
        _, _, dones, infos = envs.step([0, 0])
        assert dones.all()
        envs.step([0, 0])
        for info in infos:
            assert info["terminal_observation"].tolist() == [2, 2] and info["mine"]
        assert envs.get_attr("info") == [{"mine": True}] * 2


@BOTH
def test_infos_that_are_empty_are_ones_of_each_environment(make_vec_env):
    with make_vec_env([Remembering, Remembering]) as envs:
        envs.reset()
        *_, infos = envs.step(np.zeros((2, 2), np.float32))
        assert infos == [{}, {}] and infos[0] is not infos[1]


@BOTH
def test_actions_that_an_environment_keeps_do_not_change(make_vec_env):
    with make_vec_env([Remembering]) as envs:
        envs.reset()
        for value in (0.25, 0.5):
            envs.step(np.full((1, 2), value))
        assert [action.tolist() for action in envs.get_attr("actions")[0]] == [[0.25, 0.25], [0.5, 0.5]]


@BOTH
def test_a_second_step_before_the_first_is_collected_is_refused(make_vec_env):
    with make_vec_env([Counting]) as envs:
        envs.reset()
        envs.step_async([0])
        with pytest.raises(VecEnvError, match="under way"):
            envs.step_async([0])
        envs.step_wait()
    with pytest.raises(VecEnvError, match="closed"):
        envs.step_wait()


@pytest.mark.parametrize("operation", ["reset", "step", "env_method"])
def test_an_interrupt_while_answers_are_still_to_come_ends_the_workers(monkeypatch, operation):
    envs = SubprocVecEnv([Counting, Counting])
    envs.reset()
    receive, received = SubprocVecEnv._receive, []

    def interrupted(self, *args, **kwargs):
        received.append(receive(self, *args, **kwargs))
        raise KeyboardInterrupt

    monkeypatch.setattr(SubprocVecEnv, "_receive", interrupted)
    arguments = {"reset": (), "step": ([0, 0],), "env_method": ("render",)}[operation]
    with pytest.raises(KeyboardInterrupt):
        getattr(envs, operation)(*arguments)
    assert len(received) == 1 and envs.closed
    assert not any(worker.process.is_alive() for worker in envs._workers)


@pytest.mark.parametrize("name", ["step_timeout", "start_timeout", "close_timeout"])
@pytest.mark.parametrize("timeout", [0, -1, float("nan"), 1e300])
def test_a_timeout_that_is_no_number_of_seconds_is_rejected(name, timeout):
    with pytest.raises(ValueError, match=f"{name} must be a number of seconds above 0"):
        SubprocVecEnv([Counting], **{name: timeout})
