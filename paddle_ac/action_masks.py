"""Action masks: which actions of a Discrete or MultiDiscrete space an environment allows in a state.

An environment with masks has observations of a Dict space: ``observation``, its own, and ``action_mask``. So a mask
travels with its observation through workers, rollouts and replays, and networks set the probabilities of the other
actions to 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Dict, MultiBinary

from multiprocessing_env import NotInSpaceError, space_kind
from paddle_ac.errors import ConfigError
from paddle_ac.packing import ObservationPacking

OBSERVATION = "observation"
MASK = "action_mask"
MASKED_LOGIT = np.float32(-1e9)  # exp of it is 0, and so is its product with the logarithm


def choice_sizes(action_space: Any) -> list[int]:
    """Actions of each choice of a Discrete or MultiDiscrete space, whose masks lie side by side.

    Raises:
        ConfigError: another space.
    """
    kind = space_kind(action_space)
    if kind not in ("Discrete", "MultiDiscrete"):
        raise ConfigError(f"action masks are for Discrete and MultiDiscrete action spaces, not for {action_space}")
    return [int(action_space.n)] if kind == "Discrete" else np.ravel(action_space.nvec).tolist()


def space_with_mask(observation_space: Any, action_space: Any) -> Dict:
    """The Dict space of observations with masks."""
    return Dict({OBSERVATION: observation_space, MASK: MultiBinary(sum(choice_sizes(action_space)))})


def has_masks(observation_space: Any) -> bool:
    """Whether observations are those of ``space_with_mask``."""
    return space_kind(observation_space) == "Dict" and set(observation_space.keys()) == {OBSERVATION, MASK}


def check_mask(mask: Any, sizes: list[int]) -> np.ndarray:
    """A mask ``[sum(sizes)]`` int8 that allows an action of every choice.

    Args:
        mask: ``[sum(sizes)]`` of bool, or of integers 0 and 1; or a list with a mask for each choice.
        sizes: actions of each choice.

    Raises:
        NotInSpaceError: anything else.
    """
    try:
        parts = [np.ravel(part) for part in mask] if isinstance(mask, (list, tuple)) else [np.asarray(mask)]
        flat = np.concatenate(parts)
    except ValueError:
        raise NotInSpaceError(f"{MASK} must be of shape ({sum(sizes)},), not {mask!r}") from None
    if flat.shape != (sum(sizes),):
        raise NotInSpaceError(f"{MASK} must be of shape ({sum(sizes)},), one entry for each action, not {flat.shape}")
    if not np.isin(flat, (0, 1)).all():
        raise NotInSpaceError(f"{MASK} must be bool, or 0 and 1, not {flat}")
    flat = flat.astype(np.int8)
    for index, part in enumerate(np.split(flat, np.cumsum(sizes)[:-1])):
        if not part.any():
            of_choice = f" of choice {index}" if len(sizes) > 1 else ""
            raise NotInSpaceError(f"{MASK} must allow at least one action{of_choice}, and allows none")
    return flat


class MaskedPacking(ObservationPacking):
    """Packs observations of an environment together with their action masks.

    Args:
        space: as ``space_with_mask`` returned it.
    """

    def __init__(self, space: Any):
        super().__init__(space)
        self._own = ObservationPacking(space[OBSERVATION])
        self._mask_size = space[MASK].shape[0]

    def pack_with_masks(self, observations: Any, masks: Any) -> tuple[np.ndarray, bool]:
        """Check and pack one observation or B of them with their masks.

        Args:
            observations: as ``pack_any`` takes them, of the environment's own space.
            masks: ``[A]`` or ``[B, A]``; ``None`` allows all actions.

        Returns:
            packed observations ``[B]``, and whether it was one, ``B`` then being 1.

        Raises:
            NotInSpaceError: observations that do not belong to their space, or masks of another shape.
        """
        batch, is_one = self._own.pack_any(observations)
        shape = (self._mask_size,) if is_one else (len(batch), self._mask_size)
        allowed = np.ones(shape, np.int8) if masks is None else np.asarray(masks)
        if allowed.shape != shape:
            raise NotInSpaceError(f"action_mask must be of shape {shape}, not {allowed.shape}")
        packed = np.zeros(len(batch), self.dtype)
        packed[MASK] = allowed
        if batch.dtype.names is None:
            packed[OBSERVATION] = batch
        for name in batch.dtype.names or ():
            packed[f"{OBSERVATION}/{name}"] = batch[name]
        return packed, is_one


def packing_of(space: Any, has_mask: bool) -> ObservationPacking:
    """The packing of an observation space, with masks or without."""
    return MaskedPacking(space) if has_mask else ObservationPacking(space)


def sample_allowed(action_space: Any, masks: np.ndarray) -> np.ndarray:
    """Draw allowed actions ``[N, *action_space.shape]`` uniformly, from masks ``[N, A]`` and the space's generator."""
    ends = np.cumsum(choice_sizes(action_space))[:-1]
    draw = action_space.np_random.choice
    rows = [[draw(np.flatnonzero(part)) for part in np.split(mask, ends)] for mask in masks]
    return np.array(rows, action_space.dtype).reshape(len(masks), *action_space.shape)


def mask_outputs(outputs: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Logits ``[B, A]`` with those of masked actions at ``MASKED_LOGIT``; ``masks`` is ``[B, A]``."""
    return np.where(masks != 0, outputs, MASKED_LOGIT)
