"""Whole runs: repeatable and resumable to the last bit, watched, and safe from accidents."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import portalocker
import psutil
import pytest
import yaml
from threadpoolctl import threadpool_info, threadpool_limits
from visualdl import LogReader

from multiprocessing_env import DummyVecEnv, EnvironmentFailedError, WorkerDiedError, WorkerTimeoutError
from paddle_ac.algorithms.a2c import A2C
from paddle_ac.checkpoint import load_checkpoint, save_checkpoint
from paddle_ac.config import make_config
from paddle_ac.envs.make import EVALUATION, FINAL_EVALUATION, make_evaluation_envs, make_training_envs
from paddle_ac.envs.wrappers import EpisodeReplay
from paddle_ac.errors import CheckpointError, ConfigError, NonFiniteError
from paddle_ac.nn.numpy_network import NumpyActorCritic
from paddle_ac.nn.optimizers import RMSProp
from paddle_ac.training import plotting
from paddle_ac.training.callback import Callback
from paddle_ac.training.evaluate import evaluate, evaluate_run, load_policy
from paddle_ac.training.run_folder import RunFolder
from paddle_ac.training.runs import resume, train
from tests.environments import Misbehaving, Paying, misbehaving_id
from tests.leftovers import leaked_shared_memory, shared_memory
from tests.short_runs import (
    PARALLEL,
    QUICK,
    assert_same_run,
    quick_run,
    run_tool,
    start_tool,
    visualdl_curves,
    wait_until,
)

# ------------------------------------------------------------------------------------------------- the same numbers


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "uninterrupted"
    quick_run(folder, 3020)
    return folder


def test_the_same_seed_gives_the_same_run_in_worker_processes(uninterrupted, tmp_path):
    quick_run(tmp_path / "parallel", 3020, **PARALLEL)
    assert_same_run(uninterrupted, tmp_path / "parallel")


def test_another_seed_gives_another_run(uninterrupted, tmp_path):
    quick_run(tmp_path / "other", 3020, seed=1)
    with pytest.raises(AssertionError):
        assert_same_run(uninterrupted, tmp_path / "other")


@pytest.mark.parametrize("options", [{}, PARALLEL], ids=["serial", "workers"])
def test_stopping_and_going_on_gives_the_same_run_as_never_stopping(uninterrupted, tmp_path, options):
    quick_run(tmp_path / "run", 1510, **options)
    resume(str(tmp_path / "run"), {"total_steps": 2200})
    summary = resume(str(tmp_path / "run"), {"total_steps": 3020})
    assert_same_run(uninterrupted, tmp_path / "run")
    assert summary["env_steps"] == 3020 and summary["stopped_by"] == "total_steps"
    assert RunFolder.open(tmp_path / "run").read_config().total_steps == 3020
    expected = json.loads((uninterrupted / "summary.json").read_text())
    for name in ("updates", "episodes", "mean_return_last_100", "eval_mean_return", "best_env_steps"):
        assert summary[name] == expected[name]


def test_environments_vectorised_by_their_maker_are_resumed_exactly_too(tmp_path):
    options = {"algo": "paac", "num_envs": 12}
    quick_run(tmp_path / "whole", 3000, **options, lr_decay_steps=9000)
    assert RunFolder.open(tmp_path / "whole").read_config().vec == "native", "settled, and written down"
    quick_run(tmp_path / "run", 1500, **options, lr_decay_steps=9000)
    resume(str(tmp_path / "run"), {"total_steps": 3000, "vec": "auto"})
    assert RunFolder.open(tmp_path / "run").read_config().vec == "native"
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    with pytest.raises(CheckpointError, match="the state is of environments that their maker vectorised"):
        resume(str(tmp_path / "run"), {"total_steps": 4000, "vec": "serial"})


OFF_POLICY = {"learning_starts": 90, "batch_size": 16, "buffer_size": 2000}


@pytest.mark.parametrize(
    "changes",
    [
        {"algo": "reinforce"},
        {"algo": "td_ac"},
        {"algo": "q_ac"},
        {"algo": "paac"},
        {"algo": "sac", "env": "test/Continuous-v0", **OFF_POLICY},
        {"algo": "td3", "env": "test/Continuous-v0", **OFF_POLICY},
        {"algo": "ddpg", "env": "test/Continuous-v0", **OFF_POLICY},
        {"algo": "ppo", "num_steps": 50, "minibatch_size": 30},
        {"algo": "soft_q", "train_freq": 8, "gradient_steps": 2, "learning_starts": 100, "dueling": True},
        {"algo": "sac_discrete", "train_freq": 8, "gradient_steps": 2, "learning_starts": 100, "batch_size": 16},
        {"algo": "pgql", "learning_starts": 300, "batch_size": 16, "normalize_rewards": True},
        {"algo": "dqn", "train_freq": 8, "gradient_steps": 2, "learning_starts": 100, "exploration_fraction": 0},
        {"algo": "ppo", "num_steps": 20, "minibatch_size": 20, "num_epochs": 2, "recurrent": "lstm"},
        pytest.param({"recurrent": "lstm", "vec": "subproc"}, marks=pytest.mark.slow),
        {"recurrent": "gru", "shared_torso": True, "gae_lambda": 0.9},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_every_synchronous_member_is_resumed_exactly(tmp_path, changes):
    schedule = {} if "buffer_size" in changes else {"lr_decay_steps": 9000}
    options = {"num_envs": 3, **schedule, **changes}
    quick_run(tmp_path / "whole", 3000, **options)
    quick_run(tmp_path / "run", 1200, **options)
    resume(str(tmp_path / "run"), {"total_steps": 3000})
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_a_run_with_envpool_is_resumed_with_new_episodes(tmp_path, caplog):
    pytest.importorskip("envpool")
    quick_run(tmp_path / "run", 1500, vec="envpool")
    summary = resume(str(tmp_path / "run"), {"total_steps": 3000})
    assert summary["env_steps"] == 3000 and "cannot be brought back" in caplog.text


def test_training_computes_on_as_many_threads_as_it_was_told(tmp_path, monkeypatch):
    threads, act = set(), NumpyActorCritic.act

    def watched(*args):
        threads.update(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
        return act(*args)

    monkeypatch.setattr(NumpyActorCritic, "act", watched)
    with threadpool_limits(2, user_api="blas"):
        quick_run(tmp_path / "run", 100)
    assert threads == {1}


@pytest.mark.parametrize("moment", ["begin", "save_checkpoint"])
def test_ctrl_c_at_the_birth_of_a_run_leaves_one_that_goes_on(uninterrupted, tmp_path, monkeypatch, moment):
    home = RunFolder if moment == "begin" else sys.modules["paddle_ac.training.train"]
    real = getattr(home, moment)

    def interrupted(*args):
        os.kill(os.getpid(), signal.SIGINT)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(home, moment, interrupted)
        summary = quick_run(tmp_path / "run", 3020)
    assert (summary["stopped_by"], summary["env_steps"]) == ("interrupt", 0)
    resume(str(tmp_path / "run"))
    assert_same_run(uninterrupted, tmp_path / "run")


@pytest.mark.parametrize("options", [pytest.param({}, marks=pytest.mark.slow), PARALLEL], ids=["serial", "workers"])
def test_ctrl_c_saves_a_checkpoint_and_resume_loses_nothing(tmp_path, monkeypatch, options):
    """The environment itself interrupts the training, at a step in the middle of an update."""
    env = f"tests.environments:{misbehaving_id('interrupt')}"
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    ended = run_tool("train.py", *flags, env=env, run_dir=tmp_path / "run")
    assert ended.returncode == 130, ended.stderr
    assert "interrupted" in ended.stdout and "--resume" in ended.stdout
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["stopped_by"] == "interrupt" and 2012 <= summary["env_steps"] <= 2020
    ended = run_tool("train.py", "--resume", str(tmp_path / "run"), faults="off")
    assert ended.returncode == 0, ended.stderr
    monkeypatch.setenv("FAULTS", "off")
    quick_run(tmp_path / "uninterrupted", 3020, env=env)
    assert_same_run(tmp_path / "run", tmp_path / "uninterrupted")


def test_a_killed_training_is_resumed_from_its_last_checkpoint_with_the_same_numbers(tmp_path, monkeypatch):
    env = f"tests.environments:{misbehaving_id('killed')}"
    ended = run_tool("train.py", env=env, run_dir=tmp_path / "run")
    assert ended.returncode == -signal.SIGKILL
    assert load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]["env_steps"] == 1400
    (tmp_path / "run" / "checkpoints" / ".latest.safetensors.1.tmp").write_bytes(b"half a checkpoint")
    assert run_tool("train.py", "--resume", str(tmp_path / "run"), faults="off").returncode == 0
    monkeypatch.setenv("FAULTS", "off")
    quick_run(tmp_path / "uninterrupted", 3020, env=env)
    assert_same_run(tmp_path / "run", tmp_path / "uninterrupted")


def test_when_the_training_is_killed_its_workers_end(tmp_path):
    env = f"tests.environments:{misbehaving_id('stuck')}"
    memory_before = shared_memory()
    process = start_tool("train.py", "--vec=subproc", "--num-workers=2", env=env, run_dir=tmp_path / "run")
    training = psutil.Process(process.pid)
    progress = tmp_path / "run" / "progress.csv"
    wait_until(lambda: progress.exists() and len(progress.read_text().splitlines()) > 5)
    workers = training.children(recursive=True)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    assert not psutil.wait_procs(workers, timeout=5)[1]
    assert not leaked_shared_memory(memory_before)


# ------------------------------------------------------------------------------------------------------ what is seen


def test_a_run_folder_holds_all_of_a_run(uninterrupted):
    names = {str(path.relative_to(uninterrupted)) for path in uninterrupted.rglob("*") if path.is_file()}
    assert names == {
        "config.yaml",
        "progress.csv",
        "vdlrecords.run.log",
        "vdlgraph.run.log",
        "summary.json",
        "curves.png",
        "checkpoints/latest.safetensors",
        "best/model.safetensors",
    }
    summary = json.loads((uninterrupted / "summary.json").read_text())
    names = "algo env seed env_steps updates episodes train_seconds steps_per_second mean_return_last_100"
    for name in names.split():
        assert summary[name] is not None, name
    assert summary["env_steps"] == 3020 == summary["updates"] * 20
    assert summary["eval_episodes"] == 3 and summary["stopped_by"] == "total_steps"
    assert summary["versions"].keys() == {"paddle_ac", "python", "paddle", "numpy", "gymnasium"}
    assert (uninterrupted / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_visualdl_has_every_tag_at_rising_steps(uninterrupted):
    curves = visualdl_curves(uninterrupted)
    assert curves.keys() >= {
        "charts/episode_return",
        "charts/episode_length",
        "charts/learning_rate",
        "losses/actor",
        "losses/critic",
        "losses/entropy",
        "losses/total",
        "diagnostics/grad_norm",
        "diagnostics/explained_variance",
        "eval/mean_return",
    }
    for points in curves.values():
        steps = [step for step, _ in points]
        assert steps == sorted(set(steps))
    assert [step for step, _ in curves["eval/mean_return"]] == [1000, 2000, 3000, 3020]


def test_visualdl_has_histograms_pictures_and_the_configuration(uninterrupted):
    reader = LogReader(file_path=str(uninterrupted / "vdlrecords.run.log"))
    for tag in ("policy/probabilities", "critic/values"):
        records = reader.get_data("histogram", tag)
        assert [record.id for record in records] == [1000, 2000, 3000, 3020]
        assert all(sum(record.histogram.hist) > 100 for record in records)
    assert [record.id for record in reader.get_data("image", "eval/episode")] == [1000, 2000, 3000, 3020]
    (text,) = reader.get_data("text", "configuration")
    assert make_config(yaml.safe_load(text.text.encoded_text_string)) == RunFolder(uninterrupted).read_config()
    assert len(reader.get_data("hyper_parameters", "hparam")) == 1


def test_a_metric_that_an_algorithm_does_not_declare_is_named(tmp_path, monkeypatch):
    update = A2C.update
    monkeypatch.setattr(A2C, "update", lambda algorithm: {**update(algorithm), "losses/mine": 0.5, "losses/yours": 2.0})
    monkeypatch.setattr(A2C, "metric_tags", ("losses/yours",))
    with pytest.raises(ValueError, match=r"no column for losses/mine: .*metric_tags"):
        quick_run(tmp_path / "run", 500)
    assert "losses/mine" in json.loads((tmp_path / "run" / "summary.json").read_text())["error"]


def test_the_best_evaluation_so_far_is_a_curve(uninterrupted):
    curves = visualdl_curves(uninterrupted)
    means = [value for _, value in curves["eval/mean_return"]]
    assert [value for _, value in curves["eval/best_mean_return"]] == np.maximum.accumulate(means).tolist()


def test_an_environment_without_pictures_has_none_and_that_is_said_once(tmp_path, caplog):
    with caplog.at_level("INFO", logger="paddle_ac"):
        quick_run(tmp_path / "run", 3020, env="test/Walk-v0")
    assert caplog.text.count("no pictures of test/Walk-v0: ") == 1
    assert "image" not in LogReader(file_path=str(tmp_path / "run" / "vdlrecords.run.log")).get_tags()


def test_a_change_on_resume_is_seen_in_the_configuration(tmp_path):
    quick_run(tmp_path / "run", 1000)
    resume(str(tmp_path / "run"), {"total_steps": 1500})
    texts = LogReader(file_path=str(tmp_path / "run" / "vdlrecords.run.log")).get_data("text", "configuration")
    configs = [yaml.safe_load(record.text.encoded_text_string) for record in texts]
    assert [(record.id, config["total_steps"]) for record, config in zip(texts, configs, strict=True)] == [
        (0, 1000),
        (1000, 1500),
    ]


def test_the_configuration_of_a_run_runs_it_again(uninterrupted, tmp_path):
    ended = run_tool("train.py", "--config", str(uninterrupted / "config.yaml"), "--run-dir", str(tmp_path / "again"))
    assert ended.returncode == 0, ended.stderr
    assert_same_run(uninterrupted, tmp_path / "again")


def test_evaluating_is_repeatable_and_in_unseen_episodes(uninterrupted):
    first, second = (evaluate_run(str(uninterrupted), "latest", 3) for _ in range(2))
    assert first == second and first["episodes"] == 3 and first["env_steps"] == 3020
    assert first["mean_return"] == json.loads((uninterrupted / "summary.json").read_text())["eval_mean_return"]
    assert evaluate_run(str(uninterrupted), "latest", 3, seed=9)["mean_return"] != first["mean_return"]
    best = evaluate_run(str(uninterrupted), "best", 3, sampled=True)
    assert best["env_steps"] == load_checkpoint(RunFolder(uninterrupted).best)["env_steps"]


class AlwaysFirst:
    state_size = 0

    def act(self, observations, generator=None, state=None):
        return np.zeros(len(observations), int)


def test_an_evaluation_counts_whole_episodes_and_ends_where_an_environment_has_no_limit():
    for limit, expected in ((None, 7.0), (3, 3.0)):
        with DummyVecEnv([lambda limit=limit: EpisodeReplay(Paying(limit), (0,))] * 2) as envs:
            returns = evaluate(AlwaysFirst(), envs, 5, max_steps=7)
        assert returns.tolist() == [expected] * 5


def test_without_a_terminal_nothing_is_written_to_standard_error(tmp_path):
    ended = run_tool("train.py", "--total-steps=100", run_dir=tmp_path / "run")
    assert ended.stderr == ""
    assert f"tools/evaluate.py {tmp_path / 'run'} " in ended.stdout


def test_the_best_model_is_the_last_of_those_with_the_highest_evaluation(tmp_path, monkeypatch):
    means = iter([5.0, 9.0, 9.0, 8.0, 3.0])
    monkeypatch.setattr(
        "paddle_ac.training.train.evaluate", lambda *args, **options: 0 * evaluate(*args, **options) + next(means)
    )
    summary = quick_run(tmp_path / "run", 3020)
    assert (summary["best_eval_mean_return"], summary["best_env_steps"], summary["eval_mean_return"]) == (
        9.0,
        3000,
        3.0,
    )
    assert load_checkpoint(RunFolder(tmp_path / "run").best)["env_steps"] == 3000


def test_the_policy_at_the_end_may_be_the_best_until_the_run_goes_on(tmp_path, monkeypatch):
    def env_steps_of_best() -> int:
        folder = RunFolder(tmp_path / "run")
        with make_evaluation_envs(folder.read_config(), 0, 1) as envs:
            return load_policy(folder, folder.read_config(), "best", envs)[1]

    means = iter([5.0, 9.0, 3.0])
    monkeypatch.setattr(
        "paddle_ac.training.train.evaluate", lambda *args, **options: 0 * evaluate(*args, **options) + next(means)
    )
    summary = quick_run(tmp_path / "run", 1500)
    assert (summary["best_eval_mean_return"], summary["best_env_steps"], summary["eval_mean_return"]) == (9, 1500, 3)
    assert summary["best_is_latest"] and env_steps_of_best() == 1500
    seen = {}

    class Witness(Callback):
        def on_log(self, run, point):
            if not point.is_last:
                seen[point.env_steps] = env_steps_of_best()

    means = iter([7.0, 2.0, 1.0])
    summary = resume(str(tmp_path / "run"), {"total_steps": 2500}, callbacks=[Witness()])
    assert seen[2000] == 1500 and seen[2400] == 2000, "from the checkpoint at 2100 on that of 1500 is gone"
    assert (summary["best_eval_mean_return"], summary["best_env_steps"], summary["eval_mean_return"]) == (7, 2000, 1)
    assert not summary["best_is_latest"] and env_steps_of_best() == 2000
    curve = visualdl_curves(tmp_path / "run")["eval/mean_return"]
    assert curve == [(1000, 5), (2000, 7), (2500, 2)], "the evaluation where it was stopped is cut off"


def test_a_run_that_ends_where_an_evaluation_is_due_is_evaluated_there_once(tmp_path):
    quick_run(tmp_path / "run", 1000)
    assert [step for step, _ in visualdl_curves(tmp_path / "run")["eval/mean_return"]] == [1000]


def test_two_do_not_train_in_one_folder(tmp_path):
    quick_run(tmp_path / "run", 1000)
    before = (tmp_path / "run" / "progress.csv").read_bytes()
    with (tmp_path / "run" / "progress.csv").open("a") as table:
        portalocker.lock(table, portalocker.LockFlags.EXCLUSIVE)
        with pytest.raises(ConfigError, match="run is being trained by another process"):
            resume(str(tmp_path / "run"), {"total_steps": 2000})
    assert (tmp_path / "run" / "progress.csv").read_bytes() == before
    assert resume(str(tmp_path / "run"), {"total_steps": 2000})["env_steps"] == 2000


def test_ctrl_c_while_the_end_is_written_down_loses_nothing(tmp_path, monkeypatch):
    def interrupted(*args):
        os.kill(os.getpid(), signal.SIGINT)
        return plot_run(*args)

    plot_run = plotting.plot_run
    monkeypatch.setattr(plotting, "plot_run", interrupted)
    assert quick_run(tmp_path / "run", 1000)["stopped_by"] == "total_steps"
    assert RunFolder(tmp_path / "run").read_summary()["env_steps"] == 1000
    assert (tmp_path / "run" / "curves.png").is_file()


def test_evaluations_are_left_out_of_the_training_time(tmp_path, monkeypatch):
    def slow_evaluation(*args, **options):
        time.sleep(0.5)
        return evaluate(*args, **options)

    monkeypatch.setattr("paddle_ac.training.train.evaluate", slow_evaluation)
    started = time.perf_counter()
    summary = quick_run(tmp_path / "run", 3020)
    assert time.perf_counter() - started - summary["train_seconds"] > 5 * 0.5


def test_training_and_the_two_kinds_of_evaluation_play_different_episodes():
    config = make_config(QUICK)
    firsts = []
    for make in (make_training_envs, make_evaluation_envs):
        for purpose in [()] if make is make_training_envs else [(EVALUATION,), (FINAL_EVALUATION,)]:
            with make(config, *((0, 4, *purpose) if purpose else ())) as envs:
                firsts += [envs.reset()]
    assert len({first.tobytes() for first in firsts}) == 3
    assert len({row.tobytes() for first in firsts for row in first}) == 12


def test_the_learning_rate_falls_as_the_schedule_says(tmp_path):
    quick_run(tmp_path / "run", 3020, lr_decay_steps=1000, lr_decay_factor=0.5)
    rates = dict(visualdl_curves(tmp_path / "run")["charts/learning_rate"])
    assert rates[900] == pytest.approx(7e-4) and rates[2700] == pytest.approx(7e-4 / 4)


# --------------------------------------------------------------------------------------------------------- accidents


def test_a_nan_in_an_evaluation_is_reported():
    envs = DummyVecEnv([lambda: EpisodeReplay(Misbehaving("nan reward"), (0,))] * 2)
    with envs, pytest.raises(NonFiniteError, match="reward of evaluation environment 0"):
        evaluate(AlwaysFirst(), envs, 2, max_steps=100)


def test_parameters_that_are_not_finite_never_replace_a_good_checkpoint(tmp_path, monkeypatch):
    step = RMSProp.step

    def break_one(optimizer, gradient, learning_rate):
        step(optimizer, gradient, learning_rate)
        break_one.calls += 1
        if break_one.calls == 70:  # 1,400 steps: a checkpoint is due
            optimizer.parameters[3] = np.inf

    break_one.calls = 0
    monkeypatch.setattr(RMSProp, "step", break_one)
    with pytest.raises(NonFiniteError, match="parameter actor_torso"):
        quick_run(tmp_path / "run", 3020)
    assert load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]["env_steps"] == 700


def test_an_interrupt_in_the_final_evaluation_is_written_down_and_made_up_for(tmp_path, monkeypatch):
    quick_run(tmp_path / "run", 1000)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("paddle_ac.training.train._Loop._evaluate", interrupt)
        assert resume(str(tmp_path / "run"), {"total_steps": 1900})["stopped_by"] == "interrupt"
    summary = resume(str(tmp_path / "run"))
    assert (summary["stopped_by"], summary["env_steps"], summary["eval_episodes"]) == ("total_steps", 1900, 3)


def test_a_stuck_evaluation_is_named(tmp_path):
    envs = make_evaluation_envs(
        make_config({**QUICK, **PARALLEL, "env": misbehaving_id("stuck"), "step_timeout": 1}), 0, 4
    )
    with pytest.raises(WorkerTimeoutError, match="gave no answer within 1 s"):
        evaluate(AlwaysFirst(), envs, 1000, max_steps=100)


@pytest.mark.parametrize(
    "fault,error,message",
    [
        ("nan observation", NonFiniteError, "observation of environment 0 .*nan"),
        ("nan reward", NonFiniteError, "reward of environment 0 .*nan"),
        ("huge reward", NonFiniteError, "loss"),
        (
            "raise in step",
            EnvironmentFailedError,
            "environment 0 failed in step with action [0-4]:(.|\n)*wheel came off",
        ),
    ],
)
def test_a_fault_stops_the_run_and_leaves_the_last_good_checkpoint(tmp_path, fault, error, message):
    with pytest.raises(error, match=message):
        quick_run(tmp_path / "run", 3020, env=misbehaving_id(fault))
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["stopped_by"] == "error" and error.__name__ in summary["error"]
    state = load_checkpoint(RunFolder(tmp_path / "run").latest)
    assert state["algorithm"]["env_steps"] == 1400
    assert all(np.isfinite(parameter).all() for parameter in state["algorithm"]["parameters"].values())


@pytest.mark.parametrize(
    "fault,error,message",
    [
        ("raise in __init__", EnvironmentFailedError, "environment 0 failed in __init__(.|\n)*no display"),
        ("raise in reset", EnvironmentFailedError, "environment 0 failed in reset(.|\n)*level file"),
        ("killed", WorkerDiedError, r"worker 0 \(environments 0 to 1\) was killed by SIGKILL"),
        ("stuck", WorkerTimeoutError, r"worker 0 \(environments 0 to 1\) gave no answer within 1 s"),
    ],
)
def test_a_fault_in_a_worker_is_named(tmp_path, fault, error, message):
    started = time.monotonic()
    with pytest.raises(error, match=message):
        quick_run(tmp_path / "run", 3020, env=misbehaving_id(fault), step_timeout=1, **PARALLEL)
    assert time.monotonic() - started < 20


def test_a_fault_ends_the_command_with_exit_code_1_and_no_traceback_of_ours(tmp_path):
    env = f"tests.environments:{misbehaving_id('nan reward')}"
    ended = run_tool("train.py", env=env, run_dir=tmp_path / "run")
    assert ended.returncode == 1
    assert ended.stderr == "error: reward of environment 0 is not finite: nan\n"


# --------------------------------------------------------------------------------------------------------- bad input


def test_a_new_run_never_writes_into_an_old_one(uninterrupted):
    before = {path: path.read_bytes() for path in uninterrupted.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="is in use: give --run-dir a new folder"):
        quick_run(uninterrupted, 100)
    assert {path: path.read_bytes() for path in uninterrupted.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "env,message",
    [
        ("CartPol-v1", "CartPol-v1.*(?i:did you mean).*CartPole"),
        ("nowhere:Maze-v0", "No module named 'nowhere'"),
        ("gym:Maze-v0", "Maze"),
        ("test/Asking-v0", r'observation\["question"\] space Text.* is not supported'),
        ("test/FromOne-v0", "a2c takes Box.* begin at 0"),
    ],
)
def test_an_environment_that_cannot_be_used_is_one_line_and_leaves_no_folder(tmp_path, env, message):
    with pytest.raises(ConfigError, match=message) as raised:
        quick_run(tmp_path / "run", 100, env=env)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_going_on_with_what_is_no_run_is_refused(tmp_path, uninterrupted):
    with pytest.raises(ConfigError, match="there is no run folder"):
        resume(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="is not a run folder"):
        resume(str(tmp_path))
    with pytest.raises(ConfigError, match="has reached 3,020 steps"):
        resume(str(uninterrupted))
    with pytest.raises(ConfigError, match="env cannot change on resume"):
        resume(str(uninterrupted), {"env": "Acrobot-v1"})


@pytest.mark.parametrize(
    "damage", ["truncated", "a byte changed", "missing", "the best model's", "another network's", "another algorithm's"]
)
def test_a_checkpoint_that_cannot_be_used_is_refused_and_nothing_is_overwritten(tmp_path, uninterrupted, damage):
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(uninterrupted, folder.path)
    content = bytearray(folder.latest.read_bytes())
    if damage == "truncated":
        folder.latest.write_bytes(content[: len(content) // 2])
    elif damage == "a byte changed":
        content[-9] ^= 1
        folder.latest.write_bytes(content)
    elif damage == "missing":
        folder.latest.unlink()
    elif damage == "the best model's":
        shutil.copy(folder.best, folder.latest)
    elif damage == "another algorithm's":
        save_checkpoint(folder.latest, {**load_checkpoint(folder.latest), "algo": "a3c"})
    else:
        state = load_checkpoint(folder.latest)
        parameters = state["algorithm"]["parameters"]
        parameters["actor_head.weight"] = np.zeros((32, 2), np.float32)
        save_checkpoint(folder.latest, state)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError) as raised:
        resume(str(folder.path), {"total_steps": 4000})
    assert "\n" not in str(raised.value) and "latest.safetensors" in str(raised.value)
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before
    if damage in ("truncated", "a byte changed", "another network's", "another algorithm's"):
        with pytest.raises(CheckpointError):
            evaluate_run(str(folder.path), "latest", 1)


@pytest.mark.parametrize("algo", ["a2c", "a3c"])
@pytest.mark.parametrize("env,is_rejected", [("Pendulum-v1", True), ("tests.environments:test/Continuous-v0", False)])
def test_a_gaussian_policy_of_version_0_1_acts_as_before_or_is_rejected(tmp_path, algo, env, is_rejected):
    folder = RunFolder(tmp_path / "run")
    values = {"algo": algo, "env": env, "num_envs": 1, "total_steps": 200, "eval_interval": 100, "eval_episodes": 1}
    train(make_config(values), str(folder.path), progress=False)
    for path in (folder.latest, folder.best):
        state = load_checkpoint(path)
        state.get("algorithm", state).pop("format")
        save_checkpoint(path, state)
    for use in (lambda: resume(str(folder.path), {"total_steps": 300}), lambda: evaluate_run(str(folder.path), "best")):
        if not is_rejected:
            use()
            continue
        with pytest.raises(CheckpointError, match=r"written by version 0\.1") as raised:
            use()
        assert "\n" not in str(raised.value)


def test_an_environment_that_does_not_repeat_itself_cannot_be_resumed_without_a_word(tmp_path):
    quick_run(tmp_path / "run", 1000)
    folder = RunFolder(tmp_path / "run")
    state = load_checkpoint(folder.latest)
    state["algorithm"]["collector"]["observations"][2] += 1
    save_checkpoint(folder.latest, state)
    with pytest.raises(CheckpointError, match="environment 2 does not repeat itself"):
        resume(str(tmp_path / "run"), {"total_steps": 2000})


# ------------------------------------------------------------------------------------------------------- the helpers
