"""Bursts of datagrams, in and out: a host does with them what it does with each by itself."""

import errno
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stack_bench import FAR, PEER, Bench, udp_frame

from pystack.core.addresses import LIMITED_BROADCAST, UNSPECIFIED, Ip4
from pystack.wire import ipv4, udp
from pystack.wire.frame import CHECKSUM_GOOD, CHECKSUM_PARTIAL, CHECKSUM_UNKNOWN, Frame, split


class BurstBench(Bench):
    """One whose port cuts super-frames, of datagrams too, and where nobody looks on."""

    def __init__(self, *, uso_max_bytes: int = udp.MAX_PAYLOAD_BYTES) -> None:
        super().__init__()
        self.know_peer()
        self.port.gso_max_bytes = 65000
        self.port.fills_checksums = True
        self.port.uso_max_bytes = uso_max_bytes
        self.host.observers.clear()

    def send(self, datagrams: Sequence[bytes], dst: Ip4 = PEER) -> list[Frame]:
        """Return the frames that many datagrams from port 9 to port 7 leave as."""
        socket = self.host.udp.bind(UNSPECIFIED, 9)
        socket.send_many(datagrams, dst, 7, 1.0)
        return self.taken()


def datagrams_of(frames: list[Frame]) -> list[bytes]:
    """Return the payloads; raises if a checksum is wrong where it is there."""
    pieces = [piece for frame in frames for piece in split(frame)]
    packets = [ipv4.parse(memoryview(piece.data)[14:]) for piece in pieces]
    return [bytes(udp.parse(packet).payload) for packet in packets]


def sizes(frames: list[Frame]) -> list[tuple[int, int]]:
    """Return payload bytes and those of each piece."""
    return [(len(frame) - 42, frame.gso_bytes) for frame in frames]


def test_datagrams_of_one_size_leave_as_one_frame_and_the_last_may_be_shorter() -> None:
    bench = BurstBench()
    sent = [bytes([number]) * 1000 for number in range(3)] + [b"rest"]
    frames = bench.send(sent)
    assert sizes(frames) == [(3004, 1000)]
    assert datagrams_of(frames) == sent
    assert bench.counters["udp_datagrams_out"] == 4


def test_each_datagram_has_an_identification_of_its_own() -> None:
    bench = BurstBench()
    frames = bench.send([b"one", b"two", b"six", b"longer", b"x"])
    pieces = [piece for frame in frames for piece in split(frame)]
    idents = [int.from_bytes(piece.data[18:20], "big") for piece in pieces]
    assert [ident - idents[0] & 0xFFFF for ident in idents] == [0, 1, 2, 3, 4]


def test_a_burst_is_64_datagrams_and_what_an_ip_packet_holds_at_most() -> None:
    assert sizes(BurstBench().send([b"xy"] * 130)) == [(128, 2), (128, 2), (4, 2)]
    most = 44 * 1472
    assert sizes(BurstBench().send([bytes(1472)] * 45)) == [(most, 1472), (1472, 0)]
    assert sizes(BurstBench(uso_max_bytes=2500).send([bytes(1000)] * 3)) == [
        (2000, 1000),
        (1000, 0),
    ]


@given(st.lists(st.binary(max_size=6), max_size=200), st.sampled_from([0, 20, 65507]))
def test_what_is_sent_is_the_same_datagrams_in_order(sent: list[bytes], most: int) -> None:
    bench = BurstBench(uso_max_bytes=most)
    frames = bench.send(sent)
    assert datagrams_of(frames) == sent
    assert bench.counters["udp_datagrams_out"] == len(sent)
    assert all(len(frame) - 42 <= max(most, 6) for frame in frames)


def test_a_port_that_takes_no_bursts_gets_datagrams() -> None:
    bench = Bench()
    bench.know_peer()
    bench.host.udp.bind(UNSPECIFIED, 9).send_many([b"one", b"two"], PEER, 7, 1.0)
    assert sizes(bench.taken()) == [(3, 0), (3, 0)]


def test_whoever_looks_on_sees_each_datagram() -> None:
    bench = BurstBench()
    bench.host.observers.append(bench)
    assert sizes(bench.send([b"one", b"two"])) == [(3, 0), (3, 0)]


def test_what_does_not_fit_the_link_is_cut_into_fragments_each_by_itself() -> None:
    bench = BurstBench()
    frames = bench.send([bytes(1473)] * 2)
    assert [frame.gso_bytes for frame in frames] == [0] * 4
    assert bench.counters["ip_fragments_out"] == 4


def test_for_a_station_that_is_not_known_yet_they_wait_each_by_itself() -> None:
    bench = BurstBench()
    (question,) = bench.send([b"one", b"two"], Ip4(PEER + 1))
    assert question.data[12:14] == b"\x08\x06"
    assert bench.counters["udp_datagrams_out"] == 2


@pytest.mark.parametrize(
    ("datagrams", "dst", "number"),
    [
        ([b"fits", bytes(65508)], PEER, errno.EMSGSIZE),
        ([b"one", b"two"], FAR, errno.ENETUNREACH),
        ([b"one", b"two"], LIMITED_BROADCAST, errno.ENETUNREACH),
    ],
)
def test_what_cannot_be_sent_is_an_error_and_nothing_was(
    datagrams: list[bytes], dst: Ip4, number: int
) -> None:
    bench = BurstBench()
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what is asserted
        bench.send(datagrams, dst)
    assert caught.value.errno == number
    assert bench.taken() == []


# in


def outcome(
    payload: bytes, gso_bytes: int, dst_port: int, checksum: int, room_bytes: int, *, whole: bool
) -> tuple[list[tuple[bytes, Ip4, int]], dict[str, int], list[bytes]]:
    """Return what a socket gets of a burst, what is counted, and what is answered."""
    bench = BurstBench()
    socket = bench.host.udp.bind(UNSPECIFIED, 7)
    socket.receive_buffer_bytes = room_bytes
    burst = Frame(udp_frame(payload, dst_port=dst_port), checksum, gso_bytes)
    for frame in [burst] if whole else split(burst):
        bench.port.sink(frame, 1.0)
    bench.run(1.0)
    received = []
    while (datagram := socket.receive()) is not None:
        received.append(datagram)
    return received, dict(bench.counters), [frame.data for frame in bench.taken()]


@given(
    st.binary(min_size=2, max_size=2000),
    st.integers(20, 1000),
    st.sampled_from([7, 8]),
    st.sampled_from([CHECKSUM_PARTIAL, CHECKSUM_GOOD]),
    st.sampled_from([1 << 20, 1000, 0]),
)
def test_a_burst_does_what_its_datagrams_do(
    payload: bytes, gso_bytes: int, port: int, checksum: int, room_bytes: int
) -> None:
    gso_bytes = min(gso_bytes, len(payload))
    whole, apart = (
        outcome(payload, gso_bytes, port, checksum, room_bytes, whole=whole)
        for whole in (True, False)
    )
    assert whole == apart


def test_each_datagram_for_a_closed_port_is_answered_with_what_it_was() -> None:
    _, counted, answers = outcome(bytes(2500), 1000, 8, CHECKSUM_PARTIAL, 1000, whole=True)
    assert counted["udp_no_port"] == counted["icmp_errors_out"] == 3
    quoted = [ipv4.parse_quoted(memoryview(answer)[42:]) for answer in answers]
    assert [int.from_bytes(packet.raw[2:4], "big") for packet in quoted] == [1028, 1028, 528]


def test_a_burst_is_shown_as_its_datagrams() -> None:
    bench = BurstBench()
    bench.host.observers.append(bench)
    bench.events.clear()
    socket = bench.host.udp.bind(UNSPECIFIED, 7)
    bench.port.sink(Frame(udp_frame(bytes(2500)), CHECKSUM_PARTIAL, 1000), 1.0)
    assert len(bench.events) == 3
    assert bench.counters["udp_datagrams_in"] == 3
    assert socket.readable


def test_the_owner_is_told_once_of_a_burst() -> None:
    bench = BurstBench()
    socket = bench.host.udp.bind(UNSPECIFIED, 7)
    told: list[bool] = []
    socket.on_readable = lambda: told.append(socket.readable)
    bench.port.sink(Frame(udp_frame(bytes(2500)), CHECKSUM_PARTIAL, 1000), 1.0)
    assert told == [True]


def test_a_burst_that_is_none_is_counted() -> None:
    bench = BurstBench()
    for checksum in (CHECKSUM_PARTIAL, CHECKSUM_UNKNOWN):
        bench.port.sink(Frame(udp_frame(bytes(2500))[:36], checksum, 1000), 1.0)
    assert bench.counters["frames_in"] == 3  # ARP's too
    assert bench.counters["ip_bad_total_length"] == 2
