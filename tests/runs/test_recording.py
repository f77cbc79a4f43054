"""Episodes to look at: the right pictures, of the episodes that were evaluated, in files that others can read."""

from __future__ import annotations

import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pygame
import pytest
from PIL import Image, ImageSequence

from paddle_ac.commands import evaluate
from paddle_ac.config import make_config, write_yaml
from paddle_ac.training.evaluate import evaluate_run
from paddle_ac.training.recording import open_film, watch_run
from tests.short_runs import quick_run
from tests.tool_calls import run_main

WALK = "tests.environments:test/Filmed-v0"
CONTINUOUS = "tests.environments:test/FilmedContinuous-v0"


@pytest.fixture(autouse=True)
def no_screen(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


@pytest.fixture(scope="module")
def walk(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "walk"
    quick_run(folder, 300, env=WALK, vec="serial", recurrent="lstm", recurrent_size=8, eval_interval=100)
    return folder


@pytest.fixture(scope="module")
def cart(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "cart"
    quick_run(folder, 100)
    return folder


def evaluate_main(*arguments: str) -> None:
    evaluate.main(list(arguments))


def read_gif(path: Path) -> list[tuple[np.ndarray, int]]:
    """Pictures ``[H, W, 3]`` uint8, and how many ms each is shown."""
    frames = ImageSequence.Iterator(Image.open(path))
    return [(np.array(frame.convert("RGB")), frame.info["duration"]) for frame in frames]


def ages(pictures: list[np.ndarray]) -> list[int]:
    """The number of the step that each picture of the filmed walk shows; a GIF may be a shade off."""
    return [round(float(picture[2:].mean()) / 12) for picture in pictures]


def test_the_episode_of_a_recurrent_policy_is_the_one_that_was_evaluated(walk, tmp_path):
    for seed in range(4):
        seen = watch_run(str(tmp_path / "film.gif"), str(walk), seed=seed)
        assert seen == evaluate_run(str(walk), episodes=1, seed=seed)
        pictures = read_gif(tmp_path / "film.gif")
        assert ages([picture for picture, _ in pictures]) == list(range(int(seen["mean_return"]) + 1))
        assert {shown for _, shown in pictures} == {40}, "25 a second"


@pytest.mark.parametrize(
    "changes",
    [
        {"env": WALK, "frame_stack": 3},
        {"env": CONTINUOUS, "initial_log_std": 2},
        {"algo": "sac", "env": CONTINUOUS, "learning_starts": 10, "batch_size": 8},
        {"algo": "dqn", "env": WALK, "learning_starts": 10, "batch_size": 8, "train_freq": 4, "dueling": True},
    ],
    ids=["frame stack", "clipped", "sac", "dqn"],
)
def test_every_kind_of_policy_is_recorded_over_several_episodes(tmp_path, changes):
    quick_run(tmp_path / "run", 60, vec="serial", num_envs=1, **changes)
    seen = watch_run(str(tmp_path / "film.gif"), str(tmp_path / "run"), episodes=2, sampled=True)
    shown = ages([picture for picture, _ in read_gif(tmp_path / "film.gif")])
    second = shown.index(0, 1)
    assert shown == [*range(second), *range(len(shown) - second)]
    assert sorted([second - 1, len(shown) - second - 1]) == [round(seen["min_return"]), round(seen["max_return"])]


def test_an_episode_that_has_no_end_is_cut_as_in_an_evaluation(tmp_path):
    quick_run(tmp_path / "run", 60, env=WALK, vec="serial", eval_max_steps=2)
    assert watch_run(str(tmp_path / "film.gif"), str(tmp_path / "run"), episodes=5)["max_return"] < 2.1
    assert max(ages([picture for picture, _ in read_gif(tmp_path / "film.gif")])) == 2


def test_an_mp4_has_every_picture_at_its_time(walk, tmp_path):
    seen = watch_run(str(tmp_path / "film.mp4"), str(walk), seed=1)
    frames = imageio_ffmpeg.read_frames(str(tmp_path / "film.mp4"))
    about = next(frames)
    assert about["size"] == (52, 34) and about["fps"] == 25, "sides are even"
    brightness = [np.frombuffer(frame, np.uint8).reshape(34, 52, 3)[4:].mean() for frame in frames]
    assert len(brightness) == int(seen["mean_return"]) + 1
    assert brightness == sorted(brightness) and brightness[-1] > brightness[0]


def test_cartpole_is_recorded_without_a_screen_and_small(cart, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("SDL_VIDEODRIVER")
    film = tmp_path / "film.gif"
    evaluate_main("--run-dir", str(cart), "--record", str(film))
    output, errors = capsys.readouterr()
    assert errors == ""
    assert "1 episode of CartPole-v1" in output and f"recorded in {film}" in output
    steps = round(evaluate_run(str(cart), episodes=1)["mean_return"])
    pictures, shown = zip(*read_gif(film), strict=True)
    assert pictures[0].shape == (267, 400, 3) and sum(shown) == 20 * (steps + 1)
    assert (pictures[0] != pictures[-1]).any() and film.stat().st_size < 1000 * (steps + 20)


def test_an_environment_of_classic_gym_is_recorded(tmp_path):
    quick_run(tmp_path / "run", 40, env="gym:CartPole-v1", vec="serial")
    seen = watch_run(str(tmp_path / "film.gif"), str(tmp_path / "run"))
    assert sum(shown for _, shown in read_gif(tmp_path / "film.gif")) == 20 * (seen["mean_return"] + 1)


@pytest.mark.parametrize("env", ["CartPole-v1", WALK], ids=["its own window", "a window around pictures"])
def test_a_window_shows_every_step(tmp_path, monkeypatch, capsys, env):
    quick_run(tmp_path / "run", 60, env=env, vec="serial")
    flips, flip = [], pygame.display.flip
    monkeypatch.setattr(pygame.display, "flip", lambda: flips.append(flip()))
    evaluate_main("--run-dir", str(tmp_path / "run"), "--render")
    assert "return " in capsys.readouterr().out
    assert len(flips) > evaluate_run(str(tmp_path / "run"), episodes=1)["mean_return"]


@pytest.mark.parametrize("name", ["film.gif", "film.mp4"])
def test_a_recording_that_fails_leaves_what_was_there(tmp_path, name):
    film = tmp_path / name
    film.write_bytes(b"an earlier one")
    with pytest.raises(KeyboardInterrupt), open_film(film, 25) as take:
        for shade in range(5):
            take(np.full((20, 20, 3), shade, np.uint8))
        raise KeyboardInterrupt
    assert film.read_bytes() == b"an earlier one" and list(tmp_path.iterdir()) == [film]


@pytest.mark.parametrize(
    "arguments,said",
    [
        (["--record", "film.avi"], "argument --record: must end in .gif or .mp4, got 'film.avi'"),
        (["--record", "nowhere/film.gif"], "argument --record: there is no folder 'nowhere'"),
        (["--record", "film.gif", "--render"], "not allowed with argument"),
        (["--record", "film.gif", "--run-dir", "nowhere"], "there is no run folder nowhere"),
        (["--record", "film.gif", "--run-dir", "unseen"], "'tests.environments:test/Walk-v0' has no pictures"),
        (["--record", "film.gif", "--run-dir", "envpool"], "environments of --vec envpool have no pictures"),
        (["--record", "film.gif"], 'pip install "gymnasium[classic'),
        (["--record", "film.mp4", "--run-dir", "walk"], "pip install imageio-ffmpeg, or record a .gif"),
        (["--render"], "there is no screen for a window (DISPLAY is not set): use --record FILE.gif"),
    ],
)
def test_an_episode_that_cannot_be_watched_is_reported_in_one_line(capsys, tmp_path, monkeypatch, arguments, said):
    """Where neither pygame nor imageio-ffmpeg is installed, and there is no screen."""
    monkeypatch.chdir(tmp_path)
    for module in ("pygame", "imageio_ffmpeg"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delenv("SDL_VIDEODRIVER")
    changes = {"cart": {}, "walk": {"env": WALK}, "envpool": {"vec": "envpool"}}
    for name, values in {**changes, "unseen": {"env": "tests.environments:test/Walk-v0"}}.items():
        (tmp_path / name).mkdir()
        write_yaml(make_config({"algo": "a2c", **values}), tmp_path / name / "config.yaml")
    before = sorted(tmp_path.rglob("*"))
    run_dir = [] if "--run-dir" in arguments else ["--run-dir", "cart"]
    code, output, errors = run_main(capsys, "evaluate.py", *run_dir, *arguments)
    assert code == 2 and output == "" and sorted(tmp_path.rglob("*")) == before
    assert said in errors and errors.startswith("error: ") and errors.count("\n") == 1
