"""The base of SAC, TD3 and DDPG: an actor of continuous actions, critics of actions, and their target networks."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from multiprocessing_env import VecEnv, space_kind
from paddle_ac.algorithms.learner import Learner, TargetParameters
from paddle_ac.algorithms.off_policy import OffPolicy
from paddle_ac.algorithms.state import Part, arrays_part
from paddle_ac.errors import ConfigError, NonFiniteError
from paddle_ac.learning.replay import Batch
from paddle_ac.losses.values import bellman_residual
from paddle_ac.memory import require_memory
from paddle_ac.nn.continuous_networks import ContinuousActor, StackedCritics
from paddle_ac.nn.description import log_images
from paddle_ac.nn.initialization import weights_generator
from paddle_ac.nn.numpy_continuous import NumpyStackedCritics
from paddle_ac.nn.optimizers import Adam, Optimizer
from paddle_ac.nn.paddle_parameters import flatten_parameters
from paddle_ac.nn.threads import RowThreads


class ContinuousActorCritic(OffPolicy):
    """An actor and K critics that learn from a replay buffer.

    The networks are Paddle layers; the algorithm acts and learns by networks in NumPy on the same memory, at less cost.

    A subclass names the class of its policy, makes its actor in NumPy, and takes gradient steps.

    Args:
        config: hyper-parameters, with a ``ContinuousActionsGroup`` and what ``OffPolicy`` needs.
        envs: N environments, closed by ``close``.
        num_critics: ``K``, which learn side by side.

    Attributes:
        policy: the actor; ``policy.act(observations)`` chooses actions.
        scale: from the cube ``[-1, 1]^A``, in which the networks take and choose actions, to the actions of the Box.
        learners: parameters, gradient and optimiser of ``"actor"`` and ``"critic"``.
        critic_network: the critics.
        critic: the same networks in NumPy.
        critic_target: parameters of ``target``.
        target: the target networks of the critics, in NumPy.
        noise: ``[N, A]`` float32, standard normal noise of the last actions.

    Raises:
        ConfigError: an action space that is not a Box of floats with finite bounds, or images that the encoder does not
            take.
    """

    policy: ContinuousActor
    policy_class: type[ContinuousActor]

    def __init__(self, config: Any, envs: VecEnv, num_critics: int):
        super().__init__(config, envs)
        self.scale, self.inputs, self.encode = self.policy.scale, self.policy.inputs, self.policy.encode
        log_images(self.inputs)
        self.threads = RowThreads(config.num_threads) if self.inputs.images else None
        self.learners = {"actor": Learner(flatten_parameters(self.policy), Adam)}
        self.parameters = self.learners["actor"].parameters
        self.critic_network = StackedCritics(
            self.inputs,
            self.encode,
            self.scale.num_actions,
            num_critics,
            config.hidden_sizes,
            config.activation,
            weights_generator(config.seed, network=1),
        )
        self.learners["critic"] = Learner(flatten_parameters(self.critic_network), Adam)
        self.critic_parameters = self.learners["critic"].parameters
        self.critic = self._critics_on(self.critic_parameters.views)
        self.critic_target = TargetParameters(self.critic_parameters)
        self.target = self._critics_on(self.critic_target.views)
        self.noise = self.generator.standard_normal((envs.num_envs, self.scale.num_actions), np.float32)
        # A batch, and the activations of all critics.
        num_columns = num_critics * (self.inputs.num_inputs + self.scale.num_actions + sum(config.hidden_sizes))
        require_memory(4 * config.batch_size * num_columns, f"batch_size={config.batch_size}")

    @classmethod
    def make_policy(cls, config: Any, observation_space: Any, action_space: Any) -> ContinuousActor:
        """The actor of a configuration for the spaces of its environment.

        Raises:
            ConfigError: an action space that is not a Box of floats with finite bounds, the lower below the upper, or
                images that the encoder does not take.
        """
        if not (
            space_kind(action_space) == "Box"
            and np.issubdtype(action_space.dtype, np.floating)
            and np.isfinite([action_space.low, action_space.high]).all()
            and (action_space.low < action_space.high).all()
        ):
            raise ConfigError(
                f"{config.algo} takes Box action spaces of floats with finite bounds; that of {config.env} is "
                f"{action_space}"
            )
        try:
            return cls.policy_class(
                observation_space,
                action_space,
                config.hidden_sizes,
                config.activation,
                config.normalize_observations,
                weights_generator(config.seed),
                config.encoder,
                config.conv_layers,
            )
        except ValueError as error:
            raise ConfigError(f"{config.env}: {error}") from None

    def layers(self) -> tuple[dict[str, Any], Callable[[np.ndarray, np.ndarray], Any]]:
        """The networks of the actor and of the critics; see ``Algorithm.layers``."""
        return {"actor": self.policy, "critics": self.critic_network}, self.inspect

    @abstractmethod
    def inspect(self, observations: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
        """Diagnostics of the policy and the critics for a batch; see ``Algorithm.inspect``."""

    @property
    def learning_rate(self) -> float:
        """That of the actor."""
        return self.config.actor_learning_rate

    def _critics_on(self, views: dict[str, np.ndarray]) -> NumpyStackedCritics:
        """Critics in NumPy on given parameters."""
        return NumpyStackedCritics(views, self.inputs, self.encode, self.config.activation, self.threads)

    def _act_before_learning(self, observations: np.ndarray) -> np.ndarray:
        return self.scale.to_box(self.generator.uniform(-1, 1, self.noise.shape).astype(np.float32))

    def _next_noise(self) -> np.ndarray:
        """Noise of the next actions: an autoregressive process of variance 1, whatever the correlation."""
        correlation = self.config.noise_correlation
        self.noise *= np.float32(correlation)
        fresh = self.generator.standard_normal(self.noise.shape, np.float32)
        self.noise += np.float32(math.sqrt(1 - correlation**2)) * fresh
        return self.noise

    def _critic_step(self, batch: Batch, targets: np.ndarray) -> tuple[float, float]:
        """Take one step of the critics; returns the loss and the mean value."""
        values, tape = self.critic.forward(batch.observations, self.scale.to_units(batch.actions))
        loss, grad_values = bellman_residual(values, targets)
        self._check_finite(loss)
        learner = self.learners["critic"]
        self.critic.backward(tape, grad_values, learner.gradient_views)
        learner.step(learner.gradient, self.config.critic_learning_rate)
        return loss, float(values.mean())

    @staticmethod
    def _check_finite(loss: float) -> None:
        if not math.isfinite(loss):
            raise NonFiniteError(f"the loss is not finite: {loss}")

    def _optimizers(self) -> dict[str, Optimizer]:
        """All optimisers by name, to be saved."""
        return {name: learner.optimizer for name, learner in self.learners.items()}

    def saved_parts(self) -> dict[str, Part]:
        """See ``Agent.saved_parts``."""
        return {
            **super().saved_parts(),
            "parameters": self.learners["actor"].parameters_part(),
            "critic": self.learners["critic"].parameters_part(),
            "target": self.critic_target.part(),
            "optimizers": arrays_part({name: optimizer.statistics for name, optimizer in self._optimizers().items()}),
            "noise": arrays_part(self.noise),
        }

    def learned_parts(self) -> dict[str, Part]:
        """See ``Agent.learned_parts``: actor, critics and their target networks."""
        saved = self.saved_parts()
        return {**{name: saved[name] for name in ("parameters", "critic", "target")}, **super().learned_parts()}
