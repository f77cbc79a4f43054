"""Steps per second of A3C: one and two workers, and a PyTorch A3C beside them in the same run.

    python benchmarks/a3c_throughput.py --peer-python build/peers/bin/python

CartPole-v1, t_max 5, one hidden layer of 256 with ReLU for the actor and one for the critic. The programs are run in
turn, `--rounds` times each, and the ratios are taken within a round, for a machine's speed drifts. `--peer-python` is
the interpreter of an environment with `torch` and `gymnasium`; without it only paddle_ac is measured.
"""

from __future__ import annotations

import argparse

from side_by_side import run_peer, steps_per_second_of_workers, tell

from paddle_ac.algorithms.a3c import A3C
from paddle_ac.config import make_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", metavar="FILE", help="interpreter with torch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    rounds: list[dict[str, float]] = []
    for _ in range(arguments.rounds):
        programs = {
            "paddle_ac 1 worker": measure_ours(1, arguments.seconds),
            "paddle_ac 2 workers": measure_ours(2, arguments.seconds),
        }
        if arguments.peer_python:
            for workers in (1, 2):
                name = f"PyTorch {workers} worker{'s' * (workers > 1)}"
                flags = {"num_workers": workers, "seconds": arguments.seconds}
                programs[name] = run_peer(arguments.peer_python, "pytorch_a3c.py", **flags)
        rounds.append(programs)
    for name in rounds[0]:
        tell(name, [programs[name] for programs in rounds], "steps/s")
    tell("2 workers / 1", [r["paddle_ac 2 workers"] / r["paddle_ac 1 worker"] for r in rounds])
    if arguments.peer_python:
        tell("paddle_ac / PyTorch, 1", [r["paddle_ac 1 worker"] / r["PyTorch 1 worker"] for r in rounds])
        tell("paddle_ac / PyTorch, 2", [r["paddle_ac 2 workers"] / r["PyTorch 2 workers"] for r in rounds])


def measure_ours(num_workers: int, seconds: float) -> float:
    """Steps per second once every worker plays."""
    values = {"algo": "a3c", "num_workers": num_workers, "num_steps": 5, "hidden_sizes": (256,), "activation": "relu"}
    agent = A3C.from_config(make_config({**values, "total_steps": 10**12}))
    return steps_per_second_of_workers(agent, seconds)


if __name__ == "__main__":
    main()
