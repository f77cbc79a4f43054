"""The parameters of a target network in memory that processes share."""

from __future__ import annotations

from typing import Any

import numpy as np

from multiprocessing_env import SharedArray
from paddle_ac.processes.shared_parameters import SharedVersions


class SharedTarget:
    """Parameters of a target network, replaced as a whole every so many steps by whichever worker passes them.

    A version is complete before it becomes the current one, so that a worker that is killed halfway leaves the one
    before, until the next replacement. Writers hold no lock. A worker claims a replacement before it copies the
    parameters. Should two of them claim it in the same instant, both copy the parameters as they are then, and so the
    result is what a single writer could have copied while other workers learn.

    It is pickled only to start a worker.

    Args:
        vector: ``[P]`` float32, initial parameters.
        interval: steps between two replacements.
    """

    def __init__(self, vector: np.ndarray, interval: int):
        self._interval = interval
        self._versions = SharedVersions({"vector": vector})
        self._shared_steps = SharedArray((1,), np.int64)
        self._make_views()

    def _make_views(self) -> None:
        self._steps = self._shared_steps.array

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("_interval", "_versions", "_shared_steps")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._make_views()

    @property
    def version(self) -> int:
        """Number of the current version; another one after every replacement."""
        return self._versions.version

    @property
    def env_steps(self) -> int:
        """Steps of all workers together when the latest replacement was due."""
        return int(self._steps[0])

    def read(self) -> np.ndarray:
        """Copy the current version, ``[P]`` float32."""
        return self._versions.read()["vector"]

    def replace(self, vector: np.ndarray, env_steps: int) -> None:
        """Make a copy of parameters ``[P]`` the current version, after so many steps of all workers together."""
        self._steps[0] = env_steps  # first: no other worker replaces this version too
        self._versions.write({"vector": vector})

    def replace_if_due(self, vector: np.ndarray, env_steps: int) -> None:
        """``replace``, if a multiple of the interval has been passed since the current version was made."""
        if env_steps // self._interval > self._steps[0] // self._interval:
            self.replace(vector, env_steps)
