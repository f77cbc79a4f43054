"""Files of a run that were changed from outside: each is rejected in one line, or the run resumes without it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from paddle_ac.checkpoint import _checksum, load_checkpoint, load_run_state, save_checkpoint
from paddle_ac.config import make_config
from paddle_ac.errors import CheckpointError, ConfigError
from paddle_ac.training.evaluate import evaluate_run
from paddle_ac.training.logger import read_progress
from paddle_ac.training.run_folder import RunFolder, remove_on_config_error
from paddle_ac.training.runs import resume
from tests.short_runs import quick_run, visualdl_curves


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "finished"
    quick_run(folder, 1200, num_envs=2, vec="serial")
    return folder


@pytest.fixture
def run(finished, tmp_path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(finished, tmp_path / "run")))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_raw(path: Path, state: str, arrays: dict[str, np.ndarray] | None = None) -> None:
    """A file with a right checksum, whatever its state is."""
    metadata = {"state": state}
    path.write_bytes(save(arrays or {}, {**metadata, "checksum": _checksum(metadata, arrays or {})}))


@pytest.mark.parametrize(
    "state",
    ["", "[]", "3", "null", '"text"', "[" * 100_000, '{"a": ' * 100_000, "9" * 5000, '{"w": 1}', '{"w": {"x": 2}}'],
    ids=lambda state: state[:10],
)
def test_a_right_checksum_over_a_wrong_structure_is_one_line(tmp_path, state):
    write_raw(tmp_path / "c", state, {"w/x": np.ones(2, np.float32)})
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "c")
    assert str(tmp_path / "c") in str(caught.value) and len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "method,use",
    [
        ("iterdir", lambda folder: RunFolder.new(make_config({"algo": "a2c"}), folder)),
        ("mkdir", lambda folder: RunFolder(folder).begin(make_config({"algo": "a2c"}))),
        ("open", lambda folder: RunFolder(folder).read_summary()),
        ("mkdir", lambda folder: remove_on_config_error(folder).__enter__()),
    ],
    ids=["new", "begin", "read_summary", "remove_on_config_error"],
)
def test_too_many_open_files_names_the_remedy(tmp_path, monkeypatch, method, use):
    def fail(*arguments, **options):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    (tmp_path / "summary.json").touch()
    monkeypatch.setattr(Path, method, fail)
    with pytest.raises(ConfigError, match="Too many open files: allow more with `ulimit -n`, or start"):
        use(tmp_path)


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F8_E5M2"])
def test_a_type_that_numpy_lacks_is_named(tmp_path, dtype):
    content = save({"w": np.ones(4, np.uint8 if dtype.startswith("F8") else np.float16)}, {"state": "{}"})
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size].replace(b'"U8"' if dtype.startswith("F8") else b'"F16"', f'"{dtype}"'.encode())
    (tmp_path / "c").write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])
    with pytest.raises(CheckpointError, match=f"is not a checkpoint of paddle_ac: 'w' is of type {dtype}"):
        load_checkpoint(tmp_path / "c")


@pytest.mark.parametrize(
    "place,value,said",
    [
        ("train_seconds", "long", "train_seconds: must be a valid number, got 'long'"),
        ("train_seconds", float("nan"), "train_seconds: must be "),
        ("episodes", -1, "episodes: must be greater than or equal to 0, got -1"),
        ("episodes", True, "episodes: must be a valid integer, got True"),
        ("recent_returns", [1.0] * 101, "recent_returns: "),
        ("recent_returns", ["a"], "recent_returns/0: must be a valid number"),
        ("last_point", [1], "last_point: "),
        ("best", {"mean_return": 3.0}, "best/env_steps: Field required"),
        ("evaluated", 10**30, "evaluated: must be less than"),
        ("logger", None, "logger: must be "),
        ("logger/pending", {"losses/actor": [1.0]}, "logger/pending/losses/actor: "),
        ("logger/progress_bytes", -5, "logger/progress_bytes: must be "),
        ("algorithm", {}, "algorithm/env_steps: Field required"),
        ("algorithm/env_steps", "many", "algorithm/env_steps: must be a valid integer"),
        ("algorithm/parameters", 3, "algorithm/parameters: must be a valid dictionary"),
        ("algorithm/parameters", {"w": "text"}, "algorithm/parameters/w: must be an array of floats"),
        ("algorithm/parameters", {"w": np.full(3, np.nan, np.float32)}, "algorithm/parameters/w: must be finite"),
        ("more", 3, "more: Extra inputs are not permitted"),
        ("algo", 3, "algo: must be a valid string"),
    ],
)
def test_a_wrong_value_in_a_checkpoint_is_named_and_nothing_is_changed(run, place, value, said):
    state = load_checkpoint(run.latest)
    *parents, leaf = place.split("/")
    inner = state
    for parent in parents:
        inner = inner[parent]
    inner[leaf] = value
    save_checkpoint(run.latest, state)
    before = contents(run.path)
    for use in (lambda: resume(str(run.path), {"total_steps": 2000}), lambda: evaluate_run(str(run.path), "latest", 1)):
        with pytest.raises(CheckpointError) as caught:
            use()
        assert f"latest.safetensors is damaged: {said}" in str(caught.value) and str(caught.value).isprintable()
    assert contents(run.path) == before


@pytest.mark.parametrize("encoder", [{"w": np.ones(2)}, {"mean": np.ones(4)}, 3], ids=["others", "parts", "a number"])
def test_a_best_model_with_another_encoder_is_rejected(run, encoder):
    run.summary.unlink()  # which may say that the latest is the best
    save_checkpoint(run.best, {**load_checkpoint(run.best), "encoder": encoder})
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        evaluate_run(str(run.path), "best", 1)


@pytest.mark.parametrize(
    "content,said",
    [
        (b"", "it is not JSON"),
        (b"{", "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"[" * 200_000, "it is not JSON"),
        (b'{"best_is_latest": true}', "env_steps: Field required"),
        (b"[]", "must be "),
        (b'{"env_steps": "many"}', "env_steps: must be a valid integer"),
        (b'{"env_steps": ' + b"9" * 5000 + b"}", "it is not JSON"),
    ],
    ids=lambda value: str(value[:12]),
)
def test_a_damaged_summary_is_named_and_a_run_resumes_without_it(run, content, said, caplog):
    run.summary.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        evaluate_run(str(run.path), "best", 1)
    assert "summary.json is damaged" in str(caught.value) and said in str(caught.value)
    assert len(str(caught.value)) < 500 and str(caught.value).isprintable()
    assert not run.is_over(1200)
    assert "summary.json is damaged" in caplog.text


def test_a_summary_whose_best_is_the_latest_names_its_steps(run):
    summary = json.loads(run.summary.read_text())
    run.summary.write_text(json.dumps({**summary, "best_is_latest": True, "best_env_steps": None}))
    with pytest.raises(ConfigError, match="best_is_latest needs best_env_steps"):
        evaluate_run(str(run.path), "best", 1)


def in_the_first_row(content: bytes, byte: bytes) -> bytes:
    """The table with three bytes of its first row replaced."""
    place = content.index(b"\n") + 1
    return content[:place] + byte * 3 + content[place + 3 :]


@pytest.mark.parametrize(
    "damage,said",
    [
        (lambda content: content.replace(b"env_steps", b"env-steps", 1), "line 1 is not the names of its columns"),
        (lambda content: content.replace(b",", b" ", 1), "line 1 is not the names of its columns"),
        (lambda content: in_the_first_row(content, b"x"), "could not convert string to float"),
        (lambda content: in_the_first_row(content, b","), "line 2 has"),
        (lambda content: in_the_first_row(content, b"\xff"), "can't decode byte"),
        (lambda content: in_the_first_row(content, b"\0"), "is damaged"),
        (lambda content: in_the_first_row(content, b"9"), "env_steps does not rise"),
        (lambda content: content[:400], "delete it to resume without the curves so far"),
    ],
    ids=["a column", "the header", "letters", "commas", "not UTF-8", "zeros", "other steps", "shorter"],
)
def test_a_damaged_table_is_found_before_the_resumed_training(run, damage, said):
    run.progress.write_bytes(damage(run.progress.read_bytes()))
    before = contents(run.path)
    with pytest.raises(CheckpointError) as caught:
        resume(str(run.path), {"total_steps": 2000})
    assert "progress.csv is damaged" in str(caught.value) and said in str(caught.value)
    assert "delete it to resume without the curves so far" in str(caught.value)
    assert contents(run.path) == before


@pytest.mark.parametrize(
    "missing", [["progress"], ["visualdl"], ["progress", "visualdl", "summary", "curves", "graph"]]
)
def test_a_run_resumes_without_its_curves_with_a_warning(run, finished, missing, caplog, tmp_path):
    for name in missing:
        getattr(run, name).unlink()
    resume(str(run.path), {"total_steps": 2000})
    whole = Path(shutil.copytree(finished, tmp_path / "whole"))
    resume(str(whole), {"total_steps": 2000})
    states = [load_run_state(RunFolder(path).latest, "a2c") for path in (run.path, whole)]
    for name, value in states[0]["algorithm"]["parameters"].items():
        np.testing.assert_array_equal(value, states[1]["algorithm"]["parameters"][name])
    for name in missing[:2]:
        assert f"{getattr(run, name)} is missing: its curves begin where the run resumes" in caplog.messages
    steps = read_progress(run.progress)["env_steps"]
    assert steps[-1] == 2000 and (steps[0] > 1200) == ("progress" in missing)
    assert visualdl_curves(run.path)["charts/episode_return"][-1][0] == 2000
    assert (visualdl_curves(run.path)["charts/episode_return"][0][0] > 1200) == ("visualdl" in missing)


def test_a_table_without_a_column_is_continued_without_it(run):
    lines = [line.split(",") for line in run.progress.read_text().splitlines()]
    column = lines[0].index("losses/total")
    shorter = "\n".join(",".join(line[:column] + line[column + 1 :]) for line in lines) + "\n"
    run.progress.write_text(shorter)
    state = load_checkpoint(run.latest)
    state["logger"]["progress_bytes"] = len(shorter)
    save_checkpoint(run.latest, state)
    resume(str(run.path), {"total_steps": 2000})
    table = read_progress(run.progress)
    assert "losses/total" not in table and table["env_steps"][-1] == 2000
