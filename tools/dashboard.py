"""Look at runs in VisualDL: `python tools/dashboard.py runs`.

It serves the curves, pictures and hyper-parameters of every run below a folder,
at an address that is printed, until Ctrl-C. By default only this machine
reaches it; with --host 0.0.0.0 every machine of the network can read the runs.
"""

from __future__ import annotations

from paddle_ac.process import start_command

if __name__ == "__main__":
    start_command()

import sys
from typing import Any

from paddle_ac.command_line import ArgumentParser, existing_folder, exit_codes, whole_number
from paddle_ac.training.dashboard import HOST, Dashboard


def main(arguments: list[str]) -> None:
    with exit_codes():
        flags = _parse(arguments)
        with Dashboard(flags["folder"], flags["host"], flags["port"]) as dashboard:
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
    parser.add_argument("--host", default=HOST, metavar="ADDRESS", help=f"address to listen at [{HOST}]")
    parser.add_argument(
        "--port", type=whole_number(0, 65_535), default=0, metavar="N", help="port to listen at [a free one]"
    )
    return parser.parse(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
