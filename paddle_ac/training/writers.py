"""Writers of the curves beside VisualDL and the table: TensorBoard and Weights & Biases, through their own packages."""

from __future__ import annotations

import importlib
import os
import secrets
from typing import Any

import yaml

from paddle_ac.config import RunConfig
from paddle_ac.errors import ConfigError, needs, shortened
from paddle_ac.files import write_atomically
from paddle_ac.process import imports_contained
from paddle_ac.training.callback import Callback, Point, Run


def make_writers(config: RunConfig) -> list[Callback]:
    """The writers that ``config.log_to`` names.

    Raises:
        ConfigError: a package is missing.
    """
    return [WRITERS[name]() for name in config.log_to]


def _import(package: str, name: str) -> Any:
    try:
        with imports_contained():
            return importlib.import_module(package)
    except ImportError:
        raise ConfigError(needs(f"--log-to {name} (log_to)", package)) from None


class TensorBoardWriter(Callback):
    """Writes the points of the curves and the configuration as TensorBoard events into the run folder.

    Raises:
        ConfigError: tensorboardX is missing.
    """

    def __init__(self) -> None:
        self._package = _import("tensorboardX", "tensorboard")
        self._writer: Any = None

    def on_start(self, run: Run) -> None:
        """Open a new file; TensorBoard leaves out what older files of the run hold beyond the present step."""
        steps = run.agent.env_steps
        self._writer = self._package.SummaryWriter(str(run.folder.root), purge_step=steps + 1 if steps else None)
        text = yaml.safe_dump(run.config.model_dump(mode="json"), sort_keys=False)
        self._writer.add_text("configuration", f"```\n{text}```", steps)

    def on_log(self, run: Run, point: Point) -> None:
        """Write a scalar for each metric."""
        for tag, value in point.metrics.items():
            self._writer.add_scalar(tag, value, point.env_steps)
        self._writer.flush()

    def on_end(self, run: Run, summary: dict[str, Any]) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


class WandbWriter(Callback):
    """Sends the points of the curves, the configuration and the summary to Weights & Biases.

    The variables of its own package apply, such as ``WANDB_PROJECT`` (``paddle_ac`` by default) and
    ``WANDB_MODE=offline``. A resumed run continues the same run there. A run of wandb that is active already gets the
    points, and stays open.

    Raises:
        ConfigError: wandb is missing.
    """

    def __init__(self) -> None:
        self._package = _import("wandb", "wandb")
        self._run: Any = None
        self._is_own = False

    def on_start(self, run: Run) -> None:
        """Begin the run there, or continue it; ``ConfigError`` if that is not possible."""
        self._run = self._package.run
        if self._run is not None:
            return
        place = run.folder.root / "wandb_id.txt"
        if not place.is_file():
            write_atomically(place, secrets.token_hex(4).encode())
        try:
            self._run = self._package.init(
                project=os.environ.get("WANDB_PROJECT", "paddle_ac"),
                name=os.environ.get("WANDB_NAME", run.folder.path.name),
                id=place.read_text(encoding="utf-8"),
                resume="allow",
                dir=str(run.folder.root),
                config=run.config.model_dump(mode="json"),
            )
        except self._package.Error as error:
            reason = shortened(str(error)).rstrip(".")
            raise ConfigError(f"--log-to wandb (log_to): {reason}; WANDB_MODE=offline needs no key") from None
        self._is_own = True

    def on_log(self, run: Run, point: Point) -> None:
        """Send the metrics."""
        self._run.log(dict(point.metrics), step=point.env_steps)

    def on_end(self, run: Run, summary: dict[str, Any]) -> None:
        """Send the numbers and texts of the summary, and end the run there, with the process that wandb started."""
        if self._is_own:
            self._run.summary.update({name: value for name, value in summary.items() if not isinstance(value, dict)})
            self._run.finish(exit_code=1 if summary["stopped_by"] == "error" else 0)
            self._package.teardown()


WRITERS: dict[str, type[Callback]] = {"tensorboard": TensorBoardWriter, "wandb": WandbWriter}
