"""``tune``: search hyper-parameters."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from paddle_ac.commands.arguments import (
    ArgumentParser,
    add_algo,
    add_import_here,
    choose_algo,
    find_modules_here,
    parse_own_flags,
    parse_with_hyper_parameters,
    whole_number,
)
from paddle_ac.commands.calling import call_of
from paddle_ac.commands.exit_codes import exit_codes, show_log
from paddle_ac.commands.report import report_study
from paddle_ac.commands.terminal import show
from paddle_ac.config import read_yaml
from paddle_ac.errors import ConfigError, needs
from paddle_ac.process import imports_contained
from paddle_ac.training.run_folder import base_file

EXAMPLES = """\
The flag of a hyper-parameter fixes its value. The rest of the algorithm's space
is searched, starting from the configuration's own values. The same command
continues a study that was stopped.

examples:
  {tune} --algo a2c --trials 20 --total-steps 50000
  {tune} --config configs/a2c_pendulum.yaml --trials 50
  {tune} --study-dir runs/tune-Pendulum-v1-a2c --trials 100
"""


def main(arguments: list[str]) -> None:
    """Run the command."""
    with exit_codes():
        show_log()
        flags = _parse(arguments)
        config_file, space_file, study_dir = flags.pop("config"), flags.pop("space"), flags.pop("study_dir")
        if flags.pop("import_here") or not _reads_study(config_file, study_dir):
            find_modules_here()
        trials, jobs, progress = flags.pop("trials"), flags.pop("jobs"), not flags.pop("no_progress")
        values = read_yaml(config_file) if config_file else {}
        tuning = _import_tuning()
        custom_space = read_yaml(space_file) if space_file else None
        config, space, study_dir, eval_interval = tuning.plan(values, flags, custom_space, study_dir)
        result = tuning.tune(config, space, trials, study_dir, jobs, progress, eval_interval)
        show(report_study(result))
        if result["stopped_by"] == "interrupt":
            raise KeyboardInterrupt
        sys.exit(0 if result["best"] else 1)


def _import_tuning() -> ModuleType:
    try:
        with imports_contained():
            from paddle_ac.training import tune
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise ConfigError(needs("tune", "optuna")) from None
    return tune


def _parse(arguments: list[str]) -> dict[str, Any]:
    chosen = parse_own_flags(_add_own_flags, arguments)
    study_dir, config_file = chosen["study_dir"], chosen["config"]
    if _reads_study(config_file, study_dir):
        config_file = base_file(study_dir)
        algo = read_yaml(config_file).get("algo")
        if chosen.get("algo", algo) != algo:
            raise ConfigError(f"{study_dir} is a study of {algo}, not of {chosen['algo']}: give another --study-dir")
    algo = choose_algo(chosen.get("algo"), config_file)
    summary, examples = "Search hyper-parameters.", EXAMPLES.format(tune=call_of("tune"))
    return parse_with_hyper_parameters("tune", summary, algo, _add_own_flags, arguments, examples)


def _reads_study(config_file: str | None, study_dir: str | None) -> bool:
    """Whether the configuration is that of a study which continues."""
    return config_file is None and study_dir is not None and base_file(study_dir).is_file()


def _add_own_flags(parser: ArgumentParser) -> None:
    add_algo(parser)
    parser.add_argument("--space", metavar="FILE", help="what to search, in YAML: as in the space.yaml of a study")
    parser.add_argument("--trials", type=whole_number(1), default=20, metavar="N", help="trials in all [20]")
    parser.add_argument("--study-dir", metavar="DIR", help="the study's folder, new or not [runs/tune-ENV-ALGO]")
    parser.add_argument(
        "--jobs", type=whole_number(1), metavar="J", help="trials at a time [as many as the cores allow]"
    )
    add_import_here(parser)
    parser.add_argument("--no-progress", action="store_true", help="no progress bar, no line for each trial")
