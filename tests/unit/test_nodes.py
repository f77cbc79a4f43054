"""Supervision of bundles on the nodes of a cluster, with bundles and nodes that are only claimed to be there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from multiprocessing_env import WorkerDiedError
from paddle_ac.errors import ConfigError
from paddle_ac.processes import nodes
from paddle_ac.processes.cluster import Call, LostError, Node, UnreachableError
from paddle_ac.processes.nodes import BundleReport, NodePool

PENDING = object()  # the answer of a bundle that does not answer


class FakeCall(Call):
    def __init__(self, answer):
        super().__init__(reference=None)
        self.answer = answer

    def result(self, timeout):
        if self.answer is PENDING:
            nodes.time.sleep(timeout)
            raise LostError(f"did not answer within {timeout:g} s")
        if isinstance(self.answer, LostError):
            raise self.answer
        return self.answer


class FakeBundle:
    def __init__(self, index, start, node):
        self.index, self.start_number, self.node = index, start, node
        self.calls, self.is_killed, self.called = [], False, PENDING

    def start(self, method):
        self.calls.append(method)
        return FakeCall(self.called if method == "call" else PENDING)

    def answer(self, pool: NodePool, answer) -> None:
        pool._bundles[self.index].poll.answer = answer

    def kill(self):
        self.is_killed = True


class FakeCluster:
    def __init__(self, num_nodes: int):
        self.up = [Node(f"node{number}", f"10.0.0.{number}", 2.0) for number in range(num_nodes)]
        self.bundles: list[FakeBundle] = []

    def nodes(self):
        return list(self.up)

    def create(self, kind, index, start, *, node, num_cpus, num_threads):
        self.bundles.append(FakeBundle(index, start, node))
        return self.bundles[-1]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(nodes, "wait", lambda calls, timeout: [call for call in calls if call.answer is not PENDING])
    monkeypatch.setattr(nodes, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(nodes, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(nodes, "NODES_TIMEOUT", 0.0)


def make_pool(cluster: FakeCluster, num_nodes: int = 2, min_nodes: int = 1, timeout: float = 60.0) -> NodePool:
    return NodePool(cluster, object, lambda index, start: (index, start), num_nodes, min_nodes, 2, timeout)


def test_every_bundle_has_a_node_of_its_own():
    cluster = FakeCluster(3)
    make_pool(cluster).receive(0)
    assert [(bundle.index, bundle.node) for bundle in cluster.bundles] == [(0, "node0"), (1, "node1")]


def test_reports_arrive_and_the_pool_is_ready_with_the_fewest_nodes():
    cluster = FakeCluster(2)
    pool = make_pool(cluster)
    assert pool.receive(0) is None and not pool.is_ready
    cluster.bundles[1].answer(pool, BundleReport(["one", "two"], is_ready=True))
    assert [pool.receive(0), pool.receive(0), pool.receive(0)] == ["one", "two", None]
    assert pool.is_ready
    assert cluster.bundles[1].calls == ["poll", "poll"]


def test_lost_bundle_is_replaced_on_another_node():
    cluster = FakeCluster(3)
    pool = make_pool(cluster)
    pool.receive(0)
    cluster.bundles[0].answer(pool, LostError("the node died"))
    pool.check()
    pool.check()
    replacement = cluster.bundles[2]
    assert (replacement.index, replacement.start_number, replacement.node) == (0, 1, "node2")
    assert cluster.bundles[0].is_killed and pool.starts == [2, 1]


def test_node_that_joins_later_gets_the_missing_bundle():
    cluster = FakeCluster(1)
    pool = make_pool(cluster)
    pool.check()
    assert len(cluster.bundles) == 1
    cluster.up.append(Node("node9", "10.0.0.9", 2.0))
    pool.check()
    assert (cluster.bundles[1].index, cluster.bundles[1].node) == (1, "node9")


def test_nodes_with_too_few_cpus_do_not_count():
    cluster = FakeCluster(1)
    cluster.up.append(Node("small", "10.0.0.9", 1.0))
    make_pool(cluster).check()
    assert [bundle.node for bundle in cluster.bundles] == ["node0"]
    with pytest.raises(
        ConfigError, match=r"the cluster has 1 nodes with 2 CPUs, as a bundle needs them; .* or give --min-nodes"
    ):
        make_pool(FakeCluster(1), min_nodes=2).wait_for_nodes()


def test_too_few_nodes_for_too_long_end_the_run(monkeypatch):
    monkeypatch.setattr(nodes, "JOIN_TIMEOUT", 0.0)
    cluster = FakeCluster(2)
    pool = make_pool(cluster, min_nodes=2)
    pool.check()
    del cluster.up[1]
    cluster.bundles[1].answer(pool, LostError("the node died"))
    pool.check()
    with pytest.raises(WorkerDiedError, match=r"the run has 1 nodes, and needs 2 \(min_nodes\)"):
        for _ in range(2):
            pool.check()


def test_node_that_cannot_host_a_bundle_is_given_up_while_enough_others_are_left(caplog):
    cluster = FakeCluster(2)
    pool = make_pool(cluster)
    pool.check()
    for _ in range(nodes.MAX_LOSSES):
        cluster.bundles[-1].answer(pool, LostError("No module named 'game'"))
        pool.check()  # loses it
        pool.check()  # starts another
    assert [bundle.node for bundle in cluster.bundles] == ["node0"] + ["node1"] * nodes.MAX_LOSSES
    assert "bundle 1 on node 10.0.0.1 was lost: No module named 'game', the 10th time" in caplog.text
    cluster.up.append(Node("node9", "10.0.0.9", 2.0))
    pool.check()
    assert (cluster.bundles[-1].index, cluster.bundles[-1].node) == (1, "node9")


def test_bundle_that_is_lost_again_and_again_ends_the_run():
    cluster = FakeCluster(1)
    pool = make_pool(cluster, num_nodes=1)
    with pytest.raises(
        WorkerDiedError, match=r"was lost: gone, the 10th time without a report in between: .* 1 \(min_nodes\) are left"
    ):
        for _ in range(nodes.MAX_LOSSES):
            pool.check()  # starts a bundle
            cluster.bundles[-1].answer(pool, LostError("gone"))
            pool.check()
    assert len(cluster.bundles) == nodes.MAX_LOSSES


def test_bundle_that_does_not_answer_is_killed_and_replaced(monkeypatch):
    monkeypatch.setattr(nodes, "START_TIMEOUT", 0.0)
    cluster = FakeCluster(1)
    pool = make_pool(cluster, num_nodes=1, timeout=30)
    pool.check()
    pool._bundles[0].poll.since -= 29
    pool.check()
    assert not cluster.bundles[0].is_killed
    pool._bundles[0].poll.since -= 2
    pool.check()
    assert cluster.bundles[0].is_killed


def test_interrupted_connection_is_no_loss_until_the_timeout():
    cluster = FakeCluster(1)
    pool = make_pool(cluster, num_nodes=1, timeout=30)
    pool.check()
    for _ in range(3):
        cluster.bundles[0].answer(pool, UnreachableError("connection reset"))
        pool.check()
    assert cluster.bundles[0].calls == ["poll"] * 4 and not cluster.bundles[0].is_killed
    pool._bundles[0].poll.since -= 20
    cluster.bundles[0].answer(pool, UnreachableError("connection reset"))
    pool.check()
    assert not cluster.bundles[0].is_killed
    pool._bundles[0].poll.since -= 11  # 31 s since the first poll that was not answered
    cluster.bundles[0].answer(pool, UnreachableError("connection reset"))
    pool.check()
    assert cluster.bundles[0].is_killed


def test_error_of_a_bundle_is_raised_and_a_lost_parameter_server_is_none():
    cluster = FakeCluster(2)
    pool = make_pool(cluster)
    pool.check()
    cluster.bundles[0].answer(pool, BundleReport(error=LostError("parameter-server-0 was not reached")))
    pool.check()
    assert cluster.bundles[0].is_killed
    cluster.bundles[1].answer(pool, BundleReport(error=ArithmeticError("not finite")))
    with pytest.raises(ArithmeticError, match="not finite"):
        pool.check()


def test_finished_pool_has_all_reports_and_starts_no_bundle():
    cluster = FakeCluster(2)
    pool = make_pool(cluster)
    pool.check()
    pool.ask_to_finish()
    pool.ask_to_finish()
    assert [bundle.calls for bundle in cluster.bundles] == [["poll", "finish"]] * 2
    cluster.bundles[0].answer(pool, LostError("the node died"))
    cluster.bundles[1].answer(pool, BundleReport(["last"], is_ready=True, is_finished=True))
    pool.check()
    assert not pool.is_finished
    assert pool.receive(0) == "last"
    pool.check()
    assert pool.is_finished and len(cluster.bundles) == 2


def test_finished_bundle_is_replaced_on_request_unless_the_pool_finishes():
    cluster = FakeCluster(2)
    pool = make_pool(cluster)
    pool.check()
    cluster.bundles[1].answer(pool, BundleReport(["last"], is_ready=True, is_finished=True))
    pool.check()
    pool.replace_finished()
    assert [bundle.is_killed for bundle in cluster.bundles] == [False, True]
    assert pool.receive(0) == "last"
    pool.check()
    assert (cluster.bundles[2].index, cluster.bundles[2].start_number) == (1, 1) and pool.starts == [1, 2]
    pool.ask_to_finish()
    cluster.bundles[2].answer(pool, BundleReport(is_ready=True, is_finished=True))
    pool.check()
    pool.replace_finished()
    assert not cluster.bundles[2].is_killed


def test_bundles_that_do_not_answer_a_call_are_left_out_after_one_deadline_for_all(monkeypatch):
    slept = []
    clock = SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append)
    cluster = FakeCluster(4)
    pool = make_pool(cluster, num_nodes=4)
    pool.check()
    for bundle in cluster.bundles:
        bundle.answer(pool, BundleReport(is_ready=True))
    pool.check()
    cluster.bundles[0].called, cluster.bundles[3].called = "first", "last"
    monkeypatch.setattr(nodes, "time", clock)
    assert pool.call_ready("call") == ["first", "last"]
    assert sum(slept) == nodes.CALL_TIMEOUT
    assert pool.call_ready("call") == ["first", "last"]  # the others are not asked again until they answer a poll
    assert sum(slept) == nodes.CALL_TIMEOUT
    cluster.bundles[1].called = "second"
    cluster.bundles[1].answer(pool, BundleReport(is_ready=True))
    pool.check()
    assert pool.call_ready("call") == ["first", "second", "last"]
