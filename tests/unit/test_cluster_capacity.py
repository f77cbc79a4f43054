"""The capacity model of a cluster, against arithmetic that can be done by hand."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.cluster_capacity import Measured, predict

# 1,000 updates/s of a node, 4 MB of parameters: 32 ms on the wire at 1 Gbit/s, 3.2 ms at 10.
MEASURED = Measured(
    update_seconds=2e-3,
    num_workers=2,
    num_parameters=10**6,
    delta_bytes=4,
    client_seconds=4e-3,
    server_seconds=1e-3,
)


def test_exchanges_cost_a_node_their_processor_time_only():
    found = predict(MEASURED, num_nodes=2, push_interval=100, bits_per_second=1e9)
    assert not found.is_limited and found.push_interval == pytest.approx(100)
    assert found.speed_up == pytest.approx(2 * (1 - 10 * 4e-3 / 2))  # 10 exchanges/s on a node of 2 workers
    assert found.bytes_per_second == pytest.approx(2 * 10 * 8e6)


@pytest.mark.parametrize(("bits_per_second", "interval"), [(1e9, 64 * 32.0), (1e10, 64 * 3.2)])
def test_slow_network_makes_the_interval_longer_and_no_node_slower(bits_per_second, interval):
    found = predict(MEASURED, num_nodes=64, push_interval=100, bits_per_second=bits_per_second)
    assert found.is_limited and found.push_interval == pytest.approx(interval)  # 1,000 updates/s * seconds of a round
    assert 62 < found.speed_up < 64


def test_shards_share_the_work_of_the_server():
    one, four = (predict(MEASURED, 64, 1, 1e9, num_servers=number).push_interval for number in (1, 4))
    assert one == pytest.approx(4 * four)


def test_server_whose_processor_is_slower_than_the_wire_is_the_limit():
    slow = dataclasses.replace(MEASURED, server_seconds=0.1)
    assert predict(slow, 8, 1, 1e9).push_interval == pytest.approx(8 * 0.1 * 1000)


def test_one_bundle_exchanges_no_more_often_than_an_exchange_takes():
    far = dataclasses.replace(MEASURED, latency_seconds=0.05)
    seconds = 4e-3 + 0.05 + 1e-3 + 32e-3
    assert predict(far, 1, 1, 1e9).push_interval == pytest.approx(seconds * 1000)
