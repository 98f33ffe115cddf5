"""The two buffers, against models that are too simple to be wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from script import pattern

from pystack.tcp.out_of_order import MAX_RANGES
from pystack.tcp.receive_buffer import ReceiveBuffer
from pystack.tcp.send_buffer import SendBuffer

START = 2**32 - 100
SIZES = st.one_of(st.integers(0, 40), st.integers(1000, 1100), st.integers(4000, 4200))


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 120)), max_size=40), st.data())
def test_the_receive_buffer_gives_back_the_stream(
    pieces: list[tuple[int, int]], data: st.DataObject
) -> None:
    buffer = ReceiveBuffer()
    known: set[int] = set()
    nxt = read = 0
    for at, size in pieces:
        end = at + size
        known.update(range(at, end))
        if end <= nxt:
            continue
        if at <= nxt:
            buffer.append(memoryview(pattern(nxt, end - nxt)))
            nxt = buffer.take_contiguous(end)
        else:
            assert buffer.insert(at, memoryview(pattern(at, size)))
        while read < nxt and data.draw(st.booleans()):
            size = data.draw(st.integers(1, 200))
            got = buffer.read(size)
            assert got == pattern(read, min(size, nxt - read))
            read += len(got)
        assert buffer.readable_bytes == nxt - read
    expected = 0
    while expected in known:
        expected += 1
    assert nxt == expected
    assert buffer.read(1 << 20) == pattern(read, nxt - read)
    assert buffer.read(1) == b""
    assert bool(buffer.ranges) == any(at > nxt for at in known)


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 60)), max_size=30), st.integers(1, 360)
)
def test_nothing_is_left_beyond_a_cut(pieces: list[tuple[int, int]], end: int) -> None:
    buffer = ReceiveBuffer()
    for at, size in pieces:
        buffer.insert(at, memoryview(pattern(at, size)))
    buffer.out_of_order.cut(end)
    buffer.append(pattern(0, 1))
    nxt = 1
    for at in range(1, end):  # fill every gap
        if at == nxt:
            buffer.append(pattern(at, 1))
            nxt = buffer.take_contiguous(at + 1)
    assert nxt == end
    assert buffer.read(1 << 20) == pattern(0, end)
    assert not buffer.ranges


def test_bytes_that_came_first_stay() -> None:
    buffer = ReceiveBuffer()
    buffer.insert(10, b"aaaa")
    buffer.insert(8, b"bbbbbbbb")
    buffer.append(b"cccccccc")
    assert buffer.take_contiguous(8) == 16
    assert buffer.read(100) == b"ccccccccbbaaaabb"


def test_pieces_are_limited_in_number() -> None:
    buffer = ReceiveBuffer()
    kept = [buffer.insert(2 * number + 1, b"x") for number in range(MAX_RANGES + 3)]
    assert kept == [True] * MAX_RANGES + [False] * 3


def test_short_payloads_are_gathered_and_long_ones_kept_as_they_are() -> None:
    buffer = ReceiveBuffer()
    for _ in range(100_000):
        buffer.append(b"x")
    assert len(buffer._chunks) == 2
    long = bytes(2000)
    buffer.append(memoryview(long))
    buffer.append(b"y")
    assert len(buffer._chunks) == 4
    assert buffer.read(1 << 20) == b"x" * 100_000 + long + b"y"


def test_reading_a_part_while_short_payloads_still_come() -> None:
    buffer = ReceiveBuffer()
    buffer.append(b"abc")
    assert buffer.read(1) == b"a"
    buffer.append(b"def")
    assert buffer.read(3) == b"bcd"
    buffer.append(b"g")
    assert buffer.read(10) == b"efg"


@given(st.lists(st.tuples(SIZES, st.booleans(), st.floats(0, 1)), max_size=30), st.data())
def test_the_send_buffer_holds_what_was_not_acknowledged(
    writes: list[tuple[int, bool, float]], data: st.DataObject
) -> None:
    buffer = SendBuffer(START)
    model = b""
    for size, mutable, part in writes:
        piece = pattern(len(model), size)
        source = bytearray(piece) if mutable else piece
        buffer.append(memoryview(source))
        if mutable:
            source[:] = bytes(size)  # the user may do with it what he wants
        model += piece
        assert buffer.end == START + len(model)
        acknowledged = buffer.start - START + int(part * len(buffer))
        buffer.acknowledge(START + acknowledged)
        assert len(buffer) == len(model) - acknowledged
        if len(buffer):
            at = data.draw(st.integers(acknowledged, len(model) - 1))
            length = data.draw(st.integers(1, len(model) - at))
            assert bytes(buffer.slice(START + at, length)) == model[at : at + length]


def test_a_large_write_is_not_copied() -> None:
    buffer = SendBuffer(START)
    source = bytes(100_000)
    buffer.append(memoryview(source))
    piece = buffer.slice(START + 50_000, 1460)
    assert isinstance(piece, memoryview)
    assert piece.obj is source


def test_a_read_only_view_of_what_may_change_is_copied() -> None:
    buffer = SendBuffer(START)
    source = bytearray(b"a" * 5000)
    buffer.append(memoryview(source).toreadonly())
    source[:] = b"b" * 5000
    assert bytes(buffer.slice(START, 5000)) == b"a" * 5000


def test_a_thousand_writes_of_a_byte_are_one_chunk() -> None:
    buffer = SendBuffer(START)
    for _ in range(1000):
        buffer.append(memoryview(b"x"))
    assert len(buffer._chunks) == 1


@pytest.mark.parametrize("size", [1, 4095, 4096, 70_000])
def test_clear_leaves_nothing(size: int) -> None:
    buffer = SendBuffer(START)
    buffer.append(memoryview(bytes(size)))
    buffer.clear()
    assert len(buffer) == 0
    assert buffer.start == buffer.end == START + size
