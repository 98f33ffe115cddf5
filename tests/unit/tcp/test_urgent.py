"""Urgent data stays in line, and its pointer is told: RFC 9293 section 3.8.5, RFC 6093."""

import pytest
from script import Script

from pystack.tcp.events import Signal
from pystack.wire.tcp import URG


@pytest.mark.rfc("9293", "MUST-30")
@pytest.mark.rfc("9293", "MUST-31")
@pytest.mark.rfc("9293", "MUST-62")
def test_segments_before_the_end_of_what_is_urgent_point_to_the_octet_after_it() -> None:
    tcp = Script(gso_max_bytes=65_000)
    tcp.established()
    tcp.conn.tcb.no_delay = True
    tcp.write(1000)
    tcp.write_urgent(3000)
    tcp.write(500)
    sent = tcp.drain()
    assert [(segment.flags & URG, segment.up) for segment in sent] == [
        (0, 0),  # went out before anything was urgent
        (URG, 3000),
        (URG, 1540),
        (URG, 80),
        (0, 0),  # nor is what comes after it
    ]
    assert all(not segment.gso_bytes for segment in sent)


@pytest.mark.rfc("9293", "MUST-31")
def test_what_is_urgent_may_be_longer_than_a_pointer_reaches() -> None:
    tcp = Script()
    tcp.established(options="mss 1460,wscale 7")
    tcp.write_urgent(100_000)
    first, *_ = tcp.drain()
    assert (first.flags & URG, first.up) == (URG, 0xFFFF)


@pytest.mark.rfc("9293", "MUST-32")
@pytest.mark.rfc("9293", "MUST-33")
def test_the_user_is_told_of_a_pointer_and_what_is_to_be_read_up_to_it(tcp: Script) -> None:
    tcp.established()
    tcp.signals.clear()
    tcp.inject("+0.1 < PU. 1:11(10) ack 1 win 65535 urg 300")
    assert Signal.URGENT in tcp.signals
    assert tcp.conn.info().urgent_bytes == 300
    tcp.read(4)
    assert tcp.conn.info().urgent_bytes == 296
    tcp.signals.clear()
    tcp.inject("+0 < PU. 11:21(10) ack 1 win 65535 urg 290")
    assert Signal.URGENT not in tcp.signals  # the same place
    tcp.inject("+0 < PU. 21:31(10) ack 1 win 65535 urg 281")
    assert Signal.URGENT in tcp.signals
    tcp.drain()
    assert len(tcp.read()) == 26  # nothing was taken out
    tcp.inject("+0 < P. 31:302(271) ack 1 win 65535")
    tcp.read()
    assert tcp.conn.info().urgent_bytes == 0
    tcp.drain()


def test_a_pointer_without_text_may_come_before_the_text(tcp: Script) -> None:
    tcp.established()
    tcp.inject("+0.1 < U. 1:1(0) ack 1 win 65535 urg 5")
    assert tcp.conn.info().urgent_bytes == 5
    tcp.inject("+0 < U. 1:1(0) ack 1 win 65535 urg 0")  # points to where we are
    assert tcp.conn.info().urgent_bytes == 5


def test_a_pointer_after_the_end_of_their_text_is_nothing(tcp: Script) -> None:
    tcp.established()
    tcp.inject("+0.1 < F. 1:1(0) ack 1 win 65535")
    tcp.expect("+0.001 > . 1:1(0) ack 2")
    tcp.inject("+0.1 < U. 2:2(0) ack 1 win 65535 urg 5")
    assert tcp.conn.info().urgent_bytes == 0
