"""A search: seeded, pruned, resumed, and shown in VisualDL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from visualdl import LogReader
from visualdl.server.lib import get_hparam_list

from paddle_ac.commands.report import report_study
from paddle_ac.config import CONFIGS, A2CConfig, make_config, read_yaml, write_yaml
from paddle_ac.errors import ConfigError
from paddle_ac.training import side_by_side
from paddle_ac.training import tune as tune_module
from paddle_ac.training.callback import Callback
from paddle_ac.training.progress import FittingBar
from paddle_ac.training.run_folder import RunFolder
from paddle_ac.training.runs import train
from paddle_ac.training.tune import choose_space, plan, tune
from tests.environments import misbehaving_id
from tests.paths import ROOT
from tests.short_runs import QUICK, wait_until

BASE = {**QUICK, "vec": "serial", "total_steps": 1200, "eval_interval": 10_000, "eval_episodes": 2}
SPACE = {
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "num_steps": {"low": 4, "high": 16},
    "gamma": [0.9, 0.99],
}


def quick_tune(folder: Path, num_trials: int, eval_interval: int | None = 200, **changes) -> dict:
    config = make_config({**BASE, **changes})
    return tune(config, SPACE, num_trials, str(folder), num_jobs=1, eval_interval=eval_interval)


def trials_of(folder: Path) -> list:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.load_study(
        study_name="study", storage=JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    ).trials


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("studies") / "cartpole"
    quick_tune(folder, 3)
    return folder


def test_every_trial_is_a_run_with_its_parameters(study):
    trials = trials_of(study)
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    for trial in trials:
        folder = RunFolder(study / f"trial-{trial.number:04}")
        config = folder.read_config()
        assert {
            name: getattr(config, name) for name in trial.params
        } == trial.params and trial.params.keys() == SPACE.keys()
        assert trial.value == folder.read_summary()["eval_mean_return"]
        assert list(trial.intermediate_values) == [1, 2, 3, 4, 5, 6]
    assert len({str(trial.params) for trial in trials}) == 3


def test_the_first_trial_is_the_configuration_as_it_is(study):
    base = make_config(BASE)
    assert trials_of(study)[0].params == {name: getattr(base, name) for name in SPACE}


def test_the_best_configuration_is_the_users_with_the_best_values_and_without_the_tuners_interval(study):
    best = max(trials_of(study), key=lambda trial: trial.value)
    config = make_config(read_yaml(study / "best.yaml"))
    assert config == make_config({**BASE, **best.params})


@pytest.mark.slow
def test_the_same_seed_searches_the_same(study, tmp_path):
    quick_tune(tmp_path / "again", 2)
    assert [trial.params for trial in trials_of(tmp_path / "again")] == [trial.params for trial in trials_of(study)[:2]]


def test_the_same_call_goes_on_until_all_trials_are_done(tmp_path):
    quick_tune(tmp_path / "study", 1)
    result = quick_tune(tmp_path / "study", 2, eval_interval=None)
    assert RunFolder(tmp_path / "study" / "trial-0001").read_config().eval_interval == 200, "as in the first call"
    assert result["trials"] == {"complete": 2, "pruned": 0, "failed": 0} and result["stopped_by"] == "trials"
    assert quick_tune(tmp_path / "study", 2)["trials"]["complete"] == 2, "nothing is left to do"
    trials = trials_of(tmp_path / "study")
    assert len(trials) == 2 and len({str(trial.params) for trial in trials}) == 2


def test_visualdl_shows_the_curves_and_hyper_parameters_of_all_trials(study):
    reader = LogReader(logdir=str(study))
    reader.load_new_data()
    rows = get_hparam_list(reader)
    assert sorted(row["hparams"]["num_steps"] for row in rows) == sorted(
        t.params["num_steps"] for t in trials_of(study)
    )
    assert all("eval/mean_return" in row["metrics"] for row in rows)


@pytest.mark.slow
def test_a_trial_that_is_worse_than_the_others_is_given_up(tmp_path, monkeypatch):
    """Five trials of a good learning rate, then one that learns nothing: its evaluations are far below the median."""
    told = []
    real = side_by_side.run_side_by_side

    def run_side_by_side(jobs, num_jobs, on_point, on_end):
        def worsened(job, env_steps, mean_return):
            number = int(job.run_dir[-4:])
            told.append((number, env_steps))
            return on_point(job, env_steps, None if mean_return is None else 100.0 - number)

        return real(jobs, num_jobs, worsened, on_end)

    monkeypatch.setattr("paddle_ac.training.tune.run_side_by_side", run_side_by_side)
    result = quick_tune(tmp_path / "study", 6)
    assert result["trials"] == {"complete": 5, "pruned": 1, "failed": 0}
    pruned = RunFolder(tmp_path / "study" / "trial-0005")
    summary = pruned.read_summary()
    assert summary["stopped_by"] == "pruned" and 400 <= summary["env_steps"] < 800 and pruned.latest.is_file()
    assert [steps for number, steps in told if number == 0][-1] >= 1200
    assert "1 pruned" in report_study(result)


def test_no_trial_is_more_than_whole_on_the_bar(tmp_path, monkeypatch):
    told = []

    class Bar(FittingBar):
        def set_postfix_str(self, s="", refresh=True):
            told.append(s)
            super().set_postfix_str(s, refresh)

    monkeypatch.setattr(tune_module, "FittingBar", Bar)
    quick_tune(tmp_path / "study", 1, total_steps=1000, eval_interval=1000, num_envs=64)
    steps = RunFolder(tmp_path / "study" / "trial-0000").read_summary()["env_steps"]
    assert steps > 1050, "the last update goes beyond"
    assert told[-1] == "trial 0 100%"


def test_an_evaluation_stops_a_run_that_is_not_to_go_on(tmp_path):
    heard = []

    class Listener(Callback):
        def on_log(self, run, point):
            if not point.is_last:
                heard.append((point.env_steps, point.metrics.get("eval/mean_return")))
            if point.env_steps >= 400:
                run.stop("pruned", evaluate=False)

    config = make_config({**BASE, "log_interval": 100, "eval_interval": 200})
    summary = train(config, str(tmp_path / "run"), callbacks=[Listener()])
    assert summary["stopped_by"] == "pruned" and summary["env_steps"] == 400
    assert [env_steps for env_steps, _ in heard] == [100, 200, 300, 400]
    assert [mean_return is None for _, mean_return in heard] == [True, False, True, False]
    assert summary["eval_mean_return"] is None and summary["best_eval_mean_return"] == max(heard[1][1], heard[3][1])


def test_numbers_of_a_space_are_read_as_those_of_a_configuration(tmp_path):
    (tmp_path / "space.yaml").write_text("learning_rate: {low: 1e-4, high: 1e-2, log: true}\nvalue_coef: [5e-1, 1]\n")
    config = make_config(BASE)
    space = choose_space(config, set(), read_yaml(tmp_path / "space.yaml"))
    tune(config, space, 1, str(tmp_path / "study"), num_jobs=1)
    (trial,) = trials_of(tmp_path / "study")
    assert trial.params == {"learning_rate": config.learning_rate, "value_coef": 0.5}, "its own values come first"


def test_a_trial_that_fails_does_not_end_the_search(tmp_path, capsys):
    result = quick_tune(
        tmp_path / "study", 2, env=f"tests.environments:{misbehaving_id('nan reward')}", total_steps=3020
    )
    assert result["trials"] == {"complete": 0, "pruned": 0, "failed": 2} and result["best"] is None
    assert "trial 1: failed: NonFiniteError: reward of environment 0" in capsys.readouterr().out
    assert "no trial is complete" in report_study(result)


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_begins_the_rest_again(tmp_path):
    folder = tmp_path / "study"
    flags = ("--total-steps=3000", "--vec=serial", "--jobs=1", "--trials=500", f"--study-dir={folder}")
    process = start_tune(*flags)
    wait_until(lambda: (folder / "best.yaml").is_file() and (folder / "trial-0002" / "progress.csv").is_file())
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors == ""
    assert f"python {ROOT / 'tools' / 'tune.py'} --study-dir {folder} --trials 500\n" in output
    *done, stopped = trials_of(folder)
    assert all(trial.state.name in ("COMPLETE", "PRUNED") for trial in done) and stopped.state.name == "RUNNING"
    process = start_tune(f"--study-dir={folder}", f"--trials={len(done) + 1}", "--jobs=1")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and errors == "", errors
    again = trials_of(folder)[len(done) + 1 :]
    assert [trial.params for trial in again] == [stopped.params] and again[0].state.is_finished()
    left = sorted(path.name for path in folder.glob("trial-*"))
    assert left == [f"trial-{trial.number:04}" for trial in (*done, *again)], "what was begun again is there once"
    assert f"{len(done) + 1:,} complete" in output or "pruned" in output


@pytest.mark.parametrize("algo", CONFIGS)
def test_every_algorithm_has_a_space_that_its_configuration_takes(algo):
    config = make_config({"algo": algo})
    space = choose_space(config, fixed={"gamma"})
    assert "gamma" not in space and len(space) >= 5
    assert any("learning_rate" in name for name in space)


def test_a_new_study_evaluates_often_enough_to_give_up_early(tmp_path):
    planned = plan({}, {"total_steps": 50_000, "gamma": 0.9})
    assert planned.eval_interval == 5000 and planned.config == make_config(
        {"algo": "a2c", "total_steps": 50_000, "gamma": 0.9}
    )
    assert "gamma" not in planned.space and planned.study_dir == "runs/tune-CartPole-v1-a2c"
    given = plan({"eval_interval": 7}, {})
    assert given.eval_interval is None and given.config.eval_interval == 7


@pytest.mark.parametrize(
    "space,said",
    [
        (
            {"learnin_rate": [1e-3]},
            "unknown hyper-parameter 'learnin_rate' in the space (did you mean 'learning_rate'?)",
        ),
        ({"gamma": [0.9, 1.5]}, "space of gamma: must be less than or equal to 1, got 1.5"),
        ({"gamma": {"low": 0.9, "high": 1.5}}, "space of gamma: must be less than or equal to 1, got 1.5"),
        ({"gamma": 0.9}, "space of gamma: must be a list of choices, or low and high (and log), got 0.9"),
        ({"gamma": {"low": 0.9, "hihg": 1.0}}, "space of gamma: must be a list of choices"),
        ({"gamma": {"low": 0.9, "high": 0.5}}, "space of gamma: "),
        ({"gamma": {"low": 0.0, "high": 0.5, "log": True}}, "space of gamma: "),
        ({}, "nothing is known that could be searched for a2c: give --space FILE"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(space, said):
    with pytest.raises(ConfigError) as raised:
        choose_space(make_config({"algo": "a2c"}), set(), space)
    assert said in str(raised.value) and str(raised.value).count("space") == 1


@pytest.mark.parametrize(
    "algo,some,none",
    [
        ("a2c", {"learning_rate", "lr_schedule", "gae_lambda", "normalize_rewards"}, {"clip_range", "tau", "seed"}),
        ("ppo", {"learning_rate", "clip_range", "num_epochs", "minibatch_size"}, {"tau"}),
        ("reinforce", {"learning_rate", "entropy_coef"}, {"num_steps", "gae_lambda"}),
        ("td3", {"gamma", "policy_delay", "action_noise", "critic_learning_rate"}, {"learning_rate", "init_alpha"}),
        ("sac", {"gamma", "tau", "batch_size", "actor_learning_rate", "normalize_rewards"}, {"learning_rate"}),
    ],
)
def test_default_space_is_what_the_fields_of_the_algorithm_declare(algo, some, none):
    space = choose_space(make_config({"algo": algo}), set())
    assert some <= space.keys() and not none & space.keys()


def test_field_with_another_default_keeps_the_search_of_its_group_unless_it_declares_one():
    assert CONFIGS["a2c"].search_space["num_steps"] == CONFIGS["td_ac"].search_space["num_steps"]
    assert CONFIGS["ppo"].search_space["num_steps"] != CONFIGS["a2c"].search_space["num_steps"]


@pytest.mark.parametrize("algo", CONFIGS)
def test_default_values_that_are_ranges_lie_within_the_default_space(algo):
    config = make_config({"algo": algo})
    for name, choices in config.search_space.items():
        value = getattr(config, name)
        assert value in choices if isinstance(choices, list) else choices["low"] <= value <= choices["high"], name


def test_where_nothing_is_searched_it_says_whether_flags_are_the_cause(monkeypatch):
    monkeypatch.setattr(A2CConfig, "search_space", {"gamma": [0.9, 0.99]})
    with pytest.raises(ConfigError, match="nothing is left to be searched: leave out flags"):
        choose_space(make_config({"algo": "a2c"}), {"gamma", "env"})
    monkeypatch.setattr(A2CConfig, "search_space", {})
    with pytest.raises(ConfigError, match="nothing is known that could be searched for a2c: give --space FILE"):
        choose_space(make_config({"algo": "a2c"}), {"gamma", "env"})


@pytest.mark.parametrize("content", [b"\xff\xfe\n", b"{\n{}\n", b"3\n[]\n", b'{"op_code": 99}\n'])
def test_a_damaged_journal_is_named(tmp_path, content):
    config = make_config({**QUICK, "vec": "serial"})
    write_yaml(config, tmp_path / "base.yaml")
    (tmp_path / "space.yaml").write_text("gamma: [0.9, 0.99]\n")
    (tmp_path / "study.journal").write_bytes(content)
    with pytest.raises(ConfigError, match=r"study\.journal is damaged: ") as caught:
        tune(config, {"gamma": [0.9, 0.99]}, 1, str(tmp_path))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


def test_another_search_in_the_same_folder_is_refused(study, tmp_path):
    with pytest.raises(ConfigError, match=r"is a study with num_envs 4, not 5"):
        quick_tune(study, 4, num_envs=5)
    with pytest.raises(ConfigError, match="is a study of another space"):
        tune(make_config(BASE), {"gamma": [0.9]}, 4, str(study))
    with pytest.raises(ConfigError, match="gamma is searched by the study"):
        plan({}, {"gamma": 0.5}, study_dir=str(study))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is in use, and not by a study"):
        quick_tune(tmp_path, 1)
    with pytest.raises(ConfigError, match="CartPole-v7"):
        quick_tune(tmp_path / "new", 1, env="CartPole-v7", vec="auto")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt"]


def test_without_optuna_it_says_what_to_install(tmp_path):
    run = f"import runpy; runpy.run_path({str(ROOT / 'tools' / 'tune.py')!r}, run_name='__main__')"
    hidden = f"import sys; sys.modules['optuna'] = None; sys.argv = ['tune.py']; {run}"
    ended = subprocess.run([sys.executable, "-c", hidden], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr == "error: tune needs optuna: pip install optuna\n"
    assert not list(tmp_path.iterdir())


def start_tune(*flags: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tools" / "tune.py"), *flags],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
