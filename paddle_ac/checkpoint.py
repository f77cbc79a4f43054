"""Nested dictionaries of arrays and plain values in one file, written whole or not at all, and read without pickle.

Large parts of a state that never change again (``Pieces``) have files of their own, in a folder beside that file. Each
is written once. A checkpoint is written after its pieces, and pieces that it does not need are removed after that, so
that the file there is always has its pieces.
"""

from __future__ import annotations

import json
import re
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from paddle_ac.config import LARGEST, first_problem
from paddle_ac.errors import CheckpointError, quoted, shortened
from paddle_ac.files import write_atomically

DTYPES = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64"}  # that NumPy has
PIECE_NAME = re.compile(r"\d{12,19}-[0-9a-f]{8}")


class Pieces(Mapping[str, dict[str, Any]]):
    """Parts of a state, by ``piece_name``, that are each saved in a file of their own.

    Args:
        pieces: nested dictionaries as ``save_checkpoint`` takes, by name. A name stands for a content: what was saved
            under it is not saved again.
    """

    def __init__(self, pieces: Mapping[str, dict[str, Any]]):
        self._pieces = pieces

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self._pieces[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pieces)

    def __len__(self) -> int:
        return len(self._pieces)


class PieceFiles(Mapping[str, dict[str, Any]]):
    """The pieces of a checkpoint, each read from its file when it is asked for.

    Args:
        folder: of the files.
        names: of the pieces.
    """

    def __init__(self, folder: Path, names: list[str]):
        self._folder = folder
        self._names = names

    def __getitem__(self, name: str) -> dict[str, Any]:
        if name not in self._names:
            raise KeyError(name)
        return load_checkpoint(_piece_file(self._folder, name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def piece_name(number: int, piece: dict[str, Any]) -> str:
    """The name of a piece: a number that orders the pieces, and a checksum of the content."""
    arrays: dict[str, np.ndarray] = {}
    plain = json.dumps(_take_out_arrays(piece, "", arrays, {}))
    return f"{number:012d}-{_checksum({'state': plain}, arrays)}"


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write a state so that a kill at any moment leaves either the old checkpoint or the new one.

    Args:
        path: a safetensors file; its folder exists.
        state: nested dictionaries with texts for keys; leaves are NumPy arrays, structured ones among them, JSON
            values, or ``Pieces``.
    """
    data, pieces = _pack(state)
    if pieces:
        _write_pieces(_pieces_folder(path), pieces)
    write_atomically(path, data)
    if pieces:
        _remove_other_pieces(_pieces_folder(path), pieces)


def pack_state(state: dict[str, Any]) -> bytes:
    """The bytes of a checkpoint, as ``save_checkpoint`` writes them, of a state without ``Pieces``."""
    data, pieces = _pack(state)
    assert not pieces
    return data


def _pack(state: dict[str, Any]) -> tuple[bytes, dict[str, Pieces]]:
    """The bytes of a checkpoint, and the pieces that it refers to."""
    arrays: dict[str, np.ndarray] = {}
    pieces: dict[str, Pieces] = {}
    metadata = {"state": json.dumps(_take_out_arrays(state, "", arrays, pieces))}
    if pieces:
        metadata["pieces"] = json.dumps({key: list(value) for key, value in pieces.items()})
    fields = {name: array.dtype.descr for name, array in arrays.items() if array.dtype.names}
    if fields:  # safetensors has no structured dtypes: their bytes are saved
        metadata["fields"] = json.dumps(fields)
        arrays.update({name: arrays[name][..., np.newaxis].view(np.uint8) for name in fields})
    metadata["checksum"] = _checksum(metadata, arrays)
    return save(arrays, metadata), pieces


def unpack_state(data: bytes) -> dict[str, Any]:
    """The state in the bytes of ``pack_state``; ``CheckpointError`` as ``load_checkpoint``."""
    with tempfile.TemporaryDirectory() as folder:  # safetensors reads metadata from files only
        path = Path(folder) / "state"
        path.write_bytes(data)
        return load_checkpoint(path)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read what ``save_checkpoint`` wrote.

    Raises:
        CheckpointError: no such file, not a whole checkpoint, or contents that ``save_checkpoint`` never writes.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            dtypes = {name: file.get_slice(name).get_dtype() for name in names}
            unknown = sorted(name for name in names if dtypes[name] not in DTYPES)
            if unknown:
                raise CheckpointError(
                    f"{path} is not a checkpoint of paddle_ac: {quoted(unknown[0])} is of type {dtypes[unknown[0]]}"
                )
            arrays = {name: file.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}") from None
    except (SafetensorError, OSError, ValueError) as error:  # ValueError: a shape that NumPy does not take
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is damaged or not a checkpoint: {shortened(str(error))}") from None
    if metadata.keys() - {"fields", "pieces"} != {"state", "checksum"}:
        raise CheckpointError(f"{path} is not a checkpoint of paddle_ac")
    if metadata["checksum"] != _checksum(metadata, arrays):
        raise CheckpointError(f"{path} is damaged: its contents do not agree with its checksum")
    try:
        state = json.loads(metadata["state"])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: its state is not JSON: {shortened(str(error))}") from None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} is damaged: its state is {quoted(state)}")
    try:
        for name, fields in json.loads(metadata.get("fields", "{}")).items():
            dtype = np.dtype([(field, kind, *map(tuple, shape)) for field, kind, *shape in fields])
            arrays[name] = arrays[name].view(dtype)[..., 0]
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: its fields do not fit: {shortened(str(error))}") from None
    for name, array in arrays.items():
        _put_in(state, name, array, path)
    for name, names in _read_piece_names(metadata, path).items():
        _put_in(state, name, Pieces(PieceFiles(_pieces_folder(path), names)), path)
    return state


def load_run_state(path: Path, algo: str) -> dict[str, Any]:
    """Read the checkpoint that a run of an algorithm resumes from; ``algorithm`` is left to the algorithm to check.

    Raises:
        CheckpointError: as ``load_checkpoint``, or the checkpoint of something else.
    """
    return _load_as(RunState, path, algo)


def load_best_model(path: Path, algo: str) -> dict[str, Any]:
    """Read the policy that did best in an evaluation: ``parameters``, ``encoder`` and ``env_steps``.

    Raises:
        CheckpointError: as ``load_checkpoint``, or the checkpoint of something else.
    """
    return _load_as(BestModel, path, algo)


def load_saved_policy(path: Path) -> dict[str, Any]:
    """Read a file of ``agent.save``.

    Raises:
        CheckpointError: as ``load_checkpoint``, or the checkpoint of something else.
    """
    state = load_checkpoint(path)
    if "learned" not in state:
        raise CheckpointError(f"{path} is no file of agent.save: to use the policy of a run, name the run's folder")
    return _check(SavedPolicy, state, path)


def _is_finite_array(value: Any) -> Any:
    if not (isinstance(value, np.ndarray) and value.dtype.kind == "f"):
        raise ValueError("must be an array of floats")
    if not np.isfinite(value).all():
        raise ValueError("must be finite")
    return value


Steps = Annotated[int, Field(ge=0, le=LARGEST)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Return = Annotated[float, Field(allow_inf_nan=False)]
Arrays = dict[str, Annotated[Any, AfterValidator(_is_finite_array)]]


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class BestState(_Schema):
    """The best evaluation so far."""

    mean_return: Return
    env_steps: Steps


class BestModel(BestState):
    """``best/model.safetensors``."""

    algo: str
    identity: dict[str, Any] = {}  # of ``policy_identity``; earlier versions wrote none
    format: Steps = 1  # of the policy; version 0.1 wrote none
    parameters: Arrays
    encoder: Arrays


class LoggerState(_Schema):
    """Schema of ``Logger.state_dict``: sum and count by tag, and lengths of files in bytes."""

    pending: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]]
    progress_bytes: Steps
    visualdl_bytes: Steps


class PolicyState(_Schema):
    """Schema of the entries that every algorithm's state has; the algorithm checks the rest."""

    model_config = ConfigDict(extra="allow", strict=True)

    env_steps: Steps
    num_updates: Steps = 0  # A3C counts by worker
    identity: dict[str, Any] = {}  # version 0.1 wrote none
    parameters: Arrays
    encoder: Arrays = {}  # where nothing is normalised


class Learned(BaseModel):
    """Schema of the learned state of an agent; the algorithm checks the rest."""

    model_config = ConfigDict(extra="allow", strict=True)

    format: Steps = 1
    parameters: Arrays
    encoder: Arrays = {}


class SavedPolicy(_Schema):
    """A file of ``agent.save``."""

    algo: str
    config: dict[str, Any]
    observation_space: dict[str, Any]
    action_space: dict[str, Any]
    env_steps: Steps
    learned: Learned


class RunState(_Schema):
    """``checkpoints/latest.safetensors``."""

    algo: str
    algorithm: PolicyState
    logger: LoggerState
    train_seconds: Seconds
    episodes: Steps
    recent_returns: Annotated[list[Return], Field(max_length=100)]
    last_point: Annotated[list[Seconds], Field(min_length=3, max_length=3)]
    best: BestState | None
    evaluated: Steps
    spaces: dict[str, str] = {}  # in words; earlier versions wrote none
    other_ranks: dict[str, dict[str, Any]] = {}  # the environments of ranks 1 and up; none where one process trained


def _load_as(schema: type[_Schema], path: Path, algo: str) -> dict[str, Any]:
    state = _check(schema, load_checkpoint(path), path)
    if state["algo"] != algo:
        raise CheckpointError(f"{path} is of {shortened(state['algo'])}, the run of {algo}")
    return state


def _check(schema: type[_Schema], state: dict[str, Any], path: Path) -> dict[str, Any]:
    try:
        schema.model_validate(state)
    except ValidationError as error:
        raise CheckpointError(f"{path} is damaged: {first_problem(error)}") from None
    return state


def _pieces_folder(path: str | Path) -> Path:
    return Path(path).with_suffix(".pieces")


def _piece_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def _write_pieces(folder: Path, pieces: dict[str, Pieces]) -> None:
    for named in pieces.values():
        for name in named:
            file = _piece_file(folder, name)
            if not file.exists():
                folder.mkdir(exist_ok=True)
                save_checkpoint(file, named[name])


def _remove_other_pieces(folder: Path, pieces: dict[str, Pieces]) -> None:
    """Remove the pieces that a checkpoint does not need, and what a killed process left of one."""
    if not folder.is_dir():
        return
    needed = {_piece_file(folder, name) for named in pieces.values() for name in named}
    for file in folder.iterdir():
        is_piece = PIECE_NAME.fullmatch(file.name.lstrip(".").partition(".")[0])
        if is_piece and file not in needed:
            file.unlink()
    if not needed and not any(folder.iterdir()):
        folder.rmdir()


def _read_piece_names(metadata: dict[str, str], path: str | Path) -> dict[str, list[str]]:
    try:
        found = json.loads(metadata.get("pieces", "{}"))
        if all(PIECE_NAME.fullmatch(name) for names in found.values() for name in names):
            return found
    except (AttributeError, TypeError, ValueError, RecursionError):
        pass
    raise CheckpointError(f"{path} is damaged: the names of its pieces are {quoted(metadata['pieces'])}")


def _put_in(state: dict[str, Any], name: str, value: np.ndarray | Pieces, path: str | Path) -> None:
    *parents, leaf = name.split("/")
    place: Any = state
    for parent in parents:
        place = place.get(parent) if isinstance(place, dict) else None
    if not isinstance(place, dict) or leaf in place:
        raise CheckpointError(f"{path} is damaged: its state has no place for {quoted(name)}")
    place[leaf] = value


def _take_out_arrays(
    state: dict[str, Any], prefix: str, arrays: dict[str, np.ndarray], pieces: dict[str, Pieces]
) -> dict[str, Any]:
    """The state without its arrays and pieces, which go into the dictionaries under their keys joined by ``/``."""
    plain: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, np.ndarray):
            arrays[prefix + key] = np.asarray(value, order="C")
        elif isinstance(value, dict):
            plain[key] = _take_out_arrays(value, f"{prefix}{key}/", arrays, pieces)
        elif isinstance(value, Pieces):
            pieces[prefix + key] = value
        else:
            plain[key] = value
    return plain


def _checksum(metadata: dict[str, str], arrays: dict[str, np.ndarray]) -> str:
    checksum = zlib.crc32("".join(metadata.get(name, "") for name in ("state", "fields", "pieces")).encode())
    for name in sorted(arrays):
        array = arrays[name]
        checksum = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), checksum)
        checksum = zlib.crc32(array.tobytes(), checksum)
    return f"{checksum:08x}"
