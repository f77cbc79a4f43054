"""Command lines: the parser of every command, flags from the fields of a configuration, and readers of values."""

from __future__ import annotations

import argparse
import functools
import math
import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin

from paddle_ac.commands.calling import call_of
from paddle_ac.config import (
    CONFIGS,
    LARGEST,
    LARGEST_SEED,
    RunConfig,
    find_config_class,
    hint_of_other_library,
    nearest,
    read_yaml,
    who_take,
)
from paddle_ac.errors import ConfigError, quoted, shortened
from paddle_ac.files import find_policy_file
from paddle_ac.training.run_folder import base_file, check_path, repeats_file

MAX_DIGITS = 19  # of a whole number
FLAGS = {"wrappers": "--wrapper"}  # given once for each
RUN_OR_FILE = "folder of the run, or a file of agent.save"
METAVARS = {"wrappers": "MODULE:CLASS", "init_from": "RUN|FILE"}


class ArgumentParser(argparse.ArgumentParser):
    """A parser that raises a mistake as ``ConfigError``, in one line with the nearest right flag.

    Args:
        command: its name, for the usage line.
        operands: positional arguments in the usage line.
        options: of argparse.
    """

    def __init__(self, command: str = "", operands: str = "", **options: Any):
        usage = " ".join([call_of(command), operands, "[flags]"] if operands else [call_of(command), "[flags]"])
        super().__init__(
            allow_abbrev=False,
            formatter_class=functools.partial(argparse.RawDescriptionHelpFormatter, max_help_position=28),
            usage=usage.replace("%", "%%"),  # all flags in a row would fill the screen
            **options,
        )
        self.has_hyper_parameters = False

    def error(self, message: str) -> NoReturn:
        flag, _, value = message.partition("ignored explicit argument ")
        raise ConfigError(f"{flag}takes no value, got {shortened(value)}" if value else message)

    def print_help(self, file: Any = None) -> None:
        """Print the help; argparse itself ignores that it cannot be written."""
        print(self.format_help(), end="", file=file)

    def parse(self, arguments: list[str]) -> dict[str, Any]:
        """The flags given, by name with underscores; defaults of hyper-parameters are left to the configuration."""
        flags = {flag for action in self._actions for flag in action.option_strings}
        for argument in arguments:  # first: a misspelt flag may be the one that is said to be missing otherwise
            flag = argument.partition("=")[0]
            if flag.startswith("--") and flag not in flags:
                raise ConfigError(f"unknown argument {shortened(argument)}{self._hint(flag, flags)}")
        namespace, unknown = self.parse_known_intermixed_args(arguments)
        if unknown:
            hint = _flag_of(unknown[0], flags) or "flags begin with --, as in --help"
            raise ConfigError(f"unknown argument {shortened(unknown[0])}: {hint}")
        return vars(namespace)

    def _hint(self, flag: str, flags: set[str]) -> str:
        """End of the error message for an unknown flag: the flag to write instead, or the algorithms that have it."""
        hint = hint_of_other_library(flag, flags)
        if hint:
            return hint
        takers = [algo for algo in CONFIGS if flag in map(as_flag, CONFIGS[algo].model_fields)]
        if self.has_hyper_parameters and takers:
            return f": only {who_take(takers)} {flag}"
        return nearest(flag, flags)

    def add_hyper_parameters(self, config_class: type[RunConfig]) -> None:
        """A flag for every field, in the groups that the fields name."""
        self.has_hyper_parameters = True
        groups: dict[str, Any] = {}
        for name, field in config_class.model_fields.items():
            if not isinstance(field.json_schema_extra, dict):  # algo: it chose this class
                continue
            title = str(field.json_schema_extra["group"])
            group = groups.setdefault(title, None) or self.add_argument_group(title)
            groups[title] = group
            told = "" if field.default in (None, {}, ()) else f" [{_as_typed(field.default)}]"
            group.add_argument(
                as_flag(name),
                dest=name,
                default=argparse.SUPPRESS,
                help=f"{field.description}{told}".replace("%", "%%"),
                **_how_to_read(field.annotation, name),
            )


def _flag_of(value: str, flags: set[str]) -> str:
    """A hint that names the flag which a value without a flag is probably for; empty if there is none."""
    try:
        path = check_path(value)
    except ConfigError:  # no name of a file, and nothing else either
        return ""
    meant = {
        "--resume": (path / "config.yaml").is_file() or repeats_file(path).is_file(),
        "--study-dir": base_file(path).is_file(),
        "--config": path.suffix in (".yaml", ".yml"),
        "--algo": value in CONFIGS,
        "--env": re.fullmatch(r"[\w:./-]+-v\d+|[\w.]+:[\w./-]+", value),
        "--init-from": find_policy_file(path),
    }
    flag = next((flag for flag, is_meant in meant.items() if is_meant and flag in flags), None)
    return f"did you mean {flag} {shlex.quote(value)}?" if flag else ""


def add_algo(parser: ArgumentParser) -> None:
    """Add the flags that choose the algorithm and its hyper-parameters."""
    parser.add_argument("--algo", default=argparse.SUPPRESS, metavar="NAME", help="algorithm, one of those above [a2c]")
    parser.add_argument("--config", metavar="FILE", help="hyper-parameters in YAML; flags override it")


def parse_own_flags(add_flags: Callable[[ArgumentParser], None], arguments: list[str]) -> dict[str, Any]:
    """The flags of a command itself, which decide the algorithm whose hyper-parameters it takes besides."""
    parser = ArgumentParser(add_help=False)
    add_flags(parser)
    return vars(parser.parse_known_args(arguments)[0])


def parse_with_hyper_parameters(
    command: str,
    summary: str,
    algo: str,
    add_flags: Callable[[ArgumentParser], None],
    arguments: list[str],
    examples: str = "",
) -> dict[str, Any]:
    """The flags of a command and the hyper-parameters of an algorithm; see ``ArgumentParser.parse``."""
    config_class = find_config_class(algo)
    description = f"{summary}\n\n{describe_algorithms(algo, call_of(command))}"
    parser = ArgumentParser(command, description=description, epilog=examples)
    add_flags(parser)
    parser.add_hyper_parameters(config_class)
    return parser.parse(arguments)


def choose_algo(flag: str | None, config_file: str | Path | None) -> str:
    """The algorithm that a command line names: by ``--algo``, else in its configuration file, else ``"a2c"``."""
    return flag or (read_yaml(config_file).get("algo") if config_file else None) or "a2c"


def describe_algorithms(algo: str, call: str) -> str:
    """Part of a help text that names the algorithm whose flags follow, with a line for every algorithm."""
    width = max(map(len, CONFIGS))
    lines = [f"  {name:<{width}} {_short_description(CONFIGS[name])}" for name in CONFIGS]
    return f"""\
Each algorithm has its own hyper-parameters.
The flags below are those of {algo};
for those of another one: {call} --algo NAME --help

algorithms:
""" + "\n".join(lines)


def _short_description(config_class: type[RunConfig]) -> str:
    """The first line of the docstring, without sources in brackets."""
    first_line = (config_class.__doc__ or "").strip().partition("\n")[0]
    return re.sub(r" \([^)]*\)", "", first_line).rstrip(".")


def whole_number(at_least: int, at_most: int = LARGEST) -> Callable[[str], int]:
    """Return a reader of a flag's value as a whole number between two limits."""

    def read(text: str) -> int:
        is_number = text.removeprefix("-").isdecimal() and len(text) <= MAX_DIGITS
        if not is_number or not at_least <= int(text) <= at_most:
            limits = f"of at least {at_least}" if at_most == LARGEST else f"from {at_least} to {at_most}"
            raise argparse.ArgumentTypeError(f"must be a whole number {limits}, got {quoted(text)}")
        return int(text)

    return read


def one_of(*choices: str) -> dict[str, Any]:
    """Return the arguments of ``add_argument`` for a flag whose value is one of ``choices``."""

    def read(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(
                f"must be {' or '.join(choices)}, got {quoted(text)}{nearest(text, choices)}"
            )
        return text

    return {"type": read, "metavar": "|".join(choices)}


def seed_list(text: str) -> list[int]:
    """Reads a flag's value as seeds with commas between them, no two the same."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) <= MAX_DIGITS for part in parts):
        raise argparse.ArgumentTypeError(
            f"must be whole numbers with commas between them, as in 0,1,2, got {quoted(text)}"
        )
    seeds = [int(part) for part in parts]
    if max(seeds) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"must be whole numbers from 0 to {LARGEST_SEED}, got {max(seeds)}")
    if len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError(f"names a seed twice: {quoted(text)}")
    return seeds


def positive_number(text: str) -> float:
    """Reads a flag's value as a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {quoted(text)}")
    return number


def existing_folder(text: str) -> str:
    """Reads a flag's value as the name of a folder that is there."""
    path = _as_path(text)
    if not path.is_dir():
        siblings = [str(sibling) for sibling in path.parent.glob("*/")]
        raise argparse.ArgumentTypeError(f"there is no folder {quoted(text)}{nearest(text, siblings)}")
    return text


def _as_path(text: str) -> Path:
    try:
        return check_path(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def file_ending_in(*endings: str) -> Callable[[str], str]:
    """Reads a flag's value as the name of a file to write, in a folder that is there, with one of these endings."""

    def read(text: str) -> str:
        path = _as_path(text)
        if path.suffix.lower() not in endings:
            raise argparse.ArgumentTypeError(f"must end in {' or '.join(endings)}, got {quoted(text)}")
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(f"there is no folder {quoted(str(path.parent))}")
        if not os.access(path.parent, os.W_OK):
            raise argparse.ArgumentTypeError(f"nothing can be written into {quoted(str(path.parent))}")
        if path.is_dir():
            raise argparse.ArgumentTypeError(f"{quoted(text)} is a folder")
        return text

    return read


def add_run(parser: Any, description: str = "folder of the run") -> None:
    """Add the run that a command reads, as a positional argument and, for scripts, as ``--run-dir``."""
    parser.add_argument("run", nargs="?", metavar="RUN", help=description)
    parser.add_argument("--run-dir", metavar="DIR", help="the same as RUN")


def pop_run(flags: dict[str, Any], command: str) -> str:
    """Take the run that ``add_run`` added out of the flags; ``ConfigError`` if none was given, or two were."""
    run, run_dir = flags.pop("run"), flags.pop("run_dir")
    if run is not None and run_dir is not None:
        raise ConfigError(f"RUN {quoted(run)} and --run-dir {quoted(run_dir)} name two runs: leave out one")
    if run is None and run_dir is None:
        raise ConfigError(f"which run? {call_of(command)} RUN, with the folder of a run")
    return run_dir if run is None else run


def find_modules_here() -> None:
    """Let ``module:id`` name a module in the current folder too; the package's own come first.

    This is for environments that the user names, on the command line or in a configuration. A run that is read names
    its environment itself, and may lie in the current folder together with a module of somebody else: its module is
    imported from there with ``--import-here`` alone.
    """
    sys.path.append(os.getcwd())


def add_import_here(parser: Any) -> None:
    """Add the flag of tools that read a run, for runs whose environment is a module in the current folder."""
    parser.add_argument(
        "--import-here",
        action="store_true",
        help="import the module of the run's environment from the current folder: for runs that you trust",
    )


def as_flag(name: str) -> str:
    """The flag of a hyper-parameter."""
    return FLAGS.get(name, f"--{name.replace('_', '-')}")


def _as_typed(default: Any) -> str:
    """A default as the flag would take it, long numbers with underscores."""
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return f"{default:_}" if isinstance(default, int) else str(default)


def _is_optional(annotation: Any) -> bool:
    """Whether a hyper-parameter can be unset; flags of truth values take no value."""
    kinds = get_args(annotation)
    return type(None) in kinds and bool not in kinds


def _none_or_text(text: str) -> str | None:
    """Reads a flag's value; ``none`` unsets the hyper-parameter."""
    return None if text == "none" else text


def _how_to_read(annotation: Any, name: str) -> dict[str, Any]:
    if _is_optional(annotation):
        kind = next(kind for kind in get_args(annotation) if kind is not type(None))
        return {**_how_to_read(kind, name), "type": _none_or_text}
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    if get_origin(annotation) in (Union, UnionType) and len(kinds) == 1:
        annotation = kinds[0]  # no value is a matter of the default alone
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if annotation is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(annotation) is Literal:
        return {"metavar": "|".join(get_args(annotation))}
    if name == "wrappers":
        return {"metavar": METAVARS[name], "action": "append"}
    if get_origin(annotation) is tuple:
        choices = get_args(get_args(annotation)[0]) if get_origin(get_args(annotation)[0]) is Literal else ("N", "N")
        return {"metavar": ",".join(choices)}
    if get_origin(annotation) is dict:
        return {"metavar": "NAME=VALUE", "nargs": "+", "action": "extend"}
    return {"metavar": METAVARS.get(name) or {int: "N", float: "X"}.get(annotation, name.upper())}
