"""Progress bars that leave out parts in a narrow terminal, rather than be cut in the middle of a number."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm
from tqdm.utils import disp_len

MIN_BAR = 5  # characters: a shorter one tells nothing
MAX_NAME = 20  # characters of an environment's name


class FittingBar(tqdm):
    """A bar that takes the first of its formats that the terminal is wide enough for.

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
