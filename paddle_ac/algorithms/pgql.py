"""PGQL: A2C with Q-learning updates on a replay buffer."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from multiprocessing_env import VecEnv
from paddle_ac.algorithms.a2c import A2C
from paddle_ac.algorithms.algorithm import Panel
from paddle_ac.algorithms.off_policy import check_has_no_state, make_replay
from paddle_ac.algorithms.state import Part, component_part
from paddle_ac.config.pgql import PGQLConfig
from paddle_ac.errors import NonFiniteError
from paddle_ac.learning.phases import phases_of_update
from paddle_ac.learning.replay import Batch
from paddle_ac.learning.rewards import normalize_and_scale
from paddle_ac.learning.rollout import Rollout
from paddle_ac.losses.pgql import estimated_q, pgql_loss
from paddle_ac.losses.q_learning import bellman_targets
from paddle_ac.losses.values import CRITIC_LOSSES
from paddle_ac.nn.optimizers import clip_by_norm
from paddle_ac.nn.unroll import Unroll
from paddle_ac.processes.ranks import ALONE, Ranks


class PGQL(A2C):
    """Policy gradient and Q-learning (O'Donoghue et al. 2016, arXiv:1611.01626).

    A gradient step follows ``(1 - eta)`` times the gradient of A2C over a rollout plus ``eta`` times a Q-learning
    update over a batch of the replay buffer (the paper's equation 14). Q values are those that policy and critic
    imply (``estimated_q``) with ``entropy_coef`` as alpha, so that the network is that of A2C. Both gradients are
    clipped to ``max_grad_norm`` first.

    Args:
        config: hyper-parameters.
        envs: N environments, closed by ``close``.
        ranks: as of A2C; one process only (``config.has_ranks``).

    Attributes:
        replay: the replay buffer; observations, actions and rewards as the environments returned them.

    Raises:
        ConfigError: spaces that the algorithm does not take, a network with memory, or too little memory.
    """

    metric_tags: tuple[str, ...] = ("losses/q_learning", "diagnostics/q_value")
    panels: tuple[Panel, ...] = (
        Panel("Q-learning loss", "", {"losses/q_learning": ""}),
        Panel("Q values of a batch", "", {"diagnostics/q_value": ""}),
    )

    config: PGQLConfig

    def __init__(self, config: PGQLConfig, envs: VecEnv, ranks: Ranks = ALONE):
        super().__init__(config, envs, ranks)
        check_has_no_state(config, self.policy)
        self.replay = make_replay(config, envs)
        self._critic_loss = CRITIC_LOSSES[config.critic_loss]
        self._unroll = Unroll.of_one_step(self.policy.initial_state(config.batch_size))
        self._q_gradient = np.zeros_like(self.learner.gradient)
        self._q_gradient_views = self.parameters.layout.views(self._q_gradient)

    def _prepare(self, rollout: Rollout) -> None:
        """Store a new rollout, with the rewards as they are, before they are normalised."""
        self.replay.add(rollout)
        super()._prepare(rollout)

    def _learn(self, rollout: Rollout, learning_rate: float) -> dict[str, float]:
        if self.env_steps + rollout.rewards.size <= self.config.learning_starts:
            return super()._learn(rollout, learning_rate)
        return self._learn_from_both(rollout, learning_rate)

    def _learn_from_both(self, rollout: Rollout, learning_rate: float) -> dict[str, float]:
        """Take a gradient step for a rollout and a batch of the replay buffer; returns the metrics of losses."""
        learned = self.gradient_of(rollout)
        gradient, metrics = self.q_gradient(self.sample())
        eta = np.float32(self.config.eta)
        self.learner.step((1 - eta) * learned.gradient + eta * gradient, learning_rate)
        self.num_updates += 1
        return {**self._rollout_metrics(learned), **metrics}

    def sample(self) -> Batch:
        """Sample a batch from the replay buffer; rewards are normalised, scaled and clipped as configured."""
        config, normalize = self.config, self.normalize_rewards
        return self.replay.sample(
            config.batch_size, self.generator, lambda rewards: normalize_and_scale(rewards, normalize, config)
        )

    def q_gradient(self, batch: Batch) -> tuple[np.ndarray, dict[str, float]]:
        """Compute the Q-learning update of a batch as a gradient ``[P]``, and metrics by tag.

        Raises:
            NonFiniteError: the loss or its gradient is NaN or infinite.
        """
        config, policy = self.config, self.policy
        with np.errstate(over="ignore", invalid="ignore"):  # reported below, as an error
            targets = self.targets(batch)
            outputs, values, tape = policy.forward(batch.observations, self._unroll)
            loss = pgql_loss(
                policy.distribution(outputs),
                values,
                batch.actions,
                targets,
                self._critic_loss,
                config.entropy_coef,
                config.value_coef,
            )
            policy.backward(tape, loss.grad_outputs, loss.grad_values, self._q_gradient_views)
            gradient, norm = clip_by_norm(self._q_gradient, config.max_grad_norm)
        if not math.isfinite(loss.loss) or not math.isfinite(norm):
            raise NonFiniteError(f"the loss or its gradient is not finite: loss {loss.loss}, gradient norm {norm}")
        return gradient, {"losses/q_learning": loss.loss, "diagnostics/q_value": float(loss.q_values.mean())}

    def targets(self, batch: Batch) -> np.ndarray:
        """Compute ``bellman_targets`` ``[B]`` float32 of a batch, with the Q value of the most probable next action."""
        outputs, values = self.policy.heads(batch.next_observations)
        distribution = self.policy.distribution
        best = estimated_q(distribution(outputs), values, distribution.mode(outputs), self.config.entropy_coef)
        return bellman_targets(batch.rewards, batch.discounts, best)

    def saved_parts(self) -> dict[str, Part]:
        """See ``Agent.saved_parts``."""
        return {**super().saved_parts(), "replay": component_part(self.replay)}

    def phases(self) -> dict[str, Callable[[], int]]:
        """The parts of an update, to be timed; see ``Algorithm.phases``."""

        def learn(rollout: Rollout) -> None:
            self.replay.add(rollout)
            self._learn_from_both(rollout, 0.0)

        self.gradient_of.begin()
        return phases_of_update(self.collector, self._act, learn, self.policy.has_mask)
