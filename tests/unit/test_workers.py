"""Worker processes: what they send back, how long anybody waits for them, and what they leave behind."""

from __future__ import annotations

import ctypes
import functools
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cloudpickle
import numpy as np
import psutil
import pytest

import multiprocessing_env
from multiprocessing_env import (
    Channel,
    DummyVecEnv,
    EnvironmentFailedError,
    SharedArray,
    SubprocVecEnv,
    UnsentValue,
    VecEnvError,
    WorkerTimeoutError,
)
from paddle_ac.envs.wrappers import EpisodeReplay
from tests.environments import Counting, RandomWalk

ROOT = str(Path(multiprocessing_env.__file__).parent)
SPACES = Counting().observation_space, Counting().action_space
CONTEXTS = pytest.mark.parametrize("context", ["spawn", "forkserver"])


def run_script(script: str, **options) -> str:
    """Run a script as ``__main__``, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


# ------------------------------------------------------------------------------------------------------- serialisation

CLASSES_OF_A_SCRIPT = """
    import collections, dataclasses, enum, functools
    from multiprocessing_env import DummyVecEnv, SubprocVecEnv
    from tests.environments import Counting

    class Colour(enum.Enum):
        RED = 1

    Pair = collections.namedtuple("Pair", "one other")

    @dataclasses.dataclass
    class Score:
        points: int
        def doubled(self):
            return 2 * self.points

    def local_class():
        class Local:
            pass
        return Local

    Local = local_class()

    class Env(Counting):
        made = 0

        def __init__(self):
            super().__init__(terminate_at=2)
            self.score = Score(3)
            Env.made += 1

        def reset(self, *, seed=None, options=None):
            observation, info = super().reset(seed=seed)
            return observation, {**info, "colour": Colour.RED}

        def step(self, action):
            *results, info = super().step(action)
            return *results, {**info, "colour": Colour.RED, "score": Score(7), "pair": Pair(1, 2), "local": Local()}

        def same(self, score):
            return type(score) is Score, Env.made
"""


@CONTEXTS
@pytest.mark.parametrize("kind", ["DummyVecEnv", "SubprocVecEnv"])
def test_objects_of_classes_of_the_script_come_back_as_instances_of_those_classes(kind, context):
    options = f"context={context!r}, " if kind == "SubprocVecEnv" else ""
    script = f"""
        envs = {kind}([Env, Env], {options})
        Env.made = 100
        Score.note = "set in the parent"
        envs.reset()
        assert all(info["colour"] is Colour.RED for info in envs.reset_infos)
        for _ in range(3):
            for info in envs.step([0, 0])[3]:
                assert info["colour"] is Colour.RED
                assert info["score"] == Score(7) and info["score"].doubled() == 14
                assert type(info["pair"]) is Pair and type(info["local"]) is Local
        assert envs.get_attr("score") == [Score(3)] * 2
        envs.set_attr("score", Score(4))
        assert envs.get_attr("score") == [Score(4)] * 2
        results = envs.env_method("same", Score(1))
        assert [same for same, _ in results] == [True, True]
        print([made for _, made in results], Env.made, Score.note)
        envs.close()
    """
    made = 100 if kind == "DummyVecEnv" else 1
    script = textwrap.dedent(CLASSES_OF_A_SCRIPT) + textwrap.dedent(script)
    assert run_script(script) == f"{[made] * 2} 100 set in the parent\n"


class Sending(Counting):
    """Sends things that cannot be pickled, and some that can be pickled but not loaded."""

    def __init__(self):
        super().__init__(terminate_at=3)
        self.lock = threading.Lock()
        self.function = lambda: 5

    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed)
        return observation, {**info, "lock": self.lock}

    def step(self, action):
        *results, info = super().step(action)
        if action == 1:
            info |= {"lock": self.lock, "generator": (number for number in range(3)), "function": self.function}
        return *results, info

    def generate(self):
        yield 1

    def only_here(self):
        return OnlyInTheWorker()


class LevelError(Exception):
    """Can be pickled and not loaded, as exceptions with arguments of their own."""

    def __init__(self, level, code):
        super().__init__(f"level {level}: {code}")


class Escaping:
    """Raises an exception that is no ``Exception`` where it is pickled."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error


class Reporting(Counting):
    """Reports errors in its infos; ``escaping`` cannot be pickled."""

    def __init__(self):
        super().__init__(truncate_at=2)
        self.exit, self.interrupt = Escaping(SystemExit(3)), Escaping(KeyboardInterrupt())

    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed)
        return observation, {**info, "error": LevelError(3, "reset")}

    def step(self, action):
        if action == 9:
            raise KeyboardInterrupt
        *results, info = super().step(action)
        return *results, {**info, "error": LevelError(3, "step"), "nested": {"exit": self.exit, "number": 5}}


class OnlyInTheWorker:
    """Cannot be loaded in the test's own process."""

    def __reduce__(self):
        return __import__, ("there_is_no_such_module",)


def test_an_info_value_that_cannot_be_pickled_is_replaced_and_the_rest_arrives():
    with SubprocVecEnv([Sending, Sending]) as envs:
        envs.reset()
        assert [info["seed_given"] for info in envs.reset_infos] == [-1, -1]
        assert envs.reset_infos[0]["lock"] == UnsentValue("lock", "TypeError: cannot pickle '_thread.lock' object")
        *_, infos = envs.step([0, 1])
        assert infos[0] == {"count": 1}
        assert infos[1]["count"] == 1 and infos[1]["function"]() == 5
        assert [infos[1][key].type_name for key in ("lock", "generator")] == ["lock", "generator"]
        for _ in range(2):
            _, _, dones, infos = envs.step([1, 1])
        assert dones.all() and infos[0]["terminal_observation"].tolist() == [0, 3]
        assert infos[0]["TimeLimit.truncated"] is False


def test_an_info_value_that_cannot_be_loaded_is_replaced_and_the_rest_arrives():
    with SubprocVecEnv([Reporting, Reporting], in_series=2) as envs:
        envs.reset()
        assert [info["error"].type_name for info in envs.reset_infos] == ["LevelError"] * 2
        assert "missing 1 required positional argument" in envs.reset_infos[0]["error"].reason
        for _ in range(3):
            _, rewards, _, infos = envs.step([0, 2])
            assert rewards.tolist() == [0, 2]
            assert [info["error"].type_name for info in infos] == ["LevelError"] * 2
            assert infos[0]["nested"]["number"] == 5 and infos[0]["nested"]["exit"].type_name == "Escaping"


@pytest.mark.parametrize("name", ["exit", "interrupt"])
def test_whatever_pickling_an_answer_raises_breaks_nothing(name):
    with SubprocVecEnv([Reporting]) as envs:
        envs.reset()
        with pytest.raises(EnvironmentFailedError, match="SystemExit: 3" if name == "exit" else "KeyboardInterrupt"):
            envs.get_attr(name)
        assert envs.get_attr("count") == [0]


def test_a_keyboard_interrupt_of_an_environment_in_a_worker_is_named():
    with SubprocVecEnv([Reporting, Reporting]) as envs:
        envs.reset()
        with pytest.raises(EnvironmentFailedError, match="1 failed in step with action 9: KeyboardInterrupt"):
            envs.step([0, 9])


@pytest.mark.parametrize(
    "call,operation",
    [
        (lambda envs: envs.get_attr("lock"), "get_attr|lock"),
        (lambda envs: envs.env_method("generate", indices=1), "generate"),
        (lambda envs: envs.env_method("only_here"), "there_is_no_such_module"),
    ],
)
def test_an_answer_that_cannot_be_sent_is_an_error_that_breaks_nothing(call, operation):
    with SubprocVecEnv([Sending, Sending]) as envs:
        envs.reset()
        with pytest.raises(EnvironmentFailedError, match=operation):
            call(envs)
        assert envs.step([0, 2])[1].tolist() == [0, 2]
        assert envs.get_attr("count") == [1, 1]


def test_an_argument_that_cannot_be_sent_is_an_error_that_breaks_nothing():
    with SubprocVecEnv([Counting, Counting]) as envs:
        envs.reset()
        with pytest.raises(pickle.PicklingError, match=r"_thread\.lock"):
            envs.set_attr("count", threading.Lock())
        with pytest.raises(EnvironmentFailedError, match="there_is_no_such_module"):
            envs.set_attr("count", OnlyInTheWorker())
        assert envs.step([0, 2])[1].tolist() == [0, 2]


# ------------------------------------------------------------------------------------------------------- process state


class ThreadCounting(Counting):
    """Tells how its process was started."""

    def environment(self):
        return {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}

    def main_file(self):
        return getattr(sys.modules["__main__"], "__file__", None)

    def threads(self):
        from threadpoolctl import threadpool_info

        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@CONTEXTS
def test_workers_compute_on_one_thread_and_do_not_import_main(context):
    with SubprocVecEnv([ThreadCounting], context=context) as envs:
        assert envs.env_method("environment") == [{"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}]
        assert envs.env_method("main_file") == [None]
        assert set(envs.env_method("threads")[0]) == {1}


def test_workers_that_two_threads_start_change_nothing_in_the_process():
    main, environment = sys.modules["__main__"], dict(os.environ)
    changes, done = [], threading.Event()

    def watch():
        while not done.is_set():
            if sys.modules["__main__"] is not main or dict(os.environ) != environment:
                changes.append(threading.current_thread().name)

    def use(context):
        for _ in range(3):
            with SubprocVecEnv([Counting] * 2, context=context) as envs:
                envs.reset()
                assert envs.step([1, 2])[1].tolist() == [1, 2]

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(use, ["spawn", "forkserver"]))
            list(pool.map(use, ["spawn", "spawn"]))
    finally:
        done.set()
        watcher.join()
    assert not changes
    assert sys.modules["__main__"] is main and dict(os.environ) == environment


def test_the_fork_server_of_the_process_is_left_as_it_is():
    multiprocessing.get_context("forkserver").set_forkserver_preload(["json"])
    with SubprocVecEnv([Counting], context="forkserver"):
        assert multiprocessing.forkserver._forkserver._preload_modules == ["json"]
    multiprocessing.get_context("forkserver").set_forkserver_preload(["__main__"])


class Drawing(Counting):
    """Draws from the global generators of its process."""

    def draw(self):
        return float(np.random.rand()), random.random()


@CONTEXTS
def test_global_generators_differ_between_workers_and_repeat_for_a_seed(context):
    def draw(seed):
        with SubprocVecEnv([Drawing] * 4, context=context, in_series=2, seed=seed) as envs:
            return envs.env_method("draw")

    draws = {str(seed): draw(seed) for seed in (None, 3, (3, 1))}
    for values in draws.values():
        assert len({value for pair in values for value in pair}) == 8
    assert draw(3) == draws["3"] and draw((3, 1)) == draws["(3, 1)"]
    assert draw(None) != draws["None"] and draws["3"] != draws["(3, 1)"]


def start_envs_in_a_daemon(channel):
    try:
        SubprocVecEnv([Counting])
    except VecEnvError as error:
        channel.put(str(error))


def test_a_daemonic_process_is_named_before_anything_is_started():
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=start_envs_in_a_daemon, args=(queue,), daemon=True)
    process.start()
    message = queue.get()
    process.join()
    assert "daemonic" in message and "DummyVecEnv" in message and "\n" not in message


# ----------------------------------------------------------------------------------------------- processes of their own


def sleep_for_ever():
    time.sleep(3600)


class Starting(Counting):
    """Starts a process of its own, and may hang in ``close``."""

    def __init__(self, how="subprocess"):
        super().__init__()
        if how == "subprocess":
            self.pid = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"]).pid
        elif how == "session":  # which the signals of a group do not reach
            command = [sys.executable, "-c", "import time; time.sleep(3600)"]
            self.pid = subprocess.Popen(command, start_new_session=True).pid
        elif how == "multiprocessing":
            process = multiprocessing.get_context("spawn").Process(target=sleep_for_ever)
            process.start()
            self.pid = process.pid
        elif how == "thread":
            self.pid = os.getpid()
            threading.Thread(target=sleep_for_ever).start()

    def crash(self):
        os.kill(os.getpid(), signal.SIGSEGV)

    def stick(self):
        ctypes.PyDLL(None).sleep(3600)


@CONTEXTS
@pytest.mark.parametrize("how", ["subprocess", "multiprocessing", "session"])
def test_a_process_that_an_environment_started_ends_with_its_worker(how, context):
    envs = SubprocVecEnv([functools.partial(Starting, how)], context=context)
    processes = [psutil.Process(pid) for pid in envs.get_attr("pid")]
    assert processes[0].is_running()
    envs.close()
    assert not psutil.wait_procs(processes, timeout=5)[1]


@pytest.mark.parametrize("how", ["crash", "stick", "killed"])
def test_a_process_that_an_environment_started_ends_when_the_worker_fails(how):
    envs = SubprocVecEnv([Starting], step_timeout=0.5)
    processes = [psutil.Process(pid) for pid in envs.get_attr("pid")]
    with pytest.raises(VecEnvError):
        if how == "killed":
            envs._workers[0].process.kill()
            envs.get_attr("count")
        envs.env_method(how)
    assert not psutil.wait_procs(processes, timeout=5)[1]


@CONTEXTS
def test_a_process_that_an_environment_started_ends_when_the_training_is_killed(context):
    script = f"""
        from multiprocessing_env import SubprocVecEnv
        from tests.unit.test_workers import Starting
        envs = SubprocVecEnv([Starting], context={context!r})
        print(*envs.get_attr("pid"), flush=True)
        input()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    process = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    assert not psutil.wait_procs([process], timeout=5)[1]


# Sends a signal to the process group while the interpreter of a worker, or of the fork server, starts.
SIGNALLED_START = """
import os, signal, sys
if any(start in " ".join(sys.orig_argv) for start in ("import spawn_main", "forkserver import main")):
    os.killpg(0, int(os.environ["SIGNAL"]))
"""


@CONTEXTS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_workers_that_start_ignore_signals_to_the_group_of_their_parent(tmp_path, context, number):
    (tmp_path / "sitecustomize.py").write_text(SIGNALLED_START)
    script = f"""
        import signal
        arrived = set()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: arrived.add(int(number)))
        from multiprocessing_env import SubprocVecEnv
        from tests.environments import Counting
        with SubprocVecEnv([Counting], context={context!r}) as envs:
            envs.reset()
            print(arrived)
    """
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    env = {**os.environ, "PYTHONPATH": paths, "SIGNAL": str(int(number))}
    assert run_script(script, env=env, start_new_session=True) == f"{{{int(number)}}}\n"


class Forking(Counting):
    """Forks a process that sleeps."""

    def __init__(self):
        super().__init__()
        process = multiprocessing.get_context("fork").Process(target=sleep_for_ever)
        process.start()
        self.pid, self.worker = process.pid, os.getpid()


@CONTEXTS
def test_workers_leave_sigterm_to_their_parent_and_what_they_fork_does_not(context):
    with SubprocVecEnv([Forking], context=context) as envs:
        envs.reset()
        (forked,), (worker,) = envs.get_attr("pid"), envs.get_attr("worker")
        os.kill(worker, signal.SIGTERM)
        deadline = time.monotonic() + 30
        while psutil.Process(forked).status() != psutil.STATUS_ZOMBIE:  # what arrives in the middle of a fork is lost
            os.kill(forked, signal.SIGTERM)
            assert time.monotonic() < deadline
        envs.step(np.zeros(1, np.int64))
        assert psutil.pid_exists(worker)


def test_workers_end_with_a_script_that_does_not_close_them():
    script = """
        import os
        from multiprocessing_env import SubprocVecEnv, WorkerProcess
        from tests.environments import Counting
        from tests.unit.test_workers import wait_for_a_message
        kept = SubprocVecEnv([Counting]), WorkerProcess("waiting", wait_for_a_message, ())
        print("over")
    """
    assert run_script(script) == "over\n"


def wait_for_a_message(channel):
    channel.recv()


# ------------------------------------------------------------------------------------------------------------ deadlines


class Stopping(Counting):
    """Stops (SIGSTOP) or holds Python's lock in the method that ``where`` names."""

    def __init__(self, where, how="stop"):
        super().__init__(terminate_at=3)
        self.where, self.how = where, how
        self.stop_in("__init__")

    def stop_in(self, where):
        if where == self.where:
            if self.how == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            else:
                ctypes.PyDLL(None).sleep(3600)

    def reset(self, *, seed=None, options=None):
        self.stop_in("reset")
        return super().reset(seed=seed)

    def step(self, action):
        self.stop_in("step")
        return super().step(action)

    def render(self):
        self.stop_in("render")
        return super().render()

    def method(self, *args):
        self.stop_in("method")

    def get_state(self):
        return {}

    def set_state(self, state):
        self.stop_in("set_state")
        return self._observe()

    def close(self):
        self.stop_in("close")

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "attribute":
            self.stop_in("set_attr")


CALLS = {
    "reset": lambda envs: envs.reset(),
    "reset_one": lambda envs: envs.reset_one(0),
    "step": lambda envs: envs.step([0, 0]),
    "render": lambda envs: envs.render(),
    "method": lambda envs: envs.env_method("method", indices=0),
    "set_attr": lambda envs: envs.set_attr("attribute", 1),
    "set_state": lambda envs: envs.env_method("set_state", {}, indices=0),
}


@pytest.mark.parametrize("how", ["stop", "hold the lock"])
@pytest.mark.parametrize("call", CALLS)
def test_every_call_has_a_deadline(call, how):
    where = "reset" if call == "reset_one" else call
    envs = SubprocVecEnv([functools.partial(Stopping, where, how), Counting], step_timeout=0.5)
    with pytest.raises(WorkerTimeoutError, match=r"worker 0 \(environment 0\) gave no answer within 0.5 s"):
        if where != "reset":
            envs.reset()
        CALLS[call](envs)
    assert envs.closed and not any(worker.process.is_alive() for worker in envs._workers)


def test_all_workers_that_are_late_are_killed_at_once_and_the_others_close(tmp_path, caplog):
    env_fns = [functools.partial(Stopping, "step")] * 2 + [functools.partial(Closing, tmp_path / "closed")]
    envs = SubprocVecEnv(env_fns, step_timeout=0.5)
    with pytest.raises(WorkerTimeoutError, match="worker 0"):
        envs.reset()
        envs.step([0, 0, 0])
    assert not caplog.records, "no worker was waited for until close_timeout"


@CONTEXTS
@pytest.mark.parametrize("how", ["stop", "hold the lock"])
def test_making_an_environment_has_a_deadline_of_its_own(how, context):
    with pytest.raises(WorkerTimeoutError, match=r"worker 0 .* gave no answer within 3 s \(start_timeout"):
        SubprocVecEnv([functools.partial(Stopping, "__init__", how)], context=context, start_timeout=3)


def test_an_environment_that_fails_while_another_is_being_made_is_reported_at_once():
    with pytest.raises(EnvironmentFailedError, match="environment 1 failed in __init__"):
        SubprocVecEnv([functools.partial(Stopping, "__init__"), functools.partial(Counting, no_such_argument=1)])


def test_a_large_argument_to_a_stopped_worker_has_a_deadline():
    envs = SubprocVecEnv([Counting], step_timeout=0.5)
    envs.reset()
    envs._workers[0].process._popen._send_signal(signal.SIGSTOP)
    with pytest.raises(WorkerTimeoutError, match=r"gave no answer within 0.5 s"):
        envs.set_attr("count", b"x" * 10_000_000)


class FailsWhenNobodyListens(Counting):
    """Its worker's failure comes when the main process has already stopped, as for the failure of another worker."""

    parent: Channel

    def reset(self, **options):
        self.parent._socket.close()
        raise RuntimeError("too late")


def test_a_worker_whose_failure_nobody_receives_ends_without_a_traceback():
    parent, channel = Channel.pair()
    FailsWhenNobodyListens.parent = parent
    arrays = tuple(SharedArray() for _ in range(4))
    with ThreadPoolExecutor(1) as executor:
        served = executor.submit(multiprocessing_env._serve_envs, channel, slice(0, 1), arrays, None)
        parent.send(("make", (cloudpickle.dumps(([FailsWhenNobodyListens], None)),)))
        _, (observation_space, action_space) = parent.recv(timeout=60)
        shapes = [((1, *space.shape), space.dtype) for space in (action_space, observation_space)]
        parent.send([*shapes, ((1,), np.dtype(np.float32)), ((1,), np.dtype(np.bool_))])
        parent.send(("reset", ()))
        served.result(timeout=60)


def test_an_answer_that_stops_half_way_has_a_deadline():
    one, other = Channel.pair()
    one._socket.send(b"P" + (1000).to_bytes(8, "little") + b"only a part")
    with pytest.raises(TimeoutError):
        other.recv(timeout=0.1)
    with pytest.raises(OSError):
        other.recv(timeout=0.1)
    one.close()


def test_a_message_that_nobody_reads_has_a_deadline_and_is_not_sent_by_halves():
    one, other = Channel.pair()
    with pytest.raises(TimeoutError):
        one.send(b"x" * 10_000_000, timeout=0.1)
    with pytest.raises(OSError):
        one.send(None)
    other.close()


def test_a_message_waits_for_room_as_long_as_its_deadline_allows():
    one, other = Channel.pair()
    received = []
    reader = threading.Timer(0.2, lambda: received.append(other.recv()))
    reader.start()
    one.send(b"x" * 10_000_000, timeout=60)
    reader.join()
    assert len(received[0]) == 10_000_000
    one.send("and on")
    assert other.recv(timeout=5) == "and on"
    one.close()
    other.close()


# -------------------------------------------------------------------------------------------------------------- closing


class Closing(Counting):
    """Writes a file when it has closed, some time after it was asked to."""

    def __init__(self, path=None, seconds=0.0):
        super().__init__()
        self.path, self.seconds = path, seconds

    def fail(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def close(self):
        time.sleep(self.seconds)
        Path(self.path).write_text("closed")


def test_an_environment_has_time_to_close(tmp_path, caplog):
    paths = [tmp_path / "0", tmp_path / "1"]
    envs = SubprocVecEnv([functools.partial(Closing, path, 3) for path in paths])  # longer than 2 s, once the limit
    envs.close()
    assert all(path.read_text() == "closed" for path in paths)
    assert not caplog.records


def test_the_others_close_their_environments_when_a_worker_dies(tmp_path):
    envs = SubprocVecEnv([functools.partial(Closing, tmp_path / name) for name in ("0", "1")])
    with pytest.raises(VecEnvError, match=r"worker 1 .* was killed by SIGKILL"):
        envs.env_method("fail", indices=1)
    assert (tmp_path / "0").read_text() == "closed" and not (tmp_path / "1").exists()


@pytest.mark.parametrize("how", ["stop", "hold the lock"])
def test_a_worker_that_does_not_close_is_named_and_killed(how, caplog):
    envs = SubprocVecEnv([functools.partial(Stopping, "close", how)] * 2 + [Counting], close_timeout=0.5)
    started = time.monotonic()
    envs.close()
    assert time.monotonic() - started < 10
    assert [record.getMessage() for record in caplog.records] == [
        f"worker {index} (environment {index}) did not close within 0.5 s (close_timeout) and was killed"
        for index in range(2)
    ]
    assert not any(worker.process.is_alive() for worker in envs._workers)


def test_a_thread_that_an_environment_started_does_not_outlive_its_worker(caplog):
    envs = SubprocVecEnv([functools.partial(Starting, "thread")])
    process = psutil.Process(envs.get_attr("pid")[0])
    envs.close()
    assert not process.is_running()
    assert not caplog.messages, "it closes, and does not wait for close_timeout"


class Slow(RandomWalk):
    """Takes its time for every step, in the clock that it is given."""

    def step(self, action):
        Slow.seconds += 0.4
        return super().step(action)

    seconds = 0.0


def test_a_replay_of_any_length_consists_of_calls_that_a_deadline_bounds(monkeypatch):
    env = EpisodeReplay(Slow(), (0, 1))
    env.reset()
    for action in (1, 2, 3, 0, 1, 2, 3):
        observation = env.step(action)[0]
    state = env.get_state()
    again = EpisodeReplay(Slow(), (0, 1))
    monkeypatch.setattr("paddle_ac.envs.wrappers.time.monotonic", lambda: Slow.seconds)
    calls = []
    while not calls or calls[-1] is None:
        calls.append(again.set_state(state))
    assert len(calls) == 3, "2.8 s, in calls of 1 s and a step"
    np.testing.assert_array_equal(calls[-1], observation)
    assert again.get_state()["episode"] == state["episode"]
    np.testing.assert_array_equal(again.get_state()["actions"], state["actions"])
    np.testing.assert_array_equal(again.step(1)[0], env.step(1)[0])


@pytest.mark.parametrize("make_vec_env", [DummyVecEnv, SubprocVecEnv])
def test_environments_are_brought_back_however_many_calls_it_takes(make_vec_env):
    with make_vec_env([functools.partial(Hesitating, number) for number in (0, 2)]) as envs:
        envs.reset()
        assert envs.set_state({"0": {}, "1": {}}).tolist() == [[0, 0], [0, 0]]
        assert envs.get_attr("calls") == [1, 3]


class Hesitating(Counting):
    """Needs several calls of ``set_state``."""

    def __init__(self, hesitations):
        super().__init__()
        self.hesitations, self.calls = hesitations, 0

    def set_state(self, state):
        self.calls += 1
        return self._observe() if self.calls > self.hesitations else None


class Lacking(Counting):
    """Imports a package that is not installed."""

    def __init__(self):
        import there_is_no_such_package  # noqa: F401


def test_the_cause_of_a_failure_comes_back_with_it():
    with pytest.raises(EnvironmentFailedError, match="there_is_no_such_package") as raised:
        SubprocVecEnv([Lacking])
    assert isinstance(raised.value.__cause__, ModuleNotFoundError)
    assert raised.value.__cause__.name == "there_is_no_such_package"


class Deprecated(Counting):
    """Warns when it is made, and names the process."""

    def __init__(self):
        warnings.warn("made with an old interface", stacklevel=1)
        super().__init__()
        self.is_in_worker = multiprocessing.parent_process() is not None
        assert self.is_in_worker, "made in the parent"


def test_no_environment_is_made_in_the_parent_and_warnings_are_shown_once(capfd):
    with SubprocVecEnv([Deprecated] * 2) as envs:
        assert envs.observation_space == SPACES[0] and envs.action_space == SPACES[1]
        assert envs.reset().shape == (2, 2)
    assert capfd.readouterr().err.count("UserWarning: made with an old interface") == 1
