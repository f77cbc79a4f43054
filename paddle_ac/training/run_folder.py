"""The folder of a run and the paths of its files."""

from __future__ import annotations

import errno
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from paddle_ac.config import RunConfig, first_problem, nearest, read_config, write_yaml
from paddle_ac.errors import ConfigError, quoted, reason_of, shortened
from paddle_ac.files import POLICY_SUFFIX, as_path, find_policy_file

MAX_SUMMARY_BYTES = 1_000_000
COMPLETE = ("total_steps", "target_return")  # values of stopped_by of a run that needs no resuming


class Summary(BaseModel):
    """Schema of the entries of ``summary.json`` that are read; the file holds more."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    env_steps: int = Field(ge=0)
    train_seconds: float = Field(ge=0)
    steps_per_second: float | None
    eval_mean_return: float | None
    best_eval_mean_return: float | None
    best_env_steps: int | None = None
    best_is_latest: bool = False
    stopped_by: str
    error: str | None = None

    @model_validator(mode="after")
    def _a_complete_run_has_figures(self) -> Summary:
        if self.stopped_by in COMPLETE and None in (self.eval_mean_return, self.best_eval_mean_return):
            raise ValueError("a complete run must have evaluations")
        if self.best_is_latest and self.best_env_steps is None:
            raise ValueError("best_is_latest needs best_env_steps")
        return self


@dataclass(frozen=True)
class RunFolder:
    """The files of one run.

    Attributes:
        path: the folder as the user named it, for messages.
        current: the folder that a relative ``path`` counts from: an environment may call ``os.chdir`` later.
    """

    path: Path
    current: Path = field(default_factory=Path.cwd)

    @property
    def root(self) -> Path:
        """The folder as an absolute path."""
        return self.current / self.path

    def child(self, name: str) -> RunFolder:
        """The folder of a run inside this one."""
        return RunFolder(self.path / name, self.current)

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
        folder = cls(check_path(path))
        if folder.root.is_file():
            raise ConfigError(f"{path} is a file: give --run-dir a new folder")
        try:
            in_use = folder.root.exists() and any(folder.root.iterdir())
        except OSError as error:
            raise ConfigError(f"{path} cannot be a run folder: {reason_of(error)}") from None
        if in_use:
            raise ConfigError(f"{path} is in use: give --run-dir a new folder, or resume it with --resume {path}")
        return folder

    def begin(self, config: RunConfig) -> None:
        """Make the folder and write the configuration into it.

        Raises:
            ConfigError: it cannot be made, or another run has begun in it.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.latest.parent.mkdir()
            self.best.parent.mkdir()
            write_yaml(config, self.config)
        except OSError as error:
            raise ConfigError(f"cannot begin a run in {self.path}: {reason_of(error)}") from None

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """The folder of an earlier run.

        Raises:
            ConfigError: it is not one.
        """
        folder = cls(check_path(path))
        file = find_policy_file(folder.path)
        if file is not None:
            raise ConfigError(f"{file} is a file, not a run folder{_use_of(file)}")
        if not folder.root.is_dir():
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
        return read_config(self.config)

    def read_summary(self) -> dict[str, Any]:
        """The summary of the run so far; empty where there is none yet.

        Raises:
            ConfigError: it cannot be read, or is none.
        """
        if not self.summary.exists():
            return {}
        try:
            with self.summary.open("rb") as file:
                content = file.read(MAX_SUMMARY_BYTES + 1)
            summary = json.loads(content)
            Summary.model_validate(summary)
        except OSError as error:
            raise ConfigError(f"cannot read {self.summary}: {reason_of(error)}") from None
        except ValidationError as error:
            raise ConfigError(f"{self.summary} is damaged: {first_problem(error)}") from None
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{self.summary} is damaged: it is not JSON: {shortened(str(error))}") from None
        return summary

    def known_summary(self) -> dict[str, Any]:
        """As ``read_summary``, for callers that can do without it: a damaged one is empty, and named in the log."""
        try:
            return self.read_summary()
        except ConfigError as error:
            logging.getLogger(__name__).warning("ignored: %s", error)
            return {}

    def is_over(self, config: RunConfig) -> bool:
        """Whether the summary is that of a run that reached its total of steps or the return to stop at."""
        summary = self.known_summary()
        reached_steps = summary.get("stopped_by") == "total_steps" and summary["env_steps"] >= config.total_steps
        return reached_steps or self.reached_return(config)

    def reached_return(self, config: RunConfig) -> bool:
        """Whether the summary is that of a run that stopped because it reached ``config.stop_at_return``."""
        summary = self.known_summary()
        return (
            summary.get("stopped_by") == "target_return"
            and config.stop_at_return is not None
            and summary["best_eval_mean_return"] >= config.stop_at_return
        )

    @property
    def config(self) -> Path:
        """The complete configuration, which ``--config`` runs again."""
        return self.root / "config.yaml"

    @property
    def latest(self) -> Path:
        """The checkpoint that a run is taken up from."""
        return self.root / "checkpoints" / "latest.safetensors"

    @property
    def best(self) -> Path:
        """The parameters that did best in an evaluation on the way."""
        return self.root / "best" / "model.safetensors"

    @property
    def progress(self) -> Path:
        """The curves as a table."""
        return self.root / "progress.csv"

    @property
    def visualdl(self) -> Path:
        """All but the graph for VisualDL, which shows one file of a folder: a run keeps to it however often resumed."""
        return self.root / "vdlrecords.run.log"

    @property
    def graph(self) -> Path:
        """The networks for VisualDL."""
        return self.root / "vdlgraph.run.log"

    @property
    def curves(self) -> Path:
        """The curves as a picture."""
        return self.root / "curves.png"

    @property
    def summary(self) -> Path:
        """The results of the run, as JSON."""
        return self.root / "summary.json"


def check_path(path: str | Path) -> Path:
    """A path that a user named; ``ConfigError`` if its name or those of a run's files in it cannot be written."""
    path = as_path(path)
    text = str(path)
    try:
        text.encode()
        (Path(text) / "checkpoints" / ".latest.safetensors.1234567890.tmp").lstat()
    except UnicodeEncodeError:
        raise ConfigError(f"{text!a} is not a name in UTF-8: choose another") from None
    except ValueError:
        raise ConfigError(f"{text!a} has a null character in it: choose another name") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ConfigError(f"the name {quoted(text)} is too long: choose a shorter one") from None
    return path


def _use_of(file: Path) -> str:
    """Hint at the commands that read a policy file, to end an error message; empty for other files."""
    if file.suffix != POLICY_SUFFIX:
        return ""
    return (
        f": a policy of agent.save is for evaluate, export, --init-from {file} and paddle_ac.load({str(file)!r}); to "
        "use a checkpoint of a run, name the run's folder"
    )


def repeats_file(path: str | Path) -> Path:
    """The configuration and the ``seeds`` of repeats, in the folder that holds theirs; a run's own has no such file."""
    return check_path(path) / "repeats.yaml"


def base_file(study_dir: str | Path) -> Path:
    """The configuration that all trials of a study have, but for what is searched."""
    return check_path(study_dir) / "base.yaml"


def space_file(study_dir: str | Path) -> Path:
    """The search space of a study."""
    return check_path(study_dir) / "space.yaml"


@contextmanager
def remove_on_config_error(path: Path) -> Iterator[None]:
    """Make a folder for runs; after a ``ConfigError``, remove what was made here, unless a run has begun in it."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {path}: {reason_of(error)}") from None
    try:
        yield
    except ConfigError:
        if path in made and not any(entry.is_dir() for entry in path.iterdir()):
            shutil.rmtree(path)
            for folder in made[1:]:
                folder.rmdir()
        raise
