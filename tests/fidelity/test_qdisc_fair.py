"""FQ-CoDel: equal shares for bulk flows, no waiting for sparse ones (RFC 8290)."""

import statistics

import pytest
from qdisc_line import frame, mixed, poisson, steady, transmit

from pystack.core.rng import Random
from pystack.link.qdisc.registry import parse_qdisc

RATE_BPS = 10e6
FRAME_S = 1514 * 8 / RATE_BPS


def test_bulk_flows_get_equal_shares_of_bytes_whatever_their_frames() -> None:
    queue = parse_qdisc("fq_codel limit 1000")(Random(1))
    arrivals = mixed(
        steady(6e6, 10.0, frame(1514, 1)),
        steady(8e6, 10.0, frame(500, 2)),
        steady(9e6, 10.0, frame(150, 3)),
    )
    sent = transmit(queue, arrivals, RATE_BPS)
    shares = [
        sum(len(item.frame) for item in sent if item.flow == flow and 3 < item.left_at < 10)
        for flow in (1, 2, 3)
    ]
    for share in shares:
        assert share == pytest.approx(sum(shares) / 3, rel=0.01)


def test_a_sparse_flow_waits_for_no_more_than_the_frame_on_the_wire() -> None:
    queue = parse_qdisc("fq_codel")(Random(1))
    arrivals = mixed(
        *[steady(5e6, 20.0, frame(1514, flow)) for flow in range(1, 5)],
        steady(32e3, 20.0, frame(100, 9)),  # each 25 ms, like a voice
    )
    sent = transmit(queue, arrivals, RATE_BPS)
    # all flows begin at 0, and are new then
    sparse = [item.sojourn_s for item in sent if item.flow == 9 and item.arrived_at > 0]
    bulk = [item.sojourn_s for item in sent if item.flow == 1]
    assert len(sparse) == 799
    assert max(sparse) <= FRAME_S
    assert statistics.median(bulk) > 100 * FRAME_S


def test_who_sends_twice_in_a_round_waits_for_one_turn_of_the_others() -> None:
    queue = parse_qdisc("fq_codel")(Random(1))
    arrivals = mixed(
        *[steady(5e6, 20.0, frame(1514, flow)) for flow in range(1, 5)],
        poisson(Random(3), 300e3, 20.0, frame(100, 9)),
    )
    sent = transmit(queue, arrivals, RATE_BPS)
    sparse = [item.sojourn_s for item in sent if item.flow == 9]
    assert FRAME_S < max(sparse) <= 5 * FRAME_S


def test_without_it_the_sparse_flow_waits_behind_the_bulk() -> None:
    queue = parse_qdisc("pfifo limit 100")(Random(1))
    arrivals = mixed(
        *[steady(5e6, 5.0, frame(1514, flow)) for flow in range(1, 5)],
        poisson(Random(3), 50e3, 5.0, frame(100, 9)),
    )
    sent = transmit(queue, arrivals, RATE_BPS)
    sparse = [item.sojourn_s for item in sent if item.flow == 9 and item.arrived_at > 1]
    assert min(sparse) > 85 * FRAME_S


def test_sixty_four_flows_share_fairly() -> None:
    queue = parse_qdisc("fq_codel flows 65536")(Random(1))
    arrivals = mixed(*[steady(0.5e6, 10.0, frame(1000, flow)) for flow in range(64)])
    sent = transmit(queue, arrivals, RATE_BPS)
    shares = [0] * 64
    for item in sent:
        if 2 < item.left_at < 10:
            shares[item.flow] += 1
    # Jain's index: 1 where all are equal
    index = sum(shares) ** 2 / (64 * sum(share**2 for share in shares))
    assert index > 0.999
