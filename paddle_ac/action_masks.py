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
from paddle_ac.errors import ConfigError, quoted
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
    if kind not in ("Discrete", "MultiDiscrete") or np.any(getattr(action_space, "start", 0)):
        raise ConfigError(
            f"action masks are for Discrete and MultiDiscrete action spaces that begin at 0, not for {action_space}"
        )
    return [int(action_space.n)] if kind == "Discrete" else np.ravel(action_space.nvec).tolist()


def space_with_mask(observation_space: Any, action_space: Any) -> Dict:
    """The Dict space of observations with masks."""
    return Dict({OBSERVATION: observation_space, MASK: MultiBinary(sum(choice_sizes(action_space)))})


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
        raise NotInSpaceError(f"{MASK} must be of shape ({sum(sizes)},), not {quoted(mask)}") from None
    if flat.shape != (sum(sizes),):
        raise NotInSpaceError(f"{MASK} must be of shape ({sum(sizes)},), one entry for each action, not {flat.shape}")
    if flat.dtype.kind not in "biuf" or not np.isin(flat, (0, 1)).all():
        raise NotInSpaceError(f"{MASK} must be bool, or 0 and 1, not {quoted(flat.tolist())}")
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
        action_space: of the environment.
    """

    def __init__(self, space: Any, action_space: Any):
        super().__init__(space)
        self._own = ObservationPacking(space[OBSERVATION])
        self._sizes = choice_sizes(action_space)

    def pack_with_masks(self, observations: Any, masks: Any) -> tuple[np.ndarray, bool]:
        """Check and pack one observation or B of them with their masks.

        Args:
            observations: as ``pack_any`` takes them, of the environment's own space.
            masks: ``[A]`` or ``[B, A]``, each as ``check_mask`` takes it; ``None`` allows all actions.

        Returns:
            packed observations ``[B]``, and whether it was one, ``B`` then being 1.

        Raises:
            NotInSpaceError: observations that do not belong to their space, masks of another shape or with other values
                than 0 and 1, or a choice without an allowed action.
        """
        batch, is_one = self._own.pack_any(observations)
        packed = np.zeros(len(batch), self.dtype)
        if masks is None:
            packed[MASK] = 1
        else:
            rows = [masks] if is_one else masks
            if len(rows) != len(batch):
                raise NotInSpaceError(f"there are {len(batch)} observations, and {len(rows)} rows of {MASK}")
            packed[MASK] = [check_mask(row, self._sizes) for row in rows]
        if batch.dtype.names is None:
            packed[OBSERVATION] = batch
        for name in batch.dtype.names or ():
            packed[f"{OBSERVATION}/{name}"] = batch[name]
        return packed, is_one


def packing_of(space: Any, action_space: Any, has_mask: bool) -> ObservationPacking:
    """The packing of an observation space, with masks or without."""
    return MaskedPacking(space, action_space) if has_mask else ObservationPacking(space)


def sample_allowed(action_space: Any, masks: np.ndarray) -> np.ndarray:
    """Draw allowed actions ``[N, *action_space.shape]`` uniformly, from masks ``[N, A]`` and the space's generator."""
    ends = np.cumsum(choice_sizes(action_space))[:-1]
    draw = action_space.np_random.choice
    rows = [[draw(np.flatnonzero(part)) for part in np.split(mask, ends)] for mask in masks]
    return np.array(rows, action_space.dtype).reshape(len(masks), *action_space.shape)


def mask_outputs(outputs: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Logits ``[B, A]`` with those of masked actions at ``MASKED_LOGIT``; ``masks`` is ``[B, A]``."""
    return np.where(masks != 0, outputs, MASKED_LOGIT)
