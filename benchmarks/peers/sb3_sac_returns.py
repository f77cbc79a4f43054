"""Train Stable-Baselines3's SAC and evaluate it along the way, for a comparison with paddle_ac's.

    python benchmarks/peers/sb3_sac_returns.py --env HalfCheetah-v5 --seed 0 --steps 10000,30000 --csv returns.csv

appends one row per evaluation to the CSV file: library, environment, seed, steps, mean return, alpha, seconds. It needs
`stable-baselines3` and `gymnasium[mujoco]`, and nothing of paddle_ac. The hyper-parameters come from the caller.
"""

from __future__ import annotations

import argparse
import csv
import time

import torch
from episodes import greedy_return
from stable_baselines3 import SAC


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = SAC(
        "MlpPolicy",
        arguments.env,
        learning_rate=arguments.learning_rate,
        buffer_size=arguments.buffer_size,
        learning_starts=arguments.learning_starts,
        batch_size=arguments.batch_size,
        tau=arguments.tau,
        gamma=arguments.gamma,
        train_freq=arguments.train_freq,
        gradient_steps=arguments.gradient_steps,
        ent_coef="auto",
        policy_kwargs={"net_arch": [int(size) for size in arguments.hidden_sizes.split(",")]},
        seed=arguments.seed,
        device="cpu",
    )

    def act(observation):
        return model.predict(observation, deterministic=True)[0]

    started = time.perf_counter()
    for steps in (int(text) for text in arguments.steps.split(",")):
        model.learn(steps - model.num_timesteps, reset_num_timesteps=False)
        mean_return = greedy_return(act, arguments.env, arguments.episodes)
        alpha = model.log_ent_coef.exp().item()
        seconds = time.perf_counter() - started
        row = ["stable_baselines3", arguments.env, arguments.seed, steps, f"{mean_return:.2f}", f"{alpha:.5f}"]
        with open(arguments.csv, "a", newline="") as file:
            csv.writer(file).writerow([*row, f"{seconds:.0f}"])


if __name__ == "__main__":
    main()
