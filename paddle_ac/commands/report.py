"""The last lines of a command: the results, the folder that holds them, and the commands to type next."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paddle_ac.commands.calling import call_of
from paddle_ac.training.wording import as_duration, as_return, first_and_last_line

EVALUATIONS_EXPLAINED = """\
evaluation at the end: mean return of the final policy, in episodes that were
    not used to choose a checkpoint
best evaluation: highest mean return during training, in other episodes, the
    same each time; it chooses the best checkpoint"""


def report_run(summary: dict[str, Any]) -> str:
    """The last lines of ``train``.

    Args:
        summary: of ``train``.
    """
    is_interrupted = summary["stopped_by"] == "interrupt"
    how = {"interrupt": "interrupted after", "target_return": "reached --stop-at-return after"}
    lines = [
        f"{how.get(summary['stopped_by'], 'trained for')} {summary['env_steps']:,} steps, "
        f"{summary['episodes']:,} episode{'s' * (summary['episodes'] != 1)}{_time_of(summary)}"
    ]
    for name, label in (("mean_return_last_100", "last 100 episodes"), ("eval_mean_return", "evaluation at the end")):
        if summary[name] is not None:
            lines.append(f"mean return, {label}: {as_return(summary[name])}")
    folder = shlex.quote(summary["run_dir"])
    here = _import_here(summary)
    resume = f"  resume:    {call_of('train')} --resume {folder}{here}"
    evaluate = f"  evaluate:  {call_of('evaluate')} {folder}{_which(summary)}{here} --episodes 100"
    export = f"  export:    {call_of('export')} {folder}{_which(summary)}{here} --format paddle"
    watch = f"  watch:     {call_of('evaluate')} {folder}{_which(summary)}{here} --record episode.gif"
    curves = f"  curves:    {call_of('dashboard')} {folder}"
    lines.append(f"run folder: {folder}")
    if is_interrupted:
        commands = [resume, evaluate, curves]
    else:
        commands = [evaluate, watch if summary["has_pictures"] else export, curves]
    return "\n".join(lines + commands)


def origin_of(result: dict[str, Any], path: str) -> str:
    """Origin of the policy that was read: the checkpoint and the folder of a run, else the file."""
    return f"{result['checkpoint']} checkpoint of {result['run_dir']}" if "run_dir" in result else path


def _time_of(summary: dict[str, Any]) -> str:
    """The training time, and which parts of the elapsed time it leaves out."""
    if not summary["train_seconds"]:  # a single update of workers, whose start is left out
        return ""
    duration = f" in {as_duration(summary['train_seconds'])}"
    if summary["asynchronous"]:
        return f"{duration}, without the start of the workers"
    return duration if summary["best_eval_mean_return"] is None else f"{duration}, without evaluations"


def _import_here(summary: dict[str, Any]) -> str:
    """The flag for modules of a run that lie in the current folder; a tool that reads a run asks for it."""
    places = [summary["env"], summary["network"] or "", *summary["wrappers"]]
    modules = [place.partition("(")[0].rpartition(":")[0].partition(".")[0] for place in places]
    is_here = any(Path(f"{module}.py").is_file() or Path(module).is_dir() for module in modules if module)
    return " --import-here" if is_here else ""


def _which(summary: dict[str, Any]) -> str:
    """The flag that it takes where no evaluation has chosen a best policy yet."""
    return " --checkpoint latest" if summary["best_eval_mean_return"] is None else ""


def report_repeats(summary: dict[str, Any]) -> str:
    """The last lines of ``train --seeds``: a row for each run, and the figures over all.

    Args:
        summary: of ``train_repeats``.
    """
    titles = f"{'evaluation at the end':>23}{'best evaluation':>17}{'steps/s':>10}{'steps':>12}"
    lines = [f"{'seed':>5}{titles}  trained for"]
    for run in summary["runs"]:
        if run["stopped_by"] is None:
            status = "not started" if run["env_steps"] is None else "not resumed"
        elif run["stopped_by"] == "error":
            status = f"failed: {first_and_last_line(run['error'])}"
        else:
            status = as_duration(run["train_seconds"]) + (", interrupted" if run["stopped_by"] == "interrupt" else "")
        cells = [_cell(run[name], as_return) for name in ("eval_mean_return", "best_eval_mean_return")]
        speed, steps = _cell(run["steps_per_second"], "{:,.0f}".format), _cell(run["env_steps"], "{:,}".format)
        lines.append(f"{run['seed']:>5}{cells[0]:>23}{cells[1]:>17}{speed:>10}{steps:>12}  {status}")
    if summary["aggregate"]:
        final, best, speed = (
            summary["aggregate"][name] for name in ("eval_mean_return", "best_eval_mean_return", "steps_per_second")
        )
        for name in ("mean", "std", "min"):
            lines.append(f"{name:>5}{as_return(final[name]):>23}{as_return(best[name]):>17}{speed[name]:>10,.0f}")
        lines.append(EVALUATIONS_EXPLAINED)
    folder = shlex.quote(summary["run_dir"])
    ended = [run for run in summary["runs"] if run["eval_mean_return"] is not None]
    lines.append(f"folder of the runs: {folder}, with all figures in summary.json")
    if ended:
        best_run = max(ended, key=lambda run: run["eval_mean_return"])
        chosen = f"{shlex.quote(best_run['run_dir'])}{_which(best_run)}{_import_here(summary)}"
        lines.append(f"  evaluate:  {call_of('evaluate')} {chosen} --episodes 100")
    if any(run["env_steps"] for run in summary["runs"]):
        lines.append(f"  picture:   {call_of('plot')} {folder}")
        lines.append(f"  curves:    {call_of('dashboard')} {folder}")
    if summary["stopped_by"] != "total_steps":
        lines.append(f"  resume:    {call_of('train')} --resume {folder}{_import_here(summary)}")
    return "\n".join(lines)


def report_study(result: dict[str, Any]) -> str:
    """The last lines of ``tune``.

    Args:
        result: of ``tune``.
    """
    trials, best, folder = result["trials"], result["best"], shlex.quote(result["study_dir"])
    counts = f"{trials['complete']:,} complete, {trials['pruned']:,} pruned, {trials['failed']:,} failed"
    lines = [f"{'interrupted with' if result['stopped_by'] == 'interrupt' else 'trials:'} {counts}"]
    if best is None:
        lines.append("no trial is complete")
    else:
        lines.append(f"best: trial {best['number']}, mean return {as_return(best['mean_return'])} in {best['run_dir']}")
        lines += [f"  {name:<24}{_short(value)}" for name, value in best["params"].items()]
    lines.append(f"study folder: {folder}")
    if best is not None:
        lines.append(f"  try it:    {call_of('train')} --config {folder}/best.yaml --seeds 0,1,2,3,4")
    lines.append(f"  compare:   {call_of('dashboard')} {folder}")
    num_trials = result["num_trials"] if result["stopped_by"] == "interrupt" else 2 * sum(trials.values())
    lines.append(f"  resume:    {call_of('tune')} --study-dir {folder} --trials {num_trials}{_import_here(result)}")
    return "\n".join(lines)


def _short(value: Any) -> str:
    return format(value, ".4g") if isinstance(value, float) else str(value)


def _cell(value: Any, write: Callable[[Any], str]) -> str:
    return "" if value is None else write(value)
