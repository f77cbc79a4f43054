"""Throughput of GA3C: beside A3C with as many workers as cores, over the number of agents.

    python benchmarks/ga3c_throughput.py --env ALE/Pong-v5 --encoder nature

The programs are run in turn, `--rounds` times each, and the ratios are taken within a round, for a machine's speed
drifts. TPS are training steps (updates), PPS predictions (observations) per second. Forward is the time of a forward
pass of the mean prediction batch, alone, on a machine that does nothing else; wait is the time from an agent's request
to its actions. Copies are those of a frame after the agent's write, besides that into the batch; they are counted for
frames of 16 KiB or more. `--picture` draws TPS and PPS over the number of agents.
"""

from __future__ import annotations

import argparse
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from side_by_side import blas_kernel, steps_per_second, tell

from paddle_ac.algorithms.a3c import A3C
from paddle_ac.algorithms.ga3c import GA3C
from paddle_ac.config import make_config
from paddle_ac.cores import usable_cores
from paddle_ac.learning.rollout import Rollout
from paddle_ac.training.plotting import prepare_axes

SMALLEST_FRAME = 16 * 1024  # bytes, of which copies are counted: the Python objects of a gather take 4 to 10 KiB

Figures = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("--encoder", default="auto")
    parser.add_argument("--num-steps", type=int, default=5)
    parser.add_argument("--num-envs", type=int, default=1, help="environments of each agent and of each worker")
    parser.add_argument(
        "--agents", type=numbers, default=[1, 2, 4, 8, 16, 32], metavar="N,N", help="numbers of agents [1,2,4,8,16,32]"
    )
    parser.add_argument("--min-training-batch", type=int, default=0)
    parser.add_argument("--num-predictors", type=int, default=1)
    parser.add_argument("--num-trainers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--picture", metavar="FILE", type=Path, help="where to draw TPS and PPS over the agents")
    arguments = parser.parse_args()
    shared = {name: getattr(arguments, name) for name in ("env", "encoder", "num_steps", "num_envs")}
    own = {name: getattr(arguments, name) for name in ("min_training_batch", "num_predictors", "num_trainers")}
    print(f"BLAS kernel: {blas_kernel()}")
    of_a3c: list[Figures] = []
    needed = -(-arguments.min_training_batch // (2 * arguments.num_steps * arguments.num_envs))
    reason = f"--min-training-batch {arguments.min_training_batch} needs {needed} agents"
    if max(arguments.agents) < needed:
        parser.exit(2, f"error: {reason}: give more --agents or a smaller batch\n")
    if skipped := [number for number in arguments.agents if number < needed]:
        print(f"skipped: {', '.join(map(count_of_agents, skipped))}: {reason}")
    of_agents: dict[int, list[Figures]] = {number: [] for number in arguments.agents if number >= needed}
    for _ in range(arguments.rounds):
        of_a3c.append(measure_a3c(shared, arguments.seconds))
        for number, found in of_agents.items():
            found.append(measure_ga3c({**shared, **own, "num_agents": number}, arguments.seconds))
    tell(f"A3C, {usable_cores()} workers", [figures["steps"] for figures in of_a3c], "steps/s")
    for number, found in of_agents.items():
        tell(f"GA3C, {count_of_agents(number)}", [figures["steps"] for figures in found], "steps/s")
        for name, label in (("steps", "steps/s"), ("tps", "TPS")):
            ratios = [ours[name] / a3c[name] for ours, a3c in zip(found, of_a3c, strict=True)]
            tell(f"GA3C, {count_of_agents(number)} / A3C, {label}", ratios)
    print(
        f"\n{'agents':>6}{'TPS':>9}{'PPS':>9}{'batch':>7}{'lag':>7}{'wait ms':>9}{'forward ms':>12}{'wait/forward':>14}"
    )
    for number, found in of_agents.items():
        tps, pps, batch, lag, wait, forward, ratio = (
            median(figures[name] for figures in found)
            for name in ("tps", "pps", "batch", "lag", "wait", "forward", "ratio")
        )
        print(f"{number:6}{tps:9.1f}{pps:9.1f}{batch:7.1f}{lag:7.2f}{wait:9.3f}{forward:12.3f}{ratio:14.2f}")
    for number, found in of_agents.items():
        if "predicted" in found[0]:
            predicted, trained = (max(figures[name] for figures in found) for name in ("predicted", "trained"))
            copies = f"{predicted:.0f} to a predictor, {trained:.0f} to a trainer"
            print(f"copies of a frame, {count_of_agents(number)}: {copies}")
    if arguments.picture:
        draw(of_agents, arguments.env, arguments.picture)


def numbers(text: str) -> list[int]:
    """Reads a flag's value as whole numbers with commas between them."""
    return [int(part) for part in text.split(",")]


def count_of_agents(number: int) -> str:
    """A number of agents in words."""
    return f"{number} agent" if number == 1 else f"{number} agents"


def measure_a3c(values: dict[str, Any], seconds: float) -> Figures:
    """Steps per second and TPS of A3C with a worker for each core."""
    config = make_config({"algo": "a3c", "total_steps": 10**12, "num_workers": usable_cores(), **values})
    with A3C.from_config(config) as agent:
        speed = steps_per_second(agent, 200, seconds)
        return {"steps": speed, "tps": speed * agent.num_updates / agent.env_steps}


def measure_ga3c(values: dict[str, Any], seconds: float) -> Figures:
    """Steps per second, TPS, PPS, mean prediction batch, policy lag, copies, and times in ms of GA3C."""
    config = make_config({"algo": "ga3c", "total_steps": 10**12, **values})
    with GA3C.from_config(config) as agent:
        while agent.env_steps < 200:
            agent.update()
        found: dict[str, list[float]] = {}
        steps, started = agent.env_steps, time.perf_counter()
        while (passed := time.perf_counter() - started) < seconds or "ga3c/predictions_per_second" not in found:
            for tag, numbers in agent.update().items():
                found.setdefault(tag, []).extend(numbers)
        speed = (agent.env_steps - steps) / passed
        is_shared = frames_are_shared(agent)
        list(agent.finish())
        batch = float(np.mean(found["ga3c/prediction_batch"]))
        wait, forward = float(np.mean(found["ga3c/agent_wait_ms"])), forward_ms(agent, max(round(batch), 1))
        slots = agent.queues.slots
        figures = {
            "steps": speed,
            "tps": float(np.mean(found["ga3c/trainings_per_second"])),
            "pps": float(np.mean(found["ga3c/predictions_per_second"])),
            "batch": batch,
            "lag": float(np.mean(found["diagnostics/policy_lag"])),
            "wait": wait,
            "forward": forward,
            "ratio": wait / forward,
        }
        if slots.observations[0, 0, 0].nbytes >= SMALLEST_FRAME:
            agents, filled = np.arange(slots.num_agents), np.arange(config.rollouts_per_update)
            figures["predicted"] = extra_copies(lambda: [slots.requested(agents)]) + (not is_shared)
            figures["trained"] = extra_copies(lambda: frames_of(slots.gather(filled, False))) + (not is_shared)
        return figures


def frames_are_shared(agent: GA3C) -> bool:
    """Whether every agent writes into the memory that predictors and trainers read."""
    file = os.fstat(agent.queues.slots._shared["observations"]._file.fileno())
    for worker in agent.pool._workers:
        maps = Path(f"/proc/{worker.process.pid}/maps").read_text().splitlines()
        if str(file.st_ino) not in {line.split()[4] for line in maps if " rw-s " in line}:
            return False
    return True


def frames_of(rollout: Rollout) -> list[np.ndarray]:
    """All observations that a trainer needs of a batch; the first array is of those that were acted on."""
    return [rollout.observations, rollout.last_observations, *rollout.truncation_observations]


def extra_copies(gather: Callable[[], list[np.ndarray]]) -> int:
    """Copies of a frame that exist at once while a batch is gathered, besides those that ``gather`` returns.

    NumPy reports its memory to tracemalloc. The first array that is returned has a copy of each frame.
    """
    gather()
    tracemalloc.start()
    gathered = gather()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round((peak - sum(array.nbytes for array in gathered)) / gathered[0].nbytes)


def forward_ms(agent: GA3C, batch_size: int) -> float:
    """Time of a forward pass alone, in ms: the median of 20."""
    slots = agent.queues.slots
    observations = np.resize(slots.observations[0, 0], (batch_size, *slots.observations.shape[3:]))
    state = np.zeros((batch_size, slots.agent_states.shape[2]), np.float32)
    times = []
    for _ in range(21):
        started = time.perf_counter()
        agent.model.network.policy_outputs(observations, state)
        times.append(1000 * (time.perf_counter() - started))
    return median(times[1:])


def draw(of_agents: dict[int, list[Figures]], env: str, path: Path) -> None:
    """TPS and PPS over the number of agents: medians of the rounds, and a band from the lowest to the highest."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xscale="log", yscale="log", xlabel="agents", ylabel="1/s", title=f"GA3C on {env}")
    prepare_axes(axes)
    for name, label, marker in (("pps", "predictions (PPS)", "o"), ("tps", "updates (TPS)", "s")):
        rates = [[figures[name] for figures in found] for found in of_agents.values()]
        (line,) = axes.plot(list(of_agents), [median(values) for values in rates], marker=marker, label=label)
        low, high = zip(*[(min(values), max(values)) for values in rates], strict=True)
        axes.fill_between(list(of_agents), low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set_xticks(list(of_agents), [str(number) for number in of_agents])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.minorticks_off()
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
