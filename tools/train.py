"""Train an agent, or go on training one: `python tools/train.py --algo a2c`."""

from __future__ import annotations

import os
import signal

if __name__ == "__main__":  # while there is nothing to lose: the imports take a while
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from paddle_ac.command_line import ArgumentParser, choose_algo, exit_codes, show_log
from paddle_ac.config import CONFIGS, find_config_class, make_config, read_yaml
from paddle_ac.errors import ConfigError
from paddle_ac.training.dashboard import Dashboard
from paddle_ac.training.run_folder import RunFolder

EXAMPLES = """\
examples:
  python tools/train.py --algo a2c
  python tools/train.py --config configs/a2c_acrobot.yaml --seed 1 --run-dir runs/acrobot-1
  python tools/train.py --resume runs/acrobot-1 --total-steps 1000000
"""


def main(arguments: list[str]) -> None:
    with exit_codes(), ExitStack() as stack:
        flags = _parse(arguments)
        show_log()
        run_dir, resumed, progress = flags.pop("run_dir"), flags.pop("resume"), not flags.pop("no_progress")
        config_file, wants_dashboard, dashboard = flags.pop("config"), flags.pop("dashboard"), None
        if resumed is not None:
            from paddle_ac.training.train import resume

            signal.signal(signal.SIGINT, signal.default_int_handler)
            if wants_dashboard:
                dashboard = stack.enter_context(_show_dashboard(resumed))
            summary = resume(resumed, flags, progress)
        else:
            config = make_config({"algo": "a2c", **(read_yaml(config_file) if config_file else {}), **flags})
            from paddle_ac.training.train import train  # after the checks: Paddle takes a second to import

            signal.signal(signal.SIGINT, signal.default_int_handler)
            if wants_dashboard:
                dashboard = stack.enter_context(_show_dashboard(run_dir))
            summary = train(config, run_dir, progress)
        _report(summary)
        if dashboard and summary["stopped_by"] != "interrupt" and sys.stdin.isatty():
            print(f"VisualDL stays at {dashboard.address} until Ctrl-C")
            dashboard.stay()
        sys.exit(130 if summary["stopped_by"] == "interrupt" else 0)


def _parse(arguments: list[str]) -> dict[str, Any]:
    chooser = ArgumentParser(add_help=False)
    _add_run_flags(chooser)
    chosen = vars(chooser.parse_known_args(arguments)[0])
    if chosen["resume"] and (chosen["run_dir"] or chosen["config"]):
        raise ConfigError("--resume has the run's own folder and configuration: leave out --run-dir and --config")
    config_file = RunFolder.open(chosen["resume"]).config if chosen["resume"] else chosen["config"]
    algo = choose_algo(chosen.get("algo"), config_file)
    if chosen["resume"] and algo != read_yaml(config_file).get("algo"):
        raise ConfigError(f"--algo {algo}: the run in {chosen['resume']} is of another algorithm")
    parser = ArgumentParser(description=__doc__, epilog=EXAMPLES)
    _add_run_flags(parser)
    parser.add_hyper_parameters(find_config_class(algo))
    return parser.parse(arguments)


def _add_run_flags(parser: ArgumentParser) -> None:
    parser.add_argument("--algo", default=argparse.SUPPRESS, metavar="|".join(CONFIGS), help="algorithm [a2c]")
    parser.add_argument("--config", metavar="FILE", help="hyper-parameters in YAML; flags win over it")
    parser.add_argument("--run-dir", metavar="DIR", help="the run's folder, new or empty [runs/ENV-ALGO-seedSEED-TIME]")
    parser.add_argument("--resume", metavar="DIR", help="go on with the run in this folder from its latest checkpoint")
    parser.add_argument("--dashboard", action="store_true", help="VisualDL beside it, on a free port that is printed")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")


def _show_dashboard(run_dir: str | None) -> Dashboard:
    """VisualDL over the runs that lie beside this one."""
    dashboard = Dashboard(Path(run_dir).parent if run_dir else "runs")
    print(f"VisualDL: {dashboard.address}", flush=True)
    return dashboard


def _report(summary: dict[str, Any]) -> None:
    folder = summary["run_dir"]
    trained = f"{summary['env_steps']:,} steps, {summary['episodes']:,} episodes in {summary['train_seconds']:.1f} s"
    print(f"{'interrupted after' if summary['stopped_by'] == 'interrupt' else 'trained for'} {trained}")
    for name, label in (("mean_return_last_100", "last 100 episodes"), ("eval_mean_return", "evaluation at the end")):
        if summary[name] is not None:
            print(f"mean return, {label}: {summary[name]:.1f}")
    print(f"everything of this run lies in {folder}")
    print(f"  evaluate:  python tools/evaluate.py --run-dir {folder} --episodes 100")
    print(f"  curves:    visualdl --logdir {folder}")
    print(f"  go on:     python tools/train.py --resume {folder} --total-steps {2 * summary['env_steps']}")


if __name__ == "__main__":
    main(sys.argv[1:])
