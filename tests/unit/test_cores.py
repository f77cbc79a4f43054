"""The cores that a process may use: of its affinity, and of the control groups of a container."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest

from paddle_ac.cores import cgroup_limit, usable_cores
from tests.paths import ROOT


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_affinity_limits_the_cores():
    code = "from paddle_ac.cores import usable_cores; print(usable_cores())"
    script = f"import os; os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}}); {code}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "1\n", done.stderr


def files(root, contents):
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V1 = "4:memory:/docker/c1\n3:cpu,cpuacct:/docker/c1\n"
CGROUPS = {
    "version 2": (1.5, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}),
    "version 2, a group above": (
        2,
        {
            "proc/self/cgroup": "0::/user.slice/job/step\n",
            "sys/fs/cgroup/user.slice/job/step/cpu.max": "max 100000\n",
            "sys/fs/cgroup/user.slice/job/cpu.max": "100000 50000\n",
        },
    ),
    "version 2, no limit": (math.inf, {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n"}),
    "version 1": (
        0.5,
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu,cpuacct/docker/c1/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/c1/cpu.cfs_period_us": "100000\n",
        },
    ),
    "version 1, seen from inside": (
        3,
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    ),
    "version 1, no limit": (
        math.inf,
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    ),
    "damaged": (math.inf, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "soon\n"}),
    "no control groups": (math.inf, {}),
}


@pytest.mark.parametrize("expected,contents", CGROUPS.values(), ids=CGROUPS)
def test_control_groups_limit_the_cores(tmp_path, expected, contents):
    assert cgroup_limit(files(tmp_path, contents)) == expected


@pytest.mark.parametrize("limit,expected", [(0.25, 1), (1.5, 2), (4, 4), (1000, 8), (math.inf, 8)])
def test_a_share_of_a_core_counts_as_a_core(monkeypatch, limit, expected):
    monkeypatch.setattr("os.process_cpu_count", lambda: 8, raising=False)
    monkeypatch.setattr("paddle_ac.cores.cgroup_limit", lambda: limit)
    assert usable_cores() == expected
