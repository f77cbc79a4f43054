"""Declaration of a hyper-parameter: its group, default, range and help, and the types that texts are read into."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Gt, Le
from pydantic import BeforeValidator, Field

from paddle_ac.errors import quoted
from paddle_ac.plain_yaml import parse_plain_yaml

LARGEST = 2**63 - 1  # of a whole number: what VisualDL and NumPy store
LARGEST_SEED = 2**31 - 1  # old environments take no more than 31 bits


def _split_commas(value: Any) -> Any:
    """``"64,64"`` as the command line gives it, into parts; 64 is one of them, an empty text none."""
    if isinstance(value, str):
        return [part for part in value.split(",") if part.strip()]
    return [value] if isinstance(value, int) else value


def _read_arguments(value: Any) -> Any:
    """``["name=value", ...]`` as the command line gives them, or a mapping, into plain data that YAML can hold."""
    if value is None:  # a line `env_kwargs:` without anything
        return {}
    if isinstance(value, (list, tuple)):
        pairs = [text.partition("=") if isinstance(text, str) else ("", "", "") for text in value]
        names = [name for name, _, _ in pairs]
        for text, (name, equals, _) in zip(value, pairs, strict=True):
            if not (name.isidentifier() and equals):
                raise ValueError(f"{quoted(text)} is not name=value, such as gravity=9.8")
            if names.count(name) > 1:
                raise ValueError(f"names {name} twice")
        value = {name: parse_plain_yaml(text.encode(), f"the value of {name}") for name, _, text in pairs}
    if not isinstance(value, Mapping):
        raise ValueError("must be a mapping of names to values")
    for name in value:
        if not (isinstance(name, str) and name.isidentifier()):
            raise ValueError(f"must have the names of arguments, not {quoted(name)}")
    return {name: _as_plain_data(value[name], name) for name in value}


def _as_plain_data(value: Any, name: str) -> Any:
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)  # a number, which YAML reads as a text where it has no point or no sign
    for kind in (bool, int, float, str):  # NumPy's float64 is a float that YAML does not know
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, (list, tuple)):
        return [_as_plain_data(part, name) for part in value]
    if isinstance(value, Mapping):
        return {str(key): _as_plain_data(part, name) for key, part in value.items()}
    if value is not None:
        raise ValueError(
            f"{name} must be made of numbers, texts, lists and mappings, which a run folder can hold; a function or "
            "class that sets other arguments itself can be passed instead"
        )
    return None


def _as_place(value: Any) -> Any:
    """A class as ``"module:Class"``."""
    if not isinstance(value, type):
        if not isinstance(value, str) or not re.fullmatch(r"[\w.]+:[\w.]+", value):
            raise ValueError("must be module:Class, or the class itself in Python")
        return value
    if "<locals>" in value.__qualname__:
        raise ValueError(f"{value.__name__} must be a class of a module or script, not one inside a function")
    return f"{value.__module__}:{value.__qualname__}"


def parse_wrapper(text: str) -> tuple[str, dict[str, Any]]:
    """Split ``module:Class`` or ``module:Class(name=value, ...)`` into its place and the arguments by name.

    Raises:
        ValueError: another form, or a value that is not a Python literal.
    """
    match = re.fullmatch(r"([\w.]+:\w+)(?:\((.*)\))?", text.strip(), re.DOTALL)
    if match is None:
        raise ValueError(f"{quoted(text)} is not module:Class or module:Class(name=value)")
    try:
        call = ast.parse(f"wrapper({match[2] or ''})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("it has no names")
        arguments = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}
        if len(arguments) < len(call.keywords):
            raise ValueError("a name is missing")
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise ValueError(
            f"the arguments of {quoted(text)} must be literals by name, as in module:Class(factor=2, name='x')"
        ) from None
    return match[1], arguments


def _as_wrapper(value: Any) -> str:
    """A wrapper as ``"module:Class(name=value)"``."""
    if isinstance(value, str):
        parse_wrapper(value)
        return value.strip()
    arguments: dict[str, Any] = {}
    if isinstance(value, functools.partial):
        if value.args:
            raise ValueError(f"{quoted(value)} must take its arguments by name")
        value, arguments = value.func, value.keywords
    name = getattr(value, "__qualname__", "")
    if not callable(value) or not re.fullmatch(r"\w+", name):
        raise ValueError(
            f"{quoted(value)} must be a class or function at the top level of a module or script, or module:Class; "
            "functools.partial(Class, name=value) gives it arguments"
        )
    text = f"{value.__module__}:{name}"
    if arguments:
        text += f"({', '.join(f'{name}={argument!r}' for name, argument in arguments.items())})"
    parse_wrapper(text)
    return text


def _read_wrappers(value: Any) -> Any:
    """One wrapper or several, each a text, a class, a function or a ``functools.partial`` of these."""
    if value is None:  # a line `wrappers:` without anything
        return ()
    if isinstance(value, str) or callable(value):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise ValueError("must be a list of module:Class")
    return tuple(map(_as_wrapper, value))


def _read_names(value: Any) -> Any:
    return tuple(dict.fromkeys(_split_commas(value))) if isinstance(value, (str, list, tuple)) else value


def _as_device(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"cpu|xpu|gpu(:[0-9]{1,3})?", value):
        raise ValueError("must be cpu, gpu, gpu:N or xpu")
    return value


def _as_path_text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


PathText = Annotated[str, BeforeValidator(_as_path_text)]
NetworkPlace = Annotated[str, BeforeValidator(_as_place), Field(max_length=200)]
Device = Annotated[str, BeforeValidator(_as_device)]
Wrappers = Annotated[tuple[str, ...], BeforeValidator(_read_wrappers), Field(max_length=100)]
Writers = Annotated[tuple[Literal["tensorboard", "wandb"], ...], BeforeValidator(_read_names)]
Arguments = Annotated[dict[str, Any], BeforeValidator(_read_arguments)]
Units = Annotated[int, Gt(0), Le(65_536)]
LayerSizes = Annotated[tuple[Units, ...], BeforeValidator(_split_commas), Field(max_length=100)]


def field(
    group: str, default: Any, description: str, changeable: bool = False, search: Any = None, **constraints: Any
) -> Any:
    """A hyper-parameter.

    Args:
        group: where ``--help`` shows it: ``"run"``, ``"evaluation and logging"``, ``"algorithm"``, ``"network"`` or
            ``"optimizer"``.
        default: its value where none is given.
        description: what it means, and where the default comes from.
        changeable: whether ``--resume`` may change it.
        search: what ``tools/tune.py`` searches by default: a list of choices, or ``low`` and ``high``, with ``log`` to
            search magnitudes rather than values; ``None`` to leave the hyper-parameter as it is.
        constraints: as pydantic's ``Field`` takes them: ``ge``, ``gt``, ``le``, ``lt``.
    """
    return Field(
        default,
        description=description,
        json_schema_extra={"group": group, "changeable": changeable, "search": search},
        **constraints,
    )
