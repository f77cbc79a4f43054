"""A2C, PAAC, A3C and GA3C side by side: four topologies with the same network and the same loss.

    python benchmarks/topologies.py --env CartPole-v1 --folder runs/topologies

trains each of them with each seed, one run after another, into `FOLDER/ENV/ALGO/seed-N`. Finished runs are kept and
unfinished ones resumed, so the same command continues what Ctrl-C stopped. Then it prints a table and draws
`FOLDER/ENV.png`: means over the seeds, with a 95 % bootstrap interval (up to 3 seeds: lowest to highest).

TPS are training steps (updates) per second, PPS predictions (observations that actions were chosen for) per second.
Policy lag is the number of updates between the policy that chose an action and the update that learns from it. The
return over all steps is the mean height of a learning curve. Equal steps are those of the shortest run; equal time is
that of the fastest one. Times are of training, without evaluations: measure on a machine that does nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from paddle_ac.commands.arguments import ArgumentParser, seed_list, whole_number
from paddle_ac.commands.exit_codes import exit_codes
from paddle_ac.config import RunConfig, make_config
from paddle_ac.errors import ConfigError
from paddle_ac.training.curves import Run, bootstrap_band, describe_band, read_runs, running_mean
from paddle_ac.training.plotting import STYLES, draw_means, in_words, prepare_axes
from paddle_ac.training.run_folder import RunFolder
from paddle_ac.training.side_by_side import Ending, Job, run_side_by_side
from paddle_ac.training.wording import as_duration

ALGORITHMS = ("a2c", "paac", "a3c", "ga3c")
METRIC = "charts/episode_return"
NUM_POINTS = 100  # of a run's curves
RETURNS = ("mean_return", "at_steps", "at_seconds")
SMOOTH = 5  # points that a return is the mean of: 5 % of a run

COMMON = {
    "gamma": 0.99,
    "normalize_observations": False,
    "normalize_rewards": False,
    "max_grad_norm": 0.5,
    "eval_episodes": 10,
    "eval_sampled": True,
}


@dataclass(frozen=True)
class Task:
    """An environment.

    Attributes:
        total_steps: of a run.
        learning_rate: of an update that learns from one environment. Where all have the same steps, a topology whose
            updates learn from more environments makes fewer of them, and its learning rate is larger.
        learning_rate_power: the learning rate is ``learning_rate * environments ** learning_rate_power``.
        common: numbers that all topologies have on this environment.
        own: numbers that belong to a topology, by algorithm.
    """

    total_steps: int
    learning_rate: float
    learning_rate_power: float
    common: dict[str, Any]
    own: dict[str, dict[str, Any]]


TASKS = {
    # N-step returns of 5 steps, RMSProp and the rule of the learning rate: A3C's and PAAC's papers (section 5.1 there;
    # with one environment it is A3C's learning rate). Entropy and epsilon: configs/paac_cartpole.yaml, and those of A3C
    # and GA3C. Environments, workers and agents: the defaults of each algorithm.
    "CartPole-v1": Task(
        total_steps=300_000,
        learning_rate=7e-4,
        learning_rate_power=1.0,
        common={
            "hidden_sizes": (64, 64),
            "num_steps": 5,
            "gae_lambda": 1.0,
            "value_coef": 0.5,
            "entropy_coef": 0.001,
            "rmsprop_decay": 0.99,
            "optimizer_epsilon": 1e-5,
            "lr_schedule": "linear",
        },
        own={
            "a2c": {"num_envs": 8, "vec": "native", "optimizer": "rmsprop"},
            "paac": {"num_envs": 32, "vec": "native", "optimizer": "rmsprop"},
            "a3c": {"num_workers": 2, "num_envs": 1, "optimizer": "shared_rmsprop"},
            "ga3c": {"num_agents": 4, "num_envs": 4, "optimizer": "rmsprop"},
        },
    ),
    # The numbers of configs/a2c_atari.yaml and a3c_atari_fast.yaml; PAAC and GA3C have the environments, agents and
    # threads of configs/paac_atari.yaml and ga3c_atari_fast.yaml. The learning rate is constant, because a run is the
    # beginning of a longer one; Adam's grows with the root of the batch (Malladi et al. 2022, arXiv:2205.10287), as it
    # does in those files.
    "ALE/Pong-v5": Task(
        total_steps=3_000_000,
        learning_rate=7e-4 / 4,  # 7e-4 for 16 environments
        learning_rate_power=0.5,
        common={
            "encoder": "a3c",
            "num_steps": 8,
            "gae_lambda": 0.95,
            "value_coef": 0.25,
            "entropy_coef": 0.002,
            "optimizer_epsilon": 1e-5,
            "lr_schedule": "constant",
        },
        own={
            "a2c": {"num_envs": 16, "vec": "native", "optimizer": "adam"},
            "paac": {"num_envs": 32, "vec": "native", "optimizer": "adam"},
            "a3c": {"num_workers": 2, "num_envs": 8, "optimizer": "shared_adam"},
            "ga3c": {
                "num_agents": 4,
                "num_envs": 4,
                "num_predictors": 1,
                "num_trainers": 1,
                "min_training_batch": 128,
                "optimizer": "adam",
            },
        },
    ),
}


@dataclass(frozen=True)
class Figures:
    """Figures of one run.

    Attributes:
        tps: updates per second.
        pps: observations per second that actions were chosen for.
        lag: mean policy lag in updates.
        lag_max: largest policy lag in updates.
        speed: steps of single environments per second.
        mean_return: over all steps of the run.
        at_steps: return after some steps.
        at_seconds: return after some seconds of training.
    """

    tps: float
    pps: float
    lag: float
    lag_max: float
    speed: float
    mean_return: float
    at_steps: float
    at_seconds: float


def main(arguments: Sequence[str]) -> None:
    with exit_codes():
        flags = parse(arguments)
        env, seeds = flags["env"], flags["seeds"]
        total_steps = flags["total_steps"] or TASKS[env].total_steps
        root = Path(flags["folder"])
        runs = {
            (algo, seed): (run_path(root, env, algo, seed), configure(algo, env, seed, total_steps))
            for seed in seeds  # in the outer loop: the machine's speed drifts, and all topologies share that
            for algo in ALGORITHMS
        }
        if not train_all(list(runs.values())):
            return
        groups = [read_runs([runs[algo, seed][0] for seed in seeds], METRIC) for algo in ALGORITHMS]
        steps, seconds = common_end(groups)
        figures = [[figures_of(run, steps, seconds) for run in group] for group in groups]
        print_table(env, steps, seconds, figures)
        picture = root / f"{env.replace('/', '-')}.png"
        draw(env, groups, figures, picture)
        print(f"picture: {picture}")


def parse(arguments: Sequence[str]) -> dict[str, Any]:
    parser = ArgumentParser("topologies", description=__doc__)
    parser.add_argument("--env", choices=list(TASKS), default="CartPole-v1", help="environment [CartPole-v1]")
    parser.add_argument("--seeds", type=seed_list, default=[0, 1, 2, 3, 4], help="[0,1,2,3,4]")
    parser.add_argument("--total-steps", type=whole_number(1), help="steps of a run [CartPole 300,000, Pong 3,000,000]")
    parser.add_argument("--folder", default="runs/topologies", help="folder of the runs [runs/topologies]")
    return parser.parse(list(arguments))


# ---------------------------------------------------------------------------------------------------------------- runs


def configure(algo: str, env: str, seed: int, total_steps: int) -> RunConfig:
    """The configuration of a run: common numbers, and those of its topology."""
    task = TASKS[env]
    run = {"algo": algo, "env": env, "seed": seed, "total_steps": total_steps}
    intervals = {
        "eval_interval": total_steps,  # at the end alone: asynchronous algorithms train through an evaluation
        "log_interval": max(total_steps // NUM_POINTS, 1),
        "checkpoint_interval": max(total_steps // 20, 1),
    }
    config = make_config({**COMMON, **task.common, **task.own[algo], **intervals, **run})
    envs_of_update = getattr(config, "rollouts_per_update", 1) * config.num_envs
    learning_rate = task.learning_rate * envs_of_update**task.learning_rate_power
    return config.model_copy(update={"learning_rate": learning_rate})


def run_path(root: Path, env: str, algo: str, seed: int) -> Path:
    return root / env.replace("/", "-") / algo / f"seed-{seed}"


def train_all(runs: Sequence[tuple[Path, RunConfig]]) -> bool:
    """Train all runs that are not finished, one after another; return whether all are, or Ctrl-C stopped them.

    Raises:
        ConfigError: a folder has a run of another configuration.
    """
    jobs = []
    for path, config in runs:
        folder = RunFolder(path)
        if folder.config.is_file() and folder.read_config() != config:
            raise ConfigError(f"{path} is a run with other hyper-parameters: give another --folder, or the same flags")
        if not folder.is_over(config):
            jobs.append(Job(str(folder.root), None if folder.latest.is_file() else config))
    failures: list[str] = []
    is_complete = run_side_by_side(iter(jobs), 1, lambda *_: True, partial(report, failures))
    if failures:
        sys.exit(f"error: {len(failures)} of {len(runs)} runs failed; the same command resumes them")
    return is_complete


def report(failures: list[str], job: Job, ending: Ending) -> None:
    """Print how a run ended."""
    name = "/".join(Path(job.run_dir).parts[-3:])
    if ending.summary is None:
        failures.append(name)
        print(f"{name}: failed: {ending.error}", flush=True)
    else:
        summary = ending.summary
        print(f"{name}: {summary['env_steps']:,} steps in {as_duration(summary['train_seconds'])}", flush=True)


# ------------------------------------------------------------------------------------------------------------- figures


def common_end(groups: Sequence[Sequence[Run]]) -> tuple[float, float]:
    """The steps and the seconds that every run has a return at."""
    ends = [
        [run.columns[column][~np.isnan(run.columns[METRIC])][-1] for column in ("env_steps", "train_seconds")]
        for group in groups
        for run in group
    ]
    steps, seconds = np.min(ends, axis=0).tolist()
    return steps, seconds


def figures_of(run: Run, steps: float, seconds: float) -> Figures:
    """Figures of a run, and its returns after some steps and some seconds."""
    speed = mean_over(run, "charts/steps_per_second", "train_seconds")
    has_predictors = "ga3c/predictions_per_second" in run.columns
    has_lag = "diagnostics/policy_lag" in run.columns
    return Figures(
        tps=mean_over(run, "charts/updates_per_second", "train_seconds"),
        # Elsewhere every action is chosen for an observation that is learned from.
        pps=mean_over(run, "ga3c/predictions_per_second", "train_seconds") if has_predictors else speed,
        # A2C and PAAC learn from a rollout before they play the next one.
        lag=mean_over(run, "diagnostics/policy_lag", "env_steps") if has_lag else 0.0,
        lag_max=float(np.nanmax(run.columns["diagnostics/policy_lag_max"])) if has_lag else 0.0,
        speed=speed,
        mean_return=mean_over(run, METRIC, "env_steps"),
        at_steps=return_at(run, "env_steps", steps),
        at_seconds=return_at(run, "train_seconds", seconds),
    )


def mean_over(run: Run, metric: str, x_column: str) -> float:
    """Mean of a metric over steps or seconds: a point counts for all that passed since the metric's point before.

    It begins at the first point of the curves: before, agents learn while others are not ready and no time counts.

    Raises:
        ConfigError: nothing passed since the first point.
    """
    present, x = ~np.isnan(run.columns[metric]), run.columns[x_column]
    passed = np.diff(x[present], prepend=x[0])
    if passed.sum() == 0:
        raise ConfigError(f"{run.path} is too short for a mean of {metric}: give a larger --total-steps")
    return float(np.average(run.columns[metric][present], weights=passed))


def return_at(run: Run, x_column: str, x: float) -> float:
    """Return at some steps or seconds, interpolated between points that are means of ``SMOOTH`` points."""
    present = ~np.isnan(run.columns[METRIC])
    returns = running_mean(run.columns[METRIC][present], SMOOTH)
    return float(np.interp(x, run.columns[x_column][present], returns))


def over_seeds(figures: Sequence[Figures], name: str) -> tuple[float, float, float]:
    """Mean of a figure over the seeds, and the lower and the upper end of its interval."""
    values = np.array([[getattr(one, name)] for one in figures])
    low, high = bootstrap_band(values)
    return float(values.mean()), float(low[0]), float(high[0])


# --------------------------------------------------------------------------------------------------- table and picture


def print_table(env: str, steps: float, seconds: float, figures: Sequence[Sequence[Figures]]) -> None:
    num_seeds = len(figures[0])
    print(f"\n{env}, seeds: {num_seeds}; equal steps: {steps:,.0f}; equal time: {seconds:,.1f} s")
    print(f"{'':20}" + "".join(f"{algo.upper():>15}" for algo in ALGORITHMS))
    rows = (
        ("TPS [1/s]", "tps", "{:,.1f}"),
        ("PPS [1/s]", "pps", "{:,.0f}"),
        ("policy lag, mean", "lag", "{:,.2f}"),
        ("policy lag, max", "lag_max", "{:,.0f}"),
        ("steps/s", "speed", "{:,.0f}"),
        ("return, all steps", "mean_return", "{:.1f}"),
        ("return, equal steps", "at_steps", "{:.1f}"),
        ("return, equal time", "at_seconds", "{:.1f}"),
    )
    for label, name, form in rows:
        found = [over_seeds(group, name) for group in figures]
        print(f"{label:20}" + "".join(f"{form.format(mean):>15}" for mean, _, _ in found))
        if name in RETURNS and num_seeds > 1:
            print(f"{'  interval':20}" + "".join(f"{f'[{low:.1f}, {high:.1f}]':>15}" for _, low, high in found))


def draw(env: str, groups: Sequence[Sequence[Run]], figures: Sequence[Sequence[Figures]], path: Path) -> None:
    """Learning curves over steps and over seconds, TPS and PPS, and policy lag, in one picture."""
    labels = [algo.upper() for algo in ALGORITHMS]
    colors = STYLES.by_key()["color"][: len(labels)]
    styles = cycler(color=colors) + cycler(linestyle=["-", "--", "-.", ":"]) + cycler(linewidth=[1.5, 1.5, 1.5, 2.2])
    figure = Figure(figsize=(10, 8), layout="constrained")
    num_seeds = len(groups[0])
    figure.suptitle(f"{env}, one network and one loss, {num_seeds} seed{'s' * (num_seeds > 1)}")
    (over_steps, over_time), (throughput, lag) = figure.subplots(2, 2)
    over_time.set_xscale("log")  # one topology may be ten times as fast as another
    for axes, x_axis in ((over_steps, "steps"), (over_time, "seconds")):
        prepare_axes(axes, styles)
        draw_means(axes, groups, labels, x_axis, METRIC, SMOOTH)
        axes.set_ylabel(in_words(METRIC))
    over_time.sharey(over_steps)
    draw_bars(throughput, colors, figures, {"tps": "updates (TPS)", "pps": "predictions (PPS)"})
    throughput.set(title="throughput", ylabel="1/s", yscale="log")
    throughput.set_ylim(1, 200 * throughput.dataLim.y1)  # room for the legend
    draw_bars(lag, colors, figures, {"lag": "mean", "lag_max": "largest"})
    lag.set(title="policy lag", ylabel="updates")
    lag.set_yscale("symlog", linthresh=1)
    curves, _ = over_steps.get_legend_handles_labels()
    figure.legend(
        curves, labels, loc="outside lower center", ncols=len(labels), handlelength=3, title=describe_band([num_seeds])
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def draw_bars(axes: Axes, colors: Sequence[str], figures: Sequence[Sequence[Figures]], names: dict[str, str]) -> None:
    """Two figures of every topology as bars with their numbers; the second is hatched."""
    for (name, _), hatch, shift in zip(names.items(), ("", "///"), (-0.2, 0.2), strict=True):
        for place, (group, color) in enumerate(zip(figures, colors, strict=True)):
            mean, low, high = over_seeds(group, name)
            drawn = {"color": color} if not hatch else {"facecolor": "white", "edgecolor": color, "hatch": hatch}
            interval = [[mean - low], [high - mean]] if low < high else None
            bar = axes.bar(place + shift, mean, 0.38, yerr=interval, capsize=3, **drawn)
            axes.bar_label(bar, [f"{mean:,.1f}" if 0 < mean < 10 else f"{mean:,.0f}"], padding=2, fontsize="small")
    axes.set_xticks(range(len(figures)), [algo.upper() for algo in ALGORITHMS])
    axes.grid(axis="y", alpha=0.3)
    axes.margins(y=0.15)
    patches = [Patch(facecolor=face, edgecolor="0.3", hatch=hatch) for face, hatch in (("0.3", ""), ("white", "///"))]
    axes.legend(patches, list(names.values()), loc="upper left")


if __name__ == "__main__":
    main(sys.argv[1:])
