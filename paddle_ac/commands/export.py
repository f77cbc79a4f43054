"""``export``: write a policy for other programs."""

from __future__ import annotations

from typing import Any

from paddle_ac.commands.arguments import (
    RUN_OR_FILE,
    ArgumentParser,
    add_import_here,
    add_run,
    find_modules_here,
    one_of,
    pop_run,
)
from paddle_ac.commands.exit_codes import exit_codes
from paddle_ac.commands.report import origin_of
from paddle_ac.commands.terminal import show
from paddle_ac.process import imports_contained


def main(arguments: list[str]) -> None:
    """Run the command."""
    with exit_codes():
        flags = _parse(arguments)
        if flags["import_here"]:
            find_modules_here()
        with imports_contained():
            from paddle_ac.training.export import export_run

        result = export_run(flags["run"], flags["format"], flags["checkpoint"], flags["output"])
        show(f"{origin_of(result, flags['run'])}, after {result['env_steps']:,} training steps")
        print("\n".join(f"  {file}" for file in result["files"]))
        show(f"inputs:  {', '.join(result['inputs'])}")
        show(f"outputs: {', '.join(result['outputs'])}")
        show(
            f"largest difference from the policy on {result['observations']:,} observations: "
            f"{result['largest_difference']:.1e}"
        )


def _parse(arguments: list[str]) -> dict[str, Any]:
    parser = ArgumentParser("export", "RUN", description="Write a policy for other programs.")
    add_run(parser, RUN_OR_FILE)
    parser.add_argument(
        "--format",
        **one_of("paddle", "onnx", "pdparams"),
        default="paddle",
        help="for Paddle Inference, for ONNX runtimes, or parameters for set_state_dict [paddle]",
    )
    parser.add_argument("--checkpoint", **one_of("best", "latest"), help="which policy of a run [best]")
    parser.add_argument(
        "--output",
        metavar="PATH",
        help="of the files, without the endings of their names [RUN/export/model, or the file's own name]",
    )
    add_import_here(parser)
    flags = parser.parse(arguments)
    return {**flags, "run": pop_run(flags, "export")}
