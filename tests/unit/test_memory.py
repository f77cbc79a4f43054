"""What does not fit into memory is rejected in one line, before anything is allocated or written."""

from __future__ import annotations

import re
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

import paddle_ac
from paddle_ac import memory
from paddle_ac.envs.wrappers import FrameStack
from paddle_ac.errors import ConfigError
from paddle_ac.memory import as_size, available_memory, require_memory
from tests.tool_calls import run_main

HUGE = 10**15


def run_below_limit(code: str, num_bytes: int) -> subprocess.CompletedProcess:
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({num_bytes}, {num_bytes})); {code}"
    return subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "tool,arguments,named",
    [
        ("train.py", ("--algo=sac", "--env=Pendulum-v1", "--buffer-size=100000000000"), "buffer_size=100000000000"),
        ("train.py", ("--algo=sac", "--env=Pendulum-v1", f"--batch-size={HUGE}"), f"batch_size={HUGE}"),
        ("train.py", ("--algo=dqn", f"--batch-size={HUGE}"), f"batch_size={HUGE}"),
        ("train.py", ("--algo=dqn", "--buffer-size=100000000000"), "buffer_size=100000000000"),
        ("train.py", ("--algo=dqn", "--hidden-sizes=60000,60000"), "hidden_sizes=60000,60000"),
        ("train.py", (f"--num-envs={HUGE}",), f"num_envs={HUGE}"),
        ("train.py", (f"--num-envs={HUGE}", "--vec=serial"), f"num_envs={HUGE}"),
        ("train.py", ("--num-envs=1024", "--num-workers=1024", "--vec=subproc"), "num_workers=1024"),
        ("train.py", (f"--num-steps={HUGE}",), f"num_steps={HUGE} of num_envs=8"),
        ("train.py", ("--algo=a3c", f"--num-steps={HUGE}"), f"num_steps={HUGE}"),
        ("train.py", ("--algo=a3c", "--num-workers=1024"), "num_workers=1024"),
        ("train.py", ("--algo=a3c", f"--num-envs={HUGE}"), f"num_workers=2, num_envs={HUGE}"),
        ("train.py", ("--hidden-sizes=60000,60000",), "hidden_sizes=60000,60000"),
        ("train.py", ("--algo=sac", "--env=Pendulum-v1", "--hidden-sizes=60000,50000"), "hidden_sizes=60000,50000"),
        ("train.py", ("--recurrent=gru", "--recurrent-size=60000"), "recurrent_size=60000"),
        ("train.py", ("--seeds=0,1,2", f"--num-steps={HUGE}", "--jobs=1"), f"num_steps={HUGE} of num_envs=8"),
        ("tune.py", ("--trials=1000000", "--jobs=1000000"), "jobs=1000000"),
        ("benchmark.py", (f"--num-steps={HUGE}",), f"num_steps={HUGE} of num_envs=8"),
    ],
)
def test_a_flag_that_asks_for_too_much_memory_is_named(capsys, tmp_path, monkeypatch, tool, arguments, named):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "available_memory", lambda: 20 * 2**30)
    code, _, errors = run_main(capsys, tool, *arguments)
    assert code == 2 and errors.count("\n") == 1
    assert errors.startswith("error: ") and f"{named} needs at least " in errors
    assert re.search(r" of memory, \d.* are available\n$", errors)
    assert list(tmp_path.glob("runs/*")) == []


def test_an_agent_from_python_is_rejected_in_the_same_way():
    with pytest.raises(ConfigError, match=r"buffer_size=100000000000 needs at least .* TiB of memory, .* available"):
        paddle_ac.make("sac", "Pendulum-v1", buffer_size=10**11)


def test_a_stack_of_large_frames_is_rejected(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 2**30)
    env = gymnasium.Env()
    env.observation_space = gymnasium.spaces.Box(0, 1, (10**6,), np.float32)
    with pytest.raises(ConfigError, match=r"frame_stack=1000 needs at least 11\.2 GiB of memory, 1\.0 GiB"):
        FrameStack(env, 1000)


def test_as_many_episodes_as_anybody_asks_for_take_no_memory_beforehand(tmp_path):
    config = {"algo": "a2c", "vec": "serial", "num_envs": 1, "eval_episodes": HUGE}
    paddle_ac.make(config.pop("algo"), "CartPole-v1", **config).close()


def test_memory_is_what_the_machine_the_containers_and_the_limit_leave(tmp_path, monkeypatch):
    files = {
        "/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    4000 kB\n",
        "/proc/self/cgroup": "4:memory:/jobs/mine\n0::/jobs/mine\n",
        "/proc/self/statm": "1 1 1",
    }
    monkeypatch.setattr(memory, "_read", lambda path: files.get(str(path), ""))
    assert available_memory() == 4_096_000
    files |= {"/sys/fs/cgroup/jobs/memory.max": "3000\n", "/sys/fs/cgroup/jobs/memory.current": "2500\n"}
    assert available_memory() == 500
    files["/sys/fs/cgroup/jobs/memory.stat"] = "active_file 7\ninactive_file 100\n"
    assert available_memory() == 600
    files |= {"/sys/fs/cgroup/jobs/mine/memory.max": "max\n", "/sys/fs/cgroup/jobs/mine/memory.current": "1\n"}
    assert available_memory() == 600
    version_1 = "/sys/fs/cgroup/memory/memory"
    files |= {f"{version_1}.limit_in_bytes": "2000", f"{version_1}.usage_in_bytes": "2001"}
    assert available_memory() == 0


def test_a_limit_of_the_address_space_counts():
    ended = run_below_limit("from paddle_ac.memory import available_memory; print(available_memory())", 10**9)
    assert 0 < int(ended.stdout) < 10**9, ended.stderr


def test_where_the_system_does_not_say_nothing_is_rejected(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    require_memory(HUGE, "buffer_size=1")


@pytest.mark.parametrize(
    "num_bytes,text", [(1000, "1000 bytes"), (2048, "2.0 KiB"), (210 * 2**30, "210.0 GiB"), (2**60, "1,024.0 PiB")]
)
def test_sizes_have_units(num_bytes, text):
    assert as_size(num_bytes) == text
