"""Repeats: each an ordinary run with its own seed, and figures over all of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from paddle_ac.commands.report import report_repeats
from paddle_ac.config import make_config
from paddle_ac.errors import ConfigError
from paddle_ac.training import repeats as repeats_module
from paddle_ac.training.progress import StepsBar
from paddle_ac.training.repeats import resume_repeats, train_repeats
from paddle_ac.training.run_folder import RunFolder
from paddle_ac.training.side_by_side import runs_that_fit
from tests.environments import misbehaving_id
from tests.paths import ROOT
from tests.short_runs import QUICK, assert_same_run, quick_run, wait_until

VEC = {"vec": "serial"}


def quick_repeats(folder: Path, seeds: list[int], **changes) -> dict:
    config = make_config({**QUICK, **VEC, "total_steps": 3020, **changes})
    return train_repeats(config, seeds, str(folder), num_jobs=2)


@pytest.fixture(scope="module")
def repeats(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("repeats") / "cartpole"
    quick_repeats(folder, [0, 7, 3])
    return folder


def test_every_repeat_is_the_run_of_its_seed(repeats, tmp_path):
    quick_run(tmp_path / "alone", 3020, seed=7, **VEC)
    assert_same_run(tmp_path / "alone", repeats / "seed-7")
    assert sorted(path.name for path in repeats.iterdir()) == [
        "repeats.yaml", "seed-0", "seed-3", "seed-7", "summary.json"
    ]  # fmt: skip


def test_the_summary_has_the_figures_of_each_run_and_over_all(repeats):
    summary = json.loads((repeats / "summary.json").read_text())
    assert summary["seeds"] == [0, 7, 3] == [run["seed"] for run in summary["runs"]]
    assert summary["stopped_by"] == "total_steps"
    for run in summary["runs"]:
        of_run = RunFolder(Path(run["run_dir"])).read_summary()
        for name in ("eval_mean_return", "best_eval_mean_return", "steps_per_second", "train_seconds", "env_steps"):
            assert run[name] == of_run[name] is not None
    returns = [run["eval_mean_return"] for run in summary["runs"]]
    assert len(set(returns)) > 1
    assert summary["aggregate"]["eval_mean_return"] == pytest.approx(
        {"mean": np.mean(returns), "std": np.std(returns), "min": min(returns), "max": max(returns)}
    )


def test_the_report_tells_all_runs_and_what_to_type_next(repeats, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tools/train.py"])
    told = report_repeats(json.loads((repeats / "summary.json").read_text()))
    lines = told.splitlines()
    assert "evaluation at the end  best evaluation" in lines[0]
    assert "evaluation at the end: " in told and "best evaluation: " in told
    assert [line.split()[0] for line in lines[1:7]] == ["0", "7", "3", "mean", "std", "min"]
    assert f"python tools/plot.py {repeats}\n" in told and told.endswith(f"python tools/dashboard.py {repeats}")
    assert all(len(line) <= 80 for line in lines[:11])


def test_runs_go_on_where_they_were_stopped(repeats, tmp_path):
    quick_repeats(tmp_path / "run", [0, 7], total_steps=1510)
    shutil.rmtree(tmp_path / "run" / "seed-7")  # as if it had not been begun
    summary = resume_repeats(str(tmp_path / "run"), {"total_steps": 3020})
    assert [run["env_steps"] for run in summary["runs"]] == [3020, 3020]
    for seed in (0, 7):
        assert_same_run(repeats / f"seed-{seed}", tmp_path / "run" / f"seed-{seed}")
    with pytest.raises(ConfigError, match="have reached 3,020 steps"):
        resume_repeats(str(tmp_path / "run"))
    with pytest.raises(ConfigError, match="seed-0 has reached 3,020 steps: --total-steps must not be less"):
        resume_repeats(str(tmp_path / "run"), {"total_steps": 2000})
    with pytest.raises(ConfigError, match=r"gamma cannot change on resume: .* has 0\.99, not 0\.5"):
        resume_repeats(str(tmp_path / "run"), {"gamma": 0.5})


@pytest.mark.slow
def test_a_damaged_checkpoint_of_one_run_does_not_keep_the_others_from_going_on(tmp_path):
    quick_repeats(tmp_path / "run", [0, 7], total_steps=500)
    RunFolder(tmp_path / "run" / "seed-0").latest.write_bytes(b"damaged")
    damaged, whole = resume_repeats(str(tmp_path / "run"), {"total_steps": 1000})["runs"]
    assert damaged["stopped_by"] == "error" and "is damaged" in damaged["error"]
    assert whole["stopped_by"] == "total_steps" and whole["env_steps"] == 1000


def test_fewer_steps_than_a_killed_run_has_reached_are_refused(repeats, tmp_path):
    shutil.copytree(repeats, tmp_path / "run")
    before = (tmp_path / "run" / "repeats.yaml").read_text()
    (tmp_path / "run" / "seed-0" / "summary.json").unlink()  # as after kill -9
    shutil.rmtree(tmp_path / "run" / "seed-7")
    with pytest.raises(ConfigError, match="seed-0 has reached 3,020 steps: --total-steps must not be less"):
        resume_repeats(str(tmp_path / "run"), {"total_steps": 1000})
    assert (tmp_path / "run" / "repeats.yaml").read_text() == before


@pytest.mark.slow
def test_a_run_that_was_not_gone_on_with_is_no_longer_one_that_came_to_its_end(tmp_path, monkeypatch):
    """Ctrl-C right after the beginning: one run has reached the new end, and one has not been taken up."""
    quick_repeats(tmp_path / "run", [0, 7], total_steps=1510)
    real = repeats_module.run_side_by_side

    def interrupted(jobs, num_jobs, on_point, on_end):
        real(iter([next(jobs)]), num_jobs, on_point, on_end)
        return False

    monkeypatch.setattr(repeats_module, "run_side_by_side", interrupted)
    summary = resume_repeats(str(tmp_path / "run"), {"total_steps": 3020})
    assert [(run["env_steps"], run["stopped_by"]) for run in summary["runs"]] == [(3020, "total_steps"), (1520, None)]
    returns = summary["aggregate"]["eval_mean_return"]
    assert returns["min"] == returns["max"] == summary["runs"][0]["eval_mean_return"]
    told = report_repeats(summary)
    assert told.splitlines()[2].endswith("1,520  not resumed") and told.endswith(f"--resume {tmp_path / 'run'}")


@pytest.mark.slow
def test_the_progress_bar_moves_at_every_point_and_begins_where_the_runs_are(tmp_path, monkeypatch):
    bars = []

    class Bar(StepsBar):
        def __init__(self, **options):
            super().__init__(**options)
            self.seen = [self.n]
            bars.append(self)

        def update(self, n=1):
            super().update(n)
            self.seen.append(self.seen[-1] + n)

    monkeypatch.setattr(repeats_module, "StepsBar", Bar)
    quick_repeats(tmp_path / "run", [0], total_steps=1510, log_interval=500, eval_interval=10_000)
    resume_repeats(str(tmp_path / "run"), {"total_steps": 3020})
    assert [bar.seen for bar in bars] == [[0, 500, 1000, 1500, 1520], [1520, 2000, 2500, 3000, 3020]]
    assert [bar.total for bar in bars] == [1510, 3020]


@pytest.mark.slow
def test_a_failure_with_a_traceback_is_a_row_of_one_line(tmp_path, capsys):
    failing = quick_repeats(tmp_path / "run", [0, 1], env=f"tests.environments:{misbehaving_id('raise in step')}")
    assert "Traceback" in capsys.readouterr().out
    rows = report_repeats(failing).splitlines()[1:3]
    for row in rows:
        assert "EnvironmentFailedError: environment 0 failed in step with action" in row and "Traceback" not in row
        assert row.endswith(failing["runs"][0]["error"].splitlines()[-1])


def test_runs_that_fail_are_named(tmp_path, capsys):
    env = f"tests.environments:{misbehaving_id('nan reward')}"
    failing = quick_repeats(tmp_path / "failing", [0, 1], env=env)
    assert failing["stopped_by"] == "error" and failing["aggregate"] is None
    for run in failing["runs"]:
        assert run["stopped_by"] == "error" and "reward of environment 0 is not finite" in run["error"]
    assert "seed-1: failed: NonFiniteError: reward of environment 0" in capsys.readouterr().out
    assert "failed: NonFiniteError" in report_repeats(failing)


def test_a_run_that_is_killed_is_named_and_the_others_go_on(tmp_path):
    process = start_repeats(tmp_path / "run", "--total-steps=40000")
    wait_until(lambda: (tmp_path / "run" / "seed-1" / "progress.csv").is_file())
    (victim,) = [child for child in psutil.Process(process.pid).children() if writes_into(child, "seed-1")]
    victim.kill()
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1 and errors == ""
    assert "seed-1: failed: its process was killed by SIGKILL" in output
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [run["stopped_by"] for run in summary["runs"]] == ["total_steps", "error", "total_steps"]
    assert summary["aggregate"]["eval_mean_return"]["mean"] > 0


WORKERS = ("--vec=subproc", "--num-workers=2")


@pytest.mark.parametrize(
    "how,send,flags",
    [
        pytest.param(signal.SIGINT, os.kill, WORKERS, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, os.kill, WORKERS, marks=pytest.mark.slow),
        (signal.SIGINT, os.killpg, WORKERS),
        pytest.param(signal.SIGTERM, os.killpg, ("--vec=serial",), marks=pytest.mark.slow),
    ],
    ids=["SIGINT", "SIGTERM", "SIGINT to all, as a terminal does", "SIGTERM to all"],
)
def test_ctrl_c_stops_all_with_checkpoints(tmp_path, how, send, flags):
    process = start_repeats(tmp_path / "run", "--total-steps=50000000", "--jobs=2", *flags)
    folders = [RunFolder(tmp_path / "run" / f"seed-{seed}") for seed in (0, 1)]
    wait_until(lambda: all(f.progress.is_file() and len(f.progress.read_text().splitlines()) > 3 for f in folders))
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= (6 if flags is WORKERS else 2)
    send(process.pid, how)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + how and errors == ""
    assert not psutil.wait_procs(children, timeout=5)[1]
    assert output.count("interrupted after") == 2 and output.count(", interrupted\n") == 2
    assert "not started" in output and f"--resume {tmp_path / 'run'}\n" in output
    for folder in folders:
        summary = folder.read_summary()
        assert summary["stopped_by"] == "interrupt" and summary["env_steps"] >= 900 and folder.latest.is_file()
        assert folder.curves.is_file()


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_before_anything_has_begun_is_no_fault(tmp_path, how):
    process = start_repeats(tmp_path / "run", "--jobs=2")
    wait_until(lambda: any(catches_sigterm(child) for child in psutil.Process(process.pid).children()))
    os.killpg(process.pid, how)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + how and errors == ""
    assert "Traceback" not in output and "failed" not in output


@pytest.mark.parametrize(
    "changes,said",
    [
        ({"env": "CartPole-v7"}, "CartPole-v7"),
        ({"algo": "q_ac", "env": "Pendulum-v1"}, "q_ac takes Discrete action spaces"),
    ],
)
def test_repeats_that_cannot_begin_are_reported_once_and_leave_nothing(tmp_path, changes, said):
    with pytest.raises(ConfigError, match=said):
        quick_repeats(tmp_path / "new" / "run", [0, 1], **changes)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "seeds,said",
    [
        ("[]", "has no list of seeds"),
        ("1", "has no list of seeds"),
        ("[0, 99999999999]", "seed: must be less than or equal to 2147483647"),
        ("[true]", "seed: takes no True"),
        ("[[0]]", "seed: must be a valid integer"),
        ("[3, 3]", "names a seed twice"),
    ],
)
def test_wrong_seeds_in_the_file_of_repeats_are_rejected(tmp_path, seeds, said):
    (tmp_path / "repeats.yaml").write_text(f"algo: a2c\nseeds: {seeds}\n")
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        resume_repeats(str(tmp_path))
    assert "repeats.yaml" in str(caught.value)


def test_a_seed_out_of_range_leaves_no_folder(tmp_path):
    with pytest.raises(ConfigError, match="seed: must be less"):
        train_repeats(make_config(QUICK), [0, 2**31], str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_runs_of_many_processes_are_fewer_at_a_time(monkeypatch):
    monkeypatch.setattr("paddle_ac.training.side_by_side.usable_cores", lambda: 8)
    monkeypatch.setattr("paddle_ac.cores.usable_cores", lambda: 8)
    fits = {
        8: {"algo": "a2c", "vec": "serial"},
        2: {"algo": "a3c", "num_workers": 3},
        4: {"algo": "a2c", "vec": "subproc", "num_envs": 4, "num_workers": 2},
        1: {"algo": "a2c", "vec": "subproc"},
    }
    for expected, values in fits.items():
        assert runs_that_fit(make_config(values)) == expected
    assert runs_that_fit(make_config({"algo": "a3c", "num_workers": 100})) == 1


def start_repeats(folder: Path, *flags: str) -> subprocess.Popen:
    quick = ("--seeds=0,1,2", f"--run-dir={folder}", "--num-envs=4", "--log-interval=300", "--hidden-sizes=16")
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tools" / "train.py"), *quick, *flags],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a process group of its own, for Ctrl-C
    )


def catches_sigterm(process: psutil.Process) -> bool:
    """As Paddle has it from the middle of its import on."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (caught,) = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(caught & 1 << signal.SIGTERM - 1)


def writes_into(process: psutil.Process, name: str) -> bool:
    return any(Path(file.path).parent.name == name for file in process.open_files())
