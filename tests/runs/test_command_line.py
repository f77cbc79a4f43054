"""Bad input on the command line: exit 2, one line that names it and what would be right, and nothing written."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

import paddle_ac
from paddle_ac.algorithms.agent import Agent
from paddle_ac.commands import COMMANDS
from paddle_ac.commands.report import report_run
from paddle_ac.config import CONFIGS, hints, make_config, read_yaml, write_yaml
from paddle_ac.envs.make import ENV_PACKAGES, make_training_envs
from paddle_ac.errors import ConfigError
from paddle_ac.training.wording import as_duration
from tests.paths import ROOT, TOOLS
from tests.tool_calls import run_main


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
        (["--activation", "tahn"], "activation: must be 'tanh' or 'relu', got 'tahn' (did you mean 'tanh'?)"),
        (["--total-steps", "1.5e0"], "total_steps: must be a valid integer"),
        (["--hidden-sizes", "64,-1"], "hidden_sizes"),
        (["--vec", "subproc", "--num-envs", "4", "--num-workers", "3"], "num_workers=3 must divide num_envs=4"),
        (["--env", "CartPole-v7"], "CartPole-v7"),
        (["--env", "CartPoll-v1"], "Did you mean: `CartPole`"),
        (["--env", "CartPole"], "No registered env with id: CartPole (did you mean 'CartPole-v1'?)"),
        (["--env", "gym:CartPole"], "(did you mean 'gym:CartPole-v1'?)"),
        (["--env", "tests.environments:test/Walk"], "(did you mean 'tests.environments:test/Walk-v0'?)"),
        (["--env", "tests.environments:test/Asking-v0"], 'observation["question"] space Text'),
        (["--env", "tests.environments:test/ActingDict-v0"], "action space Dict('move': Discrete(2)) is not supported"),
        (["--algo", "q_ac", "--env", "Pendulum-v1"], "q_ac takes Discrete action spaces"),
        (["--algo", "sac", "--env", "CartPole-v1"], "sac takes Box action spaces of floats with finite bounds"),
        (["--algo", "td3", "--env", "Pendulum-v1", "--encoder", "a3c"], "the a3c encoder needs an image"),
        (["--config", "nowhere.yaml"], "cannot read configuration nowhere.yaml: No such file or directory"),
        (["--config", "typo.yaml"], "unknown hyper-parameter 'gama' of a2c (did you mean 'gamma'?)"),
        (["--config", "typos.yaml"], "No such file or directory (did you mean 'typo.yaml'?)"),
        (["--config", "broken.yaml"], "broken.yaml cannot be read as YAML"),
        (["--config", "twice.yaml"], "twice.yaml cannot be read as YAML: line 4: 'gamma' is given twice"),
        (["--config", "truth.yaml"], "env: takes no True (which is what YAML reads yes, no, on and off as)"),
        (["--config", "list.yaml"], "list.yaml is not a configuration"),
        (["--run-dir", "old"], "old is in use"),
        (["--run-dir", "list.yaml"], "list.yaml is a file: give --run-dir a new folder"),
        (["--run-dir", ""], "--run-dir is empty"),
        (["--algo", "A2C"], "unknown algorithm 'A2C' (did you mean 'a2c'?)"),
        (
            ["--algo", "sac", "--config", "of_a2c.yaml"],
            "unknown hyper-parameter 'num_steps' of sac: only a2c, ppo, paac, ",
        ),
        (["--normalize-observations=yes"], "--no-normalize-observations: takes no value, got 'yes'"),
        (["--resume", "odl"], "there is no run folder odl (did you mean 'old'?)"),
        (["--resume", "nowhere"], "there is no run folder nowhere"),
        (["--resume", "old"], "old is not a run folder"),
        (["--resume", "old", "--config", "list.yaml"], "leave out --run-dir and --config"),
        (["--resume", "old", "--seeds", "1,2"], "--resume has the runs' own seeds: leave out --seeds"),
        (["--seeds", "1,2,1"], "argument --seeds: names a seed twice: '1,2,1'"),
        (["--seeds", "1,two"], "--seeds: must be whole numbers with commas between them, as in 0,1,2, got '1,two'"),
        (["--seeds", "99999999999999"], "--seeds: must be whole numbers from 0 to 2147483647, got 99999999999999"),
        (["--seeds", "9" * 5000], "as in 0,1,2, got '999"),
        (["--jobs", "9" * 5000], "--jobs: must be a whole number of at least 1, got '999"),
        (["--jobs", "²"], "--jobs: must be a whole number of at least 1, got '²'"),
        (["--eval-interval", "9223372036854775808"], "eval_interval: must be less than 2**63"),
        (["--env", "x" * 5000], "env: must"),
        (["--" + "x" * 5000], "unknown argument --xxx"),
        (["x" * 5000], "unknown argument xxx"),
        (["--seeds", "0-4"], "as in 0,1,2, got '0-4'"),
        (["--seeds", "1,2", "--seed", "3"], "--seeds names the seed of every run: leave out --seed"),
        (["--seeds", "1,2", "--jobs", "0"], "argument --jobs: must be a whole number of at least 1, got '0'"),
        (["--seeds", "1,2", "--run-dir", "old"], "old is in use"),
        (["--seeds", "1,2", "--run-dir", "list.yaml"], "list.yaml is a file"),
        (["--seeds", "1,2", "--env", "CartPole-v7"], "CartPole-v7"),
        (["--jobs", "2"], "--jobs is for several runs: give it with --seeds"),
        (
            ["--algo", "a3c", "--vec", "subproc"],
            "unknown argument --vec: only a2c, ppo, paac, td_ac, q_ac, reinforce, dqn, soft_q, sac_discrete, pgql, "
            "sac, td3, ddpg take",
        ),
        (
            ["--restart-workers"],
            "unknown argument --restart-workers: only a3c, ga3c, async_q, async_sarsa, async_nstep_q",
        ),
        (["cartpole"], "unknown argument cartpole: flags begin with --"),
        (["run 1"], "unknown argument run 1: did you mean --resume 'run 1'?"),
        (["--gamma", "0.9", "repeats"], "unknown argument repeats: did you mean --resume repeats?"),
        (["typo.yaml"], "unknown argument typo.yaml: did you mean --config typo.yaml?"),
        (["CartPole-v1"], "unknown argument CartPole-v1: did you mean --env CartPole-v1?"),
        (["ale_py:ALE/Pong-v5"], "did you mean --env ale_py:ALE/Pong-v5?"),
        (["my_module:MyEnv"], "did you mean --env my_module:MyEnv?"),
        (["ppo"], "unknown argument ppo: did you mean --algo ppo?"),
        (["pol"], "unknown argument pol: did you mean --init-from pol?"),
        (["a\0b"], ": flags begin with --"),
    ],
)
def test_training_refuses(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "typo.yaml").write_text("algo: a2c\ngama: 0.9\n")
    (tmp_path / "broken.yaml").write_text("algo: [a2c\n")
    (tmp_path / "twice.yaml").write_text("algo: a2c\ngamma: 0.9\nseed: 1\ngamma: 0.99\n")
    (tmp_path / "truth.yaml").write_text("algo: a2c\nenv: yes\n")
    (tmp_path / "of_a2c.yaml").write_text("num_steps: 5\n")
    (tmp_path / "list.yaml").write_text("- a2c\n")
    (tmp_path / "pol.safetensors").touch()
    for folder, file in (("old", "notes.txt"), ("run 1", "config.yaml"), ("repeats", "repeats.yaml")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    code, output, errors = run_main(capsys, "train.py", *arguments)
    assert code == 2
    assert said in errors and errors.startswith("error: ") and errors.count("\n") == 1 and len(errors) < 1000
    assert output == "" and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments,said",
    [
        ([], "which run? "),
        ([".", "--run-dir", "runs"], "RUN '.' and --run-dir 'runs' name two runs: leave out one"),
        (["nowhere"], "there is no run folder nowhere"),
        ([".", "again"], "unknown argument again: flags begin with --"),
        (["--episodes", "0", "."], "must be a whole number of at least 1, got '0'"),
        (["--run-dri", "nowhere"], "unknown argument --run-dri (did you mean '--run-dir'?)"),
        (["--run-dir", ".", "--episods=3"], "unknown argument --episods=3 (did you mean '--episodes'?)"),
        (["--run-dir", "nowhere"], "there is no run folder nowhere"),
        (["--run-dir", "."], ". is not a run folder"),
        (["--run-dir", ".", "--episodes", "0"], "must be a whole number of at least 1, got '0'"),
        (["--run-dir", ".", "--checkpoint", "newest"], "--checkpoint: must be best or latest, got 'newest'"),
        (["--run-dir", ".", "--checkpoint", "lates"], "(did you mean 'latest'?)"),
        (
            ["--run-dir", "repeats"],
            "repeats is not a run folder, but holds runs: name one of them, as in repeats/seed",
        ),
    ],
)
def test_evaluating_refuses(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "repeats" / "seed-0").mkdir(parents=True)
    (tmp_path / "repeats" / "seed-0" / "config.yaml").write_text("algo: a2c\n")
    code, output, errors = run_main(capsys, "evaluate.py", *arguments)
    assert code == 2 and output == ""
    assert said in errors and errors.startswith("error: ") and errors.count("\n") == 1


@pytest.mark.parametrize(
    "tool,arguments,said",
    [
        ("benchmark.py", ["--learning-rte", "1"], "(did you mean '--learning-rate'?)"),
        ("benchmark.py", ["--round", "1"], "(did you mean '--rounds'?)"),
        ("tune.py", ["--triels", "3"], "(did you mean '--trials'?)"),
        ("tune.py", ["--trials", "none"], "argument --trials: must be a whole number of at least 1, got 'none'"),
        ("tune.py", ["--space", "nowhere.yaml"], "cannot read configuration nowhere.yaml"),
        ("tune.py", ["--algo", "a2d"], "unknown algorithm 'a2d' (did you mean 'a2c'?)"),
        ("tune.py", ["--gama", "0.9"], "(did you mean '--gamma'?)"),
        ("tune.py", ["--env", "CartPole-v7"], "CartPole-v7"),
    ],
)
def test_the_other_tools_refuse(capsys, tmp_path, monkeypatch, tool, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, output, errors = run_main(capsys, tool, *arguments)
    assert code == 2 and output == "" and not list(tmp_path.iterdir())
    assert said in errors and errors.startswith("error: ") and errors.count("\n") == 1


def test_a_study_of_another_algorithm_is_named(capsys, tmp_path):
    (tmp_path / "base.yaml").write_text("algo: a2c\n")
    code, _, errors = run_main(capsys, "tune.py", "--study-dir", str(tmp_path), "--algo", "sac")
    assert code == 2 and "is a study of a2c, not of sac" in errors and errors.count("\n") == 1


@pytest.mark.parametrize(
    "arguments,said",
    [
        ("--lr 1", " (did you mean '--learning-rate'?)"),
        (
            "--algo sac --lr 1",
            " (did you mean '--actor-learning-rate', '--critic-learning-rate' or '--alpha-learning-rate'?)",
        ),
        ("--total-timesteps=1", " (did you mean '--total-steps'?)"),
        ("--timesteps=1", " (did you mean '--total-steps'?)"),
        ("--n-envs 4", " (did you mean '--num-envs'?)"),
        ("--algo a3c --workers 4", " (did you mean '--num-workers'?)"),
        ("--ent-coef 0", " (did you mean '--entropy-coef'?)"),
        ("--vf_coef 0", " (did you mean '--value-coef'?)"),
        ("--n-steps 5", " (did you mean '--num-steps'?)"),
        ("--algo ppo --batch-size 64", " (did you mean '--minibatch-size'?)"),
        ("--batch-size 64", ": only dqn, soft_q, sac_discrete, pgql, sac, td3, ddpg take --batch-size"),
        ("--buffer-size 64", ": only dqn, soft_q, sac_discrete, pgql, sac, td3, ddpg take --buffer-size"),
        ("--algo td3 --policy-freq 2", " (did you mean '--policy-delay'?)"),
        ("--algo td3 --expl-noise 0.1", " (did you mean '--action-noise'?)"),
        ("--algo td3 --target-policy-noise 0.1", " (did you mean '--target-noise'?)"),
        (
            "--policy MlpPolicy",
            "'--encoder', '--hidden-sizes', '--activation', '--recurrent' or '--network'?)",
        ),
        ("--env-id CartPole-v1", " (did you mean '--env'?)"),
        ("--cuda", " (did you mean '--device=gpu'?)"),
        ("--exp-name first", " (did you mean '--run-dir'?)"),
        ("--tensorboard-log logs", " (did you mean '--log-to=tensorboard'?)"),
        ("--track", " (did you mean '--log-to=wandb'?)"),
        (
            "--capture-video",
            ": VisualDL shows frames of an episode after each evaluation, and evaluate RUN --record FILE ",
        ),
        ("--env ALE/Pong-v5 --episode-life", " (did you mean '--terminal-on-life-loss'?)"),
        ("--repeat-action-probability 0.25", " (did you mean '--sticky-actions'?)"),
        ("--clip-rewards", " (did you mean '--reward-clip'?)"),
        ("--noop-max 30", ": Atari games have it by their protocol: "),
        ("--full-action-space", ": --env-kwargs full_action_space=true"),
        ("--unlike-everything-else", "\n"),
    ],
)
def test_flags_of_other_libraries_get_ours_as_a_hint(capsys, arguments, said):
    code, _, errors = run_main(capsys, "train.py", *arguments.split())
    assert code == 2 and said in errors and errors.startswith("error: unknown argument --") and errors.count("\n") == 1


def test_names_of_other_libraries_get_ours_as_a_hint_in_yaml_and_in_python(capsys, tmp_path):
    (tmp_path / "theirs.yaml").write_text("algo: ppo\nbatch_size: 64\n")
    code, _, errors = run_main(capsys, "train.py", "--config", str(tmp_path / "theirs.yaml"))
    assert code == 2 and errors.endswith("'batch_size' of ppo (did you mean 'minibatch_size'?)\n")
    with pytest.raises(ConfigError, match=r"'n_steps' of a2c \(did you mean 'num_steps'\?\)"):
        make_config({"algo": "a2c", "n_steps": 5})
    with pytest.raises(ConfigError, match=r"'anneal_lr' of a2c \(did you mean 'lr_schedule=linear'\?\)"):
        make_config({"algo": "a2c", "anneal_lr": True})


def test_every_hint_names_what_there_is():
    flags = {"algo"}
    for command in COMMANDS:
        parser = importlib.import_module(f"paddle_ac.commands.{command}")
        flags |= set(re.findall(r'"--([\w-]+)"', inspect.getsource(parser)))
    flags = {flag.replace("-", "_") for flag in flags} | {"run_dir"}
    fields = {name for algo in CONFIGS for name in CONFIGS[algo].model_fields}
    functions = (paddle_ac.make, paddle_ac.train, paddle_ac.evaluate, Agent.predict)
    arguments = {name for function in functions for name in inspect.signature(function).parameters}
    for theirs, ours in [*hints._OURS.items(), *((name, needed) for name, (needed, _) in hints._ADVICE.items())]:
        assert {name.partition("=")[0] for name in ours} <= flags | fields | arguments, theirs


PACKAGES = [
    ("MiniGrid-Empty-5x5-v0", "MiniGrid-Emty-5x5-v0", "minigrid", "minigrid"),
    ("FetchReach-v4", "FetchRaech-v4", "gymnasium_robotics", "gymnasium-robotics"),
    ("highway-fast-v0", "highway-fasst-v0", "highway_env", "highway-env"),
]


def make_error(env: str) -> str:
    with pytest.raises(ConfigError) as raised:
        make_training_envs(make_config({"algo": "a2c", "env": env, "vec": "serial"}))
    return str(raised.value)


@pytest.fixture
def gymnasium_alone(monkeypatch, tmp_path) -> Path:
    """A folder for packages, where Gymnasium knows nothing that another package registers."""
    for _, module, _ in ENV_PACKAGES:
        monkeypatch.setitem(sys.modules, module, None)
        del sys.modules[module]  # the end of the test removes what it imports
    patterns = [pattern for pattern, *_ in ENV_PACKAGES]
    own = {known: spec for known, spec in gymnasium.registry.items() if not any(re.match(p, known) for p in patterns)}
    monkeypatch.setattr(gymnasium.envs.registration, "registry", own)
    monkeypatch.setattr(gymnasium, "registry", own)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("env,_,module,requirement", PACKAGES)
def test_hint_names_the_package_that_registers_an_environment(
    monkeypatch, gymnasium_alone, env, _, module, requirement
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    error = make_error(env)
    assert error.endswith(f"; pip install {requirement}, then write {module}:{env}") and ".;" not in error


@pytest.mark.parametrize("env,misspelt,module,_", PACKAGES)
def test_hint_names_the_nearest_environment_that_an_installed_package_has(gymnasium_alone, env, misspelt, module, _):
    (gymnasium_alone / f"{module}.py").write_text(f"import gymnasium\ngymnasium.register({env!r}, 'somewhere:Env')\n")
    for given in (env, misspelt):
        assert make_error(given).endswith(f"(did you mean '{module}:{env}'?)")
        sys.modules.pop(module)
        gymnasium.registry.pop(env)


def test_hints_name_packages_rather_than_extras_of_a_clone():
    lines = [
        f"{file.name}: {line}"
        for file in (ROOT / "paddle_ac").rglob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    assert [line for line in lines if re.search(r"-e \.|-e \W*\.\[", line)] == []
    assert {line.partition(":")[0] for line in lines if "pip install" in line} == {"errors.py", "make.py"}


@pytest.mark.parametrize("tool", ["train.py", "evaluate.py", "benchmark.py", "tune.py", "plot.py"])
def test_help_tells_every_flag_with_its_default(capsys, tool):
    code, output, _ = run_main(capsys, tool, "--help")
    assert code == 0
    if tool == "evaluate.py":
        flags = ["--episodes", "[100]", "--record", "--render"]
    elif tool == "plot.py":
        flags = ["--metric", "[charts/episode_return]", "--output", "[curves.png]"]
    else:
        flags = [f"--{name.replace('_', '-')} " for name in ("num_envs", "entropy_coef", "gamma")] + ["[500_000]"]
        groups = [line[:-1] for line in output.splitlines() if line.endswith(":") and not line.startswith(" ")]
        own_groups = ["run", "evaluation and logging", "algorithm", "network", "optimizer"]
        assert groups[:7] == ["algorithms", "options", *own_groups]
    assert all(flag in output for flag in flags)


def test_flags_whose_default_depends_on_others_are_read_like_the_rest(capsys):
    _, output, _ = run_main(capsys, "train.py", "--algo=a2c", "--help")
    for flag in ("--shared-torso, --no-shared-torso", "--activation tanh|relu", "--hidden-sizes N,N"):
        assert flag in output


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "tool", ["train.py", "evaluate.py", "benchmark.py", "tune.py", "plot.py", "export.py", "dashboard.py"]
)
def test_help_fits_the_terminal(capsys, monkeypatch, tool, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, output, _ = run_main(capsys, tool, "--help")
    assert max(map(len, output.splitlines())) <= columns


@pytest.mark.parametrize(
    "seconds,told",
    [
        (0.04, "less than 0.1 s"),
        (0.06, "0.1 s"),
        (99.9, "99.9 s"),
        (99.96, "1 min 40 s"),
        (200.3, "3 min 20 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_times_are_readable(seconds, told):
    assert as_duration(seconds) == told


@pytest.fixture
def summary(monkeypatch) -> dict:
    """Of a run that came to its end, with pictures."""
    monkeypatch.setattr(sys, "argv", ["tools/train.py"])
    summary = {"stopped_by": "total_steps", "env_steps": 1_234_567, "episodes": 4321, "train_seconds": 200.3}
    summary |= {
        "algo": "a2c",
        "env": "CartPole-v1",
        "network": None,
        "wrappers": [],
        "run_dir": "runs/my first",
        "has_pictures": True,
        "asynchronous": False,
    }
    return summary | {"mean_return_last_100": 480.04, "eval_mean_return": 500.0, "best_eval_mean_return": 500.0}


def test_the_end_of_a_run_tells_what_to_type_next(summary):
    assert report_run(summary) == (
        "trained for 1,234,567 steps, 4,321 episodes in 3 min 20 s, without evaluations\n"
        "mean return, last 100 episodes: 480.0\n"
        "mean return, evaluation at the end: 500.0\n"
        "run folder: 'runs/my first'\n"
        "  evaluate:  python tools/evaluate.py 'runs/my first' --episodes 100\n"
        "  watch:     python tools/evaluate.py 'runs/my first' --record episode.gif\n"
        "  curves:    python tools/dashboard.py 'runs/my first'"
    )
    interrupted = report_run({**summary, "stopped_by": "interrupt", "eval_mean_return": None})
    assert interrupted.startswith("interrupted after 1,234,567 steps")
    assert (
        "\n  resume:    python tools/train.py --resume 'runs/my first'\n" in interrupted
        and "--checkpoint" not in interrupted
    )
    early = {**summary, "stopped_by": "interrupt", "eval_mean_return": None, "best_eval_mean_return": None}
    assert "--checkpoint latest --episodes 100\n" in report_run(early)


def test_the_time_of_a_run_is_reported_with_the_parts_it_leaves_out(summary):
    def first_line(**changes) -> str:
        return report_run({**summary, **changes}).splitlines()[0]

    assert first_line(episodes=1).endswith(", 1 episode in 3 min 20 s, without evaluations")
    assert first_line(best_eval_mean_return=None).endswith("episodes in 3 min 20 s")
    assert first_line(asynchronous=True).endswith("in 3 min 20 s, without the start of the workers")
    assert first_line(asynchronous=True, train_seconds=0.0, episodes=15).endswith("steps, 15 episodes")


def test_what_to_type_next_works_where_it_is_typed(summary, monkeypatch):
    for tool, told in (
        ("/some/where/tools/train.py", "python /some/where/tools/evaluate.py "),
        ("/my tools/train.py", "python '/my tools/evaluate.py' "),
        ("train.py", "python evaluate.py "),
        ("/env/bin/python/paddle_ac/__main__.py", "python -m paddle_ac evaluate "),
        ("/some/where/paddle-ac", "/some/where/paddle-ac evaluate "),
    ):
        monkeypatch.setattr(sys, "argv", [tool])
        assert report_run(summary).count(told) == 2


def test_an_environment_without_pictures_is_not_offered_to_be_watched(summary):
    assert "--record" in report_run(summary)
    told = report_run({**summary, "has_pictures": False})
    assert "--record" not in told and "python tools/export.py 'runs/my first' --format paddle\n" in told


QUICK_RUN = ("--total-steps=200", "--eval-episodes=1", "--vec=serial", "--no-progress")


def test_what_is_offered_at_the_end_of_a_run_can_be_recorded(capsys, tmp_path):
    code, output, _ = run_main(capsys, "train.py", *QUICK_RUN, f"--run-dir={tmp_path / 'run'}")
    assert code == 0 and "--record episode.gif" in output
    run_main(capsys, "evaluate.py", str(tmp_path / "run"), "--record", str(tmp_path / "episode.gif"))
    assert (tmp_path / "episode.gif").is_file()


def test_that_an_environment_has_no_pictures_is_said_with_its_name_once(capsys, tmp_path, caplog):
    env = "tests.environments:test/Walk-v0"
    with caplog.at_level("INFO", logger="paddle_ac"):
        code, output, _ = run_main(capsys, "train.py", *QUICK_RUN, f"--env={env}", f"--run-dir={tmp_path / 'run'}")
    assert code == 0 and "--record" not in output
    assert caplog.messages[-1] == f"no pictures of {env}: its render modes are []"
    code, _, errors = run_main(
        capsys, "evaluate.py", "--run-dir", str(tmp_path / "run"), "--record", str(tmp_path / "episode.gif")
    )
    assert code == 2 and errors == f"error: environment {env!r} has no pictures: its render modes are []\n"


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS")
def test_a_library_without_room_in_memory_is_one_line(tmp_path):
    limit = 300 * 2**20
    ended = subprocess.run(
        [sys.executable, str(TOOLS / "train.py"), "--total-steps=100"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    last_line = ended.stderr.splitlines()[-1]
    assert ended.returncode == 1 and last_line.startswith("error: out of memory: ") and "Traceback" not in ended.stderr


INTERRUPTED_IMPORT = """
import atexit, importlib.abc, os, signal, sys

class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "paddle.nn":  # Paddle's own handlers are set up by then
            os.kill(os.getpid(), int(os.environ["SIGNAL"]))

sys.meta_path.insert(0, Interrupt())
atexit.register(lambda: print("whole" if hasattr(sys.modules.get("paddle"), "to_tensor") else "broken off"))
"""


@pytest.mark.parametrize(
    "number,flags",
    [
        (signal.SIGINT, ("train.py", "--total-steps=100")),
        (signal.SIGTERM, ("train.py", "--total-steps=100")),
        (signal.SIGHUP, ("train.py", "--total-steps=100")),
        (signal.SIGINT, ("export.py", "--run-dir=nowhere")),
        (signal.SIGTERM, ("benchmark.py", "--rounds=1")),
        pytest.param(signal.SIGTERM, ("export.py", "--run-dir=nowhere"), marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, ("export.py", "--run-dir=nowhere"), marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, ("benchmark.py", "--rounds=1"), marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, ("benchmark.py", "--rounds=1"), marks=pytest.mark.slow),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value.name,
)
def test_a_stop_signal_in_the_middle_of_paddles_import_waits_for_its_end(tmp_path, flags, number):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED_IMPORT)
    tool, *arguments = flags
    ended = subprocess.run(
        [sys.executable, str(TOOLS / tool), *arguments],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
            "SIGNAL": str(int(number)),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + number, "whole\n", "")
    assert not (tmp_path / "runs").exists()


def test_nobody_reads_on(tmp_path):
    """As after `| head`: the run is trained to its end and written down."""
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, str(TOOLS / "train.py"), "--total-steps=500", f"--run-dir={tmp_path / 'run'}"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")
    assert (tmp_path / "run" / "summary.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ("train.py", "--env=CartPole-v0", "--vec=serial"),
        ("train.py", "--env=gym:CartPole-v0", "--vec=subproc", "--num-envs=4"),
        ("train.py", "--env=ale_py:ALE/Pong-v5", "--vec=subproc", "--num-envs=2", "--eval-max-steps=5"),
        ("train.py", "--env=ale_py:ALE/Pong-v5", "--vec=native", "--num-envs=2", "--eval-max-steps=5"),
        ("train.py", "--algo=a3c", "--env=gym:CartPole-v0", "--seeds=0,1"),
        ("benchmark.py", "--rounds=1", "--seconds=0.05", "--env=gym:CartPole-v0"),
        ("tune.py", "--env=gym:CartPole-v0", "--trials=1"),
    ],
    ids=lambda flags: " ".join(flags[:3]),
)
def test_nothing_warns_of_what_a_user_can_do_nothing_about(tmp_path, flags):
    tool, *flags = flags
    command = [sys.executable, str(TOOLS / tool), "--total-steps=200", "--eval-episodes=1", *flags]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0 and ended.stderr == ""
    assert not re.search("warning|notice|deprecat|out of date|powered by", ended.stdout, re.IGNORECASE)


@pytest.mark.slow
def test_environments_of_a_module_in_the_current_folder(tmp_path):
    (tmp_path / "walks.py").write_text(
        "import gymnasium\nfrom tests.environments import RandomWalk\ngymnasium.register('Walk-v0', RandomWalk)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for tool, *flags in (
        ("train.py", "--env=walks:Walk-v0", "--vec=subproc", "--total-steps=100", "--eval-episodes=1", "--run-dir=run"),
        ("train.py", "--env=walks:Walk-v0", "--seeds=0", "--total-steps=100", "--eval-episodes=1", "--run-dir=repeats"),
        ("evaluate.py", "--run-dir=run", "--episodes=1", "--import-here"),
        ("train.py", "--resume=run", "--total-steps=600", "--import-here"),
    ):
        command = [sys.executable, str(TOOLS / tool), *flags]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stderr
        assert "--import-here" in ended.stdout or tool == "evaluate.py"


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate.py", "--run-dir=."),
        pytest.param(("evaluate.py", "--run-dir=.", "--record=a.gif"), marks=pytest.mark.slow),
        pytest.param(("export.py", "--run-dir=."), marks=pytest.mark.slow),
        ("train.py", "--resume=.", "--total-steps=200000"),
        pytest.param(("train.py", "--resume=repeats", "--total-steps=200000"), marks=pytest.mark.slow),
        ("tune.py", "--study-dir=study", "--trials=1"),
        pytest.param(("plot.py", "."), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_a_run_of_somebody_else_does_not_import_from_the_current_folder(tmp_path, command):
    (tmp_path / "trap.py").write_text("open('sprung', 'w').close()\n")
    for folder in ("repeats", "study"):
        (tmp_path / folder).mkdir()
    config = make_config({"algo": "a2c", "env": "trap:Walk-v0", "vec": "serial"})
    write_yaml(config, tmp_path / "config.yaml")
    write_yaml(config, tmp_path / "study" / "base.yaml")
    (tmp_path / "study" / "space.yaml").write_text("gamma: [0.9]\n")
    repeats = "algo: a2c\nenv: trap:Walk-v0\nvec: serial\nseeds: [0]\n"
    (tmp_path / "repeats" / "repeats.yaml").write_text(repeats)
    tool, *flags = command
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run(
        [sys.executable, str(TOOLS / tool), *flags],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1, ended.stderr
    assert not (tmp_path / "sprung").exists()
    if command[0] in ("evaluate.py", "export.py"):
        assert "trap in the current folder is imported with --import-here, for a run that you trust" in ended.stderr


@pytest.mark.parametrize(
    "arguments,said",
    [
        (["rnus"], "there is no folder 'rnus' (did you mean 'runs'?)"),
        (["--logdir", "runs"], "unknown argument --logdir"),
    ],
)
def test_a_folder_to_be_looked_at_is_there(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    code, _, errors = run_main(capsys, "dashboard.py", *arguments)
    assert code == 2 and said in errors and errors.count("\n") == 1


def test_a_mistake_is_reported_without_importing_paddle():
    script = "import sys, paddle_ac.commands.train; print('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("algo", CONFIGS)
def test_the_default_configuration_is_the_algorithms_own(algo):
    task = "pendulum" if algo in ("sac", "td3", "ddpg") else "cartpole"
    values = read_yaml(TOOLS.parent / "configs" / f"{algo}_{task}.yaml")
    assert make_config(values) == make_config({"algo": algo})
