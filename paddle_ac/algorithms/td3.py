"""TD3 and DDPG: a deterministic policy that follows the gradient of its critics, off-policy."""

from __future__ import annotations

import numpy as np

from multiprocessing_env import VecEnv
from paddle_ac.algorithms.algorithm import Panel
from paddle_ac.algorithms.continuous import ContinuousActorCritic
from paddle_ac.algorithms.learner import TargetParameters
from paddle_ac.algorithms.state import Part
from paddle_ac.config.ddpg import DDPGConfig
from paddle_ac.config.td3 import TD3Config
from paddle_ac.learning.replay import Batch
from paddle_ac.losses.td3 import clipped_double_q_targets, deterministic_policy_loss, smoothed_actions
from paddle_ac.nn.continuous_networks import DeterministicActor
from paddle_ac.nn.numpy_continuous import NumpyDeterministicActor


class TD3(ContinuousActorCritic):
    """Twin delayed deterministic policy gradient (Fujimoto et al. 2018, arXiv:1802.09477, algorithm 1).

    A gradient step is one of the critics. Every ``policy_delay``-th one is also one of the actor and of all target
    networks. With one critic, no delay and no noise on the target policy's actions it is DDPG (Lillicrap et al. 2016,
    arXiv:1509.02971, algorithm 1).

    Args:
        config: hyper-parameters.
        envs: N environments, closed by ``close``.

    Attributes:
        actor: the policy in NumPy, on the same memory.
        actor_target: parameters of ``target_actor``.
        target_actor: the target network of the policy, in NumPy.
        first_critic: the critic that the policy follows, in NumPy, on the memory of ``critic``.

    Raises:
        ConfigError: as ``ContinuousActorCritic``.
    """

    metric_tags: tuple[str, ...] = ("diagnostics/q_value",)
    panels: tuple[Panel, ...] = (Panel("Q values of a batch", "", {"diagnostics/q_value": ""}),)

    policy: DeterministicActor
    policy_class = DeterministicActor

    def __init__(self, config: TD3Config | DDPGConfig, envs: VecEnv):
        super().__init__(config, envs, config.num_critics)
        self.actor = self._actor_on(self.parameters.views)
        self.actor_target = TargetParameters(self.parameters)
        self.target_actor = self._actor_on(self.actor_target.views)
        is_stacked = {name: not name.startswith("image_encoders") for name in self.critic_parameters.views}
        self.first_critic = self._critics_on(
            {name: view[:1] if is_stacked[name] else view for name, view in self.critic_parameters.views.items()}
        )

    def _actor_on(self, views: dict[str, np.ndarray]) -> NumpyDeterministicActor:
        """The policy in NumPy on given parameters."""
        return NumpyDeterministicActor(
            views, self.inputs, self.encode, self.scale, self.config.activation, self.threads
        )

    def inspect(self, observations: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
        """Return the policy's actions in the cube and the critics' smallest values; see ``Algorithm.inspect``."""
        actions = self.policy(observations)
        values = self.critic_network(observations, actions).min(axis=0)
        return {"policy/actions": actions.numpy(), "critic/values": values.numpy()}

    def _act_by_policy(self, observations: np.ndarray, state: np.ndarray) -> np.ndarray:
        return self.actor.act(observations, np.float32(self.config.action_noise) * self._next_noise())

    def gradient_step(self, batch: Batch) -> dict[str, float]:
        """Take one step of the critics and, every ``policy_delay`` steps, of the actor and of the target networks."""
        critic_loss, q_value = self._critic_step(batch, self.targets(batch))
        metrics = {"losses/critic": critic_loss, "diagnostics/q_value": q_value}
        if (self.num_updates + 1) % self.config.policy_delay == 0:
            metrics["losses/actor"] = self._actor_step(batch.observations)
            for target in (self.actor_target, self.critic_target):
                target.follow(self.config.tau)
        return metrics

    def _actor_step(self, observations: np.ndarray) -> float:
        """Take one step of the actor along the gradient of the first critic; returns the loss."""
        chosen = self.actor.choose(observations)
        values, tape = self.first_critic.forward(observations, chosen.actions)
        loss, grad_values = deterministic_policy_loss(values[0])
        self._check_finite(loss)
        grad_actions = self.first_critic.grad_actions(tape, grad_values[np.newaxis])
        learner = self.learners["actor"]
        self.actor.backward(chosen, grad_actions, learner.gradient_views)
        learner.step(learner.gradient, self.config.actor_learning_rate)
        return loss

    def targets(self, batch: Batch) -> np.ndarray:
        """Compute ``clipped_double_q_targets`` ``[B]`` float32, for smoothed actions of the target policy."""
        actions = self.target_actor.actions(batch.next_observations)
        noise = np.float32(self.config.target_noise) * self.generator.standard_normal(actions.shape, np.float32)
        actions = smoothed_actions(actions, noise, self.config.target_noise_clip)
        values = self.target.values(batch.next_observations, actions)
        return clipped_double_q_targets(batch.rewards, batch.discounts, values)

    def saved_parts(self) -> dict[str, Part]:
        """See ``Agent.saved_parts``."""
        return {**super().saved_parts(), "actor_target": self.actor_target.part()}

    def learned_parts(self) -> dict[str, Part]:
        """See ``Agent.learned_parts``: also the target network of the actor."""
        return {**super().learned_parts(), "actor_target": self.actor_target.part()}
