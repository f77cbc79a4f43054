"""The commands: ``paddle-ac NAME``, ``python -m paddle_ac NAME`` and ``python tools/NAME.py``.

Each module has a ``main(arguments)``, which ends the process with the exit code of a failure.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from paddle_ac.process import start_command

COMMANDS = {
    "train": "train an agent, or resume a run",
    "evaluate": "evaluate a trained policy, or watch it",
    "tune": "search hyper-parameters",
    "plot": "draw the learning curves of runs in one picture",
    "export": "write a policy for other programs",
    "dashboard": "show runs in VisualDL",
    "benchmark": "time an update, part by part",
}


def run_command(name: str, arguments: Sequence[str] | None = None) -> None:
    """Run a command in a process of its own: call it first, before other imports.

    Args:
        name: one of ``COMMANDS``.
        arguments: of the command; those of the process by default.
    """
    start_command()
    importlib.import_module(f"paddle_ac.commands.{name}").main(list(sys.argv[1:] if arguments is None else arguments))
