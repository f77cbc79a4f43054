"""PPO: A2C's rollouts, learned from for several epochs with a clipped loss."""

from __future__ import annotations

import numpy as np

from multiprocessing_env import VecEnv
from paddle_ac.algorithms.a2c import A2C
from paddle_ac.config.ppo import PPOConfig
from paddle_ac.errors import NonFiniteError
from paddle_ac.learning.gradient import BLOCK_SIZE, differentiate
from paddle_ac.learning.returns import explained_variance
from paddle_ac.learning.rollout import Rollout
from paddle_ac.losses.ppo import PPOLoss, PPOTargets
from paddle_ac.nn.optimizers import clip_by_norm
from paddle_ac.nn.unroll import Unroll


class PPO(A2C):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347).

    An update plays T steps in N environments, estimates advantages by GAE, and takes ``num_epochs`` passes over the
    ``T * N`` transitions in shuffled minibatches, with a gradient step of the clipped loss for each. It ends early
    where the policy has gone too far from the one that played (``target_kl``).

    Args:
        config: hyper-parameters.
        envs: N environments, closed by ``close``.

    Raises:
        ConfigError: an action space that the algorithm does not take.
    """

    metric_tags: tuple[str, ...] = ("diagnostics/approx_kl", "diagnostics/clip_fraction")

    config: PPOConfig

    def __init__(self, config: PPOConfig, envs: VecEnv):
        super().__init__(config, envs)
        self.loss = PPOLoss(
            self.policy.distribution,
            config.critic_loss,
            config.value_coef,
            config.entropy_coef,
            config.clip_range,
            config.clip_range_vf,
        )
        self._gradient = np.zeros_like(self.parameters.vector)
        self._gradient_views = self.parameters.layout.views(self._gradient)

    def _learn(self, rollout: Rollout, learning_rate: float) -> dict[str, float]:
        with np.errstate(over="ignore", invalid="ignore"):  # reported as an error by _gradient_of_rows
            return self._metrics(*self._take_gradient_steps(rollout, learning_rate))

    def _take_gradient_steps(
        self, rollout: Rollout, learning_rate: float
    ) -> tuple[list[tuple[np.ndarray, float, float]], PPOTargets]:
        """Returns terms of the loss, the loss and the gradient norm of every minibatch, and the targets of all."""
        config = self.config
        observations = rollout.transitions(rollout.observations)
        targets = self._targets(rollout, observations)
        batch_size = len(observations)
        steps: list[tuple[np.ndarray, float, float]] = []
        for _ in range(config.num_epochs):
            order = self.generator.permutation(batch_size)
            for first in range(0, batch_size, config.minibatch_size):
                rows = order[first : first + config.minibatch_size]
                gradient, terms, total, norm = self._gradient_of_rows(observations[rows], targets[rows])
                steps.append((terms, total, norm))
                if config.target_kl is not None and terms[3] > 1.5 * config.target_kl:
                    return steps, targets
                self.optimizer.step(gradient, learning_rate)
                self.policy.refresh()
                self.num_updates += 1
        return steps, targets

    def _targets(self, rollout: Rollout, observations: np.ndarray) -> PPOTargets:
        returns, advantages = self.gradient_of.estimate(rollout)
        actions = rollout.transitions(rollout.actions)
        log_probs, values = np.empty_like(returns), np.empty_like(returns)
        for first in range(0, len(returns), BLOCK_SIZE):
            block = slice(first, first + BLOCK_SIZE)
            outputs, values[block], _ = self.policy.forward(observations[block], self._one_step(observations[block]))
            log_probs[block] = self.policy.distribution(outputs).log_prob(actions[block])
        return PPOTargets(actions, returns, returns - values if advantages is None else advantages, log_probs, values)

    def _gradient_of_rows(
        self, observations: np.ndarray, targets: PPOTargets
    ) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Gradient of a minibatch, clipped by norm; terms of the loss, the loss, and the norm before clipping."""
        if self.config.normalize_advantages and len(observations) > 1:
            advantages = targets.advantages
            targets = PPOTargets(
                targets.actions,
                targets.returns,
                (advantages - advantages.mean()) / (advantages.std() + np.float32(1e-8)),
                targets.old_log_probs,
                targets.old_values,
            )
        unroll = self._one_step(observations)
        terms, _ = differentiate(self.policy, self.loss, observations, targets, self._gradient_views, unroll)
        gradient, norm = clip_by_norm(self._gradient, self.config.max_grad_norm)
        total = self.loss.total(terms)
        if not np.isfinite(total) or not np.isfinite(norm):
            raise NonFiniteError(f"the loss or its gradient is not finite: loss {total}, gradient norm {norm}")
        return gradient, terms, total, norm

    def _one_step(self, observations: np.ndarray) -> Unroll:
        return Unroll.of_one_step(self.policy.initial_state(len(observations)))

    @staticmethod
    def _metrics(steps: list[tuple[np.ndarray, float, float]], targets: PPOTargets) -> dict[str, float]:
        terms, totals, norms = (np.array(column) for column in zip(*steps, strict=True))
        actor, critic, entropy, approx_kl, clip_fraction = terms.mean(axis=0).tolist()
        return {
            "losses/actor": actor,
            "losses/critic": critic,
            "losses/entropy": entropy,
            "losses/total": float(totals.mean()),
            "diagnostics/grad_norm": float(norms.mean()),
            "diagnostics/explained_variance": explained_variance(targets.old_values, targets.returns),
            "diagnostics/approx_kl": approx_kl,
            "diagnostics/clip_fraction": clip_fraction,
        }
