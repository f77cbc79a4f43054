"""Stop signals: what is under way stops where nothing is lost, with the exit code of the signal."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading

import pytest

import paddle_ac
from paddle_ac.commands.exit_codes import exit_codes
from paddle_ac.errors import ConfigError
from paddle_ac.process import STOP_SIGNALS, imports_contained
from paddle_ac.training import interrupt as interrupt_module
from paddle_ac.training import plotting
from paddle_ac.training.interrupt import interrupts
from paddle_ac.training.run_folder import RunFolder
from paddle_ac.training.train import _Loop
from tests.paths import ROOT
from tests.short_runs import quick_run
from tests.tool_calls import run_main

QUICK_FLAGS = ("--total-steps=200", "--hidden-sizes=8", "--eval-episodes=1", "--vec=serial")
every_signal = pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)


@pytest.fixture(autouse=True)
def handlers_stay():
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    yield
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def send(number: int) -> None:
    os.kill(os.getpid(), number)


# ----------------------------------------------------------------------------------------------------- one by one


@every_signal
def test_a_signal_interrupts_at_once_or_is_noted(number):
    with interrupts() as interrupt:
        with pytest.raises(KeyboardInterrupt):
            send(number)
        assert interrupt.is_set() and interrupt.exit_code == 128 + number
        interrupt.clear()
        with interrupt.deferred():
            send(number)
            assert interrupt.is_set()
            with pytest.raises(KeyboardInterrupt), interrupt.at_once():
                pytest.fail("a signal that was noted interrupts what may be interrupted")


def test_signals_soon_after_the_first_are_the_same_request(monkeypatch):
    times = iter([100.0, 101.9, 102.1, 200.0])
    monkeypatch.setattr(interrupt_module.time, "monotonic", lambda: next(times))
    with interrupts() as interrupt, interrupt.deferred():
        send(signal.SIGTERM)
        send(signal.SIGINT)
        assert interrupt.exit_code == 143
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        with interrupt.deferred(patience=math.inf):
            send(signal.SIGINT)


def test_a_command_has_one_interrupt_from_beginning_to_end():
    with interrupts() as outer, outer.deferred():
        with interrupts() as inner:
            assert inner is outer
        send(signal.SIGHUP)
        assert outer.is_set()


def test_another_thread_handles_no_signals():
    seen = []

    def look() -> None:
        with interrupts() as interrupt:
            seen.append(interrupt)

    with interrupts() as interrupt, interrupt.deferred():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        send(signal.SIGTERM)
    assert interrupt.is_set() and not seen[0].is_set()


def test_a_hang_up_that_is_ignored_stays_ignored_as_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts() as interrupt:
            send(signal.SIGHUP)
            assert not interrupt.is_set()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


# ------------------------------------------------------------------------------------------------------------ trainings


@every_signal
def test_a_signal_in_the_final_evaluation_leaves_a_checkpoint_and_a_summary(tmp_path, monkeypatch, number):
    evaluate = _Loop._evaluate

    def interrupted(self, policy, *purpose, **options):
        if purpose:
            send(number)
        return evaluate(self, policy, *purpose, **options)

    monkeypatch.setattr(_Loop, "_evaluate", interrupted)
    assert quick_run(tmp_path / "run", 1000)["stopped_by"] == "interrupt"
    folder = RunFolder(tmp_path / "run")
    assert folder.read_summary()["env_steps"] == 1000 and folder.latest.is_file() and folder.curves.is_file()


@every_signal
def test_a_signal_while_curves_are_drawn_ends_the_command_with_its_code(capsys, tmp_path, monkeypatch, number):
    monkeypatch.setattr(plotting, "plot_run", lambda *_: send(number))
    code, output, errors = run_main(capsys, "train.py", *QUICK_FLAGS, f"--run-dir={tmp_path / 'run'}")
    assert (code, errors) == (128 + number, "") and "trained for" in output
    assert RunFolder(tmp_path / "run").read_summary()["stopped_by"] == "total_steps"


@every_signal
def test_a_signal_while_environments_are_made_leaves_no_folder(capsys, tmp_path, monkeypatch, number):
    monkeypatch.setattr("paddle_ac.training.train.resolve_vec", lambda config: send(number))
    code, output, errors = run_main(capsys, "train.py", *QUICK_FLAGS, f"--run-dir={tmp_path / 'run'}")
    assert (code, output, errors) == (128 + number, "", "") and not (tmp_path / "run").exists()


@every_signal
def test_a_signal_while_an_error_is_printed_ends_the_command_with_its_code(capsys, number):
    class InterruptingError(ConfigError):
        def __str__(self) -> str:
            send(number)
            return ""

    with pytest.raises(SystemExit) as ended, exit_codes():
        raise InterruptingError
    assert ended.value.code == 128 + number and capsys.readouterr().err == ""


# An object that dies with its module: after Python has restored the default actions of signals.
INTERRUPTED_END = """
import os, sys

class Last:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=int(os.environ["SIGNAL"])):
        print("sent", flush=True)
        kill(pid, number)

last = Last()
"""


@every_signal
def test_a_signal_while_the_interpreter_ends_keeps_the_exit_code(tmp_path, number):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED_END)
    ended = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "plot.py"), "nowhere"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
            "SIGNAL": str(int(number)),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ended.returncode, ended.stdout) == (2, "sent\n") and ended.stderr.startswith("error: ")


def test_training_from_python_restores_the_users_handlers(tmp_path, monkeypatch):
    calls = []
    before = signal.signal(signal.SIGTERM, lambda *_: calls.append("mine"))
    try:
        monkeypatch.setattr(plotting, "plot_run", lambda *_: send(signal.SIGTERM))
        config = {"algo": "a2c", "total_steps": 200, "hidden_sizes": 8, "eval_episodes": 1}
        with pytest.raises(KeyboardInterrupt, match="run is complete"):
            paddle_ac.train(config, str(tmp_path / "run"))
        send(signal.SIGTERM)
        assert calls == ["mine"]
    finally:
        signal.signal(signal.SIGTERM, before)


# -------------------------------------------------------------------------------------------------------------- imports


def test_an_import_delays_signals_and_unblocks_them():
    with interrupts() as interrupt, interrupt.deferred():
        with imports_contained():
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # other threads of the test do not block it
            assert not interrupt.is_set()
        assert interrupt.is_set()


IMPORTED_IN_A_THREAD = """
import os, signal, threading
signal.signal(signal.SIGTERM, lambda *_: print("mine"))
def run():
    import paddle_ac
    paddle_ac.make("a2c", "CartPole-v1", vec="serial", num_envs=1).close()
thread = threading.Thread(target=run)
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_the_import_of_paddle_keeps_the_users_handlers_from_any_thread():
    ended = subprocess.run(
        [sys.executable, "-c", IMPORTED_IN_A_THREAD], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "mine\n", "")
