"""Checkpoints: every bit comes back, or a CheckpointError in one line; and the old file outlives a failure."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest
from safetensors.numpy import save_file

from paddle_ac import checkpoint as checkpoint_module
from paddle_ac.checkpoint import Pieces, load_checkpoint, piece_name, save_checkpoint
from paddle_ac.errors import CheckpointError
from paddle_ac.files import write_atomically

NAN_WITH_PAYLOAD = np.array([0x7FF8_0000_DEAD_BEEF, 0xFFF0_0000_0000_0000], np.uint64).view(np.float64)


def nested_state():
    return {
        "env_steps": 10**15 + 1,
        "seconds": 0.1 + 0.2,
        "tiny": 5e-324,
        "minus nothing": -0.0,
        "nan": math.nan,
        "infinite": -math.inf,
        "text": 'quotes " and \\ and / and Ünïcode \n\0 🎲',
        "nothing": None,
        "yes": True,
        "list": [1, 2.5, None, [True, "x"], {"deep": []}],
        "empty": {},
        "generator": np.random.default_rng(0).bit_generator.state,
        "parameters": {
            "torso.0.weight": np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32),
            "head.bias": np.array([-0.0, np.inf, np.nan, 1e-45], np.float32),
        },
        "collector": {
            "episodes": {"0": {"episode": 3, "actions": np.arange(5)}, "1": {"actions": np.zeros(0, np.int64)}},
            "payload": NAN_WITH_PAYLOAD,
            "empty rows": np.zeros((0, 4), np.float64),
            "flags": np.array([[True, False]]),
            "pixels": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        },
    }


def assert_identical(found, expected):
    """Equal types, keys, dtypes, shapes and bits: to compare by value would take -0.0 for 0 and no NaN for another."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_identical(found[key], expected[key])
    elif isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes()
    else:
        assert repr(found) == repr(expected)


def message_of_damage(path):
    """The one line of the CheckpointError that loading ends in; it names the file."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message and message.isprintable(), repr(message)
    return message


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "latest.safetensors"
    save_checkpoint(path, nested_state())
    return path


@pytest.fixture
def small_checkpoint(tmp_path):
    """Small enough to be damaged in every place."""
    path = tmp_path / "small.safetensors"
    save_checkpoint(
        path, {"steps": 12, "weight": np.arange(6, dtype=np.float32).reshape(2, 3), "no": {"rows": np.ones(0)}}
    )
    return path


def test_a_nested_state_comes_back_bit_for_bit(checkpoint):
    assert_identical(load_checkpoint(checkpoint), nested_state())


def test_the_state_of_a_generator_comes_back_and_goes_on(tmp_path):
    generator = np.random.default_rng(5)
    generator.normal(size=7)
    save_checkpoint(tmp_path / "g", {"generator": generator.bit_generator.state})
    restored = np.random.default_rng()
    restored.bit_generator.state = load_checkpoint(tmp_path / "g")["generator"]
    np.testing.assert_array_equal(restored.random(10), generator.random(10))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12).reshape(3, 4).T,
        np.arange(12)[::-2],
        np.broadcast_to(np.float32(3), (2, 2)),
        np.array(3.5),
        np.arange(3, dtype=np.float16),
    ],
    ids=["transposed", "strided", "broadcast", "without dimensions", "half precision"],
)
def test_an_array_comes_back_however_it_lies_in_memory(array, tmp_path):
    save_checkpoint(tmp_path / "c", {"array": array})
    assert_identical(load_checkpoint(tmp_path / "c")["array"], array)


def test_a_state_without_arrays_comes_back(tmp_path):
    save_checkpoint(tmp_path / "c", {"steps": 3, "nested": {"empty": {}}})
    assert_identical(load_checkpoint(tmp_path / "c"), {"steps": 3, "nested": {"empty": {}}})


def test_what_was_loaded_does_not_change_with_the_file(checkpoint):
    state = load_checkpoint(checkpoint)
    save_checkpoint(checkpoint, {"steps": 0})
    with checkpoint.open("r+b") as file:
        file.write(b"\xff" * 20)
    state["collector"]["pixels"] += 0
    assert_identical(state, nested_state())


def test_saving_does_not_touch_the_state(tmp_path):
    state = nested_state()
    save_checkpoint(tmp_path / "c", state)
    assert_identical(state, nested_state())


def test_a_file_cut_off_anywhere_is_refused(small_checkpoint):
    content = small_checkpoint.read_bytes()
    for length in range(len(content)):
        small_checkpoint.write_bytes(content[:length])
        message_of_damage(small_checkpoint)


def test_a_file_with_more_at_its_end_is_refused(small_checkpoint):
    small_checkpoint.write_bytes(small_checkpoint.read_bytes() + b"\0")
    message_of_damage(small_checkpoint)


@pytest.mark.parametrize("flip", [0x01, 0x0F, 0x80, 0xFF])
def test_a_byte_changed_anywhere_is_noticed(flip, small_checkpoint):
    content = small_checkpoint.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= flip
        small_checkpoint.write_bytes(damaged)
        message_of_damage(small_checkpoint)


@pytest.mark.parametrize(
    "before,after",
    [(b'"dtype":"F32"', b'"dtype":"I32"'), (b'"shape":[2,3]', b'"shape":[3,2]'), (b'"shape":[2,3]', b'"shape":[6] ')],
)
def test_another_type_or_shape_of_the_same_bytes_is_noticed(before, after, small_checkpoint):
    content = small_checkpoint.read_bytes()
    assert before in content
    small_checkpoint.write_bytes(content.replace(before, after.ljust(len(before)), 1))
    message_of_damage(small_checkpoint)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"{}", b"not a checkpoint at all\n" * 9, b"\0" * 64, b"\xff" * 64, b"PK\x03\x04" * 20, b"\x80\x04N."],
)
def test_a_file_of_something_else_is_refused(content, tmp_path):
    (tmp_path / "c").write_bytes(content)
    message_of_damage(tmp_path / "c")


@pytest.mark.parametrize(
    "metadata",
    [None, {"format": "np"}, {"state": "{}"}, {"state": "{}", "checksum": "0"}, {"state": "{", "checksum": ""}],
)
def test_somebody_elses_safetensors_file_is_refused(metadata, tmp_path):
    save_file({"weight": np.ones(3)}, tmp_path / "c", metadata)
    message_of_damage(tmp_path / "c")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "there is no" in message_of_damage(tmp_path / "absent")
    message_of_damage(tmp_path)


def test_the_file_is_a_json_header_and_raw_numbers_and_nothing_that_could_be_run(checkpoint):
    content = checkpoint.read_bytes()
    header_end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:header_end])
    json.loads(header.pop("__metadata__")["state"])
    places = sorted(entry["data_offsets"] for entry in header.values())
    assert [first for first, _ in places] == [0, *(last for _, last in places[:-1])]
    assert header_end + places[-1][1] == len(content)
    assert {entry["dtype"] for entry in header.values()} == {"F32", "F64", "I64", "U8", "BOOL"}


@pytest.mark.parametrize(
    "leaf", [object(), np.array([object()]), {1, 2}, lambda: 0], ids=["object", "array", "set", "lambda"]
)
def test_what_only_pickle_could_save_is_not_saved(leaf, tmp_path):
    with pytest.raises(Exception, match=r"(?i)object|dtype"):
        save_checkpoint(tmp_path / "c", {"leaf": leaf})
    assert not list(tmp_path.iterdir())


def test_a_new_checkpoint_takes_the_place_of_the_old_one_and_nothing_else_is_left(checkpoint):
    save_checkpoint(checkpoint, {"steps": 2})
    assert load_checkpoint(checkpoint) == {"steps": 2}
    assert list(checkpoint.parent.iterdir()) == [checkpoint]


@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "Ctrl-C"]
)
@pytest.mark.parametrize("exists", [True, False], ids=["old file", "no file"])
def test_a_write_that_fails_midway_leaves_what_was_there_and_no_temporary(failure, exists, tmp_path, monkeypatch):
    path = tmp_path / "file"
    if exists:
        path.write_bytes(b"old")

    def fail(_):
        raise failure

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(failure)):
        write_atomically(path, b"new and longer")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == ({"file": b"old"} if exists else {})


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(checkpoint, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(checkpoint, {"steps": 2})
    assert_identical(load_checkpoint(checkpoint), nested_state())
    assert list(checkpoint.parent.iterdir()) == [checkpoint]


def test_the_content_is_on_disk_under_another_name_before_it_takes_the_files_place(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    seen = []

    def look(descriptor):
        others = [file for file in tmp_path.iterdir() if file != path]
        seen.append((path.read_bytes(), [file.read_bytes() for file in others], os.fstat(descriptor).st_size))

    monkeypatch.setattr(os, "fsync", look)
    with path.open("rb") as earlier:
        write_atomically(path, b"new")
        assert earlier.read() == b"old"  # it was renamed over, not written into
    assert seen == [(b"old", [b"new"], 3)]
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"file": b"new"}


# ------------------------------------------------------------------------------------------------------------- pieces


def piece(number: int) -> dict:
    return {"first": number, "rows": np.full((3, 2), number, np.float32), "empty": np.zeros((0, 4), np.int8)}


def named(*numbers: int) -> dict[str, dict]:
    return {piece_name(number, piece(number)): piece(number) for number in numbers}


def state_with(*numbers: int) -> dict:
    return {"steps": len(numbers), "replay": {"pieces": Pieces(named(*numbers)), "rest": np.arange(3)}}


def piece_files(path) -> dict[str, tuple[int, bytes]]:
    folder = path.with_suffix(".pieces")
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.glob("*")}


def assert_has_pieces(path, *numbers):
    state = load_checkpoint(path)
    pieces = state["replay"].pop("pieces")
    assert_identical(state, {"steps": len(numbers), "replay": {"rest": np.arange(3)}})
    assert list(pieces) == list(named(*numbers)) and len(pieces) == len(numbers)
    for number, found in zip(numbers, pieces.values(), strict=True):
        assert_identical(found, piece(number))


def test_pieces_come_back_each_from_a_file_of_its_own(tmp_path):
    path = tmp_path / "latest.safetensors"
    save_checkpoint(path, state_with(3, 10, 200))
    assert_has_pieces(path, 3, 10, 200)
    assert {file.name for file in tmp_path.iterdir()} == {"latest.safetensors", "latest.pieces"}
    assert set(piece_files(path)) == {f"{name}.safetensors" for name in named(3, 10, 200)}


def test_a_piece_is_written_once_and_removed_when_no_checkpoint_needs_it(tmp_path):
    path = tmp_path / "latest.safetensors"
    save_checkpoint(path, state_with(1, 2))
    before = piece_files(path)
    save_checkpoint(path, state_with(2, 3))
    after = piece_files(path)
    assert_has_pieces(path, 2, 3)
    (kept,) = before.keys() & after.keys()
    assert before[kept] == after[kept]
    save_checkpoint(path, state_with())
    assert_has_pieces(path)
    assert list(tmp_path.iterdir()) == [path]


def test_only_pieces_are_removed_and_what_a_killed_process_left_of_them(tmp_path):
    path = tmp_path / "latest.safetensors"
    save_checkpoint(path, state_with(1))
    folder = tmp_path / "latest.pieces"
    name = next(iter(named(5)))
    (folder / f".{name}.safetensors.77.tmp").write_bytes(b"half a piece")
    (folder / f"{name}.safetensors").write_bytes(b"a piece of a checkpoint that was not written")
    (folder / "notes.txt").write_text("mine")
    save_checkpoint(path, state_with(2))
    assert set(piece_files(path)) == {"notes.txt", *(f"{name}.safetensors" for name in named(2))}
    save_checkpoint(path, state_with())
    assert set(piece_files(path)) == {"notes.txt"}


def test_a_state_without_pieces_leaves_a_folder_of_that_name_alone(tmp_path):
    path = tmp_path / "model.safetensors"
    (tmp_path / "model.pieces").mkdir()
    (tmp_path / "model.pieces" / f"{next(iter(named(1)))}.safetensors").write_bytes(b"of somebody else")
    save_checkpoint(path, {"steps": 1})
    assert len(piece_files(path)) == 1


def test_the_name_of_a_piece_depends_on_every_bit(tmp_path):
    other, cut = piece(1), piece(1)
    other["rows"] = np.nextafter(other["rows"], np.float32(2))
    cut["rows"] = cut["rows"][:2]
    names = [piece_name(1, one) for one in (piece(1), other, cut, {**piece(1), "first": 2}, {})]
    assert len(set(names)) == 5 and piece_name(1, piece(1)) == names[0]
    assert sorted([piece_name(10**12, {}), piece_name(9, {}), piece_name(10, {})])[0] == piece_name(9, {})


@pytest.mark.parametrize("failing_write", [0, 1, 2], ids=["first piece", "second piece", "checkpoint"])
def test_a_failure_of_any_write_leaves_the_old_checkpoint_with_its_pieces(failing_write, tmp_path, monkeypatch):
    path = tmp_path / "latest.safetensors"
    save_checkpoint(path, state_with(1, 2))
    write, count = checkpoint_module.write_atomically, 0

    def fail_once(file, content):
        nonlocal count
        count += 1
        if count == failing_write + 1:
            raise OSError(28, "No space left on device")
        write(file, content)

    monkeypatch.setattr(checkpoint_module, "write_atomically", fail_once)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, state_with(2, 3, 4))
    assert_has_pieces(path, 1, 2)
    save_checkpoint(path, state_with(2, 3, 4))
    assert_has_pieces(path, 2, 3, 4)
    assert len(piece_files(path)) == 3


@pytest.mark.parametrize("damage", ["missing", "cut off", "changed", "of something else"])
def test_a_damaged_piece_is_an_error_that_names_its_file(damage, tmp_path):
    path = tmp_path / "latest.safetensors"
    save_checkpoint(path, state_with(1, 2))
    file = sorted((tmp_path / "latest.pieces").iterdir())[0]
    content = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    elif damage == "cut off":
        file.write_bytes(content[:-1])
    elif damage == "changed":
        content[-3] ^= 4
        file.write_bytes(content)
    else:
        save_file({"rows": np.ones(3)}, file)
    pieces = load_checkpoint(path)["replay"]["pieces"]
    with pytest.raises(CheckpointError) as caught:
        dict(pieces)
    assert str(file) in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize(
    "names",
    [
        '{"replay/pieces": ["../../secret"]}',
        '{"replay/pieces": [3]}',
        '{"replay/pieces": 3}',
        '{"a/b/c": []}',
        "[]",
        "{",
        "[" * 99_999,
    ],
)
def test_names_of_pieces_that_were_never_written_are_refused(names, tmp_path):
    metadata = {"state": '{"replay": {}}', "pieces": names}
    metadata["checksum"] = checkpoint_module._checksum(metadata, {})
    save_file({}, tmp_path / "c", metadata)
    message_of_damage(tmp_path / "c")


def test_the_names_of_pieces_are_part_of_the_checksum(tmp_path):
    path = tmp_path / "latest.safetensors"
    save_checkpoint(path, state_with(1, 2))
    content, name = path.read_bytes(), next(iter(named(1))).encode()
    assert content.count(name) == 1
    path.write_bytes(content.replace(name, name[:-1] + (b"0" if name[-1:] != b"0" else b"1")))
    assert "checksum" in message_of_damage(path)


def test_a_loaded_state_with_pieces_can_be_saved_under_another_name(tmp_path):
    path, other = tmp_path / "latest.safetensors", tmp_path / "other.safetensors"
    save_checkpoint(path, state_with(1, 2))
    save_checkpoint(other, load_checkpoint(path))
    save_checkpoint(path, state_with(3))
    assert_has_pieces(other, 1, 2)
    assert_has_pieces(path, 3)
