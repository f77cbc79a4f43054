"""A3C on a cluster of simulated nodes: throughput, cost of exchanges, returns over push intervals, capacity.

    python benchmarks/cluster.py --part throughput
    python benchmarks/cluster.py --part capacity --config configs/a3c_atari.yaml
    python benchmarks/cluster.py --part returns --run-dir runs/push_interval
    python tools/plot.py runs/push_interval --metric eval/mean_return

The nodes are Ray's simulated ones (`ray.cluster_utils.Cluster`) on this machine, so no figure includes a network.
`throughput` runs 1 node of 2 workers (A3C as on one machine) and 2 nodes of 1 worker in turn; ratios are taken within a
round, for a machine's speed drifts. `returns` trains with each push interval; `tools/plot.py` draws the curves.
`capacity` measures an update and an exchange, and predicts the speed-up of more nodes (`cluster_capacity.py`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from cluster_capacity import Measured, predict
from side_by_side import blas_kernel, steps_per_second, tell

from paddle_ac.algorithms.a3c import A3C
from paddle_ac.config import make_config, read_yaml
from paddle_ac.processes.cluster import Cluster
from paddle_ac.processes.parameter_server import Exchange
from paddle_ac.processes.servers import RemoteShards, ServerGroup
from paddle_ac.registry import make_algorithm
from paddle_ac.training.runs import train

PUSH_INTERVALS = (1, 10, 100, 1000)
NODE_MEMORY = 200 << 20  # bytes of Ray's object store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["throughput", "returns", "capacity"], required=True)
    parser.add_argument("--config", help="YAML file of A3C [its defaults, on CartPole-v1]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--seeds", type=int, default=5, help="of returns")
    parser.add_argument("--total-steps", type=int, default=500_000, help="of returns")
    parser.add_argument("--run-dir", default="runs/push_interval", help="of returns")
    arguments = parser.parse_args()
    shared = {"algo": "a3c", **(read_yaml(arguments.config) if arguments.config else {})}
    print(f"BLAS kernel: {blas_kernel()}")
    with simulated_nodes() as address:
        clustered = {**shared, "cluster": address, "num_nodes": 2, "num_workers": 1}
        if arguments.part == "throughput":
            compare_throughput(shared, clustered, arguments.rounds, arguments.seconds)
        elif arguments.part == "returns":
            compare_returns(clustered, arguments)
        else:
            print_capacity(shared, address, arguments.rounds, arguments.seconds)


@contextmanager
def simulated_nodes() -> Iterator[str]:
    """The address of a cluster of two nodes of one processor on this machine."""
    from ray import cluster_utils

    node = {"num_cpus": 1, "object_store_memory": NODE_MEMORY}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.add_node(**node)
        yield cluster.address
    finally:
        cluster.shutdown()


def compare_throughput(shared: dict[str, Any], clustered: dict[str, Any], rounds: int, seconds: float) -> None:
    """Print steps/s of one node and of two on the same cores."""
    of_one: list[float] = []
    of_two: list[float] = []
    starts: list[float] = []
    for _ in range(rounds):
        of_one.append(measure_speed({**shared, "num_workers": 2}, seconds)[0])
        speed, start = measure_speed(clustered, seconds)
        of_two.append(speed)
        starts.append(start)
    tell("1 node x 2 workers", of_one, "steps/s")
    tell("2 nodes x 1 worker", of_two, "steps/s")
    tell("2 nodes / 1 node", [two / one for one, two in zip(of_one, of_two, strict=True)])
    tell("start of 2 nodes to the first push", starts, "s")


def measure_speed(values: dict[str, Any], seconds: float) -> tuple[float, float]:
    """Steps/s, and seconds from the start to the first steps; those of a cluster are counted when they are pushed."""
    config = make_config({**values, "total_steps": 10**15, "lr_schedule": "constant"})
    started = time.perf_counter()
    with make_algorithm(config) as agent:
        while not agent.env_steps:
            agent.update()
        start = time.perf_counter() - started
        return steps_per_second(agent, 10_000, seconds), start


def compare_returns(clustered: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Train with each push interval and seed, and print the returns."""
    folder = Path(arguments.run_dir)
    print(f"{'push interval':>13}{'seed':>6}{'return':>9}{'best':>9}")
    for interval in PUSH_INTERVALS:
        for seed in range(arguments.seeds):
            values = {**clustered, "push_interval": interval, "seed": seed, "total_steps": arguments.total_steps}
            summary = train(make_config(values), str(folder / str(interval) / str(seed)), progress=False)
            found = (summary["eval_mean_return"], summary["best_eval_mean_return"])
            print(f"{interval:13}{seed:6}{found[0]:9.1f}{found[1]:9.1f}", flush=True)


def print_capacity(shared: dict[str, Any], address: str, rounds: int, seconds: float) -> None:
    """Measure an update and an exchange, and print what they predict for more nodes."""
    config = make_config({**shared, "num_workers": 1, "total_steps": 10**15, "lr_schedule": "constant"})
    steps_of_update = config.num_steps * config.num_envs
    speeds = [measure_speed({**shared, "num_workers": 1}, seconds)[0] for _ in range(rounds)]
    update = steps_of_update / median(speeds)
    with A3C.from_config(config) as agent:
        size = agent.shared.layout.size
        wall, client = measure_exchange(agent, address, seconds)
    measured = Measured(update, 1, size, 4, client, max(wall - client, 0.0))
    print(f"{size:,} parameters; an update {update * 1e3:.2f} ms, an exchange {wall * 1e3:.2f} ms")
    print(f"  of which {client * 1e3:.2f} ms of the bundle's processor")
    interval = make_config({"algo": "a3c", "cluster": "auto"}).push_interval
    print(f"  at the default interval of {interval}: {100 * client / (interval * update):.1f} % of a worker's time")
    print(f"\n{'nodes':>6}{'1 Gbit/s':>12}{'interval':>10}{'10 Gbit/s':>12}{'interval':>10}")
    for num_nodes in (2, 4, 8, 16, 32, 64):
        found = [predict(measured, num_nodes, interval, bits) for bits in (1e9, 1e10)]
        cells = "".join(f"{capacity.speed_up:12.1f}{capacity.push_interval:10.0f}" for capacity in found)
        print(f"{num_nodes:6}{cells}")


def measure_exchange(agent: A3C, address: str, seconds: float) -> tuple[float, float]:
    """Seconds of an exchange with a server on another process, and those of this process's processor time."""
    cluster = Cluster(address)
    try:
        servers = ServerGroup(cluster, 1, 60.0, max_staleness=10)
        counts = np.zeros(1, np.int64)
        moments = {group: shared.read() for group, shared in agent.shared.moments.items()}
        servers.start(agent.shared.vector, counts, counts, moments)
        exchange = Exchange(agent.shared, RemoteShards(1, 60.0), 0, 0)
        for _ in range(10):
            exchange.exchange()
        number, started, used = 0, time.perf_counter(), time.process_time()
        while (passed := time.perf_counter() - started) < seconds:
            exchange.exchange()
            number += 1
        return passed / number, (time.process_time() - used) / number
    finally:
        cluster.close()


if __name__ == "__main__":
    main()
