"""What more environments and more workers bring and cost: `python benchmarks/scaling.py --picture build/scaling.png`.

CartPole-v1, otherwise as in configs/a2c_baselines.yaml and configs/a3c_cartpole.yaml. Each point is measured in a
process of its own: steps of single environments per second, and the memory of that process and its workers together
(proportional set size, so that what they share is counted once). The points are visited in turn, `--rounds` times;
medians are printed and plotted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

CONFIGS = Path(__file__).parent.parent / "configs"
KINDS = {  # title: configuration, changes to it, the hyper-parameter that grows, and its values
    "A2C, environments one by one": ("a2c_baselines", {"vec": "serial"}, "num_envs", (1, 8, 64, 256, 1024)),
    "A2C, vectorised environments": ("a2c_baselines", {"vec": "native"}, "num_envs", (1, 8, 64, 256, 1024)),
    "A2C, 8 environments in workers": ("a2c_baselines", {"vec": "subproc"}, "num_workers", (1, 2, 4, 8)),
    "A3C, workers": ("a3c_cartpole", {}, "num_workers", (1, 2, 4, 8)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--up-to", type=int, default=1024, metavar="N", help="most environments or workers [1024]")
    parser.add_argument("--picture", metavar="FILE")
    parser.add_argument("--point", metavar="JSON", help=argparse.SUPPRESS)  # what the processes are started with
    arguments = parser.parse_args()
    if arguments.point:
        print(json.dumps(measure(json.loads(arguments.point), arguments.seconds)))
        return
    found: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    for _ in range(arguments.rounds):
        for title, (config, changes, grows, sizes) in KINDS.items():
            for size in (size for size in sizes if size <= arguments.up_to):
                point = json.dumps({"config": config, **changes, grows: size})
                command = [sys.executable, __file__, f"--seconds={arguments.seconds}", f"--point={point}"]
                answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found[title, size].append(tuple(json.loads(answer)))
    rows = {
        key: (median(speed for speed, _ in points), median(mb for _, mb in points)) for key, points in found.items()
    }
    for (title, size), (speed, megabytes) in rows.items():
        print(f"{title:32}{size:6,}{speed:12,.0f} steps/s{megabytes:8,.0f} MB")
    if arguments.picture:
        plot(rows, arguments.picture)


def measure(values: dict, seconds: float) -> tuple[float, float]:
    """Steps per second and megabytes of a point: ``config``, the name of a file, and changes to it."""
    from side_by_side import steps_per_second
    from threadpoolctl import threadpool_limits

    from paddle_ac.config import make_config, read_yaml
    from paddle_ac.registry import ALGORITHMS

    changes = {**values, "total_steps": 10**12}
    config = make_config({**read_yaml(CONFIGS / f"{changes.pop('config')}.yaml"), **changes})
    with threadpool_limits(1, user_api="blas"):
        agent = ALGORITHMS[config.algo].from_config(config)
        speed = steps_per_second(agent, 2000, seconds)
        megabytes = family_megabytes()
        agent.close()
    return speed, megabytes


def family_megabytes() -> float:
    """Proportional set size of this process and its children."""
    import psutil

    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(process.memory_full_info().pss for process in family) / 1e6


def plot(rows: dict[tuple[str, int], tuple[float, float]], path: str) -> None:
    """Speed and memory, over environments and over workers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    for title, (_, _, grows, sizes) in KINDS.items():
        column = 0 if grows == "num_envs" else 1
        for row in (0, 1):
            measured = [size for size in sizes if (title, size) in rows]
            axes[row, column].plot(measured, [rows[title, size][row] for size in measured], marker="o", label=title)
    for column, what in enumerate(("environments", "worker processes")):
        sizes = (1, 8, 64, 256, 1024) if column == 0 else (1, 2, 4, 8)
        for row, unit in enumerate(("steps per second", "memory, MB (all processes)")):
            ax = axes[row, column]
            ax.set_xscale("log", base=2)
            ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
            ax.set(xlabel=what, ylabel=unit)
            ax.grid(alpha=0.3)
            if (row, column) == (0, 0):
                ax.set_yscale("log")
            else:
                ax.set_ylim(0, 1.05 * ax.dataLim.ymax)
            ax.legend(fontsize="small", loc="lower right" if row else "best")
    figure.suptitle("CartPole-v1 on 2 cores")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
