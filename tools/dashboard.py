"""Look at runs in VisualDL: `python tools/dashboard.py runs`.

It serves the curves, pictures and hyper-parameters of every run below a folder,
on a free port that is printed, until Ctrl-C.
"""

from __future__ import annotations

from paddle_ac.process import start_command

if __name__ == "__main__":
    start_command()

import sys
from typing import Any

from paddle_ac.command_line import ArgumentParser, existing_folder, exit_codes
from paddle_ac.training.dashboard import Dashboard


def main(arguments: list[str]) -> None:
    with exit_codes(), Dashboard(_parse(arguments)["folder"]) as dashboard:
        print(f"VisualDL: {dashboard.address} until Ctrl-C", flush=True)
        dashboard.stay()


def _parse(arguments: list[str]) -> dict[str, Any]:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder",
        nargs="?",
        type=existing_folder,
        default="runs",
        metavar="DIR",
        help="of a run, or with runs below it [runs]",
    )
    return parser.parse(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
