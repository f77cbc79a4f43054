"""From typing the command to the first update: `python benchmarks/startup.py`.

Starts `tools/train.py` so that its first update writes the first point of the curves, and waits for that point to be on
disk. The imports of Paddle and of all else are in it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import tell

TRAIN = Path(__file__).parent.parent / "tools" / "train.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    for _ in range(arguments.rounds):
        for name, flags in {
            "a2c": ["--algo", "a2c"],
            "a2c, 2 worker processes": ["--algo", "a2c", "--vec", "subproc"],
            "paac": ["--algo", "paac"],
            "a3c, 2 workers": ["--algo", "a3c"],
        }.items():
            seconds.setdefault(name, []).append(seconds_to_first_update(flags))
    for name, values in seconds.items():
        tell(name, values, "s")


def seconds_to_first_update(flags: list[str]) -> float:
    """Wall-clock time until the first point of the curves is there."""
    with tempfile.TemporaryDirectory() as folder:
        points = Path(folder) / "run" / "progress.csv"
        command = [sys.executable, str(TRAIN), *flags, "--log-interval=1", f"--run-dir={points.parent}"]
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while not points.exists() or points.read_text().count("\n") < 2:
                time.sleep(0.001)
                if process.poll() is not None:
                    raise RuntimeError(f"{command} ended with exit code {process.returncode}")
            passed = time.perf_counter() - started
            process.terminate()
    return passed


if __name__ == "__main__":
    main()
