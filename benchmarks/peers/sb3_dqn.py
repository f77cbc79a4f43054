"""Stable-Baselines3's DQN, to be measured beside paddle_ac's: the same environment, network and batch.

    python benchmarks/peers/sb3_dqn.py --seconds 5

prints the steps per second on CartPole-v1, counted from the 2,000th step on. It needs `stable-baselines3`, and nothing
of paddle_ac. Its own logging is off.
"""

from __future__ import annotations

import argparse

import torch
from stable_baselines3 import DQN
from stopwatch import Stopwatch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = DQN(  # rl-baselines3-zoo, hyperparams/dqn.yml, CartPole-v1
        "MlpPolicy",
        "CartPole-v1",
        learning_rate=2.3e-3,
        batch_size=64,
        buffer_size=100_000,
        learning_starts=1_000,
        target_update_interval=10,
        train_freq=256,
        gradient_steps=128,
        exploration_fraction=0.16,
        exploration_final_eps=0.04,
        policy_kwargs={"net_arch": [256, 256]},
        seed=arguments.seed,
        device="cpu",
    )
    stopwatch = Stopwatch(2_000, arguments.seconds)
    model.learn(50_000, callback=stopwatch)
    print(stopwatch.steps_per_second)


if __name__ == "__main__":
    main()
