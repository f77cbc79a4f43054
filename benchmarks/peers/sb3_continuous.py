"""Stable-Baselines3's SAC or TD3, to be measured beside paddle_ac's: the same environment, network and batch.

    python benchmarks/peers/sb3_continuous.py --algo sac --seconds 5

prints the steps per second on Pendulum-v1, counted from the 500th step on. It needs `stable-baselines3`, and nothing of
paddle_ac. Its own logging is off.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.noise import NormalActionNoise
from stopwatch import Stopwatch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algo", choices=["sac", "td3"], default="sac")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    common = {"policy": "MlpPolicy", "env": "Pendulum-v1", "seed": arguments.seed, "device": "cpu"}
    if arguments.algo == "sac":
        model = SAC(**common)  # 256,256, batch 256: its defaults
    else:
        noise = NormalActionNoise(np.zeros(1), np.full(1, 0.1))
        model = TD3(**common, learning_rate=3e-4, action_noise=noise, policy_kwargs={"net_arch": [256, 256]})
    stopwatch = Stopwatch(500, arguments.seconds)
    model.learn(10**7, callback=stopwatch)
    print(stopwatch.steps_per_second)


if __name__ == "__main__":
    main()
