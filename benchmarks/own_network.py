"""The network of docs/networks.md, to time a network of the user's own."""

from __future__ import annotations

from gymnasium.spaces import Box, Discrete
from paddle import Tensor, nn


class OwnNetwork(nn.Layer):
    """A policy and a critic, two hidden layers each."""

    def __init__(self, observation_space: Box, action_space: Discrete) -> None:
        super().__init__()
        self.policy = _mlp(observation_space.shape[0], int(action_space.n))
        self.critic = _mlp(observation_space.shape[0], 1)

    def forward(self, observations: Tensor, state: None) -> tuple[Tensor, Tensor, None]:
        """Logits `[B, n]` and values `[B]` of observations `[B, ...]`; no memory."""
        return self.policy(observations), self.critic(observations).squeeze(-1), None


def _mlp(num_inputs: int, num_outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(num_inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, num_outputs))
