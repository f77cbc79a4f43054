"""PFRL's A3C on an Atari game, to be measured beside paddle_ac's.

    python benchmarks/peers/pfrl_a3c.py --game Pong --num-workers 2 --seconds 10

prints the steps per second of all processes. The network and the hyper-parameters are those of PFRL's example
`atari/train_a3c.py`, the environment is that of `atari_envs.py`. It needs `pfrl`, `gymnasium` and `ale-py`, and nothing
of paddle_ac.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import tempfile
import time
from typing import Any

import numpy as np
import pfrl
import torch
from atari_envs import make_game
from pfrl import experiments
from pfrl.agents import a3c
from pfrl.optimizers import SharedRMSpropEpsInsideSqrt
from pfrl.policies import SoftmaxCategoricalHead
from torch import nn

WARM_UP_STEPS = 1000


class OldGym:
    """A game with the interface of gym before 0.26, which PFRL expects; rewards are clipped to their sign."""

    def __init__(self, game: str):
        self.env = make_game(game)
        self.observation_space, self.action_space = self.env.observation_space, self.env.action_space

    def reset(self) -> np.ndarray:
        return self.env.reset()[0]

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, dict]:
        observation, reward, terminated, truncated, _ = self.env.step(int(action))
        return observation, float(np.sign(reward)), terminated, {"needs_reset": truncated}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="Pong")
    parser.add_argument("--num-workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    num_actions = make_game(arguments.game).action_space.n
    model = nn.Sequential(
        nn.Conv2d(4, 16, 8, stride=4),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2592, 256),
        nn.ReLU(),
        pfrl.nn.Branched(nn.Sequential(nn.Linear(256, num_actions), SoftmaxCategoricalHead()), nn.Linear(256, 1)),
    )
    optimizer = SharedRMSpropEpsInsideSqrt(model.parameters(), lr=7e-4, eps=1e-1, alpha=0.99)
    agent = a3c.A3C(
        model,
        optimizer,
        t_max=5,
        gamma=0.99,
        beta=1e-2,
        phi=lambda observation: np.asarray(observation, dtype=np.float32) / 255,
        max_grad_norm=40.0,
    )
    stop, times = multiprocessing.Event(), multiprocessing.Array("d", 4)  # seconds and steps, of start and end

    def watch(env: OldGym, agent: Any, step: int) -> None:
        now = time.perf_counter()
        with times.get_lock():
            if step >= WARM_UP_STEPS and not times[0]:
                times[0], times[1] = now, step
            elif times[0] and not times[2] and now - times[0] >= arguments.seconds:
                times[2], times[3] = now, step
                stop.set()

    with tempfile.TemporaryDirectory() as folder:
        experiments.train_agent_async(
            agent=agent,
            outdir=folder,
            processes=arguments.num_workers,
            make_env=lambda index, test: OldGym(arguments.game),
            steps=10**9,
            eval_interval=None,
            eval_n_steps=None,
            eval_n_episodes=None,
            use_tensorboard=False,
            global_step_hooks=[watch],
            stop_event=stop,
            random_seeds=list(range(arguments.num_workers)),  # its own are NumPy's numbers, which random.seed rejects
        )
    print((times[3] - times[1]) / (times[2] - times[0]))


if __name__ == "__main__":
    main()
