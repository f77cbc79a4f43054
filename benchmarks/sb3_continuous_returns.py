"""Returns of SAC or TD3 beside Stable-Baselines3's: the same hyper-parameters, environments, steps and evaluations.

    python benchmarks/sb3_continuous_returns.py --peer-python build/peers/bin/python --csv build/sac_returns.csv

trains both libraries with every seed on every environment, in turn and in one thread each, and evaluates the
deterministic policies on the same 10 episodes along the way. SAC has its defaults, TD3 the hyper-parameters of
`configs/td3_half_cheetah.yaml`. Each evaluation appends a row to the CSV file, one for each algorithm; a run whose
rows are complete is not repeated. `--peer-python` is the interpreter of an environment with `stable-baselines3` and
`gymnasium[mujoco]`; without it, only the table is printed: every seed, the interquartile mean over the seeds and its
95 % interval (bootstrap, Agarwal et al. 2021, arXiv:2108.13264).
"""

from __future__ import annotations

import argparse
import subprocess
import time
from pathlib import Path

import numpy as np
from peers.episodes import greedy_return
from side_by_side import PEERS, append_row, print_returns, read_returns
from threadpoolctl import threadpool_limits

from paddle_ac.config import SACConfig, TD3Config, make_config, read_yaml
from paddle_ac.registry import ALGORITHMS

LIBRARIES = ("paddle_ac", "stable_baselines3")
EPISODES = 10
CONFIGS = Path(__file__).parent.parent / "configs"
# Flags of the peer's program that are named like the hyper-parameters here.
SHARED = ("buffer_size", "learning_starts", "batch_size", "tau", "gamma", "train_freq", "gradient_steps")
SHARED_TD3 = ("action_noise", "policy_delay", "target_noise", "target_noise_clip")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", metavar="FILE", help="interpreter with stable-baselines3")
    parser.add_argument("--csv", metavar="FILE", required=True, type=Path)
    parser.add_argument("--algo", choices=["sac", "td3"], default="sac")
    parser.add_argument("--envs", nargs="+", default=["HalfCheetah-v5", "Hopper-v5"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", nargs="+", type=int, default=[10_000, 30_000, 50_000, 100_000])
    arguments = parser.parse_args()
    if arguments.peer_python:
        for seed in arguments.seeds:
            for env in arguments.envs:
                for library in LIBRARIES:
                    done = read_returns(arguments.csv)
                    if not all((env, library, seed, steps) in done for steps in arguments.steps):
                        run(library, hyper_parameters(arguments.algo, env, seed), arguments)
    print_returns(read_returns(arguments.csv))


def hyper_parameters(algo: str, env: str, seed: int) -> SACConfig | TD3Config:
    """Those of both libraries."""
    values = {"algo": "sac"} if algo == "sac" else read_yaml(CONFIGS / "td3_half_cheetah.yaml")
    config = make_config({**values, "env": env, "seed": seed})
    assert isinstance(config, SACConfig | TD3Config)
    return config


def run(library: str, config: SACConfig | TD3Config, arguments: argparse.Namespace) -> None:
    """Train one library with one seed on one environment; its rows are appended to the CSV file."""
    if library == "paddle_ac":
        with threadpool_limits(1, user_api="blas"):
            run_ours(config, arguments.steps, arguments.csv)
        return
    names = SHARED if config.algo == "sac" else SHARED + SHARED_TD3
    flags = {
        "algo": config.algo,
        "env": config.env,
        "seed": config.seed,
        "steps": ",".join(map(str, arguments.steps)),
        "csv": arguments.csv,
        "episodes": EPISODES,
        "learning-rate": config.actor_learning_rate,  # the same for all networks
        "hidden-sizes": ",".join(map(str, config.hidden_sizes)),
        **{name.replace("_", "-"): getattr(config, name) for name in names},
    }
    program = str(PEERS / "sb3_continuous_returns.py")
    subprocess.run(
        [arguments.peer_python, program, *(f"--{name}={value}" for name, value in flags.items())], check=True
    )


def run_ours(config: SACConfig | TD3Config, steps: list[int], file: Path) -> None:
    agent = ALGORITHMS[config.algo].from_config(config)
    noise = np.zeros((1, agent.scale.num_actions), np.float32)
    started = time.perf_counter()
    for total_steps in steps:
        while agent.env_steps < total_steps:
            agent.update()
        mean_return = greedy_return(
            lambda observation: agent.actor.act(observation[None], noise)[0], config.env, EPISODES
        )
        seconds = time.perf_counter() - started
        append_row(file, ["paddle_ac", config.env, config.seed, total_steps, f"{mean_return:.2f}", f"{seconds:.0f}"])
    agent.close()


if __name__ == "__main__":
    main()
