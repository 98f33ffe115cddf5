"""What we tell a peer of text beyond a gap, or that came twice: RFC 2018, RFC 2883."""

from collections.abc import Iterator

import pytest
from script import ISS, Script, pattern

from pystack.tcp.config import TcpConfig

PLAIN = TcpConfig(congestion="newreno", timestamps=False, quick_acks=0)


@pytest.fixture
def tcp() -> Iterator[Script]:
    """Give a connection with SACK and without timestamps."""
    script = Script(PLAIN)
    script.established(options="mss 1460,sackOK")
    script.conn.tcb.no_delay = True
    yield script
    script.nothing_left()


@pytest.mark.rfc("2018", "2")
def test_sack_permitted_is_answered_only_where_it_was_offered() -> None:
    for theirs, ours in (("mss 1460", "mss 1460"), ("mss 1460,sackOK", "mss 1460,sackOK")):
        tcp = Script(PLAIN)
        tcp.listen(f"+0 < S 0:0(0) win 1000 <{theirs}>")
        tcp.expect(f"+0 > S. 0:0(0) ack 1 <{ours}>")


@pytest.mark.rfc("2018", "3")
def test_without_an_agreement_no_block_is_told() -> None:
    tcp = Script(PLAIN)
    tcp.established()
    tcp.inject("+0.1 < P. 11:21(10) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 1 <>")


@pytest.mark.rfc("2018", "4")
def test_the_block_that_changed_last_comes_first(tcp: Script) -> None:
    tcp.inject("+0.1 < P. 11:21(10) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 1 <sack 11:21>")
    tcp.inject("+0 < P. 31:41(10) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 1 <sack 31:41 11:21>")
    tcp.inject("+0 < P. 21:26(5) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 1 <sack 11:26 31:41>")
    tcp.inject("+0 < P. 26:31(5) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 1 <sack 11:41>")
    tcp.inject("+0 < P. 1:11(10) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 41 <>")
    assert tcp.read() == pattern(1, 40)


@pytest.mark.rfc("2018", "3")
@pytest.mark.parametrize(("timestamps", "most"), [(False, 4), (True, 3)])
def test_as_many_blocks_as_there_is_room_for(timestamps: bool, most: int) -> None:
    tcp = Script(TcpConfig(congestion="newreno", timestamps=timestamps))
    tcp.established(options="mss 1460,sackOK,TS val 1 ecr 1000")
    stamp = "TS val 9 ecr 1100" if timestamps else ""
    blocks: list[str] = []
    for number in range(1, 7):
        left = 20 * number + 1
        tcp.inject(f"+0 < P. {left}:{left + 10}(10) ack 1 win 1000 <{stamp}>")
        blocks.insert(0, f"{left}:{left + 10}")
        echo = "TS val 1100 ecr 1," if timestamps else ""
        tcp.expect(f"+0 > . 1:1(0) ack 1 <{echo}sack {' '.join(blocks[:most])}>")


@pytest.mark.rfc("2883", "4.1")
def test_a_segment_that_came_twice_is_told_in_front(tcp: Script) -> None:
    tcp.inject("+0.1 < P. 1:11(10) ack 1 win 1000")
    tcp.expect("+0.04 > . 1:1(0) ack 11")
    tcp.inject("+0 < P. 1:11(10) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 11 <sack 1:11>")
    tcp.inject("+0 < P. 21:31(10) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 11 <sack 21:31>")  # once, and no more
    tcp.inject("+0 < P. 1:11(10) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 11 <sack 1:11 21:31>")
    assert tcp.conn.info().dsacks_sent == 2


@pytest.mark.rfc("2883", "4.2")
def test_the_part_of_a_segment_that_came_twice_is_told(tcp: Script) -> None:
    tcp.inject("+0.1 < P. 1:11(10) ack 1 win 1000")
    tcp.expect("+0.04 > . 1:1(0) ack 11")
    tcp.inject("+0 < P. 6:16(10) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 16 <sack 6:11>")


@pytest.mark.rfc("2883", "4.2")
def test_what_came_twice_beyond_the_gap_is_followed_by_the_block_around_it(tcp: Script) -> None:
    for line in ("11:21(10)", "21:31(10)", "51:61(10)"):
        tcp.batch(f"+0 < P. {line} ack 1 win 1000")
    tcp.drain()
    tcp.inject("+0 < P. 16:26(10) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 1 <sack 16:26 11:31 51:61>")


def test_a_fin_that_waits_behind_the_gap_is_part_of_its_block(tcp: Script) -> None:
    tcp.inject("+0.1 < F. 11:21(10) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 1 <sack 11:22>")


@pytest.mark.rfc("2883", "4.1")
def test_a_fin_that_came_twice_is_told(tcp: Script) -> None:
    tcp.inject("+0.1 < F. 1:11(10) ack 1 win 1000")
    tcp.expect("+0.04 > . 1:1(0) ack 12 <>")
    tcp.inject("+0 < F. 1:11(10) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 12 <sack 1:12>")


@pytest.mark.rfc("2018", "4")
def test_blocks_go_with_short_text_and_before_full_segments(tcp: Script) -> None:
    tcp.inject("+0.1 < P. 11:21(10) ack 1 win 9000")
    tcp.expect("+0 > . 1:1(0) ack 1 <sack 11:21>")
    tcp.write(100)
    tcp.expect("+0 > P. 1:101(100) ack 1 <sack 11:21>")
    tcp.inject("+0 < P. 31:41(10) ack 101 win 9000")
    tcp.write(1460)
    tcp.expect("+0 > . 101:101(0) ack 1 <sack 31:41 11:21>")
    tcp.expect("+0 > P. 101:1561(1460) ack 1 <>")


def test_their_blocks_are_read_next_to_our_numbers(tcp: Script) -> None:
    tcp.write(200)
    tcp.drain()
    segment = tcp.incoming_segment("+0 < . 1:1(0) ack 1 win 1000 <sack 51:151 161:201>")
    tcp.conn.segment_arrived(segment, tcp.now)
    assert segment.sack_blocks == ((ISS + 51, ISS + 151), (ISS + 161, ISS + 201))
    assert ISS + 151 > 2**32


def test_their_blocks_are_not_read_without_an_agreement() -> None:
    tcp = Script(PLAIN)
    tcp.established()
    segment = tcp.incoming_segment("+0 < . 1:1(0) ack 1 win 1000 <sack 51:151>")
    tcp.conn.segment_arrived(segment, tcp.now)
    assert segment.sack_blocks == ()
