"""Patch and SideDoor: who gets which frame, and in what form."""

import pytest
from tcp_frames import headers_of

from pystack.core.addresses import Mac, parse_ip4
from pystack.link.patch import Patch, SideDoor
from pystack.link.port import FrameSink
from pystack.wire import ethernet, ipv4, tcp, udp
from pystack.wire.frame import CHECKSUM_GOOD, CHECKSUM_PARTIAL, Frame, SuperFrame

A, B = parse_ip4("10.0.0.1"), parse_ip4("10.0.0.2")
MAC_A, MAC_B = Mac(bytes.fromhex("020000000001")), Mac(bytes.fromhex("020000000002"))
BROADCAST = b"\xff" * 6
ISS = 2**32 - 100


class Port:
    """Remembers what is sent on it; `arrive` is its other end."""

    mtu_bytes = 1500

    def __init__(self, *, gso_max_bytes: int = 0, fills_checksums: bool = False) -> None:
        self.gso_max_bytes = gso_max_bytes
        self.fills_checksums = fills_checksums
        self.sent: list[tuple[Frame, float]] = []
        self.arrive: FrameSink = lambda frame, now: None
        self.closed = False

    def attach(self, sink: FrameSink) -> None:
        self.arrive = sink

    def send(self, frame: Frame, now: float) -> None:
        self.sent.append((frame, now))

    def close(self) -> None:
        self.closed = True


class BurstPort(Port):
    """A port that takes bursts of datagrams too."""

    uso_max_bytes = 65507


def burst() -> Frame:
    body = udp.pack(B, A, 7, 9, bytes(3000))
    packet = ipv4.pack_header(B, A, ipv4.UDP, len(body)) + body
    return Frame(ethernet.pack(MAC_A, MAC_B, ethernet.IPV4, packet), CHECKSUM_PARTIAL, 1000)


def test_a_burst_of_datagrams_passes_whole_only_where_bursts_are_taken() -> None:
    one, takes = Port(), BurstPort(gso_max_bytes=65000, fills_checksums=True)
    Patch(one, takes)
    frame = burst()
    one.arrive(frame, 1.0)
    assert takes.sent == [(frame, 1.0)]
    for port in (Port(gso_max_bytes=65000, fills_checksums=True), BurstPort()):
        Patch(one, port)
        one.arrive(frame, 1.0)
        assert [(len(piece), piece.gso_bytes) for piece, _ in port.sent] == [(1042, 0)] * 3


def super_frame(payload_bytes: int = 3000, gso_bytes: int = 1448) -> Frame:
    segment = tcp.Segment(80, 9999, ISS, 0, tcp.ACK, 5, b"", memoryview(bytes(payload_bytes)))
    body = tcp.pack_header(segment, B, A, partial=True) + bytes(payload_bytes)
    packet = ipv4.pack_header(B, A, ipv4.TCP, len(body)) + body
    frame = ethernet.pack(MAC_A, MAC_B, ethernet.IPV4, packet)
    return Frame(frame, CHECKSUM_PARTIAL, gso_bytes)


def test_what_arrives_at_one_port_is_sent_on_the_other_at_that_instant() -> None:
    one, other = Port(), Port()
    Patch(one, other)
    there, back = Frame(b"there"), Frame(b"back")
    one.arrive(there, 1.5)
    other.arrive(back, 2.5)
    assert other.sent == [(there, 1.5)]
    assert one.sent == [(back, 2.5)]


def test_a_super_frame_passes_whole_where_it_is_taken() -> None:
    one, other = Port(), Port(gso_max_bytes=65000, fills_checksums=True)
    Patch(one, other)
    frame = super_frame()
    one.arrive(frame, 1.0)
    assert other.sent == [(frame, 1.0)]


def test_a_super_frame_is_cut_where_it_is_not_taken() -> None:
    one, other = Port(), Port(fills_checksums=True)
    patch = Patch(one, other)
    one.arrive(super_frame(), 1.0)
    packets = [ipv4.parse(memoryview(frame.data)[14:]) for frame, _ in other.sent]
    segments = [tcp.parse(packet) for packet in packets]  # raises for a wrong checksum
    assert [segment.seq for segment in segments] == [
        ISS,
        ISS + 1448 & 0xFFFFFFFF,
        ISS + 2896 & 0xFFFFFFFF,
    ]
    assert [len(segment.payload) for segment in segments] == [1448, 1448, 104]
    assert patch.counters == {}


def test_an_open_checksum_is_filled_only_where_nobody_else_does() -> None:
    one, knows, does_not = Port(), Port(fills_checksums=True), Port()
    frame = super_frame(payload_bytes=10, gso_bytes=0)
    Patch(one, knows)
    one.arrive(frame, 1.0)
    assert knows.sent == [(frame, 1.0)]
    Patch(one, does_not)
    one.arrive(frame, 1.0)
    [(sent, _)] = does_not.sent
    assert sent.checksum == CHECKSUM_GOOD
    segment = tcp.parse(ipv4.parse(memoryview(sent.data)[14:]))  # raises for a wrong checksum
    assert len(segment.payload) == 10


@pytest.mark.parametrize("gso_bytes", [0, 1448])
def test_bytes_that_are_not_what_they_claim_are_counted(gso_bytes: int) -> None:
    one, other = Port(), Port()
    patch = Patch(one, other)
    one.arrive(Frame(super_frame().data[:20], CHECKSUM_PARTIAL, gso_bytes), 1.0)
    assert other.sent == []
    assert patch.counters == {"ip_truncated": 1}


def test_a_closed_patch_passes_nothing_and_counts_it() -> None:
    one, other = Port(), Port()
    patch = Patch(one, other)
    patch.close()
    one.arrive(Frame(b"late"), 1.0)
    assert other.sent == []
    assert patch.counters == {"patch_closed": 1}
    assert not one.closed


@pytest.fixture
def door() -> tuple[Port, list[bytes], SideDoor, list[bytes]]:
    """Return the inner port, what came out at the far side, the door, what the station heard."""
    inner, far, beside = Port(gso_max_bytes=7, fills_checksums=True), [], []
    door = SideDoor(inner, MAC_B)
    door.attach(lambda frame, now: far.append(frame.data[:6]))
    door.station.attach(lambda frame, now: beside.append(frame.data[:6]))
    return inner, far, door, beside


Door = tuple[Port, list[bytes], SideDoor, list[bytes]]


@pytest.mark.parametrize(
    ("to", "hear"),
    [(MAC_A, ["far"]), (MAC_B, ["beside"]), (BROADCAST, ["far", "beside"]), (b"", ["far"])],
)
def test_frames_for_the_station_beside_are_not_for_the_far_side(
    door: Door, to: bytes, hear: list[str]
) -> None:
    inner, far, _, beside = door
    inner.arrive(Frame(to + bytes(8) if to else b""), 1.0)
    assert far == ([to] if "far" in hear else [])
    assert beside == ([to] if "beside" in hear else [])


def test_both_sides_of_a_side_door_send_to_the_inner_port_and_never_to_each_other(
    door: Door,
) -> None:
    inner, far, outer, beside = door
    outer.send(Frame(BROADCAST), 1.0)
    outer.station.send(Frame(BROADCAST), 2.0)
    assert [now for _, now in inner.sent] == [1.0, 2.0]
    assert (far, beside) == ([], [])


def test_a_station_that_closes_hears_nothing_and_closes_nobody_else(door: Door) -> None:
    inner, far, outer, beside = door
    outer.station.close()
    inner.arrive(Frame(BROADCAST), 1.0)
    assert (far, beside) == ([BROADCAST], [])
    assert not inner.closed
    outer.close()
    assert inner.closed


def test_a_side_door_takes_what_the_inner_port_takes(door: Door) -> None:
    _, _, outer, _ = door
    assert (outer.gso_max_bytes, outer.fills_checksums, outer.mtu_bytes) == (7, True, 1500)
    assert (outer.station.gso_max_bytes, outer.station.fills_checksums) == (0, False)


def test_a_packet_beyond_64_kib_is_cut_down_for_a_port_that_takes_no_larger_ones() -> None:
    segment = tcp.Segment(1, 2, 3, 4, tcp.ACK, 5, b"", b"")
    text = bytes(200_000)
    segment.payload, segment.more = text[:150_000], (text[150_000:],)
    head = headers_of(segment, 1, 2, bytes(6), bytes(6), partial=True)
    frame = SuperFrame(head, segment.payload, CHECKSUM_PARTIAL, 1460, segment.more)
    for most_bytes, sizes in ((524_288, [200_000]), (65_455, [64_240] * 3 + [7_280])):
        one, other = Port(), Port(gso_max_bytes=most_bytes, fills_checksums=True)
        Patch(one, other)
        one.arrive(frame, 0.0)
        assert [len(sent) - 54 for sent, _ in other.sent] == sizes
        assert {sent.gso_bytes for sent, _ in other.sent} == {1460}
