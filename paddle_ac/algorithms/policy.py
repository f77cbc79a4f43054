"""The network of a configuration: a policy and a critic, or Q values."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from multiprocessing_env import space_kind, space_parts
from paddle_ac.action_masks import OBSERVATION
from paddle_ac.algorithms.state import Part, constant_part
from paddle_ac.config import NetworkConfig, OnPolicyConfig
from paddle_ac.errors import ConfigError
from paddle_ac.losses.q_learning import QHead, max_values
from paddle_ac.nn.actions import ActionDistribution, GaussianActions, action_distribution
from paddle_ac.nn.description import NetworkDescription, describe_network, log_images
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.initialization import weights_generator
from paddle_ac.nn.network import Network
from paddle_ac.nn.numpy_network import NumpyActorCritic
from paddle_ac.nn.parameters import FlatParameters

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


def format_part(policy: Network) -> Part:
    """The saved part with the version of how the policy acts."""
    return constant_part(POLICY_FORMAT, lambda version: check_policy_format(policy, version), missing=OLDEST_FORMAT)


def make_network(
    config: OnPolicyConfig,
    observation_space: Any,
    action_space: Any,
    values: dict[str, Any] | None = None,
    network_class: type | None = None,
    vector: np.ndarray | None = None,
) -> Network:
    """The network of a configuration for the spaces of its environment, in its backend.

    Args:
        config: hyper-parameters.
        observation_space: of the environment.
        action_space: of the environment.
        values: the parameters by name, copied; initial ones of the run's seed by default.
        network_class: the class that ``config.network`` names, where it cannot be imported by that name.
        vector: ``[P]`` float32, memory for the parameters; new memory by default.

    Raises:
        ConfigError: an action space without a distribution, images that the encoder does not take, a network of the
            user's own with a mistake, or a device that is not available.
    """
    spaces = observation_space, action_space
    if config.network is not None:
        if config.q_critic:
            raise ConfigError(f"{config.algo} takes built-in networks only, whose critic estimates Q(s, .)")
        try:
            distribution = action_distribution(action_space)
        except TypeError as error:
            raise _unsuitable_spaces(config, action_space, error) from None
        return _make_custom(config, *spaces, distribution, values, network_class, vector)
    recurrent, recurrent_size = config.memory
    description = _describe(
        config,
        *spaces,
        shared_torso=config.shared_torso,
        state_dependent_std=config.state_dependent_std,
        initial_log_std=config.initial_log_std,
        q_critic=config.q_critic,
        recurrent=recurrent,
        recurrent_size=recurrent_size,
    )
    return _make_built_in(config, description, observation_space, action_distribution(action_space), values, vector)


def make_q_network(
    config: NetworkConfig,
    observation_space: Any,
    action_space: Any,
    q_head: str,
    make_distribution: Callable[[int], ActionDistribution],
    values: dict[str, Any] | None = None,
    network_class: type | None = None,
    vector: np.ndarray | None = None,
    encode: ObservationEncoder | None = None,
) -> Network:
    """The network of Q values of a configuration, in its backend; a layer of the user's own has a dueling head.

    Args:
        config, observation_space, action_space, values, network_class, vector: as for ``make_network``.
        q_head: ``"plain"`` or ``"dueling"``, as in ``NetworkDescription``.
        make_distribution: returns the distribution of A actions, given by the actor's outputs.
        encode: encoder of another network of this configuration, to share its moments; a new one by default.

    Raises:
        ConfigError: as ``make_network``, and for an action space that is not Discrete.
    """
    spaces = observation_space, action_space
    if space_kind(action_space) != "Discrete" or np.any(getattr(action_space, "start", 0)):
        raise _unsuitable_spaces(config, action_space, TypeError("takes Discrete action spaces that begin at 0"))
    distribution = make_distribution(int(action_space.n))
    if config.network is not None:
        return _make_custom(config, *spaces, distribution, values, network_class, vector, encode)
    description = _describe(config, *spaces, q_head=q_head, shared_torso=False)
    return _make_built_in(config, description, observation_space, distribution, values, vector, encode)


def make_choice_network(
    config: NetworkConfig,
    observation_space: Any,
    action_space: Any,
    q_head: str,
    number: int = 0,
    values: dict[str, Any] | None = None,
    encode: ObservationEncoder | None = None,
) -> Network:
    """A network with outputs for each action of each choice, in its backend; a layer of the user's own has values too.

    Args:
        config, observation_space, action_space, values, encode: as for ``make_q_network``.
        q_head: ``"policy"`` or ``"plain"``, as in ``NetworkDescription``.
        number: of the network, as for ``weights_generator``.

    Raises:
        ConfigError: as ``make_network``, and for an action space that is neither Discrete nor MultiDiscrete.
    """
    spaces = observation_space, action_space
    if space_kind(action_space) not in ("Discrete", "MultiDiscrete") or np.any(getattr(action_space, "start", 0)):
        error = TypeError("takes Discrete and MultiDiscrete action spaces that begin at 0")
        raise _unsuitable_spaces(config, action_space, error)
    distribution = action_distribution(action_space)
    if config.network is not None:
        return _make_custom(config, *spaces, distribution, values, None, None, encode, number)
    description = _describe(config, *spaces, q_head=q_head, shared_torso=False)
    return _make_built_in(config, description, observation_space, distribution, values, None, encode, number)


def _describe(config: NetworkConfig, observation_space: Any, action_space: Any, **options: Any) -> NetworkDescription:
    """Describe a built-in network; ``options`` are further arguments of ``describe_network``."""
    try:
        return describe_network(
            observation_space,
            action_space,
            config.hidden_sizes,
            config.activation,
            initialization=config.initialization,
            encoder=config.encoder,
            conv_layers=config.conv_layers,
            has_mask=config.action_masks,
            **options,
        )
    except TypeError as error:
        raise _unsuitable_spaces(config, action_space, error) from None
    except ValueError as error:
        raise ConfigError(f"{config.env}: {error}") from None


def _make_built_in(
    config: NetworkConfig,
    description: NetworkDescription,
    observation_space: Any,
    distribution: ActionDistribution,
    values: dict[str, Any] | None,
    vector: np.ndarray | None,
    encode: ObservationEncoder | None = None,
    number: int = 0,
) -> Network:
    if values is None:
        values = description.initial_parameters(weights_generator(config.seed, number))
        if number == 0:
            log_images(description)
    parameters = FlatParameters(values, vector)
    encode = encode or ObservationEncoder(
        observation_space, config.normalize_observations, images=description.images, has_mask=config.action_masks
    )
    if not config.uses_paddle:
        return NumpyActorCritic(description, parameters, encode, distribution, config.num_threads)
    from paddle_ac.nn.paddle_layers import ActorCritic
    from paddle_ac.nn.paddle_network import BuiltInPaddleNetwork, use_device

    use_device(config.device)
    layer = ActorCritic(description, encode)
    return BuiltInPaddleNetwork(
        layer, parameters, encode, distribution, description.q_critic, config.device, config.action_masks
    )


def _make_custom(
    config: NetworkConfig,
    observation_space: Any,
    action_space: Any,
    distribution: ActionDistribution,
    values: dict[str, Any] | None,
    network_class: type | None,
    vector: np.ndarray | None,
    encode: ObservationEncoder | None = None,
    number: int = 0,
) -> Network:
    from paddle_ac.nn.custom_network import import_network, make_custom_network
    from paddle_ac.nn.paddle_network import PaddleNetwork, use_device
    from paddle_ac.nn.paddle_parameters import values_of

    assert config.network is not None
    use_device(config.device)
    seed = config.seed if number == 0 else int(weights_generator(config.seed, number).integers(2**31))
    own_space = observation_space[OBSERVATION] if config.action_masks else observation_space
    # The parts of a Dict or Tuple are passed as they are.
    normalize = config.normalize_observations and not space_parts(own_space)
    encode = encode or ObservationEncoder(observation_space, normalize, has_mask=config.action_masks)
    layer = make_custom_network(
        network_class or import_network(config.network),
        config.network_kwargs,
        observation_space,
        action_space,
        distribution,
        encode,
        seed,
        config.action_masks,
    )
    parameters = FlatParameters(values_of(layer) if values is None else values, vector)
    return PaddleNetwork(layer, parameters, encode, distribution, device=config.device, has_mask=config.action_masks)


def network_layers(
    network: Network, name: str = "actor_critic"
) -> tuple[dict[str, Any], Callable[[np.ndarray, np.ndarray], Any]]:
    """The Paddle layer of a network by its name, and a function that computes with it; see ``Algorithm.layers``."""
    import paddle

    from paddle_ac.nn.paddle_network import layer_of

    layer = layer_of(network)
    return {name: layer}, lambda observations, state: layer(observations, paddle.to_tensor(state))


def inspect_q_values(network: Network, head: QHead, observations: np.ndarray) -> dict[str, np.ndarray]:
    """The policy's distribution and the largest Q values for a batch; see ``Algorithm.inspect``."""
    outputs, critic_outputs = network.heads(observations)
    described = {f"policy/{name}": values for name, values in network.distribution.describe(outputs).items()}
    return {**described, "critic/values": max_values(head.q_values(outputs, critic_outputs))}


def log_backend(config: NetworkConfig) -> None:
    """Log what the networks of a run compute with."""
    where = f"paddle on {config.device}" if config.uses_paddle else "numpy"
    logging.getLogger(__name__).info("networks compute with %s (--backend %s)", where, config.backend)


def _unsuitable_spaces(config: NetworkConfig, action_space: Any, error: TypeError) -> ConfigError:
    space = " ".join(str(action_space).split())  # arrays are printed in several lines
    return ConfigError(f"{config.algo} {error}; the action space of {config.env} is {space}")
