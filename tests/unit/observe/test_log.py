"""The lines of -v and -vv."""

import errno
import logging

import pytest
import sample_frames as frames

from pystack.core.tcp_events import TcpRetransmitted, TcpSoftError, TcpStateChanged
from pystack.observe.log import LogObserver
from pystack.observe.observer import Dropped, Event, FellBehind, FrameSeen, NeighborChanged
from pystack.wire.frame import Frame

LOGGER = logging.getLogger("test-pystack")
ENDS = (("10.77.0.2", 80), ("10.77.0.1", 40324))


def lines_of(caplog: pytest.LogCaptureFixture, events: list[Event], packets: bool) -> list[str]:
    caplog.set_level(logging.INFO, LOGGER.name)
    observer = LogObserver(LOGGER.info, packets=packets)
    for event in events:
        observer.on_event(event)
    return [record.getMessage() for record in caplog.records]


def test_packets_have_time_interface_and_direction(caplog: pytest.LogCaptureFixture) -> None:
    arp = Frame(frames.arp_frame(1, frames.B))
    events: list[Event] = [
        FrameSeen(3661.000001, "h", "tap0", False, arp),
        FrameSeen(3661.5, "h", "tap0", True, arp),
    ]
    assert lines_of(caplog, events, packets=True) == [
        "01:01:01.000001 tap0  In  ARP, Request who-has 10.77.0.2 tell 10.77.0.1, length 28",
        "01:01:01.500000 tap0  Out ARP, Request who-has 10.77.0.2 tell 10.77.0.1, length 28",
    ]


def test_without_packets_only_what_happened_is_told(caplog: pytest.LogCaptureFixture) -> None:
    events: list[Event] = [
        FrameSeen(0.0, "h", "tap0", False, Frame(b"")),
        Dropped(0.0, "h", "tap0", "tcp_bad_checksum", bytes(60)),
        Dropped(0.0, "h", None, "no_route", b""),
        NeighborChanged(0.0, "h", "tap0", "10.0.0.1", "INCOMPLETE", "FAILED", None),
        NeighborChanged(0.0, "h", "tap0", "10.0.0.1", "STALE", "DELAY", "02:00:00:00:00:01"),
        TcpStateChanged(0.0, "h", *ENDS, "LISTEN", "SYN-RECEIVED"),
        TcpRetransmitted(0.0, "h", *ENDS, "rto", 4294967196, 1460),
        TcpSoftError(0.0, "h", *ENDS, errno.EHOSTUNREACH, "icmp"),
        FellBehind(0.0, "a-b", 0.0361, -2.25, 0.001),
    ]
    assert [line.removeprefix("00:00:00.000000 ") for line in lines_of(caplog, events, False)] == [
        "tap0 drop tcp_bad_checksum (60 bytes)",
        "h drop no_route",
        "tap0 neighbor 10.0.0.1 INCOMPLETE -> FAILED",
        "tap0 neighbor 10.0.0.1 02:00:00:00:00:01 STALE -> DELAY",
        "h tcp 10.77.0.2.80 > 10.77.0.1.40324 LISTEN -> SYN-RECEIVED",
        "h tcp 10.77.0.2.80 > 10.77.0.1.40324 retransmit (rto) seq 4294967196, length 1460",
        "h tcp 10.77.0.2.80 > 10.77.0.1.40324 trouble (icmp) EHOSTUNREACH",
        "a-b runs 36.1 ms late, for 2.2 s; its delay hides 1.0 ms",
    ]


def test_real_time_is_shown_as_the_time_of_day_here(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER.name)
    observer = LogObserver(LOGGER.info, packets=False, wall_clock_offset_s=1.7e9)
    observer.on_event(Dropped(0.25, "h", None, "no_route", b""))
    [record] = caplog.records
    # The hour (and in some zones the minute) is the zone's; 1.7e9 is 22:13:20 UTC.
    assert record.getMessage()[5:] == ":20.250000 h drop no_route"


def test_where_there_are_several_hosts_each_line_says_whose_it_is() -> None:
    said: list[str] = []
    observer = LogObserver(said.append, packets=True, hosts=True)
    arp = Frame(frames.arp_frame(1, frames.B))
    observer.on_event(FrameSeen(0.5, "client", "eth0", True, arp))
    observer.on_event(Dropped(0.5, "client", "eth0", "tcp_bad_checksum", bytes(60)))
    observer.on_event(TcpStateChanged(0.5, "client", *ENDS, "LISTEN", "SYN-RECEIVED"))
    assert [line.removeprefix("00:00:00.500000 ") for line in said] == [
        "client eth0  Out ARP, Request who-has 10.77.0.2 tell 10.77.0.1, length 28",
        "client eth0 drop tcp_bad_checksum (60 bytes)",
        "client tcp 10.77.0.2.80 > 10.77.0.1.40324 LISTEN -> SYN-RECEIVED",
    ]
