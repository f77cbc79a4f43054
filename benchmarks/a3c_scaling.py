"""Where a worker of A3C spends its time, and from it how many workers are worth having on a machine with more cores.

    python benchmarks/a3c_scaling.py

It measures, on this machine:
  the time of each phase of an update, of one worker alone (copy, act, environment, gradient, write, the rest);
  the time of an update with one worker and with two, each on a core of its own: what a second one costs the first
  is the price of reading parameters that another core has just written;
  the time that the main process spends on a report of 100 updates.

The model: a worker that shares its parameters finds all of them written by another core at every copy and every write,
whether there is one other or many, so that an update costs with any number of workers what it costs with two. What
grows with their number is the main process, which takes time from one of the cores.
    updates per second with W workers on W cores = (W - W * report / update) / update(2)
    speed-up = that, over 1 / update(1)
A lock would add a bound of (update / write), for writes then come one after the other.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from multiprocessing_env import DummyVecEnv
from paddle_ac.algorithms.a3c import A3C
from paddle_ac.algorithms.a3c_worker import A3CWorker
from paddle_ac.algorithms.actor_learner_worker import UPDATES_PER_REPORT
from paddle_ac.config import make_config
from paddle_ac.envs.make import training_env_fns
from paddle_ac.learning import gradient
from paddle_ac.processes.lock import ProcessLock

PAPER = {1: 1.0, 2: 2.1, 4: 3.7, 8: 6.9, 16: 12.5}  # Mnih et al. 2016, table 2, A3C over seven Atari games


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    arguments = parser.parse_args()
    seconds = arguments.seconds
    rounds = [(update_seconds(1, seconds), update_seconds(2, seconds)) for _ in range(arguments.rounds)]
    alone = median(one for one, _ in rounds)
    together = alone * median(two / one for one, two in rounds)
    phases = phase_seconds(seconds)
    report = report_seconds(seconds)

    print("phase of an update (one worker, CartPole-v1, t_max 5, hidden 256, ReLU)")
    for name, duration in phases.items():
        print(f"  {name:12}{duration * 1e6:8.1f} us{100 * duration / sum(phases.values()):6.1f} %")
    print(f"an update alone {alone * 1e6:.1f} us, beside a second worker {together * 1e6:.1f} us")
    print(f"the main process, for each update: {report / UPDATES_PER_REPORT * 1e6:.1f} us")
    print(f"with a lock, no more than {sum(phases.values()) / phases['write']:.1f} times one worker")
    print("\nworkers  predicted speed-up  measured here  paper, table 2")
    for workers in (1, 2, 4, 8, 16, 32):
        main_share = workers * report / UPDATES_PER_REPORT / together
        update = alone if workers == 1 else together
        speed_up = (workers - (main_share if workers > 1 else 0)) * alone / update
        measured = {1: "1.0", 2: f"{2 * alone / together:.2f}"}.get(workers, "-")
        print(f"{workers:7}{speed_up:20.1f}{measured:>15}{PAPER.get(workers, '-'):>16}")


def update_seconds(num_workers: int, seconds: float) -> float:
    """The time of one worker's update while ``num_workers`` play."""
    agent = make_agent(num_workers)
    while agent.env_steps < 1000 * num_workers:
        agent.update()
    updates_before, started = agent.shared.num_updates, time.perf_counter()
    while time.perf_counter() - started < seconds:
        agent.update()
    rate = (agent.shared.num_updates - updates_before) / (time.perf_counter() - started)
    agent.close()
    return num_workers / rate


def phase_seconds(seconds: float) -> dict[str, float]:
    """The time of each phase of an update, of one worker in this process."""
    agent = make_agent(1)
    envs = DummyVecEnv(training_env_fns(agent.config, 1))
    worker = A3CWorker(0, 0, agent.config, envs, agent.shared, ProcessLock())
    spent: dict[str, float] = defaultdict(float)

    def timed(phase: str, function: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = function(*args, **kwargs)
            spent[phase] += time.perf_counter() - started
            return result

        return call

    worker.network.act = timed("act", worker.network.act)  # type: ignore[method-assign]
    gradient.differentiate = timed("gradient", gradient.differentiate)
    worker.optimizer.step = timed("write", worker.optimizer.step)  # type: ignore[method-assign]
    for half in ("step_async", "step_wait"):
        setattr(envs, half, timed("environment", getattr(envs, half)))
    num_updates, started = 0, time.perf_counter()
    while (total := time.perf_counter() - started) < seconds:
        worker.update()
        num_updates += 1
    started = time.perf_counter()
    for _ in range(num_updates):
        np.copyto(worker.vector, agent.shared.vector)
    spent["copy"] = time.perf_counter() - started
    spent["the rest"] = total - sum(spent.values())
    order = ("copy", "act", "environment", "gradient", "write", "the rest")
    return {phase: spent[phase] / num_updates for phase in order}


def report_seconds(seconds: float) -> float:
    """Processor time of the main process for one report."""
    agent = make_agent(1)
    agent.update()
    num_reports, used_before, started = 0, time.process_time(), time.perf_counter()
    while time.perf_counter() - started < seconds:
        agent.update()
        num_reports += 1
    used = time.process_time() - used_before
    agent.close()
    return used / num_reports


def make_agent(num_workers: int) -> A3C:
    values = {"algo": "a3c", "num_workers": num_workers, "num_steps": 5, "hidden_sizes": (256,), "activation": "relu"}
    return A3C.from_config(make_config({**values, "total_steps": 10**12}))


if __name__ == "__main__":
    main()
