"""Learning curves in one picture: `python tools/plot.py runs/cartpole-*`.

Runs that differ in their seed alone are one line, their mean, with a band: a
95 % bootstrap over the runs, at each point by itself, which of few runs is too
narrow (of two or three it goes from the lowest to the highest). The mean ends
where the first of its runs does. A run that ends early is left out where
another of the same configuration and seed went further.
"""

from __future__ import annotations

from paddle_ac.process import imports_contained, start_command

if __name__ == "__main__":
    start_command()

import sys
from typing import Any

from paddle_ac.command_line import ArgumentParser, exit_codes, file_ending_in, one_of, show_log, whole_number


def main(arguments: list[str]) -> None:
    with exit_codes():
        flags = _parse(arguments)
        show_log()
        with imports_contained():  # after the checks: Matplotlib takes a while
            from paddle_ac.training.plotting import X_AXES, plot_runs

        x_axes = tuple(X_AXES) if flags["x"] == "both" else (flags["x"],)
        plot_runs(flags["runs"], flags["output"], x_axes, flags["metric"], flags["smooth"])
        print(f"curves: {flags['output']}")


def _parse(arguments: list[str]) -> dict[str, Any]:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder, or one with runs somewhere below it")
    parser.add_argument("--x", **one_of("steps", "seconds", "both"), default="both", help="what curves run over [both]")
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
    parser.add_argument(
        "--output",
        type=file_ending_in(".png", ".svg"),
        default="curves.png",
        metavar="FILE",
        help="the picture, .png or .svg [curves.png]",
    )
    return parser.parse(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
