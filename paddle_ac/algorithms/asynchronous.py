"""The base of algorithms whose environments play in processes of their own while this process goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import numpy as np

from multiprocessing_env import probe_spaces
from paddle_ac.algorithms.agent import Agent
from paddle_ac.algorithms.algorithm import Panel
from paddle_ac.algorithms.policy import make_network, network_layers
from paddle_ac.envs.make import as_config_error, training_env_fns
from paddle_ac.memory import SINGLE_ENV, WORKER, require_memory
from paddle_ac.nn.network import Network
from paddle_ac.processes.pool import WorkerPool

AnyAlgorithm = TypeVar("AnyAlgorithm", bound="Asynchronous")

POLICY_LAG = Panel("policy lag", "updates", {"diagnostics/policy_lag": "mean", "diagnostics/policy_lag_max": "largest"})


class Asynchronous(Agent):
    """An algorithm whose environments play in processes, which a pool supervises.

    Attributes:
        processes: name of the hyper-parameter that sets the number of processes.
        pool: the processes, from the first ``update`` on.
    """

    asynchronous = True
    processes: ClassVar[str]
    pool: WorkerPool
    _network: Network  # of this process, for evaluations

    def __init__(self, config: Any, observation_space: Any, action_space: Any):
        super().__init__(config)
        self.observation_space, self.action_space = observation_space, action_space

    @classmethod
    def from_config(cls: type[AnyAlgorithm], config: Any) -> AnyAlgorithm:
        """For the environment that the configuration names; ``ConfigError`` if it cannot be had."""
        number, num_envs = getattr(config, cls.processes), config.num_envs
        require_memory(number * WORKER, f"{cls.processes}={number}")
        require_memory(number * num_envs * SINGLE_ENV, f"{cls.processes}={number}, num_envs={num_envs}")
        env_fns = training_env_fns(config, 1)
        with as_config_error(config):
            spaces = probe_spaces(env_fns[0])
        return cls(config, *spaces)

    @staticmethod
    def make_policy(config: Any, observation_space: Any, action_space: Any) -> Network:
        """The network of a configuration for the spaces of its environment, as ``make_network``."""
        return make_network(config, observation_space, action_space)

    @property
    def is_done(self) -> bool:
        """Whether the total of steps is reached, and all metrics have been returned."""
        return self.pool.is_finished

    @property
    def has_started(self) -> bool:
        """Whether all processes play."""
        return self.pool.is_ready

    def layers(self) -> tuple[dict[str, Any], Callable[[np.ndarray, np.ndarray], Any]]:
        """The network of actor and critic as a Paddle layer; see ``Algorithm.layers``."""
        return network_layers(self._network)

    def inspect(self, observations: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
        """Diagnostics of the policy and the critic for a batch; see ``Algorithm.inspect``."""
        return self._network.inspect(observations, state)
