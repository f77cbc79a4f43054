"""Short trainings on Atari games: every kind of environment and algorithm, resuming, recording."""

from __future__ import annotations

import importlib.util
import sys
import types

import numpy as np
import pytest
from PIL import Image, ImageSequence

import paddle_ac
from paddle_ac.algorithms.a3c_worker import A3CWorker
from paddle_ac.algorithms.actor_learner_worker import run_worker
from paddle_ac.checkpoint import load_checkpoint
from paddle_ac.config import make_config, read_yaml
from paddle_ac.learning import gradient
from paddle_ac.training.evaluate import evaluate_run
from paddle_ac.training.recording import watch_run
from paddle_ac.training.run_folder import RunFolder
from paddle_ac.training.runs import resume
from tests.atari_games import BREAKOUT, KINDS, PONG, SMALL
from tests.paths import CONFIGS
from tests.short_runs import assert_same_run, quick_run
from tests.tool_calls import run_main

pytest.importorskip("ale_py")
pytest.importorskip("cv2")

INVADERS = "ALE/SpaceInvaders-v5"
DQN = {
    "algo": "dqn",
    "buffer_size": 400,
    "learning_starts": 40,
    "train_freq": 20,
    "gradient_steps": 2,
    "batch_size": 8,
    "num_step_returns": 3,
    "initial_epsilon": 0.5,  # the same at the end, so that the total of steps does not matter
    "final_epsilon": 0.5,
}


def quick_game(folder, total_steps, **changes):
    values = {"env": BREAKOUT, "num_envs": 2, "log_interval": 40, "eval_interval": 150, **SMALL, **changes}
    if values.get("algo") == "dqn":
        del values["num_steps"]
    if values.get("algo") != "a3c":
        values = {"vec": "serial", **values}
    return quick_run(folder, total_steps, **values)


@pytest.mark.slow
@pytest.mark.parametrize("frame_stack", [4, 1])
@pytest.mark.parametrize("vec", KINDS)
def test_an_lstm_learns_from_the_last_frames_in_every_kind_of_environment(vec, frame_stack):
    """Which frames these are, tests/unit/test_atari.py compares between the kinds."""
    if vec == "envpool":
        pytest.importorskip("envpool")
    small = {"encoder": "small", "num_steps": 50, "num_envs": 2, "recurrent": "lstm", "recurrent_size": 8}
    with paddle_ac.make("a2c", BREAKOUT, vec=vec, frame_stack=frame_stack, **small) as agent:
        rollouts, collect = [], agent.collector.collect
        agent.collector.collect = lambda act: rollouts.append(collect(act)) or rollouts[-1]
        before = agent.parameters.vector.copy()
        agent.update()
        agent.update()
        assert (agent.parameters.vector != before).any()
    first, second = rollouts
    seen = np.concatenate([first.observations, second.observations])
    assert seen.shape == (100, 2, frame_stack, 84, 84)
    ends = np.concatenate([first.terminated | first.truncated, second.terminated | second.truncated])
    inside = ~ends[:-1]
    np.testing.assert_array_equal(seen[1:, :, :-1][inside], seen[:-1, :, 1:][inside])
    assert (seen[1:] != seen[:-1]).any() and not first.policy_state.any() and second.policy_state.any()


@pytest.mark.slow
@pytest.mark.parametrize("recurrent", ["none", "lstm"])
def test_a3c_learns_from_a_game(tmp_path, recurrent):
    summary = quick_game(tmp_path / "run", 300, algo="a3c", num_envs=1, num_workers=2, recurrent=recurrent)
    assert summary["env_steps"] >= 300 and np.isfinite(summary["eval_mean_return"])


@pytest.mark.slow
def test_episodes_of_a3cs_workers_end_with_a_life(monkeypatch):
    rollouts = []

    def play(worker, context):
        for _ in range(2):
            rollouts.append(worker.collector.collect(lambda observations, state: np.ones(1, np.int64)))

    monkeypatch.setattr(A3CWorker, "run", play)
    context = types.SimpleNamespace(index=0, start=0, advance=lambda: None, wait_for_start=lambda: None)
    for terminal_on_life_loss in (True, False):
        rollouts.clear()
        with paddle_ac.make(
            "a3c",
            BREAKOUT,
            num_workers=1,
            num_envs=1,
            num_steps=90,
            encoder="small",
            terminal_on_life_loss=terminal_on_life_loss,
        ) as agent:
            run_worker(context, *agent._worker_arguments(0, 0))
        num_ends = sum(rollout.terminated.sum() for rollout in rollouts)
        num_games = sum(len(rollout.episode_returns) for rollout in rollouts)
        assert (num_ends > 3 * max(num_games, 1)) == terminal_on_life_loss


@pytest.mark.slow
def test_learned_rewards_are_clipped_and_returns_are_scores(monkeypatch):
    learned, scale_and_clip = [], gradient.scale_and_clip
    monkeypatch.setattr(gradient, "scale_and_clip", lambda *args: learned.append(scale_and_clip(*args)) or learned[-1])
    limit = {"max_episode_steps": 200}
    with paddle_ac.make(
        "a2c", INVADERS, env_kwargs=limit, num_envs=4, vec="serial", num_steps=50, encoder="small"
    ) as agent:
        metrics = [agent.update() for _ in range(4)]
    assert {0.0, 1.0} == set(np.unique(np.concatenate(learned)).tolist())
    scores = [score for update in metrics for score in update["charts/episode_return"]]
    lengths = [length for update in metrics for length in update["charts/episode_length"]]
    assert scores and max(scores) > 5 and all(score % 5 == 0 for score in scores), "points of a whole game"
    assert max(lengths) == 200


@pytest.mark.slow
def test_reinforce_plays_whole_games():
    with paddle_ac.make("reinforce", BREAKOUT, num_envs=2, vec="serial", encoder="small") as agent:
        rollouts, collect = [], agent.collector.collect
        agent.collector.collect = lambda act: rollouts.append(collect(act)) or rollouts[-1]
        metrics = agent.update()
    (rollout,) = rollouts
    assert rollout.terminated[rollout.mask].sum() == len(metrics["charts/episode_return"]) == 2
    assert min(metrics["charts/episode_length"]) > 100, "5 lives"


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"recurrent": "lstm", "recurrent_size": 8, "sticky_actions": 0.25, "seed": 1},
        DQN,
    ],
    ids=["a2c", "lstm", "dqn"],
)
def test_a_run_is_resumed_exactly_in_mid_game(tmp_path, changes):
    quick_game(tmp_path / "whole", 600, **changes)
    quick_game(tmp_path / "run", 300, **changes)
    state = load_checkpoint(RunFolder(tmp_path / "run").latest)["algorithm"]["collector"]
    assert (state["episode_lengths"] > 0).all() and (state["envs"]["lives"] < 5).any()
    resume(str(tmp_path / "run"), {"total_steps": 600})
    assert_same_run(tmp_path / "whole", tmp_path / "run")


@pytest.mark.slow
def test_ales_vector_environment_resumes_with_new_games_and_says_so(tmp_path, caplog):
    quick_game(tmp_path / "run", 100, vec="native")
    summary = resume(str(tmp_path / "run"), {"total_steps": 200})
    assert summary["env_steps"] == 200 and "cannot be brought back" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("vec", KINDS)
def test_an_evaluation_is_recorded_at_the_games_own_resolution(tmp_path, capsys, vec):
    if vec == "envpool":
        pytest.importorskip("envpool")
    run = tmp_path / "run"
    quick_game(run, 50, env=PONG, vec=vec, eval_max_steps=30)
    capsys.readouterr()
    code, output, errors = run_main(capsys, "evaluate.py", str(run), "--record", str(tmp_path / "film.gif"))
    assert (code, errors) == (0, ""), errors
    film = Image.open(tmp_path / "film.gif")
    assert film.size == (160, 210)
    shown = [picture.info["duration"] for picture in ImageSequence.Iterator(film)]
    assert len(shown) > 10
    assert sum(shown) == 70 * (30 + 1), "15 pictures a second, as the console; equal ones are shown longer"


@pytest.mark.slow
def test_the_recorded_game_is_the_evaluated_one(tmp_path):
    quick_game(tmp_path / "run", 50, env=PONG, eval_max_steps=200)
    seen = watch_run(str(tmp_path / "film.gif"), str(tmp_path / "run"), seed=3)
    assert seen == evaluate_run(str(tmp_path / "run"), episodes=1, seed=3)


@pytest.mark.parametrize(
    "algo,vec",
    [("a2c", "serial"), pytest.param("a2c", "subproc", marks=pytest.mark.slow), ("a3c", None), ("a2c", "envpool")],
)
def test_commands_report_missing_packages_in_one_line(tmp_path, capsys, monkeypatch, algo, vec):
    monkeypatch.setitem(sys.modules, "cv2", None)
    path = tmp_path / "packages"
    path.mkdir()
    (path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open')\n")
    monkeypatch.syspath_prepend(path)  # workers have the same path
    flags = [f"--algo={algo}", f"--env={PONG}", "--total-steps=20", f"--run-dir={tmp_path / 'run'}"]
    if vec == "envpool":
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "envpool" else find_spec(name))
        monkeypatch.setitem(sys.modules, "envpool", None)
    code, _, errors = run_main(capsys, "train.py", *flags, *([f"--vec={vec}"] if vec else []), "--num-envs=2")
    assert code == 2 and errors.count("\n") == 1, errors
    wanted = "pip install envpool" if vec == "envpool" else "pip install opencv-python-headless"
    assert wanted in errors
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*_atari*.yaml")), ids=lambda path: path.stem)
def test_configurations_take_any_game(path):
    for env in (PONG, BREAKOUT, "SpaceInvadersNoFrameskip-v4"):
        config = make_config({**read_yaml(path), "env": env})
        assert (config.frame_stack, config.reward_clip, config.eval_max_steps) == (4, 1.0, 27_000)
        assert config.terminal_on_life_loss
        assert config.total_steps == (3_000_000 if path.stem == "dqn_atari_fast" else 10_000_000)
