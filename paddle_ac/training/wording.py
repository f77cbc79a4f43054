"""Durations, returns and errors in words, for lines on the terminal."""

from __future__ import annotations


def as_duration(seconds: float) -> str:
    """``"8.2 s"``, ``"3 min 20 s"`` or ``"2 h 5 min"``."""
    if seconds < 0.05:
        return "less than 0.1 s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def as_return(value: float, decimals: int = 1) -> str:
    """``"143.2"``; below 1 with three decimals, because fewer would hide the difference: ``"0.742"``."""
    return f"{value:.{3 if 0 < abs(value) < 1 else decimals}f}"


def first_and_last_line(error: str) -> str:
    """First line of an error, with the failure, and last line of its traceback, if it has one, with the reason."""
    lines = error.strip().splitlines()
    return lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1]}"
