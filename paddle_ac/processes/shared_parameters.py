"""Arrays that workers share while they learn: parameters, statistics, moments and counters.

The memory has no name in the file system, so it is released however the processes end.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from multiprocessing_env import SharedArray
from paddle_ac.nn.layout import ParameterLayout
from paddle_ac.processes.lock import ProcessLock

NUM_COPIES = 4  # of arrays with versions: a reader starts again if NUM_COPIES - 1 versions are written while it copies


class SharedParameters:
    """Parameters, an optimiser's statistics, moments and counters, in memory that processes share.

    Parameters and statistics are read and written without a lock: a worker may copy parameters while another writes
    them, and of two concurrent writes one may undo a part of the other (Hogwild; Recht et al. 2011, arXiv:1106.5730).
    Counters are exact all the same, because each worker has counters of its own.

    It is pickled only to start a worker.

    Args:
        layout: of the network's parameters, P in all.
        statistics: initial arrays of the optimiser, by name.
        moments: initial moments by group (``"encoder"``, ``"rewards"``) and name.
        num_workers: ``W``.

    Attributes:
        vector: ``[P]`` float32, all parameters.
        views: name to the parameter's part of ``vector``.
        statistics: name to array.
        moments: group to ``SharedVersions``.
        moments_lock: to be held by whoever writes moments.
        worker_steps: ``[W]`` int64, steps of single environments that each worker has learned from.
        steps_elsewhere: ``[1]`` int64, steps of the workers of other machines, as far as they are known here.
        worker_updates: ``[W]`` int64, number of writes of each worker.
    """

    def __init__(
        self,
        layout: ParameterLayout,
        statistics: dict[str, np.ndarray],
        moments: dict[str, dict[str, np.ndarray]],
        num_workers: int,
    ):
        self.layout = layout
        self._shared = {
            "vector": SharedArray((layout.size,), np.float32),
            "steps": SharedArray((num_workers + 1,), np.int64),
            "updates": SharedArray((num_workers,), np.int64),
        }
        self._shared_statistics = {name: SharedArray(value.shape, value.dtype) for name, value in statistics.items()}
        self.moments = {group: SharedVersions(arrays) for group, arrays in moments.items()}
        self.moments_lock: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if moments:
            self.moments_lock = ProcessLock()
        self._make_views()
        for name, array in self.statistics.items():
            array[...] = statistics[name]

    def _make_views(self) -> None:
        """Make this process's arrays on the memory."""
        self.vector = self._shared["vector"].array
        self.views = self.layout.views(self.vector)
        self._steps, self.worker_updates = self._shared["steps"].array, self._shared["updates"].array
        self.worker_steps, self.steps_elsewhere = self._steps[:-1], self._steps[-1:]
        self.statistics = {name: shared.array for name, shared in self._shared_statistics.items()}

    def __getstate__(self) -> dict[str, Any]:
        names = ("layout", "_shared", "_shared_statistics", "moments", "moments_lock")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._make_views()

    @property
    def env_steps(self) -> int:
        """T of the paper: steps of all workers together, those of other machines among them."""
        return int(np.add.reduce(self._steps))

    @property
    def own_steps(self) -> int:
        """Steps of the workers of this machine."""
        return int(self.worker_steps.sum())

    @property
    def num_updates(self) -> int:
        """Writes of all workers of this machine together."""
        return int(np.add.reduce(self.worker_updates))


class SharedVersions:
    """Arrays that are replaced as a whole, so that a reader never waits and never sees a half-written version.

    Versions go into several copies in turn, so that a writer that is killed or stopped halfway leaves the current
    version intact.

    Args:
        arrays: initial arrays by name.
    """

    def __init__(self, arrays: dict[str, np.ndarray]):
        self._copies = [
            {name: SharedArray(value.shape, value.dtype) for name, value in arrays.items()} for _ in range(NUM_COPIES)
        ]
        self._version = SharedArray((1,), np.int64)
        self._make_views()
        self.write(arrays)

    def _make_views(self) -> None:
        self._arrays = [{name: shared.array for name, shared in copy.items()} for copy in self._copies]
        self._versions = self._version.array

    def __getstate__(self) -> dict[str, Any]:
        return {"_copies": self._copies, "_version": self._version}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._make_views()

    @property
    def version(self) -> int:
        """Number of the current version."""
        return int(self._versions[0])

    def read(self) -> dict[str, np.ndarray]:
        """Copy the current version."""
        while True:
            version = self.version
            arrays = {name: array.copy() for name, array in self._arrays[version % NUM_COPIES].items()}
            if self._versions[0] < version + NUM_COPIES - 1:  # else a writer may have reached what was being copied
                return arrays

    def write(self, arrays: dict[str, np.ndarray]) -> None:
        """Make another version the current one; of processes that write at once, the last one's counts.

        Arrays that depend on one another, or on the version before, need a lock around reading and writing.
        """
        version = self.version + 1
        for name, array in self._arrays[version % NUM_COPIES].items():
            array[...] = arrays[name]
        self._versions[0] = version
