"""GA3C: predictors, trainers and agents, alone and together, and what happens when one of them fails."""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
import signal
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from multiprocessing_env import DummyVecEnv, WorkerDiedError, WorkerFailedError, WorkerTimeoutError
from paddle_ac.algorithms import ga3c
from paddle_ac.algorithms.a2c import A2C
from paddle_ac.algorithms.ga3c import GA3C, GA3CPredictor, GA3CTrainer, Model
from paddle_ac.algorithms.ga3c_adjustment import RandomWalk, Trial
from paddle_ac.algorithms.ga3c_metrics import SCALARS, Load, Update, UpdateMetrics
from paddle_ac.algorithms.learner import Learner
from paddle_ac.checkpoint import load_checkpoint
from paddle_ac.commands.exit_codes import exit_codes
from paddle_ac.config import make_config
from paddle_ac.envs.make import training_env_fns
from paddle_ac.errors import ConfigError, NonFiniteError
from paddle_ac.learning.gradient import GradientOfRollout
from paddle_ac.learning.returns import explained_variance
from paddle_ac.learning.rollout import Rollout, RolloutCollector
from paddle_ac.processes.rollout_slots import QUEUED, SLOTS_PER_AGENT
from paddle_ac.training import train as train_module
from paddle_ac.training.callback import Callback
from paddle_ac.training.evaluate import evaluate
from paddle_ac.training.run_folder import RunFolder
from paddle_ac.training.runs import resume, train
from tests.environments import misbehaving_id
from tests.leftovers import leaked_shared_memory, shared_memory
from tests.short_runs import QUICK, as_flag, run_tool, start_tool, visualdl_curves, wait_until

QUICK_GA3C = {
    **QUICK,
    "algo": "ga3c",
    "num_envs": 1,
    "num_agents": 2,
    "num_steps": 5,
    "checkpoint_interval": 1000,
}


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


def quick_config(**changes):
    return make_config({**QUICK_GA3C, "total_steps": 3000, **changes})


def play(agent: GA3C, steps: int) -> None:
    while agent.env_steps < steps:
        agent.update()


@pytest.fixture
def make_agent():
    """As ``GA3C.from_config`` of a quick configuration; the agents are closed."""
    agents = []

    def make(**changes):
        agents.append(GA3C.from_config(quick_config(**changes)))
        return agents[-1]

    yield make
    for agent in agents:
        agent.close()


# ------------------------------------------------------------------------------------------------------- the numbers


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adam", "gae_lambda": 0.9, "num_envs": 3},
        {"lag_correction": "vtrace"},
        slow({"lag_correction": "vtrace", "gae_lambda": 0.9}),
        {"normalize_observations": True, "normalize_rewards": True, "num_envs": 2},
        slow({"recurrent": "lstm", "recurrent_size": 8, "num_envs": 2}),
        slow({"backend": "paddle"}),
        slow({"env": "Pendulum-v1", "num_envs": 2}),
    ],
    ids=str,
)
def test_the_first_update_of_one_agent_is_that_of_a2c(make_agent, changes):
    own = {"lag_correction"}
    changes = {"num_envs": 1, "entropy_coef": 0.02, "seed": 4, **changes}
    total_steps = 5 * changes["num_envs"]
    agent = make_agent(num_agents=1, log_epsilon=0.0, total_steps=total_steps, **changes)
    values = {name: value for name, value in changes.items() if name not in own}
    with A2C.from_config(make_config({**QUICK, "vec": "serial", **values})) as a2c:
        np.testing.assert_array_equal(agent.policy.parameters.vector, a2c.parameters.vector)
        before = a2c.parameters.vector.copy()
        metrics = a2c.update()
        while not agent.is_done:
            agent.update()
        assert (agent.env_steps, agent.num_updates) == (total_steps, 1) and metrics["diagnostics/grad_norm"] > 0
        assert not np.array_equal(before, a2c.parameters.vector)
        np.testing.assert_allclose(agent.policy.parameters.vector, a2c.parameters.vector, atol=1e-6)
        for name, value in a2c.policy.encode.state_dict().items():
            np.testing.assert_allclose(agent.policy.encode.state_dict()[name], value, rtol=1e-6)
        if changes.get("normalize_rewards"):
            for name, value in a2c.normalize_rewards.moments.state_dict().items():
                np.testing.assert_allclose(agent.state_dict()["rewards"][name], value, rtol=1e-6)


def fill_slots(agent: GA3C, index: int, count: int = 1) -> list[Rollout]:
    """Let agent ``index`` play rollouts with random actions, in this process."""
    own, config = agent.queues.of_agent(index), agent.config
    envs = DummyVecEnv(training_env_fns(config, (index + 1) * config.num_envs)[index * config.num_envs :])
    slots, generator = own.slots, np.random.default_rng(index)
    collector = RolloutCollector(envs, config.num_steps, slots.agent_states.shape[2])
    rollouts = []
    for _ in range(count):
        slot = own.take()
        rollout = collector.collect_into(slots.arrays(slot), lambda *_: generator.integers(2, size=config.num_envs))
        slots.complete(slot, rollout)
        own.hand_over(slot)
        rollouts.append(rollout)
    return rollouts


@pytest.mark.parametrize("recurrent", ["none", "gru"])
def test_a_predictor_answers_all_waiting_agents_in_one_batch(make_agent, recurrent):
    agent = make_agent(num_agents=4, num_envs=2, recurrent=recurrent, recurrent_size=8, lag_correction="vtrace")
    owns = [agent.queues.of_agent(index) for index in range(4)]
    slots, generator = agent.queues.slots, np.random.default_rng(0)
    asking = {3: (7, 2), 0: (0, 4), 2: (5, 0)}  # by agent, slot and step
    for place in asking.values():
        slots.observations[place] = generator.normal(size=(2, 4))
    slots.agent_states[...] = generator.normal(size=slots.agent_states.shape)
    agent.model.num_updates, before = 5, slots.agent_states.copy()
    numbers = {index: owns[index].request(*place) for index, place in asking.items()}
    load = Load()
    predictor = GA3CPredictor(agent.config, agent.model, agent.queues, load, index=0)
    assert predictor.predict() and load.take() == (1, 6, 0)
    assert [owns[index].is_answered(numbers.get(index, 1), 0.0) for index in range(4)] == [True, False, True, True]
    order = sorted(asking)
    observations = np.concatenate([slots.observations[asking[index]] for index in order])
    state = np.concatenate([before[index] for index in order])
    outputs = agent.policy.policy_outputs(observations, state)
    actions = agent.policy.distribution.sample(outputs, np.random.default_rng((0, 1, 0, 5)))
    log_probs = agent.policy.distribution(outputs).log_prob(actions)
    for index, *rows in zip(order, *(array.reshape(3, 2, -1) for array in (actions, log_probs, state)), strict=True):
        place = asking[index]
        np.testing.assert_array_equal(slots.actions[place], rows[0][:, 0])
        np.testing.assert_allclose(slots.log_probs[place], rows[1][:, 0], atol=1e-6)
        np.testing.assert_allclose(slots.agent_states[index], rows[2].reshape(2, -1), atol=1e-6)
        assert slots.versions[place] == 5
    np.testing.assert_array_equal(slots.agent_states[1], before[1])


@pytest.mark.parametrize("prediction_batch,agents_at_once", [(5, 2), (1, 1)])
def test_a_prediction_batch_is_limited_to_whole_agents(make_agent, prediction_batch, agents_at_once):
    agent = make_agent(num_agents=4, num_envs=2, prediction_batch=prediction_batch)
    for index in range(4):
        agent.queues.of_agent(index).request(2 * index, 0)
    load = Load()
    predictor = GA3CPredictor(agent.config, agent.model, agent.queues, load, index=0)
    predictor.predict()
    assert load.take() == (1, 2 * agents_at_once, 4 - agents_at_once), "steps of a batch, and agents that wait"


def test_an_update_learns_from_the_rollouts_of_several_agents(make_agent):
    agent = make_agent(num_agents=3, min_training_batch=11, total_steps=10**6)
    assert agent.config.rollouts_per_update == 3
    rollouts = [fill_slots(agent, index)[0] for index in range(3)]
    agent.queues.slots.versions[...] = -np.arange(6)[:, np.newaxis]  # by slot, as if the model had been updated since
    together = Rollout(
        **{
            name: np.concatenate([getattr(rollout, name) for rollout in rollouts], axis=1)
            for name in ("observations", "actions", "rewards", "terminated", "truncated")
        },
        **{
            name: np.concatenate([getattr(rollout, name) for rollout in rollouts])
            for name in ("last_observations", "policy_state", "last_policy_state")
        },
    )
    network = agent.model.make_network(shares_memory=False)
    expected = np.zeros_like(network.parameters.vector)
    GradientOfRollout(agent.config, network, expected, network.parameters.layout)(together)
    updates, load = [], Load()
    trainer = GA3CTrainer(agent.config, agent.model, agent.queues, load, threading.Lock(), updates.append)
    assert trainer.train() and load.take() == (1, 15, 0)
    np.testing.assert_array_equal(trainer._gradient_of._gradient, expected)
    assert expected.any()
    assert agent.env_steps == 15 and updates[0].lag == (2.0, 4.0)  # of slots 0, 2 and 4
    assert agent.queues.slots.states[::2].tolist() == [0, 0, 0], "the slots are free again"


def test_nothing_is_learned_after_the_total_of_steps(make_agent):
    agent = make_agent(total_steps=7)
    fill_slots(agent, 0, count=2)
    fill_slots(agent, 1, count=1)
    trainer = GA3CTrainer(agent.config, agent.model, agent.queues, Load(), threading.Lock(), lambda update: None)
    assert trainer.train()
    late, versions, _ = trainer._take()  # as another trainer may, before the total is reached
    learned = trainer._gradient_of(late)
    assert trainer.train() and not trainer.train()
    before = agent.policy.parameters.vector.copy()
    assert agent.model.update(learned, late.transitions(late.observations), versions) is None
    assert agent.env_steps == 10 and agent.num_updates == 2
    np.testing.assert_array_equal(agent.policy.parameters.vector, before)


# ------------------------------------------------------------------------------------------------------- the run


def test_a_run_writes_the_curves_of_every_algorithm_and_its_own(tmp_path):
    summary = train(quick_config(num_trainers=2, num_predictors=2, min_training_batch=10), str(tmp_path / "run"))
    assert summary["env_steps"] == 3000 and summary["updates"] == 300 and summary["stopped_by"] == "total_steps"
    curves = visualdl_curves(tmp_path / "run")
    with GA3C.from_config(quick_config()) as agent:
        assert curves.keys() >= {
            "charts/episode_return",
            "charts/learning_rate",
            "losses/actor",
            "diagnostics/explained_variance",
            "eval/mean_return",
            *agent.metric_tags,
        }
    assert curves["ga3c/training_batch"][-1][1] == 10 and curves["ga3c/prediction_batch"][-1][1] >= 1
    assert 0 <= curves["ga3c/training_queue"][-1][1] <= 2 * SLOTS_PER_AGENT
    assert curves["ga3c/agent_wait_ms"][-1][1] > 0
    steps = [step for step, _ in curves["losses/actor"]]
    assert steps == sorted(set(steps)), "the end is one point"


def test_rates_leave_out_the_start_of_the_agents(make_agent):
    agent = make_agent(total_steps=10**9)
    while not agent.has_started:
        before = time.monotonic()
        agent.update()
    assert agent._measured_at > before and agent._trial._seen[0] > before


@pytest.mark.slow
def test_a_run_resumes_to_a_larger_total_with_other_episodes_and_other_threads(tmp_path):
    train(quick_config(normalize_observations=True, normalize_rewards=True), str(tmp_path / "run"))
    first = load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]
    summary = resume(str(tmp_path / "run"), {"total_steps": 5000, "num_trainers": 2, "num_predictors": 2})
    then = load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]
    assert summary["env_steps"] == then["env_steps"] == 5000 and summary["updates"] == 1000
    assert (first["starts"], then["starts"]) == ([1, 1], [2, 2])
    assert then["encoder"]["count"] == 5000 <= then["rewards"]["count"] <= 5000 + 4 * 5 + 2 * 5
    with pytest.raises(ConfigError, match="num_agents cannot change on resume"):
        resume(str(tmp_path / "run"), {"total_steps": 6000, "num_agents": 3})


@pytest.mark.parametrize(
    "changes",
    [
        {"recurrent": "lstm", "recurrent_size": 8, "num_trainers": 2, "lag_correction": "vtrace"},
        {"env": "paddle_ac.envs.catch:Catch", "encoder": "small", "hidden_sizes": (32,), "num_envs": 2},
        slow({"network": "tests.own_networks:Own", "hidden_sizes": None}),
        slow({"backend": "paddle", "num_trainers": 2, "num_predictors": 2}),
    ],
    ids=str,
)
def test_networks_and_environments_of_all_kinds_are_trained(tmp_path, changes):
    summary = train(quick_config(total_steps=600, **changes), str(tmp_path / "run"))
    assert summary["stopped_by"] == "total_steps" and np.isfinite(summary["eval_mean_return"])


def test_agents_import_no_paddle(make_agent):
    agent = make_agent(env="tests.environments:test/NoPaddle-v0")
    play(agent, 500)


def test_metrics_of_many_updates_are_those_of_all_their_steps():
    generator, metrics = np.random.default_rng(0), UpdateMetrics()
    assert metrics.take() == {}
    updates = []
    for number in range(7):
        returns = generator.normal(5.0, 2.0, 3 + number).astype(np.float32)
        values = (returns + generator.normal(1.0, 0.5, len(returns))).astype(np.float32)
        lag = (generator.uniform(), float(generator.integers(9)))
        updates.append(Update(tuple(generator.normal(size=len(SCALARS))), lag, values, returns))
        metrics.add(updates[-1])
    found = metrics.take()
    expected = dict(zip(SCALARS, np.mean([update.scalars for update in updates], axis=0), strict=True))
    expected["diagnostics/policy_lag"] = np.mean([update.lag[0] for update in updates])
    expected["diagnostics/policy_lag_max"] = max(update.lag[1] for update in updates)
    arrays = (np.concatenate([getattr(update, name) for update in updates]) for name in ("values", "returns"))
    expected["diagnostics/explained_variance"] = explained_variance(*arrays)
    assert found == pytest.approx(expected, rel=1e-5) and metrics.take() == {}


def test_critic_explains_nothing_of_returns_that_are_all_the_same():
    metrics = UpdateMetrics()
    for values in ([0.5, 0.7], [0.1, 0.1, 0.2]):
        returns = np.full(len(values), 0.1, np.float32)
        metrics.add(Update((0.0,) * len(SCALARS), (0.0, 0.0), np.array(values, np.float32), returns))
    assert metrics.take()["diagnostics/explained_variance"] == 0.0


def test_steps_that_nobody_asks_the_metrics_of_take_no_memory(make_agent):
    """During an evaluation trainers go on, and ``check`` alone is called."""
    agent = make_agent(total_steps=10**9)
    play(agent, 200)
    sizes = []
    for _ in range(2):
        steps = agent.env_steps
        while agent.env_steps < steps + 1000:
            agent.check()
        sizes.append(len(pickle.dumps({k: v for k, v in vars(agent._updates).items() if k != "_lock"})))
    assert abs(sizes[1] - sizes[0]) < 100


def test_reward_moments_change_only_while_the_model_is_held(make_agent):
    """A checkpoint, which holds the model, has their mean, variance and count of the same moment."""
    agent = make_agent(normalize_rewards=True, total_steps=10**6)
    fill_slots(agent, 0)
    trainer = GA3CTrainer(agent.config, agent.model, agent.queues, Load(), threading.Lock(), lambda update: None)
    moments = agent.model.normalize_rewards[0].moments
    taking = threading.Thread(target=trainer._take)
    with agent.model.held():
        taking.start()
        wait_until(lambda: not agent.queues.training_queue_length)
        taking.join(0.2)
        assert taking.is_alive() and moments.statistics["count"] == 0
    taking.join(10)
    assert moments.statistics["count"] == 5


def test_copy_of_the_model_is_of_one_moment(make_agent, monkeypatch):
    model = make_agent(normalize_observations=True).model
    held, statistics = model.held, model.network.encode.moments.statistics

    @contextmanager
    def held_before_an_update():
        with held():
            yield
        model.network.parameters.vector += 1
        statistics["count"] += 1

    model.network.parameters.vector[...] = 0
    copy = model.make_network(shares_memory=False)
    monkeypatch.setattr(model, "held", held_before_an_update)
    model.copy_to(copy)
    np.testing.assert_array_equal(copy.parameters.vector, copy.encode.moments.statistics["count"])


def test_returns_of_a_replaced_agent_are_reset_while_the_model_is_held(make_agent, monkeypatch):
    agent = make_agent(normalize_rewards=True)
    normalizer, seen, held = agent.model.normalize_rewards[1], [], agent.model.held

    @contextmanager
    def observed():
        with held():
            seen.append(float(normalizer.returns[0]))
            yield
            seen.append(float(normalizer.returns[0]))

    normalizer.returns[:] = 5.0
    monkeypatch.setattr(agent.model, "held", observed)
    agent._agent_arguments(1, 1)
    assert seen == [5.0, 0.0]


@pytest.mark.parametrize("env", ["test/Continuous-v0", "test/Binary-v0"])
def test_epsilon_in_the_logarithm_is_for_discrete_actions(make_agent, env):
    """The probability of a joint action, or a density, may be far below it where nothing is wrong."""
    assert make_agent().config.policy_log_epsilon == 1e-6
    assert make_agent(log_epsilon=0.1).config.policy_log_epsilon == 0.1
    assert make_agent(env=env).config.policy_log_epsilon == make_agent(env=env, log_epsilon=0.0).config.log_epsilon == 0
    with pytest.raises(ConfigError, match=f"log_epsilon=1e-06 is for Discrete actions, and those of {env} are "):
        make_agent(env=env, log_epsilon=1e-6)


def test_a_training_batch_that_could_never_wait_in_the_slots_is_rejected():
    with pytest.raises(ConfigError, match=r"min_training_batch=21: no more than 20 steps can wait, .*num_agents=2"):
        quick_config(min_training_batch=21)
    assert quick_config(min_training_batch=20).rollouts_per_update == SLOTS_PER_AGENT * 2


def test_spaces_that_it_cannot_take_are_named(tmp_path):
    for env, message in (("test/Asking-v0", "Text"), ("test/FromOne-v0", "ga3c takes Box.* begin at 0")):
        with pytest.raises(ConfigError, match=message):
            train(quick_config(env=env), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------------------------ dynamic adjustment


def test_the_random_walk_finds_the_best_numbers_and_stays_within_its_bounds():
    smallest, largest, best = (2, 1, 1), (9, 4, 4), (6, 2, 3)
    walk = RandomWalk(smallest, largest, np.random.default_rng(0))
    seen = set()
    for _ in range(400):
        seen.add(walk.counts)
        walk.measured(-float(np.abs(np.subtract(walk.counts, best)).sum()))
    assert walk._kept == best and len(seen) > 20
    assert (np.array(list(seen)) >= smallest).all() and (np.array(list(seen)) <= largest).all()


def test_the_random_walk_measures_again_where_a_change_is_not_kept():
    walk = RandomWalk((1, 1, 1), (4, 4, 4), np.random.default_rng(0))
    first = walk.counts
    while walk.counts == first:
        walk.measured(100.0)
    assert walk.measured(50.0) == first, "slower"
    while walk.counts == first:
        walk.measured(20.0)  # the first measurement was a lucky one
    better = walk.counts
    walk.measured(50.0)
    assert walk._kept == better


def test_trial_counts_time_and_steps_of_training_alone():
    trial = Trial(100.0, 5000)
    trial.count(103.0, 5600)
    trial.leave_out(200.0, 9000)  # an evaluation, through which agents and trainers work on
    trial.count(201.0, 9100)
    assert (trial.seconds, trial.rate) == (4.0, 175.0)
    trial.leave_out(250.0, 15_000)
    trial.restart(300.0, 20_000)
    trial.count(302.0, 20_100)
    assert (trial.seconds, trial.rate) == (2.0, 50.0)


@pytest.mark.parametrize("seconds", [0.5, 200.0])
def test_trial_leaves_out_evaluations_however_long_or_frequent(make_agent, monkeypatch, seconds):
    agent, now = make_agent(dynamic_adjustment=True), 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    agent._restart_measurements()
    for trained in range(1, 4):
        now += 2.0
        agent.model.env_steps += 100
        with agent.evaluating():
            now += seconds
            agent.model.env_steps += 5000
            agent.check()
        now += 1.0
        agent.model.env_steps += 50
        agent._adjust()
        assert (agent._trial.seconds, agent._trial.rate) == (3.0 * trained, 50.0)


def test_every_evaluation_of_a_run_is_left_out_of_trials(tmp_path, monkeypatch):
    evaluated, evaluating, evaluate_in_run = [], GA3C.evaluating, train_module.evaluate

    @contextmanager
    def recorded(agent):
        evaluated.append("begin")
        with evaluating(agent):
            yield
        evaluated.append("end")

    monkeypatch.setattr(GA3C, "evaluating", recorded)
    monkeypatch.setattr(
        train_module, "evaluate", lambda *args, **kwargs: evaluated.append("play") or evaluate_in_run(*args, **kwargs)
    )
    train(quick_config(eval_interval=1000), str(tmp_path / "run"))
    assert evaluated == ["begin", "play", "end"] * (len(evaluated) // 3) and len(evaluated) >= 6


@pytest.mark.slow
def test_numbers_of_agents_and_threads_are_adjusted_while_they_work(tmp_path, monkeypatch):
    """With evaluations that are closer together than two adjustments."""
    monkeypatch.setattr(ga3c, "ADJUSTMENT_SECONDS", 0.05)
    most = {"num_agents": 3, "num_predictors": 2, "num_trainers": 2}
    own = {"dynamic_adjustment": True, "total_steps": 40_000, "eval_interval": 1000, "log_interval": 500}
    summary = train(quick_config(**most, **own), str(tmp_path / "run"))
    assert summary["stopped_by"] == "total_steps"
    curves = visualdl_curves(tmp_path / "run")
    numbers = {tuple(value for _, value in curves[name.replace("num_", "ga3c/")]) for name in most}
    assert {value for values in numbers for value in values} <= {1, 2, 3}
    assert any(len(set(values)) > 1 for values in numbers), "they change"


@pytest.mark.parametrize("own", [{"num_agents": 1}, {"num_agents": 2, "min_training_batch": 20}], ids=str)
def test_adjustment_of_nothing_is_rejected(own):
    with pytest.raises(ConfigError, match=f"no numbers to try below num_agents={own['num_agents']}, num_predictors=1"):
        quick_config(dynamic_adjustment=True, **own)
    assert quick_config(dynamic_adjustment=True, num_trainers=2, **own).dynamic_adjustment


# ------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("restart", [False, slow(True)], ids=["stop", "replace"])
def test_a_killed_agent_is_named_or_replaced(make_agent, restart, caplog):
    agent = make_agent(total_steps=10**9, restart_workers=restart)
    play(agent, 500)
    for starts in range(2, 3 + SLOTS_PER_AGENT):  # each loses what it was filling
        os.kill(agent.pool._workers[1].process.pid, signal.SIGKILL)
        if not restart:
            with pytest.raises(WorkerDiedError, match="worker 1 was killed by SIGKILL"):
                play(agent, 10**9)
            return
        while agent.pool.starts[1] < starts or 1 not in agent.pool._ready:
            agent.update()
        served = agent.queues._answered[1]
        wait_until(lambda served=served: agent.queues._answered[1] > served + 50)
    assert "worker 1 was killed by SIGKILL; another takes its place" in caplog.text
    assert np.isfinite(agent.state_dict()["parameters"]["actor_head.weight"]).all()


@pytest.mark.parametrize("restart", [False, slow(True)], ids=["stop", "replace"])
def test_a_stopped_agent_is_named_or_replaced(make_agent, restart, caplog):
    agent = make_agent(total_steps=10**9, step_timeout=1.5, restart_workers=restart)
    play(agent, 500)
    os.kill(agent.pool._workers[1].process.pid, signal.SIGSTOP)
    message = "worker 1 made no step within 1.5 s (step_timeout) and was killed"
    if not restart:
        with pytest.raises(WorkerTimeoutError, match=re.escape(message)):
            play(agent, 10**9)
        return
    while agent.pool.starts[1] < 2:
        agent.update()
    assert f"{message}; another takes its place" in caplog.text
    served = agent.queues._answered[1]
    while agent.queues._answered[1] <= served + 50:
        agent.update()


def test_an_agent_killed_during_an_evaluation_is_named(make_agent):
    agent = make_agent(total_steps=10**9)
    play(agent, 500)
    with DummyVecEnv(training_env_fns(agent.config, 2)) as envs:
        os.kill(agent.pool._workers[1].process.pid, signal.SIGKILL)
        with pytest.raises(WorkerDiedError, match="worker 1 was killed by SIGKILL"):
            evaluate(agent.policy, envs, 10**6, max_steps=500, check=agent.check)


@pytest.mark.parametrize(
    "fault,error,message",
    [
        ("raise in step", WorkerFailedError, "worker [01]: environment 0 failed in step with action (.|\n)*wheel"),
        slow("killed", WorkerDiedError, "worker [01] was killed by SIGKILL"),
        slow("stuck", WorkerTimeoutError, r"worker [01] made no step within 1.5 s \(step_timeout\)"),
        slow("nan reward", NonFiniteError, "worker [01]: reward of environment 0 is not finite: nan"),
        slow("huge reward", NonFiniteError, "^the loss or its gradient is not finite"),
    ],
)
def test_a_fault_of_an_environment_stops_the_run_with_a_checkpoint_that_resumes(
    tmp_path, monkeypatch, fault, error, message
):
    with pytest.raises(error, match=message):
        train(quick_config(env=misbehaving_id(fault), step_timeout=1.5), str(tmp_path / "run"))
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["stopped_by"] == "error" and error.__name__ in summary["error"]
    monkeypatch.setenv("FAULTS", "off")
    assert resume(str(tmp_path / "run"), {"step_timeout": 60.0})["stopped_by"] == "total_steps"


class LostContextError(RuntimeError):
    """What a thread may raise, such as an error of a device."""


@pytest.mark.parametrize("kind,method", [slow(GA3CPredictor, "predict"), (GA3CTrainer, "train")])
def test_an_exception_in_a_thread_stops_the_run_with_a_checkpoint_that_resumes(tmp_path, monkeypatch, kind, method):
    work, calls = getattr(kind, method), []

    def work_and_raise(self):
        calls.append(self)
        if len(calls) > 100:
            raise LostContextError("the device has gone")
        return work(self)

    with monkeypatch.context() as patched:
        patched.setattr(kind, method, work_and_raise)
        with pytest.raises(LostContextError, match="the device has gone"):
            train(quick_config(total_steps=10**9), str(tmp_path / "run"))
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["stopped_by"] == "error" and "LostContextError" in summary["error"]
    steps = load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]["env_steps"]
    assert steps == 500 if kind is GA3CTrainer else steps > 0
    assert resume(str(tmp_path / "run"), {"total_steps": steps + 1000})["env_steps"] == steps + 1000


@pytest.mark.parametrize("name", [slow("predictor 0"), "trainer 0"])
def test_a_thread_that_hangs_is_named_and_the_run_has_a_checkpoint_that_resumes(tmp_path, monkeypatch, name):
    released, calls = threading.Event(), []
    work = Model.refresh  # which both call with a batch in hand

    def work_and_hang(model, network):
        if threading.current_thread().name == name:
            calls.append(name)
            if len(calls) == 50:
                released.wait()
        work(model, network)

    with monkeypatch.context() as patched:
        patched.setattr(Model, "refresh", work_and_hang)
        patched.setattr(ga3c, "THREAD_TIMEOUT", 0.1)
        try:
            with pytest.raises(WorkerTimeoutError, match=f"{name} has computed a batch for more than 1 s"):
                train(quick_config(total_steps=10**9, step_timeout=1.0), str(tmp_path / "run"))
        finally:
            released.set()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["stopped_by"] == "error" and name in summary["error"]
    steps = load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]["env_steps"]
    assert steps > 0
    assert resume(str(tmp_path / "run"), {"total_steps": steps + 1000})["env_steps"] == steps + 1000


def test_threads_of_a_suspended_process_do_not_count_as_hanging(make_agent, monkeypatch):
    """While a process is suspended (Ctrl-Z), its clock runs and its threads do not."""
    agent, now = make_agent(step_timeout=10.0), time.monotonic()
    computing, released = threading.Event(), threading.Event()
    monkeypatch.setattr(Model, "refresh", lambda *_: computing.set() or released.wait())
    fill_slots(agent, 0)
    agent._start_threads()  # the trainer hangs, and the predictor waits for agents
    assert computing.wait(60)
    with monkeypatch.context() as patched:
        patched.setattr(time, "monotonic", lambda: now)
        agent.check()
        now += 1000
        agent.check()
        now += 5
        agent.check()
        now += 1
        with pytest.raises(WorkerTimeoutError, match="trainer 0 has computed a batch for more than 10 s"):
            agent.check()
    released.set()


def test_a_wait_for_the_model_does_not_fail_after_one_suspension(make_agent, monkeypatch):
    """A wait in which the process is suspended ends without the lock when it continues."""
    model, waits = make_agent(step_timeout=9.0).model, []
    lock = SimpleNamespace(acquire=lambda timeout: waits.append(timeout) or len(waits) == 2, release=lambda: None)
    monkeypatch.setattr(model, "_lock", lock)
    with model.held():
        assert waits == [3.0, 3.0]
    with pytest.raises(WorkerTimeoutError, match="MainThread has held the model for more than 9 s"), model.held():
        pass
    assert waits[2:] == [3.0, 3.0, 3.0]


def test_a_trainer_that_hangs_in_an_update_ends_the_run_and_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    """It holds the model, so that there cannot be a checkpoint of now."""
    released, saved, step = threading.Event(), threading.Event(), Learner.step

    class Saved(Callback):
        def on_checkpoint(self, run, path):
            if run.agent.env_steps > 0:
                saved.set()

    def step_and_hang(learner, *arguments):
        if saved.is_set():
            released.wait()
        step(learner, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "step", step_and_hang)
        patched.setattr(ga3c, "THREAD_TIMEOUT", 0.1)
        try:
            with pytest.raises(
                WorkerTimeoutError, match=r"trainer 0 has (computed a batch|held the model) for more than 1 s"
            ):
                train(quick_config(total_steps=10**9, step_timeout=1.0), str(tmp_path / "run"), False, [Saved()])
        finally:
            released.set()
    assert "trainer 0" in json.loads((tmp_path / "run" / "summary.json").read_text())["error"]
    steps = load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]["env_steps"]
    assert steps >= 1000
    assert resume(str(tmp_path / "run"), {"total_steps": steps + 1000})["env_steps"] == steps + 1000


def test_ctrl_c_while_a_trainer_hangs_waits_for_it_once_and_keeps_the_last_checkpoint(tmp_path, monkeypatch, caplog):
    released, hanging, calls, step = threading.Event(), threading.Event(), [], Learner.step

    def step_and_hang(learner, *arguments):
        calls.append(learner)
        if len(calls) > 20:
            hanging.set()
            released.wait()
        step(learner, *arguments)

    class Interrupted(Callback):
        def on_update(self, run, metrics):
            if hanging.is_set():
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Learner, "step", step_and_hang)
    monkeypatch.setattr(ga3c, "THREAD_TIMEOUT", 0.1)
    config = quick_config(total_steps=10**9)
    try:
        with pytest.raises(SystemExit) as ended, exit_codes():
            train(config, str(tmp_path / "run"), False, [Interrupted()])
    finally:
        released.set()
    assert ended.value.code == 130
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["stopped_by"], summary["error"], summary["env_steps"]) == ("interrupt", None, 100)
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        "trainer 0 did not stop within 0.1 s",
        "trainer 0 holds the model: the last checkpoint is kept",
    ]
    assert load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]["env_steps"] == 0


def test_a_model_is_waited_for_unless_a_lost_thread_holds_it(make_agent, monkeypatch):
    model, waits = make_agent(step_timeout=9.0).model, []
    lock = SimpleNamespace(acquire=lambda timeout: waits.append(timeout) or len(waits) > 3, release=lambda: None)
    monkeypatch.setattr(model, "_lock", lock)
    model._holder = threading.Thread(name="trainer 0")
    model.lost_threads.append(model._holder)
    with pytest.raises(WorkerTimeoutError, match="trainer 0 holds the model"), model.held():
        pass
    assert waits == [0.0] * 3
    with model.held():
        assert model._holder is threading.current_thread(), "it had released the model"
    with model.held():
        assert waits[-1] == 3.0


def test_an_exception_in_a_thread_is_raised_during_an_evaluation(make_agent, monkeypatch):
    agent = make_agent(total_steps=10**9)
    play(agent, 500)
    agent._failure = LostContextError()
    with pytest.raises(LostContextError):
        agent.check()


@pytest.fixture
def held_trainers(monkeypatch):
    """Trainers learn from nothing after their first 20 batches, until ``release`` is set."""
    release, trained, train_once = threading.Event(), [], GA3CTrainer.train

    def train_in_time(self):
        trained.append(self)
        if len(trained) > 20:
            release.wait()
        return train_once(self)

    monkeypatch.setattr(GA3CTrainer, "train", train_in_time)
    yield release
    release.set()


def all_slots_are_full(agent: GA3C) -> bool:
    return bool((agent.queues.slots.states == QUEUED).all())


@pytest.mark.slow
def test_queues_of_a_slow_trainer_are_bounded_and_waiting_agents_are_not_stuck(make_agent, held_trainers):
    agent = make_agent(total_steps=2000, step_timeout=1.5)
    while not all_slots_are_full(agent):
        agent.update()
    requests, until = agent.queues.slots.requests.copy(), time.monotonic() + 4
    while time.monotonic() < until:
        agent.update()  # raises if an agent counts as stuck
    assert (agent.queues.slots.requests == requests).all() and all_slots_are_full(agent), "the agents wait"
    assert agent.queues.training_queue_length == SLOTS_PER_AGENT * 2
    held_trainers.set()
    while not agent.is_done:
        agent.update()
    assert agent.env_steps == 2000


def test_ctrl_c_while_queues_are_full_ends_the_run_with_a_checkpoint_that_resumes(tmp_path, held_trainers):
    started = []
    make = GA3C.from_config.__func__

    def make_and_keep(cls, config):
        started.append(make(cls, config))
        return started[-1]

    def interrupt_when_full():
        wait_until(lambda: started and all_slots_are_full(started[0]))
        os.kill(os.getpid(), signal.SIGINT)
        wait_until(lambda: started[0]._stopping)
        held_trainers.set()

    watcher = threading.Thread(target=interrupt_when_full)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(GA3C, "from_config", classmethod(make_and_keep))
        watcher.start()
        summary = train(quick_config(total_steps=10**6), str(tmp_path / "run"))
        watcher.join()
    assert summary["stopped_by"] == "interrupt"
    steps = load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]["env_steps"]
    assert steps == summary["env_steps"] <= 21 * 5
    assert resume(str(tmp_path / "run"), {"total_steps": 1000})["env_steps"] == 1000


@pytest.mark.slow
def test_the_command_ends_with_130_after_ctrl_c_and_resumes(tmp_path):
    values = {**QUICK_GA3C, "total_steps": 20_000, "env": f"tests.environments:{misbehaving_id('interrupt')}"}
    flags = [as_flag(name, value) for name, value in values.items()]
    ended = run_tool("train.py", *flags, f"--run-dir={tmp_path / 'run'}")
    assert ended.returncode == 130, ended.stderr
    ended = run_tool("train.py", "--resume", str(tmp_path / "run"), faults="off")
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["stopped_by"] == "total_steps"


@pytest.mark.slow
def test_when_the_training_is_killed_its_agents_end_and_the_run_resumes(tmp_path):
    memory_before = shared_memory()
    process = start_tool("train.py", "--algo=ga3c", "--total-steps=1000000", f"--run-dir={tmp_path / 'run'}")
    progress = tmp_path / "run" / "progress.csv"
    wait_until(lambda: progress.exists() and len(progress.read_text().splitlines()) > 3)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 4
    process.kill()
    process.communicate()
    assert not psutil.wait_procs(workers, timeout=5)[1]
    assert not leaked_shared_memory(memory_before)
    summary = resume(str(tmp_path / "run"), {"total_steps": 1000, "eval_episodes": 2})
    assert summary["stopped_by"] == "total_steps"
