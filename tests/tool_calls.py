"""Commands run in the process of the test."""

from __future__ import annotations

import runpy

from tests.paths import TOOLS


def run_main(capsys, tool: str, *arguments: str) -> tuple[int, str, str]:
    main = runpy.run_path(str(TOOLS / tool))["main"]
    code = 0
    try:
        main(list(arguments))
    except SystemExit as ended:
        code = ended.code or 0
    captured = capsys.readouterr()
    return code, captured.out, captured.err
