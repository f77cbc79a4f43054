"""The defaults of A2C beside those of Stable-Baselines3's, on five tasks: steps to a return, and the return at the end.

    python benchmarks/sb3_a2c_defaults.py --peer-python build/peers/bin/python --csv build/a2c_defaults.csv

trains both libraries with every seed on every task, 8 environments, one thread and nothing else given. Each run appends
a row to the CSV file, and a run that has a row is not repeated. `--peer-python` is the interpreter of an environment
with `stable-baselines3` and `gymnasium[box2d]`; without it only paddle_ac is trained. At the end comes the table: the
runs that reached the threshold (mean return of the last 100 training episodes) and their median steps, over all runs
where those that did not reach it count as the slowest; the interquartile mean of the greedy policy's return in 20
episodes at the end, and its bootstrap 95 % interval (Agarwal et al. 2021, arXiv:2108.13264).
"""

from __future__ import annotations

import argparse
import csv
import subprocess
from collections import deque
from pathlib import Path

import numpy as np
from reliability import bootstrap_interval, interquartile_mean
from side_by_side import PEERS, append_row
from threadpoolctl import threadpool_limits

from paddle_ac.algorithms.a2c import A2C
from paddle_ac.config import make_config
from paddle_ac.envs.make import FINAL_EVALUATION, make_evaluation_envs
from paddle_ac.training.evaluate import evaluate

TASKS = {  # environment: steps, threshold
    "CartPole-v1": (300_000, 475.0),
    "Acrobot-v1": (300_000, -100.0),
    "MountainCar-v0": (500_000, -150.0),
    "Pendulum-v1": (500_000, -300.0),
    "LunarLander-v3": (500_000, 100.0),
}
LIBRARIES = ("paddle_ac", "stable_baselines3")
EPISODES = 20
Rows = dict[tuple[str, str, int], tuple[float, float]]  # by environment, library and seed: steps to return, return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", metavar="FILE", help="interpreter with stable-baselines3")
    parser.add_argument("--csv", metavar="FILE", required=True, type=Path)
    parser.add_argument("--envs", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(10)))
    parser.add_argument("--steps", type=int, help="of every task [300,000 or 500,000]")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        for env in arguments.envs:
            steps, threshold = TASKS[env]
            for library in LIBRARIES if arguments.peer_python else LIBRARIES[:1]:
                if (env, library, seed) not in read(arguments.csv):
                    task = (env, seed, arguments.steps or steps, threshold)
                    row = run_peer(arguments.peer_python, *task) if library != LIBRARIES[0] else run_ours(*task)
                    append_row(arguments.csv, [library, env, str(seed), *row])
    print_table(read(arguments.csv))


def run_ours(env: str, seed: int, steps: int, threshold: float) -> list[str]:
    """Steps to the threshold (empty if it was not reached) and the greedy policy's mean return."""
    config = make_config({"algo": "a2c", "env": env, "seed": seed, "total_steps": steps})
    returns: deque[float] = deque(maxlen=100)
    reached = ""
    with threadpool_limits(1, user_api="blas"), A2C.from_config(config) as agent:
        while not agent.is_done:
            returns.extend(agent.update()["charts/episode_return"])
            if not reached and len(returns) == 100 and np.mean(returns) >= threshold:
                reached = str(agent.env_steps)
        with make_evaluation_envs(config, seed, EPISODES, FINAL_EVALUATION) as envs:
            mean_return = evaluate(agent.policy, envs, EPISODES, max_steps=10_000).mean()
    return [reached, f"{mean_return:.1f}"]


def run_peer(python: str, env: str, seed: int, steps: int, threshold: float) -> list[str]:
    flags = {"env": env, "seed": seed, "steps": steps, "threshold": threshold, "episodes": EPISODES}
    command = [python, str(PEERS / "sb3_a2c_defaults.py"), *(f"--{name}={value}" for name, value in flags.items())]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip().split(",")


def read(file: Path) -> Rows:
    if not file.exists():
        return {}
    with file.open(newline="") as rows:
        return {
            (env, library, int(seed)): (float(reached or "inf"), float(mean_return))
            for library, env, seed, reached, mean_return in csv.reader(rows)
        }


def print_table(rows: Rows) -> None:
    print("| environment | library | reached | median steps | return, IQM | 95 % interval |\n|---|---|---|---|---|---|")
    for env, library in [(env, library) for env in TASKS for library in LIBRARIES]:
        runs = [rows[key] for key in sorted(rows) if key[:2] == (env, library)]
        if not runs:
            continue
        reached, returns = np.array(runs).T
        count, median = np.isfinite(reached).sum(), np.quantile(reached, 0.5, method="lower")
        steps = f"{median:,.0f}" if np.isfinite(median) else "not reached"
        low, high = bootstrap_interval([returns])
        mean = float(interquartile_mean(returns))
        print(f"| {env} | {library} | {count} of {len(runs)} | {steps} | {mean:.1f} | {low:.1f} to {high:.1f} |")


if __name__ == "__main__":
    main()
