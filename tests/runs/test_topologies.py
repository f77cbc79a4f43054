"""The comparison of topologies: common numbers, its figures from hand-made runs, and runs that are kept or resumed."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import topologies
from paddle_ac.config import make_config, read_config, write_yaml
from paddle_ac.errors import ConfigError
from paddle_ac.training.curves import Run, read_runs
from paddle_ac.training.side_by_side import Ending
from tests.paths import CONFIGS, ROOT

RETURN = "charts/episode_return"
TPS = "charts/updates_per_second"
SPEED = "charts/steps_per_second"
PPS = "ga3c/predictions_per_second"
LAG, LAG_MAX = "diagnostics/policy_lag", "diagnostics/policy_lag_max"
NAN = float("nan")


def make_run(algo: str = "a2c", **columns: list[float]) -> Run:
    arrays = {name: np.array(values, np.float64) for name, values in columns.items()}
    return Run(Path("run"), make_config({"algo": algo}), arrays, True)


def write_run(path: Path, config, returns, seconds_per_point=1.0, **columns) -> None:
    """A finished run without training: a point every 100 steps."""
    points = len(returns)
    table = {
        "env_steps": [100 * (point + 1) for point in range(points)],
        "train_seconds": [seconds_per_point * (point + 1) for point in range(points)],
        RETURN: returns,
        TPS: [10.0] * points,
        SPEED: [100 / seconds_per_point] * points,
        **columns,
    }
    (path / "checkpoints").mkdir(parents=True)
    write_yaml(config, path / "config.yaml")
    with (path / "progress.csv").open("w", newline="") as file:
        csv.writer(file).writerows([table, *zip(*table.values(), strict=True)])
    summary = {
        "env_steps": 100 * points,
        "train_seconds": seconds_per_point * points,
        "steps_per_second": 1.0,
        "eval_mean_return": 1.0,
        "best_eval_mean_return": 1.0,
        "stopped_by": "total_steps",
    }
    (path / "summary.json").write_text(json.dumps(summary))


@pytest.fixture
def finished(tmp_path):
    """A folder of finished runs of 600 steps: seed S of PAAC has returns 10 S above those of seed 0."""
    for seed in (0, 1, 2):
        for algo, seconds in (("a2c", 1.0), ("paac", 0.5), ("a3c", 4.0), ("ga3c", 2.0)):
            config = topologies.configure(algo, "CartPole-v1", seed, 600)
            own = {LAG: [1.5] * 6, LAG_MAX: [3.0 + seed] * 6} if algo in ("a3c", "ga3c") else {}
            own |= {PPS: [70.0] * 6} if algo == "ga3c" else {}
            returns = [float(10 * seed + 20 * point) for point in range(6)]
            write_run(topologies.run_path(tmp_path, "CartPole-v1", algo, seed), config, returns, seconds, **own)
    return tmp_path


@pytest.mark.parametrize("env", topologies.TASKS)
def test_topologies_differ_in_their_own_numbers_alone(env):
    configs = [topologies.configure(algo, env, 0, 1000) for algo in topologies.ALGORITHMS]
    own = {"algo", "num_envs", "num_workers", "num_threads", "vec", "optimizer", "learning_rate"}
    shared = set.intersection(*(set(type(config).model_fields) for config in configs)) - own
    assert {"num_steps", "gamma", "gae_lambda", "value_coef", "entropy_coef", "hidden_sizes", "encoder"} <= shared
    for name in shared:
        assert all(getattr(config, name) == getattr(configs[0], name) for config in configs), name
    shared_optimizer, own_optimizer = configs[2].optimizer, configs[0].optimizer
    assert [config.optimizer for config in configs] == [own_optimizer, own_optimizer, shared_optimizer, own_optimizer]
    assert shared_optimizer == f"shared_{own_optimizer}"


@pytest.mark.parametrize(
    ("env", "num_envs", "of_one", "power"),
    [("CartPole-v1", (8, 32, 1, 4), 7e-4, 1), ("ALE/Pong-v5", (16, 32, 8, 16), 1.75e-4, 1 / 2)],
)
def test_learning_rate_grows_with_the_environments_of_an_update(env, num_envs, of_one, power):
    rates = [topologies.configure(algo, env, 0, 1000).learning_rate for algo in topologies.ALGORITHMS]
    np.testing.assert_allclose(rates, of_one * np.array(num_envs) ** power)


@pytest.mark.parametrize("algo", ["a2c", "a3c"])
def test_comparison_on_pong_has_the_numbers_of_the_configuration_file(algo):
    ours = topologies.configure(algo, "ALE/Pong-v5", 0, 10**7)
    file = read_config(CONFIGS / f"{algo}_atari{'_fast' * (algo != 'a2c')}.yaml")
    other = {"lr_schedule", "num_threads", "vec", "learning_rate", "seed"}
    other |= {name for name in type(file).model_fields if name.endswith("_interval")}
    assert ours.model_dump(exclude=other) == file.model_dump(exclude=other)
    assert ours.learning_rate == pytest.approx(file.learning_rate, rel=0.011)  # 5e-4 in A3C's file is 4.95e-4 here


@pytest.mark.parametrize("x_column", ["env_steps", "train_seconds"])
def test_return_is_interpolated_between_means_of_five_points(x_column):
    generator = np.random.default_rng(3)
    returns = generator.normal(size=30)
    returns[[0, 7, 8, 20]] = NAN
    x = np.cumsum(generator.uniform(0.1, 5, 30))
    other = {"env_steps": "train_seconds", "train_seconds": "env_steps"}[x_column]
    run = make_run(**{x_column: x, other: np.arange(30), RETURN: returns})
    known, places = returns[~np.isnan(returns)], x[~np.isnan(returns)]
    smooth = np.array([known[max(end - 4, 0) : end + 1].mean() for end in range(len(known))])
    for place in np.linspace(places[0], places[-1], 50):
        right = min(max(int(np.searchsorted(places, place)), 1), len(places) - 1)
        part = (place - places[right - 1]) / (places[right] - places[right - 1])
        expected = (1 - part) * smooth[right - 1] + part * smooth[right]
        assert topologies.return_at(run, x_column, place) == pytest.approx(expected)


def test_rate_of_a_run_is_its_total_over_its_seconds_from_the_first_point_on():
    """At the first point, which has no time of its own, agents have learned that started before the others."""
    seconds, updates = np.array([0.0, 2.0, 2.25, 7.0]), np.array([40, 90, 95, 300])
    rates = np.append(1e9, np.diff(updates) / np.diff(seconds))
    run = make_run(env_steps=[1, 2, 3, 4], train_seconds=seconds, **{TPS: rates})
    assert topologies.mean_over(run, TPS, "train_seconds") == pytest.approx(260 / 7)


def test_point_counts_for_all_that_passed_since_the_point_before_of_the_same_metric():
    run = make_run(env_steps=[10, 20, 30, 70], train_seconds=[1, 2, 3, 4], **{PPS: [NAN, 50, NAN, 200]})
    assert topologies.mean_over(run, PPS, "env_steps") == pytest.approx((10 * 50 + 50 * 200) / 60)
    assert topologies.mean_over(run, PPS, "train_seconds") == pytest.approx((1 * 50 + 2 * 200) / 3)


@pytest.mark.parametrize("rates", [[50, NAN], [NAN, NAN]])
def test_run_without_a_point_after_the_first_one_is_refused(rates):
    run = make_run(env_steps=[10, 20], train_seconds=[1, 2], **{PPS: rates})
    with pytest.raises(ConfigError, match="run is too short for a mean of ga3c/predictions_per_second: give a larger"):
        topologies.mean_over(run, PPS, "train_seconds")


def test_common_end_is_that_of_the_shortest_and_of_the_fastest_run():
    slow = make_run(env_steps=[50, 100, 150], train_seconds=[10, 20, 30], **{RETURN: [1, 2, NAN]})
    fast = make_run(env_steps=[100, 200], train_seconds=[1, 3], **{RETURN: [1, 2]})
    assert topologies.common_end([[slow], [fast, fast]]) == (100, 3)


def test_synchronous_topology_predicts_what_it_learns_from_and_has_no_lag():
    run = make_run(env_steps=[100, 400], train_seconds=[1, 8], **{RETURN: [1, 2], TPS: [4, 4], SPEED: [90, 50]})
    figures = topologies.figures_of(run, 100, 1)
    assert (figures.pps, figures.speed, figures.lag, figures.lag_max) == (50, 50, 0, 0)


def test_asynchronous_topology_has_its_own_predictions_and_lag():
    lags = {LAG: [1.0, 5.0, 8.0], LAG_MAX: [9.0, 7.0, 8.0]}
    run = make_run(
        "ga3c",
        env_steps=[100, 300, 400],
        train_seconds=[1, 2, 8],
        **{RETURN: [1, 2, 3], TPS: [4, 4, 4], SPEED: [9, 9, 9], PPS: [80, 8, 16]},
        **lags,
    )
    figures = topologies.figures_of(run, 100, 1)
    assert (figures.pps, figures.lag, figures.lag_max) == (pytest.approx((8 + 6 * 16) / 7), 6.0, 9.0)


def test_finished_runs_are_kept_and_make_a_table_of_80_columns_and_a_picture(finished, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    topologies.main(["--folder", str(finished), "--seeds", "0,1,2", "--total-steps", "600"])
    assert before == {path: path.read_bytes() for path in before}
    assert (finished / "CartPole-v1.png").stat().st_size > 20_000
    *table, _ = capsys.readouterr().out.strip().splitlines()
    assert max(map(len, table)) == 80
    assert table[0] == "CartPole-v1, seeds: 3; equal steps: 600; equal time: 3.0 s"
    assert table[1].split() == ["A2C", "PAAC", "A3C", "GA3C"]
    cells = {line[:20].strip(): line[20:].split() for line in table[2:] if "interval" not in line}
    assert cells["TPS [1/s]"] == ["10.0"] * 4
    assert cells["PPS [1/s]"] == ["100", "200", "25", "70"]
    assert cells["policy lag, mean"] == ["0.00", "0.00", "1.50", "1.50"]
    assert cells["policy lag, max"] == ["0", "0", "4", "4"]
    assert cells["steps/s"] == ["100", "200", "25", "50"]
    assert cells["return, all steps"] == ["70.0"] * 4
    assert cells["return, equal steps"] == ["70.0"] * 4  # points 20 to 100 of seed 1, and the middle of three seeds
    # After 3 s: A2C's third point, PAAC's last, A3C before its first, GA3C halfway between its first two.
    assert cells["return, equal time"] == ["30.0", "70.0", "10.0", "15.0"]
    assert table[-1].split("  ")[-1] == "   [5.0, 25.0]".strip()


def test_unfinished_run_is_resumed_and_a_new_one_started_from_its_configuration(finished, monkeypatch):
    started = []

    def run_side_by_side(jobs, num_jobs, on_point, on_end):
        started.extend((*Path(job.run_dir).parts[-2:], job.config, num_jobs) for job in jobs)
        return True

    monkeypatch.setattr(topologies, "run_side_by_side", run_side_by_side)
    interrupted = topologies.run_path(finished, "CartPole-v1", "a3c", 1)
    (interrupted / "summary.json").unlink()
    (interrupted / "checkpoints" / "latest.safetensors").touch()
    runs = [
        (topologies.run_path(finished, "CartPole-v1", algo, seed), topologies.configure(algo, "CartPole-v1", seed, 600))
        for algo, seed in (("a2c", 0), ("a3c", 1), ("ga3c", 3))
    ]
    assert topologies.train_all(runs)
    assert started == [("a3c", "seed-1", None, 1), ("ga3c", "seed-3", runs[2][1], 1)]


def test_folder_of_other_hyper_parameters_is_refused(finished, capsys):
    with pytest.raises(SystemExit) as ended:
        topologies.main(["--folder", str(finished), "--seeds", "0", "--total-steps", "601"])
    assert ended.value.code == 2
    assert "seed-0 is a run with other hyper-parameters: give another --folder" in capsys.readouterr().err


def test_failed_run_is_named_and_ends_the_command_with_1(tmp_path, monkeypatch, capsys):
    def run_side_by_side(jobs, num_jobs, on_point, on_end):
        on_end(next(jobs), Ending(error="its process was killed"))
        return True

    monkeypatch.setattr(topologies, "run_side_by_side", run_side_by_side)
    with pytest.raises(SystemExit) as ended:
        topologies.main(["--folder", str(tmp_path), "--seeds", "0"])
    assert ended.value.code == "error: 1 of 4 runs failed; the same command resumes them"
    assert "CartPole-v1/a2c/seed-0: failed: its process was killed" in capsys.readouterr().out


@pytest.mark.parametrize(("env", "seeds"), [("CartPole-v1", "0,1,2,3,4"), ("ALE/Pong-v5", "0")])
def test_tables_of_the_page_are_those_of_the_saved_runs(tmp_path, capsys, env, seeds):
    shutil.copytree(ROOT / "benchmarks" / "results" / "topologies", tmp_path / "saved")
    topologies.main(["--env", env, "--seeds", seeds, "--folder", str(tmp_path / "saved")])
    printed = [line for line in capsys.readouterr().out.splitlines()[3:-1] if "interval" not in line]
    printed = {line[:20].strip(): [float(cell.replace(",", "")) for cell in line[20:].split()] for line in printed}
    page = (ROOT / "docs" / "topologies.md").read_text().partition(f"\n## On {env}\n")[2]
    shown = dict(re.findall(r"^\| ([^|]+?) (?:\([^|]*\) )?\| (.*) \|$", page.partition("\n## ")[0], re.MULTILINE))
    names = {"TPS": "TPS [1/s]", "PPS": "PPS [1/s]", "policy lag, mean": "policy lag, mean"}
    names |= {"policy lag, largest": "policy lag, max", "return over all steps": "return, all steps"}
    names |= {"return at equal steps": "return, equal steps", "return at equal time": "return, equal time"}
    assert shown.keys() >= names.keys()
    for of_page, label in names.items():
        cells = [cell.partition(" (")[0].replace(",", "") for cell in shown[of_page].split(" | ")]
        for cell, number in zip(cells, printed[label], strict=True):
            assert float(cell) == pytest.approx(number, abs=0.5 * 10.0 ** -len(cell.partition(".")[2]) + 1e-9)


def test_figures_are_those_of_the_runs_named(finished):
    """A folder may hold more seeds than the command names."""
    path = topologies.run_path(finished, "CartPole-v1", "paac", 2)
    (run,) = read_runs([path], RETURN)
    assert topologies.over_seeds([topologies.figures_of(run, 600, 3)], "at_steps") == (80.0, 80.0, 80.0)
