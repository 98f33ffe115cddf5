"""The log for programs: one object of JSON per event."""

import json

import sample_frames as frames

from pystack.core.tcp_events import TcpMeasured, TcpStateChanged
from pystack.observe.json_log import JsonObserver
from pystack.observe.observer import Dropped, Event, FrameSeen
from pystack.wire.frame import Frame

ENDS = (("10.77.0.2", 80), ("10.77.0.1", 40324))


def objects_of(events: list[Event], packets: bool, offset_s: float = 0.0) -> list[object]:
    lines: list[str] = []
    observer = JsonObserver(lines.append, packets=packets, wall_clock_offset_s=offset_s)
    for event in events:
        observer.on_event(event)
    return [json.loads(line) for line in lines]


def test_an_event_is_an_object_with_its_fields() -> None:
    events: list[Event] = [
        Dropped(1.5, "h", None, "no_route", b"\x00\xff"),
        TcpStateChanged(2.0, "h", *ENDS, "SYN_SENT", "ESTABLISHED"),
        TcpMeasured(2.0, "h", *ENDS, "rtt_s", 0.1),
    ]
    assert objects_of(events, packets=False) == [
        {
            "time": 1.5,
            "event": "Dropped",
            "host": "h",
            "interface": None,
            "reason": "no_route",
            "data": "00ff",
        },
        {
            "time": 2.0,
            "event": "TcpStateChanged",
            "host": "h",
            "local": ["10.77.0.2", 80],
            "remote": ["10.77.0.1", 40324],
            "old": "SYN_SENT",
            "new": "ESTABLISHED",
        },
    ]


def test_a_frame_has_its_bytes_and_its_summary_where_packets_are_wanted() -> None:
    data = frames.arp_frame(1, frames.B)
    seen = FrameSeen(0.25, "h", "tap0", False, Frame(data))
    assert objects_of([seen], packets=False) == []
    assert objects_of([seen], packets=True) == [
        {
            "time": 0.25,
            "event": "FrameSeen",
            "host": "h",
            "interface": "tap0",
            "sent": False,
            "frame": bytes(data).hex(),
            "summary": "ARP, Request who-has 10.77.0.2 tell 10.77.0.1, length 28",
        }
    ]


def test_in_real_time_the_time_is_that_of_the_wall_clock_in_utc() -> None:
    (line,) = objects_of([Dropped(1.5, "h", None, "x", b"")], packets=False, offset_s=86400.0)
    assert isinstance(line, dict)
    assert line["time"] == "1970-01-02T00:00:01.500000+00:00"
