"""Whatever an environment raises, and wherever: one error that names it, the right exit code, nothing lost."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from multiprocessing_env import (
    DummyVecEnv,
    EnvironmentFailedError,
    SubprocVecEnv,
    VecEnvError,
    probe_spaces,
)
from paddle_ac.config import make_config
from paddle_ac.envs.make import make_rendered_env, make_training_envs
from paddle_ac.envs.native import NativeVecEnv
from paddle_ac.errors import ConfigError
from paddle_ac.training.evaluate import evaluate_run
from paddle_ac.training.runs import train
from tests.environments import Counting, Raising
from tests.paths import ROOT
from tests.short_runs import wait_until

BOTH = pytest.mark.parametrize("make_vec_env", [DummyVecEnv, SubprocVecEnv], ids=["dummy", "subproc"])
WHAT = pytest.mark.parametrize(
    "what,reason",
    [
        ("runtime", "RuntimeError: the cable is loose"),
        ("exit", "SystemExit: 0"),
        ("exit with text", "SystemExit: no licence"),
        ("panic", "Panic: index out of bounds"),
    ],
)
TOPOLOGIES = {
    "serial": {"algo": "a2c", "num_envs": 2, "vec": "serial"},
    "auto": {"algo": "a2c", "num_envs": 2, "vec": "auto"},
    "subproc": {"algo": "a2c", "num_envs": 2, "vec": "subproc", "num_workers": 1},
    "a3c": {"algo": "a3c", "num_workers": 1, "restart_workers": False},
    "async_q": {"algo": "async_q", "num_workers": 1, "restart_workers": False},
}
TOPOLOGY = pytest.mark.parametrize("topology", TOPOLOGIES)


def config_of(topology: str, env: str = "tests.environments:test/Raising-v0"):
    return make_config(
        {**TOPOLOGIES[topology], "env": env, "total_steps": 200, "eval_episodes": 2, "hidden_sizes": (4,)}
    )


@pytest.fixture
def raising(monkeypatch):
    """Sets what the registered environment raises, and where."""

    def set_fault(where, what, at_call=1):
        kwargs = {"where": where, "what": what, "at_call": at_call}
        monkeypatch.setattr(gymnasium.registry["test/Raising-v0"], "kwargs", kwargs)

    return set_fault


# ------------------------------------------------------------------------------------------- vectorised environments


@BOTH
@WHAT
@pytest.mark.parametrize("where", ["__init__", "reset", "step"])
def test_anything_that_an_environment_raises_is_one_error(make_vec_env, where, what, reason):
    with pytest.raises(EnvironmentFailedError) as raised:
        envs = make_vec_env([Counting, functools.partial(Raising, where, what)])
        envs.reset()
        envs.step([0, 3])
    failure = raised.value
    action = 3 if where == "step" else None
    assert (failure.env_index, failure.operation, failure.action, failure.reason) == (1, where, action, reason)
    with_action = " with action 3" if action else ""
    assert str(failure).splitlines()[0] == f"environment 1 failed in {where}{with_action}: {reason}"
    assert "in _maybe_raise" in failure.env_traceback


@BOTH
def test_an_auto_reset_that_raises_is_named_as_a_reset(make_vec_env):
    with pytest.raises(EnvironmentFailedError, match="environment 0 failed in reset: SystemExit: 0") as raised:
        envs = make_vec_env([functools.partial(Raising, "reset", "exit", at_call=2)])
        envs.reset()
        for _ in range(10):
            envs.step([0])
    assert raised.value.action is None


@WHAT
def test_a_close_that_raises_is_logged_and_the_others_are_closed(caplog, what, reason):
    envs = DummyVecEnv([functools.partial(Raising, "close", what)] * 2)
    closed = []
    envs.envs.append(type("Closing", (), {"close": lambda self: closed.append(True)})())
    envs.close()
    envs.close()
    assert caplog.messages == [f"environment {index} failed in close: {reason}" for index in (0, 1)]
    assert closed == [True]


def test_a_close_that_raises_in_a_worker_is_logged(capfd):
    with SubprocVecEnv([functools.partial(Raising, "close", "exit")] * 2, in_series=2, spaces=probe_quietly()) as envs:
        envs.reset()
    assert capfd.readouterr().err == "".join(f"environment {i} failed in close: SystemExit: 0\n" for i in (0, 1))


def probe_quietly():
    return probe_spaces(Counting)


@BOTH
def test_a_close_that_raises_does_not_hide_the_error_before_it(make_vec_env):
    class Twice(Raising):
        def step(self, action):
            raise ValueError("first")

    error = pytest.raises(EnvironmentFailedError, match="failed in step with action 0: ValueError: first")
    with error, make_vec_env([lambda: Twice("close", "runtime")]) as envs:
        envs.reset()
        envs.step([0])


class Witness(Counting):
    """Writes into a file when it is closed."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def close(self):
        with open(self.path, "a") as file:
            file.write("closed\n")


def test_an_environment_that_takes_long_to_make_is_named(monkeypatch, caplog):
    monkeypatch.setattr("multiprocessing_env.SLOW_START", 0.01)

    def make_slow_env():
        wait_until(lambda: caplog.messages)
        return Counting()

    DummyVecEnv([make_slow_env]).close()
    assert caplog.messages == ["environment 0 is still being made after 0.01 s"]


@pytest.mark.parametrize(
    "second,error",
    [
        (functools.partial(Raising, "__init__", "exit"), EnvironmentFailedError),
        (lambda: Counting(shape=(3,)), EnvironmentFailedError),
        (lambda: None, EnvironmentFailedError),
    ],
)
@pytest.mark.parametrize("make_vec_env", [DummyVecEnv, functools.partial(SubprocVecEnv, in_series=2)])
def test_environments_made_before_one_that_cannot_be_made_are_closed(tmp_path, make_vec_env, second, error):
    spaces = {"spaces": probe_quietly()} if make_vec_env is not DummyVecEnv else {}
    with pytest.raises(error, match="environment 1 failed in __init__"):
        make_vec_env([functools.partial(Witness, tmp_path / "log"), second], **spaces)
    assert (tmp_path / "log").read_text() == "closed\n"


def test_only_an_interrupt_passes():
    class Interrupted(Counting):
        def step(self, action):
            raise KeyboardInterrupt

    with DummyVecEnv([Interrupted]) as envs:
        envs.reset()
        with pytest.raises(KeyboardInterrupt):
            envs.step([0])


def test_an_exception_that_cannot_be_printed_is_named():
    class UnprintableError(Exception):
        def __str__(self):
            return 1 / 0

    class Unprintable(Counting):
        def reset(self, **arguments):
            raise UnprintableError

    with pytest.raises(EnvironmentFailedError, match="UnprintableError") as raised:
        DummyVecEnv([Unprintable]).reset()
    assert "cannot be printed" in str(raised.value)


class Spaceless(gymnasium.Env):
    """Has no spaces."""

    def __init__(self, **spaces):
        for name, space in spaces.items():
            setattr(self, name, space)


@BOTH
@pytest.mark.parametrize(
    "spaces,message",
    [
        ({}, "it has no observation_space"),
        ({"observation_space": Box(0, 1, (2,))}, "it has no action_space"),
        ({"observation_space": Box(0, 1, (0,)), "action_space": Discrete(2)}, r"observation space Box.* is empty"),
        ({"observation_space": Box(0, 1, (2,)), "action_space": Box(0, 1, (3, 0))}, r"action space Box.* is empty"),
        ({"observation_space": Discrete(2), "action_space": MultiDiscrete([])}, r"action space Multi.* is empty"),
        ({"observation_space": [4], "action_space": Discrete(2)}, r"observation space \[4\] is not supported"),
    ],
)
def test_spaces_that_are_missing_or_empty_are_named(make_vec_env, spaces, message):
    with pytest.raises(TypeError, match=message):
        make_vec_env([functools.partial(Spaceless, **spaces)])


class Vectorised:
    """Environments that their maker vectorised, of which a method raises ``SystemExit``."""

    num_envs, single_observation_space, single_action_space = 2, Box(0, 1, (1,)), Discrete(2)

    def __init__(self, where):
        self.where = where

    def reset(self, *, seed=None, options=None):
        self._maybe_exit("reset one" if options else "reset")
        return np.zeros((2, 1), np.float32), {}

    def step(self, actions):
        self._maybe_exit("step")
        nothing = np.zeros(2, bool)
        return np.zeros((2, 1), np.float32), np.zeros(2), nothing, nothing, {}

    def close(self):
        self._maybe_exit("close")

    def _maybe_exit(self, where):
        if where == self.where:
            sys.exit(0)


@pytest.mark.parametrize("where", ["reset", "step", "reset one"])
def test_native_environments_may_raise_anything_too(where):
    envs = NativeVecEnv(Vectorised(where), (0,))
    with pytest.raises(EnvironmentFailedError, match=f"the environments failed in {where.split()[0]}: SystemExit: 0"):
        envs.reset()
        envs.step([0, 1])
        envs.reset_one(0)


def test_native_environments_whose_close_raises_are_logged(caplog):
    NativeVecEnv(Vectorised("close"), (0,)).close()
    assert caplog.messages == ["the environments failed in close: SystemExit: 0"]


# --------------------------------------------------------------------------------------------------------- training


@TOPOLOGY
@pytest.mark.parametrize("where", ["__init__", "reset", "step"])
def test_training_on_an_environment_that_exits_is_an_error(tmp_path, raising, topology, where):
    raising(where, "exit")
    with pytest.raises(VecEnvError, match=f"environment 0 failed in {where}.*: SystemExit: 0"):
        train(config_of(topology), str(tmp_path / "run"), progress=False)


@TOPOLOGY
def test_training_on_an_environment_whose_close_raises_is_not_lost(tmp_path, raising, topology, caplog, capfd):
    raising("close", "exit")
    summary = train(config_of(topology), str(tmp_path / "run"), progress=False)
    assert summary["stopped_by"] == "total_steps" and summary["eval_episodes"] == 2
    assert "environment 0 failed in close: SystemExit: 0" in caplog.text + capfd.readouterr().err


@pytest.mark.parametrize("topology", ["serial", "subproc"])
@pytest.mark.parametrize("where", ["__init__", "reset", "step"])
def test_evaluating_on_an_environment_that_exits_is_an_error(tmp_path, raising, topology, where, monkeypatch):
    monkeypatch.setenv("FAULTS", "off")
    raising(where, "exit")
    train(config_of(topology), str(tmp_path / "run"), progress=False)
    monkeypatch.delenv("FAULTS")
    with pytest.raises(EnvironmentFailedError, match=rf"environment 0 failed in {where}.*: SystemExit: 0"):
        evaluate_run(str(tmp_path / "run"), "latest", episodes=2)


class Unrendered(Counting):
    """Claims to render images, and exits."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode=None):
        super().__init__()
        self.render_mode = render_mode

    def render(self):
        sys.exit(0)


gymnasium.register("test/Unrendered-v0", Unrendered)


def test_an_environment_that_exits_when_rendered_is_named(tmp_path, caplog):
    config = config_of("serial", "test/Unrendered-v0")
    with pytest.raises(ConfigError, match="'test/Unrendered-v0' cannot be rendered: SystemExit: 0"):
        make_rendered_env(config, "rgb_array")
    with caplog.at_level("INFO", "paddle_ac"):
        train(config, str(tmp_path / "run"), progress=False)
    assert "no pictures of test/Unrendered-v0: SystemExit: 0" in caplog.messages


def test_an_unknown_environment_to_be_rendered_is_named_once():
    with pytest.raises(ConfigError, match=r"^environment 'nowhere:Maze-v0': No module named 'nowhere'$"):
        make_rendered_env(config_of("serial", "nowhere:Maze-v0"), "rgb_array")


class Exiting(gymnasium.vector.VectorEnv):
    """A vectorised version that exits when it is made."""

    def __init__(self, num_envs, **options):
        sys.exit(0)


gymnasium.register("test/Exiting-v0", Counting, vector_entry_point=Exiting)


def test_a_vectorised_version_that_exits_is_named():
    config = config_of("serial", "test/Exiting-v0").model_copy(update={"vec": "native"})
    with pytest.raises(EnvironmentFailedError, match="the environments failed in __init__: SystemExit: 0"):
        make_training_envs(config)


# ---------------------------------------------------------------------------------------------------- command lines

MODULE = """
    import gymnasium, numpy as np, sys
    from gymnasium.spaces import Box, Discrete

    class Env(gymnasium.Env):
        observation_space, action_space = Box(0, 1, (2,)), Discrete(2)
        def reset(self, *, seed=None, options=None):
            return np.zeros(2, np.float32), {}
        def step(self, action):
            return np.zeros(2, np.float32), 1.0, False, True, {}

    gymnasium.register("Env-v0", Env)
"""
TOOL = [sys.executable, str(ROOT / "tools" / "train.py"), "--no-progress", "--total-steps=40", "--eval-episodes=1"]


def train_on(folder: Path, source: str, *flags: str) -> subprocess.CompletedProcess:
    """``tools/train.py`` on an environment of a module in the current folder."""
    (folder / "mine.py").write_text(textwrap.dedent(source))
    flags = ("--env=mine:Env-v0", "--run-dir=run", *flags)
    return subprocess.run(
        [*TOOL, *flags],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "source,message",
    [
        ("import sys; sys.exit()", "module mine raises SystemExit (*mine.py, line 1)"),
        ("import sys; sys.exit('no licence')", "module mine raises SystemExit: no licence (*mine.py, line 1)"),
        ("\n1 / 0", "module mine raises ZeroDivisionError: division by zero (*mine.py, line 2)"),
        ("def f(:", "module mine raises SyntaxError: invalid syntax (mine.py, line 1)"),
        ("import mujoco_of_mars", "No module named 'mujoco_of_mars'"),
        (MODULE.replace("observation_space, action_space =", "nothing ="), "it has no observation_space"),
        (
            MODULE.replace("Box(0, 1, (2,))", "Box(0, 1, (0,))"),
            "observation space Box([], [], (0,), float32) is empty: *(0,) must be at least 1",
        ),
        (MODULE.replace('"Env-v0", Env', '"Env-v0", "broken:Env"'), "SyntaxError: *"),
    ],
    ids=["exit", "exit with text", "raises", "syntax", "import", "no spaces", "empty", "entry point"],
)
def test_a_module_that_has_no_usable_environment_is_one_line_with_exit_code_2(tmp_path, source, message):
    (tmp_path / "broken.py").write_text("def f(:")
    ended = train_on(tmp_path, source)
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    begin, _, end = message.partition("*")
    assert line.startswith(f"error: environment 'mine:Env-v0': {begin}") and end in line
    assert not (tmp_path / "run").exists()


@TOPOLOGY
def test_an_environment_that_exits_in_its_first_reset_is_exit_code_1(tmp_path, topology):
    source = MODULE.replace("seed=None, options=None):", "seed=None, options=None):\n            sys.exit(0)")
    flags = [
        f"--{name.replace('_', '-')}={value}" for name, value in TOPOLOGIES[topology].items() if value is not False
    ]
    flags += ["--no-restart-workers"] if topology in ("a3c", "async_q") else []
    ended = train_on(tmp_path, source, *flags)
    assert ended.returncode == 1, ended.stderr
    assert "environment 0 failed in reset: SystemExit: 0" in ended.stderr.splitlines()[0]


@TOPOLOGY
def test_an_environment_whose_close_raises_is_exit_code_0_with_a_line(tmp_path, topology):
    source = MODULE.replace("def step", "def close(self):\n            raise OSError('no cable')\n        def step")
    flags = [
        f"--{name.replace('_', '-')}={value}" for name, value in TOPOLOGIES[topology].items() if value is not False
    ]
    ended = train_on(tmp_path, source, *flags)
    assert ended.returncode == 0, ended.stderr
    assert "environment 0 failed in close: OSError: no cable\n" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["stopped_by"] == "total_steps"
