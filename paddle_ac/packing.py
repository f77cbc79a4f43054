"""Observations of Dict and Tuple spaces as one array, for everything between environments and networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from multiprocessing_env import NotInSpaceError, VecEnv, VecEnvWrapper, container_kind, make_converter, space_parts


class ObservationPacking:
    """Packs observations of a Dict or Tuple space into one structured array; other observations are one array already.

    Args:
        space: an observation space.

    Attributes:
        dtype: of the packed array. For a Dict or Tuple space a structured dtype: the fields are the parts by their
            path, such as ``camera``, ``robot/joints`` or ``0``, each with the dtype and shape of its space. Otherwise
            the dtype of the space.
        shape: of one observation in the packed array: ``()`` for a Dict or Tuple space, else the shape of the space.
        parts: the spaces of the parts by path, in order; empty for other spaces.
    """

    def __init__(self, space: Any):
        self._space = space
        self.parts: dict[str, Any] = space_parts(space)
        self.shape: tuple[int, ...] = ()
        self._convert = make_converter(space)
        if self.parts:
            self.dtype = np.dtype([(path, np.dtype(part.dtype), part.shape) for path, part in self.parts.items()])
        else:
            self.dtype, self.shape = np.dtype(space.dtype), tuple(space.shape)

    def pack(self, observations: Any) -> np.ndarray:
        """Pack N observations of vectorised environments, which have checked them.

        Args:
            observations: a dictionary or tuple of arrays ``[N, ...]``, nested as the space is; else one array.

        Returns:
            a new array ``[N]`` of ``dtype``; the array itself for other spaces.

        Raises:
            NotInSpaceError: observations of another structure.
        """
        return self._filled(self._convert.split(observations)) if self.parts else observations

    def pack_one(self, observation: Any) -> np.ndarray:
        """Pack one observation, as ``pack``; returns an array ``[*shape]``."""
        if not self.parts:
            return observation
        return self._filled([np.asarray(part)[np.newaxis] for part in self._convert.split(observation)]).reshape(())

    def pack_any(self, observations: Any) -> tuple[np.ndarray, bool]:
        """Check and pack one observation or B of them, whichever it is.

        Args:
            observations: an array ``[*shape]`` or ``[B, *shape]``, or a dictionary or tuple of such arrays.

        Returns:
            observations ``[B, *shape]`` in ``dtype``, and whether it was one, ``B`` then being 1.

        Raises:
            NotInSpaceError: observations that do not belong to the space.
        """
        if self.parts:
            first_part = self._convert.split(observations)[0]
            is_one = np.shape(first_part) == next(iter(self.parts.values())).shape
            checked = self._convert(observations) if is_one else self._convert.batch(observations)
            return self._filled([part[np.newaxis] for part in checked] if is_one else checked), is_one
        batch = np.asarray(observations)
        is_one = batch.shape == self.shape
        if not is_one and batch.shape[1:] != self.shape:
            raise NotInSpaceError(
                f"observations must be of shape {self.shape}, or {('B', *self.shape)} for B of them, not {batch.shape}"
            )
        return self._convert.batch(batch[np.newaxis] if is_one else batch), is_one

    def blank(self) -> np.ndarray:
        """One observation ``[1, *shape]`` without content: the first categories, and zeros."""
        blank = np.zeros((1, *self.shape), self.dtype)
        for path, space in self.parts.items():
            blank[path] = getattr(space, "start", 0)
        if not self.parts:
            blank[...] = getattr(self._space, "start", 0)
        return blank

    def _filled(self, parts: list[np.ndarray]) -> np.ndarray:
        packed = np.empty(len(parts[0]), self.dtype)
        for path, part in zip(self.parts, parts, strict=True):
            packed[path] = part
        return packed


class PackedVecEnv(VecEnvWrapper):
    """Environments with a Dict or Tuple space whose observations are packed, by ``ObservationPacking``."""

    def __init__(self, venv: VecEnv):
        super().__init__(venv)
        self.packing = ObservationPacking(venv.observation_space)

    def reset(self) -> np.ndarray:
        return self.packing.pack(self.venv.reset())

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict]]:
        observations, rewards, dones, infos = self.venv.step_wait()
        for env in dones.nonzero()[0].tolist():
            infos[env]["terminal_observation"] = self.packing.pack_one(infos[env]["terminal_observation"])
        return self.packing.pack(observations), rewards, dones, infos

    def reset_one(self, index: int) -> np.ndarray:
        return self.packing.pack_one(self.venv.reset_one(index))

    def set_state(self, state: dict[str, Any], new_episodes: bool = False) -> np.ndarray | None:
        observations = self.venv.set_state(state, new_episodes)
        return None if observations is None else self.packing.pack(observations)

    def reset_task(self) -> np.ndarray:
        return self.packing.pack(self.venv.reset_task())


def packed(envs: VecEnv) -> VecEnv:
    """Environments whose observations are one array: the same ones, or a ``PackedVecEnv`` around them."""
    needs_packing = container_kind(envs.observation_space) and not isinstance(envs, PackedVecEnv)
    return PackedVecEnv(envs) if needs_packing else envs


def numbers_of(observations: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Name and numbers of each part of packed observations; those of another array as they are.

    The name is what messages call the part, such as ``observation["camera"]``.
    """
    if observations.dtype.names is None:
        yield "observation", observations
    else:
        for path in observations.dtype.names:
            yield f'observation["{path}"]', observations[path]
