"""The words that a user types to start a command, this one or another one beside it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def call_of(command: str) -> str:
    """The words that start a command in the way this process was started.

    ``"paddle-ac evaluate"``, ``"python -m paddle_ac evaluate"`` or ``"python tools/evaluate.py"``, with the folder of
    the script as it was typed.
    """
    script = Path(sys.argv[0])
    if script.name == "__main__.py":
        return f"python -m paddle_ac {command}"
    if script.suffix == ".py":
        return f"python {shlex.quote(script.with_name(f'{command}.py').as_posix())}"
    found = shutil.which(script.name)
    is_on_path = found is not None and os.path.realpath(found) == os.path.realpath(script)
    return f"{script.name if is_on_path else shlex.quote(script.as_posix())} {command}"
