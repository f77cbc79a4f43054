"""Arrays and locks between processes: no write is lost, and a process that dies leaves nothing half written."""

from __future__ import annotations

import multiprocessing.connection
import os
import signal

import numpy as np
import pytest

from multiprocessing_env import WorkerProcess
from paddle_ac.nn.layout import ParameterLayout
from paddle_ac.processes.lock import ProcessLock
from paddle_ac.processes.shared_parameters import SharedParameters, SharedVersions
from paddle_ac.processes.shared_target import SharedTarget


def add_ones(channel, shared, lock, times):
    channel.recv()
    for _ in range(times):
        with lock:
            shared.vector += 1
    channel.send("done")


def test_the_lock_lets_no_update_be_lost():
    shared, lock = SharedParameters(ParameterLayout([("weight", (50, 40))]), {}, {}, num_workers=1), ProcessLock()
    workers = [WorkerProcess(f"adder {index}", add_ones, (shared, lock, 2000)) for index in range(3)]
    for worker in workers:
        worker.channel.send("go")
    for worker in workers:
        assert worker.channel.recv() == "done"
        worker.end(patience=5)
    assert (shared.vector == 6000).all()


def die_with_the_lock(channel, lock):
    lock.__enter__()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_holder_that_is_killed_loses_the_lock():
    lock = ProcessLock()
    worker = WorkerProcess("holder", die_with_the_lock, (lock,))
    with pytest.raises(EOFError):
        worker.channel.recv()
    assert worker.how_it_ended() == "was killed by SIGKILL"
    with lock:
        worker.end(patience=1)


def write_and_die(channel, moments):
    channel.recv()
    moments._arrays[2]["mean"][:] = np.nan  # as far as a writer may come before it is killed
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_writer_that_is_killed_halfway_leaves_the_moments_intact():
    moments = SharedVersions({"count": np.zeros(()), "mean": np.ones(3)})
    expected = moments.read()
    assert moments._versions[0] == 1, "the next version goes into copy 2"
    worker = WorkerProcess("writer", write_and_die, (moments,))
    worker.channel.send("go")
    worker.how_it_ended()
    worker.end(patience=5)
    for name, value in moments.read().items():
        np.testing.assert_array_equal(value, expected[name])


def write_versions(channel, moments):
    number = 0
    while not multiprocessing.connection.wait([channel], 0):
        number += 1
        moments.write({"count": np.array(float(number)), "mean": np.full(2000, float(number))})


def test_a_reader_never_sees_a_version_half_written():
    moments = SharedVersions({"count": np.zeros(()), "mean": np.zeros(2000)})
    worker = WorkerProcess("writer", write_versions, (moments,))
    seen = set()
    while len(seen) < 100:
        version = moments.read()
        assert (version["mean"] == version["count"]).all()
        seen.add(float(version["count"]))
    worker.channel.send("stop")
    worker.end(patience=5)


def test_target_is_not_replaced_by_another_worker_while_one_replaces_it(monkeypatch):
    target, write, writers = SharedTarget(np.zeros(3, np.float32), interval=10), SharedVersions.write, []

    def write_beside_another(versions, arrays):
        writers.append(float(arrays["vector"][0]))
        if len(writers) == 1:
            target.replace_if_due(np.full(3, 2, np.float32), 12)
        write(versions, arrays)

    monkeypatch.setattr(SharedVersions, "write", write_beside_another)
    target.replace_if_due(np.full(3, 1, np.float32), 11)
    assert writers == [1] and target.read().tolist() == [1, 1, 1] and target.version == 2


@pytest.mark.parametrize(
    "steps,replaced",
    [
        ((5, 9), []),
        ((10,), [10]),
        ((9, 11, 15, 19), [11]),
        ((13, 19, 20, 20), [13, 20]),
        ((47, 50), [47, 50]),
        ((19, 20), [19, 20]),
    ],
)
def test_target_is_replaced_once_where_a_multiple_of_its_interval_is_passed(steps, replaced):
    target = SharedTarget(np.zeros(3, np.float32), interval=10)
    found = []
    for number in steps:
        version = target.version
        target.replace_if_due(np.full(3, number, np.float32), number)
        if target.version != version:
            found.append(number)
            assert target.read().tolist() == 3 * [number] and target.env_steps == number
    assert found == replaced
