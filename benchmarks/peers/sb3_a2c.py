"""Stable-Baselines3's A2C, to be measured beside paddle_ac's: the same environments, network and rollout length.

    python benchmarks/peers/sb3_a2c.py --num-envs 8 --vec serial --seconds 5

prints the steps of single environments per second, counted from the 2,000th step on; with `--until-return R`, the
seconds of training until the mean return of the last 100 episodes reaches R. It needs `stable-baselines3`, and nothing
of paddle_ac. Its own logging is off.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from stable_baselines3 import A2C
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv
from stopwatch import Stopwatch


class UntilReturn(BaseCallback):
    """Stops the training when the mean return of the last 100 episodes reaches a threshold.

    Attributes:
        seconds: of training so far.
    """

    def __init__(self, threshold: float):
        super().__init__()
        self.threshold = threshold

    def _on_training_start(self) -> None:
        self.started = time.perf_counter()

    def _on_step(self) -> bool:
        self.seconds = time.perf_counter() - self.started
        returns = [episode["r"] for episode in self.model.ep_info_buffer]
        return len(returns) < 100 or np.mean(returns) < self.threshold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-envs", type=int, default=8)
    parser.add_argument("--vec", choices=["serial", "subproc"], default="serial")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--until-return", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    vec_env_cls = SubprocVecEnv if arguments.vec == "subproc" else DummyVecEnv
    envs = make_vec_env("CartPole-v1", arguments.num_envs, seed=arguments.seed, vec_env_cls=vec_env_cls)
    network = {"net_arch": [64, 64], "activation_fn": torch.nn.Tanh}
    model = A2C("MlpPolicy", envs, n_steps=5, policy_kwargs=network, seed=arguments.seed, device="cpu")
    if arguments.until_return is None:
        stopwatch = Stopwatch(2000, arguments.seconds)
        model.learn(10**7, callback=stopwatch)
        print(stopwatch.steps_per_second)
    else:
        until_return = UntilReturn(arguments.until_return)
        model.learn(10**7, callback=until_return)
        print(until_return.seconds)
    envs.close()


if __name__ == "__main__":
    main()
