"""``benchmark``: time an update, part by part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from paddle_ac.commands.arguments import (
    ArgumentParser,
    add_algo,
    choose_algo,
    find_modules_here,
    parse_own_flags,
    parse_with_hyper_parameters,
    positive_number,
    whole_number,
)
from paddle_ac.commands.exit_codes import exit_codes, show_log
from paddle_ac.config import make_config, read_yaml
from paddle_ac.errors import ConfigError, reason_of
from paddle_ac.process import imports_contained


def main(arguments: list[str]) -> None:
    """Run the command."""
    with exit_codes():
        find_modules_here()
        show_log()
        flags = _parse(arguments)
        rounds, seconds, json_file = flags.pop("rounds"), flags.pop("seconds"), flags.pop("json")
        config_file = flags.pop("config")
        if json_file:
            json_file = Path(json_file).absolute()  # an environment may call os.chdir
            _check_can_be_written(json_file)
        config = make_config({"algo": "a2c", **(read_yaml(config_file) if config_file else {}), **flags})
        with imports_contained():
            from paddle_ac.training.benchmark import benchmark

        result = benchmark(config, rounds, seconds)
        _print_table(result)
        if json_file:
            json_file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _check_can_be_written(path: Path) -> None:
    """Raise ``ConfigError`` before anything is measured if the file cannot be written."""
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise ConfigError(f"--json {path}: {reason_of(error)}") from None


def _parse(arguments: list[str]) -> dict[str, Any]:
    chosen = parse_own_flags(_add_own_flags, arguments)
    algo = choose_algo(chosen.get("algo"), chosen["config"])
    return parse_with_hyper_parameters("benchmark", "Time an update, part by part.", algo, _add_own_flags, arguments)


def _add_own_flags(parser: ArgumentParser) -> None:
    add_algo(parser)
    parser.add_argument("--rounds", type=whole_number(1), default=5, metavar="R", help="rounds of timing [5]")
    parser.add_argument("--seconds", type=positive_number, default=1.0, metavar="S", help="seconds of a round [1]")
    parser.add_argument("--json", metavar="FILE", help="write the results as JSON into a file")


def _print_table(result: dict[str, Any]) -> None:
    config, machine = result["config"], result["machine"]
    kind = f", {config['vec']}" if "vec" in config else ""
    workers = f", {config['num_workers']} workers" if config.get("num_workers") else ""
    print(f"{config['algo']} on {config['env']}: {config['num_envs']} environments{kind}{workers}")
    print(f"{machine['processor']}, {machine['cores']} cores; minimum, median and maximum of the rounds\n")
    print(f"{'':20}{'steps per second':^36}{'us a step':>10}{'share':>8}")
    for name, phase in result["phases"].items():
        _print_row(name, phase["steps_per_second"], f"{100 * phase['share'][1]:6.0f} %")
    left = 1 - sum(phase["share"][1] for phase in result["phases"].values())
    print(f"{'the rest':20}{f'{100 * left:.0f} %':>54}")
    _print_row("bound of the parts", result["bound"])
    _print_row("whole", result["whole"])
    smallest, middle, largest = result["whole_to_bound"]
    print(f"{'whole / bound':20}{smallest:12.2f}{middle:12.2f}{largest:12.2f}")


def _print_row(name: str, rates: list[float], share: str = "") -> None:
    cells = "".join(f"{rate:12,.0f}" for rate in rates)
    print(f"{name:20}{cells}{1e6 / rates[1]:10.2f}{share:>8}")
