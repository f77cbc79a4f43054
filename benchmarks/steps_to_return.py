"""Steps until a run first reaches a return: `python benchmarks/steps_to_return.py --algo pgql --stop-at-return 475`.

Each seed trains until an evaluation reaches `--stop-at-return`, so `--eval-interval` is the resolution. A run that does
not reach it counts with all of its steps. At the end: the median, the interquartile mean with its bootstrap 95 %
interval, and the runs that did not reach it. Hyper-parameters are flags, as in tools/train.py.
"""

from __future__ import annotations

import sys
import tempfile

import numpy as np
from reliability import bootstrap_interval, interquartile_mean, run_parser

from paddle_ac.commands.exit_codes import exit_codes
from paddle_ac.config import RunConfig, make_config, read_yaml
from paddle_ac.errors import ConfigError
from paddle_ac.training.runs import train


def main(arguments: list[str]) -> None:
    with exit_codes():
        flags = run_parser("steps_to_return", __doc__, arguments).parse(arguments)
        seeds, config_file = flags.pop("seeds"), flags.pop("config")
        values = {**(read_yaml(config_file) if config_file else {}), **flags}
        if make_config(values).stop_at_return is None:
            raise ConfigError("--stop-at-return: give the return to reach")
        counts, num_missed = [], 0
        for seed in seeds:
            steps, is_reached = measure(make_config({**values, "seed": seed}))
            counts.append(steps)
            num_missed += not is_reached
            print(f"seed {seed} {steps:,} steps{'' if is_reached else ', not reached'}", flush=True)
        (low, high), scores = bootstrap_interval([np.array(counts)]), np.array(counts)
        print(
            f"median {np.median(scores):,.0f}, interquartile mean {interquartile_mean(scores):,.0f} "
            f"[{low:,.0f}, {high:,.0f}], not reached by {num_missed} of {len(seeds)}"
        )


def measure(config: RunConfig) -> tuple[int, bool]:
    """Steps of a run in a temporary folder, and whether it stopped at the return."""
    with tempfile.TemporaryDirectory() as folder:
        trained = train(config, f"{folder}/run", progress=False)
    if trained["stopped_by"] == "interrupt":
        raise KeyboardInterrupt
    return trained["env_steps"], trained["stopped_by"] == "target_return"


if __name__ == "__main__":
    main(sys.argv[1:])
