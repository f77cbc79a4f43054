"""Logs of a run: curves for VisualDL, and the same as a table."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import portalocker
import yaml

from paddle_ac.config import RunConfig
from paddle_ac.errors import CheckpointError, ConfigError, reason_of, shortened
from paddle_ac.process import imports_contained
from paddle_ac.training.run_folder import RunFolder

if TYPE_CHECKING:
    from visualdl import LogWriter

COMMON_TAGS = (
    "charts/episode_return",
    "charts/episode_length",
    "charts/steps_per_second",
    "charts/updates_per_second",
    "charts/learning_rate",
    "losses/actor",
    "losses/critic",
    "losses/entropy",
    "losses/total",
    "diagnostics/grad_norm",
    "diagnostics/explained_variance",
    "eval/mean_return",
    "eval/std_return",
    "eval/best_mean_return",
)

# VisualDL's page of hyper-parameters compares runs by the last point of each of these curves.
FIGURES = ["eval/mean_return", "eval/best_mean_return", "charts/episode_return", "charts/steps_per_second"]
NUM_BUCKETS = 30  # of a histogram
_WITHOUT = "delete it to resume without the curves so far"


def check_new_tags(tags: Iterable[str], algorithm_tags: Iterable[str]) -> None:
    """Raise ``ConfigError`` for tags of callbacks that are columns already."""
    taken = sorted({"env_steps", "train_seconds", *COMMON_TAGS, *algorithm_tags}.intersection(tags))
    if taken:
        raise ConfigError(f"metric_tags of a callback: every run has the column {taken[0]}; choose another name")


class Logger:
    """Averages metrics between two points of the curves, and writes the points.

    A point holds the mean over all that was recorded since the point before; of tags that end in ``_max`` it holds the
    largest, of those that begin with ``workers/`` or ``nodes/`` (totals so far) the last. A tag of which nothing was
    recorded (no episode finished, no evaluation was due) has no point, and an empty cell in the table.

    Args:
        folder: where ``progress.csv`` and the VisualDL file lie; both are appended to.
        tags: of the metrics of the algorithm and of callbacks, beside ``COMMON_TAGS``.
    """

    def __init__(self, folder: RunFolder, tags: tuple[str, ...]):
        self.folder = folder
        self.pending: dict[str, list[float]] = {}  # tag to [sum, largest or last; count]
        self._table = _open_alone(folder.progress)
        self._tags = {*COMMON_TAGS, *tags}
        with folder.progress.open(newline="", encoding="utf-8") as file:
            columns = next(csv.reader(file), None) or ["env_steps", "train_seconds", *COMMON_TAGS, *tags]
        self._tags |= set(columns) - {"env_steps", "train_seconds"}  # of callbacks that a resumed run may lack
        # A table of an earlier version, or of a run without some callback, may lack a column; VisualDL has all of them.
        self._rows = csv.DictWriter(self._table, columns, extrasaction="ignore")
        if self._table.tell() == 0:
            self._rows.writeheader()
        self._visualdl = _open_visualdl(folder.visualdl)

    def check_tags(self, tags: Iterable[str]) -> None:
        """Raise ``ValueError`` for tags that have no column."""
        unknown = sorted(set(tags) - self._tags)
        if unknown:
            raise ValueError(f"no column for {', '.join(unknown)}: declare them in metric_tags")

    def record(self, metrics: dict[str, Any]) -> None:
        """Take note of metrics by tag: a number, or a list of any length."""
        for tag, value in metrics.items():
            values = value if isinstance(value, list) else [value]
            if not values:
                continue
            total, count = self.pending.get(tag, (0.0, 0))
            if tag.startswith(("workers/", "nodes/")):
                self.pending[tag] = [values[-1], 1]
            elif tag.endswith("_max"):
                self.pending[tag] = [max(total, *values), 1] if count else [max(values), 1]
            else:
                self.pending[tag] = [total + math.fsum(values), count + len(values)]

    def write(self, env_steps: int, train_seconds: float) -> dict[str, float]:
        """Write a point of every tag that something was recorded of, at ``env_steps``, and return it.

        Raises:
            ValueError: something was recorded of a tag that has no column; nothing of the point is written.
        """
        means = {tag: total / count for tag, (total, count) in self.pending.items()}
        self.pending = {}
        self.check_tags(means)
        self._rows.writerow({"env_steps": env_steps, "train_seconds": f"{train_seconds:.3f}", **means})
        self._table.flush()
        for tag, mean in means.items():
            self._visualdl.add_scalar(tag=tag, value=mean, step=env_steps)
        self._visualdl.flush()
        return means

    def write_hyper_parameters(self, config: RunConfig) -> None:
        """Write what runs are compared by, at the start and when a resume changes it; the dashboard shows the last."""
        values = {name: _number_or_text(value) for name, value in config.model_dump().items() if value is not None}
        self._visualdl.add_hparams(values, list(FIGURES))

    def write_configuration(self, config: RunConfig, env_steps: int) -> None:
        """Write the configuration from ``env_steps`` on as a text: YAML on one line, for VisualDL shows no others."""
        text = yaml.safe_dump(config.model_dump(mode="json"), default_flow_style=True, sort_keys=False, width=math.inf)
        self._visualdl.add_text("configuration", text, env_steps)

    def write_histogram(self, tag: str, numbers: np.ndarray, env_steps: int) -> None:
        """Write the histogram of numbers of any shape; those that are not finite are no part of it."""
        finite = numbers[np.isfinite(numbers)].astype(np.float64)  # in float32 numbers may be too close for buckets
        self._visualdl.add_histogram(tag, finite, env_steps, buckets=NUM_BUCKETS)

    def write_image(self, tag: str, image: np.ndarray, env_steps: int) -> None:
        """Write a picture ``[H, W, 3]`` uint8."""
        self._visualdl.add_image(tag, image, env_steps)

    def state_dict(self) -> dict[str, Any]:
        """Return the metrics that are still to be averaged, and the current lengths of the files in bytes."""
        self._table.flush()
        self._visualdl.flush()
        return {
            "pending": {tag: list(total) for tag, total in self.pending.items()},
            "progress_bytes": self.folder.progress.stat().st_size,
            "visualdl_bytes": self.folder.visualdl.stat().st_size,
        }

    @classmethod
    def resume(cls, folder: RunFolder, tags: tuple[str, ...], state: dict[str, Any]) -> Logger:
        """Resume from ``state_dict``: cut off what the files hold beyond that moment, because it comes again.

        A missing file is started again, with a warning: a run resumes from its checkpoint, not from its curves.

        Raises:
            ConfigError: another process trains in the folder.
            CheckpointError: a file is shorter than it was, or the table is damaged.
        """
        for path in (folder.progress, folder.visualdl):
            if not path.exists():
                logging.getLogger(__name__).warning("%s is missing: its curves begin where the run resumes", path)
        with _open_alone(folder.progress) as table:
            lengths = {folder.visualdl: state["visualdl_bytes"]} if folder.visualdl.exists() else {}
            if table.tell():
                lengths[folder.progress] = state["progress_bytes"]
                _check_table(folder.progress, state["progress_bytes"])
            for path, num_bytes in lengths.items():
                _check_length(path, num_bytes)
            for path, num_bytes in lengths.items():
                os.truncate(path, num_bytes)
        logger = cls(folder, tags)
        # A callback whose metrics have no column may be missing from the resumed run.
        logger.pending = {tag: list(total) for tag, total in state["pending"].items() if tag in logger._tags}
        return logger

    def close(self) -> None:
        """Write all out and close the files."""
        self._table.close()
        self._visualdl.close()


def read_progress(path: Path, num_bytes: int | None = None) -> dict[str, np.ndarray]:
    """Read the table's columns as float64 arrays, one entry a point; NaN where a tag has no point.

    Of a run that has only just begun there may be no column yet.

    Args:
        path: ``progress.csv``.
        num_bytes: where the table ended at a checkpoint; by default at its last complete line.

    Raises:
        ConfigError: the table cannot be read or is damaged.
    """
    try:
        content = path.read_bytes()
        text = content[: content.rfind(b"\n") + 1 if num_bytes is None else num_bytes].decode("utf-8")
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {reason_of(error)}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} is damaged: {shortened(str(error))}") from None
    if not lines:
        return {}
    columns, *rows = lines
    if not {"env_steps", "train_seconds"} <= set(columns) or len(set(columns)) < len(columns):
        raise ConfigError(f"{path} is damaged: line 1 is not the names of its columns")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            raise ConfigError(f"{path} is damaged: line {number} has {len(row)} cells, not {len(columns)}")
    try:
        table = {column: np.array([float(row[i] or "nan") for row in rows]) for i, column in enumerate(columns)}
    except ValueError as error:
        raise ConfigError(f"{path} is damaged: {shortened(str(error))}") from None
    for column in ("env_steps", "train_seconds"):
        if not (np.isfinite(table[column]).all() and (np.diff(table[column]) >= 0).all()):
            raise ConfigError(f"{path} is damaged: {column} does not rise")
    return table


def _number_or_text(value: Any) -> int | float | str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return json.dumps(value)
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


def _open_alone(path: Path) -> TextIO:
    """The table, to append to; ``ConfigError`` while another process has it open so, for two runs would mix in it."""
    file = path.open("a", newline="", encoding="utf-8")
    try:
        portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
    except portalocker.AlreadyLocked:
        file.close()
        raise ConfigError(f"{path.parent} is being trained by another process") from None
    except portalocker.LockException:  # a file system without locks
        pass
    return file


def _open_visualdl(path: Path) -> LogWriter:
    """A writer that appends to one file.

    VisualDL's own way to the disk prints when it appends, and loses what a full disk does not take.
    """
    with imports_contained():  # here, where a log is written: the import writes into the home folder
        from visualdl import LogWriter

    class RunWriter(LogWriter):
        def __init__(self) -> None:
            self._records = _RecordFile(path)
            super().__init__(logdir=str(path.parent))

        def _get_file_writer(self) -> _RecordFile:
            self._file_writer = self._records
            self._all_writers = {self._logdir: self._records}
            return self._records

    return RunWriter()


class _RecordFile:
    """VisualDL's records in a file: each as its length (uint64, little-endian) and its protocol buffer."""

    def __init__(self, path: Path):
        self._file = path.open("ab")

    def get_filename(self) -> str:
        return self._file.name

    def add_record(self, record: Any) -> None:
        data = record.SerializeToString()
        self._file.write(len(data).to_bytes(8, "little") + data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _check_length(path: Path, num_bytes: int) -> None:
    size = path.stat().st_size
    if size < num_bytes:
        raise CheckpointError(
            f"{path} is damaged: it has {size:,} bytes, and had {num_bytes:,} at the checkpoint; {_WITHOUT}"
        )


def _check_table(path: Path, num_bytes: int) -> None:
    _check_length(path, num_bytes)
    try:
        read_progress(path, num_bytes)
    except ConfigError as error:
        raise CheckpointError(f"{error}; {_WITHOUT}") from None
