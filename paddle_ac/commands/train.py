"""``train``: train an agent, or resume a run."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from paddle_ac.commands.arguments import (
    ArgumentParser,
    add_algo,
    add_import_here,
    choose_algo,
    find_modules_here,
    parse_own_flags,
    parse_with_hyper_parameters,
    seed_list,
    whole_number,
)
from paddle_ac.commands.calling import call_of
from paddle_ac.commands.exit_codes import exit_codes, show_log
from paddle_ac.commands.launched import ranks_of_launch
from paddle_ac.commands.report import report_repeats, report_run
from paddle_ac.commands.terminal import show
from paddle_ac.config import make_config, read_yaml
from paddle_ac.errors import ConfigError
from paddle_ac.process import imports_contained
from paddle_ac.processes.linked_ranks import LinkedRanks
from paddle_ac.training.dashboard import Dashboard
from paddle_ac.training.run_folder import RunFolder, repeats_file

EXAMPLES = """\
examples:
  {train} --algo a2c
  {train} --config configs/a2c_acrobot.yaml --seed 1
  {train} --env Acrobot-v1 --run-dir runs/acrobot
  {train} --resume runs/acrobot --total-steps 1000000
  {train} --algo a3c --seeds 0,1,2,3,4
"""


def main(arguments: list[str]) -> None:
    """Run the command."""
    with exit_codes(), ExitStack() as stack:
        show_log()
        ranks = stack.enter_context(ranks_of_launch(arguments))
        if isinstance(ranks, LinkedRanks) and ranks.rank:
            _follow(ranks, arguments)
            return
        flags = _parse(arguments)
        run_dir, resumed, progress = flags.pop("run_dir"), flags.pop("resume"), not flags.pop("no_progress")
        if flags.pop("import_here") or resumed is None:
            find_modules_here()
        config_file, seeds, jobs = flags.pop("config"), flags.pop("seeds"), flags.pop("jobs")
        wants_dashboard, dashboard = flags.pop("dashboard"), None
        has_repeats = seeds is not None or (resumed is not None and repeats_file(resumed).is_file())
        if jobs is not None and not has_repeats:
            raise ConfigError("--jobs is for several runs: give it with --seeds")
        if has_repeats and ranks.num_ranks > 1:
            raise ConfigError("--seeds starts the processes of its runs itself: leave out paddle.distributed.launch")
        if resumed is None:
            config = make_config({"algo": "a2c", **(read_yaml(config_file) if config_file else {}), **flags})
        if wants_dashboard:
            dashboard = stack.enter_context(_show_dashboard(resumed or run_dir))
        if has_repeats:
            from paddle_ac.training.repeats import resume_repeats, train_repeats

            if resumed is not None:
                summary = resume_repeats(resumed, flags, jobs, progress)
            else:
                summary = train_repeats(config, seeds, run_dir, jobs, progress)
            show(report_repeats(summary))
        else:
            with imports_contained():
                from paddle_ac.training.runs import resume, train  # after the checks: it takes a second

            if resumed is not None:
                summary = resume(resumed, flags, progress, ranks=ranks)
            else:
                summary = train(config, run_dir, progress, ranks=ranks)
            show(report_run(summary))
        if summary["stopped_by"] == "interrupt":
            raise KeyboardInterrupt
        if dashboard and sys.stdin.isatty():
            print(f"VisualDL stays at {dashboard.address} until Ctrl-C")
            dashboard.stay()
        if summary["stopped_by"] == "error":
            sys.exit(1)


def _follow(ranks: LinkedRanks, arguments: list[str]) -> None:
    """Train as a follower of rank 0, which has read the same arguments."""
    names = [argument.partition("=")[0] for argument in arguments]
    if "--import-here" in names or "--resume" not in names:
        find_modules_here()
    with imports_contained():
        import paddle  # noqa: F401

        from paddle_ac.training.followers import follow
    follow(ranks)


def _parse(arguments: list[str]) -> dict[str, Any]:
    chosen = parse_own_flags(_add_run_flags, arguments)
    if chosen["resume"] and (chosen["run_dir"] or chosen["config"]):
        raise ConfigError("--resume has the run's own folder and configuration: leave out --run-dir and --config")
    if chosen["seeds"] and chosen["resume"]:
        raise ConfigError("--resume has the runs' own seeds: leave out --seeds")
    config_file = _config_of(chosen["resume"]) if chosen["resume"] else chosen["config"]
    algo = choose_algo(chosen.get("algo"), config_file)
    if chosen["resume"] and algo != read_yaml(config_file).get("algo"):
        raise ConfigError(f"--algo {algo}: the run in {chosen['resume']} is of another algorithm")
    summary, examples = "Train an agent, or resume a run.", EXAMPLES.format(train=call_of("train"))
    flags = parse_with_hyper_parameters("train", summary, algo, _add_run_flags, arguments, examples)
    if flags["seeds"] and "seed" in flags:
        raise ConfigError("--seeds names the seed of every run: leave out --seed")
    return flags


def _config_of(folder: str) -> Path:
    return repeats_file(folder) if repeats_file(folder).is_file() else RunFolder.open(folder).config


def _add_run_flags(parser: ArgumentParser) -> None:
    add_algo(parser)
    parser.add_argument("--run-dir", metavar="DIR", help="folder of the run, new or empty [a new one in runs/]")
    parser.add_argument("--resume", metavar="DIR", help="resume the run, or the runs, in this folder")
    parser.add_argument(
        "--seeds", type=seed_list, metavar="S,S,...", help="a run with each seed, side by side, in one folder"
    )
    parser.add_argument("--jobs", type=whole_number(1), metavar="J", help="runs at a time [as many as the cores allow]")
    parser.add_argument("--dashboard", action="store_true", help="VisualDL beside it, on a free port that is printed")
    add_import_here(parser)
    parser.add_argument("--no-progress", action="store_true", help="no progress bar, no lines about progress")


def _show_dashboard(run_dir: str | None) -> Dashboard:
    """VisualDL over the runs that lie beside this one."""
    dashboard = Dashboard(Path(run_dir).parent if run_dir else "runs")
    print(f"VisualDL: {dashboard.address}", flush=True)
    return dashboard
