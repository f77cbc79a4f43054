"""Commands run in the process of the test."""

from __future__ import annotations

import importlib


def run_main(capsys, tool: str, *arguments: str) -> tuple[int, str, str]:
    """The exit code, output and errors of ``tools/TOOL``."""
    main = importlib.import_module(f"paddle_ac.commands.{tool.removesuffix('.py')}").main
    code = 0
    try:
        main(list(arguments))
    except SystemExit as ended:
        code = ended.code or 0
    captured = capsys.readouterr()
    return code, captured.out, captured.err
