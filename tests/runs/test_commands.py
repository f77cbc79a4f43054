"""The console command: its help, its usage lines, and the ways to name a run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import paddle_ac
from paddle_ac.commands import COMMANDS
from paddle_ac.commands.calling import call_of
from paddle_ac.config import CONFIGS, make_config, write_yaml
from tests.paths import ROOT, TOOLS
from tests.short_runs import quick_run
from tests.tool_calls import run_main

ENTRY_POINT = re.search(r"\"paddle-ac = ([\w.]+):(\w+)\"", (ROOT / "setup.py").read_text(encoding="utf-8"))


def run(*command: str, folder: Path, **options) -> tuple[int, str, str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, **options)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture
def console(tmp_path, monkeypatch) -> Path:
    """A script as pip writes it for the entry point, on the search path."""
    assert ENTRY_POINT is not None
    script = tmp_path / "bin" / "paddle-ac"
    script.parent.mkdir()
    module, function = ENTRY_POINT.groups()
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    return script


def test_every_command_has_a_module_and_a_tool():
    modules = {path.stem for path in (ROOT / "paddle_ac" / "commands").glob("*.py")}
    assert COMMANDS.keys() <= modules and COMMANDS.keys() == {path.stem for path in TOOLS.glob("*.py")}


def test_help_lists_the_commands_with_a_line_each_and_needs_no_paddle(tmp_path):
    code = "import sys; sys.argv = ['paddle-ac', '--help']; from paddle_ac.__main__ import main; main()"
    code += "; print('paddle' in sys.modules)"
    status, output, errors = run(sys.executable, "-c", code, folder=tmp_path)
    assert (status, errors) == (0, "") and output.endswith("\nFalse\n")
    for name, description in COMMANDS.items():
        assert re.search(rf"^  {name} +{description}$", output, re.MULTILINE)
    assert max(map(len, output.splitlines())) <= 80


@pytest.mark.parametrize(
    "arguments,expected",
    [
        (["--version"], (0, f"paddle-ac {paddle_ac.__version__}\n", "")),
        ([], (2, "", "error: which command? train, evaluate")),
        (["trian"], (2, "", "error: unknown command 'trian' (did you mean 'train'?); known: train, ")),
        (["--algo", "ppo"], (2, "", "error: a command comes first, as in python -m paddle_ac train --algo\n")),
        (["plot"], (2, "", "error: the following arguments are required: RUN\n")),
    ],
)
def test_the_first_argument_is_a_command(tmp_path, arguments, expected):
    status, output, errors = run(sys.executable, "-m", "paddle_ac", *arguments, folder=tmp_path)
    assert (status, output) == expected[:2] and errors.startswith(expected[2]) and errors.count("\n") == (status == 2)


def test_usage_lines_show_how_the_command_was_called(tmp_path, console):
    for call, usage in (
        (("paddle-ac", "plot"), "paddle-ac plot RUN... [flags]"),
        ((sys.executable, "-m", "paddle_ac", "export"), "python -m paddle_ac export RUN [flags]"),
        ((sys.executable, str(TOOLS / "dashboard.py")), f"python {TOOLS}/dashboard.py [DIR] [flags]"),
    ):
        status, output, _ = run(*call, "--help", folder=tmp_path)
        assert status == 0 and output.startswith(f"usage: {usage}\n")


def test_a_console_command_that_is_not_on_the_path_is_shown_with_its_folder(console, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(console), "train"])
    assert call_of("plot") == "paddle-ac plot"
    monkeypatch.setenv("PATH", os.defpath)
    assert call_of("plot") == f"{console} plot"


def test_help_says_that_each_algorithm_has_flags_of_its_own(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tools/train.py"])
    _, output, _ = run_main(capsys, "train.py", "--algo", "sac", "--help")
    assert (
        "The flags below are those of sac;\nfor those of another one: python tools/train.py --algo NAME --help"
        in output
    )
    for algo in CONFIGS:
        assert re.search(rf"^  {algo} +[A-Z].{{20,}}\S$", output, re.MULTILINE)
    assert "--tau X" in output and "--num-steps" not in output


@pytest.mark.parametrize("algo", CONFIGS)
def test_the_help_of_every_algorithm_fits_a_terminal_of_80_columns(capsys, monkeypatch, algo):
    monkeypatch.setattr(sys, "argv", ["tools/train.py"])
    monkeypatch.setenv("COLUMNS", "80")
    _, output, _ = run_main(capsys, "train.py", "--algo", algo, "--help")
    assert [line for line in output.splitlines() if len(line) > 80] == []


def test_a_run_is_a_positional_argument_or_run_dir(capsys, tmp_path):
    folder = str(tmp_path / "run")
    quick_run(folder, 200, eval_episodes=1)
    first, *others = (
        run_main(capsys, "evaluate.py", *arguments)
        for arguments in (
            [folder, "--episodes", "2"],
            ["--episodes", "2", folder],
            ["--run-dir", folder, "--episodes", "2"],
        )
    )
    assert first[0] == 0 and "mean return" in first[1] and others == [first] * 2
    assert run_main(capsys, "export.py", folder, "--format", "pdparams")[0] == 0
    pictures = [folder, "--output", str(tmp_path / "a.png"), folder]
    assert run_main(capsys, "plot.py", *pictures)[0] == 0 and (tmp_path / "a.png").is_file()


@pytest.fixture
def saved(tmp_path, monkeypatch) -> Path:
    """The current folder, with a policy in ``pol.safetensors`` and a script."""
    monkeypatch.chdir(tmp_path)
    with paddle_ac.make("a2c", "CartPole-v1", hidden_sizes=(8,)) as agent:
        agent.save("pol")
    (tmp_path / "t1.py").write_text("print('a script')\n")
    return tmp_path


def test_evaluate_plays_the_policy_of_a_saved_file(capsys, saved):
    expected = paddle_ac.evaluate("pol", episodes=2, seed=3)
    for name in ("pol", "pol.safetensors"):
        status, output, errors = run_main(capsys, "evaluate.py", name, "--episodes", "2", "--seed", "3", "--json")
        assert (status, errors, json.loads(output)) == (0, "", expected)
    status, output, _ = run_main(capsys, "evaluate.py", "pol", "--episodes", "2")
    assert status == 0 and output.startswith("pol, after 0 training steps\n2 episodes of CartPole-v1, greedy actions\n")
    assert run_main(capsys, "evaluate.py", "pol", "--record", "film.gif")[0] == 0 and Path("film.gif").is_file()


@pytest.mark.parametrize(
    "command,name,expected",
    [
        ("evaluate", "t1.py", "error: t1.py is damaged or not a checkpoint: "),
        ("export", "t1.py", "error: t1.py is damaged or not a checkpoint: "),
        ("plot", "pol.safetensors", "error: there is no run in pol.safetensors"),
        ("train --resume", "pol.safetensors", "error: pol.safetensors is a file, not a run folder: a policy"),
        ("evaluate --checkpoint best", "pol", "error: only a run folder has checkpoints: leave out checkpoint='best'"),
        ("export --checkpoint best", "pol", "error: only a run folder has checkpoints: leave out checkpoint='best'"),
    ],
)
def test_a_file_in_place_of_a_run_folder_is_named_as_what_it_is(capsys, saved, command, name, expected):
    tool, *flags = command.split()
    status, output, errors = run_main(capsys, f"{tool}.py", *flags, name)
    assert (status, output) == (2, "") and errors.startswith(expected) and errors.count("\n") == 1


def test_a_run_folder_comes_before_a_saved_file_of_its_name(capsys, saved):
    quick_run(saved / "pol", 200, eval_episodes=1)
    status, output, _ = run_main(capsys, "evaluate.py", "pol", "--episodes", "2")
    assert status == 0 and output.startswith("best checkpoint of pol, after 200 training steps\n")


def test_python_m_does_not_import_from_the_current_folder(tmp_path):
    (tmp_path / "trap.py").write_text("open('sprung', 'w').close()\n")
    write_yaml(make_config({"algo": "a2c", "env": "trap:Walk-v0", "vec": "serial"}), tmp_path / "config.yaml")
    status, _, errors = run(sys.executable, "-m", "paddle_ac", "evaluate", ".", folder=tmp_path)
    assert status == 2 and "--import-here" in errors and not (tmp_path / "sprung").exists()
