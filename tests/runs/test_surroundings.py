"""Commands in unusual surroundings: streams that are closed or full, encodings, folders that cannot be written to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.paths import ROOT

SLOW = pytest.mark.slow
QUICK_RUN = ("--total-steps=200", "--hidden-sizes=8", "--eval-episodes=1", "--num-envs=2", "--vec=serial", "--run-dir")

MOVING_ENVIRONMENT = """
import os
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium import register

class Mover(CartPoleEnv):
    def __init__(self, **options):
        os.chdir("/")
        super().__init__(**options)

register("Mover-v0", entry_point=Mover, max_episode_steps=20)
"""


def run_in_shell(line: str, folder: Path, **variables: str) -> subprocess.CompletedProcess:
    """Run a line of bash in which ``TOOL`` is the folder of the tools; standard streams are those of the test."""
    line = line.replace("TOOL/", f"{sys.executable} {ROOT}/tools/")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=280
    )


# ------------------------------------------------------------------------------------------------- standard streams


def test_output_that_nobody_reads_ends_a_command_silently_with_141(tmp_path):
    ended = run_in_shell(
        f"TOOL/train.py {' '.join(QUICK_RUN)} run | true; echo ${{PIPESTATUS[0]}}; "
        "TOOL/train.py --help | true; echo ${PIPESTATUS[0]}",
        tmp_path,
    )
    assert (ended.stdout.split(), ended.stderr) == (["141", "141"], "")
    assert (tmp_path / "run" / "summary.json").is_file()


@pytest.mark.parametrize("arguments", [(*QUICK_RUN, "run"), ("--help",)], ids=["run", "help"])
def test_output_that_cannot_be_written_ends_a_command_with_one_line(tmp_path, arguments):
    ended = run_in_shell(f"TOOL/train.py {' '.join(arguments)} > /dev/full", tmp_path)
    assert ended.returncode == 1
    assert ended.stderr == "error: No space left on device\n"


@pytest.mark.slow
@pytest.mark.parametrize("flags", ["--algo=ga3c --num-agents=40", "--vec=subproc --num-envs=64 --num-workers=64"])
def test_too_few_open_files_for_the_processes_end_a_command_with_one_line(tmp_path, flags):
    ended = run_in_shell(f"ulimit -n 100; TOOL/train.py {flags} --run-dir run", tmp_path)
    assert ended.returncode == 1
    assert ended.stderr == "error: Too many open files: allow more with `ulimit -n`, or start fewer processes\n"


@pytest.mark.parametrize("closed", ["2>&-", pytest.param(">&-", marks=SLOW), "<&- >&- 2>&-"])
def test_a_command_runs_with_closed_streams_and_keeps_its_files_apart(tmp_path, closed):
    ended = run_in_shell(f"TOOL/train.py {' '.join(QUICK_RUN)} run {closed}", tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "run" / "progress.csv").read_text().startswith("env_steps,")
    assert ("trained for" in ended.stdout) == (closed == "2>&-")


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("gbk", marks=SLOW)])
def test_what_the_encoding_lacks_is_escaped(tmp_path, encoding):
    ended = run_in_shell(
        f"TOOL/train.py {' '.join(QUICK_RUN)} 'Übung' && TOOL/plot.py 'Übung' --output 'Übung.png' && TOOL/evaluate.py "
        "--run-dir 'Übung' --episodes 1; TOOL/evaluate.py --run-dir 'Ü2'",
        tmp_path,
        PYTHONIOENCODING=encoding,
        PYTHONUTF8="1",  # names of files
    )
    assert ended.returncode == 2 and ended.stderr.startswith(r"error: there is no run folder \xdc2")
    assert r"run folder: '\xdcbung'" in ended.stdout and r"curves: \xdcbung.png" in ended.stdout


def test_training_from_python_needs_no_standard_error(tmp_path):
    config = {"algo": "a2c", "total_steps": 100, "hidden_sizes": 8, "eval_episodes": 1}
    lines = ("import sys, paddle_ac", "sys.stderr = None", f"paddle_ac.train({config}, 'run')")
    (tmp_path / "script.py").write_text("\n".join(lines))
    assert run_in_shell(f"{sys.executable} script.py", tmp_path).returncode == 0
    assert (tmp_path / "run" / "summary.json").is_file()


# ------------------------------------------------------------------------------------------------------------- folders


@pytest.mark.parametrize(
    "home", ["/proc", *(pytest.param(home, marks=SLOW) for home in ("/nonexistent/home", "/dev/null"))]
)
def test_no_command_needs_a_home_folder_that_can_be_written_to(tmp_path, home):
    ended = run_in_shell(
        f"TOOL/train.py {' '.join(QUICK_RUN)} run && TOOL/plot.py run && TOOL/evaluate.py --run-dir run --episodes 1",
        tmp_path,
        HOME=home,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"the home folder {home} is not writable" in ended.stdout
    assert not Path("/nonexistent").exists()


def test_an_agent_from_python_writes_nothing_at_home(tmp_path):
    code = "import os, paddle_ac; paddle_ac.make('a2c', 'CartPole-v1', vec='serial').close(); print(os.environ['HOME'])"
    ended = run_in_shell(f'{sys.executable} -c "{code}"', tmp_path, HOME=str(tmp_path / "none"))
    assert (ended.returncode, ended.stdout) == (0, f"{tmp_path / 'none'}\n"), ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_environment_that_changes_the_folder_moves_nothing(tmp_path):
    (tmp_path / "moving.py").write_text(MOVING_ENVIRONMENT)
    flags = f"{' '.join(QUICK_RUN[:-1])} --vec=subproc --env=moving:Mover-v0"
    ended = run_in_shell(
        f"TOOL/train.py {flags} --run-dir runs/one && TOOL/train.py {flags} --run-dir runs/two --seeds 0,1 && "
        "TOOL/train.py --resume runs/one --total-steps 300 --import-here && "
        "TOOL/export.py --run-dir runs/one --output out/model --import-here && "
        "TOOL/evaluate.py --run-dir runs/one --record film.gif --import-here",
        tmp_path,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    for file in ("runs/one/summary.json", "runs/two/seed-1/summary.json", "runs/two/summary.json", "film.gif", "out"):
        assert (tmp_path / file).exists()
    assert "run folder: runs/one\n" in ended.stdout
    assert not Path("/runs").exists()


@pytest.mark.parametrize(
    "line",
    [
        "TOOL/train.py --run-dir {}",
        pytest.param("TOOL/train.py --resume {}", marks=SLOW),
        pytest.param("TOOL/train.py --seeds 0,1 --run-dir {}", marks=SLOW),
        "TOOL/tune.py --study-dir {}",
        pytest.param("TOOL/evaluate.py --run-dir {}", marks=SLOW),
        pytest.param("TOOL/export.py --run-dir {}", marks=SLOW),
        "TOOL/plot.py run --output {}.png",
        pytest.param("TOOL/dashboard.py {}", marks=SLOW),
    ],
)
@pytest.mark.parametrize("name,said", [("$'caf\\xe9'", "is not a name in UTF-8"), ("$(printf %0300d 0)", "too long")])
def test_a_name_that_cannot_be_written_is_one_line(tmp_path, line, name, said):
    ended = run_in_shell(line.format(name), tmp_path, PYTHONUTF8="1")
    assert ended.returncode == 2 and ended.stdout == ""
    assert said in ended.stderr and ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------- what environments leave

LEAVING_ENVIRONMENTS = """
import subprocess, sys, threading, time
from gymnasium.envs.classic_control import CartPoleEnv

class Leaving(CartPoleEnv):
    def __init__(self, **options):
        super().__init__(**options)
        command = [sys.executable, "-c", "import time; time.sleep(3600)"]
        with open("processes", "a") as file:
            for own_session in (False, True):
                print(subprocess.Popen(command, start_new_session=own_session).pid, file=file)
        threading.Thread(target=lambda: time.sleep(3600), name="leaving").start()

class Silencing(CartPoleEnv):
    def __init__(self, **options):
        super().__init__(**options)
        sys.stdout = sys.stderr = None

class Verbose(CartPoleEnv):
    def step(self, action):
        raise ValueError("x" * 10_000_000)
"""


def train_in(folder: Path, name: str, *flags: str) -> subprocess.CompletedProcess:
    (folder / "leaving.py").write_text(LEAVING_ENVIRONMENTS)
    options = "--total-steps=200 --hidden-sizes=8 --eval-episodes=1 --num-envs=2 --env-kwargs max_episode_steps=20"
    line = f"TOOL/train.py --run-dir run --env leaving:{name} {options} {' '.join(flags)}"
    return run_in_shell(line, folder)


@pytest.mark.parametrize(
    "flags", ["--vec=serial", pytest.param("--vec=subproc", marks=SLOW), pytest.param("--algo=a3c", marks=SLOW)]
)
def test_processes_and_threads_of_environments_end_with_the_command(tmp_path, flags):
    ended = train_in(tmp_path, "Leaving", flags)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "run" / "summary.json").is_file()
    processes = [
        psutil.Process(int(pid)) for pid in (tmp_path / "processes").read_text().split() if psutil.pid_exists(int(pid))
    ]
    assert not psutil.wait_procs(processes, timeout=10)[1]
    assert "processes that did not end were stopped: python" in ended.stdout
    assert "threads that did not end are left behind: leaving" in ended.stdout


def test_a_run_whose_environment_replaces_the_streams_succeeds(tmp_path):
    ended = train_in(tmp_path, "Silencing", "--vec=serial")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "run" / "summary.json").is_file()


def test_a_long_message_of_an_environment_is_cut(tmp_path):
    ended = train_in(tmp_path, "Verbose", "--vec=serial")
    assert ended.returncode == 1 and len(ended.stdout + ended.stderr) < 50_000
    assert "error: environment 0 failed in step with action" in ended.stderr
