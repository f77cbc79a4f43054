"""Steps per second on an Atari game, beside other libraries in the same run.

    python benchmarks/atari.py --peer-python build/peers/bin/python

A2C with 16 environments, 5 steps, RMSProp and Nature's network beside Stable-Baselines3's with the same (in one
process and in workers), A2C with the A3C paper's network, and A3C with 2 workers, of one game and of 8, feed-forward
and with an LSTM, beside PFRL's A3C with 2 processes, of one game each, as it cannot have more. All use two cores. And
16 games with random actions, stepped by ALE's vector environment and by envpool, where that is installed. The programs
are run in turn, `--rounds` times each, and ratios are taken within a round.
`--peer-python` is the interpreter of an environment with `stable-baselines3[extra]`, `pfrl` and `ale-py`; without it
only paddle_ac is measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import blas_kernel, run_peer, steps_per_second, steps_per_second_of_workers, tell

from paddle_ac.algorithms.a2c import A2C
from paddle_ac.algorithms.a3c import A3C
from paddle_ac.config import make_config, read_yaml
from paddle_ac.envs.make import make_training_envs

CONFIGS = Path(__file__).parent.parent / "configs"
LSTM = {"recurrent": "lstm", "recurrent_size": 256}
RATIOS = (  # ours, theirs
    ("A2C, Nature's network", "Stable-Baselines3 A2C, one process"),
    ("A2C, Nature's network", "Stable-Baselines3 A2C, 16 workers"),
    ("A3C, 2 workers", "PFRL A3C, 2 processes"),
    ("A3C, 2 workers of 8 games", "PFRL A3C, 2 processes"),
    ("A3C with LSTM, 2 workers", "A3C, 2 workers"),
    ("A3C with LSTM, 2 workers of 8 games", "A3C, 2 workers of 8 games"),
    ("16 games, native, 1 thread", "16 games, envpool, 1 thread"),
    ("16 games, native, 2 threads", "16 games, envpool, 2 threads"),
)
KINDS = ("native", "envpool") if importlib.util.find_spec("envpool") else ("native",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", metavar="FILE", help="interpreter with the other libraries")
    parser.add_argument("--game", default="Pong")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    print(f"kernel of matrix products: {blas_kernel()}")
    game = {"env": f"ALE/{arguments.game}-v5"}
    peer = {"game": arguments.game, "seconds": arguments.seconds}
    rounds: list[dict[str, float]] = []
    for _ in range(arguments.rounds):
        speeds = {
            "A2C, Nature's network": measure_a2c({**game, "encoder": "nature"}, arguments.seconds),
            "A2C, A3C's network": measure_a2c({**game, "encoder": "a3c"}, arguments.seconds),
            "A3C, 2 workers": measure_a3c("a3c_atari", game, arguments.seconds),
            "A3C, 2 workers of 8 games": measure_a3c("a3c_atari_fast", game, arguments.seconds),
            "A3C with LSTM, 2 workers": measure_a3c("a3c_atari_lstm", game, arguments.seconds),
            "A3C with LSTM, 2 workers of 8 games": measure_a3c("a3c_atari_fast", {**game, **LSTM}, arguments.seconds),
        }
        for num_threads in (1, 2):
            for vec in KINDS:
                name = f"16 games, {vec}, {num_threads} thread{'s' * (num_threads > 1)}"
                speeds[name] = measure_games({**game, "vec": vec, "num_workers": num_threads}, arguments.seconds)
        if arguments.peer_python:
            python = arguments.peer_python
            speeds |= {
                "Stable-Baselines3 A2C, one process": run_peer(python, "sb3_atari.py", vec="serial", **peer),
                "Stable-Baselines3 A2C, 16 workers": run_peer(python, "sb3_atari.py", vec="subproc", **peer),
                "PFRL A3C, 2 processes": run_peer(python, "pfrl_a3c.py", num_workers=2, **peer),
            }
        rounds.append(speeds)
    for name in rounds[0]:
        tell(name, [speeds[name] for speeds in rounds], "steps/s")
    for ours, theirs in RATIOS:
        if theirs in rounds[0]:
            tell(f"{ours} / {theirs}", [speeds[ours] / speeds[theirs] for speeds in rounds])


def measure_a2c(changes: dict[str, str], seconds: float) -> float:
    """Steps per second of whole updates."""
    values = {**read_yaml(CONFIGS / "a2c_atari.yaml"), "num_steps": 5, "gae_lambda": 1.0, "optimizer": "rmsprop"}
    agent = A2C.from_config(make_config({**values, **changes}))
    speed = steps_per_second(agent, 800, seconds)
    agent.close()
    return speed


def measure_games(changes: dict[str, Any], seconds: float) -> float:
    """Steps per second of the environments of A2C alone, with random actions."""
    config = make_config({**read_yaml(CONFIGS / "a2c_atari.yaml"), **changes})
    with make_training_envs(config) as envs:
        envs.reset()
        actions = np.random.default_rng(0).integers(0, envs.action_space.n, (100, envs.num_envs))
        num_steps, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            for chosen in actions:
                envs.step(chosen)
            num_steps += actions.size
        return num_steps / (time.perf_counter() - started)


def measure_a3c(config: str, changes: dict[str, Any], seconds: float) -> float:
    """Steps per second once every worker plays."""
    agent = A3C.from_config(make_config({**read_yaml(CONFIGS / f"{config}.yaml"), **changes, "total_steps": 10**12}))
    return steps_per_second_of_workers(agent, seconds)


if __name__ == "__main__":
    main()
