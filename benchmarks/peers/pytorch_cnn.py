"""Prints the median milliseconds of a pass through a network for images in PyTorch; see `benchmarks/cnn.py`."""

import argparse
import time
from statistics import median

import torch
from torch import nn


class Residual(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, inputs):
        return inputs + self.second(torch.relu(self.first(torch.relu(inputs))))


def impala():
    layers, before = [], 4
    for channels in (16, 32, 32):
        layers += [nn.Conv2d(before, channels, 3, padding=1), nn.MaxPool2d(3, 2, 1)]
        layers += [Residual(channels), Residual(channels)]
        before = channels
    return [*layers, nn.ReLU(), nn.Flatten(), nn.Linear(32 * 11 * 11, 256), nn.ReLU()], 256


def convolutions(shapes, num_features, num_units):
    layers, before = [], 4
    for channels, kernel, stride in shapes:
        layers += [nn.Conv2d(before, channels, kernel, stride), nn.ReLU()]
        before = channels
    return [*layers, nn.Flatten(), nn.Linear(num_features, num_units), nn.ReLU()], num_units


ENCODERS = {
    "nature": lambda: convolutions([(32, 8, 4), (64, 4, 2), (64, 3, 1)], 64 * 7 * 7, 512),
    "a3c": lambda: convolutions([(16, 8, 4), (32, 4, 2)], 32 * 9 * 9, 256),
    "impala": impala,
}


class ActorCritic(nn.Module):
    """An encoder with its dense layer, logits and a value."""

    def __init__(self, encoder):
        super().__init__()
        layers, num_units = ENCODERS[encoder]()
        self.encoder = nn.Sequential(*layers)
        self.actor, self.critic = nn.Linear(num_units, 6), nn.Linear(num_units, 1)

    def forward(self, observations):
        features = self.encoder(observations.float() / 255)
        return self.actor(features), self.critic(features)


parser = argparse.ArgumentParser()
parser.add_argument("--encoder")
parser.add_argument("--threads", type=int)
parser.add_argument("--batch-size", type=int)
parser.add_argument("--backward", type=int)
parser.add_argument("--seconds", type=float)
arguments = parser.parse_args()
torch.set_num_threads(arguments.threads)
torch.manual_seed(0)
network = ActorCritic(arguments.encoder)
observations = torch.randint(0, 256, (arguments.batch_size, 4, 84, 84), dtype=torch.uint8)


def run():
    if not arguments.backward:
        with torch.no_grad():
            network(observations)
        return
    logits, values = network(observations)
    network.zero_grad(set_to_none=True)
    (logits.sum() + values.sum()).backward()


for _ in range(3):
    run()
times, end = [], time.perf_counter() + arguments.seconds
while time.perf_counter() < end or len(times) < 5:
    started = time.perf_counter()
    run()
    times.append(time.perf_counter() - started)
print(1e3 * median(times))
