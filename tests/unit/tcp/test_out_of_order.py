"""Ranges beyond a gap, against a model that is too simple to be wrong."""

from hypothesis import given
from hypothesis import strategies as st
from script import pattern

from pystack.tcp.out_of_order import MAX_RANGES, OutOfOrder

PIECES = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 60)), max_size=40)


def ranges_of(known: set[int]) -> list[tuple[int, int]]:
    """Return the runs of consecutive numbers."""
    found: list[tuple[int, int]] = []
    for at in sorted(known):
        if found and found[-1][1] == at:
            found[-1] = (found[-1][0], at + 1)
        else:
            found.append((at, at + 1))
    return found


@given(PIECES)
def test_the_ranges_are_what_arrived_and_the_last_one_changed_comes_first(
    pieces: list[tuple[int, int]],
) -> None:
    waiting = OutOfOrder()
    known: set[int] = set()
    for at, size in pieces:
        twice = known & set(range(at, at + size))
        expected = ranges_of(twice)[0] if twice else None
        assert waiting.overlap(at, at + size) == expected
        assert waiting.insert(at, memoryview(pattern(at, size)))
        known |= set(range(at, at + size))
        told = list(waiting.newest_first())
        assert sorted(told) == ranges_of(known)
        assert told[0][0] <= at < told[0][1]
        assert waiting.size_bytes == len(known)


@given(PIECES, st.integers(1, 360))
def test_taking_gives_what_follows_and_keeps_the_rest(
    pieces: list[tuple[int, int]], rcv_nxt: int
) -> None:
    waiting = OutOfOrder()
    known: set[int] = set()
    for at, size in pieces:
        waiting.insert(at, pattern(at, size))
        known |= set(range(at, at + size))
    end = rcv_nxt
    while end in known:
        end += 1
    # The ranges before RCV.NXT are only there where the segment at it has covered them.
    assert b"".join(waiting.take(rcv_nxt)) == pattern(rcv_nxt, end - rcv_nxt)
    left = {at for at in known if at > end}
    assert sorted(waiting.newest_first()) == ranges_of(left)
    assert waiting.size_bytes == len(left)


def test_text_in_reverse_does_not_become_one_object_each() -> None:
    waiting = OutOfOrder()
    for at in range(100_000, 0, -10):
        waiting.insert(at, pattern(at, 10))
    assert len(waiting.ranges) == 1
    assert len(waiting.ranges[0].chunks) <= 100_000 // 2048
    assert b"".join(waiting.take(10)) == pattern(10, 100_000)


def test_where_no_range_may_be_added_those_that_are_there_still_grow() -> None:
    waiting = OutOfOrder()
    for number in range(MAX_RANGES):
        assert waiting.insert(10 * number, b"x")
    assert not waiting.insert(5, b"x")
    assert waiting.insert(1, b"xx")
    assert waiting.insert(9, b"x")
    assert waiting.insert(5, bytes(30))
    assert len(waiting.ranges) == MAX_RANGES - 2
    assert waiting.insert(10 * MAX_RANGES, b"x")
