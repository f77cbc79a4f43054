"""TensorBoard and Weights & Biases, through stand-ins of their packages and, where it is installed, tensorboardX."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

import paddle_ac
from paddle_ac.training.logger import read_progress
from paddle_ac.training.run_folder import RunFolder
from tests.short_runs import QUICK
from tests.tool_calls import run_main

CONFIG = {**QUICK, "vec": "serial", "total_steps": 1000, "eval_interval": 400, "log_interval": 200}


class StandIn:
    """Records the calls of an object, and of whatever those return."""

    def __init__(self, calls, name):
        self._calls, self._name = calls, name

    def __getattr__(self, name):
        return StandIn(self._calls, f"{self._name}.{name}")

    def __call__(self, *arguments, **options):
        self._calls.append((self._name, arguments, options))
        return StandIn(self._calls, self._name)


@pytest.fixture
def stand_in(monkeypatch):
    """Put a stand-in in place of a package; returns the calls."""

    def put(package, **attributes):
        calls = []
        module = types.ModuleType(package)
        module.__getattr__ = lambda name: StandIn(calls, name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, package, module)
        return calls

    return put


def test_tensorboard_gets_every_point_and_a_resumed_run_purges_what_comes_again(tmp_path, stand_in):
    calls = stand_in("tensorboardX")
    run = tmp_path / "run"
    paddle_ac.train(CONFIG, str(run), log_to="tensorboard")
    assert calls[0] == ("SummaryWriter", (str(run),), {"purge_step": None})
    assert calls[1][0] == "SummaryWriter.add_text" and "algo: a2c" in calls[1][1][1]
    table = read_progress(run / "progress.csv")
    for tag in ("losses/total", "eval/mean_return"):
        points = [arguments[1:] for name, arguments, _ in calls if name.endswith("add_scalar") and arguments[0] == tag]
        expected = [
            (value, steps) for steps, value in zip(table["env_steps"], table[tag], strict=True) if value == value
        ]
        assert points == expected
    assert calls[-1][0] == "SummaryWriter.close"
    calls.clear()
    paddle_ac.resume(str(run), {"total_steps": 1200})  # log_to travels with the configuration
    assert calls[0] == ("SummaryWriter", (str(run),), {"purge_step": 1001})


def test_wandb_continues_the_same_run_on_resume(tmp_path, stand_in, monkeypatch):
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    calls = stand_in("wandb", Error=RuntimeError, run=None)
    run = tmp_path / "run"
    paddle_ac.train(CONFIG, str(run), log_to="wandb")
    name, _, options = calls[0]
    assert name == "init" and options["project"] == "paddle_ac" and options["name"] == "run"
    assert options["config"]["env"] == "CartPole-v1" and options["resume"] == "allow"
    logged = [(arguments[0], options["step"]) for name, arguments, options in calls if name == "init.log"]
    table = read_progress(run / "progress.csv")
    assert [step for _, step in logged] == table["env_steps"].tolist()
    losses = [metrics.get("losses/total", np.nan) for metrics, _ in logged]
    np.testing.assert_array_equal(losses, table["losses/total"])
    updated, finished, torn_down = calls[-3:]
    assert updated[0] == "init.summary.update" and updated[1][0]["stopped_by"] == "total_steps"
    assert finished == ("init.finish", (), {"exit_code": 0}) and torn_down == ("teardown", (), {})
    first_id = calls[0][2]["id"]
    calls.clear()
    paddle_ac.resume(str(run), {"total_steps": 1200})
    assert calls[0][2]["id"] == first_id


def test_active_run_of_wandb_gets_the_points_and_stays_open(tmp_path, stand_in):
    calls = []
    assert stand_in("wandb", Error=RuntimeError, run=StandIn(calls, "active")) == []
    paddle_ac.train(CONFIG, str(tmp_path / "run"), log_to="wandb")
    assert {name for name, *_ in calls} == {"active.log"}


def test_wandb_without_a_key_is_one_line(tmp_path, stand_in):
    class UsageError(Exception):
        pass

    def init(**_):
        raise UsageError("No API key configured.")

    stand_in("wandb", Error=UsageError, init=init, run=None)
    with pytest.raises(
        paddle_ac.ConfigError, match="No API key configured; WANDB_MODE=offline needs no key"
    ) as failure:
        paddle_ac.train(CONFIG, str(tmp_path / "run"), log_to=["wandb"])
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("name,package", [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_missing_package_is_one_line_with_the_pip_line(tmp_path, capsys, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    run = tmp_path / "run"
    code, _, errors = run_main(capsys, "train.py", "--log-to", name, "--run-dir", str(run), "--total-steps", "100")
    assert code == 2 and errors.count("\n") == 1 and f"needs {package}: pip install {package}" in errors
    assert not run.exists()
    paddle_ac.train({**CONFIG, "total_steps": 100}, str(run))
    before = RunFolder(run).config.read_bytes(), RunFolder(run).summary.read_bytes()
    with pytest.raises(paddle_ac.ConfigError, match=f"needs {package}"):
        paddle_ac.resume(str(run), {"log_to": name, "total_steps": 200})
    assert before == (RunFolder(run).config.read_bytes(), RunFolder(run).summary.read_bytes())


def test_tensorboardx_writes_events_that_hold_the_points(tmp_path):
    tensorboardx = pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    assert tensorboardx
    run = tmp_path / "run"
    paddle_ac.train(CONFIG, str(run), log_to="tensorboard")
    (file,) = run.glob("events.out.tfevents.*")
    data, scalars = file.read_bytes(), {}
    while data:  # length (8 bytes), its checksum (4), the event, its checksum (4)
        length = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + length])
        for value in event.summary.value:
            scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
        data = data[16 + length :]
    table = read_progress(run / "progress.csv")
    valid = np.isfinite(table["losses/total"])
    assert [step for step, _ in scalars["losses/total"]] == table["env_steps"][valid].tolist()
    assert [value for _, value in scalars["losses/total"]] == pytest.approx(table["losses/total"][valid].tolist())
