"""The pool of worker processes, with functions that learn nothing."""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np
import pytest

from multiprocessing_env import EnvironmentFailedError, WorkerDiedError, WorkerFailedError, WorkerTimeoutError
from paddle_ac.errors import NonFiniteError
from paddle_ac.processes import pool as pool_module
from paddle_ac.processes.pool import WorkerPool
from paddle_ac.processes.watchdog import Watchdog
from paddle_ac.processes.worker import Report, WorkerContext
from tests.leftovers import leaked_shared_memory, shared_memory

PATIENT, QUICK = 600.0, 1.5  # seconds of step_timeout


def no_arguments(index: int, start: int) -> tuple:
    return ()


def start_pool(function, num_workers=2, step_timeout=PATIENT, restart=False, arguments=no_arguments) -> WorkerPool:
    pool = WorkerPool(num_workers, step_timeout, restart)
    pool.start(function, arguments)
    return pool


@pytest.fixture
def start():
    """As ``start_pool``; the pools are closed."""
    pools = []

    def start_and_remember(*arguments, **keywords):
        pools.append(start_pool(*arguments, **keywords))
        return pools[-1]

    yield start_and_remember
    for pool in pools:
        pool.close()


def reports_of(pool: WorkerPool, until) -> list[Report]:
    """Received reports, until ``until(reports)`` holds."""
    reports: list[Report] = []
    while not until(reports):
        report = pool.receive(0.5)
        if report is not None:
            reports.append(report)
    return reports


def processes_of(pool: WorkerPool) -> list:
    return [worker.process for worker in pool._workers]


def until_stopped(context: WorkerContext) -> None:
    context.wait_for_start()
    while not context.stopping:
        context.advance()
        time.sleep(0.01)
    context.report("last", is_last=True)


# ------------------------------------------------------------------------------------------------------------ reports


def count_to(context: WorkerContext, total: int, start: int) -> None:
    context.wait_for_start()
    for number in range(total):
        context.report(number)
    context.report((context.index, context.start, start), is_last=True)


def test_every_report_arrives_with_its_worker_in_order(start):
    pool = start(count_to, 3, arguments=lambda index, start: (index + 1, start))
    reports = reports_of(pool, lambda _: pool.is_finished)
    for index in range(3):
        contents = [report.content for report in reports if report.index == index]
        assert contents == [*range(index + 1), (index, 0, 0)]
    assert sum(report.is_last for report in reports) == 3 and pool.starts == [1, 1, 1]
    assert pool.receive(0) is None


def test_start_numbers_continue_from_those_of_a_resumed_run(start):
    pool = WorkerPool(2, PATIENT, restart=False)
    pool.starts = [4, 0]
    pool.start(count_to, lambda index, start: (0, start))
    reports = reports_of(pool, lambda _: pool.is_finished)
    pool.close()
    assert {report.content for report in reports} == {(0, 4, 4), (1, 0, 0)}
    assert pool.starts == [5, 1]


def report_twenty_times(context: WorkerContext) -> None:
    context.wait_for_start()
    for number in range(20):
        context.report(number)
        context.advance()
    while not context.stopping:
        time.sleep(0.01)


def test_workers_are_served_in_turn(start):
    pool = start(report_twenty_times, 3)
    assert pool.wait_until_ready(60)
    while (pool._progress.array < 20).any():
        time.sleep(0.01)
    assert sorted(pool.receive(60).index for _ in range(6)) == [0, 0, 1, 1, 2, 2]


def list_modules(context: WorkerContext) -> None:
    context.report([name for name in sys.modules if name.split(".")[0] == "paddle" or ".algorithms" in name], True)


def test_a_worker_imports_neither_paddle_nor_an_algorithm(start):
    pool = start(list_modules, 1)
    assert [report.content for report in reports_of(pool, lambda _: pool.is_finished)] == [[]]


def start_when_stopped(context: WorkerContext) -> None:
    while not context.stopping:
        time.sleep(0.01)
    until_stopped(context)


def test_waiting_for_workers_that_are_not_ready_ends_with_its_timeout(start):
    pool = start(start_when_stopped)
    assert not pool.wait_until_ready(0.2) and not pool.is_ready
    list(pool.finish())
    pool = start(until_stopped)
    assert pool.wait_until_ready(60) and pool.is_ready


# ----------------------------------------------------------------------------------------------------------- failures


def fail(context: WorkerContext, error: Exception) -> None:
    context.wait_for_start()
    raise error


@pytest.mark.parametrize("restart", [False, True], ids=["stop", "replace"])
@pytest.mark.parametrize(
    "error,kind,message",
    [
        (ValueError("wheel"), WorkerFailedError, r"worker 0: Traceback (.|\n)*ValueError: wheel"),
        (EOFError("file"), WorkerFailedError, r"worker 0: Traceback (.|\n)*EOFError: file"),
        (ConnectionResetError("net"), WorkerFailedError, r"worker 0: Traceback (.|\n)*ConnectionResetError: net"),
        (NonFiniteError("loss nan"), NonFiniteError, "^worker 0: loss nan$"),
        (
            EnvironmentFailedError(3, "step", 1, "Traceback ...", "wheel"),
            WorkerFailedError,
            "^worker 0: environment 3 failed in step",
        ),
    ],
    ids=["ValueError", "EOFError", "ConnectionError", "NonFiniteError", "EnvironmentFailedError"],
)
def test_a_function_that_raises_ends_the_work_whether_workers_are_replaced_or_not(start, restart, error, kind, message):
    pool = start(fail, 1, restart=restart, arguments=lambda index, start: (error,))
    with pytest.raises(kind, match=message):
        reports_of(pool, lambda _: False)
    assert pool.is_finished and pool.starts == [1]


def return_early(context: WorkerContext) -> None:
    context.wait_for_start()


def test_a_function_that_returns_without_a_last_report_is_an_error(start):
    pool = start(return_early, 1)
    with pytest.raises(WorkerDiedError, match="worker 0 ended with exit code 0"):
        reports_of(pool, lambda _: False)


def test_a_failed_worker_leaves_the_others_to_finish(start):
    pool = start(fail_or_play, 2)
    with pytest.raises(WorkerFailedError, match="worker 0"):
        reports_of(pool, lambda _: False)
    assert [(report.index, report.content) for report in pool.finish()] == [(1, "last")]
    assert pool.is_finished


def fail_or_play(context: WorkerContext) -> None:
    if context.index == 0:
        raise ValueError
    until_stopped(context)


# -------------------------------------------------------------------------------------------- deaths and replacements


def die_once(context: WorkerContext) -> None:
    if context.index == 1 and context.start == 0:
        context.wait_for_start()
        os.kill(os.getpid(), signal.SIGKILL)
    report_starts(context)


def report_starts(context: WorkerContext) -> None:
    context.wait_for_start()
    while not context.stopping:
        context.report(context.start)
        context.advance()
        time.sleep(0.01)
    context.report(None, is_last=True)


def test_a_dead_worker_is_an_error_that_names_it(start):
    pool = start(die_once)
    with pytest.raises(WorkerDiedError, match="worker 1 was killed by SIGKILL"):
        reports_of(pool, lambda _: False)


def test_a_dead_worker_is_replaced_by_one_with_the_next_start_number(start, caplog):
    asked = []
    pool = start(die_once, restart=True, arguments=lambda index, start: asked.append((index, start)) or ())
    reports_of(pool, lambda reports: {(report.index, report.content) for report in reports} >= {(0, 0), (1, 1)})
    assert pool.starts == [1, 2] and asked == [(0, 0), (1, 0), (1, 1)]
    assert "worker 1 was killed by SIGKILL; another takes its place" in caplog.text
    last = [report.index for report in pool.finish() if report.is_last]
    assert sorted(last) == [0, 1]


def test_check_finds_a_death_without_receiving(start):
    pool = start(until_stopped)
    assert pool.wait_until_ready(60)
    pool.check()
    os.kill(processes_of(pool)[1].pid, signal.SIGKILL)
    processes_of(pool)[1].join(10)
    with pytest.raises(WorkerDiedError, match="worker 1 was killed by SIGKILL"):
        pool.check()


def die_at_once(context: WorkerContext, reports_first: bool) -> None:
    context.wait_for_start()
    if reports_first:
        context.report("played")
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_without_a_report_is_replaced_so_many_times_only(start, monkeypatch):
    monkeypatch.setattr(pool_module, "MAX_DEATHS", 3)
    pool = start(die_at_once, 1, restart=True, arguments=lambda index, start: (False,))
    with pytest.raises(WorkerDiedError, match="killed by SIGKILL, the 3th time without a report between"):
        reports_of(pool, lambda _: False)
    assert pool.starts == [3]


def test_a_report_resets_the_count_of_deaths(start, monkeypatch):
    monkeypatch.setattr(pool_module, "MAX_DEATHS", 2)
    pool = start(die_at_once, 1, restart=True, arguments=lambda index, start: (True,))
    reports_of(pool, lambda reports: len(reports) == 4)
    assert pool.starts[0] >= 4


# ------------------------------------------------------------------------------------------------------ stuck workers


def get_stuck(context: WorkerContext, before_ready: bool) -> None:
    """Worker 0 gets stuck the first time."""
    if context.index == 0 and context.start == 0:
        if not before_ready:
            context.wait_for_start()
        os.kill(os.getpid(), signal.SIGSTOP)
    report_starts(context)


@pytest.mark.parametrize("before_ready", [False, True], ids=["playing", "starting"])
@pytest.mark.parametrize("restart", [False, True], ids=["stop", "replace"])
def test_a_stuck_worker_is_killed_and_named_or_replaced(start, restart, before_ready, monkeypatch, caplog):
    num_workers, reason = 2, f"made no step within {QUICK:g} s (step_timeout)"
    if before_ready:  # no other worker may be slower to start
        monkeypatch.setattr(pool_module, "START_TIMEOUT", 5.0)
        num_workers, reason = 1, "was not ready within 5 s"
    pool = start(get_stuck, num_workers, QUICK, restart, arguments=lambda index, start: (before_ready,))
    stuck = processes_of(pool)[0]
    message = f"worker 0 {reason} and was killed"
    if restart:
        reports_of(pool, lambda reports: any(report.index == 0 and report.content > 0 for report in reports))
        assert f"{message}; another takes its place" in caplog.text
    else:
        with pytest.raises(WorkerTimeoutError) as raised:
            reports_of(pool, lambda _: False)
        assert str(raised.value) == message
    stuck.join(10)
    assert stuck.exitcode == -signal.SIGKILL


def report_much(context: WorkerContext) -> None:
    context.wait_for_start()
    while not context.stopping:
        context.report("x" * 1_000_000)
    context.report(None, is_last=True)


def test_a_worker_whose_report_waits_to_be_received_is_not_stuck(start):
    pool = start(report_much)
    assert pool.wait_until_ready(60)
    assert pool._with_message([0], 60) and pool._with_message([1], 60)
    pool._watchdog.find_stuck()
    pool._watchdog._idle[:] = 2 * PATIENT
    pool.check()
    assert all(process.is_alive() for process in processes_of(pool))
    assert len(pool.receive(60).content) == 1_000_000


def stop_in_a_message(context: WorkerContext) -> None:
    context.wait_for_start()
    context._channel._socket.send(b"P" + (100).to_bytes(8, "little") + b"half")
    os.kill(os.getpid(), signal.SIGSTOP)


def test_a_worker_that_stops_in_the_middle_of_a_message_is_killed(start, monkeypatch):
    monkeypatch.setattr(pool_module, "MESSAGE_TIMEOUT", 0.5)
    pool = start(stop_in_a_message, 1)
    with pytest.raises(WorkerTimeoutError, match="worker 0 stopped in the middle of a message"):
        reports_of(pool, lambda _: False)
    process = processes_of(pool)[0]
    process.join(10)
    assert process.exitcode == -signal.SIGKILL


def test_the_watchdog_needs_several_checks(monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    counters = np.zeros(2, np.int64)
    watchdog = Watchdog(counters)
    for index in range(2):
        watchdog.restart(index, timeout=10.0)
    now = 1000.0  # this process was suspended, and the workers with it
    assert watchdog.find_stuck() == []
    counters[0] += 1
    now += 1000
    assert watchdog.find_stuck() == []
    now += 1
    assert watchdog.find_stuck() == [1]
    watchdog.restart(1)
    now += 1
    assert watchdog.find_stuck() == []


# --------------------------------------------------------------------------------------------------- finish and close


def test_finish_yields_the_last_report_of_every_worker(start):
    pool = start(until_stopped, 3)
    assert pool.wait_until_ready(60) and not pool.stopping
    reports = list(pool.finish())
    assert sorted(report.index for report in reports) == [0, 1, 2]
    assert {report.content for report in reports} == {"last"}
    assert pool.is_finished and pool.stopping


def play_for_ever(context: WorkerContext) -> None:
    context.wait_for_start()
    while True:
        context.advance()
        time.sleep(0.01)


def test_finish_kills_a_worker_that_does_not_stop(start, monkeypatch, caplog):
    monkeypatch.setattr(pool_module, "STOP_TIMEOUT", 0.3)
    pool = start(play_for_ever, 1)
    assert pool.wait_until_ready(60)
    process = processes_of(pool)[0]
    assert list(pool.finish()) == []
    assert process.exitcode == -signal.SIGKILL and pool.is_finished
    assert "worker 0 did not stop within 0.3 s and was killed" in caplog.text


def test_finish_replaces_nobody(start):
    pool = start(until_stopped, restart=True)
    assert pool.wait_until_ready(60)
    os.kill(processes_of(pool)[0].pid, signal.SIGKILL)
    assert [report.index for report in pool.finish()] == [1]
    assert pool.is_finished and pool.starts == [1, 1]


@pytest.mark.parametrize("function,exit_code", [(until_stopped, 0), (report_much, 0), (play_for_ever, -signal.SIGKILL)])
def test_close_ends_every_process_and_releases_the_memory(function, exit_code, monkeypatch):
    if exit_code == 0:  # they end by themselves, one of them although its report is never received
        monkeypatch.setattr(pool_module, "CLOSE_TIMEOUT", 30.0)
    memory_before = shared_memory()
    pool = start_pool(function)
    assert pool.wait_until_ready(60)
    processes = processes_of(pool)
    pool.close()
    assert [process.exitcode for process in processes] == [exit_code, exit_code] and not pool.is_started
    assert not leaked_shared_memory(memory_before)
    pool.close()


def test_workers_end_with_a_pool_that_is_dropped():
    pool = start_pool(play_for_ever)
    assert pool.wait_until_ready(60)
    processes = processes_of(pool)
    del pool
    for process in processes:
        process.join(10)
        assert process.exitcode == -signal.SIGKILL
