"""Callbacks see a run, add metrics to it and can stop it; the training loop itself draws nothing."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest

import paddle_ac
from paddle_ac.checkpoint import load_best_model, load_run_state
from paddle_ac.commands.report import report_run
from paddle_ac.training import runs
from paddle_ac.training import train as loop
from paddle_ac.training.logger import read_progress
from paddle_ac.training.repeats import resume_repeats, train_repeats
from paddle_ac.training.run_folder import RunFolder
from tests.short_runs import QUICK, visualdl_curves

CONFIG = {**QUICK, "total_steps": 1000, "eval_interval": 400, "log_interval": 200, "checkpoint_interval": 10**6}
VIEWS = ("plotting", "network_graph", "recording", "dashboard", "views", "runs", "writers")


class Recorder(paddle_ac.Callback):
    """Keeps what it sees, in order."""

    def __init__(self):
        self.seen = []

    def on_start(self, run):
        assert run.folder.latest.is_file()
        self.seen.append(("start", run.agent.env_steps))

    def on_update(self, run, metrics):
        assert "losses/total" in metrics
        self.seen.append(("update", run.agent.env_steps))

    def on_log(self, run, point):
        self.seen.append(("log", point))

    def on_evaluation(self, run, evaluation):
        if evaluation.is_best and evaluation.env_steps % CONFIG["eval_interval"] == 0:
            assert load_best_model(run.folder.best, "a2c")["env_steps"] == evaluation.env_steps
        self.seen.append(("evaluation", evaluation))

    def on_checkpoint(self, run, path):
        assert load_run_state(path, "a2c")["algorithm"]["env_steps"] == run.agent.env_steps
        self.seen.append(("checkpoint", run.agent.env_steps))

    def summarize(self):
        return {"seen_by_recorder": len(self.of("log"))}

    def on_end(self, run, summary):
        assert json.loads(run.folder.summary.read_text())["stopped_by"] == summary["stopped_by"]
        self.seen.append(("end", summary))

    def of(self, kind):
        return [what for seen, what in self.seen if seen == kind]


def test_callback_sees_start_updates_points_evaluations_checkpoints_and_end(tmp_path):
    callback = Recorder()
    summary = paddle_ac.train(CONFIG, str(tmp_path / "run"), callbacks=[callback], checkpoint_interval=600)
    assert [kind for kind, _ in callback.seen[:1] + callback.seen[-1:]] == ["start", "end"]
    assert callback.of("start") == [0] and callback.of("end")[0]["env_steps"] == 1000
    assert callback.of("update") == list(range(20, 1001, 20))
    assert callback.of("checkpoint") == [0, 600, 1000]
    table = read_progress(tmp_path / "run" / "progress.csv")
    points = callback.of("log")
    assert [point.env_steps for point in points] == table["env_steps"].tolist()
    assert [point.is_last for point in points] == [False] * (len(points) - 1) + [True]
    for tag in ("charts/episode_return", "losses/total", "eval/mean_return"):
        values = [point.metrics.get(tag, np.nan) for point in points]
        np.testing.assert_array_equal(values, table[tag])
    evaluations = callback.of("evaluation")
    assert [evaluation.env_steps for evaluation in evaluations] == [400, 800, 1000]
    assert evaluations[0].is_best and evaluations[0].mean_return == evaluations[0].returns.mean()
    assert all(evaluation.returns.shape == (CONFIG["eval_episodes"],) for evaluation in evaluations)
    assert all(len(evaluation.observations) == len(evaluation.states) > 0 for evaluation in evaluations)
    assert summary["seen_by_recorder"] == len(points) - 1  # the last is shown when the summary is written


@pytest.mark.parametrize("hook", ["on_update", "on_log", "on_evaluation", "on_checkpoint"])
def test_callback_stops_a_run_with_a_checkpoint_and_a_final_evaluation(tmp_path, hook):
    class Stopper(Recorder):
        pass

    def stop(self, run, seen):
        getattr(Recorder, hook)(self, run, seen)
        if run.agent.env_steps == 400:
            run.stop()

    setattr(Stopper, hook, stop)
    summary = paddle_ac.train(
        CONFIG, str(tmp_path / "run"), callbacks=[paddle_ac.Callback(), Stopper()], checkpoint_interval=200
    )
    assert (summary["stopped_by"], summary["env_steps"]) == ("callback", 400)
    assert summary["eval_mean_return"] is not None
    if hook != "on_update":
        return
    callback = Recorder()
    resumed = paddle_ac.resume(str(tmp_path / "run"), callbacks=[callback])
    assert (resumed["stopped_by"], resumed["env_steps"]) == ("total_steps", 1000)
    assert callback.of("start") == [400]


@pytest.mark.parametrize("hook", ["on_start", "on_update", "on_log", "on_evaluation", "on_checkpoint", "on_end"])
def test_exception_of_a_callback_is_raised_and_leaves_a_run_to_resume(tmp_path, hook):
    class Failing(paddle_ac.Callback):
        pass

    def fail(*_):
        raise LookupError("of the callback")

    setattr(Failing, hook, fail)
    first, last = Recorder(), Recorder()
    with pytest.raises(LookupError, match="of the callback"):
        paddle_ac.train(CONFIG, str(tmp_path / "run"), callbacks=[first, Failing(), last])
    assert len(first.of("end")) == 1
    assert len(last.of("end")) == len(last.of("start")) == (hook != "on_start")
    folder = RunFolder(tmp_path / "run")
    assert folder.read_summary()["stopped_by"] == ("total_steps" if hook == "on_end" else "error")
    if hook == "on_log":
        assert paddle_ac.resume(str(tmp_path / "run"))["stopped_by"] == "total_steps"


def test_exception_at_the_end_does_not_hide_the_one_that_ended_the_run(tmp_path, caplog):
    class Failing(paddle_ac.Callback):
        def on_evaluation(self, run, evaluation):
            raise LookupError("first")

        def on_end(self, run, summary):
            raise TypeError("second")

    with pytest.raises(LookupError, match="first"):
        paddle_ac.train(CONFIG, str(tmp_path / "run"), callbacks=[Failing()])
    assert "a callback failed at the end of the run: TypeError: second" in caplog.text


class Adding(paddle_ac.Callback):
    """Adds a metric."""

    metric_tags = ("own/steps", "own/steps_max")

    def on_update(self, run, metrics):
        run.record({"own/steps": np.float32(run.agent.env_steps), "own/steps_max": run.agent.env_steps})


def test_callback_adds_metrics_to_table_visualdl_and_checkpoints(tmp_path):
    run = tmp_path / "run"
    paddle_ac.train(CONFIG, str(run), callbacks=[Adding()], total_steps=500, log_interval=200)
    table = read_progress(run / "progress.csv")
    assert table["env_steps"].tolist() == [200, 400, 500]
    assert table["own/steps"].tolist() == [110, 310, 460] and table["own/steps_max"].tolist() == [200, 400, 500]
    assert [value for _, value in visualdl_curves(run)["own/steps_max"]] == [200, 400, 500]
    paddle_ac.resume(str(run), {"total_steps": 800})  # without the callback, whose sums are in the checkpoint
    table = read_progress(run / "progress.csv")
    assert table["env_steps"].tolist() == [200, 400, 600, 800]
    assert table["own/steps_max"].tolist()[:3] == [200, 400, 500] and np.isnan(table["own/steps_max"][3])


@pytest.mark.parametrize(
    "metrics,message", [({"other/tag": 1.0}, "no column for other/tag: declare"), ({"own/steps": "many"}, "many")]
)
def test_wrong_metrics_of_a_callback_are_an_error(tmp_path, metrics, message):
    class Wrong(Adding):
        def on_update(self, run, _):
            run.record(metrics)

    with pytest.raises(ValueError, match=message):
        paddle_ac.train(CONFIG, str(tmp_path / "run"), callbacks=[Wrong()])


@pytest.mark.parametrize("callbacks", [Recorder, [Recorder], Recorder(), [print]])
def test_what_is_no_callback_is_rejected_in_one_line(tmp_path, callbacks):
    with pytest.raises(paddle_ac.ConfigError, match=r"a list of paddle_ac\.Callback objects"):
        paddle_ac.train(CONFIG, str(tmp_path / "run"), callbacks=callbacks)
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------------------------------ early stopping


def test_run_stops_at_a_return_and_resumes_for_a_higher_one(tmp_path):
    run = str(tmp_path / "run")
    summary = paddle_ac.train(CONFIG, run, stop_at_return=1)
    assert (summary["stopped_by"], summary["env_steps"]) == ("target_return", 400)
    assert summary["eval_mean_return"] >= 1
    assert report_run(summary).startswith("reached --stop-at-return after 400 steps")
    with pytest.raises(paddle_ac.ConfigError, match=r"has reached a return of 1 after 400 steps: .*--stop-at-return"):
        paddle_ac.resume(run)
    with pytest.raises(paddle_ac.ConfigError, match=r"has reached a return of 1 after 400 steps: .*--stop-at-return"):
        paddle_ac.resume(run, {"total_steps": 2000})
    assert paddle_ac.resume(run, {"stop_at_return": 501})["stopped_by"] == "total_steps"


@pytest.mark.slow
def test_a_repeat_that_stopped_at_its_return_is_complete(tmp_path):
    config = paddle_ac.make_config({**CONFIG, "stop_at_return": 1, "vec": "serial"})
    summary = train_repeats(config, [0, 1], str(tmp_path / "runs"), num_jobs=1, progress=False)
    assert [row["stopped_by"] for row in summary["runs"]] == ["target_return"] * 2
    assert summary["stopped_by"] == "total_steps" and summary["aggregate"]["eval_mean_return"]["mean"] >= 1
    with pytest.raises(paddle_ac.ConfigError, match=r"all runs in .* have reached"):
        resume_repeats(str(tmp_path / "runs"))


def test_loop_without_callbacks_writes_the_same_numbers_and_no_pictures(tmp_path):
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
    assert "paddle_ac.training.callback" in imported


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (("charts/episode_return",), "every run has the column charts/episode_return"),
        (("env_steps",), "every run has the column env_steps"),
        ("own/x", r"must be a tuple of texts, as in \('own/metric',\), got 'own/x'"),
    ],
)
def test_metric_tags_that_no_column_can_have_are_rejected_before_the_run_folder_exists(tmp_path, tags, message):
    class Tagged(paddle_ac.Callback):
        metric_tags = tags

    with pytest.raises(paddle_ac.ConfigError, match=message):
        paddle_ac.train(CONFIG, str(tmp_path / "run"), progress=False, callbacks=[Tagged()])
    assert not (tmp_path / "run").exists()


def test_recorded_metric_must_be_finite(tmp_path):
    class Recording(paddle_ac.Callback):
        metric_tags = ("own/x",)

        def on_update(self, run, metrics):
            run.record({"own/x": float("nan")})

    with pytest.raises(ValueError, match="own/x must be a finite number"):
        paddle_ac.train(CONFIG, str(tmp_path / "run"), progress=False, callbacks=[Recording()])


def test_exception_in_summarize_leaves_a_summary_and_ends_every_callback(tmp_path):
    class Failing(paddle_ac.Callback):
        def summarize(self):
            raise RuntimeError("no entries")

    class Ended(paddle_ac.Callback):
        summary = None

        def on_end(self, run, summary):
            self.summary = summary

    ended = Ended()
    with pytest.raises(RuntimeError, match="no entries"):
        paddle_ac.train(CONFIG, str(tmp_path / "run"), progress=False, callbacks=[Failing(), ended])
    assert ended.summary["stopped_by"] == "total_steps" and (tmp_path / "run" / "summary.json").is_file()


@pytest.mark.parametrize("name", ["on_step", "on_updates", "_on_step", "_on_rollout_end"])
def test_method_that_no_run_calls_is_an_error_before_the_run_starts(tmp_path, name):
    kind = type("Own", (paddle_ac.Callback,), {name: lambda self, *arguments: True, "_on_its_own": lambda self: None})
    run = tmp_path / "run"
    with pytest.raises(
        paddle_ac.ConfigError, match=rf"a run never calls Own\.{name}.*: callbacks have on_start, on_update, "
    ):
        paddle_ac.train(QUICK, str(run), callbacks=[kind()])
    assert not run.exists()
