"""The network of a configuration: the same for every on-policy member of the family."""

from __future__ import annotations

from typing import Any

from multiprocessing_env import space_kind
from paddle_ac.config import OnPolicyConfig
from paddle_ac.errors import ConfigError
from paddle_ac.nn.networks import ActorCritic


def make_actor_critic(config: OnPolicyConfig, observation_space: Any, action_space: Any) -> ActorCritic:
    """The network of a configuration for the spaces of its environment.

    Raises:
        ConfigError: an action space that is not Discrete, or whose actions do not begin at 0.
    """
    if space_kind(action_space) != "Discrete" or getattr(action_space, "start", 0) != 0:
        raise ConfigError(f"{config.algo} takes Discrete action spaces from 0; that of {config.env} is {action_space}")
    return ActorCritic(
        observation_space,
        int(action_space.n),
        config.hidden_sizes,
        config.activation,
        config.shared_torso,
        config.initialization,
    )
