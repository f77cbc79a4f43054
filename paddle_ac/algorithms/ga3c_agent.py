"""An agent of GA3C: all that runs in its process. It has no network, and imports no Paddle."""

from __future__ import annotations

import time
from typing import Any

import cloudpickle
import numpy as np

from multiprocessing_env import EnvironmentCall, VecEnv, seed_global_generators
from paddle_ac.config.ga3c import GA3CConfig
from paddle_ac.envs.atari import end_at_life_loss
from paddle_ac.learning.rollout import RolloutCollector
from paddle_ac.processes.rollout_slots import AgentSlots
from paddle_ac.processes.worker import WorkerContext

POLL_SECONDS = 0.1  # after which a waiting agent shows that it is not stuck, and checks whether to stop
REPORT_SECONDS = 0.5  # between two reports, at least


class _StoppedError(Exception):
    """The pool has asked its workers to finish."""


class GA3CAgent:
    """Plays with actions that it gets from predictors, and hands its rollouts over to trainers.

    Args:
        context: connects the agent with its pool.
        config: hyper-parameters.
        envs: of this agent alone.
        own: its slots.
    """

    def __init__(self, context: WorkerContext, config: GA3CConfig, envs: VecEnv, own: AgentSlots):
        self._context = context
        self._own = own
        self._state = own.slots.agent_states[own.agent]
        self._state[...] = 0
        self.collector = RolloutCollector(envs, config.num_steps, self._state.shape[1])
        self.collector.policy_state = self._state  # predictors update it, and the collector resets it
        self._slot = self._step = 0  # that the next request is for
        self._reset_metrics()

    def run(self) -> None:
        """Play until the pool asks its workers to finish; report metrics."""
        reported_at = time.monotonic()
        try:
            while True:
                self._play_rollout()
                if (now := time.monotonic()) > reported_at + REPORT_SECONDS:
                    reported_at = now
                    self._context.report(self._take_metrics())
        except _StoppedError:
            self._context.report(self._take_metrics(), is_last=True)

    def _play_rollout(self) -> None:
        slots = self._own.slots
        while self._own.agent >= slots.active[0] or (slot := self._own.take()) is None:
            self._own.wait(POLL_SECONDS)
            self._show_progress()
        self._slot, self._step = slot, 0
        rollout = self.collector.collect_into(slots.arrays(slot), self._act)
        slots.complete(slot, rollout)
        self._own.hand_over(slot)
        self.episode_returns += rollout.episode_returns
        self.episode_lengths += rollout.episode_lengths

    def _act(self, observations: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Actions for the observations that the collector has written into the slot."""
        slot, step = self._slot, self._step
        self._step += 1
        self._show_progress()
        asked_at = time.perf_counter()
        number = self._own.request(slot, step)
        while not self._own.is_answered(number, POLL_SECONDS):
            self._show_progress()
        self.seconds_waited += time.perf_counter() - asked_at
        self.num_requests += 1
        return self._own.slots.actions[slot, step]

    def _show_progress(self) -> None:
        self._context.advance()
        if self._context.stopping:
            raise _StoppedError

    def _reset_metrics(self) -> None:
        self.episode_returns: list[float] = []
        self.episode_lengths: list[int] = []
        self.seconds_waited, self.num_requests = 0.0, 0

    def _take_metrics(self) -> dict[str, Any]:
        """Metrics by tag since the last call."""
        metrics: dict[str, Any] = {
            "charts/episode_return": self.episode_returns,
            "charts/episode_length": self.episode_lengths,
        }
        if self.num_requests:
            metrics["ga3c/agent_wait_ms"] = 1000 * self.seconds_waited / self.num_requests
        self._reset_metrics()
        return metrics


def run_agent(context: WorkerContext, config: GA3CConfig, pickled_make_envs: bytes, own: AgentSlots) -> None:
    """Make the environments of an agent in its process, and play."""
    index, start = context.index, context.start
    seed_global_generators((config.seed, index, start))
    with EnvironmentCall(index * config.num_envs, "its agent"):
        make_envs = cloudpickle.loads(pickled_make_envs)
    with make_envs() as envs:
        agent = GA3CAgent(context, config, end_at_life_loss(envs, config), own)
        context.wait_for_start()
        agent.run()
