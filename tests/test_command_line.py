"""Bad input on the command line: exit 2, one line that names it and what would be right, and nothing written."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from paddle_ac.config import CONFIGS, make_config, read_yaml

TOOLS = Path(__file__).parent.parent / "tools"


def run_main(capsys, tool: str, *arguments: str) -> tuple[int, str, str]:
    main = runpy.run_path(str(TOOLS / tool))["main"]
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    captured = capsys.readouterr()
    return ended.value.code or 0, captured.out, captured.err


@pytest.mark.parametrize(
    "arguments,said",
    [
        (["--algo", "a2d"], "unknown algorithm 'a2d' (did you mean 'a2c'?)"),
        (["--learnin-rate", "1"], "unknown argument --learnin-rate (did you mean '--learning-rate'?)"),
        (["--num_envs=4"], "did you mean '--num-envs'?"),
        (["--num-envs", "0"], "num_envs: must be greater than or equal to 1, got '0'"),
        (["--num-envs", "many"], "num_envs: must be a valid integer"),
        (["--gamma", "1.5"], "gamma: must be less than or equal to 1, got '1.5'"),
        (["--learning-rate", "-1"], "learning_rate: must be greater than 0, got '-1'"),
        (["--learning-rate", "nan"], "learning_rate: must be a finite number"),
        (["--learning-rate"], "argument --learning-rate: expected one argument"),
        (["--activation", "gelu"], "activation: must be 'tanh' or 'relu', got 'gelu'"),
        (["--hidden-sizes", "64,-1"], "hidden_sizes"),
        (["--vec", "subproc", "--num-envs", "4", "--num-workers", "3"], "num_workers=3 must divide num_envs=4"),
        (["--env", "CartPole-v7"], "CartPole-v7"),
        (["--env", "CartPoll-v1"], "Did you mean: `CartPole`"),
        (["--env", "Blackjack-v1"], "observation space Tuple"),
        (["--algo", "q_ac", "--env", "Pendulum-v1"], "q_ac takes Discrete action spaces"),
        (["--algo", "sac", "--env", "CartPole-v1"], "sac takes Box action spaces of floats with finite bounds"),
        (["--config", "nowhere.yaml"], "cannot read configuration nowhere.yaml: No such file or directory"),
        (["--config", "typo.yaml"], "unknown hyper-parameter 'gama' (did you mean 'gamma'?)"),
        (["--config", "broken.yaml"], "broken.yaml is not YAML"),
        (["--config", "list.yaml"], "list.yaml is not a configuration"),
        (["--run-dir", "old"], "old is in use"),
        (["--run-dir", "list.yaml"], "list.yaml is in use"),
        (["--resume", "nowhere"], "there is no run folder nowhere"),
        (["--resume", "old"], "old is not a run folder"),
        (["--resume", "old", "--config", "list.yaml"], "leave out --run-dir and --config"),
    ],
)
def test_training_refuses(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "typo.yaml").write_text("algo: a2c\ngama: 0.9\n")
    (tmp_path / "broken.yaml").write_text("algo: [a2c\n")
    (tmp_path / "list.yaml").write_text("- a2c\n")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    code, output, errors = run_main(capsys, "train.py", *arguments)
    assert code == 2
    assert said in errors and errors.startswith("error: ") and errors.count("\n") == 1
    assert output == "" and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments,said",
    [
        ([], "--run-dir"),
        (["--run-dir", "nowhere"], "there is no run folder nowhere"),
        (["--run-dir", "."], ". is not a run folder"),
        (["--run-dir", ".", "--episodes", "0"], "must be a whole number of at least 1, got '0'"),
        (["--run-dir", ".", "--checkpoint", "newest"], "invalid choice: 'newest'"),
    ],
)
def test_evaluating_refuses(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, output, errors = run_main(capsys, "evaluate.py", *arguments)
    assert code == 2 and output == ""
    assert said in errors and errors.startswith("error: ") and errors.count("\n") == 1


@pytest.mark.parametrize("tool", ["train.py", "evaluate.py", "plot.py"])
def test_help_tells_every_flag_with_its_default(capsys, tool):
    code, output, _ = run_main(capsys, tool, "--help")
    assert code == 0
    flags = {
        "train.py": ["--num-envs", "--entropy-coef", "[0.99]", "--resume"],
        "evaluate.py": ["--episodes", "[100]", "--record", "--render"],
        "plot.py": ["--metric", "[charts/episode_return]", "--output", "[curves.png]"],
    }
    assert all(flag in output for flag in flags[tool])


def test_a_mistake_is_told_without_waiting_for_paddle():
    script = f"import runpy, sys; runpy.run_path({str(TOOLS / 'train.py')!r}); print('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("algo", CONFIGS)
def test_the_default_configuration_is_the_algorithms_own(algo):
    task = "pendulum" if algo == "sac" else "cartpole"
    values = read_yaml(TOOLS.parent / "configs" / f"{algo}_{task}.yaml")
    assert make_config(values) == make_config({"algo": algo})
