"""The scoreboard: sums, cuts and orders."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.tcp.scoreboard import (
    EVER_RETRANSMITTED,
    LOST,
    RETRANSMITTED,
    SACKED,
    Record,
    Scoreboard,
)

MSS = 100
FIRST = 2**32 - 250  # the numbers wrap within the first records


def board_of(*sizes: int) -> Scoreboard:
    """Return one that holds records of these sizes, sent one second after the other."""
    board, seq = Scoreboard(), FIRST
    for number, size in enumerate(sizes):
        board.sent(seq, seq + size, float(number))
        seq += size
    return board


def spans(board: Scoreboard) -> list[tuple[int, int]]:
    return [(record.seq - FIRST, record.end - FIRST) for record in board.records]


def select(board: Scoreboard, left: int, right: int) -> list[tuple[int, int]]:
    news = board.select(FIRST + left, FIRST + right, MSS, FIRST + left)
    return [(record.seq - FIRST, record.end - FIRST) for record in news]


def under_way(board: Scoreboard) -> list[Record]:
    """Return what is chained, oldest transmission first."""
    found, record = [], board._chain.after
    while record is not board._chain:
        assert record is not None
        assert record.after is not None
        assert record.after.before is record
        if record is not board._mark:
            found.append(record)
        record = record.after
    return found


def check_sums(board: Scoreboard) -> None:
    records = board.records
    assert board.sacked_bytes == sum(r.size for r in records if r.flags & SACKED)
    assert board.sacked_records == sum(1 for r in records if r.flags & SACKED)
    assert board.lost_bytes == sum(r.size for r in records if r.flags & LOST)
    assert board.retransmitted_bytes == sum(r.size for r in records if r.flags & RETRANSMITTED)
    for one, other in pairwise(records):
        assert one.end == other.seq
    open_fates = under_way(board)
    assert [r.serial for r in open_fates] == sorted(r.serial for r in open_fates)
    assert set(map(id, open_fates)) == {
        id(r) for r in records if not r.flags & SACKED and r.flags & (LOST | RETRANSMITTED) != LOST
    }


@pytest.mark.rfc("6675", "3")
def test_a_block_selects_whole_records() -> None:
    board = board_of(100, 100, 100)
    assert select(board, 100, 300) == [(100, 200), (200, 300)]
    assert board.sacked_bytes == 200
    assert select(board, 100, 300) == []
    check_sums(board)


def test_a_super_frame_is_cut_at_whole_segments() -> None:
    board = board_of(1000)
    assert select(board, 250, 710) == [(300, 700)]
    assert spans(board) == [(0, 300), (300, 700), (700, 1000)]
    check_sums(board)
    assert select(board, 250, 1000) == [(700, 1000)]


def test_the_short_end_of_a_super_frame_is_a_segment_too() -> None:
    board = board_of(950)
    assert select(board, 900, 950) == [(900, 950)]


@pytest.mark.rfc("2018", "8")
def test_blocks_of_single_bytes_make_no_records() -> None:
    board = board_of(1000, 100)
    for at in range(0, 1000, 2):
        assert select(board, at + 1, at + 2) == []
    assert len(board) <= 11  # no more than segments


def test_an_ack_in_the_middle_leaves_the_rest() -> None:
    board = board_of(1000, 100)
    select(board, 500, 600)
    (taken,) = board.acknowledge(FIRST + 250)
    assert (taken.seq, taken.end) == (FIRST, FIRST + 250)
    assert spans(board) == [(250, 500), (500, 600), (600, 1000), (1000, 1100)]
    board.acknowledge(FIRST + 1100)
    assert board.clean
    assert len(board) == 0


def test_what_is_lost_is_named_lowest_first_and_once() -> None:
    board = board_of(100, 100, 100)
    for record in reversed(board.records):
        board.mark_lost(record)
    first = board.next_lost()
    assert first is board.records[0]
    board.retransmitted(first.seq, 100, 5.0)
    assert board.next_lost() is board.records[1]
    board.mark_lost(first)  # the copy as well
    assert board.next_lost() is first
    assert first.flags & EVER_RETRANSMITTED
    check_sums(board)


def test_what_was_acknowledged_is_lost_no_more() -> None:
    board = board_of(100, 100)
    board.mark_lost(board.records[0])
    board.acknowledge(FIRST + 100)
    assert board.next_lost() is None


def test_a_part_of_a_lost_record_is_sent_again() -> None:
    board = board_of(1000)
    board.mark_lost(board.records[0])
    board.retransmitted(FIRST, 100, 1.0)
    assert spans(board) == [(0, 100), (100, 1000)]
    assert board.next_lost() is board.records[1]
    check_sums(board)


def test_the_order_of_transmission_is_not_that_of_numbers() -> None:
    board = board_of(100, 100, 100)
    board.retransmitted(FIRST, 100, 7.0)
    assert [r.seq - FIRST for r in under_way(board)] == [100, 200, 0]


def test_found_again_it_is_on_the_way_where_it_was() -> None:
    board = board_of(100, 100, 100)
    for record in board.records:
        board.mark_lost(record)
    board.retransmitted(FIRST, 100, 7.0)
    board.find_again()
    assert board.lost_bytes == 0
    assert board.retransmitted_bytes == 100  # both copies are on the way
    assert [r.seq - FIRST for r in under_way(board)] == [100, 200, 0]
    check_sums(board)


@pytest.mark.rfc("6675", "3")
@pytest.mark.rfc("2018", "8")
def test_a_peer_that_reneges_has_nothing_selected() -> None:
    board = board_of(100, 100, 100)
    select(board, 100, 300)
    board.renege()
    assert board.clean
    check_sums(board)


@given(
    st.lists(st.integers(1, 450), min_size=1, max_size=12),
    st.lists(
        st.tuples(st.sampled_from("salrxm"), st.integers(0, 3000), st.integers(1, 900)),
        max_size=40,
    ),
)
def test_the_sums_hold_whatever_happens(
    sizes: list[int], steps: list[tuple[str, int, int]]
) -> None:
    board = board_of(*sizes)
    una, end, now = 0, sum(sizes), 100.0
    newest = (0, 0)
    for what, at, size in steps:
        now += 1
        if what == "s":
            select(board, max(at, una), min(at + size, end))
        elif what == "a" and una < at <= end:
            una = at
            taken = board.acknowledge(FIRST + at)
            assert not taken or taken[-1].end <= FIRST + at
        elif what == "l":
            for record in under_way(board)[: size % 4]:
                board.mark_lost(record)
        elif what == "r":
            lost = board.next_lost()
            if lost is not None:
                board.retransmitted(lost.seq, min(lost.size, MSS), now)
        elif what == "x":
            board.find_again()
        elif what == "m" and board.records:
            record = board.records[at % len(board.records)]
            newest = max(newest, (record.serial, record.end))
        board.reached(*newest)
        check_sums(board)
        overtaken = list(board.overtaken())
        assert overtaken == [r for r in under_way(board) if (r.serial, r.end) < newest]
        assert board.last_overtaken == (overtaken[-1] if overtaken else None)
