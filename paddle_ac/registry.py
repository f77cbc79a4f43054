"""The algorithms by name, with the places of the configuration and the class of each.

A line here makes an algorithm known to the command line, to configurations and to ``paddle_ac.make``. Places are texts,
so that a mistake in a configuration is reported without the second that importing Paddle takes.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from paddle_ac.algorithms.algorithm import Algorithm
    from paddle_ac.config.base import RunConfig


class Places(NamedTuple):
    """Places of the classes of an algorithm, each as ``module:name``."""

    config: str
    algorithm: str
    cluster: str | None = None  # the algorithm on the machines of a cluster


A2C = "paddle_ac.algorithms.a2c:A2C"  # also TD and Q actor-critic and PAAC, which differ in their hyper-parameters
TD3 = "paddle_ac.algorithms.td3:TD3"  # also DDPG

REGISTRY = {
    "a2c": Places("paddle_ac.config.a2c:A2CConfig", A2C),
    "ppo": Places("paddle_ac.config.ppo:PPOConfig", "paddle_ac.algorithms.ppo:PPO"),
    "paac": Places("paddle_ac.config.paac:PAACConfig", A2C),
    "a3c": Places(
        "paddle_ac.config.a3c:A3CConfig",
        "paddle_ac.algorithms.a3c:A3C",
        cluster="paddle_ac.algorithms.a3c_cluster:ClusterA3C",
    ),
    "ga3c": Places("paddle_ac.config.ga3c:GA3CConfig", "paddle_ac.algorithms.ga3c:GA3C"),
    "td_ac": Places("paddle_ac.config.td_ac:TDActorCriticConfig", A2C),
    "q_ac": Places("paddle_ac.config.q_ac:QActorCriticConfig", A2C),
    "reinforce": Places("paddle_ac.config.reinforce:ReinforceConfig", "paddle_ac.algorithms.reinforce:Reinforce"),
    "dqn": Places(
        "paddle_ac.config.dqn:DQNConfig",
        "paddle_ac.algorithms.dqn:DQN",
        cluster="paddle_ac.algorithms.dqn_cluster:ClusterDQN",
    ),
    "soft_q": Places("paddle_ac.config.soft_q:SoftQConfig", "paddle_ac.algorithms.soft_q:SoftQ"),
    "sac_discrete": Places(
        "paddle_ac.config.sac_discrete:SACDiscreteConfig", "paddle_ac.algorithms.sac_discrete:SACDiscrete"
    ),
    "pgql": Places("paddle_ac.config.pgql:PGQLConfig", "paddle_ac.algorithms.pgql:PGQL"),
    "async_q": Places("paddle_ac.config.async_q:AsyncOneStepQConfig", "paddle_ac.algorithms.async_q:AsyncQ"),
    "async_sarsa": Places("paddle_ac.config.async_q:AsyncSarsaConfig", "paddle_ac.algorithms.async_q:AsyncSarsa"),
    "async_nstep_q": Places("paddle_ac.config.async_q:AsyncNStepQConfig", "paddle_ac.algorithms.async_q:AsyncNStepQ"),
    "sac": Places("paddle_ac.config.sac:SACConfig", "paddle_ac.algorithms.sac:SAC"),
    "td3": Places("paddle_ac.config.td3:TD3Config", TD3),
    "ddpg": Places("paddle_ac.config.ddpg:DDPGConfig", TD3),
}


class _Classes(Mapping[str, Any]):
    """A class of each algorithm, imported when it is asked for."""

    def __init__(self, kind: str):
        self._kind = kind

    def __getitem__(self, algo: str) -> Any:
        return load_class(getattr(REGISTRY[algo], self._kind))

    def __iter__(self) -> Iterator[str]:
        return iter(REGISTRY)

    def __len__(self) -> int:
        return len(REGISTRY)


def load_class(place: str) -> Any:
    """Import the class at ``module:name``."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


CONFIGS: Mapping[str, type[RunConfig]] = _Classes("config")
ALGORITHMS: Mapping[str, type[Algorithm]] = _Classes("algorithm")


def make_algorithm(config: RunConfig) -> Algorithm:
    """The algorithm of a configuration, on this machine or on a cluster; ``ConfigError`` if it cannot be had."""
    places = REGISTRY[config.algo]
    place = places.cluster if places.cluster is not None and config.cluster_address is not None else places.algorithm
    return load_class(place).from_config(config)
