"""Stable-Baselines3's SAC, to be measured beside paddle_ac's: the same environment, network and batch.

    python benchmarks/peers/sb3_sac.py --seconds 5

prints the steps per second on Pendulum-v1, counted from the 500th step on. It needs `stable-baselines3`, and nothing of
paddle_ac. Its own logging is off.
"""

from __future__ import annotations

import argparse

import torch
from stable_baselines3 import SAC
from stopwatch import Stopwatch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = SAC("MlpPolicy", "Pendulum-v1", seed=arguments.seed, device="cpu")  # 256,256, batch 256: its defaults
    stopwatch = Stopwatch(500, arguments.seconds)
    model.learn(10**7, callback=stopwatch)
    print(stopwatch.steps_per_second)


if __name__ == "__main__":
    main()
