"""What comparisons with other libraries share: another interpreter's program, and rows of minimum, median and maximum.

Programs are run in turn and ratios are taken within a round, for a machine's speed drifts.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from statistics import median

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


def tell(name: str, values: list[float], unit: str = "x") -> None:
    """A row: minimum, median and maximum; ``x`` is the unit of a ratio."""
    form = "{:10,.0f}" if unit == "steps/s" else "{:10.2f}"
    cells = "".join(form.format(value) for value in (min(values), median(values), max(values)))
    print(f"{name:36}{cells}  {unit}", flush=True)
