"""Write a policy for other programs: `python tools/export.py --run-dir runs/...`."""

from __future__ import annotations

from paddle_ac.process import imports_contained, start_command

if __name__ == "__main__":
    start_command()

import sys
from typing import Any

from paddle_ac.command_line import ArgumentParser, add_import_here, exit_codes, find_modules_here, one_of


def main(arguments: list[str]) -> None:
    with exit_codes():
        flags = _parse(arguments)
        if flags["import_here"]:
            find_modules_here()
        with imports_contained():
            from paddle_ac.training.export import export_run

        result = export_run(flags["run_dir"], flags["format"], flags["checkpoint"], flags["output"])
        print(f"{result['checkpoint']} checkpoint of {result['run_dir']}, after {result['env_steps']:,} training steps")
        print("\n".join(f"  {file}" for file in result["files"]))
        print(f"inputs:  {', '.join(result['inputs'])}")
        print(f"outputs: {', '.join(result['outputs'])}")
        print(
            f"largest difference from the policy on {result['observations']:,} observations: "
            f"{result['largest_difference']:.1e}"
        )


def _parse(arguments: list[str]) -> dict[str, Any]:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", metavar="DIR", required=True, help="folder of the run")
    parser.add_argument(
        "--format",
        **one_of("paddle", "onnx", "pdparams"),
        default="paddle",
        help="for Paddle Inference, for ONNX runtimes, or parameters for set_state_dict [paddle]",
    )
    parser.add_argument("--checkpoint", **one_of("best", "latest"), default="best", help="which of its policies [best]")
    parser.add_argument(
        "--output", metavar="PATH", help="of the files, without the endings of their names [DIR/export/model]"
    )
    add_import_here(parser)
    return parser.parse(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
