"""SAC: soft actor-critic, off-policy, for continuous actions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle

from multiprocessing_env import VecEnv, space_kind
from paddle_ac.algorithms.algorithm import Panel
from paddle_ac.algorithms.learner import Learner
from paddle_ac.algorithms.off_policy import OffPolicy
from paddle_ac.algorithms.state import Part, arrays_part
from paddle_ac.config.sac import SACConfig
from paddle_ac.errors import ConfigError, NonFiniteError
from paddle_ac.learning.replay import Batch
from paddle_ac.losses.sac import (
    actor_loss,
    minimum,
    soft_bellman_residual,
    soft_bellman_targets,
    temperature_loss,
)
from paddle_ac.memory import require_memory
from paddle_ac.nn.initialization import weights_generator
from paddle_ac.nn.numpy_sac import DrawnActions, NumpySquashedGaussianActor, NumpyTwinCritic
from paddle_ac.nn.optimizers import Adam
from paddle_ac.nn.paddle_parameters import flatten_parameters
from paddle_ac.nn.sac_networks import SquashedGaussianActor, TwinCritic


class SAC(OffPolicy):
    """Soft actor-critic with twin critics and a learned temperature (Haarnoja et al. 2018, arXiv:1812.05905).

    A gradient step is one on each of the losses of critics, actor and temperature.

    Args:
        config: hyper-parameters.
        envs: N environments, closed by ``close``.

    Attributes:
        policy: the actor; ``policy.act(observations)`` chooses actions.
        actor: the same network in NumPy, on the same memory; it acts and learns at less cost.
        critic: both critics, in NumPy.
        learners: parameters, gradient and optimiser of ``"actor"`` and ``"critic"``.

    Raises:
        ConfigError: an action space that is not a Box of floats with finite bounds.
    """

    metric_tags: tuple[str, ...] = ("losses/alpha", "diagnostics/alpha", "diagnostics/q_value")
    panels: tuple[Panel, ...] = (
        Panel("temperature alpha", "", {"diagnostics/alpha": ""}),
        Panel("Q values of a batch", "", {"diagnostics/q_value": ""}),
    )

    policy: SquashedGaussianActor

    def __init__(self, config: SACConfig, envs: VecEnv):
        super().__init__(config, envs)
        self.encode, self.scale = self.policy.encode, self.policy.scale
        self.learners = {"actor": Learner(flatten_parameters(self.policy), Adam)}
        self.parameters = self.learners["actor"].parameters
        self.actor = NumpySquashedGaussianActor(self.parameters.views, self.encode, self.scale, config.activation)

        num_inputs = self.encode.num_features + self.scale.num_actions
        self.critic_network = TwinCritic(
            num_inputs, config.hidden_sizes, config.activation, weights_generator(config.seed, network=1)
        )
        self.learners["critic"] = Learner(flatten_parameters(self.critic_network), Adam)
        self.critic_parameters = self.learners["critic"].parameters
        layout = self.critic_parameters.layout
        self.critic = NumpyTwinCritic(self.critic_parameters.views, config.activation)
        self.target_vector = self.critic_parameters.vector.copy()
        self.target_views = layout.views(self.target_vector)
        self.target = NumpyTwinCritic(self.target_views, config.activation)

        self.log_alpha = np.full(1, math.log(config.init_alpha), np.float32)
        self.target_entropy = -float(self.scale.num_actions) if config.target_entropy is None else config.target_entropy
        self.alpha_optimizer = Adam(self.log_alpha)
        self.noise = self.generator.standard_normal((envs.num_envs, self.scale.num_actions), np.float32)
        num_columns = 2 * (num_inputs + sum(config.hidden_sizes))  # a batch, and the activations of both critics
        require_memory(4 * config.batch_size * num_columns, f"batch_size={config.batch_size}")

    @staticmethod
    def make_policy(config: SACConfig, observation_space: Any, action_space: Any) -> SquashedGaussianActor:
        """The actor of a configuration for the spaces of its environment.

        Raises:
            ConfigError: an action space that is not a Box of floats with finite bounds, the lower below the upper.
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
        return SquashedGaussianActor(
            observation_space,
            action_space,
            config.hidden_sizes,
            config.activation,
            config.normalize_observations,
            weights_generator(config.seed),
        )

    def layers(self) -> tuple[dict[str, Any], Callable[[np.ndarray, np.ndarray], Any]]:
        """The networks of the actor and of the critics; see ``Algorithm.layers``."""
        return {"actor": self.policy, "critics": self.critic_network}, self.inspect

    def inspect(self, observations: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
        """Return the policy's Gaussians and the critics' values for a batch; see ``Algorithm.inspect``.

        Means and deviations are those before the tanh; values are the smaller of both critics for the mean action.
        """
        mean, log_std = self.policy(observations)
        features = paddle.to_tensor(self.encode(observations), stop_gradient=False)  # so that graphs show it
        values = self.critic_network(features, mean.tanh()).min(axis=0)
        return {
            "policy/means": mean.numpy(),
            "policy/deviations": log_std.exp().numpy(),
            "critic/values": values.numpy(),
        }

    @property
    def learning_rate(self) -> float:
        """That of the actor."""
        return self.config.actor_learning_rate

    def _act_before_learning(self, observations: np.ndarray) -> np.ndarray:
        return self.scale.to_box(self.generator.uniform(-1, 1, self.noise.shape).astype(np.float32))

    def _act_by_policy(self, observations: np.ndarray, state: np.ndarray) -> np.ndarray:
        # An autoregressive process of variance 1: each action has the policy's distribution, whatever the correlation.
        correlation = self.config.noise_correlation
        self.noise *= np.float32(correlation)
        fresh = self.generator.standard_normal(self.noise.shape, np.float32)
        self.noise += np.float32(math.sqrt(1 - correlation**2)) * fresh
        return self.actor.act(observations, self.noise)

    def gradient_step(self, batch: Batch) -> dict[str, float]:
        """Take one step of the critics, the actor, the temperature and the target networks, all with the same alpha."""
        config = self.config
        log_alpha = float(self.log_alpha[0])
        alpha = math.exp(log_alpha)
        features = self.encode(batch.observations)
        drawn = self.actor.draw(features, self.generator)
        entropy = -float(drawn.log_probabilities.mean())

        targets = self.targets(batch, alpha)
        critic_loss, q_value = self._critic_step(
            np.concatenate([features, self.scale.to_units(batch.actions)], axis=1), targets
        )
        loss = self._actor_step(features, drawn, alpha)
        alpha_loss, grad_log_alpha = temperature_loss(log_alpha, entropy, self.target_entropy)
        if config.auto_alpha:
            self.alpha_optimizer.step(np.full(1, grad_log_alpha, np.float32), config.alpha_learning_rate)
        self.target_vector += np.float32(config.tau) * (self.critic_parameters.vector - self.target_vector)
        return {
            "losses/actor": loss,
            "losses/critic": critic_loss,
            "losses/entropy": entropy,
            "losses/alpha": alpha_loss,
            "diagnostics/alpha": alpha,
            "diagnostics/q_value": q_value,
        }

    def _critic_step(self, inputs: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
        """Take one step of the critics; returns the loss and the mean value."""
        values, tape = self.critic.forward(inputs)
        loss, grad_values = soft_bellman_residual(values, targets)
        self._check_finite(loss)
        learner = self.learners["critic"]
        self.critic.backward(tape, grad_values, learner.gradient_views)
        learner.step(learner.gradient, self.config.critic_learning_rate)
        return loss, float(values.mean())

    def _actor_step(self, features: np.ndarray, drawn: DrawnActions, alpha: float) -> float:
        """Take one step of the actor for actions that it drew; returns the loss."""
        values, tape = self.critic.forward(np.concatenate([features, drawn.actions], axis=1))
        smaller, grad_values = minimum(values)
        loss, grad_log_prob, grad_smaller = actor_loss(drawn.log_probabilities, smaller, alpha)
        self._check_finite(loss)
        grad_values *= grad_smaller
        grad_actions = self.critic.grad_inputs(tape, grad_values)[:, self.encode.num_features :]
        learner = self.learners["actor"]
        self.actor.backward(drawn, grad_actions, grad_log_prob, learner.gradient_views)
        learner.step(learner.gradient, self.config.actor_learning_rate)
        return loss

    def targets(self, batch: Batch, alpha: float) -> np.ndarray:
        """Compute ``soft_bellman_targets`` ``[B]`` float32, with next actions drawn from the present policy."""
        features = self.encode(batch.next_observations)
        drawn = self.actor.draw(features, self.generator)
        values = self.target.values(np.concatenate([features, drawn.actions], axis=1))
        return soft_bellman_targets(batch.rewards, batch.discounts, values, drawn.log_probabilities, alpha)

    @staticmethod
    def _check_finite(loss: float) -> None:
        if not math.isfinite(loss):
            raise NonFiniteError(f"the loss is not finite: {loss}")

    def saved_parts(self) -> dict[str, Part]:
        """See ``Agent.saved_parts``."""
        optimizers = {name: learner.optimizer for name, learner in self.learners.items()}
        optimizers["alpha"] = self.alpha_optimizer
        return {
            **super().saved_parts(),
            "parameters": self.learners["actor"].parameters_part(),
            "critic": self.learners["critic"].parameters_part(),
            "target": arrays_part(self.target_views),
            "log_alpha": arrays_part(self.log_alpha),
            "optimizers": arrays_part({name: optimizer.statistics for name, optimizer in optimizers.items()}),
            "noise": arrays_part(self.noise),
        }

    def learned_parts(self) -> dict[str, Part]:
        """See ``Agent.learned_parts``: actor, critics and, if it is learned, the temperature."""
        saved = self.saved_parts()
        names = ["parameters", "critic", "target", *(["log_alpha"] if self.config.auto_alpha else [])]
        return {**{name: saved[name] for name in names}, **super().learned_parts()}
