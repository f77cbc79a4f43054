"""Stable-Baselines3's A2C on an Atari game, to be measured beside paddle_ac's.

    python benchmarks/peers/sb3_atari.py --game Pong --num-envs 16 --seconds 10

prints the steps of single environments per second. Environments are those of `make_atari_env` with 4 stacked frames,
the network is `CnnPolicy` (Nature's), 5 steps. It needs `stable-baselines3[extra]` and `ale-py`, and nothing of
paddle_ac.
"""

from __future__ import annotations

import argparse

import ale_py
import gymnasium
import torch
from stable_baselines3 import A2C
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack
from stopwatch import Stopwatch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="Pong")
    parser.add_argument("--num-envs", type=int, default=16)
    parser.add_argument("--vec", choices=["serial", "subproc"], default="serial")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    gymnasium.register_envs(ale_py)
    vec_env_cls = SubprocVecEnv if arguments.vec == "subproc" else DummyVecEnv
    envs = make_atari_env(f"{arguments.game}NoFrameskip-v4", arguments.num_envs, vec_env_cls=vec_env_cls)
    model = A2C("CnnPolicy", VecFrameStack(envs, 4), n_steps=5, ent_coef=0.01, vf_coef=0.25, device="cpu")
    stopwatch = Stopwatch(800, arguments.seconds)
    model.learn(10**7, callback=stopwatch)
    print(stopwatch.steps_per_second)
    envs.close()


if __name__ == "__main__":
    main()
