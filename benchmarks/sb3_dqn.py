"""DQN beside Stable-Baselines3's, in the same run: `python benchmarks/sb3_dqn.py --peer-python build/peers/bin/python`.

CartPole-v1, one environment, rounds of 256 steps and 128 gradient steps, batches of 64, two hidden layers of 256 with
ReLU, returns of one step, one thread for matrix products in both. Stable-Baselines3's DQN is not double; ours is
measured with and without.
The programs are run in turn, `--rounds` times each, and ratios are taken within a round. `--peer-python` is the
interpreter of an environment with `stable-baselines3`.
"""

from __future__ import annotations

import argparse

from side_by_side import run_peer, steps_per_second, tell
from threadpoolctl import threadpool_limits

from paddle_ac.algorithms.dqn import DQN
from paddle_ac.config import make_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", metavar="FILE", required=True, help="interpreter with stable-baselines3")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    ours: dict[bool, list[float]] = {False: [], True: []}
    peers = []
    for _ in range(arguments.rounds):
        for double, speeds in ours.items():
            with threadpool_limits(1, user_api="blas"):
                speeds.append(measure_ours(arguments.seconds, double))
        peers.append(run_peer(arguments.peer_python, "sb3_dqn.py", seconds=arguments.seconds))
    tell("Stable-Baselines3", peers, "steps/s")
    for double, speeds in ours.items():
        name = "double DQN" if double else "DQN"
        tell(f"{name}, CartPole-v1: paddle_ac", speeds, "steps/s")
        tell("ratio", [one / other for one, other in zip(speeds, peers, strict=True)])


def measure_ours(seconds: float, double: bool) -> float:
    """Steps per second from the 2,000th step on, as the peer counts them."""
    agent = DQN.from_config(make_config({"algo": "dqn", "num_step_returns": 1, "double": double}))
    speed = steps_per_second(agent, 2_000, seconds)
    agent.close()
    return speed


if __name__ == "__main__":
    main()
