"""PPO: A2C's rollouts, learned from for several epochs with a clipped loss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from multiprocessing_env import VecEnv
from paddle_ac.algorithms.a2c import A2C
from paddle_ac.algorithms.algorithm import Panel
from paddle_ac.config.ppo import PPOConfig
from paddle_ac.errors import NonFiniteError
from paddle_ac.learning.gradient import differentiate, evaluate_actions
from paddle_ac.learning.returns import explained_variance
from paddle_ac.learning.rollout import Rollout
from paddle_ac.losses.ppo import PPOLoss, PPOTargets
from paddle_ac.nn.optimizers import clip_by_norm
from paddle_ac.nn.unroll import Unroll
from paddle_ac.processes.ranks import ALONE, Ranks


class PPO(A2C):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347).

    An update plays T steps in N environments, estimates advantages by GAE, and takes ``num_epochs`` passes over the
    ``T * N`` transitions in shuffled minibatches, with a gradient step of the clipped loss for each. It ends early
    where the policy has gone too far from the one that played (``target_kl``). A recurrent network takes minibatches
    of whole environments, unrolled over the T steps from the state that the environment had before them.

    Args:
        config: hyper-parameters.
        envs: N environments, closed by ``close``.
        ranks: the processes that learn together; a minibatch has ``minibatch_size`` transitions of each.

    Raises:
        ConfigError: an action space that the algorithm does not take, or minibatches that split the sequences of a
            recurrent network.
    """

    metric_tags: tuple[str, ...] = ("diagnostics/approx_kl", "diagnostics/clip_fraction")
    panels: tuple[Panel, ...] = (
        Panel("KL divergence of an update", "nats", {"diagnostics/approx_kl": ""}),
        Panel("clipped ratios", "", {"diagnostics/clip_fraction": ""}),
    )

    config: PPOConfig

    def __init__(self, config: PPOConfig, envs: VecEnv, ranks: Ranks = ALONE):
        super().__init__(config, envs, ranks)
        if self.policy.state_size:  # of a network of any kind
            config.require_whole_environments("a recurrent network")
        self.loss = PPOLoss(
            self.policy.distribution,
            config.critic_loss,
            config.value_coef,
            config.entropy_coef,
            config.clip_range,
            config.clip_range_vf,
        )

    def _rows_to_record(self) -> int:
        return 0  # the parameters change between the minibatches

    def _learn(self, rollout: Rollout, learning_rate: float) -> dict[str, float]:
        with np.errstate(over="ignore", invalid="ignore"):  # reported as an error by _gradient_of_rows
            return self._metrics(*self._take_gradient_steps(rollout, learning_rate))

    def _take_gradient_steps(
        self, rollout: Rollout, learning_rate: float
    ) -> tuple[list[tuple[np.ndarray, float, float]], PPOTargets]:
        """Returns terms of the loss, the loss and the gradient norm of every minibatch, and the targets of all."""
        config = self.config
        observations = rollout.transitions(rollout.observations)
        unroll = rollout.unroll if self.policy.state_size else _sequences_of_one_step(len(observations))
        targets = self._targets(rollout, observations, unroll)
        steps: list[tuple[np.ndarray, float, float]] = []
        for _ in range(config.num_epochs):
            for rows, sequences in self._minibatches(unroll):
                gradient, terms, total, norm = self._gradient_of_rows(observations[rows], targets[rows], sequences)
                steps.append((terms, total, norm))
                if config.target_kl is not None and terms[3] > 1.5 * config.target_kl:
                    return steps, targets
                self.learner.step(gradient, learning_rate)
                self.num_updates += 1
        return steps, targets

    def _minibatches(self, unroll: Unroll) -> Iterator[tuple[np.ndarray, Unroll]]:
        return minibatches(unroll, self.config.minibatch_size, self.generator, self.ranks, self.envs.num_envs)

    def _targets(self, rollout: Rollout, observations: np.ndarray, unroll: Unroll) -> PPOTargets:
        actions = rollout.transitions(rollout.actions)
        log_probs, values = evaluate_actions(self.policy, observations, actions, unroll)
        returns, advantages = self.gradient_of.estimate(rollout, values if self.gradient_of.mixes_values else None)
        return PPOTargets(actions, returns, returns - values if advantages is None else advantages, log_probs, values)

    def _gradient_of_rows(
        self, observations: np.ndarray, targets: PPOTargets, unroll: Unroll
    ) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Gradient of a minibatch, clipped by norm; terms of the loss, the loss, and the norm before clipping."""
        if self.config.normalize_advantages and len(observations) > 1:
            targets = replace(targets, advantages=standardized(targets.advantages, self.ranks))
        terms, _ = differentiate(self.policy, self.loss, observations, targets, self.learner.gradient_views, unroll)
        terms = self.ranks.mean_in_place(self.learner.gradient, terms)
        gradient, norm = clip_by_norm(self.learner.gradient, self.config.max_grad_norm)
        total = self.loss.total(terms)
        if not math.isfinite(total) or not math.isfinite(norm):
            raise NonFiniteError(f"the loss or its gradient is not finite: loss {total}, gradient norm {norm}")
        return gradient, terms, total, norm

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


def minibatches(
    unroll: Unroll,
    minibatch_size: int,
    generator: np.random.Generator,
    ranks: Ranks = ALONE,
    num_envs: int = 1,
) -> Iterator[tuple[np.ndarray, Unroll]]:
    """Split a rollout into shuffled minibatches of whole sequences.

    Args:
        unroll: the N sequences of T steps that are the rollout.
        minibatch_size: transitions of each, a multiple of T; the last minibatch may be smaller.
        generator: source of the order.
        ranks: the processes that learn together: the order is one of all their sequences, and this one takes its own.
        num_envs: environments N of each rank.

    Yields:
        the rows of the rollout's batch that a minibatch takes, time-major, and how they follow one another.
    """
    num_steps, num_sequences = unroll.episode_starts.shape
    order = ranks.own_rows(generator.permutation(num_sequences * ranks.num_ranks), num_envs)
    rows = np.arange(num_steps)[:, np.newaxis] * num_sequences + order
    state, episode_starts = unroll.state[order], unroll.episode_starts[:, order]
    for first in range(0, num_sequences, minibatch_size // num_steps):
        part = slice(first, first + minibatch_size // num_steps)
        yield rows[:, part].ravel(), Unroll(state[part], episode_starts[:, part])


def standardized(values: np.ndarray, ranks: Ranks = ALONE) -> np.ndarray:
    """Values ``[B]`` less the mean, divided by the standard deviation (plus 1e-8), of the values of all ranks."""
    if ranks.num_ranks > 1:
        mean, variance, _ = ranks.pool(values.mean(dtype=np.float64), values.var(dtype=np.float64), len(values))
        return ((values - mean) / (np.sqrt(variance) + 1e-8)).astype(np.float32)
    size = np.float32(len(values))  # sums rather than means, which take four times as long in NumPy
    centred = values - np.add.reduce(values) / size
    return centred / (np.sqrt(np.add.reduce(centred * centred) / size) + np.float32(1e-8))


def _sequences_of_one_step(number: int) -> Unroll:
    """Transitions of a feed-forward network, which do not depend on each other."""
    return Unroll.of_one_step(np.zeros((number, 0), np.float32))
