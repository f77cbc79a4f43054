"""The base of agents and of loaded policies: choose actions, save what was learned."""

from __future__ import annotations

import functools
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from multiprocessing_env import container_kind, space_parts
from paddle_ac.action_masks import MaskedPacking, packing_of
from paddle_ac.algorithms.algorithm import Algorithm, Panel, Policy
from paddle_ac.algorithms.policy import POLICY_FORMAT
from paddle_ac.algorithms.saved_policy import SavedPolicy, write_policy
from paddle_ac.algorithms.state import Part, identity_part, load_parts
from paddle_ac.config import RunConfig, explain_arguments, hint_of_call
from paddle_ac.nn.actions import clip_for
from paddle_ac.nn.images import has_unscaled_pixels, is_pixels
from paddle_ac.packing import ObservationPacking, numbers_of
from paddle_ac.process_settings import BlasThreadLimit

AnyAgent = TypeVar("AnyAgent", bound="Agent")


class HasPolicy(Protocol):
    """A policy and the spaces that it is for."""

    @property
    def policy(self) -> Policy: ...

    @property
    def observation_space(self) -> Any: ...

    @property
    def action_space(self) -> Any: ...

    @property
    def packing(self) -> ObservationPacking: ...

    @property
    def config(self) -> Any: ...

    @property
    def env_steps(self) -> int: ...

    def learned_state(self) -> dict[str, Any]: ...


class Predictor:
    """Chooses actions for one observation or for several side by side."""

    @functools.cached_property
    def packing(self: HasPolicy) -> ObservationPacking:
        """Packing of observations into one array."""
        return packing_of(self.observation_space, self.action_space, getattr(self.policy, "has_mask", False))

    def save(self: HasPolicy, path: str | Path) -> Path:
        """Save what was learned, with the configuration and the spaces, in one file for ``paddle_ac.load``.

        The file holds parameters and normalisation, and no optimiser: ``init_from`` starts another training from it. To
        stop a training and resume it exactly, use the run folder of ``paddle_ac.train``.

        Args:
            path: a file, replaced as a whole if it exists; ``.safetensors`` is added to a name without a suffix.

        Returns:
            the path of the file.

        Raises:
            ConfigError: it cannot be written.
        """
        saved = SavedPolicy(
            self.config, self.observation_space, self.action_space, self.env_steps, self.learned_state()
        )
        return write_policy(path, saved)

    if not TYPE_CHECKING:  # a type checker shall know what there is

        def __getattr__(self, name: str) -> Any:
            hint = hint_of_call(name)
            if hint:
                raise AttributeError(f"{type(self).__name__} has no {name}: {hint}")
            return object.__getattribute__(self, name)  # Python's own error

    @explain_arguments
    def predict(
        self: HasPolicy,
        observations: Any,
        state: np.ndarray | None = None,
        generator: np.random.Generator | None = None,
        action_mask: Any = None,
    ) -> Any:
        """Choose actions.

        Args:
            observations: ``[*observation_space.shape]`` or ``[B, *observation_space.shape]``; for a Dict or Tuple
                space a dictionary or tuple of such arrays, nested as the space is.
            state: recurrent state ``[S]`` or ``[B, S]`` float32, from ``initial_state`` at the start of an episode;
                updated in place. Without it every observation counts as the first of an episode.
            generator: draws the actions from the policy; without it they are the most probable ones.
            action_mask: which actions are allowed, ``[A]`` or ``[B, A]``, for a policy with action masks; all by
                default. The masks of a MultiDiscrete space are concatenated.

        Returns:
            an action ``[*action_space.shape]``, or actions ``[B, *action_space.shape]``, in the dtype of the action
            space; actions of a Box are clipped to its bounds.

        Raises:
            ValueError: observations of another shape or structure, outside the observation space or not finite, or a
                state of another shape or dtype.
            TypeError: observations of another kind of numbers, such as floats for a space of integers, or a tuple
                ``(observation, info)``.
        """
        has_info = isinstance(observations, tuple) and observations and isinstance(observations[-1], dict)
        if has_info and container_kind(self.observation_space) != "Tuple":
            raise TypeError("observations are a tuple with a dictionary: of (observation, info), pass the observation")
        if isinstance(self.packing, MaskedPacking):
            batch, is_one = self.packing.pack_with_masks(observations, action_mask)
        elif action_mask is not None:
            raise ValueError("action_mask is for policies that were made with action_masks=True")
        else:
            batch, is_one = self.packing.pack_any(observations)
        rows = (() if is_one else (len(batch),)) + (self.policy.state_size,)
        if state is not None and (np.shape(state) != rows or getattr(state, "dtype", None) != np.float32):
            raise ValueError(f"state must be a float32 array of shape {rows}, as initial_state gives it, not {state!r}")
        if is_one and state is not None:
            state = state[np.newaxis]
        if not all(np.isfinite(numbers).all() for _, numbers in numbers_of(batch)):
            raise ValueError("observations must be finite, and hold a NaN or an infinity")
        actions = clip_for(self.action_space)(self.policy.act(batch, generator, state))
        actions = actions.astype(self.action_space.dtype, copy=False)
        return actions[0] if is_one else actions

    def initial_state(self: HasPolicy, num_envs: int | None = None) -> np.ndarray:
        """Recurrent state at the start of an episode: zeros ``[S]``, or ``[num_envs, S]``, float32.

        S is 0 for a policy that is not recurrent. Write zeros to the row of an environment when its episode starts.
        """
        return np.zeros((() if num_envs is None else (num_envs,)) + (self.policy.state_size,), np.float32)


def warn_about_images(algorithm: Algorithm) -> None:
    """Warn, in one line each, of images that go through dense layers and of pixels that nothing scales."""
    space = algorithm.observation_space
    encode = algorithm.policy.encode
    if getattr(algorithm.policy, "is_custom", False):
        return
    parts = space_parts(space)
    for path, part in parts.items() or [("", space)]:
        if has_unscaled_pixels(part) and encode.moments is None:
            logging.getLogger(__name__).warning(
                "%s: %s images up to 255 are not scaled; return them as uint8, or divide them by 255",
                f"observation[{path!r}]" if path else "observations",
                part.dtype,
            )
    shapes = [part.shape for path, part in parts.items() if path in encode.parts and _is_image(part)]
    if encode.has_features and _is_image(space):
        shapes = [space.shape]
    if not shapes:
        return
    layers, _ = algorithm.layers()
    parameters = {id(parameter): parameter for layer in layers.values() for parameter in layer.parameters()}
    count = sum(math.prod(parameter.shape) for parameter in parameters.values())
    logging.getLogger(__name__).warning(
        "observations are images of shape %s: the networks have dense layers only, %s parameters in all, and seldom "
        "learn from images",
        ", ".join(map(str, shapes)),
        f"{count:,}",
    )


def _is_image(space: Any) -> bool:
    return is_pixels(space) and len(space.shape) >= 2


class TrainedPolicy(Predictor):
    """A policy that was loaded from a run or from a file of ``agent.save``.

    Args:
        policy: the network; ``policy(observations)`` are its outputs, ``policy.parameters()`` Paddle's.
        observation_space: of the run's environment.
        action_space: of the run's environment.
        env_steps: steps of single environments that it was trained for.
        config: hyper-parameters that it was trained with.
    """

    def __init__(self, policy: Policy, observation_space: Any, action_space: Any, env_steps: int, config: RunConfig):
        self.config = config
        self.policy = policy
        self.observation_space = observation_space
        self.action_space = action_space
        self.env_steps = env_steps

    def learned_state(self) -> dict[str, Any]:
        """Return the parameters and the normalisation of the policy."""
        policy = self.policy
        learned = {"parameters": policy.parameter_arrays(), "encoder": policy.encode.state_dict()}
        return {"format": POLICY_FORMAT, **learned}


class Agent(Predictor, ABC):
    """A policy that learns. The end of a ``with`` closes it, its environments and its processes.

    From its creation until ``close``, NumPy's matrix products use ``config.num_threads`` threads in this process. The
    limit holds for all code of the process; ``close`` restores the earlier setting.

    Args:
        config: hyper-parameters.

    Attributes:
        should_stop: called during a long ``update``, which returns without an update if it returns true.
        metric_tags: tags of metrics that not every algorithm has.
        panels: panels of these metrics in the picture of a run.
    """

    metric_tags: tuple[str, ...] = ()
    panels: tuple[Panel, ...] = ()

    def __init__(self, config: Any):
        self.config = config
        self.should_stop: Callable[[], bool] = lambda: False
        self._thread_limit = BlasThreadLimit(config.num_threads)

    def evaluating(self) -> AbstractContextManager[None]:
        """A context that does nothing; see ``Algorithm.evaluating``."""
        return nullcontext()

    @abstractmethod
    def close(self) -> None:
        """End every process, close every environment, and restore the threads of matrix products."""
        self._thread_limit.release()

    def saved_parts(self) -> dict[str, Part]:
        """The parts of ``state_dict`` by key, in the order in which they are restored; a subclass adds its own."""
        return {"identity": identity_part(self.config)}

    def state_dict(self) -> dict[str, Any]:
        """Return all that resuming needs; see ``Algorithm.state_dict``."""
        return {key: part.get() for key, part in self.saved_parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a state that ``state_dict`` returned.

        Raises:
            ValueError: the state is of another network, optimiser, seed or environment, of an incompatible version, or
                damaged. The agent has not changed then.
        """
        load_parts(self.saved_parts(), state)

    @abstractmethod
    def learned_parts(self) -> dict[str, Part]:
        """The parts that another training can start from: parameters and normalisation."""

    def learned_state(self) -> dict[str, Any]:
        """Return what another training can start from; see ``Algorithm.learned_state``."""
        return {key: part.get() for key, part in self.learned_parts().items()}

    def load_learned_state(self, state: dict[str, Any]) -> None:
        """Start from what an agent has learned; see ``Algorithm.load_learned_state``."""
        load_parts(self.learned_parts(), state)

    def find_unrepeatable(self, max_steps: int) -> str | None:
        """``None``: no running episode is restored. See ``Algorithm.find_unrepeatable``."""
        return None

    def __enter__(self: AnyAgent) -> AnyAgent:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
