"""Errors that a user reads as one line, and how a value is quoted in them."""

from __future__ import annotations

import errno
import reprlib
from pathlib import Path
from typing import Any

MAX_QUOTED = 200  # characters

_SHORT = reprlib.Repr()
_SHORT.maxlevel = 4
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = _SHORT.maxfrozenset = _SHORT.maxdeque = 20
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = MAX_QUOTED


def quoted(value: Any) -> str:
    """``repr(value)`` for an error message, cut to ``MAX_QUOTED`` characters.

    Nested values are cut while they are printed, so that a value that shares its parts many times costs no more.
    """
    try:
        return shortened(_SHORT.repr(value))
    except ValueError:  # an int of thousands of digits, which Python does not print
        return f"a number of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"


def shortened(text: str) -> str:
    """A text from elsewhere for an error message: on one line and cut to ``MAX_QUOTED`` characters."""
    text = " ".join(text.split())
    return text if len(text) <= MAX_QUOTED else f"{text[: MAX_QUOTED - 3]}..."


class ConfigError(ValueError):
    """A hyper-parameter, environment, file or folder that cannot be used."""


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, or of another network or environment."""


class NonFiniteError(ArithmeticError):
    """A NaN or an infinity that ends a training; the message names the place where it was found."""


class RankError(RuntimeError):
    """A rank of a synchronous training that failed, ended or is stuck; the message names it.

    Args:
        message: the error.
        exit_code: of the command that ends with it.
    """

    def __init__(self, message: str, exit_code: int = 1):
        super().__init__(message)
        self.exit_code = exit_code


class ExportError(ArithmeticError):
    """An exported model that does not compute what its policy does."""


def reason_of(error: OSError) -> str:
    """The reason of an error of the operating system, with the remedy where there is one."""
    reason = error.strerror or str(error)
    if error.errno == errno.EMFILE:
        return f"{reason}: allow more with `ulimit -n`, or start fewer processes"
    return reason


def needs(feature: str, *packages: str) -> str:
    """Error message for a feature that lacks packages.

    It names the packages rather than an extra, which only a clone installs.
    """
    return f"{feature} needs {' and '.join(packages)}: pip install {' '.join(packages)}"


def with_hint(message: str, hint: str) -> str:
    """A message and its hint, without the full stop that would stand between them."""
    return f"{message.removesuffix('.')}{hint}" if hint else message


def hint_of_main(module_name: str) -> str:
    """Hint to move a class of ``__main__`` that is not found to a module, to end an error message; else empty."""
    if module_name != "__main__":
        return ""
    return (
        "; it was defined in a script or notebook, which other programs do not run: move it to a module, such as "
        "my_module.py, and write my_module:Name in its place, in config.yaml too"
    )


def hint_of_module_here(name: str, error: ImportError) -> str:
    """Hint at ``--import-here`` for a module in the current folder, to end an error message; else empty.

    The current folder is not searched for a run that is read.
    """
    top = name.partition(".")[0]
    if error.name != top or not (Path(f"{top}.py").is_file() or Path(top).is_dir()):
        return ""
    return f"; {top} in the current folder is imported with --import-here, for a run that you trust"
