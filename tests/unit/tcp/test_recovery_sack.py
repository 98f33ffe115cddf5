"""Loss recovery by selective acknowledgements: RFC 6675."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from script import Script

from pystack.tcp.config import TcpConfig
from pystack.tcp.recovery.base import DUPLICATE_THRESHOLD
from pystack.tcp.recovery.sack import SackRecovery
from pystack.tcp.scoreboard import EVER_RETRANSMITTED, LOST, SACKED

MSS = 1000
CONFIG = TcpConfig(congestion="newreno", timestamps=False, recovery="sack")


@pytest.fixture
def tcp() -> Iterator[Script]:
    """Give a connection with SACK that has sent ten segments, and has a hundred more."""
    script = Script(CONFIG, mtu_mss=MSS)
    script.established(options="mss 1000,sackOK", win=65535)
    script.write(110 * MSS)
    assert len(script.drain()) == 10
    yield script
    script.nothing_left()


def sack(tcp: Script, blocks: str, *, ack: int = 1, after: str = "+0") -> None:
    tcp.inject(f"{after} < . 1:1(0) ack {ack} win 65535 <sack {blocks}>")


def segment(number: int) -> int:
    """Return where a segment begins."""
    return 1 + number * MSS


def numbers(tcp: Script) -> list[int]:
    """Return the numbers of the segments that were sent."""
    return [(sent.seq - tcp.conn.tcb.iss - 1) // MSS for sent in tcp.drain()]


@pytest.mark.rfc("3042", "2")
def test_each_segment_that_has_left_lets_a_new_one_out(tcp: Script) -> None:
    sack(tcp, "1001:2001", after="+0.1")
    assert numbers(tcp) == [10]
    sack(tcp, "1001:3001")
    assert numbers(tcp) == [11]


@pytest.mark.rfc("6675", "5")
def test_the_third_segment_above_a_hole_makes_it_lost(tcp: Script) -> None:
    sack(tcp, "1001:2001", after="+0.1")
    tcp.drain()
    sack(tcp, "1001:3001")
    tcp.drain()
    sack(tcp, "1001:4001")
    assert numbers(tcp) == [0]
    assert tcp.conn.recovery.in_recovery
    assert tcp.conn.congestion.ssthresh_bytes == 5 * MSS


@pytest.mark.rfc("6675", "4")
def test_one_ack_may_tell_of_three(tcp: Script) -> None:
    sack(tcp, "1001:4001", after="+0.1")
    assert numbers(tcp)[0] == 0


@pytest.mark.rfc("6675", "4")
def test_holes_are_filled_lowest_first_as_the_pipe_allows(tcp: Script) -> None:
    sack(tcp, "9001:10001 5001:9001 3001:4001", after="+0.1")  # 0, 1, 2 and 4 are missing
    sent = numbers(tcp)
    assert sent == [0, 1, 2, 4, 10]  # the pipe of 10 was empty, ssthresh is 5
    sack(tcp, "1001:2001 3001:4001 5001:10001", after="+0.1")
    assert numbers(tcp) == [11]


@pytest.mark.rfc("6675", "5")
def test_all_acknowledged_ends_recovery(tcp: Script) -> None:
    sack(tcp, "1001:10001", after="+0.1")
    first = numbers(tcp)
    assert first[0] == 0
    tcp.inject("+0.1 < . 1:1(0) ack 10001 win 65535")
    tcp.drain()
    assert not tcp.conn.recovery.in_recovery
    assert tcp.conn.congestion.cwnd_bytes == 5 * MSS


@pytest.mark.rfc("5681", "4.3")
@pytest.mark.rfc("6675", "5")
def test_a_partial_ack_goes_on_with_what_is_lost(tcp: Script) -> None:
    sack(tcp, "1001:5001 6001:10001", after="+0.1")
    assert numbers(tcp)[:2] == [0, 5]
    tcp.inject("+0.1 < . 1:1(0) ack 5001 win 65535 <sack 6001:10001>")
    assert tcp.conn.recovery.in_recovery
    assert 5 not in numbers(tcp)  # it is on its way already
    assert tcp.conn.congestion.ssthresh_bytes == 5 * MSS


@pytest.mark.rfc("6675", "4")
def test_nothing_new_to_send_the_last_segment_is_rescued_once() -> None:
    tcp = Script(CONFIG, mtu_mss=MSS)
    tcp.established(options="mss 1000,sackOK")
    tcp.write(10 * MSS)
    tcp.drain()
    # 0 is lost, and 9 perhaps: no segment above it will ever tell
    sack(tcp, "1001:9001", after="+0.1")
    assert numbers(tcp) == [0, 9]
    tcp.inject("+0.1 < . 1:1(0) ack 9001 win 65535")
    assert numbers(tcp) == []


@pytest.mark.rfc("6675", "5.1")
def test_after_a_timeout_what_is_there_is_not_sent_again(tcp: Script) -> None:
    sack(tcp, "1001:3001", after="+0.1")
    tcp.drain()
    tcp.expect("+0.2 > . 1:1001(1000) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 3001 win 65535")
    tcp.drain()  # F-RTO: new text
    tcp.inject("+0.1 < . 1:1(0) ack 3001 win 65535 <sack 12001:13001>")
    sent = numbers(tcp)
    assert sent[0] == 3
    assert not {1, 2} & set(sent)


@pytest.mark.rfc("2018", "8")
def test_a_peer_that_throws_away_what_it_had_gets_it_again(tcp: Script) -> None:
    sack(tcp, "1001:4001", after="+0.1")
    tcp.drain()
    tcp.inject("+0.05 < . 1:1(0) ack 1001 win 65535")  # up to where it had more, and no further
    tcp.drain()
    tcp.expect("+0.3 > . 1001:2001(1000) ack 1")
    assert tcp.conn.recovery.pipe_bytes() == MSS


@pytest.mark.parametrize("blocks", ["200001:201001", "2001:2001", "3001:2001"])
def test_blocks_that_cannot_be_are_counted_and_change_nothing(blocks: str, tcp: Script) -> None:
    sack(tcp, blocks, after="+0.1")
    assert tcp.drops == ["tcp_bad_sack_block"]
    assert tcp.conn.recovery.pipe_bytes() == 10 * MSS


def test_more_sacked_than_sent_lets_out_no_more_than_was_acknowledged(tcp: Script) -> None:
    sent = 0
    for _ in range(50):
        sack(tcp, "1001:10001")
        sent += len(tcp.drain())
    assert sent <= 10


@pytest.mark.rfc("6675", "2")
def test_reordering_raises_the_threshold() -> None:
    tcp = Script(CONFIG, mtu_mss=MSS)
    tcp.established(options="mss 1000,sackOK")
    tcp.write(110 * MSS)
    tcp.drain()
    sack(tcp, "1001:3001", after="+0.1")
    tcp.drain()
    tcp.inject("+0 < . 1:1(0) ack 3001 win 65535 <sack 5001:8001>")  # 0 came late, and 3, 4 may
    assert numbers(tcp)[0] == 3
    tcp.inject("+0 < . 1:1(0) ack 3001 win 65535 <sack 4001:8001>")  # 4 did
    assert tcp.conn.recovery.dup_thresh == 4  # type: ignore[attr-defined]


@pytest.mark.rfc("6675", "4")
@given(st.lists(st.tuples(st.integers(0, 39), st.integers(1, 5)), max_size=30))
@settings(deadline=None, max_examples=50)
def test_lost_is_what_has_enough_above_it_whatever_came_before(
    blocks: list[tuple[int, int]],
) -> None:
    config = TcpConfig(congestion="fixed:40", recovery="sack", timestamps=False)
    tcp = Script(config, mtu_mss=MSS)
    tcp.established(options="mss 1000,sackOK", win=65535)
    tcp.write(40 * MSS)
    assert len(tcp.drain()) == 40
    recovery = tcp.conn.recovery
    assert isinstance(recovery, SackRecovery)
    for first, count in blocks:
        left, right = first * MSS + 1, min(first + count, 40) * MSS + 1
        ack = tcp.conn.tcb.snd_una - tcp.conn.tcb.iss
        if right <= ack or left <= ack:
            continue
        tcp.inject(f"+0.001 < . 1:1(0) ack {ack} win 65535 <sack {left}:{right}>")
        tcp.drain()
        records = recovery.board.records
        for index, record in enumerate(records):
            if record.flags & SACKED:
                continue
            above = [other for other in records[index + 1 :] if other.flags & SACKED]
            enough = len(above) >= recovery.dup_thresh
            enough |= sum(other.size for other in above) > (recovery.dup_thresh - 1) * MSS
            assert record.flags & LOST or not enough
            if recovery.dup_thresh == DUPLICATE_THRESHOLD:  # else it was lost before that grew
                assert enough or record.flags & (LOST | EVER_RETRANSMITTED) != LOST
