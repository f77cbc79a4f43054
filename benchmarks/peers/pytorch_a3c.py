"""A3C in PyTorch as it is usually written, to be measured beside paddle_ac: processes, a shared model, Hogwild.

It stands for the many programs of about 100 lines that teach A3C (pytorch-a3c, minimalRL): a worker copies the shared
model with `load_state_dict`, plays t_max steps one observation at a time, computes the loss by automatic
differentiation and steps a shared RMSProp on the shared model.

    python benchmarks/peers/pytorch_a3c.py --num-workers 2 --seconds 10

prints the steps per second of all workers together. It needs `torch` and `gymnasium`, and nothing of paddle_ac.
"""

from __future__ import annotations

import argparse
import time

import gymnasium
import torch
import torch.multiprocessing as mp
from torch import nn


class ActorCritic(nn.Module):
    """Actor and critic with a hidden layer each."""

    def __init__(self, num_features: int, num_actions: int, hidden_size: int):
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(num_features, hidden_size), nn.ReLU(), nn.Linear(hidden_size, num_actions))
        self.critic = nn.Sequential(nn.Linear(num_features, hidden_size), nn.ReLU(), nn.Linear(hidden_size, 1))

    def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.actor(observations), self.critic(observations).squeeze(-1)


class SharedRMSprop(torch.optim.RMSprop):
    """RMSProp whose running mean squares are shared between processes."""

    def __init__(self, parameters, **options):
        super().__init__(parameters, **options)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter] = {
                    "step": torch.zeros(()).share_memory_(),
                    "square_avg": torch.ones_like(parameter).share_memory_(),
                }


def work(seed: int, shared: ActorCritic, optimizer: SharedRMSprop, steps, stop, arguments) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    env = gymnasium.make("CartPole-v1")
    local = ActorCritic(4, 2, arguments.hidden_size)
    observation, _ = env.reset(seed=seed)
    while not stop.is_set():
        local.load_state_dict(shared.state_dict())
        observations, actions, rewards, done = [], [], [], False
        for _ in range(arguments.t_max):
            observation = torch.from_numpy(observation)
            with torch.no_grad():
                logits, _ = local(observation)
                action = torch.distributions.Categorical(logits=logits).sample()
            observations.append(observation)
            actions.append(action)
            observation, reward, terminated, truncated, _ = env.step(int(action))
            rewards.append(float(reward))
            done = terminated or truncated
            if done:
                break
        with torch.no_grad():
            following = torch.zeros(()) if terminated else local(torch.from_numpy(observation))[1]
        if done:
            observation, _ = env.reset()
        returns = []
        for reward in reversed(rewards):
            following = reward + 0.99 * following
            returns.insert(0, following)
        logits, values = local(torch.stack(observations))
        distribution = torch.distributions.Categorical(logits=logits)
        advantages = torch.stack(returns) - values
        loss = (
            -(distribution.log_prob(torch.stack(actions)) * advantages.detach()).mean()
            + 0.5 * advantages.square().mean()
            - 0.01 * distribution.entropy().mean()
        )
        local.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(local.parameters(), 0.5)
        for parameter, own in zip(shared.parameters(), local.parameters(), strict=True):
            parameter._grad = own.grad
        optimizer.step()
        with steps.get_lock():
            steps.value += len(rewards)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--t-max", type=int, default=5)
    parser.add_argument("--hidden-size", type=int, default=256)
    arguments = parser.parse_args()
    context = mp.get_context("spawn")
    shared = ActorCritic(4, 2, arguments.hidden_size).share_memory()
    optimizer = SharedRMSprop(shared.parameters(), lr=7e-4, alpha=0.99, eps=1e-5, foreach=False)
    steps, stop = context.Value("l", 0), context.Event()
    workers = [
        context.Process(target=work, args=(seed, shared, optimizer, steps, stop, arguments))
        for seed in range(arguments.num_workers)
    ]
    for worker in workers:
        worker.start()
    while steps.value < 500 * arguments.num_workers:  # all are up
        if not all(worker.is_alive() for worker in workers):
            stop.set()  # else the others would keep this process from ending
            raise RuntimeError("a worker has ended")
        time.sleep(0.01)
    steps_before, started = steps.value, time.perf_counter()
    time.sleep(arguments.seconds)
    print((steps.value - steps_before) / (time.perf_counter() - started))
    stop.set()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
