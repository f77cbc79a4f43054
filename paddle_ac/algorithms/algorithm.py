"""The contract of every algorithm: all that the training loop knows of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np

from paddle_ac.nn.encoding import ObservationEncoder


class Panel(NamedTuple):
    """A part of a run's picture: curves in the same unit over the steps."""

    title: str
    unit: str
    curves: dict[str, str]  # tag of each to its label; empty of a single one


class Policy(Protocol):
    """A policy: chooses actions for observations."""

    encode: ObservationEncoder  # from observations to features; its moments belong to the model

    state_size: int  # S, numbers of the recurrent state of one environment

    def act(
        self,
        observations: np.ndarray,
        generator: np.random.Generator | None = None,
        state: np.ndarray | None = None,
    ) -> np.ndarray:
        """Actions for observations ``[N, ...]``, drawn with a generator or the most probable ones without.

        The state ``[N, S]``, zeros where an episode begins, is brought up to date in place.
        """
        ...

    def parameter_arrays(self) -> dict[str, np.ndarray]:
        """The parameters by name, copied."""
        ...

    def load_parameters(self, values: dict[str, np.ndarray]) -> None:
        """Set the parameters by name; ``ValueError`` if they are those of another network."""
        ...


class Algorithm(Protocol):
    """Learns, update by update, and knows nothing of files, logs, progress bars or command lines."""

    config: Any
    metric_tags: tuple[str, ...]  # tags of its metrics that not every algorithm has
    panels: tuple[Panel, ...]  # of these metrics, in the picture of a run
    observation_space: Any
    action_space: Any
    asynchronous: bool  # it learns on between two calls of update(), and can be saved after an error of update()
    should_stop: Callable[[], bool]  # asked in the middle of a long update(), which then returns without an update
    has_started: bool  # it learns, and the time counts as training time; an asynchronous one's workers start first

    @property
    def num_learners(self) -> int:
        """Processes that learn side by side."""
        ...

    @property
    def env_steps(self) -> int:
        """Steps of single environments so far."""
        ...

    @property
    def num_updates(self) -> int:
        """Gradient steps so far."""
        ...

    @property
    def is_done(self) -> bool:
        """Whether the total of steps is reached, and all metrics of it have been returned."""
        ...

    @property
    def policy(self) -> Policy:
        """Chooses actions as far as it has been learned."""
        ...

    def layers(self) -> tuple[dict[str, Any], Callable[[np.ndarray, np.ndarray], Any]]:
        """The networks as Paddle layers by name, and a function of observations and state that computes with them.

        Both are for graphs and for further work in Paddle; to learn, an algorithm may compute without Paddle.
        """
        ...

    @classmethod
    def from_config(cls, config: Any) -> Algorithm:
        """The algorithm with the environments that its configuration names; ``ConfigError`` if they cannot be had."""
        ...

    @staticmethod
    def make_policy(config: Any, observation_space: Any, action_space: Any) -> Any:
        """An untrained policy, which saved parameters can be loaded into."""
        ...

    def update(self) -> dict[str, Any]:
        """Learn for a while; returns metrics by tag, numbers or lists of them, with every episode that finished."""
        ...

    def inspect(self, observations: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
        """Diagnostics of ``policy``, as last returned, and of the critic for a batch, for the histograms.

        Args:
            observations: ``[B, *observation_space.shape]``.
            state: ``[B, S]``, recurrent state of the policy before each of them.

        Returns:
            numbers of any shape by tag, ``policy/probabilities``, or ``policy/means`` and ``policy/deviations``, of the
            policy's distribution, or ``policy/actions`` of a deterministic one; and ``critic/values`` ``[B]`` of an
            algorithm that has a critic.
        """
        ...

    def predict(
        self,
        observations: Any,
        state: np.ndarray | None = None,
        generator: np.random.Generator | None = None,
        action_mask: Any = None,
    ) -> Any:
        """Actions for one observation or several; see ``Predictor.predict``."""
        ...

    def initial_state(self, num_envs: int | None = None) -> np.ndarray:
        """The ``state`` of ``predict`` where an episode begins; see ``Predictor.initial_state``."""
        ...

    def check(self) -> None:
        """Raise what has gone wrong since the last update; called now and then while no update is."""
        ...

    def evaluating(self) -> AbstractContextManager[None]:
        """A context that the training loop evaluates the policy in."""
        ...

    def finish(self) -> Iterator[dict[str, Any]]:
        """Stop learning, and return the metrics that are left; the state is at rest afterwards."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The state to resume from bit-exactly: arrays, numbers, texts and ``Pieces`` in nested dictionaries."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that ``state_dict`` gave; ``ValueError`` if it is of something else."""
        ...

    def learned_state(self) -> dict[str, Any]:
        """Return what another training can start from: parameters and normalisation."""
        ...

    def load_learned_state(self, state: dict[str, Any]) -> None:
        """Start from what ``learned_state`` returned; ``ValueError`` if it is of another network."""
        ...

    def save(self, path: Any) -> Any:
        """Save what was learned in one file; see ``Predictor.save``."""
        ...

    def find_unrepeatable(self, max_steps: int) -> str | None:
        """Reason why ``load_state_dict`` could not restore the environments as they are now; ``None`` if it could.

        Args:
            max_steps: that may be replayed to find out.
        """
        ...

    def phases(self) -> dict[str, Callable[[], int]]:
        """The parts of an update of one learner, each a function that does it once and returns the steps it is for.

        They are there to be timed: nothing is learned, but the environments are no good for learning afterwards.
        """
        ...

    def close(self) -> None:
        """End every process and close every environment."""
        ...

    def __enter__(self) -> Algorithm: ...

    def __exit__(self, *exception: object) -> None: ...
