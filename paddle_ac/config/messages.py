"""Mistakes in a configuration, in one line each."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from paddle_ac.config.hints import hint_of_other_library
from paddle_ac.errors import MAX_QUOTED, ConfigError, quoted, shortened
from paddle_ac.registry import CONFIGS

MAX_PROBLEMS = 5  # that an error message names


def nearest(name: Any, known: Iterable[str]) -> str:
    """``" (did you mean 'gamma'?)"``, or nothing when no known name is near."""
    text = name[:MAX_QUOTED] if isinstance(name, str) else quoted(name)
    bare = {known_name.strip("-").lower(): known_name for known_name in known}  # dashes alone are no likeness
    matches = [bare[match] for match in difflib.get_close_matches(text.strip("-").lower(), bare, n=1)]
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def who_take(takers: list[str]) -> str:
    """``"a3c takes"``, or ``"a2c, paac take"``."""
    return f"{', '.join(takers)} take{'s' * (len(takers) == 1)}"


def describe_problems(error: ValidationError) -> str:
    """Describe what is wrong with the values of a configuration, in one line, ``MAX_PROBLEMS`` mistakes at most."""
    problems = error.errors()
    more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
    return "; ".join(map(_one_line, problems[:MAX_PROBLEMS])) + more


def check_names(names: Iterable[Any], config_class: type[BaseModel]) -> None:
    """Raise ``ConfigError`` for a name that a configuration does not have, with who has it or the nearest right one."""
    for name in names:
        if name not in config_class.model_fields:
            takers = [algo for algo in CONFIGS if name in CONFIGS[algo].model_fields]
            hint = hint_of_other_library(name, config_class.model_fields) if isinstance(name, str) else ""
            hint = hint or (f": only {who_take(takers)} it" if takers else nearest(name, config_class.model_fields))
            algo = config_class.model_fields["algo"].default
            raise ConfigError(f"unknown hyper-parameter {quoted(name)} of {algo}{hint}")


def _one_line(problem: Any) -> str:
    place = str(problem["loc"][0]) if problem["loc"] else ""  # of a part of hidden_sizes, the name is enough
    message = _message(problem)
    if problem["type"] == "string_too_short":
        message = "must not be empty"
    choices = re.findall(r"'(\w+)'", message) if problem["type"] == "literal_error" else []
    hint = nearest(problem["input"], choices)
    return f"{place}: {message}, got {quoted(problem['input'])}{hint}" if place else message


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong with a nested value, with its place, as ``best/env_steps: must be ...``."""
    problem = error.errors()[0]
    place = "/".join(str(part) for part in problem["loc"])
    got = "" if problem["type"] in ("missing", "value_error") else f", got {quoted(problem['input'])}"
    return f"{f'{shortened(place)}: ' if place else ''}{_message(problem)}{got}"


def _message(problem: Any) -> str:
    return re.sub(r"^(Input|String|Tuple) should ", "must ", problem["msg"].removeprefix("Value error, "))
