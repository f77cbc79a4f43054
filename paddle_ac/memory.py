"""Memory: how much is available, and a check before it is allocated.

An allocation that is too large raises ``MemoryError`` at best. Linux promises memory that it does not have, and kills
the process that writes to it. So sizes are estimated beforehand, from below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from paddle_ac.errors import ConfigError

# At least so many bytes each, as measured with CartPole-v1.
SINGLE_ENV = 3_000  # an environment with its wrappers
NATIVE_ENV = 500  # one of an environment that its maker vectorised, with its info and its activations
WORKER = 30_000_000  # a process without Paddle
RUN = 150_000_000  # a process with Paddle, beside what it shares with others
PARAMETER = 40  # of a network: itself, its gradient, the optimiser's moments, and float64 while it is drawn


def require_memory(num_bytes: int, name: str) -> None:
    """Raise ``ConfigError`` if so much memory is not available.

    Args:
        num_bytes: estimate from below of what will be allocated.
        name: the hyper-parameter that asks for it, with its value, as ``"buffer_size=1000000"``.
    """
    available = available_memory()
    if available is not None and num_bytes > available:
        raise ConfigError(f"{name} needs at least {as_size(num_bytes)} of memory, {as_size(available)} are available")


def available_memory() -> int | None:
    """Bytes that this process can still allocate without swapping; ``None`` where the system does not report it.

    The minimum of what the machine has, what the control groups (containers) of the process leave, and ``ulimit -v``.
    """
    limits = [*_of_machine(), *_of_control_groups(), *_of_address_space()]
    return max(min(limits), 0) if limits else None


def as_size(num_bytes: int) -> str:
    """``"4.3 MiB"``, ``"210.0 GiB"``."""
    if num_bytes < 1024:
        return f"{num_bytes} bytes"
    units = ("KiB", "MiB", "GiB", "TiB", "PiB")
    power = min((num_bytes.bit_length() - 1) // 10, len(units))
    return f"{num_bytes / 1024**power:,.1f} {units[power - 1]}"


def _of_machine() -> Iterator[int]:
    found = re.search(r"MemAvailable:\s+(\d+) kB", _read(Path("/proc/meminfo")))
    if found:
        yield int(found[1]) * 1024


def _of_control_groups() -> Iterator[int]:
    """Yield the bytes that each control group above the process, of version 2 or 1, leaves to allocate.

    Inactive files in its page cache can be dropped, so they are not counted as used.
    """
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, names = Path("/sys/fs/cgroup"), ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            mount = Path("/sys/fs/cgroup/memory")
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            limit, used = (_read(folder / name).strip() for name in names[:2])
            if limit.isdigit() and used.isdigit():
                cached = re.search(rf"^{names[2]} (\d+)", _read(folder / "memory.stat"), re.MULTILINE)
                yield int(limit) - int(used) + (int(cached[1]) if cached else 0)
            if folder == mount:
                break


def _of_address_space() -> Iterator[int]:
    try:
        import resource  # not on Windows
    except ImportError:
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    pages = _read(Path("/proc/self/statm")).split()
    if limit != resource.RLIM_INFINITY and pages:
        yield limit - int(pages[0]) * resource.getpagesize()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
