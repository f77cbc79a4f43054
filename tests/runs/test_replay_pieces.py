"""Runs whose replay buffer is saved in pieces: resumed exactly, and damage reported in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddle_ac import checkpoint
from paddle_ac.checkpoint import load_checkpoint
from paddle_ac.config import make_config
from paddle_ac.errors import CheckpointError
from paddle_ac.learning import replay_storage
from paddle_ac.training.evaluate import evaluate_run
from paddle_ac.training.run_folder import RunFolder
from paddle_ac.training.runs import resume, train
from tests.short_runs import assert_same_run

RUN = {
    "algo": "sac",
    "env": "tests.environments:test/Continuous-v0",
    "hidden_sizes": (8,),
    "batch_size": 16,
    "learning_starts": 300,
    "log_interval": 40,
    "eval_interval": 100,
    "eval_episodes": 1,
    "checkpoint_interval": 80,
}


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr(replay_storage, "PIECE_BYTES", 1_000)  # about 40 steps


def run(folder: Path, total_steps: int, **changes) -> RunFolder:
    train(make_config({**RUN, "total_steps": total_steps, **changes}), str(folder), progress=False)
    return RunFolder(folder)


def pieces_of(folder: RunFolder) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in folder.latest.with_suffix(".pieces").iterdir()}


@pytest.mark.parametrize(
    "buffer_size", [pytest.param(150, marks=pytest.mark.slow), 1000], ids=["wrapped around", "not full"]
)
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, buffer_size):
    whole = run(tmp_path / "whole", 420, buffer_size=buffer_size)
    stopped = run(tmp_path / "run", 230, buffer_size=buffer_size)
    before = pieces_of(stopped)
    resume(str(tmp_path / "run"), {"total_steps": 420})
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    after = pieces_of(stopped)
    assert pieces_of(whole).keys() == after.keys() and len(after) >= 3
    kept = before.keys() & after.keys()
    assert (kept or buffer_size == 150) and all(before[name] == after[name] for name in kept)
    names = load_checkpoint(stopped.latest)["algorithm"]["replay"]["pieces"]
    assert after.keys() == {f"{name}.safetensors" for name in names}


@pytest.mark.parametrize("damage", ["missing", "a byte changed"])
def test_a_damaged_piece_is_refused_in_one_line_and_nothing_is_overwritten(tmp_path, damage):
    folder = run(tmp_path / "run", 230)
    piece = min(folder.latest.with_suffix(".pieces").iterdir())
    content = bytearray(piece.read_bytes())
    if damage == "missing":
        piece.unlink()
    else:
        content[-9] ^= 1
        piece.write_bytes(content)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError) as raised:
        resume(str(folder.path), {"total_steps": 400})
    assert str(piece) in str(raised.value) and "\n" not in str(raised.value)
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before
    assert evaluate_run(str(folder.path), "latest", 1)["env_steps"] == 230  # a policy needs no replay buffer


def test_a_run_that_ran_out_of_space_goes_on_from_its_last_checkpoint(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole", 420)
    write, count = checkpoint.write_atomically, 0

    def fail_at_the_checkpoint_after_a_piece(path, content):
        nonlocal count
        count += "pieces" in str(path)
        if count >= 3 and path.name == "latest.safetensors":
            raise OSError(28, "No space left on device")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_atomically", fail_at_the_checkpoint_after_a_piece)
        with pytest.raises(OSError, match="No space left"):
            run(tmp_path / "run", 420)
    folder = RunFolder(tmp_path / "run")
    assert 0 < load_checkpoint(folder.latest)["algorithm"]["env_steps"] < 420
    resume(str(tmp_path / "run"), {"total_steps": 420})
    assert pieces_of(folder).keys() == pieces_of(whole).keys()
    parameters = [load_checkpoint(one.latest)["algorithm"]["parameters"] for one in (whole, folder)]
    assert {name: value.tobytes() for name, value in parameters[0].items()} == {
        name: value.tobytes() for name, value in parameters[1].items()
    }
