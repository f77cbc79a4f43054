"""SAC for discrete actions: soft actor-critic, off-policy, with expectations over actions in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from multiprocessing_env import VecEnv
from paddle_ac.action_masks import MASK, choice_sizes, mask_outputs
from paddle_ac.algorithms.algorithm import Panel
from paddle_ac.algorithms.learner import Learner, optimizer_part, target_part, update_target
from paddle_ac.algorithms.off_policy import OffPolicy
from paddle_ac.algorithms.policy import format_part, log_backend, make_choice_network, network_layers
from paddle_ac.algorithms.state import Part, arrays_part
from paddle_ac.config.sac_discrete import SACDiscreteConfig
from paddle_ac.errors import NonFiniteError
from paddle_ac.learning.replay import Batch
from paddle_ac.learning.schedules import scheduled_learning_rate
from paddle_ac.losses.q_learning import bellman_targets
from paddle_ac.losses.sac import temperature_loss
from paddle_ac.losses.sac_discrete import Choices, actor_loss, critics_loss, entropies, expected_soft_values
from paddle_ac.losses.values import CRITIC_LOSSES
from paddle_ac.nn.network import Network
from paddle_ac.nn.optimizers import clip_by_norm, make_optimizer
from paddle_ac.nn.unroll import Unroll


class SACDiscrete(OffPolicy):
    """Soft actor-critic for Discrete and MultiDiscrete actions (Christodoulou 2019, arXiv:1910.07207).

    A gradient step is one on each of the losses of both critics, the actor and the temperature. Actor and critics are
    networks of their own, image encoders included.

    Args:
        config: hyper-parameters.
        envs: N environments, closed by ``close``.

    Attributes:
        policy: the actor; ``policy.act(observations)`` chooses actions.
        critics: two networks of Q(s, .); they encode observations as ``policy`` does.
        targets: the target network of each critic.
        learners: parameters, gradient and optimiser of ``"actor"``, ``"critic_1"`` and ``"critic_2"``.
        log_alpha: ``[1]`` float32, logarithm of the temperature.

    Raises:
        ConfigError: an action space that is neither Discrete nor MultiDiscrete from 0.
    """

    metric_tags: tuple[str, ...] = ("losses/alpha", "diagnostics/alpha", "diagnostics/q_value")
    panels: tuple[Panel, ...] = (
        Panel("temperature alpha", "", {"diagnostics/alpha": ""}),
        Panel("Q values of a batch", "", {"diagnostics/q_value": ""}),
    )

    config: SACDiscreteConfig
    policy: Network

    def __init__(self, config: SACDiscreteConfig, envs: VecEnv):
        super().__init__(config, envs)
        log_backend(config)
        self.choices = Choices(choice_sizes(envs.action_space))
        self.critics = [self._make_critic(number) for number in (1, 2)]
        self.targets = [self._make_critic(number) for number in (1, 2)]
        self._networks = {"actor": self.policy, "critic_1": self.critics[0], "critic_2": self.critics[1]}
        self.learners = {
            name: Learner(network.parameters, self._make_optimizer, network.refresh)
            for name, network in self._networks.items()
        }
        self.parameters = self.learners["actor"].parameters
        self.log_alpha = np.full(1, math.log(config.init_alpha), np.float32)
        self.alpha_optimizer = self._make_optimizer(self.log_alpha)
        self._critic_loss = CRITIC_LOSSES[config.critic_loss]
        self._unroll = Unroll.of_one_step(self.policy.initial_state(config.batch_size))

    @staticmethod
    def make_policy(config: SACDiscreteConfig, observation_space: Any, action_space: Any) -> Network:
        """The actor of a configuration for the spaces of its environment, as ``make_choice_network``."""
        return make_choice_network(config, observation_space, action_space, "policy")

    def _make_critic(self, number: int) -> Network:
        spaces = self.observation_space, self.action_space
        return make_choice_network(self.config, *spaces, "plain", number, encode=self.policy.encode)

    def _make_optimizer(self, vector: np.ndarray) -> Any:
        config = self.config
        return make_optimizer(config.optimizer, vector, config.rmsprop_decay, config.optimizer_epsilon)

    def layers(self) -> tuple[dict[str, Any], Callable[[np.ndarray, np.ndarray], Any]]:
        """The networks of the actor and of the critics as Paddle layers; see ``Algorithm.layers``."""
        parts = [network_layers(network, name) for name, network in self._networks.items()]
        layers = {name: layer for named, _ in parts for name, layer in named.items()}
        return layers, lambda observations, state: [compute(observations, state) for _, compute in parts]

    def inspect(self, observations: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
        """Return the policy's probabilities and the soft values of states; see ``Algorithm.inspect``."""
        outputs, _ = self.policy.heads(observations)
        q_values = self._q_values(self.critics, observations)
        log_probs = self.choices.log_probabilities(outputs)
        return {
            **{f"policy/{name}": values for name, values in self.policy.distribution.describe(outputs).items()},
            "critic/values": expected_soft_values(log_probs, q_values, self.alpha),
        }

    @property
    def alpha(self) -> float:
        """The temperature now."""
        return math.exp(float(self.log_alpha[0]))

    @property
    def learning_rate(self) -> float:
        """The learning rate of actor, critics and temperature now, by its schedule."""
        config = self.config
        return scheduled_learning_rate(
            config.lr_schedule, config.learning_rate, self.env_steps, config.decay_steps, config.lr_decay_factor
        )

    def _act_before_learning(self, observations: np.ndarray) -> np.ndarray:
        outputs = np.zeros((len(observations), self.policy.distribution.num_outputs), np.float32)
        if self.policy.has_mask:
            outputs = mask_outputs(outputs, observations[MASK])
        return self.policy.distribution.sample(outputs, self.generator)

    def _act_by_policy(self, observations: np.ndarray, state: np.ndarray) -> np.ndarray:
        return self.policy.act(observations, self.generator, state)

    def gradient_step(self, batch: Batch) -> dict[str, float]:
        """Take one step of critics, actor, temperature and target networks, from the losses before the step."""
        config, alpha = self.config, self.alpha
        targets = self.bellman_targets(batch, alpha)
        outputs, actor_values, actor_tape = self.policy.forward(batch.observations, self._unroll)
        passes = [critic.forward(batch.observations, self._unroll) for critic in self.critics]
        q_values = np.stack([q for q, _, _ in passes])
        log_probs = self.choices.log_probabilities(outputs)

        columns = self.choices.columns(batch.actions)
        critic_loss, values, grad_q = critics_loss(q_values, columns, targets, self._critic_loss)
        loss, grad_outputs = actor_loss(log_probs, q_values, alpha, self.choices)
        entropy = float(entropies(log_probs).mean())
        target_entropy = config.target_entropy_scale * float(self.choices.largest_entropies(outputs).mean())
        alpha_loss, grad_log_alpha = temperature_loss(float(self.log_alpha[0]), entropy, target_entropy)
        if not math.isfinite(critic_loss) or not math.isfinite(loss):
            raise NonFiniteError(f"the loss is not finite: actor {loss}, critics {critic_loss}")

        # A layer of the user's own has values too, which nothing learns.
        norm = self._step("actor", actor_tape, grad_outputs, np.zeros_like(actor_values))
        for number, (_, critic_values, tape) in enumerate(passes):
            self._step(f"critic_{number + 1}", tape, grad_q[number], np.zeros_like(critic_values))
        if config.auto_alpha:
            self.alpha_optimizer.step(np.full(1, grad_log_alpha, np.float32), self.learning_rate)
        if (self.num_updates + 1) % config.target_interval == 0:
            for target, critic in zip(self.targets, self.critics, strict=True):
                update_target(target, critic.parameters.vector, config.tau)
        return {
            "losses/actor": loss,
            "losses/critic": critic_loss,
            "losses/entropy": entropy,
            "losses/alpha": alpha_loss,
            "diagnostics/alpha": alpha,
            "diagnostics/grad_norm": norm,
            "diagnostics/q_value": float(values.mean()),
        }

    def _step(self, name: str, tape: Any, grad_outputs: np.ndarray, grad_critic_outputs: np.ndarray) -> float:
        """Take one step of a network; returns the norm of its gradient before clipping."""
        learner = self.learners[name]
        self._networks[name].backward(tape, grad_outputs, grad_critic_outputs, learner.gradient_views)
        gradient, norm = clip_by_norm(learner.gradient, self.config.max_grad_norm)
        if not math.isfinite(norm):
            raise NonFiniteError(f"the gradient of the {name.replace('_', ' ')} is not finite: norm {norm}")
        learner.step(gradient, self.learning_rate)
        return norm

    def bellman_targets(self, batch: Batch, alpha: float) -> np.ndarray:
        """Targets ``[B]`` float32 of both critics: rewards and discounted ``expected_soft_values``."""
        outputs, _ = self.policy.heads(batch.next_observations)
        log_probs = self.choices.log_probabilities(outputs)
        q_values = self._q_values(self.targets, batch.next_observations)
        return bellman_targets(batch.rewards, batch.discounts, expected_soft_values(log_probs, q_values, alpha))

    @staticmethod
    def _q_values(networks: list[Network], observations: np.ndarray) -> np.ndarray:
        return np.stack([network.heads(observations)[0] for network in networks])

    def saved_parts(self) -> dict[str, Part]:
        """See ``Agent.saved_parts``."""
        name = self.config.optimizer
        return {
            **super().saved_parts(),
            "format": format_part(self.policy),
            "parameters": self.learners["actor"].parameters_part(),
            **{f"critic_{number}": self.learners[f"critic_{number}"].parameters_part() for number in (1, 2)},
            **{f"target_{number}": target_part(self.targets[number - 1]) for number in (1, 2)},
            "log_alpha": arrays_part(self.log_alpha),
            **{
                f"optimizer_{whose}": optimizer_part(learner.optimizer.statistics, name)
                for whose, learner in self.learners.items()
            },
            "optimizer_alpha": optimizer_part(self.alpha_optimizer.statistics, name),
        }

    def learned_parts(self) -> dict[str, Part]:
        """See ``Agent.learned_parts``: actor, critics and, if it is learned, the temperature."""
        saved = self.saved_parts()
        names = ["format", "parameters", "critic_1", "critic_2", "target_1", "target_2"]
        names += ["log_alpha"] if self.config.auto_alpha else []
        return {**{name: saved[name] for name in names}, **super().learned_parts()}
