"""What comparisons with other libraries share: programs in processes of their own, and tables of speeds and returns.

Programs are run in turn and ratios are taken within a round, for a machine's speed drifts.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from reliability import bootstrap_interval, interquartile_mean
from threadpoolctl import threadpool_info

from paddle_ac.algorithms.a3c import A3C
from paddle_ac.algorithms.algorithm import Algorithm

PEERS = Path(__file__).parent / "peers"
Returns = dict[tuple[str, str, int, int], float]  # by environment, library, seed and steps


def run_peer(python: str, program: str, **flags: object) -> float:
    """The number that ``peers/PROGRAM`` prints, run by the interpreter of an environment of its own."""
    given = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    command = [python, str(PEERS / program), *given]
    try:
        return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    except OSError as error:
        sys.exit(f"error: {python}: {error.strerror}")
    except subprocess.CalledProcessError:  # what was wrong stands above
        sys.exit(f"error: {program} failed under {python}")


def blas_kernel() -> str:
    """The kernel of NumPy's matrix products, such as SkylakeX: OPENBLAS_CORETYPE may have set a slower one."""
    return ", ".join(info["architecture"] for info in threadpool_info() if info["user_api"] == "blas")


def in_new_process(function: Callable[..., float], *arguments: Any) -> float:
    """The result of a function of a module, called in a process that has run nothing before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def steps_per_second(agent: Algorithm, warm_up_steps: int, seconds: float) -> float:
    """Of whole updates, counted from some steps on, as the peers count them."""
    while agent.env_steps < warm_up_steps:
        agent.update()
    steps_before, started = agent.env_steps, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        agent.update()
    return (agent.env_steps - steps_before) / passed


def steps_per_second_of_workers(agent: A3C, seconds: float) -> float:
    """Of a new agent, once every worker plays; closes it."""
    while agent.env_steps < 1000 * agent.config.num_workers:
        agent.update()
    steps_before, started = agent.env_steps, time.perf_counter()
    while time.perf_counter() - started < seconds:
        agent.update()
    speed = (agent.env_steps - steps_before) / (time.perf_counter() - started)
    agent.close()
    return speed


def tell(name: str, values: list[float], unit: str = "x") -> None:
    """A row: minimum, median and maximum; ``x`` is the unit of a ratio."""
    form = "{:10,.0f}" if unit == "steps/s" else "{:10.2f}"
    cells = "".join(form.format(value) for value in (min(values), median(values), max(values)))
    print(f"{name:36}{cells}  {unit}", flush=True)


def append_row(file: Path, row: list[Any]) -> None:
    """Append a row to a CSV file, and print it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", newline="") as rows:
        csv.writer(rows).writerow(row)
    print(*row, flush=True)


def read_returns(file: Path) -> Returns:
    """Returns from rows ``library, environment, seed, steps, return, ...``; none if there is no file."""
    if not file.exists():
        return {}
    with file.open(newline="") as rows:
        return {(row[1], row[0], int(row[2]), int(row[3])): float(row[4]) for row in csv.reader(rows)}


def print_returns(returns: Returns) -> None:
    """Print every seed, the interquartile mean over the seeds and its bootstrap 95 % interval."""
    groups: dict[tuple[str, int, str], dict[int, float]] = defaultdict(dict)
    for (env, library, seed, steps), mean_return in sorted(returns.items()):
        groups[env, steps, library][seed] = mean_return
    print("| environment | steps | library | by seed | IQM | 95 % interval |\n|---|---|---|---|---|---|")
    for (env, steps, library), by_seed in sorted(groups.items()):
        values = np.array(list(by_seed.values()))
        low, high = bootstrap_interval([values])
        cells = ", ".join(f"{seed}: {value:.0f}" for seed, value in by_seed.items())
        mean = float(interquartile_mean(values))
        print(f"| {env} | {steps:,} | {library} | {cells} | {mean:.0f} | {low:.0f} to {high:.0f} |")
