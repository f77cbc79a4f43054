"""What comparisons with other libraries share: another interpreter's program, and rows of minimum, median and maximum.

Programs are run in turn and ratios are taken within a round, for a machine's speed drifts.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from paddle_ac.algorithms.algorithm import Algorithm

PEERS = Path(__file__).parent / "peers"


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


def steps_per_second(agent: Algorithm, warm_up_steps: int, seconds: float) -> float:
    """Of whole updates, counted from some steps on, as the peers count them."""
    while agent.env_steps < warm_up_steps:
        agent.update()
    steps_before, started = agent.env_steps, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        agent.update()
    return (agent.env_steps - steps_before) / passed


def tell(name: str, values: list[float], unit: str = "x") -> None:
    """A row: minimum, median and maximum; ``x`` is the unit of a ratio."""
    form = "{:10,.0f}" if unit == "steps/s" else "{:10.2f}"
    cells = "".join(form.format(value) for value in (min(values), median(values), max(values)))
    print(f"{name:36}{cells}  {unit}", flush=True)
