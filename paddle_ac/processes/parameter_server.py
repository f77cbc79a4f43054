"""A parameter server and its clients, as plain objects: what they exchange does not depend on how it is sent.

DistBelief (Dean et al. 2012, Downpour SGD) and Gorila (Nair et al. 2015, arXiv:1507.04296): learners send what they
have added to the parameters, and receive the current ones. Here a learner is a *bundle*, the workers of one machine on
shared memory, and it sends the sum of many steps at once.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from paddle_ac.errors import NonFiniteError
from paddle_ac.nn.moments import merged_moments, remaining_moments
from paddle_ac.processes.shared_parameters import SharedParameters

Moments = dict[str, dict[str, np.ndarray]]  # group (``"encoder"``, ``"rewards"``) to RunningMoments.statistics

MAX_FLOAT16 = float(np.finfo(np.float16).max)


class RetiredError(RuntimeError):
    """A push of a bundle that another bundle has replaced."""


@dataclass(frozen=True)
class Push:
    """What a bundle sends to a shard.

    Attributes:
        bundle: index of the bundle, 0 to M - 1.
        start: number of bundles that had this index before.
        sequence: number of this push of this bundle, from 1 on.
        version: of the parameters that the delta was added to.
        delta: ``[p]`` float32 or float16.
        steps, updates: of the bundle since its previous push; 0 except to the first shard.
        moments: of the rows since its previous push; empty except to the first shard.
    """

    bundle: int
    start: int
    sequence: int
    version: int
    delta: np.ndarray
    steps: int = 0
    updates: int = 0
    moments: Moments = field(default_factory=dict)


@dataclass(frozen=True)
class Pull:
    """What a shard returns.

    Attributes:
        vector: ``[p]`` float32.
        version: number of pushes that were applied to it.
        env_steps: of all bundles together.
        moments: of all bundles together.
    """

    vector: np.ndarray
    version: int
    env_steps: int
    moments: Moments


@dataclass
class ServerState:
    """All that a shard knows, and can be restored from.

    Attributes:
        vector: ``[p]`` float32.
        node_steps, node_updates: ``[M]`` int64, of each bundle.
        moments: of all bundles together.
        version: number of pushes applied.
        applied: index of a bundle to the start and sequence of its latest push.
    """

    vector: np.ndarray
    node_steps: np.ndarray
    node_updates: np.ndarray
    moments: Moments = field(default_factory=dict)
    version: int = 0
    applied: dict[int, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """Counters of a shard.

    Attributes:
        node_steps, node_updates: ``[M]`` int64, of each bundle.
        version: number of pushes applied.
        num_bytes: of deltas and parameters, received and sent since the server was made.
        staleness: of each delta applied since the last status: pushes of other bundles between its pull and its push.
    """

    node_steps: np.ndarray
    node_updates: np.ndarray
    version: int
    num_bytes: int
    staleness: list[int]


class ParameterServer:
    """One shard of the parameters. The first shard also has the counters and the moments.

    Args:
        state: to start from; the server changes it.
    """

    def __init__(self, state: ServerState):
        self._state = state
        self._state.vector = np.array(state.vector, np.float32)  # Ray's arrays cannot be written to
        self._state.node_steps = np.array(state.node_steps)
        self._state.node_updates = np.array(state.node_updates)
        self._num_bytes = 0
        self._staleness: list[int] = []

    def push(self, push: Push) -> Pull:
        """Apply a push, unless it was applied before, and return the current parameters.

        Raises:
            RetiredError: another bundle with the same index has started since.
        """
        state = self._state
        start, sequence = state.applied.get(push.bundle, (push.start, 0))
        if push.start < start:
            raise RetiredError(f"bundle {push.bundle} was replaced")
        if push.start > start:
            sequence = 0
        if push.sequence > sequence:
            state.vector += push.delta
            state.node_steps[push.bundle] += push.steps
            state.node_updates[push.bundle] += push.updates
            for group, moments in push.moments.items():
                state.moments[group] = merged_moments(state.moments[group], moments)
            self._staleness.append(max(state.version - push.version, 0))
            state.version += 1
            state.applied[push.bundle] = (push.start, push.sequence)
        self._num_bytes += push.delta.nbytes
        return self.pull()

    def pull(self) -> Pull:
        """The current parameters."""
        state = self._state
        self._num_bytes += state.vector.nbytes
        return Pull(state.vector.copy(), state.version, int(state.node_steps.sum()), dict(state.moments))

    def status(self) -> Status:
        """The counters; staleness is returned once."""
        state, staleness = self._state, self._staleness
        self._staleness = []
        steps, updates = state.node_steps.copy(), state.node_updates.copy()
        return Status(steps, updates, state.version, self._num_bytes, staleness)

    def snapshot(self) -> ServerState:
        """A copy of all that the server knows."""
        state = self._state
        return ServerState(
            state.vector.copy(),
            state.node_steps.copy(),
            state.node_updates.copy(),
            dict(state.moments),
            state.version,
            dict(state.applied),
        )


class Shards(Protocol):
    """The shards of a parameter server, as a bundle sees them."""

    def push(self, pushes: list[Push]) -> list[Pull]:
        """Send a push to each shard, and return the answers; again and again to a shard that is lost."""
        ...

    def pull(self) -> list[Pull]:
        """Return the parameters of each shard."""
        ...


def partition(size: int, num_shards: int) -> list[slice]:
    """The part of each shard of a vector ``[P]``; lengths differ by one at most."""
    bounds = [size * shard // num_shards for shard in range(num_shards + 1)]
    return [slice(first, end) for first, end in itertools.pairwise(bounds)]


class Exchange:
    """Exchanges what a bundle has learned for what all have learned, while its workers go on.

    The workers change ``shared.vector``. A push sends its difference from the parameters of the last exchange. The
    answer is the server's current parameters; what they contain beyond the push is added to ``shared.vector``. So what
    the workers write meanwhile stays, and so does the rounding error of float16, which the next push contains.

    Args:
        shared: parameters, moments and counters of the bundle.
        shards: of the parameter server.
        bundle: index of the bundle.
        start: number of bundles that had this index before.
        dtype: ``"float32"`` or ``"float16"``, of the deltas.
        lock: held while parameters are written.
    """

    def __init__(
        self,
        shared: SharedParameters,
        shards: Shards,
        bundle: int,
        start: int,
        dtype: str = "float32",
        lock: contextlib.AbstractContextManager[None] | None = None,
    ):
        self._shared, self._shards = shared, shards
        self._bundle, self._start = bundle, start
        self._dtype = np.dtype(dtype)
        self._lock = lock or contextlib.nullcontext()
        self._sequence = 0
        self._steps = self._updates = 0  # of the bundle, pushed so far
        pulls = shards.pull()
        shared.vector[:] = np.concatenate([pull.vector for pull in pulls])
        for group, moments in pulls[0].moments.items():
            shared.moments[group].write(moments)
        shared.steps_elsewhere[0] = pulls[0].env_steps
        self._accept(pulls)

    @property
    def unpushed_updates(self) -> int:
        """Updates of the bundle since its last push."""
        return self._shared.num_updates - self._updates

    def exchange(self) -> None:
        """Push what is new, and take over what is new on the server.

        Raises:
            NonFiniteError: a parameter is not finite; nothing was sent.
            RetiredError: another bundle has replaced this one.
        """
        shared = self._shared
        steps, updates = int(shared.worker_steps.sum()), shared.num_updates
        delta = shared.vector - self._vector
        if not np.isfinite(delta).all():
            raise NonFiniteError(f"a parameter of bundle {self._bundle} is not finite")
        if self._dtype == np.float16:
            delta = np.clip(delta, -MAX_FLOAT16, MAX_FLOAT16)
        sent = delta.astype(self._dtype)
        moments = {group: shared.moments[group].read() for group in self._moments}
        new_moments = {group: remaining_moments(moments[group], self._moments[group]) for group in moments}
        self._sequence += 1
        pulls = self._shards.push(
            [
                Push(
                    self._bundle,
                    self._start,
                    self._sequence,
                    version,
                    sent[part],
                    *((steps - self._steps, updates - self._updates, new_moments) if shard == 0 else ()),
                )
                for shard, (version, part) in enumerate(zip(self._versions, self._parts, strict=True))
            ]
        )
        self._steps, self._updates = steps, updates
        change = np.concatenate([pull.vector for pull in pulls]) - self._vector - sent.astype(np.float32)
        with self._lock:
            shared.vector += change
        if moments:
            with shared.moments_lock:
                for group, before in moments.items():
                    since = remaining_moments(shared.moments[group].read(), before)
                    shared.moments[group].write(merged_moments(pulls[0].moments[group], since))
        shared.steps_elsewhere[0] = pulls[0].env_steps - steps
        self._accept(pulls)

    def _accept(self, pulls: list[Pull]) -> None:
        """Remember the parameters, versions and moments of an exchange."""
        self._vector = np.concatenate([pull.vector for pull in pulls])
        self._versions = [pull.version for pull in pulls]
        self._moments = pulls[0].moments
        self._parts = partition(len(self._vector), len(pulls))
