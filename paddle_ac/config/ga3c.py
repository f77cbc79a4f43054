"""Hyper-parameters of GA3C."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import model_validator

from paddle_ac.config.base import OnPolicyConfig
from paddle_ac.config.fields import field
from paddle_ac.config.groups import MemoryGroup, RolloutGroup, SynchronousOptimizerGroup


class GA3CConfig(MemoryGroup, RolloutGroup, SynchronousOptimizerGroup, OnPolicyConfig):
    """A3C with predictors and trainers on one model (Babaeizadeh et al. 2017, arXiv:1611.06256)."""

    algo: Literal["ga3c"] = "ga3c"

    num_steps: int = field(
        "algorithm", 20, "t_max: steps of each environment in a rollout (the paper: 5; measured: 20)", ge=1
    )
    num_agents: int = field(
        "run",
        4,
        "agents: processes that play, each with environments (the paper: 32; measured on 2 cores)",
        ge=1,
        le=256,
    )
    num_envs: int = field(
        "run", 4, "environments of each agent, for which it asks actions at once (the paper: 1)", ge=1
    )
    num_predictors: int = field(
        "run",
        1,
        "threads that choose actions for many agents at once (the paper: 2; measured on 2 cores)",
        ge=1,
        le=64,
        changeable=True,
    )
    num_trainers: int = field(
        "run",
        1,
        "threads that learn from rollouts of many agents (the paper: 2; measured on 2 cores)",
        ge=1,
        le=64,
        changeable=True,
    )
    prediction_batch: int = field(
        "run",
        128,
        "most observations that a predictor takes at once, but at least those of one agent; it never waits for more "
        "(GA3C: 128)",
        ge=1,
        changeable=True,
    )
    min_training_batch: int = field(
        "algorithm",
        0,
        "steps that an update learns from, at least: whole rollouts, one with 0 (GA3C: 0; its author: 20 to 40 for "
        "stability)",
        ge=0,
        search=[0, 20, 40, 80],
    )
    dynamic_adjustment: bool = field(
        "run",
        False,
        "a random walk over the numbers of agents, predictors and trainers, up to those given, that keeps changes "
        "after which training is not slower (the paper, section 4.3)",
        changeable=True,
    )
    log_epsilon: float | None = field(
        "algorithm",
        None,
        "added to the probability in the logarithm of the policy's loss, against policy lag, for Discrete actions "
        "[1e-6 (GA3C); for other actions none]",
        ge=0,
        lt=1,
    )
    lag_correction: Literal["none", "vtrace"] = field(
        "algorithm",
        "none",
        "correct returns and advantages for policy lag by V-trace (Espeholt et al. 2018, arXiv:1802.01561), or not",
    )
    restart_workers: bool = field(
        "run", False, "replace an agent that was killed or is stuck, rather than stop", changeable=True
    )
    step_timeout: float = field(
        "run",
        60.0,
        "seconds without a step after which an agent is stuck; also the longest time for a predictor or a trainer to "
        "compute a batch, and to wait for the model",
        gt=0,
        le=1e6,
        changeable=True,
    )
    learning_rate: float = field("optimizer", 2e-3, "initial learning rate (measured on CartPole-v1)", gt=0, le=100)

    @model_validator(mode="after")
    def _slots_hold_a_training_batch(self) -> GA3CConfig:
        possible = self.num_agents * 2 * self.num_steps * self.num_envs
        if self.min_training_batch > possible:
            raise ValueError(
                f"min_training_batch={self.min_training_batch}: no more than {possible} steps can wait, two rollouts "
                f"of each of num_agents={self.num_agents} (num_steps={self.num_steps}, num_envs={self.num_envs}); "
                "give more agents or a smaller batch"
            )
        return self

    @model_validator(mode="after")
    def _there_is_something_to_adjust(self) -> GA3CConfig:
        if self.dynamic_adjustment and (self.num_agents, self.num_predictors, self.num_trainers) == (
            self.fewest_agents,
            1,
            1,
        ):
            raise ValueError(
                f"dynamic_adjustment: no numbers to try below num_agents={self.num_agents}, num_predictors=1 and "
                "num_trainers=1; give larger ones, up to which it is to search"
            )
        return self

    @property
    def rollouts_per_update(self) -> int:
        """Rollouts of agents that an update learns from."""
        return max(math.ceil(self.min_training_batch / (self.num_steps * self.num_envs)), 1)

    @property
    def fewest_agents(self) -> int:
        """Agents whose rollouts can be a batch of a trainer."""
        return math.ceil(self.rollouts_per_update / 2)

    @property
    def policy_log_epsilon(self) -> float:
        """``log_epsilon``, or its default for Discrete actions."""
        return 1e-6 if self.log_epsilon is None else self.log_epsilon

    @property
    def num_other_workers(self) -> int:
        """``num_agents``."""
        return self.num_agents
