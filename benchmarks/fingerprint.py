"""Whether a change leaves every number as it was: `python benchmarks/fingerprint.py --other CHECKOUT`.

Trains every synchronous algorithm for some updates with a fixed seed, in this checkout and in another one, and prints
for each whether parameters and episode returns are the same, bit for bit. Without `--other` it prints fingerprints.
It exits with 1 if a number differs. A3C is left out: its workers race.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import paddle_ac  # what every version offers: this script also runs in checkouts before it

ROOT = Path(__file__).parent.parent
RUNS = {
    f"{algo} {env} {' '.join(map(str, changes.values()))}".strip(): {"algo": algo, "env": env, **changes}
    for algo, env, changes in [
        ("a2c", "CartPole-v1", {}),
        ("a2c", "CartPole-v1", {"recurrent": "lstm", "gae_lambda": 0.9}),
        ("a2c", "CartPole-v1", {"shared_torso": True, "critic_loss": "smooth_l1"}),
        ("a2c", "Pendulum-v1", {}),
        ("ppo", "CartPole-v1", {}),
        ("ppo", "Pendulum-v1", {"clip_range_vf": 0.2, "minibatch_size": 300}),
        ("paac", "CartPole-v1", {}),
        ("paac", "Pendulum-v1", {}),
        ("td_ac", "CartPole-v1", {}),
        ("td_ac", "Pendulum-v1", {}),
        ("q_ac", "CartPole-v1", {}),
        ("reinforce", "CartPole-v1", {}),
        ("reinforce", "Pendulum-v1", {}),
        ("dqn", "CartPole-v1", {}),
        ("dqn", "CartPole-v1", {"dueling": True, "num_step_returns": 3, "prioritized": True}),
        ("sac", "Pendulum-v1", {"learning_starts": 300}),
    ]
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--other", metavar="FOLDER", type=Path, help="checkout to compare with")
    parser.add_argument("--steps", type=int, default=20_000, help="of single environments, in each run [20,000]")
    arguments = parser.parse_args()
    if arguments.other is None:
        for name in RUNS:
            try:
                print(f"{name}: {fingerprint(name, arguments.steps)}", flush=True)
            except ValueError as error:  # ConfigError, wherever a version has it
                if "unknown algorithm" not in str(error):
                    raise
        return
    ours, others = (fingerprints(checkout, arguments.steps) for checkout in (ROOT, arguments.other))
    for name in RUNS:
        same = ours[name] == others.get(name)
        print(f"{name}: {'the same' if same else 'DIFFERENT' if name in others else 'not in the other checkout'}")
    sys.exit(any(ours[name] != fingerprint for name, fingerprint in others.items()))


def fingerprints(checkout: Path, steps: int) -> dict[str, str]:
    """By run, of the package in a checkout; this script, so that both train the same."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, __file__, "--steps", str(steps)]
    printed = subprocess.run(command, cwd=checkout, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return dict(line.split(": ") for line in printed.stdout.splitlines())


def fingerprint(name: str, steps: int) -> str:
    """A hash of the parameters and the episode returns after some steps (a tenth of them for SAC)."""
    returns: list[float] = []
    with paddle_ac.make(**RUNS[name], total_steps=10**6) as agent:
        while agent.env_steps < (steps // 10 if RUNS[name]["algo"] == "sac" else steps):
            returns += agent.update()["charts/episode_return"]
        words = hashlib.sha256(agent.parameters.vector.tobytes())
    words.update(np.array(returns).tobytes())
    return words.hexdigest()[:16]


if __name__ == "__main__":
    main()
