"""What a command prints at its end: what came of it, where everything lies, and what is worth typing next."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

EVALUATIONS_EXPLAINED = """\
evaluation at the end: mean return of the policy that the run ended with, in
    episodes that nothing was chosen by
best evaluation: the highest mean return on the way, in other episodes, the same
    each time; it chooses the best checkpoint"""


def as_duration(seconds: float) -> str:
    """``"8.2 s"``, ``"3 min 20 s"`` or ``"2 h 5 min"``."""
    if seconds < 0.05:
        return "less than 0.1 s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def report_run(summary: dict[str, Any]) -> str:
    """The end of ``tools/train.py``.

    Args:
        summary: of ``train``.
    """
    is_interrupted = summary["stopped_by"] == "interrupt"
    lines = [
        f"{'interrupted after' if is_interrupted else 'trained for'} {summary['env_steps']:,} steps, "
        f"{summary['episodes']:,} episode{'s' * (summary['episodes'] != 1)}{_time_of(summary)}"
    ]
    for name, label in (("mean_return_last_100", "last 100 episodes"), ("eval_mean_return", "evaluation at the end")):
        if summary[name] is not None:
            lines.append(f"mean return, {label}: {summary[name]:.1f}")
    folder = shlex.quote(summary["run_dir"])
    here = _import_here(summary)
    go_on = f"  go on:     {_command('train')} --resume {folder}{here}"
    evaluate = f"  evaluate:  {_command('evaluate')} --run-dir {folder}{_which(summary)}{here} --episodes 100"
    export = f"  export:    {_command('export')} --run-dir {folder}{_which(summary)}{here} --format paddle"
    watch = f"  watch:     {_command('evaluate')} --run-dir {folder}{_which(summary)}{here} --record episode.gif"
    curves = f"  curves:    {_command('dashboard')} {folder}"
    lines.append(f"everything of this run lies in {folder}")
    if is_interrupted:
        commands = [go_on, evaluate, curves]
    else:
        commands = [evaluate, watch if summary["has_pictures"] else export, curves]
    return "\n".join(lines + commands)


def _time_of(summary: dict[str, Any]) -> str:
    """How long it was trained for: less than has passed, which is told."""
    if not summary["train_seconds"]:  # a single update of workers, whose start is left out
        return ""
    told = f" in {as_duration(summary['train_seconds'])}"
    if summary["asynchronous"]:
        return f"{told}, the start of the workers left out"
    return told if summary["best_eval_mean_return"] is None else f"{told}, evaluations left out"


def _command(tool: str) -> str:
    """What runs another tool: it lies beside the one that is running, wherever that was called from."""
    return f"python {shlex.quote(Path(sys.argv[0]).with_name(f'{tool}.py').as_posix())}"


def _import_here(summary: dict[str, Any]) -> str:
    """The flag for modules of a run that lie in the current folder; a tool that reads a run asks for it."""
    places = [summary["env"], summary["network"] or ""]
    modules = [place.rpartition(":")[0].partition(".")[0] for place in places]
    is_here = any(Path(f"{module}.py").is_file() or Path(module).is_dir() for module in modules if module)
    return " --import-here" if is_here else ""


def _which(summary: dict[str, Any]) -> str:
    """The flag that it takes where no evaluation has chosen a best policy yet."""
    return " --checkpoint latest" if summary["best_eval_mean_return"] is None else ""


def report_repeats(summary: dict[str, Any]) -> str:
    """The end of ``tools/train.py --seeds``: a row for each run, and the figures over all.

    Args:
        summary: of ``train_repeats``.
    """
    titles = f"{'evaluation at the end':>23}{'best evaluation':>17}{'steps/s':>10}{'steps':>12}"
    lines = [f"{'seed':>5}{titles}  trained for"]
    for run in summary["runs"]:
        if run["stopped_by"] is None:
            told = "not begun" if run["env_steps"] is None else "not gone on with"
        elif run["stopped_by"] == "error":
            told = f"failed: {first_and_last_line(run['error'])}"
        else:
            told = as_duration(run["train_seconds"]) + (", interrupted" if run["stopped_by"] == "interrupt" else "")
        cells = (_cell(run["eval_mean_return"]), _cell(run["best_eval_mean_return"]))
        speed = _cell(run["steps_per_second"], ",.0f")
        lines.append(
            f"{run['seed']:>5}{cells[0]:>23}{cells[1]:>17}{speed:>10}{_cell(run['env_steps'], ','):>12}  {told}"
        )
    if summary["aggregate"]:
        final, best, speed = (
            summary["aggregate"][name] for name in ("eval_mean_return", "best_eval_mean_return", "steps_per_second")
        )
        for name in ("mean", "std", "min"):
            lines.append(f"{name:>5}{final[name]:>23.1f}{best[name]:>17.1f}{speed[name]:>10,.0f}")
        lines.append(EVALUATIONS_EXPLAINED)
    folder = shlex.quote(summary["run_dir"])
    ended = [run for run in summary["runs"] if run["eval_mean_return"] is not None]
    lines.append(f"everything of these runs lies in {folder}, the figures in summary.json")
    if ended:
        best_run = max(ended, key=lambda run: run["eval_mean_return"])
        chosen = f"--run-dir {shlex.quote(best_run['run_dir'])}{_which(best_run)}{_import_here(summary)}"
        lines.append(f"  evaluate:  {_command('evaluate')} {chosen} --episodes 100")
    if any(run["env_steps"] for run in summary["runs"]):
        lines.append(f"  picture:   {_command('plot')} {folder}")
        lines.append(f"  curves:    {_command('dashboard')} {folder}")
    if summary["stopped_by"] != "total_steps":
        lines.append(f"  go on:     {_command('train')} --resume {folder}{_import_here(summary)}")
    return "\n".join(lines)


def report_study(result: dict[str, Any]) -> str:
    """The end of ``tools/tune.py``.

    Args:
        result: of ``tune``.
    """
    trials, best, folder = result["trials"], result["best"], shlex.quote(result["study_dir"])
    counts = f"{trials['complete']:,} complete, {trials['pruned']:,} given up, {trials['failed']:,} failed"
    lines = [f"{'interrupted with' if result['stopped_by'] == 'interrupt' else 'trials:'} {counts}"]
    if best is None:
        lines.append("no trial has come to its end")
    else:
        lines.append(f"best: trial {best['number']}, mean return {best['mean_return']:.1f} in {best['run_dir']}")
        lines += [f"  {name:<24}{_short(value)}" for name, value in best["params"].items()]
    lines.append(f"everything of this study lies in {folder}")
    if best is not None:
        lines.append(f"  try it:    {_command('train')} --config {folder}/best.yaml --seeds 0,1,2,3,4")
    lines.append(f"  compare:   {_command('dashboard')} {folder}")
    num_trials = result["num_trials"] if result["stopped_by"] == "interrupt" else 2 * sum(trials.values())
    lines.append(f"  go on:     {_command('tune')} --study-dir {folder} --trials {num_trials}{_import_here(result)}")
    return "\n".join(lines)


def first_and_last_line(error: str) -> str:
    """Of an error that comes with a traceback, what failed and, from the last line, why."""
    lines = error.strip().splitlines()
    return lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1]}"


def _short(value: Any) -> str:
    return format(value, ".4g") if isinstance(value, float) else str(value)


def _cell(value: float | None, style: str = ".1f") -> str:
    return "" if value is None else format(value, style)
