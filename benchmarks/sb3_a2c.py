"""A2C beside Stable-Baselines3's, in the same run: `python benchmarks/sb3_a2c.py --peer-python build/peers/bin/python`.

CartPole-v1, configs/a2c_baselines.yaml (5 steps, two hidden layers of 64 with tanh for actor and critic each), one
thread for matrix products in both. The programs are run in turn, `--rounds` times each, and ratios are taken within a
round. `--peer-python` is the interpreter of an environment with `stable-baselines3`. With `--until-return 475` it is
not the speed that is compared but the seconds of training to that mean return over 100 episodes, each with its own
hyper-parameters, seed by seed.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

from own_network import OwnNetwork
from side_by_side import run_peer, steps_per_second, tell
from threadpoolctl import threadpool_limits
from time_to_return import train_until

from paddle_ac.algorithms.a2c import A2C
from paddle_ac.config import make_config, read_yaml

CONFIGS = Path(__file__).parent.parent / "configs"
BUILT_IN = ("hidden_sizes", "activation", "shared_torso")  # of built-in networks only
CASES: dict[str, tuple[dict[str, Any], str]] = {  # title: what is ours, the peer's kind of environments
    "8 environments, one process": ({"num_envs": 8, "vec": "serial"}, "serial"),
    "8 environments, native": ({"num_envs": 8, "vec": "native"}, "serial"),
    "16 environments, one process": ({"num_envs": 16, "vec": "serial"}, "serial"),
    "16 environments, native": ({"num_envs": 16, "vec": "native"}, "serial"),
    "8 environments, 2 workers": ({"num_envs": 8, "vec": "subproc"}, "subproc"),
    "8 environments, 8 workers": ({"num_envs": 8, "vec": "subproc", "num_workers": 8}, "subproc"),
    "8 environments, one process, backend paddle": ({"num_envs": 8, "vec": "serial", "backend": "paddle"}, "serial"),
    "8 environments, one process, own network": (
        {"num_envs": 8, "vec": "serial", "network": OwnNetwork, **dict.fromkeys(BUILT_IN)},
        "serial",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", metavar="FILE", required=True, help="interpreter with stable-baselines3")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--until-return", type=float, metavar="R", help="compare the time to learn")
    arguments = parser.parse_args()
    with threadpool_limits(1, user_api="blas"):
        if arguments.until_return is None:
            compare_speed(arguments.peer_python, arguments.rounds, arguments.seconds)
        else:
            compare_time_to_return(arguments.peer_python, arguments.rounds, arguments.until_return)


def compare_speed(peer_python: str, rounds: int, seconds: float) -> None:
    """Steps of single environments per second, and the ratio; the peer is measured once in a round."""
    ours, peers = defaultdict(list), defaultdict(list)
    for _ in range(rounds):
        measured: dict[tuple[int, str], float] = {}
        for title, (changes, peer_vec) in CASES.items():
            ours[title].append(measure_ours(changes, seconds))
            kind = changes["num_envs"], peer_vec
            if kind not in measured:
                peer = {"num_envs": kind[0], "vec": peer_vec, "seconds": seconds}
                measured[kind] = run_peer(peer_python, "sb3_a2c.py", **peer)
            peers[title].append(measured[kind])
    for title in CASES:
        tell(f"{title}: paddle_ac", ours[title], "steps/s")
        tell("Stable-Baselines3", peers[title], "steps/s")
        tell("ratio", [one / other for one, other in zip(ours[title], peers[title], strict=True)])


def measure_ours(changes: dict[str, Any], seconds: float) -> float:
    """Steps per second from the 2,000th step on, as the peer counts them."""
    agent = A2C.from_config(make_config({**read_yaml(CONFIGS / "a2c_baselines.yaml"), **changes}))
    speed = steps_per_second(agent, 2000, seconds)
    agent.close()
    return speed


def compare_time_to_return(peer_python: str, num_seeds: int, wanted: float) -> None:
    """Seconds of training to a mean return, and the ratio."""
    ours, peers = [], []
    for seed in range(num_seeds):
        values = {**read_yaml(CONFIGS / "a2c_cartpole_fast.yaml"), "seed": seed}
        ours.append(train_until(wanted, make_config(values))[0])
        peers.append(run_peer(peer_python, "sb3_a2c.py", seed=seed, until_return=wanted))
        print(f"seed {seed}: paddle_ac {ours[-1]:.1f} s, Stable-Baselines3 {peers[-1]:.1f} s", flush=True)
    tell("Stable-Baselines3 / paddle_ac", [other / one for one, other in zip(ours, peers, strict=True)])


if __name__ == "__main__":
    main()
