"""Learning curves: the right runs together, the right mean and band, a legend that tells what differs."""

from __future__ import annotations

import csv
import itertools
import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from matplotlib.collections import PolyCollection

import paddle_ac
from paddle_ac.algorithms.algorithm import Panel
from paddle_ac.commands import plot
from paddle_ac.config import CONFIGS, make_config, write_yaml
from paddle_ac.registry import ALGORITHMS
from paddle_ac.training.curves import (
    average,
    bootstrap_band,
    describe,
    describe_band,
    group_runs,
    read_runs,
    that_overlap,
    without_abandoned,
)
from paddle_ac.training.logger import COMMON_TAGS
from paddle_ac.training.plotting import in_words, plot_run, plot_runs
from tests.tool_calls import run_main

METRIC = "charts/episode_return"
STEPS = (1000, 2000, 3000, 4000)


def write_run(folder: Path, returns=(1, 2, 3, 4), steps=STEPS, algo="a2c", seconds=None, **changes) -> Path:
    """A run folder without a run: a second of training for each 1,000 steps, and an evaluation at the end."""
    folder.mkdir(parents=True)
    write_yaml(make_config({"algo": algo, **changes}), folder / "config.yaml")
    with (folder / "progress.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["env_steps", "train_seconds", METRIC, "eval/mean_return"])
        seconds = seconds or [step / 1000 for step in steps]
        for step, second, value in zip(steps, seconds, returns, strict=True):
            table.writerow([step, second, value, 7 if step == steps[-1] else ""])
    return folder


def legends(paths, metric=METRIC) -> tuple[str, list[str]]:
    return describe(group_runs(read_runs(paths, metric)))


def write_table(path: Path, **columns) -> None:
    """A table of points at 1,000, 2,000... steps; tags with ``_`` for ``/``."""
    names = {"env_steps": "env_steps", "train_seconds": "train_seconds"}
    names |= {name: tag for tag in COMMON_TAGS for name in [tag.replace("/", "_")]}
    length = max(map(len, columns.values()), default=0)
    columns |= {"env_steps": [1000 * (row + 1) for row in range(length)], "train_seconds": range(length)}
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(names.values()))
        table.writeheader()
        for row in range(length):
            table.writerow({names[name]: values[row] for name, values in columns.items()})


EVERYTHING = {
    "charts_episode_return": [20.0, 30.0, 35.0],
    "eval_mean_return": ["", 25.0, 31.0],
    "charts_episode_length": [21.0, 32.0, 36.0],
    "losses_actor": [0.5, 0.4, 0.1],
    "losses_critic": [9.0, 8.0, 6.0],
    "losses_entropy": [0.69, 0.6, 0.5],
    "diagnostics_explained_variance": [0.0, 0.3, 0.6],
    "charts_steps_per_second": [900.0, 950.0, 920.0],
    "losses_total": [4.0, 3.0, 2.0],
}


def lines_of(axes) -> list[tuple[str, list[float], list[float]]]:
    return [(line.get_label(), *(data.tolist() for data in line.get_data())) for line in axes.lines]


def test_the_picture_of_a_run_draws_every_point_of_every_curve(tmp_path):
    write_table(tmp_path / "progress.csv", **EVERYTHING)
    figure = plot_run(tmp_path / "progress.csv", tmp_path / "curves.png", "a run")
    drawn = {axes.get_title(): [line[1:] for line in lines_of(axes)] for axes in figure.axes}
    steps = [1000, 2000, 3000]
    assert drawn == {
        "return": [(steps, [20, 30, 35]), (steps[1:], [25, 31])],
        "episode length": [(steps, [21, 32, 36])],
        "losses": [(steps, [0.5, 0.4, 0.1]), (steps, [9, 8, 6])],
        "policy entropy": [(steps, [0.69, 0.6, 0.5])],
        "explained variance": [(steps, [0, 0.3, 0.6])],
        "speed": [(steps, [900, 950, 920])],
    }
    assert [axes.get_ylabel() for axes in figure.axes] == ["", "steps", "", "nats", "", "steps/s"]
    assert [line[0] for axes in figure.axes for line in lines_of(axes) if axes.get_legend()] == [
        "training",
        "evaluation",
        "actor",
        "critic",
    ]
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_panels_of_an_algorithm_follow_the_common_ones(tmp_path):
    write_table(tmp_path / "progress.csv", **EVERYTHING, diagnostics_grad_norm=[0.1, 0.2, 0.3])
    panels = [
        Panel("gradient", "", {"diagnostics/grad_norm": ""}),
        Panel("empty", "", {"losses/none": ""}),
    ]
    figure = plot_run(tmp_path / "progress.csv", tmp_path / "curves.png", "a run", panels)
    assert [axes.get_title() for axes in figure.axes][-2:] == ["speed", "gradient"]
    assert lines_of(figure.axes[-1])[0][2] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_panels_of_an_algorithm_draw_metrics_that_it_declares(algo):
    with paddle_ac.make(algo, CONFIGS[algo].model_fields["env"].default, num_envs=1) as agent:
        drawn = {tag for panel in agent.panels for tag in panel.curves}
        assert drawn <= set(agent.metric_tags) and not drawn & set(COMMON_TAGS)


@pytest.mark.parametrize(
    "num_panels,rows", [(0, []), (1, [1]), (2, [2]), (3, [3]), (4, [2, 2]), (5, [3, 2]), (6, [3, 3])]
)
def test_panels_are_those_with_points_and_fill_the_picture(tmp_path, num_panels, rows):
    panels = ["charts_steps_per_second", "losses_actor", "losses_entropy", "charts_episode_length"]
    panels += ["charts_episode_return", "diagnostics_explained_variance"]
    write_table(tmp_path / "progress.csv", **{name: EVERYTHING[name] for name in panels[:num_panels]})
    figure = plot_run(tmp_path / "progress.csv", tmp_path / "curves.png", "without a critic")
    assert figure.get_suptitle() == "without a critic" and (tmp_path / "curves.png").is_file()
    assert len(figure.axes) == num_panels
    boxes = [axes.get_position() for axes in figure.axes]
    heights = sorted({round(box.y0, 2) for box in boxes}, reverse=True)
    assert [sum(round(box.y0, 2) == height for box in boxes) for height in heights] == rows
    if num_panels:
        assert max(box.x1 for box in boxes) > 0.95 and min(box.y0 for box in boxes) < 0.2
    is_lowest = [not any(abs(a.x0 - b.x0) < 0.02 and b.y0 < a.y0 - 0.1 for b in boxes) for a in boxes]
    assert [axes.get_xlabel() == "steps" for axes in figure.axes] == is_lowest


def test_of_a_run_that_has_only_just_begun_there_is_an_empty_picture(tmp_path):
    (tmp_path / "progress.csv").write_text("")
    assert plot_run(tmp_path / "progress.csv", tmp_path / "curves.png", "begun").axes == []
    assert (tmp_path / "curves.png").is_file()


def test_a_single_point_is_seen(tmp_path):
    lonely = {"charts_episode_return": [20.0, ""], "eval_mean_return": ["", 3.0], "losses_actor": [0.5, 0.4]}
    write_table(tmp_path / "progress.csv", **lonely)
    figure = plot_run(tmp_path / "progress.csv", tmp_path / "curves.png", "short")
    markers = {line.get_label(): line.get_marker() for axes in figure.axes for line in axes.lines}
    assert markers["training"] == markers["evaluation"] == "o" and markers["actor"] == ""


def test_numbers_at_the_axes_are_plain(tmp_path):
    nearly_constant = [1.0986110, 1.0986113, 1.0986111]
    table = EVERYTHING | {"losses_entropy": nearly_constant, "charts_steps_per_second": [65_000, 120_000, 90_000]}
    write_table(tmp_path / "progress.csv", **table)
    figure = plot_run(tmp_path / "progress.csv", tmp_path / "curves.png", "a run")
    told = {axes.get_title(): [label.get_text() for label in axes.get_yticklabels()] for axes in figure.axes}
    assert all(axis.get_offset_text().get_text() == "" for axes in figure.axes for axis in (axes.xaxis, axes.yaxis))
    assert {"70k", "110k"} <= set(told["speed"]) and {"0.2", "0.4"} <= set(told["explained variance"])
    assert "1.0986" in told["policy entropy"] and max(map(len, told["policy entropy"])) <= 6
    assert len(set(told["policy entropy"])) == len(told["policy entropy"]) >= 3
    entropy = figure.axes[3]
    low, high = entropy.get_ylim()
    assert low < min(nearly_constant) and max(nearly_constant) < high and high - low > 0.001


# ------------------------------------------------------------------------------------------------ which and what from


def test_runs_that_differ_in_their_seed_alone_are_one_curve(tmp_path):
    for seed in range(3):
        write_run(tmp_path / f"lower-{seed}", seed=seed, learning_rate=7e-4)
        write_run(tmp_path / "deep" / f"higher-{seed}", seed=seed, learning_rate=1e-3)
    groups = group_runs(read_runs([tmp_path, tmp_path / "lower-1"], METRIC))
    assert [[run.path.name for run in group] for group in groups] == [
        ["higher-0", "higher-1", "higher-2"],
        ["lower-0", "lower-1", "lower-2"],
    ]
    assert describe(groups) == (
        "a2c on CartPole-v1",
        ["learning_rate=0.001 (3 seeds)", "learning_rate=0.0007 (3 seeds)"],
    )


@pytest.mark.parametrize(
    "runs,title,labels",
    [
        ([{}], "a2c on CartPole-v1", ["a2c (1 seed)"]),
        ([{}, {}], "a2c on CartPole-v1", ["a2c (2 runs, 1 seed)"]),
        ([{}, {"algo": "paac"}], "CartPole-v1", ["a2c (1 seed)", "paac (1 seed)"]),
        ([{"vec": "serial"}, {"algo": "paac", "vec": "native"}], "CartPole-v1", ["a2c (1 seed)", "paac (1 seed)"]),
        ([{"vec": "serial"}, {"vec": "native"}], "a2c on CartPole-v1", ["vec=serial (1 seed)", "vec=native (1 seed)"]),
        (
            [{"gamma": 0.9}, {"algo": "paac"}, {"algo": "paac", "hidden_sizes": (32, 16)}],
            "CartPole-v1",
            ["a2c, gamma=0.9 (1 seed)", "paac, hidden_sizes=default (1 seed)", "paac, hidden_sizes=32,16 (1 seed)"],
        ),
        ([{"env": "Pendulum-v1"}, {"algo": "sac"}], "Pendulum-v1", ["a2c (1 seed)", "sac (1 seed)"]),
        ([{}, {"env": "Acrobot-v1"}], "a2c", ["CartPole-v1 (1 seed)", "Acrobot-v1 (1 seed)"]),
        ([{"gamma": 0.9}, {"gamma": 0.9, "algo": "a3c"}], "CartPole-v1", ["a2c (1 seed)", "a3c (1 seed)"]),
    ],
)
def test_a_legend_tells_what_differs_and_only_that(tmp_path, runs, title, labels):
    folders = [write_run(tmp_path / str(index), **values) for index, values in enumerate(runs)]
    assert legends(folders) == (title, labels)


def test_a_run_without_a_point_is_left_out_and_named(tmp_path, caplog):
    write_run(tmp_path / "begun", returns=("", "", "", ""), seed=1)
    write_run(tmp_path / "whole")
    assert [run.path.name for run in read_runs([tmp_path], METRIC)] == ["whole"]
    assert f"left out: {tmp_path / 'begun'} has no point of {METRIC}" in caplog.text


def test_what_cannot_be_read_is_left_out_and_named(tmp_path, caplog):
    write_run(tmp_path / "runs" / "whole")
    (write_run(tmp_path / "runs" / "begun", seed=1) / "progress.csv").write_text("")
    (write_run(tmp_path / "runs" / "strange") / "config.yaml").write_text("algo: trpo\n")
    (write_run(tmp_path / "runs" / "torn") / "config.yaml").write_text("algo: [a2c\n")
    (tmp_path / "notes.txt").touch()
    assert [run.path.name for run in read_runs([tmp_path / "runs", tmp_path / "notes.txt"], METRIC)] == ["whole"]
    told = sorted(record.getMessage() for record in caplog.records)
    assert [line.replace(str(tmp_path), "") for line in told[:3]] == [
        "left out: /runs/begun has no point of charts/episode_return",
        "left out: /runs/strange/config.yaml: unknown algorithm 'trpo'; known: " + ", ".join(CONFIGS),
        told[2].replace(str(tmp_path), ""),
    ]
    assert told[2].count("torn/config.yaml") == 1 and told[3] == f"left out: there is no run in {tmp_path}/notes.txt"


def test_runs_that_differ_in_much_are_called_by_their_folders(tmp_path, caplog):
    caplog.set_level(logging.INFO, "paddle_ac")
    long = {"hidden_sizes": (256, 256, 256), "normalize_observations": False, "entropy_coef": 0.0123}
    for seed in range(2):
        write_run(tmp_path / "plain" / f"seed-{seed}", seed=seed)
    write_run(tmp_path / "trial-0003", **long)
    assert legends([tmp_path]) == ("a2c on CartPole-v1", ["plain (2 seeds)", "trial-0003 (1 seed)"])
    parts = "normalize_observations=False, hidden_sizes=256,256,256, entropy_coef=0.0123"
    assert f"trial-0003: {parts}\n" in caplog.text
    write_run(tmp_path / "plain" / "seed-2", **long)  # now neither group has a folder of its own
    assert legends([tmp_path])[1] == ["plain/seed-0 (2 seeds)", "plain/seed-2 (2 runs, 1 seed)"]
    for seed in range(2):
        write_run(tmp_path / "other" / f"seed-{seed}", seed=seed, algo="paac")
    assert legends([tmp_path])[1][0] == "paac, other (2 seeds)"


# ------------------------------------------------------------------------------------------------ the mean and its band


def test_the_band_is_that_of_all_resamples():
    """Against every one of the R^R resamples, which are as likely as each other."""
    for values in ([0.0, 10.0], [0.0, 1.0, 5.0], [0.0, 1.0, 4.0, 20.0], [3.0, 1.0, 4.0, 1.5, 9.0]):
        means = sorted(np.mean(drawn) for drawn in itertools.product(values, repeat=len(values)))
        expected = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
        np.testing.assert_allclose(np.ravel(bootstrap_band(np.array(values)[:, np.newaxis])), expected, atol=0.1)
        if len(values) <= 3:
            assert np.ravel(bootstrap_band(np.array(values)[:, np.newaxis])).tolist() == [min(values), max(values)]


def test_the_band_is_scipys_and_the_same_each_time():
    values = np.random.default_rng(1).normal(size=(8, 3))
    low, high = bootstrap_band(values)
    theirs = scipy.stats.bootstrap((values,), np.mean, axis=0, method="percentile", rng=2).confidence_interval
    np.testing.assert_allclose([low, high], theirs, atol=0.03)
    assert np.array_equal([low, high], bootstrap_band(values))
    assert (low < values.mean(axis=0)).all() and (values.mean(axis=0) < high).all()


def test_runs_are_averaged_at_the_same_steps_and_seconds_and_as_far_as_all_go(tmp_path, caplog):
    write_run(tmp_path / "whole", returns=(0, 10, 20, 30))
    write_run(tmp_path / "stopped", returns=(15, 35), steps=(1500, 3500), seed=1)
    runs = read_runs([tmp_path], METRIC)
    for column, unit in (("env_steps", 1000), ("train_seconds", 1)):
        curve = average(runs, column, METRIC)
        assert (curve.x[0], curve.x[-1]) == (1.5 * unit, 3.5 * unit)
        np.testing.assert_allclose(curve.mean, (10 * (curve.x / unit - 1) + 10 * curve.x / unit) / 2)
        np.testing.assert_allclose(curve.low, curve.mean - 5)
        np.testing.assert_allclose(curve.high, curve.mean + 5)
    plot_runs([tmp_path], tmp_path / "curves.png", ("steps",))
    assert f"a mean ends at 3,500 steps, where {tmp_path / 'stopped'} does; others" in caplog.text


def test_a_run_that_ends_before_others_begin_is_left_out_and_named(tmp_path, caplog):
    write_run(tmp_path / "early", returns=(1, 2), steps=(10, 20))
    write_run(tmp_path / "late", seed=1)
    write_run(tmp_path / "later", seed=2)
    runs = that_overlap(read_runs([tmp_path], METRIC), METRIC)
    assert [run.path.name for run in runs] == ["late", "later"]
    assert f"left out: {tmp_path / 'early'} ends at 20 steps, before others of its kind begin" in caplog.text
    assert average(runs, "env_steps", METRIC).x[0] == 1000


def come_to_its_end(folder: Path, stopped_by: str = "total_steps") -> None:
    figures = dict.fromkeys(("steps_per_second", "eval_mean_return", "best_eval_mean_return"), 1.0)
    summary = {"stopped_by": stopped_by, "env_steps": 4000, "train_seconds": 4.0, **figures}
    (folder / "summary.json").write_text(json.dumps(summary))


@pytest.mark.parametrize("summary", [None, "interrupt", "error"])
def test_a_run_that_stopped_early_is_left_out_where_another_of_its_seed_went_further(tmp_path, caplog, summary):
    for seed, name in ((0, "whole"), (0, "again"), (1, "other")):
        come_to_its_end(write_run(tmp_path / name, total_steps=4000, seed=seed))
    write_run(tmp_path / "stopped", returns=(1, 2), steps=(1000, 2000), total_steps=4000)
    write_run(tmp_path / "alone", returns=(1, 2), steps=(1000, 2000), total_steps=4000, seed=2)
    for name in ("stopped", "alone") if summary else ():
        come_to_its_end(tmp_path / name, summary)
    runs = without_abandoned(read_runs([tmp_path], METRIC), METRIC)
    assert [run.path.name for run in runs] == ["again", "alone", "other", "whole"]
    (told,) = caplog.messages
    said = "left out: {} ends early, at 2,000 steps; another run of seed 0 reaches 4,000"
    assert told == said.format(tmp_path / "stopped")
    (tmp_path / "alone" / "config.yaml").unlink()
    figure = plot_runs([tmp_path], tmp_path / "curves.png", ("steps",))
    assert figure.axes[0].lines[0].get_xdata()[-1] == 4000
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a2c (3 runs, 2 seeds)"]


def test_a_run_that_came_to_its_end_stays_though_another_of_its_seed_went_further(tmp_path):
    come_to_its_end(write_run(tmp_path / "whole", total_steps=4000))
    come_to_its_end(write_run(tmp_path / "longer", steps=(1000, 2000, 3000, 4020), total_steps=4000))
    runs = read_runs([tmp_path], METRIC)
    assert without_abandoned(runs, METRIC) == runs


def test_over_seconds_the_mean_stands_where_the_runs_are_in_the_mean(tmp_path):
    """Runs of unlike speed: the same mean as over steps, in other places."""
    write_run(tmp_path / "quick", returns=(0, 10, 20, 30))
    write_run(tmp_path / "slow", returns=(2, 12, 22, 32), seed=1, seconds=(11, 12, 13, 14))
    runs = read_runs([tmp_path], METRIC)
    by_steps, by_seconds = (average(runs, column, METRIC) for column in ("env_steps", "train_seconds"))
    np.testing.assert_array_equal(by_steps.mean, by_seconds.mean)
    np.testing.assert_allclose(by_seconds.x, by_steps.x / 1000 + 5)


def test_a_metric_of_one_point_is_seen(tmp_path):
    for seed in range(2):
        write_run(tmp_path / f"seed-{seed}", seed=seed)
    for paths in ([tmp_path / "seed-0"], [tmp_path]):
        for axes in plot_runs(paths, tmp_path / "curves.png", metric="eval/mean_return").axes:
            (line,) = axes.lines
            assert line.get_marker() == "o" and len(line.get_xdata()) > 0


def test_one_run_is_drawn_as_it_is_or_smoothed(tmp_path):
    runs = read_runs([write_run(tmp_path / "run", returns=(3, "", 5, 10))], METRIC)
    plain, smooth = (average(runs, "env_steps", METRIC, points) for points in (1, 2))
    assert plain.x.tolist() == [1000, 3000, 4000] and plain.mean.tolist() == [3, 5, 10] and plain.low is None
    assert smooth.mean.tolist() == [3, 4, 7.5]


@pytest.mark.parametrize("num_runs", [2, 3, 4])
def test_band_of_few_runs_is_their_range_and_is_called_that(num_runs):
    values = np.random.default_rng(0).normal(size=(num_runs, 50))
    low, high = bootstrap_band(values)
    is_range = np.allclose(low, values.min(axis=0)) and np.allclose(high, values.max(axis=0))
    assert is_range == (num_runs <= 3)
    assert describe_band([1, num_runs]) == (
        "mean, lowest to highest" if is_range else "mean and its 95 % bootstrap interval"
    )


def test_legend_says_what_the_bands_of_a_picture_are():
    assert describe_band([1, 1]) is None
    assert describe_band([3, 5]) == "mean and its 95 % bootstrap interval (up to 3 seeds: lowest to highest)"


# --------------------------------------------------------------------------------------------------------- the picture


@pytest.mark.parametrize("name,magic", [("curves.png", b"\x89PNG"), ("curves.svg", b"<?xml")])
def test_a_picture_has_a_panel_for_steps_and_one_for_seconds(tmp_path, name, magic):
    for seed in range(3):
        write_run(tmp_path / f"a2c-{seed}", (seed, 5, 9, 9), (100_000, 400_000, 800_000, 1_000_000), seed=seed)
    write_run(tmp_path / "paac", algo="paac")
    figure = plot_runs([tmp_path], tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(magic)
    assert [axes.get_xlabel() for axes in figure.axes] == ["steps", "seconds of training"]
    assert {"200k", "1M"} <= {label.get_text() for label in figure.axes[0].get_xticklabels()}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a2c (3 seeds)", "paac (1 seed)"]
    assert legend.get_title().get_text() == "mean, lowest to highest"
    for axes in figure.axes:
        assert len(axes.lines) == 2 and len({line.get_color() for line in axes.lines}) == 2
        assert sum(isinstance(artist, PolyCollection) for artist in axes.collections) == 1, "a band of several runs"
    assert figure.axes[0].lines[1].get_xdata().tolist() == list(STEPS)
    assert figure.axes[1].lines[1].get_xdata().tolist() == [1, 2, 3, 4]


def test_nearly_constant_values_are_a_level_line_with_plain_numbers(tmp_path):
    write_run(tmp_path / "run", returns=(1.0986110, 1.0986113, 1.0986111, 1.0986112))
    for axes in plot_runs([tmp_path], tmp_path / "curves.png").axes:
        low, high = axes.get_ylim()
        assert high - low > 0.001 and axes.yaxis.get_offset_text().get_text() == ""


def test_many_curves_are_distinguishable(tmp_path):
    for index in range(10):
        write_run(tmp_path / str(index), gamma=0.9 + index / 1000)
    lines = plot_runs([tmp_path], tmp_path / "curves.png", ("steps",), "eval/mean_return").axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 10


@pytest.mark.parametrize("x_axes", [("steps",), ("steps", "seconds")])
@pytest.mark.parametrize("extra", [{}, {"entropy_coef": 0.0123456}, {"activation": "relu", "shared_torso": True}])
def test_a_legend_stays_inside_the_picture(tmp_path, x_axes, extra):
    for index in range(9):
        write_run(tmp_path / str(index), gamma=0.9 + index / 1000, **(extra if index else {}))
    figure = plot_runs([tmp_path], tmp_path / "curves.png", x_axes)
    (legend,) = figure.legends
    box, whole = legend.get_window_extent(), figure.bbox
    assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0
    assert box.y1 < min(axes.get_tightbbox().y0 for axes in figure.axes)


def test_the_command_draws_as_its_flags_ask(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run")
    plot.main(["run", "--x", "seconds", "--smooth", "3"])
    assert capsys.readouterr().out == "curves: curves.png\n" and (tmp_path / "curves.png").is_file()


def test_runs_of_different_environments_share_an_axis_only_if_asked_to(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "cart")
    write_run(tmp_path / "classic", env="gym:CartPole-v1")
    assert run_main(capsys, "plot.py", "cart", "classic")[0] == 0, "one environment by two names"
    write_run(tmp_path / "robot", env="Acrobot-v1")
    (tmp_path / "curves.png").unlink()
    code, _, errors = run_main(capsys, "plot.py", ".")
    assert code == 2 and "different environments" in errors and "CartPole-v1, Acrobot-v1; " in errors
    assert errors.endswith("or give --mix-envs\n") and not (tmp_path / "curves.png").exists()
    assert run_main(capsys, "plot.py", ".", "--mix-envs")[0] == 0 and (tmp_path / "curves.png").is_file()


def test_labels_of_axes_are_words(tmp_path):
    write_run(tmp_path / "run")
    for metric, words in (
        (METRIC, "mean return of training episodes"),
        ("eval/mean_return", "mean return of an evaluation"),
    ):
        figure = plot_runs([tmp_path], tmp_path / "curves.png", metric=metric)
        assert [axes.get_ylabel() for axes in figure.axes] == [words, ""]
        assert [axes.get_xlabel() for axes in figure.axes] == ["steps", "seconds of training"]
    for tag in COMMON_TAGS:
        assert not set("/_") & set(in_words(tag).replace("steps/s", "").replace("updates/s", ""))
    assert in_words("diagnostics/explained_variance") == "explained variance" and in_words("losses/q_max") == "q max"


@pytest.mark.parametrize(
    "arguments,said",
    [
        ([], "the following arguments are required: RUN"),
        (["run", "--output", "curves.pdf"], "argument --output: must end in .png or .svg, got 'curves.pdf'"),
        (["run", "--output", "nowhere/curves.png"], "argument --output: there is no folder 'nowhere'"),
        (["run", "--x", "time"], "must be steps or seconds or both, got 'time'"),
        (["run", "--metric", "charts/episode_retrun"], "(did you mean 'charts/episode_return'?)"),
        (["run", "--smooth", "0"], "must be a whole number of at least 1"),
        (["nowhere"], "there is no folder nowhere"),
        (["empty"], "there is no run in empty"),
        (["notes.txt"], "there is no run in notes.txt"),
        (["unbegun"], "unbegun/progress.csv: No such file or directory"),
        (["damaged"], "damaged/progress.csv is damaged: could not convert"),
        (["pointless"], "no run has a point of charts/episode_return yet"),
        (["strange"], "strange/config.yaml: unknown algorithm 'trpo'"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_reported_in_one_line(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    write_run(tmp_path / "run")
    write_run(tmp_path / "damaged", returns=("?", 1, 1, 1))
    write_run(tmp_path / "pointless", returns=("", "", "", ""))
    (write_run(tmp_path / "unbegun") / "progress.csv").unlink()
    (write_run(tmp_path / "strange") / "config.yaml").write_text("algo: trpo\n")
    before = sorted(tmp_path.rglob("*"))
    code, output, errors = run_main(capsys, "plot.py", *arguments)
    assert code == 2 and output == "" and sorted(tmp_path.rglob("*")) == before
    assert said in errors and errors.startswith("error: ") and errors.count("\n") == 1


def test_matplotlib_keeps_no_update_waiting():
    code = "import sys, paddle_ac.training.train; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode == 0
