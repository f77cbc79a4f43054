"""Lines that read well in a terminal: wrapped at its width. Everywhere else, a line stays one line."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import textwrap
from typing import Any

from paddle_ac.training.progress import is_terminal

# A label and a command to type, as in "  evaluate:  paddle-ac evaluate RUN": the command begins after the label.
_COMMAND = re.compile(r"  [\w ]+: +(?=\S*(paddle-ac|python) )")
_WORDS = re.compile(r"(?:'[^']*'|\S)+")  # with what shlex.quote puts into quotes


def show(text: str) -> None:
    """Print lines of a command's result."""
    print(fit(text, sys.stdout))


def fit(text: str, stream: Any) -> str:
    """Wrap the lines of a text that are wider than the terminal behind a stream.

    Prose is wrapped between words. A command is wrapped with a backslash at the end of a line, so that it can be copied
    as a whole; Windows, whose shells take none, gets it in one line.
    """
    if not is_terminal(stream):
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(_wrap(line, width) if len(line) > width else line for line in text.split("\n"))


def _wrap(line: str, width: int) -> str:
    label = _COMMAND.match(line)
    if label is None:
        options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
        return textwrap.fill(line, width, subsequent_indent="    ", **options)
    if os.name == "nt":
        return line
    first, *words = _WORDS.findall(line[label.end() :])
    lines = [label[0] + first]
    for word in words:
        if len(f"{lines[-1]} {word} \\") <= width:
            lines[-1] += f" {word}"
        else:
            lines[-1] += " \\"
            lines.append(" " * label.end() + word)
    return "\n".join(lines)


class FittedLog(logging.Formatter):
    """Log messages that fit the terminal behind the standard output."""

    def format(self, record: logging.LogRecord) -> str:
        return fit(super().format(record), sys.stdout)
