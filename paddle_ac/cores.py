"""The number of processor cores that this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path


def usable_cores() -> int:
    """Cores that this process may use, 1 or more.

    That is the machine's number, or less under ``taskset`` or in a container with a limit of processor time.
    """
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        cores = os.process_cpu_count() or 1
    elif hasattr(os, "sched_getaffinity"):  # Linux
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(math.ceil(min(cores, cgroup_limit())), 1)


def default_num_workers(num_envs: int, limit: int | None = None) -> int:
    """The largest number of workers that divides the environments, up to ``limit`` or the usable cores."""
    most = min(limit or usable_cores(), num_envs)
    return max(workers for workers in range(1, most + 1) if num_envs % workers == 0)


def cgroup_limit(root: Path = Path("/")) -> float:
    """Cores' worth of processor time that the control groups of this process allow; infinity without a limit.

    Reads the files of both versions of control groups (Linux kernel, admin-guide/cgroup-v2.rst and
    scheduler/sched-bwc.rst). A limit of any group above applies, too.

    Args:
        root: of the file system.
    """
    try:
        memberships = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return math.inf
    limits = [math.inf]
    for membership in memberships:
        _, controllers, path = membership.split(":", 2)
        if controllers == "":
            mount, read = "", _limit_of_version_2
        elif "cpu" in controllers.split(","):
            mount, read = controllers, _limit_of_version_1
        else:
            continue
        # In a container the path may be that of the host, of which the container sees only its own group, as the root.
        group = Path(path.lstrip("/"))
        for folder in (group, *group.parents):
            try:
                limits.append(read(root / "sys/fs/cgroup" / mount / folder))
            except (OSError, ValueError, ZeroDivisionError):
                continue
    return min(limits)


def _limit_of_version_2(folder: Path) -> float:
    quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
    return math.inf if quota == "max" else int(quota) / int(period)


def _limit_of_version_1(folder: Path) -> float:
    quota = int((folder / "cpu.cfs_quota_us").read_text(encoding="utf-8"))
    period = int((folder / "cpu.cfs_period_us").read_text(encoding="utf-8"))
    return math.inf if quota < 0 else quota / period
