"""Saved states: the parts of an algorithm's state, how each is read, checked and restored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from paddle_ac.config import RunConfig
from paddle_ac.errors import quoted
from paddle_ac.nn.moments import RunningMoments

REQUIRED = object()
POLICY_FIELDS = ("action_masks", "activation", "network_kwargs")


@dataclass(frozen=True)
class Part:
    """A part of the state that an algorithm saves and resumes from.

    Attributes:
        get: returns the part: nested dictionaries and lists of arrays, numbers and texts.
        set: restores what ``get`` returned.
        check: raises ``ValueError`` for a part that ``set`` does not accept. By default that is a part of another
            structure than ``get`` returns now: other keys, types, lengths, shapes or dtypes.
        missing: value of the part in states that lack it. By default a state must have it.
    """

    get: Callable[[], Any]
    set: Callable[[Any], object]
    check: Callable[[Any], None] | None = None
    missing: Any = REQUIRED


class Component(Protocol):
    """An object with a state, such as a collector, an encoder or a replay buffer."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def component_part(component: Component | None) -> Part:
    """The part of an object, checked by its ``check_state_dict`` if it has one; an empty part without an object."""
    if component is None:
        return constant_part({})
    return Part(component.state_dict, component.load_state_dict, getattr(component, "check_state_dict", None))


def moments_part(moments: RunningMoments) -> Part:
    """The part of running moments that a training starts from; they stay as they are if a state has none."""
    return Part(moments.state_dict, moments.load_state_dict, moments.check_state_dict, moments.state_dict())


def attribute_part(owner: Any, name: str) -> Part:
    """The part of an attribute that is a number or a text."""
    return Part(lambda: getattr(owner, name), lambda value: setattr(owner, name, value))


def arrays_part(arrays: Any) -> Part:
    """The part of an array, or of nested dictionaries of arrays; they are copied, and restored in place."""
    return Part(lambda: _copied(arrays), lambda values: _restore(arrays, values))


def generator_part(generator: np.random.Generator) -> Part:
    """The part of a NumPy generator."""
    bits = generator.bit_generator
    return Part(lambda: bits.state, lambda state: setattr(bits, "state", state), check_generator)


def constant_part(value: Any, check: Callable[[Any], None] | None = None, missing: Any = REQUIRED) -> Part:
    """A part that is saved and checked, but not restored."""
    return Part(lambda: value, lambda _: None, check, missing)


def identity_part(config: RunConfig) -> Part:
    """Algorithm, environment and seed, so that the state of another run is rejected. Version 0.1 saved none."""
    here = {"algo": config.algo, "env": str(config.env), "seed": config.seed}

    def check(there: Any) -> None:
        for name, value in here.items():
            if there.get(name) != value:
                raise ValueError(f"it was saved with {name}={quoted(there.get(name))}, and this is {name}={value!r}")
        problem = different_policy(there, config)
        if problem:
            raise ValueError(problem)

    return constant_part({**here, **policy_identity(config)}, check, missing=here)


def policy_identity(config: RunConfig) -> dict[str, Any]:
    """The hyper-parameters that a policy depends on and that its parameters do not show."""
    return {name: getattr(config, name) for name in POLICY_FIELDS if hasattr(config, name)}


def different_policy(saved: Mapping[str, Any], config: RunConfig, activation: str | None = None) -> str | None:
    """Reason why saved parameters would act differently in a configuration; ``None`` if they would not.

    Args:
        saved: the hyper-parameters that the parameters were saved with.
        config: the configuration.
        activation: that ``activation=None`` stands for.
    """
    defaults = {"activation": activation}
    for name, value in policy_identity(config).items():
        if name not in saved:
            continue
        there, here = (defaults.get(name) if one is None else one for one in (saved[name], value))
        if there != here:
            return f"it was trained with {name}={quoted(there)}, and this is {name}={here!r}"
    return None


def load_parts(parts: Mapping[str, Part], state: Any) -> None:
    """Restore the parts of an algorithm from a saved state, in their order.

    Raises:
        ValueError: a part is missing or does not fit. No part has been restored then, unless its ``set`` has raised
            the error.
    """
    if not isinstance(state, Mapping):
        raise ValueError(f"a state is a dictionary, not {type(state).__name__}")
    values = {key: state.get(key, part.missing) for key, part in parts.items()}
    for key, part in parts.items():
        value = values[key]
        if value is REQUIRED:
            raise ValueError(f"it has no {key!r}")
        expected = part.get()
        if part.check is None:
            check_structure(value, expected, key)
        elif not isinstance(value, type(expected)):
            raise ValueError(f"{key} is {type(value).__name__}, not {type(expected).__name__}")
        else:
            part.check(value)
    for key, part in parts.items():
        part.set(values[key])


def check_generator(state: Any) -> None:
    """Raise ``ValueError`` unless a NumPy generator takes a state."""
    try:
        np.random.PCG64().state = state
    except Exception as error:  # whatever an arbitrary value makes NumPy raise
        raise ValueError(f"generator is no state of one: {error}") from None


def check_structure(found: Any, expected: Any, name: str) -> None:
    """Raise ``ValueError`` unless two nested values have the same keys, types, lengths, shapes and dtypes."""
    if isinstance(expected, np.ndarray):
        if not isinstance(found, np.ndarray):
            raise ValueError(f"{name} is not an array")
        if (found.shape, found.dtype) != (expected.shape, expected.dtype):
            raise ValueError(f"{name} is {found.dtype}{found.shape} there and {expected.dtype}{expected.shape} here")
    elif isinstance(expected, Mapping):
        if not isinstance(found, Mapping):
            raise ValueError(f"{name} is not a dictionary")
        for key in sorted(found.keys() ^ expected.keys()):
            raise ValueError(f"{name}/{key} is absent {'there' if key in expected else 'here'}")
        for key, value in expected.items():
            check_structure(found[key], value, f"{name}/{key}")
    elif isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            raise ValueError(f"{name} is not a list of {len(expected)}")
        for index, value in enumerate(expected):
            check_structure(found[index], value, f"{name}/{index}")
    elif type(found) is not type(expected):
        raise ValueError(f"{name} is {type(found).__name__}, not {type(expected).__name__}")


def _copied(arrays: Any) -> Any:
    if isinstance(arrays, Mapping):
        return {name: _copied(value) for name, value in arrays.items()}
    return arrays.copy()


def _restore(arrays: Any, values: Any) -> None:
    if isinstance(arrays, Mapping):
        for name, value in arrays.items():
            _restore(value, values[name])
    else:
        arrays[...] = values
