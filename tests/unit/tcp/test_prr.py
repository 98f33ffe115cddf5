"""Proportional rate reduction: RFC 9937."""

import pytest

from pystack.tcp.recovery.prr import Prr

MSS = 1000


def test_the_fast_retransmit_goes_out_in_any_case() -> None:
    prr = Prr(20 * MSS, 10 * MSS, MSS)
    assert prr.room_bytes == MSS
    prr.on_ack(1, 19 * MSS, safe=False)
    assert prr.room_bytes == MSS or prr.room_bytes == 1  # one byte of share, or the retransmit


@pytest.mark.rfc("9937", "6")
def test_what_is_on_the_way_goes_down_evenly() -> None:
    prr = Prr(20 * MSS, 10 * MSS, MSS)
    pipe, sent = 19 * MSS, []
    prr.on_ack(MSS, pipe - MSS, safe=False)
    for _ in range(16):
        while prr.room_bytes >= MSS:
            prr.on_sent(MSS)
            pipe += MSS
            sent.append(MSS)
        pipe -= MSS
        prr.on_ack(MSS, pipe, safe=False)
    # One for two, all through the round trip
    assert 8 <= len(sent) <= 9
    assert pipe == pytest.approx(10 * MSS, abs=2 * MSS)


@pytest.mark.rfc("9937", "6")
def test_below_ssthresh_it_is_one_for_one_while_losses_go_on() -> None:
    prr = Prr(20 * MSS, 10 * MSS, MSS)
    prr.on_ack(MSS, 4 * MSS, safe=False)
    prr.on_sent(MSS)
    prr.on_ack(MSS, 5 * MSS, safe=False)
    assert prr.room_bytes == MSS


@pytest.mark.rfc("9937", "6")
def test_below_ssthresh_it_is_one_more_where_the_repair_gets_on() -> None:
    prr = Prr(20 * MSS, 10 * MSS, MSS)
    prr.on_ack(MSS, 4 * MSS, safe=False)
    prr.on_sent(MSS)
    prr.on_ack(MSS, 5 * MSS, safe=True)
    assert prr.room_bytes == 2 * MSS


@pytest.mark.rfc("9937", "6")
def test_it_never_goes_above_ssthresh() -> None:
    prr = Prr(20 * MSS, 10 * MSS, MSS)
    prr.on_sent(MSS)
    prr.on_ack(15 * MSS, 9 * MSS, safe=True)
    assert prr.room_bytes == MSS


def test_an_ack_that_delivers_nothing_gives_nothing() -> None:
    prr = Prr(20 * MSS, 10 * MSS, MSS)
    prr.on_sent(MSS)
    prr.on_ack(0, 3 * MSS, safe=False)
    assert prr.room_bytes == 0
