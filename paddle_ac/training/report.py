"""What a command prints at its end: what came of it, where everything lies, and what is worth typing next."""

from __future__ import annotations

import shlex
from typing import Any


def as_duration(seconds: float) -> str:
    """``"8.2 s"``, ``"3 min 20 s"`` or ``"2 h 5 min"``."""
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
        f"{summary['episodes']:,} episodes in {as_duration(summary['train_seconds'])}"
    ]
    for name, label in (("mean_return_last_100", "last 100 episodes"), ("eval_mean_return", "evaluation at the end")):
        if summary[name] is not None:
            lines.append(f"mean return, {label}: {summary[name]:.1f}")
    folder = shlex.quote(summary["run_dir"])
    go_on = f"  go on:     python tools/train.py --resume {folder}"
    evaluate = f"  evaluate:  python tools/evaluate.py --run-dir {folder}{_which(summary)} --episodes 100"
    watch = f"  watch:     python tools/evaluate.py --run-dir {folder}{_which(summary)} --record episode.gif"
    curves = f"  curves:    python tools/dashboard.py {folder}"
    lines.append(f"everything of this run lies in {folder}")
    return "\n".join(lines + ([go_on, evaluate, curves] if is_interrupted else [evaluate, watch, curves]))


def _which(summary: dict[str, Any]) -> str:
    """The flag that it takes where no evaluation has chosen a best policy yet."""
    return " --checkpoint latest" if summary["best_eval_mean_return"] is None else ""


def report_repeats(summary: dict[str, Any]) -> str:
    """The end of ``tools/train.py --seeds``: a row for each run, and the figures over all.

    Args:
        summary: of ``train_repeats``.
    """
    lines = [f"{'seed':>6}{'final return':>16}{'best evaluation':>17}{'steps/s':>12}{'steps':>14}   trained for"]
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
            f"{run['seed']:>6}{cells[0]:>16}{cells[1]:>17}{speed:>12}{_cell(run['env_steps'], ','):>14}   {told}"
        )
    if summary["aggregate"]:
        final, best, speed = (
            summary["aggregate"][name] for name in ("eval_mean_return", "best_eval_mean_return", "steps_per_second")
        )
        for name in ("mean", "std", "min"):
            lines.append(f"{name:>6}{final[name]:>16.1f}{best[name]:>17.1f}{speed[name]:>12,.0f}")
    folder = shlex.quote(summary["run_dir"])
    ended = [run for run in summary["runs"] if run["eval_mean_return"] is not None]
    lines.append(f"everything of these runs lies in {folder}, the figures in summary.json")
    if ended:
        best_run = max(ended, key=lambda run: run["eval_mean_return"])
        chosen = f"--run-dir {shlex.quote(best_run['run_dir'])}{_which(best_run)}"
        lines.append(f"  evaluate:  python tools/evaluate.py {chosen} --episodes 100")
    if any(run["env_steps"] for run in summary["runs"]):
        lines.append(f"  picture:   python tools/plot.py {folder}")
        lines.append(f"  curves:    python tools/dashboard.py {folder}")
    if summary["stopped_by"] != "total_steps":
        lines.append(f"  go on:     python tools/train.py --resume {folder}")
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
        lines.append(f"  try it:    python tools/train.py --config {folder}/best.yaml --seeds 0,1,2,3,4")
    lines.append(f"  compare:   python tools/dashboard.py {folder}")
    num_trials = result["num_trials"] if result["stopped_by"] == "interrupt" else 2 * sum(trials.values())
    lines.append(f"  go on:     python tools/tune.py --study-dir {folder} --trials {num_trials}")
    return "\n".join(lines)


def first_and_last_line(error: str) -> str:
    """Of an error that comes with a traceback, what failed and, from the last line, why."""
    lines = error.strip().splitlines()
    return lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1]}"


def _short(value: Any) -> str:
    return format(value, ".4g") if isinstance(value, float) else str(value)


def _cell(value: float | None, style: str = ".1f") -> str:
    return "" if value is None else format(value, style)
