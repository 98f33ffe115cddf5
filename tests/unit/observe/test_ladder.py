"""The ladder: one rung for each hop of a frame, with what became of it."""

import pytest

from pystack.core.tcp_events import TcpRetransmitted, TcpStateChanged
from pystack.observe.ladder import LadderRecorder, Rung, draw
from pystack.observe.observer import Dropped, Event, FrameSeen
from pystack.wire import ethernet, ipv4, udp
from pystack.wire.frame import Frame

A, B = 0x0A000001, 0x0A000002
NAMES = {"10.0.0.1": "a", "10.0.0.2": "b"}
MACS = {"a": b"\x02\0\0\0\0\x0a", "b": b"\x02\0\0\0\0\x0b", "r": b"\x02\0\0\0\0\x0c"}
EVERYBODY = b"\xff" * 6


def frame(src: str, dst: str | None, payload: bytes = b"x") -> Frame:
    """Return a datagram from A to B, in a frame between two stations; None: to all."""
    body = udp.pack(A, B, 5, 7, payload)
    packet = ipv4.pack_header(A, B, ipv4.UDP, len(body)) + body
    to = EVERYBODY if dst is None else MACS[dst]
    return Frame(ethernet.pack(to, MACS[src], ethernet.IPV4, packet))


def sent(at: float, host: str, what: Frame) -> FrameSeen:
    return FrameSeen(at, host, "eth0", True, what)


def heard(at: float, host: str, what: Frame) -> FrameSeen:
    # Another object with the same bytes, as after a switch.
    return FrameSeen(at, host, "eth0", False, Frame(what.data))


def ladder(*events: Event, order: tuple[str, ...] = ("a", "r", "b"), rungs: int = 40) -> list[str]:
    recorder = LadderRecorder()
    for event in events:
        recorder.on_event(event)
    return recorder.lines(names=NAMES, order=order, rungs=rungs)


def test_a_frame_is_one_arrow_at_the_instant_of_its_sending() -> None:
    there, back = frame("a", "b"), frame("b", "a", b"yes")
    events = [sent(1.0, "a", there), heard(1.5, "b", there)]
    events += [sent(1.5, "b", back), heard(2.0, "a", back)]
    assert ladder(*events) == [
        "time         a             b",
        "1.000000     |------------>|  a.5 > b.7: UDP, length 1",
        "1.500000     |<------------|  a.5 > b.7: UDP, length 3",
    ]


def test_each_hop_is_a_rung_and_hosts_stand_in_the_order_given() -> None:
    first, second = frame("a", "r"), frame("r", "b", b"xx")
    events = [sent(0.0, "a", first), heard(0.01, "r", first)]
    events += [sent(0.01, "r", second), heard(0.02, "b", second)]
    assert ladder(*events) == [
        "time         a             r             b",
        "0.000000     |------------>|             |  a.5 > b.7: UDP, length 1",
        "0.010000     |             |------------>|  a.5 > b.7: UDP, length 2",
    ]


def test_a_frame_for_all_has_an_arrow_to_each() -> None:
    call = frame("r", None)
    assert ladder(sent(0.0, "r", call), heard(0.1, "a", call), heard(0.1, "b", call))[1:] == [
        "0.000000     |<------------|------------>|  a.5 > b.7: UDP, length 1"
    ]


def test_a_frame_that_a_link_loses_ends_in_an_x_with_the_reason() -> None:
    lost = frame("a", "b")
    loss = Dropped(0.0, "a-b", "a_to_b", "loss", lost.data)
    hello = frame("b", "a", b"hello")
    assert ladder(sent(0.0, "b", hello), heard(0.0, "a", hello), sent(0.0, "a", lost), loss)[
        2:
    ] == ["0.000000     |-----x       |  a.5 > b.7: UDP, length 1 (loss)"]


def test_of_equal_frames_the_one_that_was_lost_is_marked() -> None:
    one = frame("a", "b")
    loss = Dropped(0.0, "a-b", "a_to_b", "loss", one.data)
    events = [sent(0.0, "a", one), loss, sent(1.0, "a", one), heard(1.1, "b", one)]
    assert [line[13:] for line in ladder(*events)[1:]] == [
        "|-----x       |  a.5 > b.7: UDP, length 1 (loss)",
        "|------------>|  a.5 > b.7: UDP, length 1",
    ]
    events = [sent(0.0, "a", one), sent(1.0, "a", one), loss, heard(1.1, "b", one)]
    loss.at = 1.0
    assert [line[13:] for line in ladder(*events)[1:]] == [
        "|------------>|  a.5 > b.7: UDP, length 1",
        "|-----x       |  a.5 > b.7: UDP, length 1 (loss)",
    ]


def test_a_second_copy_is_a_mark_where_it_arrives() -> None:
    one = frame("a", "b")
    assert [
        line[13:] for line in ladder(sent(0, "a", one), heard(1, "b", one), heard(2, "b", one))[1:]
    ] == [
        "|------------>|  a.5 > b.7: UDP, length 1",
        "|             o  > a.5 > b.7: UDP, length 1",
    ]


def test_drops_and_retransmissions_are_marks_at_their_host() -> None:
    one = frame("a", "b")
    assert [
        line[13:]
        for line in ladder(
            sent(0.0, "a", one),
            heard(0.1, "b", one),
            Dropped(0.1, "b", "eth0", "udp_no_socket", b""),
            Dropped(0.1, "sw", None, "switch_same_port", b""),
            TcpRetransmitted(0.2, "a", ("10.0.0.1", 1), ("10.0.0.2", 2), "rto", 5, 10),
            TcpStateChanged(0.2, "a", ("10.0.0.1", 1), ("10.0.0.2", 2), "LISTEN", "CLOSED"),
        )[1:]
    ] == [
        "|------------>|  a.5 > b.7: UDP, length 1",
        "|             *  * eth0 drop udp_no_socket",
        "*             |  * tcp a.1 > b.2 retransmit (rto) seq 5, length 10",
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("fd00::1.5 > fd00::2.7: UDP, length 1", "a.5 > b.7: UDP, length 1"),
        ("fd00::1 > fd00::2: ICMP6, echo request", "a > b: ICMP6, echo request"),
        (
            ":: > ff02::1:ff00:2: who has fd00::2, length 8",
            ":: > ff02::1:ff00:2: who has b, length 8",
        ),
        ("fd00::12 > fd00::2:1: fd00::1", "fd00::12 > fd00::2:1: a"),
        ("10.0.0.1.5 > 10.0.0.11.7: seq 1:5", "v4.5 > 10.0.0.11.7: seq 1:5"),
        ("is-at 02:00:00:00:00:01, fe80::", "is-at 02:00:00:00:00:01, link"),
    ],
)
def test_addresses_of_both_versions_are_shown_by_their_names(text: str, named: str) -> None:
    names = {"fd00::1": "a", "fd00::2": "b", "10.0.0.1": "v4", "fe80::": "link"}
    (_, line) = draw([Rung(0.0, "h", text)], names=names)
    assert line.endswith(f"  {named}")


def test_only_the_last_rungs_are_drawn() -> None:
    events = [sent(float(at), "a", frame("a", "b", bytes(at))) for at in range(9)]
    assert [line[:8] for line in ladder(*events, rungs=2)[1:]] == ["7.000000", "8.000000"]


def test_of_many_hosts_the_names_are_in_the_lines() -> None:
    events: list[Event] = []
    for number in range(8):
        one = Frame(EVERYBODY + bytes([2, 0, 0, 0, 0, number]) + b"\x08\x00")
        events += [sent(0.0, f"h{number}", one)]
        if number < 7:
            events += [heard(0.0, f"h{number + 1}", one)]
    found = ladder(*events, order=())
    assert found[1] == "0.000000     h0 -> h1  [|ip]"
    assert found[8] == "0.000000     h7 -x     [|ip]"


def test_nothing_seen_is_nothing_drawn() -> None:
    assert ladder() == []
