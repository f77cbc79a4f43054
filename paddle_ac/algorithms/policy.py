"""The network of a configuration: the same for every on-policy member of the family."""

from __future__ import annotations

from typing import Any

import numpy as np

from paddle_ac.algorithms.state import Part, constant_part
from paddle_ac.config import OnPolicyConfig
from paddle_ac.errors import ConfigError
from paddle_ac.nn.actions import GaussianActions, expected_q
from paddle_ac.nn.initialization import weights_generator
from paddle_ac.nn.networks import ActorCritic
from paddle_ac.nn.unroll import Unroll

POLICY_FORMAT = 2  # saved with every policy
OLDEST_FORMAT = 1  # of version 0.1, which saved none: Gaussian policies acted in the units of the environment


def check_policy_format(policy: Any, version: int) -> None:
    """Raise ``ValueError`` if a policy of a saved format would act differently today.

    Args:
        policy: network that the saved parameters are for.
        version: ``state["format"]``, or ``OLDEST_FORMAT`` if the state has none.
    """
    distribution = getattr(policy, "distribution", None)
    if version == OLDEST_FORMAT and isinstance(distribution, GaussianActions) and not distribution.scale.is_identity:
        raise ValueError(
            "it was written by version 0.1, whose Gaussian actions were not scaled to the bounds of the Box: "
            "train again, or load it with version 0.1"
        )


def format_part(policy: ActorCritic) -> Part:
    """The saved part that tells how the policy acts."""
    return constant_part(POLICY_FORMAT, lambda version: check_policy_format(policy, version), missing=OLDEST_FORMAT)


def make_actor_critic(config: OnPolicyConfig, observation_space: Any, action_space: Any) -> ActorCritic:
    """The network of a configuration for the spaces of its environment.

    Raises:
        ConfigError: an action space that there is no distribution for.
    """
    recurrent, recurrent_size = config.memory
    try:
        return ActorCritic(
            observation_space,
            action_space,
            config.hidden_sizes,
            config.activation,
            config.shared_torso,
            config.initialization,
            config.state_dependent_std,
            config.initial_log_std,
            config.normalize_observations,
            config.q_critic,
            generator=weights_generator(config.seed),
            recurrent=recurrent,
            recurrent_size=recurrent_size,
        )
    except TypeError as error:
        needs = "takes Discrete action spaces that begin at 0" if config.q_critic else error
        raise ConfigError(f"{config.algo} {needs}; that of {config.env} is {action_space}") from None


def inspect_actor_critic(network: ActorCritic, observations: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
    """What a network makes of observations; see ``Algorithm.inspect``."""
    outputs, critic_outputs = (tensor.numpy() for tensor in network(observations, Unroll.of_one_step(state)))
    described = {f"policy/{name}": numbers for name, numbers in network.distribution.describe(outputs).items()}
    return {**described, "critic/values": expected_q(outputs, critic_outputs) if network.q_critic else critic_outputs}
