"""``plot``: draw the learning curves of runs in one picture."""

from __future__ import annotations

from typing import Any

from paddle_ac.commands.arguments import ArgumentParser, file_ending_in, one_of, whole_number
from paddle_ac.commands.exit_codes import exit_codes, show_log
from paddle_ac.process import imports_contained

DESCRIPTION = """\
Draw the learning curves of runs in one picture.

Runs that differ only in their seed are one line, their mean, with a band: the
95 % bootstrap interval of the mean at each point (for two or three runs the
lowest and the highest, since so few give no interval). The mean ends where the
first of its runs ends. A run that ended early is left out if another one of the
same configuration and seed went further.
"""


def main(arguments: list[str]) -> None:
    """Run the command."""
    with exit_codes():
        flags = _parse(arguments)
        show_log()
        with imports_contained():  # after the checks: Matplotlib takes a while
            from paddle_ac.training.plotting import X_AXES, plot_runs

        x_axes = tuple(X_AXES) if flags["x"] == "both" else (flags["x"],)
        plot_runs(flags["runs"], flags["output"], x_axes, flags["metric"], flags["smooth"], flags["mix_envs"])
        print(f"curves: {flags['output']}")


def _parse(arguments: list[str]) -> dict[str, Any]:
    parser = ArgumentParser("plot", "RUN...", description=DESCRIPTION)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder, or one with runs somewhere below it")
    parser.add_argument("--x", **one_of("steps", "seconds", "both"), default="both", help="x axis [both]")
    parser.add_argument(
        "--metric",
        default="charts/episode_return",
        metavar="COLUMN",
        help="a column of the runs' progress.csv [charts/episode_return]",
    )
    parser.add_argument(
        "--smooth",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="show the mean of each run's last N points in place of a point [1]",
    )
    parser.add_argument("--mix-envs", action="store_true", help="draw runs of different environments on the same axis")
    parser.add_argument(
        "--output",
        type=file_ending_in(".png", ".svg"),
        default="curves.png",
        metavar="FILE",
        help="the picture, .png or .svg [curves.png]",
    )
    return parser.parse(arguments)
