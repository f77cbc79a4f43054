"""Progress of a run: a bar in a terminal, elsewhere a line for each evaluation."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tqdm import tqdm
from tqdm.utils import disp_len

from paddle_ac.training.wording import as_duration, as_return

MIN_BAR = 5  # characters: a shorter one shows nothing
MAX_NAME = 20  # characters of an environment's name


class FittingBar(tqdm):
    """A progress bar in the first of its formats that fits the terminal, so that no number is cut.

    Args:
        formats: of tqdm, the fullest first; the last one is taken where none fits.
        options: of tqdm.
    """

    def __init__(self, formats: tuple[str, ...], **options: Any):
        self.formats = formats
        super().__init__(dynamic_ncols=True, **options)

    def __str__(self) -> str:
        meter = self.format_dict
        for bar_format in self.formats:
            shortest = {**meter, "ncols": None, "bar_format": bar_format.replace("{bar}", " " * MIN_BAR)}
            if not meter["ncols"] or disp_len(self.format_meter(**shortest)) <= meter["ncols"]:
                break
        return self.format_meter(**{**meter, "bar_format": bar_format})


class StepsBar(FittingBar):
    """Steps of training, their speed with the evaluations between them, and the time that is left.

    Args:
        options: of tqdm; ``total`` and ``initial`` are steps, the postfix is a return.
    """

    FIGURES = "{steps}/{total_steps}, {rate_noinv_fmt}{postfix}"
    FORMATS = (
        "{desc} {percentage:3.0f}% |{bar}| " + FIGURES + " [{elapsed}<{remaining}]",
        "{desc} {percentage:3.0f}% " + FIGURES + " [{elapsed}<{remaining}]",
        "{desc} " + FIGURES + " [{elapsed}<{remaining}]",
        FIGURES + " [{elapsed}<{remaining}]",
        FIGURES,
        "{steps}/{total_steps}",
    )

    def __init__(self, **options: Any):
        super().__init__(self.FORMATS, unit="", unit_scale=True, **options)

    @property
    def format_dict(self) -> dict[str, Any]:
        meter = dict(super().format_dict)
        meter["steps"], meter["total_steps"] = _as_count(meter["n"]), _as_count(meter["total"])
        meter["n"] = min(meter["n"], meter["total"])  # the last update may go beyond, which tqdm takes for no total
        return meter


class EvaluationLines:
    """A line for each evaluation of a run, for logs and notebooks.

    Args:
        steps: of the run so far.
        total_steps: of the whole run.
        name: of the run, in front of each line.
    """

    def __init__(self, steps: int, total_steps: int, name: str = ""):
        self._first_steps, self._total_steps = steps, total_steps
        self._prefix = f"{name}: " if name else ""
        self._started = time.monotonic()

    def write(self, steps: int, mean_return: float) -> None:
        """Print steps, mean return, steps/s with the evaluations between them, and the time that is left."""
        steps_per_second = (steps - self._first_steps) / max(time.monotonic() - self._started, 1e-9)
        parts = [f"{steps:,}/{self._total_steps:,} steps", f"return {as_return(mean_return)}"]
        if steps_per_second > 0:
            parts.append(f"{steps_per_second:,.0f} steps/s")
            if steps < self._total_steps:
                parts.append(f"{as_duration((self._total_steps - steps) / steps_per_second)} left")
        with suppress(OSError):  # where nobody reads it, as after `| head`, the run continues
            print(f"{self._prefix}{', '.join(parts)}", flush=True)


class Progress:
    """The progress of a run: a bar in a terminal, elsewhere a line for each evaluation.

    Args:
        name: of the run, in front of the bar.
        steps: of the run so far.
        total_steps: of the whole run.
        is_shown: whether anything is shown at all.
    """

    def __init__(self, name: str, steps: int, total_steps: int, is_shown: bool):
        has_bar = is_shown and is_terminal(sys.stderr)
        self._bar = StepsBar(desc=name, initial=steps, total=total_steps, disable=not has_bar)
        self._lines = EvaluationLines(steps, total_steps) if is_shown and not has_bar else None
        self._return = ""

    def advance(self, num_steps: int) -> None:
        """Count steps."""
        self._bar.update(num_steps)

    def show_return(self, mean_return: float) -> None:
        """Show the mean return of training episodes."""
        self._return = f"return {as_return(mean_return)}"
        self._bar.set_postfix_str(self._return, refresh=False)

    def evaluated(self, steps: int, mean_return: float) -> None:
        """Report an evaluation."""
        if self._lines is not None:
            self._lines.write(steps, mean_return)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Show that the evaluation at the end is running, while the bar stands at 100 %."""
        self._bar.set_postfix_str(", ".join(filter(None, [self._return, "evaluating"])))
        try:
            yield
        finally:
            self._bar.set_postfix_str(self._return, refresh=False)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()


def is_terminal(stream: Any) -> bool:
    """Whether a standard stream is a terminal; services and ``pythonw`` have none, or one without ``isatty``."""
    isatty = getattr(stream, "isatty", None)
    return isatty is not None and isatty()


def name_of(env_id: str) -> str:
    """An environment's id without the module or the library that it is from, shortened if it is long."""
    name = env_id.rpartition(":")[2]
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 3]}..."


def _as_count(number: int) -> str:
    return str(number) if number < 1000 else tqdm.format_sizeof(number)
