"""Train Stable-Baselines3's A2C with its own defaults, for a comparison with paddle_ac's.

    python benchmarks/peers/sb3_a2c_defaults.py --env Acrobot-v1 --seed 0 --steps 300000 --threshold -100

prints the steps until the mean return of the last 100 training episodes reached the threshold (nothing if it did not)
and the mean return of the greedy policy at the end, as a row of a CSV file. It needs `stable-baselines3` (and
`gymnasium[box2d]` for LunarLander-v3), and nothing of paddle_ac.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from stable_baselines3 import A2C
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

NUM_ENVS = 8


class Watch(BaseCallback):
    """Notes when the mean return of the last 100 episodes first reaches a threshold."""

    def __init__(self, threshold: float):
        super().__init__()
        self.threshold = threshold
        self.reached: int | None = None

    def _on_step(self) -> bool:
        returns = [episode["r"] for episode in self.model.ep_info_buffer]
        if self.reached is None and len(returns) == 100 and np.mean(returns) >= self.threshold:
            self.reached = self.num_timesteps
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threshold", type=float, required=True)
    parser.add_argument("--episodes", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = A2C("MlpPolicy", make_vec_env(arguments.env, NUM_ENVS, seed=arguments.seed), seed=arguments.seed)
    watch = Watch(arguments.threshold)
    model.learn(arguments.steps, callback=watch)
    envs = make_vec_env(arguments.env, NUM_ENVS, seed=100_000 + arguments.seed)
    mean_return, _ = evaluate_policy(model, envs, arguments.episodes)
    print(f"{watch.reached or ''},{mean_return:.1f}")


if __name__ == "__main__":
    main()
