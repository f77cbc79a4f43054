"""From a rollout to a gradient of Q-learning, without a replay buffer (Mnih et al. 2016, arXiv:1602.01783)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from paddle_ac.config.async_q import AsyncQConfig
from paddle_ac.errors import NonFiniteError
from paddle_ac.learning.gradient import BLOCK_SIZE, differentiate, row_blocks
from paddle_ac.learning.returns import n_step_returns
from paddle_ac.learning.rewards import scale_and_clip
from paddle_ac.learning.rollout import Rollout
from paddle_ac.losses.actor_critic import Targets
from paddle_ac.losses.q_learning import QLoss, action_values, bellman_targets, make_head, max_values
from paddle_ac.nn.layout import ParameterLayout
from paddle_ac.nn.network import Network
from paddle_ac.nn.optimizers import clip_by_norm
from paddle_ac.nn.unroll import Unroll


@dataclass(frozen=True)
class QGradient:
    """The gradient of a rollout of B transitions.

    Attributes:
        gradient: ``[P]`` float32, of a norm of at most ``max_grad_norm``; overwritten by the next rollout.
        norm: its norm before that limit.
        critic: the loss, a mean over the transitions.
        values: ``[B]`` float32, Q(s, a) of the actions that were taken.
        returns: ``[B]`` float32, the targets of these values.
    """

    gradient: np.ndarray
    norm: float
    critic: float
    values: np.ndarray
    returns: np.ndarray


class GradientOfQ(ABC):
    """Differentiates the loss of Q values over the B transitions of a rollout; a subclass defines their targets.

    Args:
        config: discount factor, loss, head and norm.
        network: the Q network that plays, without memory.
        target: the target network; it encodes observations as ``network`` does.
        layout: of the P parameters of each.
        generator: draws the actions.
    """

    records: ClassVar[bool] = True  # ``act`` sees every observation of a rollout, and can keep the features of images

    def __init__(
        self,
        config: AsyncQConfig,
        network: Network,
        target: Network,
        layout: ParameterLayout,
        generator: np.random.Generator,
    ):
        self.config = config
        self.network = network
        self.target = target
        self.generator = generator
        self.head = make_head(config.dueling)
        self.loss = QLoss(self.head, config.critic_loss)
        num_rows = config.num_steps * config.num_envs
        self.record = network.make_record(num_rows) if self.records and num_rows <= BLOCK_SIZE else None
        self._gradient = np.zeros(layout.size, np.float32)
        self._views = layout.views(self._gradient)

    def begin(self) -> None:
        """Prepare for the actions of a rollout."""
        if self.record is not None:
            self.record.begin()

    def act(self, observations: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Draw epsilon-greedy actions ``[N]``, and keep what their gradient needs."""
        return self.network.act(observations, self.generator, state, self.record)

    @abstractmethod
    def targets(self, rollout: Rollout, rewards: np.ndarray) -> np.ndarray:
        """Targets ``[T, N]`` float32 of Q(s, a), from rewards ``[T, N]`` as they are learned from."""

    def __call__(self, rollout: Rollout) -> QGradient:
        """The gradient of a rollout.

        Raises:
            NonFiniteError: the loss or its gradient is NaN or infinite.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # reported below
            observations, unroll = rollout.transitions(rollout.observations), rollout.unroll
            returns = rollout.transitions(self.targets(rollout, scale_and_clip(rollout.rewards, self.config)))
            heads = None
            if self.record is not None:
                heads = self.network.forward(observations, unroll, self.record)
            targets = Targets(rollout.transitions(rollout.actions), returns)
            terms, values = differentiate(self.network, self.loss, observations, targets, self._views, unroll, heads)
            gradient, norm = clip_by_norm(self._gradient, self.config.max_grad_norm)
        loss = float(terms[0])
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise NonFiniteError(f"the loss or its gradient is not finite: loss {loss}, gradient norm {norm}")
        return QGradient(gradient, norm, loss, values, returns)

    def target_q_values(self, observations: np.ndarray) -> np.ndarray:
        """Q(s, .) of the target network, ``[B, A]`` float32, for observations ``[B, ...]``."""
        blocks = row_blocks(self.target, len(observations))
        return np.concatenate([self.head.q_values(*self.target.heads(observations[block])) for block in blocks])


class OneStepGradient(GradientOfQ):
    """Base of the one-step methods: ``r + gamma * V(s')``, where a subclass defines V by the target network."""

    def targets(self, rollout: Rollout, rewards: np.ndarray) -> np.ndarray:
        """See ``GradientOfQ.targets``."""
        num_steps, num_envs = rewards.shape
        parts = [rollout.observations[1:].reshape(-1, *rollout.observations.shape[2:]), rollout.last_observations]
        # After a truncation, the next observation in the rollout is of another episode.
        parts += [observation[np.newaxis] for observation in rollout.truncation_observations]
        values = self.next_values(rollout, np.concatenate(parts))
        next_values = values[: num_steps * num_envs].reshape(num_steps, num_envs)
        for place, value in zip(rollout.truncation_places, values[num_steps * num_envs :], strict=True):
            next_values[place] = value
        discounts = np.where(rollout.terminated, np.float32(0), np.float32(self.config.gamma))
        return bellman_targets(rewards, discounts, next_values)

    @abstractmethod
    def next_values(self, rollout: Rollout, observations: np.ndarray) -> np.ndarray:
        """V of the next observations, float32.

        Args:
            rollout: the rollout.
            observations: ``[(T - 1) * N + N + K, ...]``: of the steps after the first, after the rollout, and the last
                ones of the K episodes that were truncated.
        """


class OneStepQGradient(OneStepGradient):
    """One-step Q-learning: ``r + gamma * max_a' Q(s', a'; target)`` (algorithm 1 of the paper)."""

    def next_values(self, rollout: Rollout, observations: np.ndarray) -> np.ndarray:
        """See ``OneStepGradient.next_values``."""
        return max_values(self.target_q_values(observations))


class SarsaGradient(OneStepGradient):
    """One-step Sarsa: ``r + gamma * Q(s', a'; target)`` of the action a' that is taken in s' (section 4).

    The action after a rollout is drawn before the gradient step, and taken after it. For the last observation of a
    truncated episode, where no action is taken, one is drawn as if it were.
    """

    records = False  # the first actions of a rollout were drawn before
    _next_actions: np.ndarray | None = None  # that were drawn, and have not been taken

    def act(self, observations: np.ndarray, state: np.ndarray) -> np.ndarray:
        """As ``GradientOfQ.act``; the first actions of a rollout are those that the last targets are of."""
        actions, self._next_actions = self._next_actions, None
        return super().act(observations, state) if actions is None else actions

    def next_values(self, rollout: Rollout, observations: np.ndarray) -> np.ndarray:
        """See ``OneStepGradient.next_values``."""
        last = rollout.last_observations
        self._next_actions = self.network.act(last, self.generator)
        drawn = [self._next_actions]
        for (_, env), observation in zip(rollout.truncation_places, rollout.truncation_observations, strict=True):
            of_all = last.copy()
            of_all[env] = observation  # in the row of its environment, which has an epsilon of its own
            drawn.append(self.network.act(of_all, self.generator)[env : env + 1])
        actions = np.concatenate([rollout.actions[1:].ravel(), *drawn])
        return action_values(self.target_q_values(observations), actions)


class NStepQGradient(GradientOfQ):
    """n-step Q-learning: returns up to the end of the rollout, then ``max_a Q(s, a; target)`` (algorithm S2)."""

    def targets(self, rollout: Rollout, rewards: np.ndarray) -> np.ndarray:
        """See ``GradientOfQ.targets``."""
        truncation_values, last_values = rollout.bootstrap_values(self._max_values)
        known = rewards, rollout.terminated, rollout.truncated, truncation_values
        return n_step_returns(*known, last_values, self.config.gamma)

    def _max_values(self, observations: np.ndarray, unroll: Unroll) -> np.ndarray:
        return max_values(self.target_q_values(observations))


Q_GRADIENTS: dict[str, type[GradientOfQ]] = {
    "one_step_q": OneStepQGradient,
    "one_step_sarsa": SarsaGradient,
    "n_step_q": NStepQGradient,
}
