"""Look for faults with generated cases: `python benchmarks/faults.py`.

A case is bad input, a damaged file, a failing environment, a signal or a limit.
It passes if the program ends within its deadline with an exit code that the
case allows, prints at most one error line where it rejects the input, leaves
no process and no shared memory behind, and keeps a checkpoint that loads.

Every case is made from the seed, its part and its number alone, so that
--part and --case repeat one of them with its traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import io
import json
import logging
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import psutil
from gymnasium.spaces import Box, Discrete

from multiprocessing_env import DummyVecEnv, SubprocVecEnv, VecEnvError
from paddle_ac.commands import COMMANDS
from paddle_ac.commands.exit_codes import exit_codes
from paddle_ac.config import make_config, read_yaml
from paddle_ac.errors import CheckpointError, ConfigError, NonFiniteError

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 60.0  # that a case in this process may take, on a machine that is busy with others
COMMAND_SECONDS = 240.0  # that a command may take
MAX_LINE = 3000  # characters of an error line

QUICK = {
    "num_envs": 2,
    "hidden_sizes": (8,),
    "log_interval": 100,
    "eval_interval": 400,
    "eval_episodes": 2,
    "checkpoint_interval": 200,
    "total_steps": 600,
}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "a2c": {"vec": "serial", "normalize_observations": True, "normalize_rewards": True},
    "q_ac": {"vec": "serial"},
    "paac": {"vec": "serial", "recurrent": "lstm", "recurrent_size": 4},
    "reinforce": {"vec": "serial", "optimizer": "adam"},
    "td_ac": {"vec": "native", "num_envs": 2},
    "dqn": {"vec": "serial", "learning_starts": 10, "buffer_size": 200, "batch_size": 8, "train_freq": 4},
    "soft_q": {"vec": "serial", "learning_starts": 10, "buffer_size": 200, "batch_size": 8, "train_freq": 4},
    "sac_discrete": {"vec": "serial", "learning_starts": 10, "buffer_size": 200, "batch_size": 8},
    "pgql": {"vec": "serial", "learning_starts": 10, "buffer_size": 200, "batch_size": 8},
    "sac": {"vec": "serial", "env": "Pendulum-v1", "learning_starts": 10, "buffer_size": 200, "batch_size": 8},
    "td3": {"vec": "serial", "env": "Pendulum-v1", "learning_starts": 10, "buffer_size": 200, "batch_size": 8},
    "a3c": {"num_workers": 2, "num_envs": 1},
    "async_q": {"num_workers": 2, "num_envs": 1, "dueling": True},
}


class FaultError(AssertionError):
    """A case that did not end as it must."""


@dataclass
class Bench:
    """What the cases of a part share.

    Attributes:
        folder: for files.
        runs: a finished run folder for each algorithm.
        kept: made by the first case, used by all.
    """

    folder: Path
    runs: dict[str, Path]
    kept: dict[str, Any] = field(default_factory=dict)


Case = Callable[[random.Random, Bench, int], str]


# ------------------------------------------------------------------------------------------------------- the oracles


def rejected_or_taken(function: Callable[[], object]) -> str:
    """Call a function, which may reject its input in one line and raise nothing else."""
    try:
        function()
    except (ConfigError, CheckpointError) as error:
        check_line(str(error))
        return "rejected"
    return "taken"


def check_line(line: str) -> None:
    if not line or len(line) > MAX_LINE or "\n" in line or "\r" in line:
        raise FaultError(f"not one short line: {line[:300]!r} of {len(line):,} characters")


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    def expire(*_: object) -> None:
        raise FaultError(f"not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_command(
    arguments: list[str],
    folder: Path,
    codes: set[int],
    meanwhile: Callable[[subprocess.Popen], None] | None = None,
    environment: dict[str, str] | None = None,
    **options: Any,
) -> tuple[int, str]:
    """Run a tool to its end and check all that is the same for every case.

    Args:
        arguments: the tool and its flags.
        folder: the current folder.
        codes: exit codes that are allowed.
        meanwhile: called once the command has started.
        environment: variables to add.
        options: of ``subprocess.Popen``.

    Returns:
        the exit code and standard error.
    """
    marker = uuid.uuid4().hex
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "FAULT_CASE": marker}
    command = [sys.executable, str(ROOT / "tools" / arguments[0]), *arguments[1:]]
    options = {"stdout": subprocess.PIPE, **options}
    shared_before = shared_memory()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=variables | (environment or {}),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **options,
    )
    try:
        if meanwhile is not None:
            meanwhile(process)
        _, errors = process.communicate(timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        end_all(marker)
        raise FaultError(f"not done after {COMMAND_SECONDS:g} s: {' '.join(arguments)}") from None
    text = errors.decode(errors="replace")
    left = end_all(marker)
    if left:
        raise FaultError(f"left running: {left}")
    if shared_memory() - shared_before:
        raise FaultError(f"left in /dev/shm: {shared_memory() - shared_before}")
    if process.returncode not in codes:
        raise FaultError(f"exit code {process.returncode}, not in {sorted(codes)}: {text[-1500:]}")
    if process.returncode == 2 and (text.count("\n") != 1 or not text.startswith("error: ")):
        raise FaultError(f"not one error line: {text[-1500:]}")
    if process.returncode >= 0 and "Traceback" in text and "error: " not in text and "<frozen site>" not in text:
        raise FaultError(f"a traceback: {text[-1500:]}")
    return process.returncode, text


def end_all(marker: str) -> list[str]:
    """Kill what a command left running, after a moment to end by itself, and return the command lines of it."""
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("FAULT_CASE") == marker and process.status() != psutil.STATUS_ZOMBIE:
                left.append(process)
    _, alive = psutil.wait_procs(left, timeout=15)
    lines = []
    for process in alive:
        with contextlib.suppress(psutil.Error):
            lines.append(" ".join(process.cmdline()))
            process.kill()
    return lines


def shared_memory() -> set[str]:
    return {name for name in os.listdir("/dev/shm") if name.startswith(("paddle_ac", "psm_", "pym-"))}


# --------------------------------------------------------------------------------------------------- bad input, here

YAML_TOKENS = [
    *(
        "!!int ''",
        "!!float x",
        "!!bool no way",
        "!!null ''",
        "!!timestamp x",
        "!!omap [a]",
        "!!set {a}",
        "!!binary '='",
    ),
    *("!!python/object:os.system x", "&a ", "*a", "<<: *a", "? ", ": ", "- ", "[", "]", "{", "}", ",", "|\n ", ">-\n "),
    *("'", '"', '"\\uD800"', '"\\x00"', "%YAML 9.9\n", "%TAG ! tag:x,1:\n", "---\n", "...\n", "#", "@", "`", "!", "!!"),
    *(
        "\t",
        "\x07",
        "\ufeff",
        "\u2028",
        "é",
        "0x",
        "0b_",
        "1:60:60",
        "._",
        "1e400",
        ".nan",
        "-.inf",
        "~",
        "yes",
        "2020-01-01",
    ),
    *("9" * 50, "9" * 5000, "x" * 5000, "[" * 300, "{a: " * 50, "- " * 300, "&a [*a]", "&b [&c [*b]]", "=", "\r\n"),
]
VALUES = [
    *(
        "",
        " ",
        "-1",
        "0",
        "1",
        "0.5",
        "1e6",
        "1e400",
        "nan",
        "inf",
        "-inf",
        "9223372036854775808",
        "9" * 5000,
        "²",
        "٣",
    ),
    *(
        "true",
        "None",
        "a2c",
        "a3c",
        "CartPole-v1",
        "gym:CartPole-v1",
        "no:such",
        ":",
        "a:b:c",
        "x" * 5000,
        "[1,2]",
        "1,2",
    ),
    *(
        "{}",
        "..",
        ".",
        "/",
        "/dev/null",
        "/dev/full",
        "nowhere/x",
        "run",
        "run/config.yaml",
        "text",
        "\ud800",
        "é\n",
        "--",
    ),
    *("-", "a\x1b[31m", "64,64", "64,-1", ",", "1" + ",1" * 300, "best", "latest", "a.png", "a.gif", "nowhere/a.png"),
]


def fuzzed_yaml(rng: random.Random, bench: Bench, number: int) -> str:
    texts = bench.kept.setdefault(
        "texts", [path.read_text(encoding="utf-8") for path in sorted((ROOT / "configs").glob("*.yaml"))]
    )
    content = rng.choice(texts)
    for _ in range(rng.choice((1, 1, 2, 3, 10))):
        lines = content.splitlines(keepends=True) or [""]
        place = rng.randrange(len(lines))
        kind = rng.randrange(6)
        if kind == 0:
            lines[place] = rng.choice(YAML_TOKENS)
        elif kind == 1:
            column = rng.randrange(len(lines[place]) + 1)
            lines[place] = lines[place][:column] + rng.choice(YAML_TOKENS) + lines[place][column:]
        elif kind == 2:
            name, _, _ = lines[place].partition(":")
            lines[place] = f"{name}: {rng.choice(YAML_TOKENS + VALUES)}\n"
        elif kind == 3:
            lines.insert(place, rng.choice(lines))
        elif kind == 4:
            del lines[place]
        else:
            lines = lines[: place + 1]
        content = "".join(lines)
    data = bytearray(content.encode("utf-8", "surrogatepass"))
    if rng.random() < 0.2 and data:
        for _ in range(rng.randrange(1, 5)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    path = bench.folder / "fuzzed.yaml"
    path.write_bytes(data)
    return rejected_or_taken(lambda: make_config({"algo": "a2c", **read_yaml(path)}))


def fuzzed_command_line(rng: random.Random, bench: Bench, number: int) -> str:
    if "tools" not in bench.kept:
        bench.kept["tools"] = {name: importlib.import_module(f"paddle_ac.commands.{name}") for name in COMMANDS}
        here = bench.folder / "here"
        shutil.copytree(bench.runs["a2c"], here / "run")
        (here / "text").write_text("a text\n")
        bench.kept["flags"] = {name: flags_of(tool) for name, tool in bench.kept["tools"].items()}
    name = rng.choice(list(bench.kept["tools"]))
    flags, arguments = bench.kept["flags"][name], []
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        flag, value = rng.choice(flags), rng.choice(VALUES)
        if rng.random() < 0.1:
            flag = mutate_text(rng, flag)
        kind = rng.random()
        arguments += (
            [f"{flag}={value}"] if kind < 0.45 else [flag, value] if kind < 0.9 else [flag, *[value] * (kind < 0.95)]
        )
    tool = bench.kept["tools"][name]

    def parse() -> None:
        parsed = tool._parse(arguments)
        if name == "train" and parsed["resume"] is None:
            known = {key: value for key, value in parsed.items() if key in CONFIG_NAMES}
            values = read_yaml(parsed["config"]) if parsed["config"] else {}
            make_config({"algo": "a2c", **values, **known})

    errors = io.StringIO()
    with (
        contextlib.chdir(bench.folder / "here"),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(errors),
    ):
        try:
            with exit_codes():
                parse()
        except SystemExit as ended:
            if ended.code not in (0, 2):
                raise FaultError(f"exit code {ended.code} of {arguments}: {errors.getvalue()}") from None
            if ended.code == 0:
                return "help"
            check_line(errors.getvalue().removesuffix("\n"))
            return "rejected"
    return "taken"


CONFIG_NAMES = {name for algo in ALGORITHMS for name in type(make_config({"algo": algo})).model_fields}


def flags_of(tool: Any) -> list[str]:
    """The flags in a tool's help."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        tool._parse(["--help"])
    words = (word.strip("[],|") for word in output.getvalue().split())
    return sorted({word for word in words if word.startswith("--") and len(word) > 2})


def mutate_text(rng: random.Random, text: str) -> str:
    place = rng.randrange(len(text) + 1)
    return rng.choice(
        (text[:place], text[place:], text[:place] + rng.choice("-=_xé \0"[:6]) + text[place:], text.upper())
    )


# ------------------------------------------------------------------------------------------------------ damaged files


def damage_bytes(rng: random.Random, content: bytes, other: bytes = b"") -> bytes:
    """A file that was cut off, overwritten, mixed with another, or has bits flipped."""
    data, kind = bytearray(content), rng.randrange(8)
    place = rng.randrange(len(data) or 1)
    length = rng.choice((1, 8, 100, 5000))
    if kind == 0:
        return bytes(data[:place])
    if kind == 1:
        for _ in range(rng.choice((1, 1, 3, 20))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        data[place : place + length] = bytes(length)
    elif kind == 3:
        data[place : place + length] = rng.randbytes(length)
    elif kind == 4:
        data[place:place] = rng.randbytes(length)
    elif kind == 5:
        del data[place : place + length]
    elif kind == 6:
        data[place:] = other[place:] or b"\n" * 9
    else:
        data[:16] = rng.randbytes(16)
    return bytes(data)


PLAIN = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**30,
    0.5,
    -0.0,
    math.nan,
    math.inf,
    -math.inf,
    "",
    "a2c",
    "x" * 999,
]


def random_plain(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.random()
    if depth < 3 and kind < 0.15:
        return [random_plain(rng, depth + 1) for _ in range(rng.randrange(4))]
    if depth < 3 and kind < 0.3:
        return {rng.choice(("a", "w", "mean", "0", "")): random_plain(rng, depth + 1) for _ in range(rng.randrange(4))}
    return copy.copy(rng.choice(PLAIN))


def damage_state(rng: random.Random, state: dict[str, Any], arrays: bool = True) -> None:
    """Change one value of a nested state in place, for an array perhaps."""
    places: list[tuple[Any, Any, bool]] = []

    def collect(value: Any, arrays: bool) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in list(items)[:50]:
            places.append((value, key, arrays))
            collect(inner, arrays and isinstance(value, dict))

    collect(state, arrays)
    owner, key, arrays = rng.choice(places)  # a checkpoint holds no arrays in lists
    value, kind = owner[key], rng.randrange(5)
    if kind == 0 and isinstance(owner, dict):
        del owner[key]
    elif kind == 1 and isinstance(owner, dict):
        owner[rng.choice(("more", "", "0", "env_steps"))] = owner.pop(key)
    elif kind == 2 and isinstance(value, np.ndarray):
        owner[key] = damage_array(rng, value)
    elif kind == 3 and isinstance(owner, dict):
        owner[rng.choice(("more", "mean", "99"))] = random_plain(rng)
    elif kind == 4 and arrays and isinstance(owner, dict):
        owner[key] = rng.choice((np.zeros(3), np.zeros((2, 2), np.int8)))
    else:
        owner[key] = random_plain(rng)


def damage_array(rng: random.Random, array: np.ndarray) -> np.ndarray:
    kind = rng.randrange(7)
    if kind == 0:
        return array.astype(rng.choice((np.float64, np.float16, np.int64, np.uint8, np.bool_)))
    if kind == 1:
        return array[..., None]
    if kind == 2:
        return array.ravel()[: array.size // 2]
    if kind == 3:
        return np.zeros((0, *array.shape[1:]), array.dtype)
    if kind == 4:
        return np.concatenate([np.atleast_1d(array)] * 2)
    changed = array.copy()
    if changed.size and changed.dtype.kind == "f":
        changed.flat[rng.randrange(changed.size)] = rng.choice((math.nan, math.inf, -1e30))
    elif changed.size and changed.dtype.kind in "iu":
        changed.flat[rng.randrange(changed.size)] = rng.choice(
            (0, np.iinfo(changed.dtype).max, np.iinfo(changed.dtype).min)
        )
    return changed


def damaged_checkpoint(rng: random.Random, bench: Bench, number: int) -> str:
    from paddle_ac.checkpoint import load_best_model, load_checkpoint, load_run_state, save_checkpoint
    from paddle_ac.training.run_folder import RunFolder

    algo = rng.choice(list(bench.runs))
    folder = RunFolder(bench.runs[algo])
    source, load = rng.choice(((folder.latest, load_run_state), (folder.best, load_best_model)))
    path = bench.folder / "damaged.safetensors"
    if rng.random() < 0.5:
        other = RunFolder(bench.runs[rng.choice(list(bench.runs))]).best
        path.write_bytes(damage_bytes(rng, source.read_bytes(), other.read_bytes()))
    else:
        state = load_checkpoint(source)
        for _ in range(rng.choice((1, 1, 2, 5))):
            damage_state(rng, state)
        save_checkpoint(path, state)
    return rejected_or_taken(lambda: load(path, algo))


def damaged_algorithm(rng: random.Random, bench: Bench, number: int) -> str:
    """A right checksum over a state that the algorithm must reject or be able to learn from."""
    from paddle_ac.checkpoint import load_run_state, save_checkpoint
    from paddle_ac.registry import ALGORITHMS as CLASSES
    from paddle_ac.training.run_folder import RunFolder
    from paddle_ac.training.train import restore

    algo = rng.choice(list(bench.runs))
    folder = RunFolder(bench.runs[algo])
    if algo not in bench.kept:
        algorithm = CLASSES[algo].from_config(folder.read_config())
        bench.kept[algo] = algorithm, load_run_state(folder.latest, algo)
        bench.kept.setdefault("close", []).append(algorithm.close)
    algorithm, good = bench.kept[algo]
    algorithm.load_state_dict(copy.deepcopy(good["algorithm"]))
    state = copy.deepcopy(good)
    for _ in range(rng.choice((1, 1, 2))):
        damage_state(rng, state["algorithm"])
    path = bench.folder / "damaged.safetensors"
    save_checkpoint(path, state)
    try:
        restore(algorithm, load_run_state(path, algo)["algorithm"], path)
    except CheckpointError as error:
        check_line(str(error))
        return "rejected"
    except VecEnvError:  # an environment does not take the actions that are replayed
        algorithm.envs.reset()
        return "failed by name"
    if algo not in ("a3c", "async_q") and number % 5 == 0:
        with contextlib.suppress(NonFiniteError, VecEnvError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            algorithm.update()
    return "taken"


def damaged_summary(rng: random.Random, bench: Bench, number: int) -> str:
    from paddle_ac.training.run_folder import RunFolder

    source = RunFolder(bench.runs[rng.choice(list(bench.runs))])
    folder = RunFolder(bench.folder)
    if rng.random() < 0.5:
        content = damage_bytes(rng, source.summary.read_bytes())
    else:
        summary = json.loads(source.summary.read_bytes())
        for _ in range(rng.choice((1, 2, 5))):
            damage_state(rng, summary, arrays=False)
        nested = rng.choice((b"[", b'{"a": ', b"9")) * rng.choice((10, 100_000))
        content = nested if rng.random() < 0.05 else json.dumps(summary).encode()
    folder.summary.write_bytes(content)
    outcome = rejected_or_taken(folder.read_summary)
    folder.is_over(source.read_config())
    return outcome


def damaged_table(rng: random.Random, bench: Bench, number: int) -> str:
    from paddle_ac.training.logger import read_progress

    source = (bench.runs[rng.choice(list(bench.runs))] / "progress.csv").read_bytes()
    path = bench.folder / "progress.csv"
    content = damage_bytes(rng, source, source[::-1])
    path.write_bytes(content)
    length = rng.choice((None, len(content), rng.randrange(len(content) + 1)))
    return rejected_or_taken(lambda: read_progress(path, length))


def damaged_log(rng: random.Random, bench: Bench, number: int) -> str:
    from paddle_ac.training.dashboard import _RecordReader

    source = (bench.runs[rng.choice(list(bench.runs))] / "vdlrecords.run.log").read_bytes()
    path = bench.folder / "vdlrecords.run.log"
    path.write_bytes(damage_bytes(rng, source, source[::-1]))
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        _RecordReader(str(path)).get_remain()
    if errors.getvalue():
        check_line(errors.getvalue().removesuffix("\n"))
        return "rejected"
    return "taken"


# --------------------------------------------------------------------------------------------------- bad environments


class FaultyEnv(gymnasium.Env):
    """Fails in one of its calls.

    Args:
        place: ``"__init__"``, ``"reset"``, ``"step"``, ``"close"`` or ``"spaces"``.
        kind: how, as in ``KINDS``.
        at_call: the call of ``place`` that fails.
    """

    RAISED = (
        "error",
        "no args",
        "exit",
        "exit with a text",
        "interrupt",
        "base",
        "memory",
        "long text",
        "not text",
    )
    FATAL = (*RAISED, "killed", "gone", "none", "shape", "dtype", "text", "few results")
    KINDS = (*FATAL, "nan", "reward", "done", "info", "info object", "huge")

    def __init__(self, place: str = "", kind: str = "", at_call: int = 1):
        self.place, self.kind, self.calls_left = place, kind, at_call
        self.observation_space = Box(-1, 1, (3,), np.float32)
        self.action_space = Discrete(2)
        self.steps = 0
        self._call("__init__")

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._change("reset", (np.zeros(3, np.float32), {}))

    def step(self, action: Any) -> Any:
        self.steps += 1
        return self._change("step", (np.zeros(3, np.float32), 1.0, False, self.steps == 7, {}))

    def close(self) -> None:
        self._call("close")

    def _is_due(self, place: str) -> bool:
        self.calls_left -= place == self.place
        return place == self.place and self.calls_left == 0

    def _call(self, place: str) -> None:
        if self._is_due(place):
            self._fail()

    def _fail(self) -> None:
        raised = {
            "error": RuntimeError("the wheel came off"),
            "no args": ValueError(),
            "exit": SystemExit(0),
            "exit with a text": SystemExit("no licence"),
            "interrupt": KeyboardInterrupt(),
            "base": BaseException("panic"),
            "memory": MemoryError(),
            "long text": RuntimeError("x\n" * 50_000),
            "not text": RuntimeError(b"\xff", object()),
        }
        if self.kind in raised:
            raise raised[self.kind]
        if self.kind == "killed" and os.environ.get("FAULT_PARENT") != str(os.getpid()):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "gone" and os.environ.get("FAULT_PARENT") != str(os.getpid()):
            os._exit(3)

    def _change(self, place: str, result: tuple) -> Any:
        if not self._is_due(place):
            return result
        self._fail()
        observation, *rest = result
        changed: dict[str, Any] = {
            "none": None,
            "shape": (np.zeros(5, np.float32), *rest),
            "dtype": (np.full(3, "a"), *rest),
            "text": ("observation", *rest),
            "nan": (np.full(3, np.nan, np.float32), *rest),
            "few results": (observation,),
            "huge": (np.full(3, 1e300), *rest),
            "info": (observation, *rest[:-1], None),
            "info object": (observation, *rest[:-1], {"lock": (lambda: iter(()))}),
        }
        if place == "step":
            changed["reward"] = (observation, "many", *rest[1:])
            changed["done"] = (observation, rest[0], "maybe", *rest[2:])
        return changed.get(self.kind, result)


gymnasium.register("Faulty-v0", entry_point=FaultyEnv)
PLACES = ("__init__", "reset", "step", "close")


def failing_environment(rng: random.Random, bench: Bench, number: int) -> str:
    """Environments side by side in this process or in workers, of which one fails."""
    place, kind = PLACES[number % len(PLACES)], FaultyEnv.KINDS[number // len(PLACES) % len(FaultyEnv.KINDS)]
    topology = ("serial", "workers")[number // (len(PLACES) * len(FaultyEnv.KINDS)) % 2]
    at_call, culprit = rng.choice((1, 1, 2, 3)), rng.randrange(3)
    os.environ["FAULT_PARENT"] = str(os.getpid())
    fns = [
        lambda index=index: FaultyEnv(place if index == culprit else "", kind, at_call)  # type: ignore[misc]
        for index in range(3)
    ]
    children, shared = {child.pid for child in psutil.Process().children(True)}, shared_memory()
    outcome, told = "completed", ""
    try:
        envs = (
            DummyVecEnv(fns)
            if topology == "serial"
            else SubprocVecEnv(fns, step_timeout=30, start_timeout=60, close_timeout=10, context="forkserver")
        )
        try:
            envs.reset()
            for _ in range(12):
                envs.step(np.zeros(3, np.int64))
        finally:
            envs.close()
    except VecEnvError as error:
        if not str(error):
            raise FaultError("an error without a text") from None
        outcome, told = "named", str(error)
    except KeyboardInterrupt:
        if kind != "interrupt":
            raise
        outcome = "interrupted"
    is_due = is_fault_due(place, kind, at_call, topology)
    if outcome != "completed" and not is_due:
        raise FaultError(f"{outcome} without a fault: {told}")
    if outcome == "completed" and is_due and kind in FaultyEnv.FATAL and place != "close":
        raise FaultError("completed in spite of a fault")
    helpers = ("resource_tracker", "forkserver")
    left = [
        child
        for child in psutil.Process().children(True)
        if child.pid not in children and not any(helper in " ".join(child.cmdline()) for helper in helpers)
    ]
    _, alive = psutil.wait_procs(left, timeout=15)
    if alive:
        raise FaultError(f"left running: {alive}")
    if shared_memory() - shared:
        raise FaultError("left shared memory")
    return f"{topology}: {outcome}"


# ------------------------------------------------------------------------------------------------------- whole commands


def train_flags(run_dir: str, **changes: Any) -> list[str]:
    values = {**QUICK, "hidden_sizes": "8", **changes}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
    return ["train.py", f"--run-dir={run_dir}", "--no-progress", *flags]


def check_run(folder: Path, algo: str) -> None:
    """The last checkpoint of a run is whole, if there is one, and no temporary file is left."""
    from paddle_ac.checkpoint import load_best_model, load_run_state
    from paddle_ac.training.run_folder import RunFolder

    run = RunFolder(folder)
    if run.latest.is_file():
        load_run_state(run.latest, algo)
    if run.best.is_file():
        load_best_model(run.best, algo)
    if run.config.is_file():
        run.read_config()


def failing_training(rng: random.Random, bench: Bench, number: int) -> str:
    """A training whose environment fails in one of its calls, in every topology."""
    kind, place = FaultyEnv.KINDS[number % len(FaultyEnv.KINDS)], rng.choice(PLACES)
    topology = rng.choice((["--vec=serial"], ["--vec=subproc"], ["--algo=a3c"]))
    folder = new_folder(bench)
    (folder / "faulty.py").write_text("import benchmarks.faults\n")
    text = json.dumps({"place": place, "kind": kind, "at_call": rng.choice((1, 2, 30))})
    (folder / "config.yaml").write_text(f"env: faulty:Faulty-v0\nenv_kwargs: {text}\n")
    flags = train_flags("run", **{name: value for name, value in QUICK.items() if name != "hidden_sizes"})
    arguments = [*flags, "--config=config.yaml", *topology]
    code, _ = run_command(arguments, folder, {0, 1, 2, 130, -9, 3} if kind in ("killed", "gone") else {0, 1, 2, 130})
    check_run(folder / "run", "a3c" if "--algo=a3c" in topology else "a2c")
    shutil.rmtree(folder)
    return f"exit {code}"


def stopped_command(rng: random.Random, bench: Bench, number: int) -> str:
    """A signal at a random moment from the first instruction to the last, and a second one perhaps."""
    number_sent = rng.choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    folder = new_folder(bench)
    algo = rng.choice(("a2c", "a3c", "sac", "reinforce"))
    env = "Pendulum-v1" if algo == "sac" else "CartPole-v1"
    topology = {"vec": rng.choice(("serial", "subproc"))} if algo != "a3c" else {}
    more = rng.choice(([], [], ["--seeds=0,1"]))
    moment = rng.choice((rng.uniform(0, 0.3), rng.uniform(0, 3), rng.uniform(0, 12)))
    again = rng.choice((None, None, rng.uniform(0, 0.5)))
    to_group = rng.random() < 0.3
    codes = {0, 128 + number_sent}
    early = []

    def send(process: subprocess.Popen) -> None:
        if process.poll() is None:
            (os.killpg if to_group else os.kill)(process.pid, number_sent)

    def meanwhile(process: subprocess.Popen) -> None:
        time.sleep(moment)
        if process.poll() is None and not handles_signals(process.pid):
            # Python itself answers: it dies, with a traceback perhaps, or fails in the import of a module of its own.
            early.append(True)
            codes.update({1, -number_sent})
        send(process)
        if again is not None:
            time.sleep(again)
            send(process)

    arguments = [*train_flags("run", env=env, total_steps=3000, **topology), f"--algo={algo}", *more]
    code, errors = run_command(arguments, folder, codes, meanwhile)
    if code == 1 and "<frozen site>" not in errors:
        raise FaultError(f"exit code 1: {errors[-1500:]}")
    if errors and not early:
        raise FaultError(f"exit code {code} with an error: {errors[-1500:]}")
    for run in ("run", "run/seed-0", "run/seed-1"):
        check_run(folder / run, algo)
    shutil.rmtree(folder)
    return f"exit {code}"


def handles_signals(pid: int) -> bool:
    """Whether a tool has run its first line, which installs the handler of SIGHUP last, or has ended all but in name.

    /proc shows the signals that a process catches, ignores and blocks, as bits.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    masks = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigCgt:", "SigIgn:"))]
    return any(mask & 1 << signal.SIGHUP - 1 for mask in masks)


def damaged_run(rng: random.Random, bench: Bench, number: int) -> str:
    """A tool that reads a run of which one file is damaged, missing, a folder or of another run."""
    algo = rng.choice(list(bench.runs))
    folder = new_folder(bench)
    shutil.copytree(bench.runs[algo], folder / "run")
    files = sorted(path for path in (folder / "run").rglob("*") if path.is_file())
    path, kind = rng.choice(files), rng.randrange(4)
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.unlink()
        path.mkdir()
    elif kind == 2:
        other = bench.runs[rng.choice(list(bench.runs))] / path.relative_to(folder / "run")
        path.write_bytes(other.read_bytes() if other.is_file() else b"")
    else:
        path.write_bytes(damage_bytes(rng, path.read_bytes(), path.read_bytes()[::-1]))
    tool = rng.choice(
        (
            ["train.py", "--resume=run", "--total-steps=900", "--no-progress"],
            ["evaluate.py", "--run-dir=run", "--episodes=1"],
            ["evaluate.py", "--run-dir=run", "--episodes=1", "--checkpoint=latest"],
            ["export.py", "--run-dir=run", "--format=pdparams"],
            ["plot.py", "run"],
        )
    )
    code, _ = run_command(tool, folder, {0, 1, 2} if kind == 1 else {0, 2})
    shutil.rmtree(folder)
    return f"exit {code}"


def limited_command(rng: random.Random, bench: Bench, number: int) -> str:
    """A training that lacks memory, room on the disk, a home, an output or the right to write."""
    folder = new_folder(bench)
    arguments = [*train_flags("run"), *rng.choice(([], ["--vec=subproc"], ["--algo=a3c"]))]
    kind = number % 7
    options: dict[str, Any] = {}
    environment: dict[str, str] = {}
    codes = {0}
    if kind == 0:
        limit = rng.choice((300, 600, 1000, 1500, 2500)) * 2**20
        options["preexec_fn"] = lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        codes = {0, 1, 2, -6, -11, 134, 139}  # libraries that are out of memory in their import abort
    elif kind == 1:
        size = rng.choice((0, 100, 5000, 20_000, 100_000))
        options["preexec_fn"] = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        codes = {0, 1, 2}
    elif kind == 2:
        environment["HOME"] = rng.choice(("/nowhere", "/proc", "/dev/null", ""))
    elif kind == 3:
        with open("/dev/full", "wb") as full:
            code, _ = run_command(arguments, folder, {1}, stdout=full)
        return f"full: exit {code}"
    elif kind == 4:
        environment["PYTHONIOENCODING"] = rng.choice(("ascii", "gbk", "utf-16", "latin-1"))
    elif kind == 5:
        flag = rng.choice(("--num-steps=1000000000000", "--num-envs=100000000", "--hidden-sizes=65536,65536"))
        arguments, codes = [*arguments, flag], {1, 2}
    else:
        flags = ["--algo=sac", "--env=Pendulum-v1", f"--buffer-size={rng.choice((10**12, 2**62))}"]
        arguments, codes = [*train_flags("run"), *flags], {1, 2}
    code, _ = run_command(arguments, folder, codes, environment=environment, **options)
    if kind != 1:
        check_run(folder / "run", "a3c" if "--algo=a3c" in arguments else "sac" if "--algo=sac" in arguments else "a2c")
    shutil.rmtree(folder)
    names = ("memory", "file size", "home", "full", "encoding", "allocation", "replay buffer")
    return f"{names[kind]}: exit {code}"


def is_fault_due(place: str, kind: str, at_call: int, topology: str) -> bool:
    """Whether the environment does anything wrong in a reset and 12 steps, with an episode's end at the 7th."""
    if at_call > {"__init__": 1, "reset": 2, "step": 12, "close": 1}[place]:
        return False
    if kind in ("killed", "gone"):
        return topology == "workers"
    if kind in FaultyEnv.RAISED:
        return True
    return place == "step" or (place == "reset" and kind not in ("reward", "done"))


def new_folder(bench: Bench) -> Path:
    return Path(tempfile.mkdtemp(dir=bench.folder))


# --------------------------------------------------------------------------------------------------------- the campaign


@dataclass(frozen=True)
class Part:
    """Cases of one kind.

    Attributes:
        run: one case.
        num_cases: of the long form.
        in_commands: whether a case runs a command: these run side by side, without a deadline of this process.
    """

    run: Case
    num_cases: int
    in_commands: bool = False


PARTS = {
    "yaml": Part(fuzzed_yaml, 2500),
    "command lines": Part(fuzzed_command_line, 2500),
    "checkpoints": Part(damaged_checkpoint, 2000),
    "algorithms": Part(damaged_algorithm, 1500),
    "summaries": Part(damaged_summary, 700),
    "tables": Part(damaged_table, 700),
    "logs": Part(damaged_log, 500),
    "environments": Part(failing_environment, 176),
    "trainings": Part(failing_training, 44, in_commands=True),
    "signals": Part(stopped_command, 60, in_commands=True),
    "runs": Part(damaged_run, 60, in_commands=True),
    "limits": Part(limited_command, 28, in_commands=True),
}


@dataclass(frozen=True)
class Failure:
    """A case that did not pass."""

    part: str
    number: int
    told: str


def run_part(name: str, numbers: list[int], seed: int, bench: Bench, jobs: int) -> tuple[Counter[str], list[Failure]]:
    """Run cases of a part; returns how many ended in which way, and the failures."""
    part = PARTS[name]

    def run_one(number: int) -> str | Failure:
        rng = random.Random(f"{seed} {name} {number}")
        try:
            with contextlib.nullcontext() if part.in_commands else deadline(SECONDS):
                return part.run(rng, bench, number)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and name != "environments":
                raise
            told = f"{type(error).__name__}: {error}" if isinstance(error, FaultError) else traceback.format_exc()
            return Failure(name, number, told)

    if part.in_commands:
        with ThreadPoolExecutor(jobs) as pool:
            results = list(pool.map(run_one, numbers))
    else:
        results = [run_one(number) for number in numbers]
    for close in bench.kept.get("close", []):
        close()
    failures = [result for result in results if isinstance(result, Failure)]
    return Counter(result for result in results if isinstance(result, str)), failures


def make_runs(folder: Path, algorithms: list[str]) -> dict[str, Path]:
    """A short finished run of each algorithm."""
    from paddle_ac.training.runs import train

    for algo in algorithms:
        train(make_config({**QUICK, "algo": algo, **ALGORITHMS[algo]}), str(folder / algo), progress=False)
    return {algo: folder / algo for algo in algorithms}


def run_campaign(
    seed: int, sizes: dict[str, int], algorithms: list[str], jobs: int = 2, first: int = 0
) -> tuple[dict[str, Counter[str]], list[Failure]]:
    """Run the first cases of some parts.

    Args:
        seed: of all cases.
        sizes: how many cases of each part.
        algorithms: whose runs are damaged.
        jobs: commands at a time.
        first: number of the first case.

    Returns:
        by part, how many cases ended in which way; and the failures.
    """
    counts, failures = {}, []
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        runs = make_runs(Path(temporary) / "made", algorithms)
        for name, num_cases in sizes.items():
            folder = Path(temporary) / name.replace(" ", "-")
            folder.mkdir()
            numbers = list(range(first, first + num_cases))
            counts[name], failed = run_part(name, numbers, seed, Bench(folder, runs), jobs)
            failures += failed
    return counts, failures


def report(counts: dict[str, Counter[str]], failures: list[Failure], seconds: float) -> str:
    """A Markdown table of the cases by part, and how to repeat each failure."""
    lines = ["| part | cases | failed | how the others ended |", "|---|---|---|---|"]
    for name, outcomes in counts.items():
        failed = sum(failure.part == name for failure in failures)
        told = ", ".join(f"{outcome} {count:,}" for outcome, count in sorted(outcomes.items()))
        lines.append(f"| {name} | {outcomes.total() + failed:,} | {failed} | {told} |")
    total = sum(outcomes.total() for outcomes in counts.values()) + len(failures)
    lines.append(f"| all | {total:,} | {len(failures)} | in {seconds / 60:.0f} minutes |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of all cases [0]")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; may be given several times")
    parser.add_argument("--case", type=int, help="only the case of this number")
    parser.add_argument("--scale", type=float, default=1.0, help="times the cases of each part [1]")
    parser.add_argument("--jobs", type=int, default=2, help="commands at a time [2]")
    flags = parser.parse_args(arguments)
    for name in ("paddle_ac", "multiprocessing_env"):  # what cases warn of is expected
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for number in (signal.SIGINT, signal.SIGHUP):  # commands would inherit that they are ignored, as under nohup
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    started = time.monotonic()
    names = flags.part or list(PARTS)
    sizes = {name: 1 if flags.case is not None else math.ceil(PARTS[name].num_cases * flags.scale) for name in names}
    counts, failures = run_campaign(flags.seed, sizes, list(ALGORITHMS), flags.jobs, flags.case or 0)
    for failure in failures:
        print(f"--- --seed {flags.seed} --part {failure.part!r} --case {failure.number}: {failure.told}\n", flush=True)
    print(report(counts, failures, time.monotonic() - started))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
