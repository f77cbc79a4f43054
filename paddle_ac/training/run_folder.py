"""Where everything of a run lies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from paddle_ac.config import RunConfig, make_config, nearest, read_yaml, write_yaml
from paddle_ac.errors import ConfigError


@dataclass(frozen=True)
class RunFolder:
    """The files of one run.

    Attributes:
        path: the folder.
    """

    path: Path

    @classmethod
    def new(cls, config: RunConfig, path: str | Path | None = None) -> RunFolder:
        """A folder for a new run; ``runs/<env>-<algo>-seed<seed>-<time>`` unless named. Nothing is written yet.

        Raises:
            ConfigError: the folder holds something already, or is a file.
        """
        if path is None:
            env = config.env.replace(":", "-").replace("/", "-")
            path = Path("runs") / f"{env}-{config.algo}-seed{config.seed}-{datetime.now():%Y%m%d-%H%M%S-%f}"
        if not str(path):
            raise ConfigError("a run folder needs a name: --run-dir is empty")
        folder = cls(Path(path))
        if folder.path.is_file():
            raise ConfigError(f"{path} is a file: give --run-dir a new folder")
        try:
            in_use = folder.path.exists() and any(folder.path.iterdir())
        except OSError as error:
            raise ConfigError(f"{path} cannot be a run folder: {error.strerror}") from None
        if in_use:
            raise ConfigError(f"{path} is in use: give --run-dir a new folder, or go on with --resume {path}")
        return folder

    def begin(self, config: RunConfig) -> None:
        """Make the folder and write the configuration into it.

        Raises:
            ConfigError: it cannot be made, or another run has begun in it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.latest.parent.mkdir()
            self.best.parent.mkdir()
            write_yaml(config, self.config)
        except OSError as error:
            raise ConfigError(f"cannot begin a run in {self.path}: {error.strerror}") from None

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """The folder of an earlier run.

        Raises:
            ConfigError: it is not one.
        """
        folder = cls(Path(path))
        if not folder.path.is_dir():
            siblings = [str(sibling) for sibling in folder.path.parent.glob("*/")]
            raise ConfigError(f"there is no run folder {path}{nearest(str(path), siblings)}")
        if not folder.config.is_file():
            runs = sorted(file.parent for file in folder.path.glob("*/config.yaml"))
            if runs:
                raise ConfigError(f"{path} is not a run folder, but holds runs: name one of them, as in {runs[0]}")
            raise ConfigError(f"{path} is not a run folder: it has no {folder.config.name}")
        return folder

    def read_config(self) -> RunConfig:
        """The run's configuration; raises ``ConfigError`` where it cannot be used."""
        values = read_yaml(self.config)
        try:
            return make_config(values)
        except ConfigError as error:
            raise ConfigError(f"{self.config}: {error}") from None

    def read_summary(self) -> dict[str, Any]:
        """What came of the run so far; empty where there is no summary, or a damaged one."""
        try:
            summary = json.loads(self.summary.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return summary if isinstance(summary, dict) else {}

    def is_over(self, total_steps: int) -> bool:
        """Whether the summary tells of a run that came to its end; without a good one, it is still to be written."""
        summary = self.read_summary()
        steps = summary.get("env_steps")
        return summary.get("stopped_by") == "total_steps" and isinstance(steps, int) and steps >= total_steps

    @property
    def config(self) -> Path:
        """The complete configuration, which ``--config`` runs again."""
        return self.path / "config.yaml"

    @property
    def latest(self) -> Path:
        """The checkpoint that a run is taken up from."""
        return self.path / "checkpoints" / "latest.safetensors"

    @property
    def best(self) -> Path:
        """The parameters that did best in an evaluation on the way."""
        return self.path / "best" / "model.safetensors"

    @property
    def progress(self) -> Path:
        """The curves as a table."""
        return self.path / "progress.csv"

    @property
    def visualdl(self) -> Path:
        """All but the graph for VisualDL, which shows one file of a folder: a run keeps to it however often resumed."""
        return self.path / "vdlrecords.run.log"

    @property
    def graph(self) -> Path:
        """The networks for VisualDL."""
        return self.path / "vdlgraph.run.log"

    @property
    def curves(self) -> Path:
        """The curves as a picture."""
        return self.path / "curves.png"

    @property
    def summary(self) -> Path:
        """What came of the run, as JSON."""
        return self.path / "summary.json"


def repeats_file(path: str | Path) -> Path:
    """The configuration and the ``seeds`` of repeats, in the folder that holds theirs; a run's own has no such file."""
    return Path(path) / "repeats.yaml"


def base_file(study_dir: str | Path) -> Path:
    """The configuration that all trials of a study have, but for what is searched."""
    return Path(study_dir) / "base.yaml"


def space_file(study_dir: str | Path) -> Path:
    """What a study searches."""
    return Path(study_dir) / "space.yaml"


@contextmanager
def refused_without_a_trace(path: Path) -> Iterator[None]:
    """Make a folder for runs; after a ``ConfigError``, remove what was made here, unless a run has begun in it."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {path}: {error.strerror}") from None
    try:
        yield
    except ConfigError:
        if path in made and not any(entry.is_dir() for entry in path.iterdir()):
            shutil.rmtree(path)
            for folder in made[1:]:
                folder.rmdir()
        raise
