"""PPO beside Stable-Baselines3's with the same hyper-parameters: speed, or returns.

    python benchmarks/sb3_ppo.py --peer-python build/peers/bin/python

measures steps/s on CartPole-v1 with 8 environments, configs/ppo_cartpole.yaml without normalisation: whole updates, one
thread (Stable-Baselines3 also with two), processes of their own that are run in turn, `--rounds` times each. Ratios are
taken within a round.

    python benchmarks/sb3_ppo.py --peer-python build/peers/bin/python --csv build/ppo_returns.csv

trains both with every seed on every environment, with configs/ppo_cartpole.yaml (100,000 steps) and
configs/ppo_lunar_lander.yaml (1,000,000) and one thread each; Stable-Baselines3 normalises by `VecNormalize`. Each run
appends a row to the CSV file, and a run that has a row is not repeated. The table has the mean return of 100 greedy
episodes, which are the same for both: every seed, the interquartile mean and its bootstrap 95 % interval (Agarwal et
al. 2021, arXiv:2108.13264). Without `--peer-python` only paddle_ac is trained.

`--peer-python` is the interpreter of an environment with `stable-baselines3` and `gymnasium[box2d]`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from peers.episodes import greedy_return
from side_by_side import (
    append_row,
    blas_kernel,
    in_new_process,
    print_returns,
    read_returns,
    run_peer,
    steps_per_second,
    tell,
)
from threadpoolctl import threadpool_limits

from paddle_ac.algorithms.ppo import PPO
from paddle_ac.config.loading import make_config, read_yaml
from paddle_ac.config.ppo import PPOConfig
from paddle_ac.nn.description import MLP_HIDDEN_SIZES

CONFIGS = Path(__file__).parent.parent / "configs"
TASKS = {"CartPole-v1": ("ppo_cartpole.yaml", 100_000), "LunarLander-v3": ("ppo_lunar_lander.yaml", 1_000_000)}
LIBRARIES = ("paddle_ac", "stable_baselines3")
EPISODES = 100
SAME = (
    *("num_envs", "num_steps", "num_epochs", "minibatch_size", "gamma", "gae_lambda", "clip_range", "value_coef"),
    *("entropy_coef", "max_grad_norm", "learning_rate", "optimizer_epsilon"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", metavar="FILE", help="interpreter with stable-baselines3")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--csv", metavar="FILE", type=Path, help="compare returns, and keep them here")
    parser.add_argument("--envs", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, help="of every training [100,000 or 1,000,000]")
    arguments = parser.parse_args()
    if arguments.csv is None:
        if arguments.peer_python is None:
            parser.error("--peer-python is needed to compare speed")
        compare_speed(arguments.peer_python, arguments.rounds, arguments.seconds)
        return
    compare_returns(arguments)
    print_returns(read_returns(arguments.csv))


def compare_speed(peer_python: str, rounds: int, seconds: float) -> None:
    """Steps of single environments per second, and ratios."""
    ours: dict[str, list[float]] = {"serial": [], "native": []}
    peers: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for vec, measured in ours.items():
            measured.append(in_new_process(measure_ours, vec, seconds))
        for threads, measured in peers.items():
            flags = peer_flags(speed_config("serial"))
            measured.append(run_peer(peer_python, "sb3_ppo.py", seconds=seconds, threads=threads, **flags))
    print(f"kernel of NumPy's matrix products: {blas_kernel()}")
    for vec, measured in ours.items():
        tell(f"paddle_ac, --vec {vec}", measured, "steps/s")
    for threads, measured in peers.items():
        tell(f"Stable-Baselines3, threads: {threads}", measured, "steps/s")
    for vec, threads in [(vec, threads) for vec in ours for threads in peers]:
        ratios = [one / other for one, other in zip(ours[vec], peers[threads], strict=True)]
        tell(f"ratio, --vec {vec}, threads: {threads}", ratios)


def speed_config(vec: str) -> PPOConfig:
    changes = {"vec": vec, "normalize_observations": False, "normalize_rewards": False, "total_steps": 10**9}
    return make_config({**read_yaml(CONFIGS / TASKS["CartPole-v1"][0]), **changes})


def measure_ours(vec: str, seconds: float) -> float:
    """Steps per second of whole updates from the 2,048th step on, as the peer counts them."""
    with threadpool_limits(1, user_api="blas"), PPO.from_config(speed_config(vec)) as agent:
        return steps_per_second(agent, 2048, seconds)


def peer_flags(config: PPOConfig) -> dict[str, Any]:
    """The hyper-parameters that both libraries have, as flags of the peer's program."""
    return {
        "env": config.env,
        "seed": config.seed,
        "hidden_sizes": ",".join(map(str, config.hidden_sizes or MLP_HIDDEN_SIZES)),
        "normalize_observations": int(config.normalize_observations),
        "normalize_rewards": int(config.normalize_rewards),
        **{name: getattr(config, name) for name in SAME},
    }


def compare_returns(arguments: argparse.Namespace) -> None:
    """Train what the CSV file does not have yet."""
    for seed, env in [(seed, env) for seed in arguments.seeds for env in arguments.envs]:
        file, steps = TASKS[env]
        steps = arguments.steps or steps
        config = make_config({**read_yaml(CONFIGS / file), "seed": seed, "total_steps": steps})
        for library in LIBRARIES if arguments.peer_python else LIBRARIES[:1]:
            if (env, library, seed, steps) in read_returns(arguments.csv):
                continue
            if library == "paddle_ac":
                mean_return = in_new_process(train_ours, config)
            else:
                flags = {"steps": steps, "episodes": EPISODES, **peer_flags(config)}
                mean_return = run_peer(arguments.peer_python, "sb3_ppo.py", **flags)
            append_row(arguments.csv, [library, env, seed, steps, f"{mean_return:.2f}"])


def train_ours(config: PPOConfig) -> float:
    """Mean return of greedy episodes after a training."""
    with threadpool_limits(1, user_api="blas"), PPO.from_config(config) as agent:
        while not agent.is_done:
            agent.update()
        return greedy_return(agent.predict, config.env, EPISODES)


if __name__ == "__main__":
    main()
