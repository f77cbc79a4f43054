"""How long training takes to a mean return over 100 episodes: `python benchmarks/time_to_return.py --algo a3c`.

For each seed: seconds and steps until the mean return of the last 100 training episodes reaches `--return`. The clock
starts before the first update, so that the start of worker processes counts; importing and building do not.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from typing import Any

import numpy as np

from paddle_ac.commands.arguments import choose_algo
from paddle_ac.commands.exit_codes import exit_codes
from paddle_ac.config import make_config, read_yaml
from paddle_ac.registry import ALGORITHMS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algo", help="[a2c]")
    parser.add_argument("--config", metavar="FILE", help="hyper-parameters in YAML [the algorithm's own]")
    parser.add_argument("--return", dest="wanted", type=float, default=475.0, metavar="R")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    arguments = parser.parse_args()
    with exit_codes():
        values = read_yaml(arguments.config) if arguments.config else {}
        values["algo"] = choose_algo(arguments.algo, arguments.config)
        print("seed   seconds     steps  mean return of the last 100 episodes")
        for seed in arguments.seeds.split(","):
            seconds, steps, reached = train_until(arguments.wanted, {**values, "seed": seed})
            print(f"{seed:>4}{seconds:10.1f}{steps:10,}  {reached:.1f}", flush=True)


def train_until(wanted: float, values: dict[str, Any]) -> tuple[float, int, float]:
    """Seconds, steps and mean return when the mean is reached, or when the configuration's steps are over."""
    config = make_config(values)
    agent = ALGORITHMS[config.algo].from_config(config)
    returns: deque[float] = deque(maxlen=100)
    mean = float("nan")
    started = time.perf_counter()
    while agent.env_steps < config.total_steps:
        returns.extend(agent.update()["charts/episode_return"])
        if len(returns) == 100:
            mean = float(np.mean(returns))
            if mean >= wanted:
                break
    seconds, steps = time.perf_counter() - started, agent.env_steps
    agent.close()
    return seconds, steps, mean


if __name__ == "__main__":
    main()
