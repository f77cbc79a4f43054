"""How long training takes to a mean return over 100 episodes: `python benchmarks/time_to_return.py --algo a3c`.

For each seed: seconds and steps until the mean return of the last 100 training episodes reaches `--return`, at most
`--total-steps`. The clock starts before the first update, so that the start of worker processes counts; importing and
building do not. The last line has the median of the steps, and their interquartile mean with its bootstrap 95 %
interval. Hyper-parameters are flags, as in tools/train.py.
"""

from __future__ import annotations

import sys
import time
from collections import deque

import numpy as np
from reliability import bootstrap_interval, interquartile_mean, run_parser

from paddle_ac.commands.exit_codes import exit_codes
from paddle_ac.config import RunConfig, make_config, read_yaml
from paddle_ac.registry import ALGORITHMS


def main(arguments: list[str]) -> None:
    with exit_codes():
        parser = run_parser("time_to_return", __doc__, arguments, num_seeds=5)
        parser.add_argument("--return", dest="wanted", type=float, default=475.0, metavar="R", help="[475]")
        flags = parser.parse(arguments)
        seeds, wanted, config_file = flags.pop("seeds"), flags.pop("wanted"), flags.pop("config")
        values = {**(read_yaml(config_file) if config_file else {}), **flags}
        configs = [make_config({**values, "seed": seed}) for seed in seeds]
        print("seed   seconds     steps  mean return of the last 100 episodes")
        counts, num_missed = [], 0
        for config in configs:
            seconds, steps, reached = train_until(wanted, config)
            print(f"{config.seed:>4}{seconds:10.1f}{steps:10,}  {reached:.1f}", flush=True)
            counts.append(steps)
            num_missed += reached < wanted
    scores = np.array(counts)
    low, high = bootstrap_interval([scores])
    print(
        f"steps: median {np.median(scores):,.0f}, interquartile mean {interquartile_mean(scores):,.0f} "
        f"[{low:,.0f}, {high:,.0f}]; {num_missed} of {len(seeds)} below {wanted:g}"
    )


def train_until(wanted: float, config: RunConfig) -> tuple[float, int, float]:
    """Seconds, steps and mean return when the mean is reached, or when the configuration's steps are over."""
    agent = ALGORITHMS[config.algo].from_config(config)
    returns: deque[float] = deque(maxlen=100)
    mean = float("-inf")
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
    main(sys.argv[1:])
