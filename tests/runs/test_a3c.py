"""A3C: what is shared, what one worker and many do to it, and what happens when one of any actor-learners is lost."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time

import cloudpickle
import numpy as np
import psutil
import pytest

from multiprocessing_env import (
    DummyVecEnv,
    SharedArray,
    WorkerDiedError,
    WorkerFailedError,
    WorkerTimeoutError,
)
from paddle_ac.algorithms.a2c import A2C
from paddle_ac.algorithms.a3c import A3C
from paddle_ac.algorithms.a3c_worker import A3CWorker
from paddle_ac.algorithms.actor_learner_worker import initial_statistics
from paddle_ac.algorithms.actor_learners import ActorLearners
from paddle_ac.checkpoint import load_checkpoint
from paddle_ac.config import find_config_class, make_config
from paddle_ac.envs.make import training_env_fns
from paddle_ac.envs.wrappers import EpisodeReplay
from paddle_ac.errors import ConfigError, NonFiniteError
from paddle_ac.processes import pool
from paddle_ac.processes.lock import ProcessLock
from paddle_ac.processes.pool import WorkerPool
from paddle_ac.registry import ALGORITHMS
from paddle_ac.training.evaluate import evaluate
from paddle_ac.training.run_folder import RunFolder
from paddle_ac.training.runs import resume, train
from tests.environments import misbehaving_id
from tests.leftovers import leaked_shared_memory, shared_memory
from tests.short_runs import QUICK, run_tool, start_tool, visualdl_curves, wait_until
from tests.tool_calls import run_main

QUICK_A3C = {
    **QUICK,
    "algo": "a3c",
    "num_envs": 1,
    "num_workers": 2,
    "num_steps": 5,
    "optimizer": "shared_rmsprop",
    "checkpoint_interval": 1000,
}


UNLIKE_FLAGS = {
    "hidden_sizes",
    "normalize_observations",
    "normalize_rewards",
}  # whose value the command line writes otherwise


# One algorithm for each class of workers: async_sarsa and async_nstep_q have those of async_q.
EVERY_WORKER = pytest.mark.parametrize("algo", ["a3c", "async_q"])
EVERY_WORKER_SLOWLY = pytest.mark.parametrize("algo", ["a3c", pytest.param("async_q", marks=pytest.mark.slow)])


def quick_config(algo: str = "a3c", **changes):
    values = {**QUICK_A3C, "algo": algo, "total_steps": 3020}
    known = find_config_class(algo).model_fields
    return make_config({**{name: value for name, value in values.items() if name in known}, **changes})


def make_agent(config) -> ActorLearners:
    return ALGORITHMS[config.algo].from_config(config)


def worker_in_this_process(agent: A3C, index: int) -> A3CWorker:
    envs = DummyVecEnv(training_env_fns(agent.config, index + 1)[index:])
    return A3CWorker(index, 0, agent.config, envs, agent.shared, ProcessLock())


# ------------------------------------------------------------------------------------------------------- the numbers


@pytest.mark.parametrize(
    "changes",
    [
        {"recurrent": "lstm", "recurrent_size": 8},
        {"recurrent": "gru", "recurrent_size": 8, "shared_torso": True, "gae_lambda": 0.9},
        {"normalize_observations": True},
        {"normalize_rewards": True},
    ],
)
def test_one_worker_learns_as_a2c_with_its_environments(changes):
    """Through enough updates for episodes to end and for the recurrent state and the moments to matter."""
    changes = {"num_envs": 2, "hidden_sizes": (16,), "gamma": 0.9, "entropy_coef": 0.001, **changes}
    a3c = A3C.from_config(quick_config(num_workers=1, **changes))
    a2c = A2C.from_config(make_config({**QUICK, "vec": "serial", **changes}))
    envs = DummyVecEnv(training_env_fns(a3c.config, 2))
    worker = A3CWorker(0, 0, a3c.config, envs, a3c.shared, ProcessLock())
    for _ in range(12):
        worker.update()
        a2c.update()
    assert len(worker.episode_returns) > 2
    np.testing.assert_allclose(a3c.shared.vector, a2c.parameters.vector, atol=2e-5)
    for group, state in (
        ("encoder", a2c.policy.encode),
        ("rewards", a2c.normalize_rewards and a2c.normalize_rewards.moments),
    ):
        if group in a3c.shared.moments:
            shared = a3c.shared.moments[group].read()
            for name, value in state.state_dict().items():
                np.testing.assert_allclose(shared[name], value, rtol=1e-6)
    a2c.close()


def test_the_moments_of_all_workers_are_one(tmp_path):
    """Nothing is lost where workers write at once, and what was learned is there on resume and in evaluation."""
    normalized = {"normalize_observations": True, "normalize_rewards": True, "num_workers": 3, "num_envs": 2}
    train(quick_config(**normalized, total_steps=6000), str(tmp_path / "run"))
    summary = resume(str(tmp_path / "run"), {"total_steps": 9000})
    state = load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]
    assert state["encoder"]["count"] == state["rewards"]["count"] == summary["env_steps"] >= 9000
    agent = A3C.from_config(quick_config(**normalized))
    agent.load_state_dict(state)
    np.testing.assert_array_equal(agent.policy.encode.moments.mean, state["encoder"]["mean"])
    assert (state["encoder"]["variance"] > 0).all() and state["encoder"]["mean"].any()
    with pytest.raises(ValueError, match="moments of observations, unlike the configuration"):
        A3C.from_config(quick_config(num_workers=3)).load_state_dict(state)


@pytest.mark.parametrize("optimizer", ["shared_rmsprop", "rmsprop", "shared_rmsprop_torch", "shared_adam"])
def test_one_workers_first_step_is_that_of_a2c_with_one_environment(optimizer):
    changes = {"num_envs": 1, "hidden_sizes": (16,), "seed": 4, "entropy_coef": 0.02}
    a3c = A3C.from_config(quick_config(num_workers=1, optimizer=optimizer, **changes))
    a2c = A2C.from_config(make_config({**QUICK, "optimizer": optimizer.removeprefix("shared_"), **changes}))
    np.testing.assert_array_equal(a3c.shared.vector, a2c.parameters.vector)
    before = a2c.parameters.vector.copy()
    worker_in_this_process(a3c, 0).update()
    metrics = a2c.update()
    assert metrics["diagnostics/grad_norm"] > 0
    assert not np.array_equal(before, a2c.parameters.vector)
    np.testing.assert_allclose(a3c.shared.vector, a2c.parameters.vector, atol=2e-7)
    assert (a3c.shared.env_steps, a3c.shared.num_updates) == (5, 1)


@pytest.mark.parametrize("optimizer", ["shared_rmsprop", "rmsprop"])
def test_updates_of_workers_that_do_not_conflict_add_up_to_the_sequential_result(optimizer):
    """Three workers in turn, against RMSProp written out for the gradients that they computed."""
    agent = A3C.from_config(quick_config(num_workers=3, optimizer=optimizer, max_grad_norm=0.3))
    workers = [worker_in_this_process(agent, index) for index in range(3)]
    expected = agent.shared.vector.astype(np.float64)
    mean_squares = np.ones((3, len(expected)))
    for turn in range(30):
        index = turn * 7 % 3
        workers[index].update()
        gradient = workers[index].gradient_of._gradient.astype(np.float64)
        gradient *= min(1, 0.3 / np.linalg.norm(gradient))
        mean_square = mean_squares[index if optimizer == "rmsprop" else 0]
        mean_square += 0.01 * (gradient**2 - mean_square)
        expected -= 7e-4 * gradient / np.sqrt(mean_square + 1e-5)
    np.testing.assert_allclose(agent.shared.vector, expected, atol=1e-6)
    assert agent.shared.worker_updates.tolist() == [10, 10, 10] and agent.shared.env_steps == 150


def test_the_learning_rate_falls_with_the_steps_of_all_workers_together():
    agent = A3C.from_config(quick_config(num_workers=2, lr_schedule="linear", lr_decay_steps=4000))
    workers = [worker_in_this_process(agent, index) for index in range(2)]
    workers[0].update(), workers[1].update(), workers[0].update()
    rates = [worker._take_metrics()["charts/learning_rate"] for worker in workers]
    assert rates == pytest.approx([7e-4 * (1 + 1 - 10 / 4000) / 2, 7e-4 * (1 - 5 / 4000)])


def test_one_worker_gives_the_same_bits_twice(tmp_path):
    states = []
    for name in ("one", "other"):
        train(quick_config(num_workers=1), str(tmp_path / name))
        states.append(load_checkpoint(RunFolder(tmp_path / name).latest)["algorithm"])
    for group in ("parameters", "optimizer"):
        for name, value in states[0][group].items():
            np.testing.assert_array_equal(value, states[1][group][name])
    assert states[0]["env_steps"] == states[1]["env_steps"] == 3020


def test_statistics_are_shared_or_of_each_worker():
    assert initial_statistics(quick_config(optimizer="shared_rmsprop"), 5)["mean_square"].shape == (5,)
    assert initial_statistics(quick_config(optimizer="rmsprop"), 5)["mean_square"].shape == (2, 5)
    assert not initial_statistics(quick_config(optimizer="shared_rmsprop_torch"), 5)["mean_square"].any()
    assert initial_statistics(quick_config(optimizer="shared_adam"), 5).keys() == {"mean", "mean_square", "num_steps"}


# ------------------------------------------------------------------------------------------------------------ the run


def test_a_run_counts_watches_and_writes_as_every_other_one(tmp_path):
    total_steps = 30_020  # enough for both workers to play, however busy the machine is
    summary = train(quick_config(lock=True, total_steps=total_steps), str(tmp_path / "run"))
    assert total_steps <= summary["env_steps"] < total_steps + 2 * 5
    assert summary["updates"] * 5 == summary["env_steps"] and summary["stopped_by"] == "total_steps"
    state = load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]
    assert state["worker_steps"].sum() == summary["env_steps"] and (state["worker_steps"] > 0).all()
    curves = visualdl_curves(tmp_path / "run")
    assert curves.keys() >= {
        "charts/episode_return",
        "losses/actor",
        "diagnostics/policy_lag",
        "diagnostics/policy_lag_max",
        "workers/steps_0",
        "workers/steps_1",
        "eval/mean_return",
    }
    assert sum(curve[-1][1] for tag, curve in curves.items() if tag.startswith("workers/")) <= summary["env_steps"]
    steps = [step for step, _ in curves["losses/actor"]]
    assert steps == sorted(set(steps)), "the end is one point"


def test_a_run_goes_on_to_a_larger_total_with_other_episodes(tmp_path):
    train(quick_config(num_workers=1), str(tmp_path / "run"))
    first = load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]
    summary = resume(str(tmp_path / "run"), {"total_steps": 5000})
    then = load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]
    assert summary["env_steps"] == 5000 == then["worker_steps"].sum()
    assert (first["starts"], then["starts"]) == ([1], [2])
    with pytest.raises(ConfigError, match="num_workers cannot change on resume"):
        resume(str(tmp_path / "run"), {"total_steps": 6000, "num_workers": 3})


def test_metrics_of_workers_are_returned_in_turn():
    """All workers reach the end before any report is received; then one must not be served to its end first."""
    agent = A3C.from_config(quick_config(num_workers=3, total_steps=30000))
    start(agent)
    wait_until(lambda: agent.shared.env_steps >= 30000)
    received = [tag for _ in range(6) for tag in agent.update() if tag.startswith("workers/")]
    assert sorted(received) == sorted(2 * [f"workers/steps_{index}" for index in range(3)])
    agent.close()


def test_environments_of_workers_keep_no_actions():
    """Their episodes are never replayed, and may never end."""
    with A3C.from_config(quick_config(num_envs=2)) as agent:
        _, _, pickled, *_ = agent._worker_arguments(index=1, start=0)
        with (
            cloudpickle.loads(pickled)() as envs,
            DummyVecEnv(training_env_fns(agent.config, 4)[2:]) as twins,
        ):
            assert not any(isinstance(env, EpisodeReplay) for env in envs.envs)
            np.testing.assert_array_equal(envs.reset(), twins.reset())


def test_workers_import_no_paddle():
    agent = A3C.from_config(quick_config(env="tests.environments:test/NoPaddle-v0"))
    play(agent, 500)
    agent.close()


def test_spaces_that_it_cannot_take_are_named(tmp_path):
    for env, message in (("test/Asking-v0", "Text"), ("test/FromOne-v0", "a3c takes Box.* begin at 0")):
        with pytest.raises(ConfigError, match=message):
            train(quick_config(env=env), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------------------------------------------------- accidents


@pytest.mark.slow
def test_writes_that_race_never_make_a_mean_square_negative():
    """Many workers, a short memory and a write at every step: what once led to the root of a negative number."""
    agent = A3C.from_config(
        quick_config(num_workers=6, rmsprop_decay=0.5, num_steps=1, hidden_sizes=(256,), total_steps=15000)
    )
    while not agent.is_done:
        agent.update()
    assert (agent.shared.statistics["mean_square"] >= 0).all()
    agent.close()


@EVERY_WORKER_SLOWLY
@pytest.mark.parametrize("restart", [False, True], ids=["stop", "replace"])
def test_a_worker_killed_before_it_plays_is_named_or_replaced(algo, restart, monkeypatch):
    agent = make_agent(quick_config(algo, num_workers=3, restart_workers=restart))
    start = WorkerPool._start

    def start_and_kill_the_first(self, index):
        worker = start(self, index)
        if index == 1 and self.starts[1] == 1:
            os.kill(worker.process.pid, signal.SIGKILL)
        return worker

    monkeypatch.setattr(WorkerPool, "_start", start_and_kill_the_first)
    started = time.monotonic()
    if restart:
        play(agent, 1000)
        assert agent.pool.starts == [1, 2, 1]
    else:
        with pytest.raises(WorkerDiedError, match="worker 1 was killed by SIGKILL"):
            agent.update()
    agent.close()
    assert time.monotonic() - started < (30 if restart else 5)


@EVERY_WORKER_SLOWLY
def test_a_worker_that_dies_again_and_again_is_given_up(algo):
    agent = make_agent(quick_config(algo, env="tests.environments:test/Deadly-v0", num_workers=1, restart_workers=True))
    with pytest.raises(WorkerDiedError, match="worker 0 was killed by SIGKILL, the 10th time without a report between"):
        play(agent, 10**9)
    agent.close()


def test_a_worker_killed_during_an_evaluation_is_named(monkeypatch):
    agent = A3C.from_config(quick_config(total_steps=10**9))
    play(agent, 500)
    with DummyVecEnv(training_env_fns(agent.config, 2)) as envs:
        os.kill(agent.pool._workers[1].process.pid, signal.SIGKILL)
        started = time.monotonic()
        with pytest.raises(WorkerDiedError, match="worker 1 was killed by SIGKILL"):
            evaluate(agent.policy, envs, 10**6, max_steps=500, check=agent.check)
    assert time.monotonic() - started < 5
    agent.close()


def test_finish_returns_the_remaining_metrics_of_every_worker():
    agent = A3C.from_config(quick_config(total_steps=10**9))
    play(agent, 2000)
    remaining = list(agent.finish())
    assert agent.is_done
    last = {tag: value for metrics in remaining for tag, value in metrics.items() if tag.startswith("workers/")}
    assert sum(last.values()) == agent.env_steps == agent.state_dict()["env_steps"]
    agent.close()


def start(agent: ActorLearners) -> None:
    while not agent.has_started:
        agent.update()


def play(agent: ActorLearners, steps: int) -> None:
    while agent.env_steps < steps:
        agent.update()


@EVERY_WORKER_SLOWLY
@pytest.mark.parametrize("lock", [False, True], ids=["without lock", "with lock"])
def test_a_worker_killed_while_it_writes_is_named_and_leaves_finite_parameters(algo, lock):
    """With two layers of 700, writing takes most of the time, and a kill falls into it."""
    agent = make_agent(quick_config(algo, hidden_sizes=(700, 700), total_steps=10**9, lock=lock))
    play(agent, 500)
    started = time.monotonic()
    os.kill(agent.pool._workers[1].process.pid, signal.SIGKILL)
    with pytest.raises(WorkerDiedError, match="worker 1 was killed by SIGKILL"):
        play(agent, 10**9)
    assert time.monotonic() - started < 5
    state = agent.state_dict()
    agent.close()
    assert all(np.isfinite(value).all() for group in ("parameters", "optimizer") for value in state[group].values())


@EVERY_WORKER
def test_a_killed_worker_is_replaced_and_training_goes_on(algo, caplog):
    changes = {"hidden_sizes": (300, 300), "total_steps": 10**9, "restart_workers": True, "lock": True}
    agent = make_agent(quick_config(algo, **changes))
    play(agent, 500)
    for index in (0, 1, 1):
        os.kill(agent.pool._workers[index].process.pid, signal.SIGKILL)
        steps = agent.shared.worker_steps[index]
        while agent.pool.starts[index] < 2 or agent.shared.worker_steps[index] < steps + 500:
            agent.update()
        assert f"worker {index} was killed by SIGKILL; another takes its place" in caplog.text
    state = agent.state_dict()
    agent.close()
    assert state["starts"][1] >= 2
    assert all(np.isfinite(value).all() for value in state["parameters"].values())


@EVERY_WORKER_SLOWLY
@pytest.mark.parametrize(
    "fault,error,message",
    [
        (
            "raise in step",
            WorkerFailedError,
            "worker [01]: environment 0 failed in step with action [0-4]:(.|\n)*wheel",
        ),
        pytest.param(
            "raise in reset",
            WorkerFailedError,
            "worker [01]: environment 0 failed in reset:(.|\n)*level file",
            marks=pytest.mark.slow,
        ),
        ("killed", WorkerDiedError, "worker [01] was killed by SIGKILL"),
        ("nan reward", NonFiniteError, "worker [01]: reward of environment 0 is not finite: nan"),
        pytest.param(
            "huge reward",
            NonFiniteError,
            "worker [01]: the loss or its gradient is not finite",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_fault_stops_the_run_with_a_checkpoint_that_goes_on(tmp_path, monkeypatch, algo, fault, error, message):
    with pytest.raises(error, match=message):
        train(quick_config(algo, env=misbehaving_id(fault)), str(tmp_path / "run"))
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["stopped_by"] == "error" and error.__name__ in summary["error"]
    state = load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]
    assert all(np.isfinite(value).all() for value in state["parameters"].values())
    monkeypatch.setenv("FAULTS", "off")
    assert resume(str(tmp_path / "run"))["stopped_by"] == "total_steps"


@EVERY_WORKER_SLOWLY
@pytest.mark.parametrize("fault,code", [pytest.param("killed", 1, marks=pytest.mark.slow), ("interrupt", 130)])
def test_the_command_ends_with_the_right_code_and_goes_on(tmp_path, algo, fault, code):
    quick = {
        **QUICK_A3C,
        "algo": algo,
        "total_steps": 20000,
        "log_interval": 500,
        "env": f"tests.environments:{misbehaving_id(fault)}",
    }
    known = find_config_class(algo).model_fields.keys() - UNLIKE_FLAGS
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in quick.items() if name in known]
    ended = run_tool("train.py", *flags, f"--run-dir={tmp_path / 'run'}")
    assert ended.returncode == code, ended.stderr
    assert ended.stderr.count("\n") == (1 if code == 1 else 0)
    ended = run_tool("train.py", "--resume", str(tmp_path / "run"), faults="off")
    assert ended.returncode == 0, ended.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["env_steps"] >= 20000 and summary["stopped_by"] == "total_steps"


@EVERY_WORKER_SLOWLY
def test_when_the_training_is_killed_its_workers_end_and_the_run_goes_on(tmp_path, algo):
    memory_before = shared_memory()
    process = start_tool("train.py", f"--algo={algo}", "--total-steps=1000000", f"--run-dir={tmp_path / 'run'}")
    progress = tmp_path / "run" / "progress.csv"
    wait_until(lambda: progress.exists() and len(progress.read_text().splitlines()) > 3)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    assert not psutil.wait_procs(workers, timeout=5)[1]
    assert not leaked_shared_memory(memory_before)
    summary = resume(str(tmp_path / "run"), {"total_steps": 5000, "eval_episodes": 2})
    assert summary["stopped_by"] == "total_steps"


# --------------------------------------------------------------------------------------------------- workers that stop


def quick_to_notice(algo: str = "a3c", **changes):
    return quick_config(algo, total_steps=10**9, step_timeout=1.5, **changes)


@EVERY_WORKER_SLOWLY
@pytest.mark.parametrize("restart", [False, True], ids=["stop", "replace"])
def test_a_stopped_worker_is_named_or_replaced(algo, restart, caplog):
    with make_agent(quick_to_notice(algo, restart_workers=restart)) as agent:
        for index, steps in ((1, 300), (0, 900)):  # at moments that differ from run to run
            play(agent, steps)
            stopped = agent.pool._workers[index].process
            os.kill(stopped.pid, signal.SIGSTOP)
            message = f"worker {index} made no step within 1.5 s (step_timeout) and was killed"
            if not restart:
                with pytest.raises(WorkerTimeoutError, match=re.escape(message)):
                    play(agent, 10**9)
                break
            play_on_with(agent, index)
            assert f"{message}; another takes its place" in caplog.text
        stopped.join(5)
        assert stopped.exitcode == -signal.SIGKILL


def play_on_with(agent: ActorLearners, index: int) -> None:
    """Until a worker has been replaced, and its successor has learned."""
    starts, steps = agent.pool.starts[index], agent.shared.worker_steps[index]
    while agent.pool.starts[index] == starts or agent.shared.worker_steps[index] < steps + 200:
        agent.update()


def test_system_without_locks_between_processes_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows
    run = tmp_path / "run"
    for flag in ("--lock", "--normalize-observations", "--normalize-rewards"):
        code, _, errors = run_main(capsys, "train.py", "--algo=a3c", "--num-workers=1", f"--run-dir={run}", flag)
        assert code == 2 and "which Windows lacks: train without them" in errors
        assert errors.count("\n") == 1 and not run.exists()


class StoppingLock(ProcessLock):
    """Stops the first process that takes it for the fiftieth time; there is one stop in all."""

    def __init__(self):
        super().__init__()
        self.taken = SharedArray((1,), np.int64)

    def __enter__(self):
        super().__enter__()
        taken = self.taken.array
        taken[0] += 1
        if taken[0] == 50:
            os.kill(os.getpid(), signal.SIGSTOP)

    def __getstate__(self):
        return super().__getstate__(), self.taken

    def __setstate__(self, state):
        super().__setstate__(state[0])
        self.taken = state[1]


def agent_with_stopping(name: str, **changes) -> A3C:
    agent = A3C.from_config(quick_to_notice(lock=True, normalize_observations=True, num_workers=3, **changes))
    if name == "update lock":
        agent.lock = StoppingLock()
    else:
        agent.shared.moments_lock = StoppingLock()
    return agent


WITH_EITHER_LOCK = pytest.mark.parametrize(
    "name", ["update lock", pytest.param("moments' lock", marks=pytest.mark.slow)]
)


@pytest.mark.slow
@WITH_EITHER_LOCK
def test_only_the_stopped_holder_of_a_lock_is_replaced(name, caplog):
    with agent_with_stopping(name, restart_workers=True) as agent:
        while sum(agent.pool.starts) < 4:
            agent.update()
            assert np.isfinite(agent.policy.encode.mean).all(), "reading waits for no lock"
        replaced = agent.pool.starts.index(2)
        steps = agent.shared.worker_steps.copy()
        while (agent.shared.worker_steps < steps + 100).any():
            agent.update()
        assert caplog.text.count("another takes its place") == 1
        assert f"worker {replaced} made no step within 1.5 s" in caplog.text


@WITH_EITHER_LOCK
def test_stopping_a_run_waits_for_no_worker_that_holds_a_lock(name, caplog):
    agent = agent_with_stopping(name)
    start(agent)
    lock = agent.lock if name == "update lock" else agent.shared.moments_lock
    wait_until(lambda: lock.taken.array[0] >= 50)
    started = time.monotonic()
    list(agent.finish())
    state = agent.state_dict()
    agent.close()
    assert time.monotonic() - started < 10
    assert agent.is_done and "did not stop within 3 s and was killed" in caplog.text
    assert all(np.isfinite(value).all() for value in state["parameters"].values())


@pytest.mark.slow
def test_ctrl_c_ends_a_command_whose_workers_are_stopped(tmp_path):
    flags = (
        "--algo=a3c",
        "--total-steps=1000000000",
        "--num-workers=2",
        "--normalize-observations",
        "--lock",
    )
    process = start_tool("train.py", *flags, f"--run-dir={tmp_path / 'run'}")
    progress = tmp_path / "run" / "progress.csv"
    wait_until(lambda: progress.exists() and len(progress.read_text().splitlines()) > 2)
    workers = [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert len(workers) == 2 and process.returncode == 130, errors
    assert resume(str(tmp_path / "run"), {"total_steps": 1000, "eval_episodes": 2})["stopped_by"] == "total_steps"


def test_a_step_may_take_as_long_as_its_own_timeout():
    """A rollout takes four times the timeout here."""
    config = quick_to_notice(env="tests.environments:test/Slow-v0", num_steps=15)
    with A3C.from_config(config) as agent:
        play(agent, 30)


@EVERY_WORKER
def test_a_worker_that_is_stuck_in_a_step_is_named(algo):
    message = r"worker [01] made no step within 1.5 s \(step_timeout\)"
    config = quick_to_notice(algo, env=f"tests.environments:{misbehaving_id('stuck')}")
    with make_agent(config) as agent, pytest.raises(WorkerTimeoutError, match=message):
        play(agent, 10**9)


def test_a_worker_that_is_stuck_at_its_start_is_named_and_update_returns(monkeypatch):
    start = WorkerPool._start

    def start_and_stop(self, index):
        worker = start(self, index)
        os.kill(worker.process.pid, signal.SIGSTOP)
        return worker

    monkeypatch.setattr(WorkerPool, "_start", start_and_stop)
    monkeypatch.setattr(pool, "START_TIMEOUT", 7.0)
    with A3C.from_config(quick_to_notice()) as agent:
        started = time.monotonic()
        agent.update()
        assert not agent.has_started and time.monotonic() - started < 10
        with pytest.raises(WorkerTimeoutError, match=r"worker [01] was not ready within 7 s"):
            while True:
                agent.update()


def test_a_stopped_worker_is_named_during_an_evaluation():
    with A3C.from_config(quick_to_notice()) as agent:
        play(agent, 500)
        policy = agent.policy
        os.kill(agent.pool._workers[1].process.pid, signal.SIGSTOP)
        envs = DummyVecEnv(training_env_fns(agent.config, 2))
        with envs, pytest.raises(WorkerTimeoutError, match="worker 1 made no step"):
            while agent.pool._with_message([1], 0):  # a worker whose report waits is not stuck
                agent.update()
            evaluate(policy, envs, 10**6, max_steps=500, check=agent.check)


def test_a_worker_whose_report_waits_to_be_received_is_not_stuck():
    with A3C.from_config(quick_to_notice()) as agent:
        start(agent)
        wait_until(lambda: len(agent.pool._with_message([0, 1], 0)) == 2)
        for worker in agent.pool._workers:
            os.kill(worker.process.pid, signal.SIGSTOP)
        agent.pool._watchdog.find_stuck()
        agent.pool._watchdog._idle[:] = 100
        agent.check()
        assert all(worker.process.is_alive() for worker in agent.pool._workers)
