"""``dashboard``: show runs in VisualDL."""

from __future__ import annotations

from typing import Any

from paddle_ac.commands.arguments import ArgumentParser, existing_folder, whole_number
from paddle_ac.commands.exit_codes import exit_codes
from paddle_ac.training.dashboard import HOST, Dashboard

DESCRIPTION = """\
Show runs in VisualDL.

It serves the curves, pictures and hyper-parameters of every run below a folder,
at an address that is printed, until Ctrl-C. By default only this machine can
reach it; with --host 0.0.0.0 every machine of the network can read the runs.
"""


def main(arguments: list[str]) -> None:
    """Run the command."""
    with exit_codes():
        flags = _parse(arguments)
        with Dashboard(flags["folder"], flags["host"], flags["port"]) as dashboard:
            print(f"VisualDL: {dashboard.address} until Ctrl-C", flush=True)
            dashboard.stay()


def _parse(arguments: list[str]) -> dict[str, Any]:
    parser = ArgumentParser("dashboard", "[DIR]", description=DESCRIPTION)
    parser.add_argument(
        "folder",
        nargs="?",
        type=existing_folder,
        default="runs",
        metavar="DIR",
        help="folder of a run, or with runs below it [runs]",
    )
    parser.add_argument("--host", default=HOST, metavar="ADDRESS", help=f"address to listen at [{HOST}]")
    parser.add_argument(
        "--port", type=whole_number(0, 65_535), default=0, metavar="N", help="port to listen at [a free one]"
    )
    return parser.parse(arguments)
