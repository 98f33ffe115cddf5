"""Fragments: whole again in any order, hostile ones refused by name, all of it bounded."""

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from random import Random
from types import FrameType
from typing import Any

import pytest
from assembling import MORE, Assembler, both_versions, piece_of, pieces_of
from hypothesis import given
from hypothesis import strategies as st
from stack_bench import HERE, PEER, ip_packet

from pystack.core.scheduler import Scheduler
from pystack.stack.fragments import FIRST_COST_BYTES, MAX_BYTES, MAX_PIECES, Reassembly
from pystack.wire import ipv4


@both_versions
@given(
    st.binary(min_size=1, max_size=3000), st.integers(68, 600), st.randoms(use_true_random=False)
)
def test_what_is_cut_is_whole_again_in_any_order(
    version: int, payload: bytes, mtu: int, random: object
) -> None:
    assembler = Assembler(version)
    pieces = list(pieces_of(version, payload, mtu))
    assert all(len(piece) + 20 <= mtu for _, piece, _ in pieces)
    assert all(len(piece) % 8 == 0 for _, piece, more in pieces if more)
    random.shuffle(pieces)  # type: ignore[attr-defined]
    found = [assembler.add(piece, offset, more=more) for offset, piece, more in pieces]
    assert found[-1] == payload
    assert all(whole is None for whole in found[:-1])
    assert len(assembler.table) == assembler.table._cost_bytes == 0
    assert assembler.dropped == []
    assert assembler.scheduler.next_at() == float("inf")


@both_versions
@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_duplicates_change_nothing(version: int, order: list[int]) -> None:
    assembler = Assembler(version)
    pieces = list(pieces_of(version, bytes(range(80)), 28))
    found = []
    for index in (*order, *range(10)):
        offset, piece, more = pieces[index]
        found.append(assembler.add(piece, offset, more=more))
    assert bytes(range(80)) in found
    assert set(assembler.dropped) <= {"frag_duplicate"}


@both_versions
def test_datagrams_are_told_apart_by_ident_source_and_protocol(version: int) -> None:
    assembler = Assembler(version)
    assembler.add(b"a" * 8, 0, more=True, ident=1)
    assembler.add(b"b" * 8, 0, more=True, ident=2)
    assembler.add(b"c" * 8, 0, more=True, ident=1, host=1)
    assert len(assembler.table) == 3
    assert assembler.add(b"!", 1, more=False, ident=2) == b"bbbbbbbb!"
    assert assembler.add(b"!", 1, more=False, ident=1) == b"aaaaaaaa!"


def test_the_whole_is_what_the_first_fragment_said() -> None:
    assembler = Assembler(4)
    assembler.add(b"tail", 1, more=False)
    data = ip_packet(b"12345678", ident=1, flags_offset=MORE)
    whole = assembler.table.add(ipv4.parse(memoryview(data)), 0.0)
    assert whole is not None
    assert (whole.src, whole.dst, whole.proto, whole.ident) == (PEER, HERE, ipv4.UDP, 1)
    assert whole.is_fragment is False
    assert whole.checksum_good is False
    assert whole.quoted == data[:28]


@both_versions
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
    version: int, first: tuple[bytes, int, bool], second: tuple[bytes, int, bool]
) -> None:
    assembler = Assembler(version)
    for payload, offset, more in (first, second):
        assert assembler.add(payload, offset, more=more) is None
    assert assembler.dropped == ["frag_overlap"]
    assert len(assembler.table) == assembler.table._cost_bytes == 0


@both_versions
def test_a_datagram_with_two_ends_is_thrown_away(version: int) -> None:
    assembler = Assembler(version)
    assembler.add(b"a" * 8, 4, more=False)
    assembler.add(b"b" * 8, 5, more=False)
    assert assembler.dropped == ["frag_two_ends"]
    assert len(assembler.table) == 0


@both_versions
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
    version: int, payload: bytes, offset: int, more: bool
) -> None:
    assembler = Assembler(version)
    assembler.add(b"good" * 2, 0, more=True)
    assert assembler.add(payload, offset, more=more) is None
    assert assembler.dropped == ["frag_malformed"]
    # RFC 8200 section 4.5: the payload length, or the fragment offset behind 40 bytes
    told = [] if version == 4 else [4 if more and (len(payload) % 8 or not payload) else 42]
    assert assembler.malformed == told
    assert assembler.add(b"end", 1, more=False) == b"goodgoodend"


@both_versions
def test_the_largest_datagram_fits_exactly(version: int) -> None:
    assembler = Assembler(version)
    payload = bytes(65515 if version == 4 else 65535)
    found = [
        assembler.add(piece, at, more=more) for at, piece, more in pieces_of(version, payload, 1500)
    ]
    assert found[-1] == payload


@both_versions
def test_a_datagram_of_too_many_pieces_is_thrown_away(version: int) -> None:
    assembler = Assembler(version)
    for number in range(MAX_PIECES + 1):
        assembler.add(bytes(8), 2 * number, more=True)
    assert assembler.dropped == ["frag_too_many"]
    assert len(assembler.table) == 0


@both_versions
@pytest.mark.rfc("1122", "3.3.2")
def test_after_60_seconds_the_first_fragment_is_handed_back(version: int) -> None:
    assembler = Assembler(version)
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


@both_versions
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
    version: int, pieces: tuple[int, ...], whole: int
) -> None:
    assembler = Assembler(version)
    for at, tos in enumerate(pieces):
        assembler.add(bytes(8), at, more=at + 1 < len(pieces), tos=tos)
    assert assembler.tos == whole


@both_versions
@pytest.mark.rfc("3168", "5.3")
def test_a_mark_on_a_piece_of_what_cannot_be_marked_spoils_the_datagram(version: int) -> None:
    assembler = Assembler(version)
    assembler.add(bytes(8), 0, more=True, tos=0)
    assert assembler.add(bytes(8), 1, more=False, tos=3) is None
    assert assembler.dropped == ["frag_ecn_mixed"]
    assert len(assembler.table) == assembler.table._cost_bytes == 0


@both_versions
def test_memory_is_bounded_under_a_flood_and_the_oldest_go(version: int) -> None:
    assembler = Assembler(version)
    for number in range(10_000):
        assembler.add(bytes(1480), 0, more=True, ident=number)
        assert assembler.table._cost_bytes <= MAX_BYTES
    assert set(assembler.dropped) == {"frag_no_room"}
    assert len(assembler.table) == 10_000 - len(assembler.dropped)
    # The newest can still be completed.
    assert assembler.add(b"end", 185, more=False, ident=9_999) == bytes(1480) + b"end"


@both_versions
def test_memory_is_bounded_when_the_oldest_datagram_grows(version: int) -> None:
    assembler = Assembler(version)
    assembler.add(bytes(8), 0, more=True, ident=0)
    number = 1
    while assembler.table._cost_bytes + 4096 <= MAX_BYTES:
        assembler.add(bytes(1480), 0, more=True, ident=number)
        number += 1
    for piece in range(1, 100):
        assembler.add(bytes(8), piece * 2, more=True, ident=0)
        assert assembler.table._cost_bytes <= MAX_BYTES
    assert set(assembler.dropped) == {"frag_no_room"}


@both_versions
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 30), st.sampled_from([0, 3, 8, 16, 64]), st.booleans()
        ),
        max_size=60,
    )
)
def test_the_account_of_memory_is_right_whatever_comes(
    version: int,
    fragments: list[tuple[int, int, int, bool]],
) -> None:
    assembler = Assembler(version)
    for ident, offset, size, more in fragments:
        whole = assembler.add(bytes([ident]) * size, offset, more=more, ident=ident)
        assert whole is None or set(whole) <= {ident}
        waiting = assembler.table._datagrams.values()
        assert assembler.table._cost_bytes == sum(
            1536
            + (0 if datagram.first is None else len(datagram.first.raw) + FIRST_COST_BYTES[version])
            + sum(sys.getsizeof(piece) + 64 for piece in datagram.pieces)
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


@both_versions
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
    version: int, attack: Callable[[Random], Iterator[tuple[int, bytes, int]]]
) -> None:
    table = Reassembly(Scheduler(0.0), *(lambda *_: None,) * 3)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number, (ident, payload, offset) in enumerate(attack(Random(7))):
            # Each in a large frame, of which only this is for the table.
            table.add(piece_of(version, payload, offset, ident=ident, room=bytes(9000)), 0.0)
            if number % 500 == 0:
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


@both_versions
@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled", "inward"])
@pytest.mark.parametrize("step", [1, 2])  # 2: none touches another
def test_a_fragment_costs_the_same_however_many_are_here(
    version: int, order: str, step: int
) -> None:
    offsets = list(range(1, 1 + 1000 * step, step))
    if order == "descending":
        offsets.reverse()
    elif order == "shuffled":
        Random(3).shuffle(offsets)
    elif order == "inward":
        offsets = [pair for both in zip(offsets, offsets[::-1], strict=True) for pair in both]
        offsets = offsets[:1000]
    assembler = Assembler(version)
    packets = [piece_of(version, bytes(8), offset) for offset in offsets]
    costs = [
        lines_run(lambda packet=packet: assembler.table.add(packet, 0.0)) for packet in packets
    ]
    assert assembler.dropped == []
    assert max(costs[500:]) <= 2 * max(costs[1:20]) <= 120


@both_versions
def test_a_datagram_over_the_smallest_mtu_is_whole_again(version: int) -> None:
    payload = bytes(at * 13 & 0xFF for at in range(65_515))
    for order in (1, -1):
        assembler = Assembler(version)
        pieces = list(pieces_of(version, payload, 68))[::order]
        assert len(pieces) > MAX_PIECES
        found = [assembler.add(piece, at, more=more) for at, piece, more in pieces]
        assert found[-1] == payload


@both_versions
def test_an_end_without_text_is_taken_once(version: int) -> None:
    assembler = Assembler(version)
    assembler.add(b"", 1, more=False)
    assembler.add(b"", 1, more=False)
    assert assembler.dropped == ["frag_duplicate"]
    assert assembler.add(b"12345678", 0, more=True) == b"12345678"


@both_versions
def test_clearing_leaves_no_timer(version: int) -> None:
    assembler = Assembler(version)
    assembler.add(bytes(8), 0, more=True)
    assembler.table.clear()
    assert assembler.scheduler.next_at() == float("inf")
    assert assembler.dropped == []
