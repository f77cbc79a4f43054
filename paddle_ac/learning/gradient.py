"""From a rollout to a gradient: the one way in which every on-policy member of the family learns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from paddle_ac.config import OnPolicyConfig
from paddle_ac.errors import NonFiniteError
from paddle_ac.learning.returns import generalized_advantages, n_step_returns, v_trace
from paddle_ac.learning.rewards import scale_and_clip
from paddle_ac.learning.rollout import Rollout
from paddle_ac.losses.actor_critic import ActorCriticLoss, HeadLoss, Loss, Targets
from paddle_ac.nn.layout import ParameterLayout
from paddle_ac.nn.network import Network
from paddle_ac.nn.optimizers import clip_by_norm
from paddle_ac.nn.unroll import Unroll
from paddle_ac.processes.ranks import ALONE, Ranks

# Rows of a batch that are differentiated at a time: activations then stay in the cache of a core.
BLOCK_SIZE = 256


@dataclass(frozen=True)
class RolloutGradient:
    """Gradient of the loss of a rollout, and the terms of the loss.

    Attributes:
        gradient: ``[P]`` float32, of a norm of at most ``max_grad_norm``; overwritten by the next rollout.
        norm: that it had before.
        total: the loss.
        actor, critic, entropy: its terms, means over the transitions of all ranks.
        values: ``[B]`` float32, of the critic.
        returns: ``[B]`` float32, targets of the values.
    """

    gradient: np.ndarray
    norm: float
    total: float
    actor: float
    critic: float
    entropy: float
    values: np.ndarray
    returns: np.ndarray


class GradientOfRollout:
    """Differentiates the actor-critic loss over the B transitions of a rollout that count.

    Args:
        config: discount factor, coefficients and norm.
        network: the policy and critic that played.
        gradient: ``[P]`` float32, overwritten with the gradient of each rollout.
        layout: of the network's P parameters.
        record_rows: transitions of a rollout that ``act`` plays with the parameters that it changes; 0 if they may be
            others by then, or another number.
        ranks: the processes that average their gradients; the gradient is of ``ranks.zeros`` then.

    Attributes:
        record: where ``act`` keeps what is computed again otherwise, if the network has such a thing and it is small.
    """

    def __init__(
        self,
        config: OnPolicyConfig,
        network: Network,
        gradient: np.ndarray,
        layout: ParameterLayout,
        record_rows: int = 0,
        ranks: Ranks = ALONE,
    ):
        self.config = config
        self.network = network
        # More rows than are differentiated at a time would take much memory.
        self.record = network.make_record(record_rows) if 0 < record_rows <= BLOCK_SIZE else None
        self.has_baseline = config.has_baseline
        self.loss = ActorCriticLoss(
            network.distribution,
            config.critic_loss,
            config.value_coef if self.has_baseline else 0.0,
            config.entropy_coef,
            network.q_critic,
            config.policy_log_epsilon,
        )
        self._gradient = gradient
        self._ranks = ranks
        self._views = layout.views(self._gradient)

    def begin(self) -> None:
        """Prepare for the actions of a rollout."""
        if self.record is not None:
            self.record.begin()

    def act(self, observations: np.ndarray, generator: np.random.Generator, state: np.ndarray) -> np.ndarray:
        """Choose actions as ``Network.act``, and record activations for the gradient."""
        return self.network.act(observations, generator, state, self.record)

    def __call__(self, rollout: Rollout) -> RolloutGradient:
        """The gradient of a rollout.

        Raises:
            NonFiniteError: the loss or its gradient is NaN or infinite.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # raised below, as an error
            observations, unroll = rollout.transitions(rollout.observations), rollout.unroll
            heads = None
            if len(row_blocks(self.network, len(observations))) == 1:
                heads = self.network.forward(observations, unroll, self.record)
            actions = rollout.transitions(rollout.actions)
            values = log_probs = None
            if rollout.log_probs is not None:
                log_probs, values = evaluate_actions(self.network, observations, actions, unroll, heads)
            elif self.mixes_values:
                network = self.network
                values = network.values(observations, unroll) if heads is None else network.values_of(*heads[:2])
            returns, advantages = self.estimate(rollout, values, log_probs)
            targets = Targets(actions, returns, advantages)
            terms, values = differentiate(self.network, self.loss, observations, targets, self._views, unroll, heads)
            terms = self._ranks.mean_in_place(self._gradient, terms)
            gradient, norm = clip_by_norm(self._gradient, self.config.max_grad_norm)
        total = self.loss.total(terms)
        if not math.isfinite(total) or not math.isfinite(norm):
            raise NonFiniteError(f"the loss or its gradient is not finite: loss {total}, gradient norm {norm}")
        actor, critic, entropy = terms.tolist()
        return RolloutGradient(gradient, norm, total, actor, critic, entropy, values, returns)

    @property
    def mixes_values(self) -> bool:
        """Whether returns are mixed with the critic's values on the way."""
        return self.config.advantage_lambda != 1

    def estimate(
        self, rollout: Rollout, values: np.ndarray | None, log_probs: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Estimate the returns and the advantages of a rollout.

        Args:
            rollout: the rollout.
            values: ``[B]`` float32, of the critic, if it ``mixes_values`` or corrects.
            log_probs: ``[B]`` float32, of the actions under the network as it is now, in nats, to correct for the
                difference from the policy that took them (V-trace).

        Returns:
            returns ``[B]`` for the critic, and advantages ``[B]`` where they are not returns less values.
        """
        config = self.config
        rewards = scale_and_clip(rollout.rewards, config)
        truncation_values, last_values = rollout.bootstrap_values(self.network.values if self.has_baseline else _nought)
        known = rewards, rollout.terminated, rollout.truncated, truncation_values
        if log_probs is not None:
            assert rollout.log_probs is not None
            assert values is not None
            shape = rewards.shape
            returns, advantages = v_trace(
                *known,
                values.reshape(shape),
                last_values,
                log_probs.reshape(shape) - rollout.log_probs,
                config.gamma,
                config.advantage_lambda,
            )
            return rollout.transitions(returns), rollout.transitions(advantages)
        if values is None:
            returns = rollout.transitions(n_step_returns(*known, last_values, config.gamma))
            return returns, None if self.has_baseline else returns
        values = values.reshape(rewards.shape)
        advantages = generalized_advantages(*known, values, last_values, config.gamma, config.advantage_lambda)
        return rollout.transitions(advantages + values), rollout.transitions(advantages)


class Rows(Protocol):
    """Targets of some transitions, of which rows can be taken."""

    def __getitem__(self: AnyTargets, rows: Any) -> AnyTargets: ...


AnyTargets = TypeVar("AnyTargets", bound=Rows)


def row_blocks(network: Network, batch_size: int) -> list[slice]:
    """Rows of a batch that a network takes at a time; all of them if it is recurrent, since its state ties them."""
    size = batch_size if network.state_size else BLOCK_SIZE
    return [slice(first, min(first + size, batch_size)) for first in range(0, batch_size, size)]


def evaluate_actions(
    network: Network,
    observations: np.ndarray,
    actions: np.ndarray,
    unroll: Unroll,
    heads: tuple[np.ndarray, np.ndarray, Any] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of actions, in nats, and values of observations, both ``[B]`` float32.

    Args:
        network: the policy and critic.
        observations: ``[B, *observation_space.shape]``.
        actions: ``[B, *action_space.shape]``.
        unroll: how the rows follow one another, for a recurrent network.
        heads: what ``Network.forward`` returned for all of them at once, if that has been computed.
    """
    if heads is not None:
        outputs, critic_outputs, _ = heads
        return network.distribution(outputs).log_prob(actions), network.values_of(outputs, critic_outputs)
    log_probs, values = np.empty((2, len(actions)), np.float32)
    for block in row_blocks(network, len(actions)):
        outputs, values[block], _ = network.forward(observations[block], unroll)
        log_probs[block] = network.distribution(outputs).log_prob(actions[block])
    return log_probs, values


def differentiate(
    network: Network,
    loss: HeadLoss[AnyTargets],
    observations: np.ndarray,
    targets: AnyTargets,
    gradient: dict[str, np.ndarray],
    unroll: Unroll,
    heads: tuple[np.ndarray, np.ndarray, Any] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute a loss over a batch and its gradient with respect to the parameters, some rows at a time.

    Args:
        network: whose heads the loss is of.
        loss: the loss.
        observations: ``[B, *observation_space.shape]``.
        targets: of the same B transitions.
        gradient: name to array in the parameter's shape; overwritten.
        unroll: how the rows follow one another, for a recurrent network.
        heads: what ``Network.forward`` returned for all of them at once, if that has been computed.

    Returns:
        the means of the terms of the loss, and the critic's values ``[B]`` float32.
    """
    batch_size = len(observations)

    def differentiate_block(observations: np.ndarray, targets: AnyTargets, gradient: dict[str, np.ndarray]) -> Loss:
        outputs, critic_outputs, tape = heads or network.forward(observations, unroll)
        part = loss(outputs, critic_outputs, targets, batch_size)
        network.backward(tape, part.grad_outputs, part.grad_critic_outputs, gradient)
        return part

    blocks = row_blocks(network, batch_size)
    if heads is not None or len(blocks) == 1:
        part = differentiate_block(observations, targets, gradient)
        return part.terms / batch_size, part.values
    terms, values = [], []
    block_gradient = gradient
    for number, block in enumerate(blocks):
        if number == 1:
            block_gradient = {name: np.empty_like(array) for name, array in gradient.items()}
        part = differentiate_block(observations[block], targets[block], block_gradient)
        terms.append(part.terms)
        values.append(part.values)
        if number:
            for name, array in gradient.items():
                array += block_gradient[name]
    return np.sum(terms, axis=0) / batch_size, np.concatenate(values)


def _nought(observations: np.ndarray, unroll: Unroll) -> np.ndarray:
    return np.zeros(len(observations), np.float32)
