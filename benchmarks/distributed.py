"""Two ranks of ``paddle.distributed`` against one process, in steps of single environments per second.

    python benchmarks/distributed.py

Each round trains in turn in one process with half of the environments, as one rank alone has them, in one process with
all of them, and in two ranks with half of them each. The last two compute the same updates. The tasks are PAAC with
Nature's CNN on random images, where the gradient takes most of the time, and A2C on CartPole-v1, where it takes little.
It prints the median speed of each, and the medians of the two ratios within a round.
Speeds are those of the summary of a run, which counts neither the start nor evaluations.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium
import numpy as np

ROOT = Path(__file__).parents[1]
TASKS = {
    "PAAC, Nature CNN, random images": [
        *("--algo", "paac", "--env", "benchmarks.distributed:RandomImages", "--encoder", "nature"),
        *("--vec", "serial", "--learning-rate", "0.001"),
    ],
    "A2C, CartPole-v1": ["--algo", "a2c", "--env", "CartPole-v1", "--vec", "serial"],
}
NUM_ENVS = {"PAAC, Nature CNN, random images": 32, "A2C, CartPole-v1": 16}
STEPS = {"PAAC, Nature CNN, random images": 8_000, "A2C, CartPole-v1": 100_000}


class RandomImages(gymnasium.Env):
    """Frames ``[84, 84, 4]`` uint8 of noise, which cost nothing to make: eight of them in turn; 4 actions."""

    observation_space = gymnasium.spaces.Box(0, 255, (84, 84, 4), np.uint8)
    action_space = gymnasium.spaces.Discrete(4)

    def __init__(self) -> None:
        self.frames = np.random.default_rng(0).integers(0, 256, (8, 84, 84, 4), np.uint8)
        self.step_number = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        self.step_number = 0
        return self.frames[0], {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.step_number += 1
        return self.frames[self.step_number % 8], float(action == 0), self.step_number == 200, False, {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps of each training")
    arguments = parser.parse_args()
    print("| what | one rank alone | one process | two ranks | / one rank | / one process |\n" + "|---" * 6 + "|")
    for name in TASKS:
        half = NUM_ENVS[name] // 2
        kinds = [(1, half), (1, 2 * half), (2, half)]
        rounds = [[steps_per_second(name, *kind, arguments.scale) for kind in kinds] for _ in range(arguments.rounds)]
        speeds = " | ".join(f"{median(speeds):,.0f}" for speeds in zip(*rounds, strict=True))
        ratios = " | ".join(f"{median(speeds[2] / speeds[other] for speeds in rounds):.2f}" for other in (0, 1))
        print(f"| {name} | {speeds} | {ratios} |", flush=True)


def steps_per_second(name: str, num_ranks: int, num_envs: int, scale: float) -> float:
    """The speed of a training in one process, or in several ranks with ``num_envs`` environments each."""
    steps = int(STEPS[name] * scale)
    with tempfile.TemporaryDirectory() as folder:
        launcher = ["-m", "paddle.distributed.launch", "--nproc_per_node", str(num_ranks), "--log_dir", f"{folder}/log"]
        command = [sys.executable, *(launcher if num_ranks > 1 else []), str(ROOT / "tools" / "train.py")]
        never = [flag for what in ("eval", "log", "checkpoint") for flag in (f"--{what}-interval", str(10 * steps))]
        flags = ["--num-envs", str(num_envs), "--total-steps", str(steps), "--eval-episodes", "1", *never]
        subprocess.run(
            [*command, *TASKS[name], *flags, "--eval-max-steps", "1", "--run-dir", f"{folder}/run", "--no-progress"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
        )
        return json.loads(Path(folder, "run", "summary.json").read_text())["steps_per_second"]


if __name__ == "__main__":
    main()
