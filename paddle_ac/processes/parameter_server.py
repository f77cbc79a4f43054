"""A parameter server and its clients, as plain objects: what they exchange does not depend on how it is sent.

DistBelief (Dean et al. 2012, Downpour SGD) and Gorila (Nair et al. 2015, arXiv:1507.04296): learners send what they
have added to the parameters, and receive the current ones. Here a learner is a *bundle*, the workers of one machine on
shared memory, and it sends the sum of many steps at once.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from paddle_ac.errors import NonFiniteError
from paddle_ac.nn.moments import merged_moments, remaining_moments

Moments = dict[str, dict[str, np.ndarray]]  # group (``"encoder"``, ``"rewards"``) to RunningMoments.statistics

MAX_FLOAT16 = float(np.finfo(np.float16).max)
RECENT_PUSHES = 100  # whose sizes are kept
OWN_PUSHES = 10  # of a bundle, whose staleness is kept


class RetiredError(RuntimeError):
    """A push of a bundle that another bundle has replaced."""


@dataclass(frozen=True)
class Push:
    """Message of a bundle to a shard.

    Attributes:
        bundle: index of the bundle, 0 to M - 1.
        start: number of bundles that had this index before.
        sequence: number of this push of this bundle, from 1 on.
        version: of the shard's parameters that the delta was added to: ``num_updates`` of their pull.
        delta: ``[p]`` float32 or float16.
        steps, updates: of the bundle since its previous push.
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
    """Answer of a shard: its current parameters and the counters.

    Attributes:
        vector: ``[p]`` float32.
        env_steps, num_updates: of all bundles together; the updates of dropped deltas do not count.
        moments: of all bundles together.
    """

    vector: np.ndarray
    env_steps: int
    num_updates: int
    moments: Moments


@dataclass
class ServerState:
    """All that a shard knows, and can be restored from.

    Attributes:
        vector: ``[p]`` float32.
        node_steps, node_updates: ``[M]`` int64, of each bundle.
        moments: of all bundles together.
        applied: index of a bundle to the start and sequence of its latest push.
        sizes: updates of each of the latest pushes that were applied, at most ``RECENT_PUSHES``.
    """

    vector: np.ndarray
    node_steps: np.ndarray
    node_updates: np.ndarray
    moments: Moments = field(default_factory=dict)
    applied: dict[int, tuple[int, int]] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Status:
    """Counters of a shard.

    Attributes:
        node_steps, node_updates: ``[M]`` int64, of each bundle.
        num_pushes: applied since the server was made.
        num_bytes: of deltas and parameters, received and sent since the server was made.
        staleness: of each delta with updates since the last status; see ``ParameterServer``.
        is_late: whether each of these deltas was dropped.
        applied: as in ``ServerState``.
    """

    node_steps: np.ndarray
    node_updates: np.ndarray
    num_pushes: int
    num_bytes: int
    staleness: list[float]
    is_late: list[bool]
    applied: dict[int, tuple[int, int]]


class ParameterServer:
    """One shard of the parameters. The first shard also has the moments.

    The staleness of a delta is the number of pushes of other bundles that were applied between its pull and its push.
    A push with k times the usual number of updates, the median of the latest, counts as k: one of a bundle that was cut
    off for some seconds counts as the many that it would have sent. A bundle that is slow or far away has its own usual
    staleness, the median of its latest: only what exceeds it is dropped, or nothing of it would ever be learned.

    Args:
        state: to start from; the server changes it.
        max_staleness: by which the staleness of a delta may exceed that which is usual for its bundle. Others are
            dropped, but their steps and moments count (Nair et al. 2015, "Stability", with a limit for all).
    """

    def __init__(self, state: ServerState, max_staleness: float):
        self._state = state
        self._max_staleness = max_staleness
        self._state.vector = np.array(state.vector, np.float32)  # Ray's arrays cannot be written to
        self._state.node_steps = np.array(state.node_steps)
        self._state.node_updates = np.array(state.node_updates)
        self._num_pushes = self._num_bytes = 0
        self._staleness: list[float] = []
        self._is_late: list[bool] = []
        self._usual: dict[tuple[int, int], deque[float]] = {}  # bundle and start to the staleness of its latest pushes

    def push(self, push: Push) -> Pull:
        """Apply a push, unless it was applied before or is too stale, and return the current parameters.

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
            if not (push.updates and self._drops(push)):
                state.vector += push.delta
                state.node_updates[push.bundle] += push.updates
                self._num_pushes += 1
            state.node_steps[push.bundle] += push.steps
            for group, moments in push.moments.items():
                state.moments[group] = merged_moments(state.moments[group], moments)
            state.applied[push.bundle] = (push.start, push.sequence)
        self._num_bytes += push.delta.nbytes
        return self.pull()

    def _drops(self, push: Push) -> bool:
        """Note the staleness of a push with updates, and whether it is dropped; the medians are of those before it."""
        sizes, usual = self._state.sizes, self._usual.setdefault((push.bundle, push.start), deque(maxlen=OWN_PUSHES))
        missed = max(int(self._state.node_updates.sum()) - push.version, 0)  # a restored server may lack updates
        staleness = missed / float(np.median(sizes)) if sizes else 0.0
        is_late = staleness - (float(np.median(usual)) if usual else 0.0) > self._max_staleness
        usual.append(staleness)
        if not is_late:
            self._state.sizes = [*sizes[-RECENT_PUSHES + 1 :], push.updates]
        self._staleness.append(staleness)
        self._is_late.append(is_late)
        return is_late

    def pull(self) -> Pull:
        """The current parameters."""
        state = self._state
        self._num_bytes += state.vector.nbytes
        steps, updates = int(state.node_steps.sum()), int(state.node_updates.sum())
        return Pull(state.vector.copy(), steps, updates, dict(state.moments))

    def status(self) -> Status:
        """The counters; staleness and lateness of a delta are returned once."""
        state, staleness, is_late = self._state, self._staleness, self._is_late
        self._staleness, self._is_late = [], []
        steps, updates = state.node_steps.copy(), state.node_updates.copy()
        return Status(steps, updates, self._num_pushes, self._num_bytes, staleness, is_late, dict(state.applied))

    def snapshot(self) -> ServerState:
        """A copy of all that the server knows."""
        state = self._state
        return ServerState(
            state.vector.copy(),
            state.node_steps.copy(),
            state.node_updates.copy(),
            dict(state.moments),
            dict(state.applied),
            list(state.sizes),
        )


class Shards(Protocol):
    """The shards of a parameter server, as a bundle sees them."""

    def push(self, pushes: list[Push]) -> list[Pull]:
        """Send a push to each shard, and return the answers; again and again to a shard that is lost."""
        ...

    def pull(self) -> list[Pull]:
        """Return the parameters of each shard."""
        ...


class ReplicaMoments(Protocol):
    """Moments of a bundle that an exchange reads and replaces."""

    def read(self) -> dict[str, np.ndarray]: ...

    def write(self, arrays: dict[str, np.ndarray]) -> None: ...


class Replica(Protocol):
    """Parameters, moments and counters of a bundle, as an exchange reads and changes them."""

    @property
    def vector(self) -> np.ndarray:
        """``[P]`` float32."""
        ...

    @property
    def moments(self) -> Mapping[str, ReplicaMoments]:
        """By group."""
        ...

    @property
    def moments_lock(self) -> contextlib.AbstractContextManager[None]:
        """To be held while moments are read and written."""
        ...

    @property
    def own_steps(self) -> int:
        """Steps of the bundle."""
        ...

    @property
    def num_updates(self) -> int:
        """Updates of the bundle."""
        ...

    @property
    def steps_elsewhere(self) -> np.ndarray:
        """``[1]`` int64, steps of the other bundles as far as they are known here."""
        ...


def partition(size: int, num_shards: int) -> list[slice]:
    """The part of each shard of a vector ``[P]``; lengths differ by one at most."""
    bounds = [size * shard // num_shards for shard in range(num_shards + 1)]
    return [slice(first, end) for first, end in itertools.pairwise(bounds)]


class Exchange:
    """Exchanges what a bundle has learned for what all have learned, while its learners go on.

    The learners change ``replica.vector``. A push sends its difference from the parameters of the last exchange. The
    answer is the server's current parameters; what they contain beyond the push is added to ``replica.vector``. So what
    the learners write meanwhile stays, and so does the rounding error of float16, which the next push contains. A delta
    that the server has dropped is taken back.

    Args:
        replica: parameters, moments and counters of the bundle.
        shards: of the parameter server.
        bundle: index of the bundle.
        start: number of bundles that had this index before.
        dtype: ``"float32"`` or ``"float16"``, of the deltas.
        lock: held while parameters are written.

    Attributes:
        vector: ``[P]`` float32, the server's parameters at the last exchange.
        num_updates: of all bundles together at the last exchange.
    """

    def __init__(
        self,
        replica: Replica,
        shards: Shards,
        bundle: int,
        start: int,
        dtype: str = "float32",
        lock: contextlib.AbstractContextManager[None] | None = None,
    ):
        self._replica, self._shards = replica, shards
        self._bundle, self._start = bundle, start
        self._dtype = np.dtype(dtype)
        self._lock = lock or contextlib.nullcontext()
        self._sequence = 0
        self._steps = self._updates = 0  # of the bundle, pushed so far
        pulls = shards.pull()
        replica.vector[:] = np.concatenate([pull.vector for pull in pulls])
        for group, moments in pulls[0].moments.items():
            replica.moments[group].write(moments)
        replica.steps_elsewhere[0] = pulls[0].env_steps
        self._accept(pulls)

    @property
    def unpushed_updates(self) -> int:
        """Updates of the bundle since its last push."""
        return self._replica.num_updates - self._updates

    @property
    def unpushed_steps(self) -> int:
        """Steps of the bundle since its last push."""
        return self._replica.own_steps - self._steps

    def exchange(self) -> None:
        """Push what is new, and take over what is new on the server.

        Raises:
            NonFiniteError: as ``collect``.
            RetiredError: another bundle has replaced this one.
        """
        self.take_over(self._shards.push(self.collect()))

    def collect(self) -> list[Push]:
        """Collect a push for each shard of all that is new since the last exchange.

        Pass the answers of the shards to ``take_over`` before the next call.

        Raises:
            NonFiniteError: a parameter is not finite.
        """
        replica = self._replica
        steps, updates = replica.own_steps, replica.num_updates
        delta = replica.vector - self.vector
        if not np.isfinite(delta).all():
            raise NonFiniteError(f"a parameter of bundle {self._bundle} is not finite")
        if self._dtype == np.float16:
            delta = np.clip(delta, -MAX_FLOAT16, MAX_FLOAT16)
        self._sent = delta.astype(self._dtype)
        self._collected = {group: replica.moments[group].read() for group in self._moments}
        new_moments = {
            group: remaining_moments(moments, self._moments[group]) for group, moments in self._collected.items()
        }
        moments_of_shards = [new_moments, *[{}] * (len(self._parts) - 1)]
        self._sequence += 1
        counted = steps - self._steps, updates - self._updates
        self._steps, self._updates = steps, updates
        return [
            Push(self._bundle, self._start, self._sequence, version, self._sent[part], *counted, moments)
            for version, part, moments in zip(self._versions, self._parts, moments_of_shards, strict=True)
        ]

    def take_over(self, pulls: list[Pull]) -> None:
        """Add what the answers to the last ``collect`` contain beyond it, while learners may go on."""
        replica = self._replica
        change = np.concatenate([pull.vector for pull in pulls]) - self.vector - self._sent.astype(np.float32)
        with self._lock:
            vector = replica.vector
            vector += change
        if self._collected:
            with replica.moments_lock:
                for group, before in self._collected.items():
                    since = remaining_moments(replica.moments[group].read(), before)
                    replica.moments[group].write(merged_moments(pulls[0].moments[group], since))
        replica.steps_elsewhere[0] = pulls[0].env_steps - self._steps
        self._accept(pulls)

    def _accept(self, pulls: list[Pull]) -> None:
        """Store the parameters, versions, counters and moments of an exchange."""
        self.vector = np.concatenate([pull.vector for pull in pulls])
        self.num_updates = pulls[0].num_updates
        self._versions = [pull.num_updates for pull in pulls]
        self._moments = pulls[0].moments
        self._parts = partition(len(self.vector), len(pulls))
