"""Observers see a run, and can end it; the training loop itself draws nothing."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest

import paddle_ac
from paddle_ac.training import runs
from paddle_ac.training import train as loop
from paddle_ac.training.logger import read_progress
from paddle_ac.training.run_folder import RunFolder
from tests.short_runs import QUICK

CONFIG = {**QUICK, "total_steps": 1000, "eval_interval": 400, "log_interval": 200, "checkpoint_interval": 10**6}
VIEWS = ("plotting", "network_graph", "recording", "dashboard", "views", "runs")


class Recorder(paddle_ac.Observer):
    """Keeps what it sees, in order."""

    def __init__(self):
        self.seen = []

    def on_start(self, run):
        self.seen.append(("start", run.algorithm.env_steps))

    def on_log(self, run, point):
        self.seen.append(("log", point))

    def on_evaluation(self, run, evaluation):
        self.seen.append(("evaluation", evaluation))

    def summarize(self):
        return {"seen_by_recorder": len(self.of("log"))}

    def on_end(self, run, summary):
        assert json.loads(run.folder.summary.read_text())["stopped_by"] == summary["stopped_by"]
        self.seen.append(("end", summary))

    def of(self, kind):
        return [what for seen, what in self.seen if seen == kind]


def test_observer_sees_the_start_every_point_every_evaluation_and_the_end(tmp_path):
    observer = Recorder()
    summary = paddle_ac.train(CONFIG, str(tmp_path / "run"), observers=[observer])
    assert [kind for kind, _ in observer.seen[:1] + observer.seen[-1:]] == ["start", "end"]
    assert observer.of("start") == [0] and observer.of("end")[0]["env_steps"] == 1000
    table = read_progress(tmp_path / "run" / "progress.csv")
    points = observer.of("log")
    assert [point.env_steps for point in points] == table["env_steps"].tolist()
    assert [point.is_last for point in points] == [False] * (len(points) - 1) + [True]
    for tag in ("charts/episode_return", "losses/total", "eval/mean_return"):
        values = [point.metrics.get(tag, np.nan) for point in points]
        np.testing.assert_array_equal(values, table[tag])
    evaluations = observer.of("evaluation")
    assert [evaluation.env_steps for evaluation in evaluations] == [400, 800, 1000]
    assert all(evaluation.returns.shape == (CONFIG["eval_episodes"],) for evaluation in evaluations)
    assert all(len(evaluation.observations) == len(evaluation.states) > 0 for evaluation in evaluations)
    assert summary["seen_by_recorder"] == len(points) - 1  # the last is shown when the summary is written


def test_observer_that_returns_false_ends_the_run_with_a_checkpoint_to_resume_from(tmp_path):
    class Stopper(Recorder):
        def on_log(self, run, point):
            super().on_log(run, point)
            return point.env_steps < 400

    summary = paddle_ac.train(CONFIG, str(tmp_path / "run"), observers=[paddle_ac.Observer(), Stopper()])
    assert summary["stopped_by"] == "pruned" and summary["env_steps"] == 400
    observer = Recorder()
    resumed = paddle_ac.resume(str(tmp_path / "run"), observers=[observer])
    assert (resumed["stopped_by"], resumed["env_steps"]) == ("total_steps", 1000)
    assert observer.of("start") == [400]


@pytest.mark.parametrize("hook", ["on_start", "on_log", "on_evaluation", "on_end"])
def test_exception_of_an_observer_is_raised(tmp_path, hook):
    class Failing(paddle_ac.Observer):
        pass

    def fail(*_):
        raise LookupError("of the observer")

    setattr(Failing, hook, fail)
    recorder = Recorder()
    with pytest.raises(LookupError, match="of the observer"):
        paddle_ac.train(CONFIG, str(tmp_path / "run"), observers=[recorder, Failing()])
    folder = RunFolder(tmp_path / "run")
    assert folder.config.is_file()
    if hook != "on_start":
        assert folder.latest.is_file() and recorder.of("end")
        assert folder.read_summary()["stopped_by"] == ("total_steps" if hook == "on_end" else "error")


def test_loop_without_observers_writes_the_same_numbers_and_no_pictures(tmp_path):
    config = paddle_ac.make_config(CONFIG)
    bare = loop.train(config, str(tmp_path / "bare"), progress=False)
    whole = runs.train(config, str(tmp_path / "whole"), progress=False)
    assert bare["eval_mean_return"] == whole["eval_mean_return"] and bare["env_steps"] == whole["env_steps"]
    assert (tmp_path / "whole" / "curves.png").is_file() and not (tmp_path / "bare" / "curves.png").exists()
    tables = [read_progress(tmp_path / name / "progress.csv") for name in ("bare", "whole")]
    assert tables[0].keys() == tables[1].keys()
    for tag in tables[0].keys() - {"train_seconds"}:
        if "per_second" not in tag:
            np.testing.assert_array_equal(tables[0][tag], tables[1][tag])


def test_training_loop_imports_nothing_that_draws():
    tree = ast.parse(Path(loop.__file__).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not imported & {f"paddle_ac.training.{name}" for name in VIEWS}
    assert "paddle_ac.training.observer" in imported
