"""The parameter server and its clients without a cluster: pushes add up, once each, and nothing is lost on the way."""

from __future__ import annotations

import math

import numpy as np
import pytest

from paddle_ac.errors import NonFiniteError
from paddle_ac.nn.layout import ParameterLayout
from paddle_ac.nn.moments import RunningMoments, merged_moments, remaining_moments
from paddle_ac.processes import servers
from paddle_ac.processes.cluster import LostError
from paddle_ac.processes.parameter_server import (
    Exchange,
    ParameterServer,
    Push,
    RetiredError,
    ServerState,
    partition,
)
from paddle_ac.processes.servers import RemoteShards
from paddle_ac.processes.shared_parameters import SharedParameters
from tests.local_shards import LocalShards

SIZE, NUM_NODES = 7, 2


def make_server(size: int = SIZE, moments: dict | None = None, max_staleness: float = math.inf) -> ParameterServer:
    counts = np.zeros(NUM_NODES, np.int64)
    return ParameterServer(ServerState(np.zeros(size), counts, counts, moments or {}), max_staleness)


def make_shared(moments: dict | None = None) -> SharedParameters:
    return SharedParameters(ParameterLayout([("weight", (SIZE,))]), {}, moments or {}, num_workers=2)


def make_bundle(shards: LocalShards, index: int, dtype: str = "float32", start: int = 0):
    shared = make_shared()
    return shared, Exchange(shared, shards, index, start, dtype)


def parameters(shards: LocalShards) -> np.ndarray:
    return np.concatenate([pull.vector for pull in shards.pull()])


def count_updates(shared: SharedParameters, number: int) -> None:
    shared.worker_updates[0] += number


def push_of(**changes) -> Push:
    values = {"bundle": 0, "start": 0, "sequence": 1, "version": 0, "delta": np.ones(SIZE, np.float32), "updates": 1}
    return Push(**{**values, **changes})


def test_push_that_arrives_twice_is_applied_once():
    server = make_server()
    first = server.push(push_of(steps=20, updates=1))
    again = server.push(push_of(steps=20, updates=1))
    assert (first.vector == 1).all() and (again.vector == 1).all()
    assert (again.num_updates, again.env_steps) == (1, 20)
    assert server.status().node_updates.tolist() == [1, 0]
    assert (server.push(push_of(sequence=2)).vector == 2).all()


def test_replacement_counts_its_pushes_afresh_and_the_replaced_bundle_is_rejected():
    server = make_server()
    server.push(push_of(sequence=5))
    assert (server.push(push_of(start=1, sequence=1)).vector == 2).all()
    with pytest.raises(RetiredError, match="bundle 0 was replaced"):
        server.push(push_of(sequence=6))
    assert (server.pull().vector == 2).all()


def test_staleness_is_the_number_of_pushes_of_others_in_between():
    server = make_server()
    shards = LocalShards(server)
    (one, exchange_one), (two, exchange_two) = make_bundle(shards, 0), make_bundle(shards, 1)
    for number in (1, 1, 2, 2, 1):
        replica, exchange = {1: (one, exchange_one), 2: (two, exchange_two)}[number]
        count_updates(replica, 5)
        exchange.exchange()
    # The second bundle pulled at version 0, and pushed after two pushes of the first; which then missed two.
    status = server.status()
    assert (status.staleness, status.is_late) == ([0, 0, 2, 0, 2], [False] * 5)
    status = server.status()
    assert (status.staleness, status.is_late) == ([], [])


def test_push_that_is_too_stale_is_dropped_but_its_steps_and_moments_count():
    initial = {"rewards": RunningMoments.initial_statistics(())}
    server = make_server(moments=initial, max_staleness=1)
    rows = RunningMoments(())
    rows.update(np.array([1.0, 3.0]))
    for sequence in (1, 2):
        server.push(push_of(sequence=sequence, version=2 * (sequence - 1), steps=20, updates=2))
    late = push_of(bundle=1, version=0, steps=10, updates=1, moments={"rewards": rows.statistics})
    for _ in range(2):  # a push that arrives again is dropped again, and counted once
        pull = server.push(late)
        assert (pull.vector == 2).all()
        assert (pull.env_steps, pull.num_updates) == (50, 4)
    status = server.status()
    assert (status.node_steps.tolist(), status.node_updates.tolist()) == ([40, 10], [4, 0])
    assert (status.staleness, status.is_late) == ([0, 0, 2], [False, False, True])
    assert server.pull().moments["rewards"]["mean"] == 2


@pytest.mark.parametrize(("missed", "is_late"), [(1, False), (2, True)])
def test_largest_staleness_is_not_too_stale(missed, is_late):
    server = make_server(max_staleness=1)
    for sequence in range(1, missed + 1):
        server.push(push_of(sequence=sequence, version=sequence - 1))
    server.push(push_of(bundle=1, version=0))
    assert server.status().is_late[-1] is is_late


def test_bundle_that_is_always_slow_is_heard_and_its_pushes_after_a_cut_are_not():
    server, version = make_server(max_staleness=5), 0
    late = []
    for missed in (*[20] * 8, 40, 20, 26, 25):
        pulled = server.pull().num_updates
        for _ in range(missed):
            version += 1
            server.push(push_of(sequence=version, version=server.pull().num_updates))
        server.push(push_of(bundle=1, sequence=version, version=pulled))
        late.append(server.status().is_late[-1])
    assert late == [True, *[False] * 7, True, False, True, False]


def test_bundle_that_replaces_a_slow_one_is_judged_anew():
    server = make_server(max_staleness=5)
    for start in (0, 1):
        pulled = server.pull().num_updates
        for sequence in range(1, 21):
            server.push(push_of(sequence=20 * start + sequence, version=server.pull().num_updates))
        server.push(push_of(bundle=1, start=start, version=pulled))
    status = server.status()
    assert [late for late, staleness in zip(status.is_late, status.staleness, strict=True) if staleness] == [True] * 2


def test_pushes_without_updates_are_never_late_and_have_no_size():
    server = make_server(max_staleness=1)
    for sequence in range(1, 6):
        server.push(push_of(sequence=sequence, version=sequence - 1))
        server.push(push_of(bundle=1, sequence=sequence, version=0, updates=0, steps=10))  # nothing is learned yet
    status = server.status()
    assert (status.is_late, status.staleness, status.num_pushes) == ([False] * 5, [0] * 5, 10)
    assert status.node_steps.tolist() == [0, 50]
    server.push(push_of(bundle=1, sequence=6, version=4))
    assert server.status().staleness == [1]


def test_version_from_before_a_restored_server_is_not_stale():
    server = make_server(max_staleness=0)
    server.push(push_of(version=0, updates=10))
    server.push(push_of(bundle=1, version=15))
    status = server.status()
    assert (status.staleness, status.is_late) == ([0, 0], [False, False])


def test_each_shard_drops_for_itself_and_a_bundle_knows_the_version_of_each():
    server_one, server_two = make_server(SIZE // 2, max_staleness=3), make_server(SIZE - SIZE // 2, max_staleness=100)
    shards = LocalShards(server_one, server_two)
    (one, exchange_one), (two, exchange_two) = make_bundle(shards, 0), make_bundle(shards, 1)
    for _ in range(5):
        count_updates(one, 10)
        exchange_one.exchange()
    two.vector += 1
    count_updates(two, 10)
    exchange_two.exchange()  # too stale for the first shard alone
    assert [shard.status().is_late[-1] for shard in shards.shards] == [True, False]
    assert [shard.pull().num_updates for shard in shards.shards] == [50, 60]
    assert two.vector.tolist() == [0] * (SIZE // 2) + [1] * (SIZE - SIZE // 2)
    for exchange, replica in ((exchange_one, one), (exchange_two, two)):
        exchange.exchange()
        count_updates(replica, 10)
        exchange.exchange()
        assert [shard.status().staleness[-1] for shard in shards.shards] == [0, 0]


def test_bundle_takes_back_what_the_server_has_dropped_and_keeps_what_it_has_written_since():
    shards = LocalShards(make_server(max_staleness=0))
    (one, exchange_one), (two, exchange_two) = make_bundle(shards, 0), make_bundle(shards, 1)
    one.vector += 1
    count_updates(one, 5)
    exchange_one.exchange()
    two.vector += 10
    count_updates(two, 5)
    shards.on_push = lambda: np.add(two.vector, 100, out=two.vector)
    exchange_two.exchange()
    shards.on_push = lambda: None
    assert (parameters(shards) == 1).all() and (two.vector == 101).all()
    exchange_two.exchange()
    assert (parameters(shards) == 101).all() and (two.vector == 101).all()


def test_a_push_counts_as_many_as_its_updates_are_of_the_usual_number():
    server = make_server(max_staleness=20)
    version = 0
    for sequence in range(1, 11):
        version = server.push(push_of(sequence=sequence, version=version, updates=100)).num_updates
    pulled = version
    server.push(push_of(sequence=11, version=version, updates=7_000))  # after a cut of the server's own network
    assert (server.push(push_of(bundle=1, version=pulled, updates=7_000)).vector == 11).all()
    server.push(push_of(bundle=1, sequence=2, version=server.pull().num_updates - 250, updates=100))
    status = server.status()
    assert status.staleness[-3:] == [0, 70, 2.5] and status.is_late[-3:] == [False, True, False]
    assert status.num_pushes == 12


def test_first_push_of_a_server_is_not_stale():
    counts = np.array([500, 0], np.int64)  # of a snapshot, from before the pushes that are in its counters
    server = ParameterServer(ServerState(np.zeros(SIZE), counts, counts), max_staleness=0)
    server.push(push_of(version=100))
    assert server.status().is_late == [False]


def test_the_usual_size_is_that_of_the_latest_pushes():
    server, version = make_server(), 0
    for sequence in range(1, 201):
        updates = 10 if sequence <= 100 else 1_000
        version = server.push(push_of(sequence=sequence, version=version, updates=updates)).num_updates
    server.push(push_of(bundle=1, version=version - 4_000))
    assert server.status().staleness[-1] == 4
    assert len(server.snapshot().sizes) == 100


@pytest.mark.parametrize(("size", "num_shards", "lengths"), [(7, 1, [7]), (7, 3, [2, 2, 3]), (2, 3, [0, 1, 1])])
def test_partition_covers_the_vector_in_parts_of_nearly_equal_length(size, num_shards, lengths):
    parts = partition(size, num_shards)
    assert [part.stop - part.start for part in parts] == lengths
    assert np.concatenate([np.arange(size)[part] for part in parts]).tolist() == list(range(size))


@pytest.mark.parametrize("num_shards", [1, 3])
def test_what_two_bundles_add_sums_up_exactly_on_server_and_in_both(num_shards):
    shards = LocalShards(*(make_server(part.stop - part.start) for part in partition(SIZE, num_shards)))
    bundles = [make_bundle(shards, 0), make_bundle(shards, 1)]
    generator, total = np.random.default_rng(0), np.zeros(SIZE)
    for turn in range(20):
        shared, exchange = bundles[turn % 3 % 2]

        def write_meanwhile(shared=shared):
            change = generator.integers(-8, 8, SIZE)  # integers add up without rounding
            shared.vector += change
            total[:] += change

        write_meanwhile()
        shards.on_push = write_meanwhile  # workers go on while the push is under way
        exchange.exchange()
        shards.on_push = lambda: None
    for _, exchange in [*bundles, *bundles]:
        exchange.exchange()
    assert parameters(shards).tolist() == total.tolist()
    for shared, _ in bundles:
        assert shared.vector.tolist() == total.tolist()


def test_answer_is_taken_over_long_after_its_push():
    shards = LocalShards(make_server())
    (one, exchange_one), (two, exchange_two) = make_bundle(shards, 0), make_bundle(shards, 1)
    one.vector += 1
    one.worker_steps[:], one.worker_updates[:] = [20, 20], [1, 1]
    pushes = exchange_one.collect()
    assert (exchange_one.unpushed_steps, exchange_one.unpushed_updates) == (0, 0)
    two.vector += 10
    exchange_two.exchange()
    pulls = shards.push(pushes)
    one.vector += 100
    one.worker_steps[0] += 20
    exchange_one.take_over(pulls)
    assert (one.vector == 111).all() and (exchange_one.vector == 11).all()
    assert exchange_one.unpushed_steps == 20 and one.env_steps == 60 and exchange_one.num_updates == 2
    exchange_one.exchange()
    assert (parameters(shards) == 111).all()


def test_float16_sends_half_the_bytes_and_its_rounding_error_with_the_next_push():
    server = make_server()
    shards = LocalShards(server)
    shared, exchange = make_bundle(shards, 0, "float16")
    before = server.status().num_bytes
    shared.vector += 1 + 2**-12  # float16 has 10 bits after the point
    exchange.exchange()
    assert server.status().num_bytes - before == SIZE * (2 + 4)
    assert (parameters(shards) == 1).all() and (shared.vector == 1 + 2**-12).all()
    exchange.exchange()
    assert (parameters(shards) == 1 + 2**-12).all() and (shared.vector == 1 + 2**-12).all()


def test_float16_clips_what_it_cannot_hold_and_sends_the_rest_later():
    shards = LocalShards(make_server())
    shared, exchange = make_bundle(shards, 0, "float16")
    shared.vector += 1e5
    exchange.exchange()
    assert (parameters(shards) == 65504).all()
    exchange.exchange()
    assert parameters(shards) == pytest.approx(1e5, rel=1e-3)


def test_counters_reach_server_and_other_bundles():
    shards = LocalShards(make_server())
    (one, exchange_one), (two, exchange_two) = make_bundle(shards, 0), make_bundle(shards, 1)
    one.worker_steps[:], one.worker_updates[:] = [40, 60], [2, 3]
    two.worker_steps[:], two.worker_updates[:] = [5, 0], [1, 0]
    assert (exchange_one.unpushed_updates, exchange_two.unpushed_updates) == (5, 1)
    exchange_one.exchange()
    exchange_two.exchange()
    assert exchange_one.unpushed_updates == 0
    assert (one.env_steps, two.env_steps) == (100, 105)
    assert one.worker_steps.tolist() == [40, 60]  # the steps of others are not its own
    one.worker_steps[0] += 20
    exchange_one.exchange()
    assert one.env_steps == 125
    status = shards.shards[0].status()
    assert (status.node_steps.tolist(), status.node_updates.tolist()) == ([120, 5], [5, 1])


def test_moments_of_two_bundles_are_those_of_all_rows():
    initial = {"rewards": RunningMoments.initial_statistics((3,))}
    server = make_server(moments=initial)
    shards = LocalShards(server)
    generator, rows = np.random.default_rng(1), []

    def observe(shared: SharedParameters, num_rows: int) -> None:
        new = generator.normal(5, 2, (num_rows, 3))
        moments = RunningMoments((3,), shared.moments["rewards"].read())
        moments.update(new)
        shared.moments["rewards"].write(moments.statistics)
        rows.append(new)

    bundles = []
    for index in range(2):
        shared = make_shared(initial)
        bundles.append((shared, Exchange(shared, shards, index, 0)))
    for shared, exchange in [*bundles, *bundles]:
        observe(shared, 10)
        shards.on_push = lambda shared=shared: observe(shared, 3)
        exchange.exchange()
        shards.on_push = lambda: None
    for _, exchange in [*bundles, *bundles]:
        exchange.exchange()
    expected = np.concatenate(rows)
    for found in (server.pull().moments["rewards"], *(shared.moments["rewards"].read() for shared, _ in bundles)):
        assert found["count"] == 52
        np.testing.assert_allclose(found["mean"], expected.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(found["variance"], expected.var(axis=0), rtol=1e-10)


def test_remaining_moments_are_the_inverse_of_a_merge():
    generator = np.random.default_rng(2)
    first, second = generator.normal(3, 1, (50, 2)), generator.normal(-1, 4, (20, 2))
    moments = []
    for rows in (first, second):
        moments.append(RunningMoments((2,)))
        moments[-1].update(rows)
    total = merged_moments(moments[0].statistics, moments[1].statistics)
    np.testing.assert_allclose(total["variance"], np.concatenate([first, second]).var(axis=0), rtol=1e-12)
    rest = remaining_moments(total, moments[0].statistics)
    assert rest["count"] == 20
    np.testing.assert_allclose(rest["mean"], second.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(rest["variance"], second.var(axis=0), rtol=1e-10)
    assert remaining_moments(total, total)["count"] == 0


def test_parameter_that_is_not_finite_is_not_sent():
    shards = LocalShards(make_server())
    shared, exchange = make_bundle(shards, 1)
    shared.vector[2] = np.inf
    with pytest.raises(NonFiniteError, match="bundle 1"):
        exchange.exchange()
    assert (parameters(shards) == 0).all()


def test_bundle_starts_from_the_parameters_and_steps_of_the_server():
    server = make_server()
    server.push(push_of(steps=20))
    shared, _ = make_bundle(LocalShards(server), 1)
    assert (shared.vector == 1).all() and shared.env_steps == 20


def test_server_restored_from_a_snapshot_knows_which_pushes_it_has():
    server = make_server()
    server.push(push_of(steps=20))
    snapshot = server.snapshot()
    server.push(push_of(sequence=2, steps=20))  # is lost with the server
    restored = ParameterServer(snapshot, math.inf)
    assert (restored.push(push_of(steps=20)).vector == 1).all()  # the answer was lost, so it is sent again
    assert (restored.push(push_of(sequence=3, steps=20)).vector == 2).all()
    assert restored.pull().env_steps == 40


def test_bundle_of_a_lost_server_goes_on_from_its_snapshot():
    shards = LocalShards(make_server())
    shared, exchange = make_bundle(shards, 0)
    snapshot = shards.shards[0].snapshot()
    shared.vector += 1
    exchange.exchange()
    shards.shards = (ParameterServer(snapshot, math.inf),)
    shared.vector += 4
    exchange.exchange()
    assert (shared.vector == 4).all() and (parameters(shards) == 4).all()


class UnreliableRemote:
    """A remote shard that does what it is asked, and loses its answer now and then."""

    def __init__(self, server: ParameterServer, lost: list[bool]):
        self.server, self.lost = server, lost

    def start(self, method, *arguments):
        answer, is_lost = getattr(self.server, method)(*arguments), bool(self.lost and self.lost.pop(0))

        class Call:
            def result(self, timeout):
                if is_lost:
                    raise LostError("did not answer")
                return answer

        return Call()


def test_push_whose_answer_is_lost_is_sent_again_and_applied_once(monkeypatch):
    servers_by_name = {f"parameter-server-{shard}": make_server() for shard in range(2)}
    remotes = {name: UnreliableRemote(server, []) for name, server in servers_by_name.items()}
    remotes["parameter-server-1"].lost = [True, True]
    monkeypatch.setattr(servers, "find", remotes.get)
    monkeypatch.setattr(servers, "RETRY_SECONDS", 0.0)
    pulls = RemoteShards(2, timeout=60).push([push_of(), push_of()])
    assert [pull.vector.tolist() for pull in pulls] == [[1] * SIZE] * 2
    assert [pull.num_updates for pull in pulls] == [1, 1]


def test_shard_that_cannot_be_reached_is_named_after_the_timeout(monkeypatch):
    monkeypatch.setattr(servers, "find", lambda name: None)
    monkeypatch.setattr(servers, "RETRY_SECONDS", 0.01)
    with pytest.raises(LostError, match=r"parameter-server-0 was not reached within 0\.05 s: is not there"):
        RemoteShards(1, timeout=0.05).pull()


def test_shard_that_is_lost_is_found_again_by_its_name(monkeypatch):
    lost, restored = UnreliableRemote(make_server(), [False, *[True] * 10]), UnreliableRemote(make_server(), [])
    found = iter([lost, None, restored])
    monkeypatch.setattr(servers, "find", lambda name: next(found))
    monkeypatch.setattr(servers, "RETRY_SECONDS", 0.0)
    shards = RemoteShards(1, timeout=60)
    assert (shards.pull()[0].vector == 0).all()
    assert (shards.push([push_of()])[0].vector == 1).all()
    assert (restored.server.pull().vector == 1).all()
