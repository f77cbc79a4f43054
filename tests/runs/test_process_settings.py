"""What several threads of a process share: nothing of it depends on the other thread, and nothing stays changed."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
import optuna
import paddle
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import paddle_ac
from paddle_ac import process_settings
from paddle_ac.checkpoint import load_checkpoint
from paddle_ac.config import CONFIGS
from paddle_ac.process_settings import BlasThreadLimit, variable_set, warnings_ignored
from paddle_ac.training.run_folder import RunFolder
from tests.paths import ROOT
from tests.short_runs import QUICK, flat

SERIAL = {**QUICK, "total_steps": 1000, "vec": "serial"}


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """The user's setting, without the limits of agents that other tests of this process have left open."""
    gc.collect()
    monkeypatch.setattr(BlasThreadLimit, "_limits", {})
    monkeypatch.setattr(BlasThreadLimit, "_libraries", [])
    with threadpool_limits(2, user_api="blas"):
        yield
        assert blas_threads() == {2}


def in_another_thread(function, *args):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


# --------------------------------------------------------------------------------------- threads of matrix products


@pytest.mark.parametrize("algo", ["a2c", "reinforce", "sac", "a3c"])
def test_an_agent_limits_threads_from_make_to_close(algo):
    env = "Pendulum-v1" if algo == "sac" else "CartPole-v1"
    agent = paddle_ac.make(algo, env, **({} if algo == "a3c" else {"vec": "serial"}))
    assert blas_threads() == {1}
    agent.close()
    assert blas_threads() == {2}
    agent.close()
    assert blas_threads() == {2}


def test_num_threads_is_the_number_of_threads():
    with threadpool_limits(1, user_api="blas"):
        with paddle_ac.make("a2c", "CartPole-v1", vec="serial", num_threads=2):
            assert blas_threads() == {2}
        assert blas_threads() == {1}


def test_an_agent_that_is_not_closed_restores_threads_when_it_is_collected():
    agent = paddle_ac.make("a2c", "CartPole-v1", vec="serial")
    assert blas_threads() == {1}
    del agent
    gc.collect()
    assert blas_threads() == {2}


def test_an_agent_that_cannot_be_made_restores_threads():
    with pytest.raises(paddle_ac.ConfigError, match="takes Discrete"):
        paddle_ac.make("q_ac", "Pendulum-v1", vec="serial")
    gc.collect()
    assert blas_threads() == {2}


def test_train_resume_and_evaluate_restore_threads(tmp_path):
    paddle_ac.train({**SERIAL, "total_steps": 200}, str(tmp_path / "run"))
    assert blas_threads() == {2}
    paddle_ac.resume(str(tmp_path / "run"), {"total_steps": 300})
    assert blas_threads() == {2}
    paddle_ac.evaluate(str(tmp_path / "run"), checkpoint="latest", episodes=2)


@pytest.mark.parametrize("first_out", [0, 1])
def test_limits_that_overlap_restore_the_users_setting_in_any_order(first_out):
    limits = [BlasThreadLimit(1), in_another_thread(BlasThreadLimit, 1)]
    assert blas_threads() == {1}
    in_another_thread(limits.pop(first_out).release)
    assert blas_threads() == {1}
    limits.pop().release()
    assert blas_threads() == {2}


def test_the_smallest_of_several_limits_applies_and_is_logged(caplog):
    with BlasThreadLimit(1):
        with BlasThreadLimit(2):
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert "1 threads rather than 2" in caplog.text


def test_threads_that_share_the_rows_of_images_are_no_other_agent(caplog):
    """They set the limit of the BLAS library to 1 for their own network."""
    images = {"env": "paddle_ac.envs.catch:Catch", "encoder": "small", "vec": "serial", "num_envs": 1, "num_threads": 2}
    with paddle_ac.make("a2c", **images) as agent, paddle_ac.make("a2c", **images):
        paddle_ac.evaluate(agent, episodes=1)
    assert "threads rather than" not in caplog.text


def test_a_limit_that_a_signal_interrupts_leaves_no_trace(monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(process_settings, "ThreadpoolController", interrupted)
    with pytest.raises(KeyboardInterrupt):
        BlasThreadLimit(1)
    gc.collect()
    assert not BlasThreadLimit._limits and blas_threads() == {2}
    limit = BlasThreadLimit.__new__(BlasThreadLimit)  # interrupted before it is registered
    limit.release()
    assert blas_threads() == {2}


def test_a_setting_that_the_user_changes_meanwhile_stays():
    limit = BlasThreadLimit(1)
    with threadpool_limits(3, user_api="blas"):
        limit.release()
        assert blas_threads() == {3}
    assert blas_threads() == {1}, "what threadpoolctl found is restored by threadpoolctl"
    threadpool_limits(2, user_api="blas")


# ------------------------------------------------------------------------------------------------------------ warnings


def test_warnings_ignored_in_two_threads_at_once_are_shown_again_in_any_order():
    before = list(warnings.filters)
    first, second = warnings_ignored("one"), warnings_ignored("two")
    first.__enter__()
    in_another_thread(second.__enter__)
    for text in ("one", "two"):
        warnings.warn(text, stacklevel=1)  # an error under pytest's settings where it is not ignored
    first.__exit__(None, None, None)
    warnings.warn("two", stacklevel=1)
    in_another_thread(second.__exit__, None, None, None)
    assert list(warnings.filters) == before


# ----------------------------------------------------------------------------------------------- environment variables


@pytest.mark.parametrize("before", [None, "x11"])
def test_a_variable_set_in_two_threads_at_once_is_restored_in_any_order(monkeypatch, before):
    if before is None:
        monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    else:
        monkeypatch.setenv("SDL_VIDEODRIVER", before)
    first, second = (variable_set("SDL_VIDEODRIVER", "dummy") for _ in range(2))
    first.__enter__()
    in_another_thread(second.__enter__)
    first.__exit__(None, None, None)
    assert os.environ["SDL_VIDEODRIVER"] == "dummy", "the other thread still draws"
    in_another_thread(second.__exit__, None, None, None)
    assert os.environ.get("SDL_VIDEODRIVER") == before


# ----------------------------------------------------------------------------------------------------- whole trainings


def process_state():
    """All that the process shares between its threads and that a training might change."""
    return {
        "stdout": sys.stdout,
        "stderr": sys.stderr,
        "logging": (logging.root.level, list(logging.root.handlers), logging.getLogger("paddle_ac").level),
        "matplotlib": dict(matplotlib.rcParams),
        "main": sys.modules["__main__"],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "numpy's generator": repr(np.random.get_state()),
        "paddle's generator": str([state.current_seed() for state in paddle.get_rng_state()]) + str(draw_and_restore()),
        "paddle's device": paddle.get_device(),
        "paddle's dtype": paddle.get_default_dtype(),
        "threads": blas_threads(),
        "warnings": list(warnings.filters),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "floating-point errors": np.geterr(),
    }


def draw_and_restore():
    state = paddle.get_rng_state()
    drawn = paddle.rand([4]).numpy().tolist()
    paddle.set_rng_state(state)
    return drawn


def learned(folder) -> dict:
    return flat(load_checkpoint(RunFolder(folder).latest)["algorithm"])


@pytest.mark.parametrize("algo", ["a2c", "sac"])
def test_two_trainings_in_two_threads_give_the_numbers_of_each_alone(tmp_path, algo):
    configs = [{**SERIAL, "seed": seed} for seed in (0, 1)]
    if algo == "sac":
        configs = [
            {"algo": "sac", "vec": "serial", "hidden_sizes": (16,), "total_steps": 300, "seed": seed} for seed in (0, 1)
        ]
    for index, config in enumerate(configs):
        paddle_ac.train(config, str(tmp_path / f"alone{index}"))
    before = process_state()
    barrier = threading.Barrier(2)

    def train(index):
        barrier.wait()
        return paddle_ac.train(configs[index], str(tmp_path / f"together{index}"))

    with ThreadPoolExecutor(2) as pool:
        summaries = list(pool.map(train, range(2)))
    assert [summary["stopped_by"] for summary in summaries] == ["total_steps"] * 2
    for index in range(2):
        assert learned(tmp_path / f"together{index}") == learned(tmp_path / f"alone{index}")
    assert process_state() == before


def test_a_search_of_optuna_with_two_jobs_leaves_the_process_as_it_was(tmp_path):
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial):
        rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
        config = {**SERIAL, "total_steps": 300, "learning_rate": rate}
        return paddle_ac.train(config, str(tmp_path / f"trial{trial.number}"))["eval_mean_return"]

    before = process_state()
    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=4, n_jobs=2)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4
    assert process_state() == before


@pytest.mark.parametrize("algo", ["a2c", "reinforce", "dqn", "sac"])
def test_every_entrance_leaves_the_process_as_it_was(tmp_path, algo):
    env = "Pendulum-v1" if algo == "sac" else "CartPole-v1"
    before = process_state()
    with paddle_ac.make(algo, env, vec="serial") as agent:
        agent.update()
        agent.predict(agent.observation_space.sample())
    assert process_state() == before
    run = str(tmp_path / "run")
    quick = {name: value for name, value in QUICK.items() if name in CONFIGS[algo].model_fields}
    paddle_ac.train({**quick, "algo": algo, "env": env, "vec": "serial", "total_steps": 200}, run)
    assert process_state() == before
    paddle_ac.load(run, "latest").predict(np.zeros(4 if env == "CartPole-v1" else 3))
    paddle_ac.evaluate(run, checkpoint="latest", episodes=2)
    assert process_state() == before


def test_classic_gym_is_imported_without_its_notice():
    code = "from paddle_ac.envs.single import import_classic_gym; import_classic_gym()"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
