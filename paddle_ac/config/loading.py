"""Configurations from values, YAML files and the folders of runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from paddle_ac.config.base import RunConfig
from paddle_ac.config.messages import check_names, nearest
from paddle_ac.errors import ConfigError, quoted, reason_of, shortened
from paddle_ac.files import write_atomically
from paddle_ac.plain_yaml import read_plain_yaml
from paddle_ac.registry import CONFIGS

_PACKAGE = Path(__file__).parents[1]
# A wheel holds the configurations in the package; a clone has them beside it.
CONFIGS_FOLDER = (_PACKAGE if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent) / "configs"


def find_config_class(algo: Any) -> type[RunConfig]:
    """The hyper-parameters of an algorithm; ``ConfigError`` if there is no such algorithm."""
    if algo is None:
        raise ConfigError(f"no algorithm is given (algo=None); known: {', '.join(CONFIGS)}")
    if not isinstance(algo, str) or algo not in CONFIGS:
        raise ConfigError(f"unknown algorithm {quoted(algo)}{nearest(algo, CONFIGS)}; known: {', '.join(CONFIGS)}")
    return CONFIGS[algo]


def make_config(values: dict[str, Any]) -> RunConfig:
    """The checked configuration of the algorithm named by ``values["algo"]``.

    Args:
        values: hyper-parameters by name; texts are converted (``"8"``, ``"64,64"``, ``"1e-3"``).

    Raises:
        ConfigError: an unknown algorithm or name (with the nearest right one), a wrong type, a value out of range.
    """
    config_class = find_config_class(values.get("algo"))
    check_names(values, config_class)  # first: names in a YAML file may be numbers, which are no keywords
    return config_class(**values)


def change_config(config: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """The configuration with some values replaced, checked as ``make_config`` checks a new one."""
    return make_config({**config.model_dump(), **changes})


def change_on_resume(config: RunConfig, changes: Mapping[str, Any], run_dir: str | Path) -> RunConfig:
    """The configuration that a run resumes with.

    Raises:
        ConfigError: a wrong value, or a change of what is not in ``changeable_on_resume``.
    """
    changed = change_config(config, changes)
    for name, value in changed:
        before = getattr(config, name)
        if value != before and name not in config.changeable_on_resume:
            there = f"{run_dir} has {quoted(before)}, not {quoted(value)}"
            changeable = ", ".join(sorted(config.changeable_on_resume))
            raise ConfigError(f"{name} cannot change on resume: {there}; what may change: {changeable}")
    return changed


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read the hyper-parameters in a YAML file of plain data.

    Args:
        path: a file; or ``configs/NAME.yaml``, which is also found in the package where the current folder has none.

    Raises:
        ConfigError: no such file (with the nearest that is there), not a mapping of names to values, or not plain data
            as ``read_plain_yaml`` takes it.
    """
    path = Path(path)
    folders = [path.parent, CONFIGS_FOLDER] if path.parent == Path("configs") else [path.parent]
    try:
        found = next((folder / path.name for folder in folders if (folder / path.name).exists()), path)
        values = read_plain_yaml(found)
    except OSError as error:
        others = [str(path.parent / other.name) for folder in folders for other in folder.glob(f"*{path.suffix}")]
        hint = nearest(str(path), others) if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(f"cannot read configuration {shortened(str(path))}: {reason_of(error)}{hint}") from None
    except UnicodeEncodeError:
        raise ConfigError(f"cannot read configuration {quoted(str(path))}: no file has such a name") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not a configuration: it must hold lines of `name: value`")
    return values


def read_config(path: str | Path) -> RunConfig:
    """Read a complete configuration, as ``write_yaml`` wrote it; ``ConfigError`` names the file."""
    values = read_yaml(path)
    try:
        if "encoder" not in values and "encoder" in find_config_class(values.get("algo")).model_fields:
            values["encoder"] = "mlp"  # of runs from before there were encoders, which flattened images
        return make_config(values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def write_yaml(config: RunConfig, path: str | Path) -> None:
    """Write the complete configuration, so that ``--config`` runs it again."""
    write_atomically(path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).encode())
