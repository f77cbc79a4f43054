"""YAML files of plain data: mappings, lists, texts, numbers, booleans and null, of a limited size.

PyYAML's safe loader runs no code, but it knows more tags than a configuration needs, raises other exceptions than its
own for some of them, lets a few hundred bytes of aliases stand for gigabytes, and keeps the last of two values of one
name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from paddle_ac.errors import ConfigError, quoted, shortened

MAX_BYTES = 100_000
MAX_NODES = 10_000  # values in a file, with aliases replaced by what they stand for
MAX_DEPTH = 20
MAX_DIGITS = 100

_STANDARD = "tag:yaml.org,2002:"
_MERGE = f"{_STANDARD}merge"  # of the name `<<`
_TAGS = {
    yaml.ScalarNode: {_STANDARD + name for name in ("null", "bool", "int", "float", "str")},
    yaml.SequenceNode: {f"{_STANDARD}seq"},
    yaml.MappingNode: {f"{_STANDARD}map"},
}


def read_plain_yaml(path: Path) -> Any:
    """Read a YAML file of plain data.

    Raises:
        ConfigError: the file is larger than ``MAX_BYTES``, is not UTF-8 or not YAML, gives a name twice, has a tag
            that is none of plain data, is nested deeper than ``MAX_DEPTH`` or holds more than ``MAX_NODES`` values.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path} is no configuration: it has more than {MAX_BYTES:,} bytes")
    return parse_plain_yaml(content, str(path))


def parse_plain_yaml(content: bytes, name: str) -> Any:
    """Parse plain data in YAML; ``ConfigError``, which calls it ``name``, for all that ``read_plain_yaml`` rejects."""
    try:
        return yaml.load(content.decode("utf-8"), _PlainLoader)
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        problem = f"{place}{shortened(str(error.problem or error.context))}"
    except RecursionError:
        problem = "it is nested too deeply"
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a number such as 0x_
        problem = shortened(str(error))
    raise ConfigError(f"{name} cannot be read as YAML: {problem}")


class _PlainLoader(yaml.SafeLoader):
    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            self._num_nodes = 0
            self._check(node, 1)
        return node

    def _check(self, node: yaml.Node, depth: int) -> None:
        """Walk a value with its aliases expanded: one that contains itself is too deep, an alias bomb too large."""
        self._num_nodes += 1
        if depth > MAX_DEPTH:
            raise _problem(node, f"nested more than {MAX_DEPTH} levels deep")
        if self._num_nodes > MAX_NODES:
            raise _problem(node, f"more than {MAX_NODES:,} values")
        if node.tag not in _TAGS[type(node)]:
            raise _problem(node, f"tag {_short(node.tag)} is none of plain data (a text goes in quotes)")
        if isinstance(node, yaml.ScalarNode):
            self._check_scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._check(item, depth + 1)
        else:
            names: set[str] = set()
            for name, value in node.value:
                if not isinstance(name, yaml.ScalarNode):
                    raise _problem(name, "a name must be a text")
                if name.value in names:
                    raise _problem(name, f"{quoted(name.value)} is given twice")
                names.add(name.value)
                if name.tag != _MERGE:
                    self._check(name, depth + 1)
                self._check(value, depth + 1)

    def _check_scalar(self, node: yaml.ScalarNode) -> None:
        tag, wanted = node.tag, self.resolve(yaml.ScalarNode, node.value, (True, False))
        if tag == f"{_STANDARD}str":
            return
        if tag != wanted and (tag, wanted) != (f"{_STANDARD}float", f"{_STANDARD}int"):
            raise _problem(node, f"{quoted(node.value)} is no {_short(tag)}")
        if len(node.value) > MAX_DIGITS:
            raise _problem(node, f"a number of {len(node.value):,} characters")


def _problem(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _short(tag: str) -> str:
    return quoted(tag.replace(_STANDARD, "!!", 1))
