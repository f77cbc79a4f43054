"""Stable-Baselines3's PPO with the hyper-parameters of paddle_ac's, to be measured beside it.

    python benchmarks/peers/sb3_ppo.py --env CartPole-v1 --seconds 5 --num-envs 8 --num-steps 128 ...

prints the steps of single environments per second, counted in whole updates from the 2,048th step on; with `--steps K`
in place of `--seconds`, the mean return of greedy episodes after a training of K steps. It needs `stable-baselines3`
(and `gymnasium[box2d]` for LunarLander-v3), and nothing of paddle_ac. The caller gives every hyper-parameter.
"""

from __future__ import annotations

import argparse

import torch
from episodes import greedy_return
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize
from stopwatch import Stopwatch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", required=True)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--seconds", type=float)
    mode.add_argument("--steps", type=int)
    parser.add_argument("--episodes", type=int, default=100, help="greedy episodes of an evaluation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    for name in ("num-envs", "num-steps", "num-epochs", "minibatch-size"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("gamma", "gae-lambda", "clip-range", "value-coef", "entropy-coef", "max-grad-norm"):
        parser.add_argument(f"--{name}", type=float, required=True)
    parser.add_argument("--learning-rate", type=float, required=True, help="falls linearly to 0")
    parser.add_argument("--optimizer-epsilon", type=float, required=True, help="of Adam")
    parser.add_argument("--hidden-sizes", required=True, help="units of the layers of actor and critic each: 64,64")
    parser.add_argument("--normalize-observations", type=int, required=True, help="0 or 1")
    parser.add_argument("--normalize-rewards", type=int, required=True, help="0 or 1")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    envs = make_vec_env(arguments.env, arguments.num_envs, seed=arguments.seed)
    normalization = {"norm_obs": arguments.normalize_observations, "norm_reward": arguments.normalize_rewards}
    if any(normalization.values()):
        envs = VecNormalize(envs, gamma=arguments.gamma, **normalization)
    model = PPO(
        "MlpPolicy",
        envs,
        n_steps=arguments.num_steps,
        batch_size=arguments.minibatch_size,
        n_epochs=arguments.num_epochs,
        gamma=arguments.gamma,
        gae_lambda=arguments.gae_lambda,
        clip_range=arguments.clip_range,
        vf_coef=arguments.value_coef,
        ent_coef=arguments.entropy_coef,
        max_grad_norm=arguments.max_grad_norm,
        learning_rate=lambda remaining: remaining * arguments.learning_rate,
        policy_kwargs={
            "net_arch": [int(size) for size in arguments.hidden_sizes.split(",")],
            "activation_fn": torch.nn.Tanh,
            "optimizer_kwargs": {"eps": arguments.optimizer_epsilon},
        },
        seed=arguments.seed,
        device="cpu",
    )
    if arguments.seconds is not None:
        stopwatch = Stopwatch(2048, arguments.seconds)
        model.learn(10**9, callback=stopwatch)
        print(stopwatch.steps_per_second)
        return
    model.learn(arguments.steps)

    def act(observation):
        scaled = envs.normalize_obs(observation) if isinstance(envs, VecNormalize) else observation
        return model.predict(scaled, deterministic=True)[0]

    print(greedy_return(act, arguments.env, arguments.episodes))


if __name__ == "__main__":
    main()
