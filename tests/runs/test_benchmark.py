"""The tool that times a configuration: figures that fit together."""

from __future__ import annotations

import json
import os

import pytest

from paddle_ac.commands.benchmark import main
from paddle_ac.config import make_config
from paddle_ac.training.benchmark import benchmark

# A gradient step for 64 steps: were it one for each, learning would take as long as the whole, give or take the noise.
SMALL_SAC = {"algo": "sac", "num_envs": 8, "vec": "serial", "train_freq": 8, "batch_size": 32, "hidden_sizes": (32,)}
# Other work on the machine may slow the parts and not the whole, or the other way round; not each time.
ATTEMPTS = 5


@pytest.mark.parametrize(
    "values,parts",
    [
        ({"algo": "a2c", "num_envs": 2}, ["environments", "acting", "learning"]),
        ({"algo": "paac", "num_envs": 16}, ["environments", "acting", "learning"]),
        (SMALL_SAC, ["environments", "acting", "learning"]),
        ({"algo": "a3c", "num_workers": 2}, ["copying", "environments", "acting", "learning"]),
    ],
)
def test_the_parts_and_the_whole_fit_together(values, parts):
    ratios = []
    while not any(0.2 < ratio < 1.3 for ratio in ratios):
        assert len(ratios) < ATTEMPTS, f"whole / bound: {ratios}"
        result = benchmark(make_config(values), rounds=1, seconds=0.2)
        assert list(result["phases"]) == parts
        rates = {name: phase["steps_per_second"][1] for name, phase in result["phases"].items()}
        whole, bound, processes = result["whole"][1], result["bound"][1], result["processes"]
        assert processes == (min(2, os.cpu_count()) if values["algo"] == "a3c" else 1)
        assert bound == pytest.approx(processes / sum(1 / rate for rate in rates.values()))
        for name, phase in result["phases"].items():
            assert phase["share"][1] == pytest.approx(whole / (rates[name] * processes))
        ratios.append(whole / bound)
        assert result["whole_to_bound"][1] == pytest.approx(ratios[-1])


def test_figures_are_the_smallest_the_median_and_the_largest_of_the_rounds():
    result = benchmark(make_config({"algo": "a2c", "num_envs": 2, "vec": "serial"}), rounds=3, seconds=0.01)
    phases = result["phases"].values()
    spreads = [result["whole"], result["bound"], result["whole_to_bound"], *(one["steps_per_second"] for one in phases)]
    assert all(low < middle < high for low, middle, high in spreads)


def test_the_tool_prints_a_table_and_writes_json(capsys, tmp_path):
    main(
        ["--num-envs", "2", "--vec", "serial", "--rounds", "1", "--seconds", "0.1", "--json", str(tmp_path / "it.json")]
    )
    printed = capsys.readouterr().out
    for row in ("environments", "acting", "learning", "the rest", "bound of the parts", "whole", "whole / bound"):
        assert any(line.startswith(row) for line in printed.splitlines()), row
    result = json.loads((tmp_path / "it.json").read_text())
    assert f"{result['whole'][1]:,.0f}" in printed
    assert result["config"]["num_envs"] == 2 and result["machine"]["cores"] >= 1


@pytest.mark.parametrize(
    "arguments,said",
    [
        (["--rounds", "0"], "--rounds"),
        (["--seconds", "-1"], "--seconds"),
        (["--num-env", "3"], "did you mean '--num-envs'"),
        (["--config", "no.yaml"], "no.yaml"),
        (["--env", "CartPol-v1"], "CartPol"),
        (["--json", "/nowhere/it.json"], "/nowhere/it.json"),
    ],
)
def test_the_tool_refuses(capsys, arguments, said):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_schedule_that_ends_with_the_run_is_no_obstacle():
    values = {"algo": "a2c", "num_envs": 2, "vec": "serial", "lr_schedule": "linear", "lr_decay_steps": 500_000}
    assert benchmark(make_config(values), rounds=1, seconds=0.01)["whole"][1] > 0
