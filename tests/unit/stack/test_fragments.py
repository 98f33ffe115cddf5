"""Fragments: whole again in any order, hostile ones refused by name, all of it bounded."""

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from random import Random
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stack_bench import HERE, PEER, Bench, frame_of, ip_packet

from pystack.core.scheduler import Scheduler
from pystack.stack.fragments import MAX_BYTES, MAX_PIECES, Reassembly, cut
from pystack.wire import icmp, ipv4, udp
from pystack.wire.packet import Packet

MORE = ipv4.MORE_FRAGMENTS


class Assembler:
    """Reassembly by itself, with a note of what it told."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(0.0)
        self.dropped: list[str] = []
        self.tos: int | None = None  # of the last whole datagram; None: the last piece made none
        self.expired: list[tuple[float, Packet]] = []
        self.table = Reassembly(
            self.scheduler,
            lambda reason, _now, _data: self.dropped.append(reason),
            lambda first, now: self.expired.append((now, first)),
        )

    def add(
        self,
        payload: bytes,
        offset: int,
        *,
        more: bool,
        ident: int = 1,
        src: int = PEER,
        tos: int = 0,
    ) -> bytes | None:
        """Give it one fragment, `offset` in units of 8 bytes; return the whole, if it is whole."""
        flags_offset = offset | (MORE if more else 0)
        data = ip_packet(payload, src=src, ident=ident, flags_offset=flags_offset, tos=tos)
        whole = self.table.add(ipv4.parse(memoryview(data)), self.scheduler.now)
        self.tos = None if whole is None else whole.tos
        return None if whole is None else bytes(whole.payload)


@given(
    st.binary(min_size=1, max_size=3000), st.integers(68, 600), st.randoms(use_true_random=False)
)
def test_what_is_cut_is_whole_again_in_any_order(payload: bytes, mtu: int, random: object) -> None:
    assembler = Assembler()
    pieces = list(cut(payload, mtu))
    assert all(len(piece) + 20 <= mtu for _, piece, _, _ in pieces)
    assert all(len(piece) % 8 == 0 for _, piece, more, _ in pieces if more)
    random.shuffle(pieces)  # type: ignore[attr-defined]
    found = [assembler.add(piece, offset, more=more) for offset, piece, more, _ in pieces]
    assert found[-1] == payload
    assert all(whole is None for whole in found[:-1])
    assert len(assembler.table) == assembler.table._cost_bytes == 0
    assert assembler.dropped == []
    assert assembler.scheduler.next_at() == float("inf")


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_duplicates_change_nothing(order: list[int]) -> None:
    assembler = Assembler()
    pieces = list(cut(bytes(range(80)), 28))
    found = []
    for index in (*order, *range(10)):
        offset, piece, more, _ = pieces[index]
        found.append(assembler.add(piece, offset, more=more))
    assert bytes(range(80)) in found
    assert set(assembler.dropped) <= {"frag_duplicate"}


def test_datagrams_are_told_apart_by_ident_source_and_protocol() -> None:
    assembler = Assembler()
    assembler.add(b"a" * 8, 0, more=True, ident=1)
    assembler.add(b"b" * 8, 0, more=True, ident=2)
    assembler.add(b"c" * 8, 0, more=True, ident=1, src=PEER + 1)
    assert len(assembler.table) == 3
    assert assembler.add(b"!", 1, more=False, ident=2) == b"bbbbbbbb!"
    assert assembler.add(b"!", 1, more=False, ident=1) == b"aaaaaaaa!"


def test_the_whole_is_what_the_first_fragment_said() -> None:
    assembler = Assembler()
    assembler.add(b"tail", 1, more=False)
    data = ip_packet(b"12345678", ident=1, flags_offset=MORE)
    whole = assembler.table.add(ipv4.parse(memoryview(data)), 0.0)
    assert whole is not None
    assert (whole.src, whole.dst, whole.proto, whole.ident) == (PEER, HERE, ipv4.UDP, 1)
    assert whole.is_fragment is False
    assert whole.checksum_good is False
    assert whole.quoted == data[:28]


@pytest.mark.rfc("5722", "section 4")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((b"a" * 16, 0, True), (b"b" * 16, 1, True)),
        ((b"b" * 16, 1, True), (b"a" * 16, 0, True)),
        ((b"a" * 24, 0, True), (b"b" * 8, 1, True)),
        ((b"b" * 8, 1, True), (b"a" * 24, 0, True)),
        ((b"a" * 8, 0, True), (b"b" * 8, 0, True)),  # the same place, other bytes
        ((b"a" * 8, 0, True), (b"b" * 16, 0, True)),
        ((b"a" * 8, 4, True), (b"b" * 4, 2, False)),  # an end before what is here already
        ((b"b" * 4, 2, False), (b"a" * 8, 4, True)),
        ((b"b" * 4, 2, False), (b"a" * 8, 2, True)),
    ],
)
def test_overlapping_fragments_take_the_whole_datagram_with_them(
    first: tuple[bytes, int, bool], second: tuple[bytes, int, bool]
) -> None:
    assembler = Assembler()
    for payload, offset, more in (first, second):
        assert assembler.add(payload, offset, more=more) is None
    assert assembler.dropped == ["frag_overlap"]
    assert len(assembler.table) == assembler.table._cost_bytes == 0


def test_a_datagram_with_two_ends_is_thrown_away() -> None:
    assembler = Assembler()
    assembler.add(b"a" * 8, 4, more=False)
    assembler.add(b"b" * 8, 5, more=False)
    assert assembler.dropped == ["frag_two_ends"]
    assert len(assembler.table) == 0


@pytest.mark.parametrize(
    ("payload", "offset", "more"),
    [
        (b"a" * 7, 0, True),  # only the last may have an odd length
        (b"", 0, True),
        (b"", 3, True),
        (b"a" * 8, 8191, False),  # ends above what a datagram can hold ("ping of death")
        (b"a" * 65496, 8, True),
    ],
)
def test_a_fragment_that_cannot_be_is_dropped_alone(
    payload: bytes, offset: int, more: bool
) -> None:
    assembler = Assembler()
    assembler.add(b"good" * 2, 0, more=True)
    assert assembler.add(payload, offset, more=more) is None
    assert assembler.dropped == ["frag_malformed"]
    assert assembler.add(b"end", 1, more=False) == b"goodgoodend"


def test_the_largest_datagram_fits_exactly() -> None:
    assembler = Assembler()
    payload = bytes(65515)
    found = [assembler.add(piece, at, more=more) for at, piece, more, _ in cut(payload, 1500)]
    assert found[-1] == payload


def test_a_datagram_of_too_many_pieces_is_thrown_away() -> None:
    assembler = Assembler()
    for number in range(MAX_PIECES + 1):
        assembler.add(bytes(8), 2 * number, more=True)
    assert assembler.dropped == ["frag_too_many"]
    assert len(assembler.table) == 0


@pytest.mark.rfc("1122", "3.3.2")
def test_after_60_seconds_the_first_fragment_is_handed_back() -> None:
    assembler = Assembler()
    assembler.add(b"a" * 8, 0, more=True, ident=1)
    assembler.add(b"b" * 8, 2, more=True, ident=2)
    assembler.scheduler.run_due(30.0)
    assembler.add(b"c" * 8, 4, more=True, ident=1)  # a later fragment does not prolong it
    assembler.scheduler.run_due(59.999)
    assert len(assembler.table) == 2
    assembler.scheduler.run_due(60.0)
    assert len(assembler.table) == assembler.table._cost_bytes == 0
    assert assembler.dropped == ["frag_timeout"] * 2
    ((at, first),) = assembler.expired  # of the second one there was no first fragment
    assert (at, first.ident) == (60.0, 1)


@pytest.mark.rfc("3168", "5.3")
@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        ((2, 2, 2), 2),
        ((2, 3, 2), 3),
        ((3, 2, 2), 3),
        ((1, 1, 3), 3),
        ((0, 0, 0), 0),
        ((46, 47), 47),
    ],
)
def test_a_datagram_of_which_a_piece_was_marked_is_marked(
    pieces: tuple[int, ...], whole: int
) -> None:
    assembler = Assembler()
    for at, tos in enumerate(pieces):
        assembler.add(bytes(8), at, more=at + 1 < len(pieces), tos=tos)
    assert assembler.tos == whole


@pytest.mark.rfc("3168", "5.3")
def test_a_mark_on_a_piece_of_what_cannot_be_marked_spoils_the_datagram() -> None:
    assembler = Assembler()
    assembler.add(bytes(8), 0, more=True, tos=0)
    assert assembler.add(bytes(8), 1, more=False, tos=3) is None
    assert assembler.dropped == ["frag_ecn_mixed"]
    assert len(assembler.table) == assembler.table._cost_bytes == 0


def test_memory_is_bounded_under_a_flood_and_the_oldest_go() -> None:
    assembler = Assembler()
    for number in range(10_000):
        assembler.add(bytes(1480), 0, more=True, ident=number)
        assert assembler.table._cost_bytes <= MAX_BYTES
    assert set(assembler.dropped) == {"frag_no_room"}
    assert len(assembler.table) == 10_000 - len(assembler.dropped)
    # The newest can still be completed.
    assert assembler.add(b"end", 185, more=False, ident=9_999) == bytes(1480) + b"end"


def test_memory_is_bounded_when_the_oldest_datagram_grows() -> None:
    assembler = Assembler()
    assembler.add(bytes(8), 0, more=True, ident=0)
    number = 1
    while assembler.table._cost_bytes + 4096 <= MAX_BYTES:
        assembler.add(bytes(1480), 0, more=True, ident=number)
        number += 1
    for piece in range(1, 100):
        assembler.add(bytes(8), piece * 2, more=True, ident=0)
        assert assembler.table._cost_bytes <= MAX_BYTES
    assert set(assembler.dropped) == {"frag_no_room"}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 30), st.sampled_from([0, 3, 8, 16, 64]), st.booleans()
        ),
        max_size=60,
    )
)
def test_the_account_of_memory_is_right_whatever_comes(
    fragments: list[tuple[int, int, int, bool]],
) -> None:
    assembler = Assembler()
    for ident, offset, size, more in fragments:
        whole = assembler.add(bytes([ident]) * size, offset, more=more, ident=ident)
        assert whole is None or set(whole) <= {ident}
        waiting = assembler.table._datagrams.values()
        assert assembler.table._cost_bytes == sum(
            1536 + sum(sys.getsizeof(piece) + 64 for piece in datagram.pieces)
            for datagram in waiting
        )
    assembler.scheduler.run_due(1000.0)
    assert len(assembler.table) == assembler.table._cost_bytes == 0


def gaps(random: Random) -> Iterator[tuple[int, bytes, int]]:
    """Give (datagram, payload, offset): small pieces that never touch."""
    for number in range(40_000):
        yield number // 1000, bytes(8), 2 * (number % 1000) + 1


def firsts_in_large_frames(random: Random) -> Iterator[tuple[int, bytes, int]]:
    for number in range(2_000):
        yield number, bytes(8 if number % 2 else 60_000), 0


def lone_pieces(random: Random) -> Iterator[tuple[int, bytes, int]]:
    for number in range(5_000):
        yield number, bytes(8), 5


def large_pieces_in_any_order(random: Random) -> Iterator[tuple[int, bytes, int]]:
    for number in range(100):
        offsets = list(range(1, 44))
        random.shuffle(offsets)
        for offset in offsets:
            yield number, bytes(1480), offset * 185


def small_pieces_in_any_order(random: Random) -> Iterator[tuple[int, bytes, int]]:
    for number in range(30):
        offsets = list(range(1, 1000))
        random.shuffle(offsets)
        for offset in offsets:
            yield number, bytes(8), offset


@pytest.mark.parametrize(
    "attack",
    [
        gaps,
        firsts_in_large_frames,
        lone_pieces,
        large_pieces_in_any_order,
        small_pieces_in_any_order,
    ],
)
def test_what_is_held_is_no_more_than_what_is_counted(
    attack: Callable[[Random], Iterator[tuple[int, bytes, int]]],
) -> None:
    table = Reassembly(Scheduler(0.0), lambda *_: None, lambda *_: None)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number, (ident, payload, offset) in enumerate(attack(Random(7))):
            # Each in a large frame, of which only this is for the table.
            data = ip_packet(payload, ident=ident & 0xFFFF, flags_offset=offset | MORE)
            table.add(ipv4.parse(memoryview(data + bytes(9000))[: len(data)]), 0.0)
            if number % 500 == 0:
                del data
                held = tracemalloc.get_traced_memory()[0] - before
                assert held <= table._cost_bytes + 160_000  # the test's own
                assert table._cost_bytes <= MAX_BYTES
    finally:
        tracemalloc.stop()


def lines_run(call: Callable[[], object]) -> int:
    """Return how many lines of Python a call takes: a cost that no other load changes."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401 - settrace's
        nonlocal count
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(None)
    return count


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled", "inward"])
@pytest.mark.parametrize("step", [1, 2])  # 2: none touches another
def test_a_fragment_costs_the_same_however_many_are_here(order: str, step: int) -> None:
    offsets = list(range(1, 1 + 1000 * step, step))
    if order == "descending":
        offsets.reverse()
    elif order == "shuffled":
        Random(3).shuffle(offsets)
    elif order == "inward":
        offsets = [pair for both in zip(offsets, offsets[::-1], strict=True) for pair in both]
        offsets = offsets[:1000]
    assembler = Assembler()
    packets = [
        ipv4.parse(memoryview(ip_packet(bytes(8), flags_offset=offset | MORE)))
        for offset in offsets
    ]
    costs = [
        lines_run(lambda packet=packet: assembler.table.add(packet, 0.0)) for packet in packets
    ]
    assert assembler.dropped == []
    assert max(costs[500:]) <= 2 * max(costs[1:20]) <= 120


def test_a_datagram_over_the_smallest_mtu_is_whole_again() -> None:
    payload = bytes(at * 13 & 0xFF for at in range(65_515))
    for order in (1, -1):
        assembler = Assembler()
        pieces = list(cut(payload, 68))[::order]
        assert len(pieces) > MAX_PIECES
        found = [assembler.add(piece, at, more=more) for at, piece, more, _ in pieces]
        assert found[-1] == payload


def test_an_end_without_text_is_taken_once() -> None:
    assembler = Assembler()
    assembler.add(b"", 1, more=False)
    assembler.add(b"", 1, more=False)
    assert assembler.dropped == ["frag_duplicate"]
    assert assembler.add(b"12345678", 0, more=True) == b"12345678"


def test_clearing_leaves_no_timer() -> None:
    assembler = Assembler()
    assembler.add(bytes(8), 0, more=True)
    assembler.table.clear()
    assert assembler.scheduler.next_at() == float("inf")
    assert assembler.dropped == []


# on a host


def test_a_host_answers_an_unfinished_datagram_with_time_exceeded() -> None:
    bench = Bench()
    bench.know_peer()
    first = ip_packet(b"first...", flags_offset=MORE)
    bench.arrive(frame_of(first), at=1.0)
    bench.arrive(frame_of(ip_packet(bytes(8), ident=8, flags_offset=MORE | 3)), at=1.0)
    bench.run(61.0)
    (packet,) = bench.taken_ip()
    message = icmp.parse(memoryview(bytes(packet.data)))
    assert (message.kind, message.code) == (icmp.TIME_EXCEEDED, icmp.REASSEMBLY_TIME_EXCEEDED)
    assert message.payload == first
    assert bench.drops() == ["frag_timeout"] * 2


@pytest.mark.parametrize("mtu", [68, 576, 1500])
def test_a_host_cuts_what_is_too_large_for_the_link_and_others_can_read_it(mtu: int) -> None:
    bench = Bench(mtu_bytes=mtu)
    bench.know_peer()
    payload = bytes(at * 7 & 0xFF for at in range(3000))
    socket = bench.host.udp.bind(HERE, 9)
    socket.send_to(payload, PEER, 7, 0.0)
    assembler, whole = Assembler(), None
    frames = bench.taken()
    for frame in reversed(frames):
        packet = ipv4.parse(memoryview(frame.data)[14:])
        assert len(packet.raw) <= mtu
        whole = assembler.table.add(packet, 0.0) or whole
    assert whole is not None
    assert udp.parse(whole).payload == payload
    assert bench.counters["ip_fragments_out"] == len(frames)


def test_a_checksum_over_the_whole_is_verified() -> None:
    bench = Bench()
    bench.know_peer()
    socket = bench.host.udp.bind(HERE, 7)
    data = bytearray(udp.pack(PEER, HERE, 5, 7, bytes(2000)))
    for wrong in (1, 0):
        data[1999] ^= wrong
        for offset, piece, more, _ in cut(bytes(data), 1500):
            flags_offset = offset | (MORE if more else 0)
            bench.arrive(frame_of(ip_packet(piece, flags_offset=flags_offset)))
        data[1999] ^= wrong
    assert bench.drops() == ["udp_bad_checksum"]
    datagram = socket.receive()
    assert datagram is not None
    assert len(datagram[0]) == 2000
