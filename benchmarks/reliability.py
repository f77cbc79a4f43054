"""How reliably a configuration learns: `python benchmarks/reliability.py --algo td_ac --fail-below 475`.

For each seed: train, then evaluate the best and the latest model in `--episodes` greedy episodes that training has not
seen. Each run's result is appended to `--csv` at once, and seeds that the file has are not run again. At the end, for
both models: the runs below `--fail-below`, the worst, and the interquartile mean with its bootstrap 95 % interval
(Agarwal et al. 2021, arXiv:2108.13264). Hyper-parameters are flags, as in tools/train.py.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from paddle_ac.commands.arguments import ArgumentParser, add_algo, choose_algo, parse_own_flags, seed_list
from paddle_ac.commands.exit_codes import exit_codes
from paddle_ac.config import RunConfig, find_config_class, make_config, read_yaml
from paddle_ac.errors import ConfigError
from paddle_ac.training.evaluate import evaluate_run
from paddle_ac.training.runs import train

MODELS = ("best", "latest")
RUN = ("algo", "env", "total_steps")
COLUMNS = (*RUN, "seed", *MODELS, "train_seconds")
NUM_RESAMPLES = 10_000


def main(arguments: list[str]) -> None:
    with exit_codes():
        flags = parse(arguments)
        seeds, fail_below, path = flags.pop("seeds"), flags.pop("fail_below"), Path(flags.pop("csv"))
        episodes, config_file = flags.pop("episodes"), flags.pop("config")
        values = {**(read_yaml(config_file) if config_file else {}), **flags}
        rows = {int(row["seed"]): row for row in read_rows(path, make_config(values))}
        for seed in seeds:
            if seed not in rows:
                rows[seed] = measure(make_config({**values, "seed": seed}), episodes)
                append_row(path, rows[seed])
            print(" ".join(f"{name} {rows[seed][name]}" for name in ("seed", *MODELS)), flush=True)
        for model in MODELS:
            print(f"{model:>6}: {summary([float(rows[seed][model]) for seed in seeds], fail_below)}")


def parse(arguments: list[str]) -> dict[str, Any]:
    parser = run_parser("reliability", __doc__, arguments, num_seeds=20)
    parser.add_argument(
        "--fail-below", type=float, required=True, metavar="R", help="a run that ends below R has failed"
    )
    parser.add_argument("--episodes", type=int, default=100, help="greedy episodes in an evaluation [100]")
    parser.add_argument("--csv", default="reliability.csv", metavar="FILE", help="results of runs [reliability.csv]")
    flags = parser.parse(arguments)
    flags.pop("seed", None)
    return flags


def run_parser(name: str, description: str | None, arguments: list[str], num_seeds: int) -> ArgumentParser:
    """A parser with ``--algo``, ``--config``, ``--seeds``, and the hyper-parameters of the chosen algorithm."""
    chosen = parse_own_flags(add_algo, arguments)
    algo = choose_algo(chosen.get("algo"), chosen["config"])
    parser = ArgumentParser(name, description=description)
    add_algo(parser)
    parser.set_defaults(algo=algo)
    parser.add_argument("--seeds", type=seed_list, default=list(range(num_seeds)), help=f"[0 to {num_seeds - 1}]")
    parser.add_hyper_parameters(find_config_class(algo))
    return parser


def measure(config: RunConfig, episodes: int) -> dict[str, Any]:
    """Train one run in a temporary folder; its row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        trained = train(config, f"{folder}/run", progress=False)
        if trained["stopped_by"] != "total_steps":
            raise KeyboardInterrupt
        returns = {model: evaluate_run(f"{folder}/run", model, episodes)["mean_return"] for model in MODELS}
    run = {name: getattr(config, name) for name in (*RUN, "seed")}
    return {**run, **returns, "train_seconds": trained["train_seconds"]}


def read_rows(path: Path, config: RunConfig) -> list[dict[str, str]]:
    """The runs that a file has; none if there is no file.

    Raises:
        ConfigError: the file has runs of another algorithm or environment, or with other steps.
    """
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for name in RUN:
            if row[name] != str(getattr(config, name)):
                raise ConfigError(
                    f"{path} has runs with {name} {row[name]}, not {getattr(config, name)}: give another file to --csv"
                )
    return rows


def append_row(path: Path, row: dict[str, Any]) -> None:
    is_new = not path.is_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def summary(scores: list[float], fail_below: float) -> str:
    """One line of statistics over runs."""
    low, high = bootstrap_interval([np.array(scores)])
    mean, failures = interquartile_mean(np.array(scores)), sum(score < fail_below for score in scores)
    return (
        f"{failures} of {len(scores)} below {fail_below:g}, worst {min(scores):.1f}, "
        f"interquartile mean {mean:.1f} [{low:.1f}, {high:.1f}]"
    )


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """Mean ``[...]`` of the middle half of scores ``[..., R]``: a quarter is cut from each end, rounded down."""
    cut = scores.shape[-1] // 4
    return np.sort(scores, axis=-1)[..., cut : scores.shape[-1] - cut].mean(axis=-1)


def bootstrap_interval(scores_by_task: list[np.ndarray], confidence: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the interquartile mean over all runs, from resampling the runs within each task.

    Args:
        scores_by_task: ``[R]`` for each task: one row of a table is one task.
        confidence: that the interval covers.
    """
    generator = np.random.default_rng(0)
    resampled = [generator.choice(scores, (NUM_RESAMPLES, len(scores))) for scores in scores_by_task]
    means = interquartile_mean(np.concatenate(resampled, axis=1))
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


if __name__ == "__main__":
    main(sys.argv[1:])
