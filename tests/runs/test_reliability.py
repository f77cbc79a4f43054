"""The benchmark of reliability: its statistics are SciPy's, and a row of runs is measured once."""

from __future__ import annotations

import csv
import importlib.util

import numpy as np
import pytest
import scipy.stats

from tests.paths import ROOT

SCRIPT = ROOT / "benchmarks" / "reliability.py"


@pytest.fixture
def reliability():
    spec = importlib.util.spec_from_file_location("reliability", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("num_runs", [1, 3, 4, 10, 20])
def test_interquartile_mean_is_scipys_trimmed_mean(reliability, num_runs):
    scores = np.random.default_rng(num_runs).normal(size=(5, num_runs))
    expected = scipy.stats.trim_mean(scores, 0.25, axis=1)
    np.testing.assert_allclose(reliability.interquartile_mean(scores), expected)


def test_bootstrap_interval_of_one_task_is_scipys(reliability):
    scores = np.random.default_rng(1).gamma(2, 100, 20)
    expected = scipy.stats.bootstrap(
        (scores,),
        lambda sample, axis: scipy.stats.trim_mean(sample, 0.25, axis=axis),
        method="percentile",
        n_resamples=10_000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    found = reliability.bootstrap_interval([scores])
    np.testing.assert_allclose(found, [expected.low, expected.high], atol=0.03 * scores.std())


def test_bootstrap_resamples_runs_within_their_task(reliability):
    """Two tasks whose runs agree leave no doubt; pooled runs would be drawn from either."""
    assert reliability.bootstrap_interval([np.zeros(10), np.full(10, 100.0)]) == (50.0, 50.0)


def test_runs_of_a_file_are_not_measured_again_and_failures_are_counted(reliability, tmp_path, capsys):
    path = tmp_path / "row.csv"
    small = ["--algo", "a2c", "--vec", "serial", "--total-steps", "400", "--eval-interval", "400"]
    flags = [*small, "--eval-episodes", "1", "--episodes", "2", "--fail-below", "1000", "--csv", str(path)]
    reliability.main([*flags, "--seeds", "0"])
    first = path.read_text()
    reliability.main([*flags, "--seeds", "0,3"])
    assert path.read_text().startswith(first)
    with path.open(newline="") as file:
        assert [row["seed"] for row in csv.DictReader(file)] == ["0", "3"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("  best: 2 of 2 below 1000, worst ") and lines[-1].startswith(
        "latest: 2 of 2 below 1000"
    )


@pytest.mark.parametrize(
    ("flags", "difference"),
    [
        (["--algo=ppo"], "algo a2c, not ppo"),
        (["--env=Acrobot-v1"], "env CartPole-v1, not Acrobot-v1"),
        (["--total-steps=401"], "total_steps 400, not 401"),
    ],
)
def test_runs_of_something_else_are_not_mixed_with_those_of_a_file(reliability, tmp_path, capsys, flags, difference):
    path = tmp_path / "row.csv"
    row = dict.fromkeys(reliability.COLUMNS, 1)
    reliability.append_row(path, {**row, "algo": "a2c", "env": "CartPole-v1", "total_steps": 400})
    with pytest.raises(SystemExit) as ended:
        reliability.main(["--total-steps=400", "--fail-below=475", f"--csv={path}", *flags])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {path} has runs with {difference}: give another file to --csv\n"


def test_an_interrupted_run_is_no_result(reliability, monkeypatch, tmp_path):
    monkeypatch.setattr(reliability, "train", lambda *_, **__: {"stopped_by": "interrupt", "train_seconds": 1.0})
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        reliability.main(["--seeds=0", "--fail-below=475", f"--csv={tmp_path / 'runs.csv'}"])
    assert not (tmp_path / "runs.csv").exists()
