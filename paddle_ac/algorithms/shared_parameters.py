"""What the workers of A3C share: memory without a name, which nothing is left of however they end."""

from __future__ import annotations

import contextlib
import tempfile
from multiprocessing import reduction
from typing import Any

import numpy as np

from multiprocessing_env import SharedArray
from paddle_ac.nn.layout import ParameterLayout


class SharedParameters:
    """Parameters, an optimiser's statistics and counters, in memory that processes share.

    Reads and writes are NumPy's own, without a lock: a worker may copy parameters while another writes them, and of two
    that write at once one may undo a part of the other's step (Hogwild; Recht et al. 2011, arXiv:1106.5730). Counters
    are exact all the same, for each worker counts in a place of its own.

    It is handed to a worker as the worker is started.

    Args:
        layout: of the network's parameters, P in all.
        statistics: what else is learned as it begins, by group (``"optimizer"``, the moments ``"encoder"`` and
            ``"rewards"``) and name; each array gets a place of its own.
        num_workers: ``W``.

    Attributes:
        vector: ``[P]`` float32, all parameters.
        views: name to the parameter's part of ``vector``.
        statistics: group to name to array.
        moments_lock: to be held by whoever reads or writes moments, which mean nothing half written.
        worker_steps: ``[W]`` int64, steps of single environments that each worker has learned from.
        worker_updates: ``[W]`` int64, how often each has written.
    """

    def __init__(self, layout: ParameterLayout, statistics: dict[str, dict[str, np.ndarray]], num_workers: int):
        self.layout = layout
        self._shared = {
            "vector": SharedArray((layout.size,), np.float32),
            "counters": SharedArray((2, num_workers), np.int64),
            "stop": SharedArray((1,), np.bool_),
        }
        self._shared_statistics = {
            group: {name: SharedArray(value.shape, value.dtype) for name, value in arrays.items()}
            for group, arrays in statistics.items()
        }
        self.moments_lock: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if statistics["encoder"] or statistics["rewards"]:
            self.moments_lock = ProcessLock()
        self._look()
        self.load_statistics(statistics)

    def load_statistics(self, statistics: dict[str, dict[str, np.ndarray]]) -> None:
        """Give every statistic the value of its group and name; ``ValueError`` if these are of something else."""
        for group, arrays in self.statistics.items():
            shapes = {name: array.shape for name, array in arrays.items()}
            if shapes != {name: array.shape for name, array in statistics[group].items()}:
                raise ValueError(f"the checkpoint's {group} is not that of the configuration")
            for name, array in arrays.items():
                array[...] = statistics[group][name]

    def _look(self) -> None:
        """Arrays on the memory, of this process."""
        self.vector = self._shared["vector"].array
        self.views = self.layout.views(self.vector)
        self.worker_steps, self.worker_updates = self._shared["counters"].array
        self._stop = self._shared["stop"].array
        self.statistics = {
            group: {name: shared.array for name, shared in arrays.items()}
            for group, arrays in self._shared_statistics.items()
        }

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in ("layout", "_shared", "_shared_statistics", "moments_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._look()

    @property
    def env_steps(self) -> int:
        """T of the paper: steps of all workers together."""
        return int(self.worker_steps.sum())

    @property
    def num_updates(self) -> int:
        """Writes of all workers together."""
        return int(self.worker_updates.sum())

    @property
    def stopping(self) -> bool:
        """Whether the workers have been asked to end."""
        return bool(self._stop[0])

    def stop(self) -> None:
        """Ask the workers to end after the update that they are at."""
        self._stop[0] = True


class ProcessLock:
    """A lock between processes that the system takes from a holder that dies.

    It is a record lock on a file without a name; it can be handed to a worker as the worker is started.

    Raises:
        ImportError: the system has no such locks (Windows).
    """

    def __init__(self) -> None:
        import fcntl

        self._fcntl = fcntl
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the lock)

    def __enter__(self) -> None:
        self._fcntl.lockf(self._file, self._fcntl.LOCK_EX)

    def __exit__(self, *exception: object) -> None:
        self._fcntl.lockf(self._file, self._fcntl.LOCK_UN)

    def __getstate__(self) -> Any:
        return reduction.DupFd(self._file.fileno())

    def __setstate__(self, duplicate: Any) -> None:
        import fcntl

        self._fcntl = fcntl
        self._file = open(duplicate.detach(), "r+b")  # noqa: SIM115
