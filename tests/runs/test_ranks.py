"""Synchronous training in two processes: runs, resuming on another number of ranks, and ranks that fail."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from paddle_ac.checkpoint import load_checkpoint
from paddle_ac.training.run_folder import RunFolder
from tests.leftovers import leaked_shared_memory, shared_memory
from tests.paths import ROOT
from tests.short_runs import QUICK, assert_same_run, quick_run
from tests.tool_calls import run_main

TIMEOUT = 240  # seconds, on a machine that does much else
VALUES = {**QUICK, "vec": "serial", "num_envs": 4, "normalize_observations": True, "normalize_rewards": True}
FAULTY = {"env": "tests.rank_environments:FaultyCartPole", "env_kwargs": "max_episode_steps=100"}


def flags_of(values):
    """Hyper-parameters as a command line has them."""
    flags = []
    for name, value in values.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            flags += [f"--{flag}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return [*flags, "--no-progress"]


class Launch:
    """Two ranks of ``tools/train.py``, started as ``paddle.distributed.launch`` starts them."""

    def __init__(self, *arguments, **environment):
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
            endpoint, master = (f"127.0.0.1:{server.getsockname()[1]}" for server in (one, other))
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(ROOT / "tools" / "train.py"), *arguments],
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "PADDLE_TRAINERS_NUM": "2",
                    "PADDLE_TRAINER_ID": str(rank),
                    "PADDLE_TRAINER_ENDPOINTS": endpoint,
                    "PADDLE_CURRENT_ENDPOINT": endpoint,
                    "PADDLE_MASTER": master,
                    **environment,
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(2)
        ]

    def wait(self):
        """Exit codes and outputs of the ranks."""
        try:
            outputs = [process.communicate(timeout=TIMEOUT)[0] for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()
                process.wait()
        return [process.returncode for process in self.processes], outputs


def train(folder, total_steps, **changes):
    values = {**VALUES, "total_steps": total_steps, **changes}
    return Launch(*flags_of(values), "--run-dir", str(folder)).wait()


def resume(folder, total_steps, *flags):
    return Launch("--resume", str(folder), "--total-steps", str(total_steps), *flags, "--no-progress").wait()


def errors_in(output):
    return [line for line in output.splitlines() if line.startswith("error:")]


def wait_for_progress(folder):
    """Wait until a run has written points of its curves."""
    deadline = time.monotonic() + TIMEOUT
    while not (folder / "progress.csv").is_file() or not (folder / "progress.csv").read_text().count("\n") > 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_end_of_processes_with(mark):
    """Wait until no process has a text in its environment variables."""
    deadline = time.monotonic() + TIMEOUT
    while left := processes_with(mark):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def processes_with(mark):
    """Command lines of the processes that have a text in their environment variables."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            if mark.encode() in file.read_bytes():
                found.append(file.with_name("cmdline").read_text())
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two ranks with four environments each."""
    folder = tmp_path_factory.mktemp("ranks") / "run"
    codes, outputs = train(folder, 1200)
    assert codes == [0, 0], outputs
    assert "trained for 1,200 steps" in outputs[0]
    assert "trained" not in outputs[1]
    return folder


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy")


def test_run_of_two_ranks_equals_one_process_with_all_environments(run, tmp_path):
    one = tmp_path / "one"
    quick_run(one, 1200, **{**VALUES, "num_envs": 8})
    states = [load_checkpoint(RunFolder(folder).latest) for folder in (run, one)]
    for name in ("env_steps", "num_updates", "generator"):
        assert states[0]["algorithm"][name] == states[1]["algorithm"][name]
    for name in ("parameters", "encoder"):
        for key, expected in states[1]["algorithm"][name].items():
            found = states[0]["algorithm"][name][key]
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5, err_msg=f"{name} {key}")
    assert states[0]["episodes"] == states[1]["episodes"]


@pytest.mark.slow
def test_resumed_run_of_two_ranks_is_the_longer_run(copy, tmp_path):
    codes, outputs = resume(copy, 2400)
    assert codes == [0, 0], outputs
    train(tmp_path / "longer", 2400)
    assert_same_run(copy, tmp_path / "longer")
    parts = [load_checkpoint(RunFolder(folder).latest)["other_ranks"]["1"] for folder in (copy, tmp_path / "longer")]
    np.testing.assert_array_equal(parts[0]["collector"]["observations"], parts[1]["collector"]["observations"])


def test_one_process_resumes_a_run_of_two_ranks_with_new_episodes(copy, capsys):
    latest = RunFolder(copy).latest
    before = load_checkpoint(latest)["algorithm"]
    code, _, error = run_main(capsys, "train.py", "--resume", str(copy), "--total-steps", "1400")
    assert code == 2
    assert error == (
        f"error: {latest} holds the running episodes of 2 ranks, and 1 resumes it: --resume-episodes new begins new "
        "episodes instead\n"
    )
    flags = ["--total-steps", "1400", "--resume-episodes", "new", "--no-progress"]
    assert run_main(capsys, "train.py", "--resume", str(copy), *flags)[0] == 0
    state = load_checkpoint(latest)
    assert "other_ranks" not in state
    assert state["algorithm"]["num_updates"] == before["num_updates"] + 200 // (4 * 5)


@pytest.mark.slow
def test_two_ranks_resume_a_run_of_one_process_with_new_episodes(tmp_path):
    quick_run(tmp_path / "one", 1200, **VALUES)
    codes, outputs = resume(tmp_path / "one", 1600, "--resume-episodes", "new")
    assert codes == [0, 0], outputs
    state = load_checkpoint(RunFolder(tmp_path / "one").latest)
    assert state["algorithm"]["env_steps"] == 1600
    assert state["other_ranks"].keys() == {"1"}


@pytest.mark.parametrize(
    ("fault", "codes", "message"),
    [
        ("kill", [1, -signal.SIGKILL], "rank 1 of 2 has ended without a message; --resume continues from the last"),
        ("raise", [1, 1], "rank 1 of 2 failed: environment 0 failed in step"),
        pytest.param("hang", [1, 1], "rank 1 of 2 gave no answer within 30 s", marks=pytest.mark.slow),
    ],
)
def test_failed_rank_ends_the_others_and_is_named(fault, codes, message, tmp_path):
    folder, memory = tmp_path / "run", shared_memory()
    values = {**VALUES, **FAULTY, "vec": "subproc", "num_workers": 2, "total_steps": 100_000}
    if fault == "hang":
        values["step_timeout"] = 40
    launch = Launch(*flags_of(values), "--run-dir", str(folder), RANK_FAULT=f"{fault},200", MARK=str(tmp_path))
    found, outputs = launch.wait()
    assert found == codes
    (error,) = errors_in(outputs[0])
    assert error.startswith(f"error: {message}")
    state = load_checkpoint(RunFolder(folder).latest)
    assert state["algorithm"]["env_steps"] == 1400  # of 200 * 8 steps, at an interval of 700
    assert not leaked_shared_memory(memory)
    wait_for_end_of_processes_with(str(tmp_path))


def test_target_that_an_evaluation_reaches_stops_the_ranks_before_the_next_update(tmp_path):
    codes, outputs = train(tmp_path / "run", 100_000, eval_interval=1000, stop_at_return=1.0)
    assert codes == [0, 0], outputs
    summary = RunFolder(tmp_path / "run").read_summary()
    assert (summary["stopped_by"], summary["env_steps"]) == ("target_return", 1000)


def test_stop_signal_to_one_rank_ends_all_with_a_checkpoint(tmp_path):
    folder = tmp_path / "run"
    launch = Launch(*flags_of({**VALUES, "total_steps": 10_000_000}), "--run-dir", str(folder))
    wait_for_progress(folder)
    launch.processes[1].send_signal(signal.SIGTERM)
    codes, outputs = launch.wait()
    assert codes == [128 + signal.SIGTERM] * 2, outputs
    assert "interrupted after" in outputs[0]
    state = load_checkpoint(RunFolder(folder).latest)
    assert f"{state['algorithm']['env_steps']:,} steps" in outputs[0]
    assert state["other_ranks"].keys() == {"1"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--num-env", "3"], "unknown argument --num-env (did you mean '--num-envs'?)"),
        (["--env", "Nope-v0", "--vec", "serial"], "environment 'Nope-v0': "),
    ],
)
def test_mistake_is_one_line_of_rank_0(flags, message, tmp_path):
    codes, outputs = Launch(*flags, "--run-dir", str(tmp_path / "run")).wait()
    assert codes == [2, 2]
    (error,) = errors_in(outputs[0])
    assert error.startswith(f"error: {message}")
    assert not outputs[1]
    assert not (tmp_path / "run").exists()


LAUNCHER = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", "log"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux sends a signal to processes whose parent was killed")
@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_ranks_of_a_killed_launcher_stop_with_a_checkpoint(number, tmp_path):
    folder = tmp_path / "run"
    flags = flags_of({**VALUES, "vec": "subproc", "num_workers": 2, "total_steps": 200_000})
    launcher = subprocess.Popen(
        [*LAUNCHER, str(ROOT / "tools" / "train.py"), *flags, "--run-dir", str(folder)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MARK": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_progress(folder)
    finally:
        launcher.send_signal(number)
        assert launcher.wait(TIMEOUT) == -number
    wait_for_end_of_processes_with(str(tmp_path))
    summary = RunFolder(folder).read_summary()
    assert summary["stopped_by"] == "interrupt"
    state = load_checkpoint(RunFolder(folder).latest)
    assert state["algorithm"]["env_steps"] == summary["env_steps"]


def test_launcher_of_paddle_starts_the_ranks(tmp_path):
    values = {**VALUES, "algo": "ppo", "num_steps": 20, "minibatch_size": 40, "total_steps": 640}
    known = ("algo", "num_envs", "num_steps", "minibatch_size", "total_steps", "vec", "hidden_sizes", "eval_episodes")
    flags = flags_of({name: values[name] for name in known})
    ended = subprocess.run(
        [*LAUNCHER, str(ROOT / "tools" / "train.py"), *flags, "--run-dir", "run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "trained for 640 steps" in (tmp_path / "log" / "workerlog.0").read_text()
    assert load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]["env_steps"] == 640
