"""A3C or DQN on two nodes with a slow network between them, with one that is cut, and with a node that is replaced.

    python benchmarks/cluster_network.py --algo a3c --delay 0.05 --fail-below 475 --csv slow_network.csv
    python benchmarks/cluster_network.py --algo a3c --replace-node --fail-below 475 --csv replaced_node.csv

Each node is a network namespace of Linux with a Ray of its own. Between them this program passes on packets, each after
``--delay`` seconds, so an exchange with the parameter server takes at least twice that. When half of the steps are
done, ``--cut`` loses all packets for some seconds, and ``--replace-node`` kills all processes of the second node and
starts a new one at once. Hyper-parameters are flags, as in `tools/train.py`. Results are those
of `benchmarks/reliability.py`. It needs Linux, the right to make namespaces, ``ip`` and ``ray``.
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
import queue
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import mean
from typing import TextIO

from reliability import MODELS, RUN, append_row, read_rows, run_parser, summary

from paddle_ac.commands.exit_codes import exit_codes
from paddle_ac.config import RunConfig, make_config, read_yaml, write_yaml
from paddle_ac.errors import ConfigError
from paddle_ac.training.evaluate import evaluate_run

ROOT = Path(__file__).parents[1]
TUN = Path("/dev/net/tun")
SET_INTERFACE, PACKETS_ONLY = 0x400454CA, 0x1001  # of linux/if_tun.h: TUNSETIFF, and IFF_TUN with IFF_NO_PI
MAX_PACKET = 65_520  # bytes
FIRST, SECOND = "first", "second"
ADDRESSES = {FIRST: "10.77.0.1", SECOND: "10.77.0.2"}
PORT = 6379
NODE = ["--num-cpus=1", "--object-store-memory=200000000", "--disable-usage-stats"]


def main(arguments: list[str]) -> None:
    parser = run_parser("cluster_network", __doc__, arguments, num_seeds=5)
    parser.add_argument("--delay", type=float, default=0.001, help="seconds that a packet takes [0.001]")
    parser.add_argument("--cut", type=float, default=0.0, help="seconds without a network, halfway [0]")
    parser.add_argument("--replace-node", action="store_true", help="kill and replace the second node halfway")
    parser.add_argument("--fail-below", type=float, required=True, metavar="R")
    parser.add_argument("--csv", type=Path, required=True, metavar="FILE", help="results of runs")
    flags = parser.parse(arguments)
    own = {name: flags.pop(name) for name in ("delay", "cut", "replace_node", "seeds", "fail_below", "csv")}
    config_file = flags.pop("config")
    values = {
        **(read_yaml(config_file) if config_file else {}),
        **flags,
        **{"cluster": f"{ADDRESSES[FIRST]}:{PORT}", "num_nodes": 2, "num_workers": 1},
    }
    rows = {int(row["seed"]): row for row in read_rows(own["csv"], make_config(values))}
    for seed in own["seeds"]:
        if seed not in rows:
            rows[seed] = measure(make_config({**values, "seed": seed}), own["delay"], own["cut"], own["replace_node"])
            append_row(own["csv"], rows[seed])
        print(" ".join(f"{name} {rows[seed][name]}" for name in ("seed", *MODELS)), flush=True)
    for model in MODELS:
        print(f"{model:>6}: {summary([float(rows[seed][model]) for seed in own['seeds']], own['fail_below'])}")


def measure(config: RunConfig, delay: float, cut: float, replace_node: bool) -> dict[str, object]:
    """Train one run on two nodes; its row of the table."""
    with tempfile.TemporaryDirectory(prefix="net") as folder, Machines(delay, f"{folder}/ray") as machines:
        run = Path(folder, "run")
        write_yaml(config, f"{folder}/config.yaml")
        flags = ["--config", f"{folder}/config.yaml", "--run-dir", str(run), "--no-progress"]
        training = machines.start(FIRST, sys.executable, str(ROOT / "tools" / "train.py"), *flags)
        if cut or replace_node:
            wait_for_steps(run / "progress.csv", config.total_steps // 2, training)
        if cut:
            machines.cut(cut)
        if replace_node:
            machines.kill(SECOND)
            machines.add_second_node()
        if training.wait():
            raise ConfigError(f"the training ended with exit code {training.returncode}")
        trained = json.loads((run / "summary.json").read_text())
        returns = {model: evaluate_run(str(run), model, 100)["mean_return"] for model in MODELS}
        told = {
            tag: mean(column(run / "progress.csv", f"cluster/{tag}"))
            for tag in ("staleness", "late_pushes", "pushes_per_second")
        }
    print(", ".join(f"{tag} {value:.2f}" for tag, value in told.items()))
    return {
        **{name: getattr(config, name) for name in (*RUN, "seed")},
        **returns,
        "train_seconds": trained["train_seconds"],
    }


def wait_for_steps(progress: Path, steps: int, training: subprocess.Popen) -> None:
    """Return when a training has logged so many steps, or has ended."""
    while training.poll() is None:
        if progress.is_file() and column(progress, "env_steps")[-1:] >= [steps]:
            return
        time.sleep(0.2)


def column(progress: Path, tag: str) -> list[float]:
    """What has been logged of a metric."""
    with progress.open(newline="") as file:
        return [float(row[tag]) for row in csv.DictReader(file) if row[tag]]


class Machines:
    """Two nodes of a Ray cluster, each in a network namespace, and the network between them.

    Args:
        delay: seconds that a packet takes.
        folder: for Ray's own files.
    """

    def __init__(self, delay: float, folder: str):
        self._folder = folder
        self._names = {machine: f"paddle-ac-{os.getpid()}-{machine}" for machine in ADDRESSES}
        self._is_connected = threading.Event()
        self._is_connected.set()
        self._network = delayed_network(self._names, delay, self._is_connected)

    def __enter__(self) -> Machines:
        self._network.__enter__()
        try:
            head = [f"--node-ip-address={ADDRESSES[FIRST]}", f"--port={PORT}", f"--temp-dir={self._folder}"]
            self._ray_start(FIRST, "--head", "--include-dashboard=false", *head)
            self.add_second_node()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for machine in ADDRESSES:
            self.kill(machine)
        self._network.__exit__(None, None, None)

    def add_second_node(self) -> None:
        self._ray_start(SECOND, f"--address={ADDRESSES[FIRST]}:{PORT}", f"--node-ip-address={ADDRESSES[SECOND]}")

    def start(self, machine: str, *command: str, output: TextIO | None = None) -> subprocess.Popen:
        """Start a command in the network of a machine."""
        environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}  # nobody else reaches this network
        inside = ["ip", "netns", "exec", self._names[machine], *command]
        return subprocess.Popen(inside, env=environment, stdout=output, stderr=output)

    def cut(self, seconds: float) -> None:
        """Lose all that the machines send each other for some seconds."""
        self._is_connected.clear()
        time.sleep(seconds)
        self._is_connected.set()

    def kill(self, machine: str) -> None:
        """End all processes of a machine at once."""
        while pids := ip("netns", "pids", self._names[machine]).split():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)

    def _ray_start(self, machine: str, *flags: str) -> None:
        with tempfile.TemporaryFile("w+") as output:
            if self.start(machine, "ray", "start", *NODE, *flags, output=output).wait():
                output.seek(0)
                raise ConfigError(f"ray start failed: {output.read()}")


@contextmanager
def delayed_network(names: dict[str, str], delay: float, is_connected: threading.Event) -> Iterator[None]:
    """Namespaces of these names, and a network between them: it delivers after ``delay`` seconds, or loses packets."""
    made: list[str] = []
    devices: list[int] = []
    threads: list[threading.Thread] = []
    try:
        for machine, name in names.items():
            ip("netns", "add", name)
            made.append(name)
            interface = f"pac{machine}"
            devices.append(tun_device(interface))
            ip("link", "set", interface, "netns", name)
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", interface, "mtu", str(MAX_PACKET), "up")
            ip("-n", name, "address", "add", f"{ADDRESSES[machine]}/24", "dev", interface)
        for source, target in (devices, reversed(devices)):
            threads += pass_on(source, target, delay, is_connected)
        yield
    finally:
        for name in made:
            ip("netns", "delete", name)  # with its interface, which ends the threads
        for thread in threads:
            thread.join()
        for device in devices:
            os.close(device)


def tun_device(interface: str) -> int:
    """A descriptor that reads what is sent to a new network interface, a packet at a time, and writes what it gets."""
    descriptor = os.open(TUN, os.O_RDWR)
    fcntl.ioctl(descriptor, SET_INTERFACE, struct.pack("16sH", interface.encode(), PACKETS_ONLY))
    return descriptor


def pass_on(source: int, target: int, delay: float, is_connected: threading.Event) -> list[threading.Thread]:
    """Write what can be read from one device to the other, ``delay`` seconds later, in threads that end with them.

    What arrives while ``is_connected`` is not set is lost.
    """
    packets: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

    def read() -> None:
        with suppress(OSError):  # the device is gone
            while packet := os.read(source, MAX_PACKET):
                if is_connected.is_set():
                    packets.put((time.monotonic() + delay, packet))
        packets.put((0.0, b""))

    def write() -> None:
        while True:
            due, packet = packets.get()
            if not packet:
                return
            time.sleep(max(due - time.monotonic(), 0))
            with suppress(OSError):  # the other device is down: the packet is lost, as on a real network
                os.write(target, packet)

    threads = [threading.Thread(target=task) for task in (read, write)]
    for thread in threads:
        thread.start()
    return threads


def ip(*arguments: str) -> str:
    """Run ``ip``, and return what it prints."""
    found = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if found.returncode:
        raise ConfigError(f"ip {' '.join(arguments)}: {found.stderr.strip()}")
    return found.stdout


if __name__ == "__main__":
    with exit_codes():
        main(sys.argv[1:])
