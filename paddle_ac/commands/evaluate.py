"""``evaluate``: evaluate a trained policy, or watch it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from paddle_ac.commands.arguments import (
    RUN_OR_FILE,
    ArgumentParser,
    add_import_here,
    add_run,
    file_ending_in,
    find_modules_here,
    one_of,
    pop_run,
    whole_number,
)
from paddle_ac.commands.exit_codes import exit_codes
from paddle_ac.commands.report import origin_of
from paddle_ac.commands.terminal import show
from paddle_ac.config import LARGEST_SEED
from paddle_ac.process import imports_contained
from paddle_ac.training.wording import as_return

DESCRIPTION = """\
Evaluate a trained policy, or watch it.

With --record or --render it plays one episode, or as many as --episodes says,
one after another.
"""


def main(arguments: list[str]) -> None:
    """Run the command."""
    with exit_codes():
        flags = _parse(arguments)
        if flags["import_here"]:
            find_modules_here()
        watched = flags["render"] or flags["record"]
        episodes = flags["episodes"] or (1 if watched else 100)
        chosen = flags["run"], flags["checkpoint"], episodes, flags["seed"], flags["sampled"]
        with imports_contained():
            from paddle_ac.training.evaluate import evaluate_run
            from paddle_ac.training.recording import watch_run
        result = watch_run(flags["record"], *chosen) if watched else evaluate_run(*chosen)
        if flags["json"]:
            print(json.dumps(result, indent=2))
            return
        actions = "sampled" if result["sampled"] else "greedy"
        show(f"{origin_of(result, flags['run'])}, after {result['env_steps']:,} training steps")
        show(f"{episodes:,} episode{'s' * (episodes > 1)} of {result['env']}, {actions} actions")
        if episodes == 1:
            show(f"return {as_return(result['mean_return'], 2)}")
        else:
            mean, std, low, high = (as_return(result[f"{name}_return"], 2) for name in ("mean", "std", "min", "max"))
            show(f"mean return {mean} +/- {std} (standard deviation)")
            show(f"from {low} to {high}")
        if flags["record"]:
            show(f"recorded in {flags['record']}")


def _parse(arguments: list[str]) -> dict[str, Any]:
    parser = ArgumentParser("evaluate", "RUN", description=DESCRIPTION)
    policy = parser.add_argument_group("policy")
    add_run(policy, RUN_OR_FILE)
    policy.add_argument("--checkpoint", **one_of("best", "latest"), help="which policy of a run [best]")
    policy.add_argument(
        "--sampled",
        action=argparse.BooleanOptionalAction,
        help="draw the actions, rather than take the most probable [as the run's evaluations]",
    )
    add_import_here(policy)
    played = parser.add_argument_group("episodes")
    played.add_argument("--episodes", type=whole_number(1), metavar="M", help="how many [100]; to watch [1]")
    played.add_argument(
        "--seed", type=whole_number(0, LARGEST_SEED), metavar="S", help="of the environments [the run's seed]"
    )
    shown = parser.add_argument_group("output")
    watch = shown.add_mutually_exclusive_group()
    watch.add_argument(
        "--record", type=file_ending_in(".gif", ".mp4"), metavar="FILE", help="record the episodes in a .gif or .mp4"
    )
    watch.add_argument("--render", action="store_true", help="show the episodes in a window")
    shown.add_argument("--json", action="store_true", help="print the result as JSON")
    flags = parser.parse(arguments)
    return {**flags, "run": pop_run(flags, "evaluate")}
