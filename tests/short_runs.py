"""Short runs, the commands that start them, and what two runs have in common."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from visualdl import LogReader

from paddle_ac.checkpoint import load_checkpoint
from paddle_ac.config import find_config_class, make_config
from paddle_ac.training.run_folder import RunFolder
from paddle_ac.training.runs import train
from tests.paths import ROOT

QUICK = {
    "algo": "a2c",
    "num_envs": 4,
    "num_steps": 5,
    "gae_lambda": 1.0,
    "normalize_observations": False,
    "normalize_rewards": False,
    "optimizer": "rmsprop",
    "learning_rate": 7e-4,
    "lr_schedule": "step",  # it does not depend on the total of steps
    "hidden_sizes": (16,),
    "log_interval": 300,
    "eval_interval": 1000,
    "eval_episodes": 3,
    "checkpoint_interval": 700,
}
PARALLEL = {"vec": "subproc", "num_workers": 2}
TIMES = ("train_seconds", "charts/steps_per_second", "charts/updates_per_second", "last_point")


def quick_run(folder: Path, total_steps: int, progress: bool = False, **changes) -> dict:
    values = {**QUICK, "total_steps": total_steps, **changes}
    known = find_config_class(values["algo"]).model_fields
    return train(
        make_config({name: value for name, value in values.items() if name in known or name in changes}),
        str(folder),
        progress,
    )


def assert_same_run(one: Path, other: Path) -> None:
    """The same curves, parameters, optimiser, random states and best model, but for the times."""
    tables = []
    for folder in (one, other):
        with (folder / "progress.csv").open() as file:
            tables.append([{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)])
    assert tables[0] == tables[1] and len(tables[0]) > 5
    assert visualdl_curves(one) == visualdl_curves(other)
    assert visualdl_pictures(one) == visualdl_pictures(other)
    for name in ("latest", "best"):
        states = [load_checkpoint(getattr(RunFolder(folder), name)) for folder in (one, other)]
        assert flat(states[0]) == flat(states[1])


def visualdl_curves(folder: Path) -> dict:
    """Tag to (step, value) of every point, from the one VisualDL file of a run."""
    assert [path.name for path in folder.glob("*vdlrecords*")] == ["vdlrecords.run.log"]
    reader = LogReader(file_path=str(folder / "vdlrecords.run.log"))
    tags = [tag for tag in reader.get_tags().get("scalar", []) if tag not in TIMES]
    return {tag: [(point.id, point.value) for point in reader.get_data("scalar", tag)] for tag in tags}


def visualdl_pictures(folder: Path) -> dict:
    """Tag to (step, content) of every histogram and image."""
    reader = LogReader(file_path=str(folder / "vdlrecords.run.log"))
    return {
        tag: [(record.id, getattr(record, kind)) for record in reader.get_data(kind, tag)]
        for kind in ("histogram", "image")
        for tag in reader.get_tags().get(kind, [])
    }


def flat(state: dict, prefix: str = "") -> dict:
    leaves = {}
    for key, value in state.items():
        if isinstance(value, Mapping):
            leaves.update(flat(value, f"{prefix}{key}/"))
        elif key not in (*TIMES, "progress_bytes", "visualdl_bytes"):
            leaves[prefix + key] = (value.dtype, value.shape, value.tobytes()) if hasattr(value, "dtype") else value
    return leaves


def start_tool(tool: str, *flags: str, env: str | None = None, run_dir: Path | None = None, faults: str = "on"):
    if run_dir is not None and "--config" not in flags:
        quick = {**QUICK, "total_steps": 3020, **({"env": env} if env else {})}
        given = {flag.partition("=")[0] for flag in flags}
        flags = (
            *(as_flag(name, value) for name, value in quick.items()),
            f"--run-dir={run_dir}",
            *flags,
        )
        assert given <= {flag.partition("=")[0] for flag in flags}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tools" / tool), *flags],
        env={**os.environ, "FAULTS": faults, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_tool(*arguments, **options) -> subprocess.CompletedProcess:
    process = start_tool(*arguments, **options)
    output, errors = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def as_flag(name: str, value) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag}={','.join(map(str, value)) if isinstance(value, tuple) else value}"


def wait_until(condition, timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
