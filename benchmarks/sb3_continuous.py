"""SAC or TD3 beside Stable-Baselines3's: `python benchmarks/sb3_continuous.py --peer-python build/peers/bin/python`.

Pendulum-v1, one environment, a gradient step for each step, batches of 256, two hidden layers of 256 with ReLU for the
actor and each critic, one thread for matrix products in both. The programs are run in turn, `--rounds` times each, and
ratios are taken within a round. `--peer-python` is the interpreter of an environment with `stable-baselines3`.
"""

from __future__ import annotations

import argparse

from side_by_side import run_peer, steps_per_second, tell
from threadpoolctl import threadpool_limits

from paddle_ac.config import make_config
from paddle_ac.registry import ALGORITHMS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", metavar="FILE", required=True, help="interpreter with stable-baselines3")
    parser.add_argument("--algo", choices=["sac", "td3"], default="sac")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    ours, peers = [], []
    for _ in range(arguments.rounds):
        with threadpool_limits(1, user_api="blas"):
            ours.append(measure_ours(arguments.algo, arguments.seconds))
        flags = {"algo": arguments.algo, "seconds": arguments.seconds}
        peers.append(run_peer(arguments.peer_python, "sb3_continuous.py", **flags))
    tell(f"{arguments.algo.upper()}, Pendulum-v1: paddle_ac", ours, "steps/s")
    tell("Stable-Baselines3", peers, "steps/s")
    tell("ratio", [one / other for one, other in zip(ours, peers, strict=True)])


def measure_ours(algo: str, seconds: float) -> float:
    """Steps per second from the 500th step on, as the peer counts them."""
    agent = ALGORITHMS[algo].from_config(make_config({"algo": algo, "env": "Pendulum-v1"}))
    speed = steps_per_second(agent, 500, seconds)
    agent.close()
    return speed


if __name__ == "__main__":
    main()
