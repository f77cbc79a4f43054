"""How many nodes of a cluster are worth having: a model of A3C's bundles and their parameter server.

A bundle of W workers makes W / u updates per second, and wants to exchange every K of them. It never waits for an
exchange, so a slow server or network costs no updates: it makes the interval longer, and with it the staleness. An
exchange costs processor time on the bundle's node. The server answers one exchange after the other; each takes its
processor time or the time of its parameters on the wire, whichever is longer, for the two overlap. Both are divided
among the shards.

The model knows nothing of the effect of staleness on learning: its speed-up is in steps per second.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """What the model needs of a network, an environment and a machine.

    Attributes:
        update_seconds: of one worker, while all workers of its node play.
        num_workers: ``W``, of each node.
        num_parameters: ``P``.
        delta_bytes: of each number of a delta: 4, or 2 in float16.
        client_seconds: of processor time that an exchange takes on a bundle's node.
        server_seconds: of processor time that an exchange takes on the server's node.
        latency_seconds: of an exchange beyond these, there and back.
    """

    update_seconds: float
    num_workers: int
    num_parameters: int
    delta_bytes: int
    client_seconds: float
    server_seconds: float
    latency_seconds: float = 0.0


@dataclass(frozen=True)
class Capacity:
    """What the model predicts.

    Attributes:
        speed_up: steps per second of all nodes, over those of one node that exchanges nothing.
        push_interval: updates of a bundle between two exchanges: that given, or more.
        is_limited: whether it is more.
        bytes_per_second: that all shards receive and send.
    """

    speed_up: float
    push_interval: float
    is_limited: bool
    bytes_per_second: float


def predict(
    measured: Measured, num_nodes: int, push_interval: int, bits_per_second: float, num_servers: int = 1
) -> Capacity:
    """Predict the speed-up and the push interval of M nodes.

    Args:
        measured: times of one node and of one exchange.
        num_nodes: ``M``.
        push_interval: ``K``, in updates of a bundle.
        bits_per_second: of the network, in each direction.
        num_servers: ``S``, on a machine each.
    """
    updates_per_second = measured.num_workers / measured.update_seconds
    wanted = updates_per_second / push_interval
    wire_seconds = 8 * measured.num_parameters * max(measured.delta_bytes, 4) / bits_per_second
    of_server = num_servers / max(measured.server_seconds, wire_seconds) / num_nodes
    of_client = 1 / (
        measured.client_seconds + measured.latency_seconds + (measured.server_seconds + wire_seconds) / num_servers
    )
    rate = min(wanted, of_server, of_client)
    lost = min(rate * measured.client_seconds / measured.num_workers, 1.0)
    num_bytes = measured.num_parameters * (measured.delta_bytes + 4)
    return Capacity(
        speed_up=num_nodes * (1 - lost),
        push_interval=updates_per_second / rate,
        is_limited=rate < wanted,
        bytes_per_second=num_nodes * rate * num_bytes,
    )
