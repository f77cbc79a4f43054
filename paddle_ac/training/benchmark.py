"""Speed of a configuration on this machine, part by part and as a whole, and the ratio of the whole to its bound."""

from __future__ import annotations

import platform
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import paddle

from paddle_ac.algorithms.algorithm import Algorithm
from paddle_ac.config import RunConfig
from paddle_ac.cores import usable_cores
from paddle_ac.envs.make import resolve_vec
from paddle_ac.errors import ConfigError
from paddle_ac.registry import ALGORITHMS

WARM_UP_SECONDS = 0.3


def benchmark(config: RunConfig, rounds: int = 5, seconds: float = 1.0) -> dict[str, Any]:
    """Time the parts of an update alone, and whole updates, in turn.

    Args:
        config: hyper-parameters; ``total_steps`` is ignored.
        rounds: how often each is timed; figures are ``[minimum, median, maximum]`` over them.
        seconds: for each in a round.

    Returns:
        ``phases``, of each its ``steps_per_second`` alone, and its ``share`` of the time of a whole step (what is left
        is keeping the rollout and the books); ``bound``, the steps per second that the phases allow, one after the
        other in each of ``processes`` processes, which learn side by side on a core each; ``whole``, those of whole
        updates; ``whole_to_bound``, their ratio, taken within a round; ``config``, ``machine`` and ``versions``.

    Raises:
        ConfigError: as ``train``.
    """
    # A schedule that covers all steps, and learning from the first step on.
    timed = {"lr_schedule": "constant", "learning_starts": 0}
    changes = {name: value for name, value in timed.items() if hasattr(config, name)}
    if config.cluster_address is not None:
        raise ConfigError("--cluster: what is timed here is this machine; benchmarks/cluster.py measures clusters")
    config = resolve_vec(config).model_copy(update={"total_steps": 10**15, **changes})
    algorithm, rates = ALGORITHMS[config.algo], defaultdict(list)
    with closing(algorithm.from_config(config)) as parts:
        phases = parts.phases()
        for _ in range(rounds):
            for name, do_once in phases.items():
                rates[name].append(_rate(do_once, seconds))
            # A new one each time: an asynchronous algorithm would learn on while the parts are timed.
            with closing(algorithm.from_config(config)) as agent:
                rates["whole"].append(_rate(_update(agent), seconds))
    processes = min(parts.num_learners, usable_cores())
    wholes = rates["whole"]
    bounds = [processes / sum(1 / rates[name][index] for name in phases) for index in range(rounds)]
    return {
        "phases": {
            name: {
                "steps_per_second": _spread(rates[name]),
                "share": _spread([whole / (rate * processes) for whole, rate in zip(wholes, rates[name], strict=True)]),
            }
            for name in phases
        },
        "bound": _spread(bounds),
        "whole": _spread(wholes),
        "whole_to_bound": _spread([whole / bound for whole, bound in zip(wholes, bounds, strict=True)]),
        "processes": processes,
        "config": config.model_dump(mode="json", exclude={"total_steps"}),
        "machine": {"processor": _processor(), "cores": usable_cores(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), "paddle": paddle.__version__, "numpy": np.__version__},
    }


def _update(agent: Algorithm) -> Callable[[], int]:
    def update() -> int:
        before = agent.env_steps
        agent.update()
        return agent.env_steps - before

    return update


def _rate(do_once: Callable[[], int], seconds: float) -> float:
    """Steps of single environments per second, once it is warm: memory is there, workers play."""
    started = time.perf_counter()
    while not do_once() or time.perf_counter() - started < WARM_UP_SECONDS:
        pass
    steps, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        steps += do_once()
    return steps / passed


def _spread(values: list[float]) -> list[float]:
    return [min(values), median(values), max(values)]


def _processor() -> str:
    """Name of the processor, as far as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
