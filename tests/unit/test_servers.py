"""Shards of a parameter server that are lost and restored, without Ray."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest

from paddle_ac.processes.cluster import LostError
from paddle_ac.processes.parameter_server import Push
from paddle_ac.processes.servers import ServerGroup

NUM_NODES = 2


class LocalObject:
    """An object of this process, as a ``RemoteObject`` that can be lost."""

    def __init__(self, target):
        self.target = target
        self.is_lost = False

    def start(self, method, *arguments):
        return SimpleNamespace(result=lambda timeout: self.call(method, arguments))

    def call(self, method, arguments):
        if self.is_lost:
            raise LostError("is not there")
        return getattr(self.target, method)(*arguments)

    def kill(self):
        self.is_lost = True


class LocalCluster:
    """Nodes of this process."""

    here = "node 0"

    def __init__(self):
        self.places = []

    def nodes(self):
        return [SimpleNamespace(id=f"node {index}") for index in range(NUM_NODES)]

    def create(self, kind, *arguments, node, name):
        self.places.append((name, node))
        return LocalObject(kind(*copy.deepcopy(arguments)))


def started(num_shards=1, max_staleness=10):
    cluster, counts = LocalCluster(), np.zeros(NUM_NODES, np.int64)
    group = ServerGroup(cluster, num_shards, 1.0, max_staleness)
    group.start(np.zeros(4, np.float32), counts, counts, {})
    return cluster, group


def push_of(sequence, size=4, bundle=0, version=0, updates=5):
    return Push(bundle, 0, sequence, version, np.ones(size, np.float32), steps=100, updates=updates)


def test_a_push_that_was_counted_before_its_shard_was_lost_is_not_counted_again():
    _, group = started()
    group._servers[0].target.push(push_of(1))
    assert group.status().node_steps.tolist() == [100, 0]
    group._servers[0].kill()
    assert group.status().node_steps.tolist() == [100, 0], "the snapshot is older"
    group._servers[0].target.push(push_of(1))  # whose answer was lost
    group._servers[0].target.push(push_of(2))
    status = group.status()
    assert (status.node_steps.tolist(), status.node_updates.tolist()) == ([200, 0], [10, 0])


def test_a_push_since_the_last_status_is_applied_again_by_a_restored_shard():
    _, group = started()
    group.snapshot()
    group._servers[0].target.push(push_of(1))
    group._servers[0].kill()
    group.status()
    assert group.pull()[0].tolist() == [0, 0, 0, 0]
    group._servers[0].target.push(push_of(1))
    assert group.pull()[0].tolist() == [1, 1, 1, 1]
    assert group.status().node_steps.tolist() == [100, 0]


@pytest.mark.parametrize("shard", [0, 1])
def test_a_restored_shard_drops_what_has_become_too_stale_meanwhile(shard):
    _, group = started(num_shards=2)
    server = group._servers[shard].target
    for sequence in (1, 2):
        version = server.push(push_of(sequence, size=2, version=5 * (sequence - 1))).num_updates
    group.snapshot()
    version = server.push(push_of(3, size=2, version=version)).num_updates  # which the snapshot does not contain
    group.status()
    group._servers[shard].kill()
    group.status()
    server = group._servers[shard].target
    server.push(push_of(4, size=2, version=version, updates=500))
    server.push(push_of(1, size=2, bundle=1, version=version, updates=500))
    assert group._servers[shard].target.status().is_late == [False, True]


def test_shards_are_on_different_nodes_and_restored_here():
    cluster, group = started(num_shards=2)
    assert cluster.places == [("parameter-server-0", "node 0"), ("parameter-server-1", "node 1")]
    group._servers[1].target.push(push_of(1, size=2))
    group._servers[1].kill()
    assert group.pull()[0].tolist() == [0, 0, 0, 0]
    assert cluster.places[2:] == [("parameter-server-1", "node 0")]
