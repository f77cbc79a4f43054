"""A stop signal to the process group, or to every process, ends a run with a checkpoint and its line to resume."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from paddle_ac.training.run_folder import RunFolder
from tests.paths import TOOLS
from tests.short_runs import wait_until

QUICK = ("--num-envs=4", "--hidden-sizes=16", "--log-interval=300", "--eval-episodes=1", "--total-steps=50000000")
# What runs, the runs inside the folder, and the processes beside the command.
TOPOLOGIES = {
    "serial": (("train.py", "--vec=serial"), ["."], 0),
    "native": (("train.py", "--vec=native"), ["."], 0),
    "subproc": (("train.py", "--vec=subproc", "--num-workers=2"), ["."], 2),
    "envpool": (("train.py", "--vec=envpool"), ["."], 0),
    "a3c": (("train.py", "--algo=a3c", "--num-workers=2"), ["."], 2),
    "async_q": (("train.py", "--algo=async_q", "--num-workers=2"), ["."], 2),
    "seeds": (("train.py", "--seeds=0,1", "--jobs=2", "--vec=subproc", "--num-workers=2"), ["seed-0", "seed-1"], 6),
    "tune": (("tune.py", "--jobs=2", "--vec=serial"), ["trial-0000", "trial-0001"], 2),
}


def to_group(process: subprocess.Popen, number: int) -> None:
    """As a closed terminal and most schedulers do."""
    os.killpg(process.pid, number)


def to_every_process(process: subprocess.Popen, number: int) -> None:
    """As systemd and Slurm do, which signal a control group."""
    for each in [*psutil.Process(process.pid).children(recursive=True), process]:
        each.send_signal(number)


CASES = [
    *((signal.SIGTERM, to_group, topology) for topology in TOPOLOGIES),
    *((signal.SIGHUP, to_group, topology) for topology in ("serial", "subproc")),
    *((signal.SIGTERM, to_every_process, topology) for topology in ("a3c", "seeds")),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "number,send,topology", CASES, ids=[f"{number.name} {send.__name__} {name}" for number, send, name in CASES]
)
def test_stop_signal_ends_a_run_with_a_checkpoint_and_a_line_to_resume(tmp_path, number, send, topology):
    (tool, *flags), runs, num_children = TOPOLOGIES[topology]
    folder = tmp_path / "run"
    where = f"--study-dir={folder}" if tool == "tune.py" else f"--run-dir={folder}"
    process = subprocess.Popen(
        [sys.executable, str(TOOLS / tool), *QUICK, *flags, where],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: all(has_points(folder / run) for run in runs))
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= num_children
    send(process, number)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (128 + number, ""), output
    assert not psutil.wait_procs(children, timeout=5)[1]
    resume = f"--study-dir {folder} --trials 20\n" if tool == "tune.py" else f"--resume {folder}\n"
    assert resume in f"{output}\n"
    for run in map(RunFolder, (folder / run for run in runs)):
        summary = run.read_summary()
        assert summary["stopped_by"] == "interrupt" and summary["env_steps"] >= 600 and run.latest.is_file()


def has_points(run: Path) -> bool:
    table = run / "progress.csv"
    return table.is_file() and len(table.read_text().splitlines()) > 2
