"""Train Stable-Baselines3's SAC or TD3 and evaluate it along the way, for a comparison with paddle_ac's.

    python benchmarks/peers/sb3_continuous_returns.py --env HalfCheetah-v5 --seed 0 --steps 10000,30000 --csv file.csv

appends one row per evaluation to the CSV file: library, environment, seed, steps, mean return, seconds. It needs
`stable-baselines3` and `gymnasium[mujoco]`, and nothing of paddle_ac. The hyper-parameters come from the caller.
"""

from __future__ import annotations

import argparse
import csv
import time

import numpy as np
import torch
from episodes import greedy_return
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algo", choices=["sac", "td3"], default="sac")
    parser.add_argument("--env", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", required=True, help="steps at which to evaluate, ascending: 10000,30000")
    parser.add_argument("--csv", required=True)
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--buffer-size", type=int, default=1_000_000)
    parser.add_argument("--learning-starts", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--tau", type=float, default=0.005)
    parser.add_argument("--gamma", type=float, default=0.99)
    parser.add_argument("--train-freq", type=int, default=1)
    parser.add_argument("--gradient-steps", type=int, default=1)
    parser.add_argument("--hidden-sizes", default="256,256")
    parser.add_argument("--action-noise", type=float, default=0.1, help="TD3: in halves of the range of actions")
    parser.add_argument("--policy-delay", type=int, default=2)
    parser.add_argument("--target-noise", type=float, default=0.2)
    parser.add_argument("--target-noise-clip", type=float, default=0.5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = make_model(arguments)

    def act(observation):
        return model.predict(observation, deterministic=True)[0]

    started = time.perf_counter()
    for steps in (int(text) for text in arguments.steps.split(",")):
        model.learn(steps - model.num_timesteps, reset_num_timesteps=False)
        mean_return = greedy_return(act, arguments.env, arguments.episodes)
        seconds = time.perf_counter() - started
        row = ["stable_baselines3", arguments.env, arguments.seed, steps, f"{mean_return:.2f}", f"{seconds:.0f}"]
        with open(arguments.csv, "a", newline="") as file:
            csv.writer(file).writerow(row)


def make_model(arguments: argparse.Namespace) -> OffPolicyAlgorithm:
    """A model with the given hyper-parameters; SAC adjusts its temperature itself."""
    common = {
        "policy": "MlpPolicy",
        "env": arguments.env,
        "learning_rate": arguments.learning_rate,
        "buffer_size": arguments.buffer_size,
        "learning_starts": arguments.learning_starts,
        "batch_size": arguments.batch_size,
        "tau": arguments.tau,
        "gamma": arguments.gamma,
        "train_freq": arguments.train_freq,
        "gradient_steps": arguments.gradient_steps,
        "policy_kwargs": {"net_arch": [int(size) for size in arguments.hidden_sizes.split(",")]},
        "seed": arguments.seed,
        "device": "cpu",
    }
    if arguments.algo == "sac":
        return SAC(**common, ent_coef="auto")
    model = TD3(
        **common,
        policy_delay=arguments.policy_delay,
        target_policy_noise=arguments.target_noise,
        target_noise_clip=arguments.target_noise_clip,
    )
    num_actions = model.action_space.shape[0]
    model.action_noise = NormalActionNoise(np.zeros(num_actions), np.full(num_actions, arguments.action_noise))
    return model


if __name__ == "__main__":
    main()
