"""The timestamps option: RFC 7323 sections 3 to 5 and appendix G."""

from collections.abc import Iterator

import pytest
from script import ISS, PEER_ISS, PEER_TS_BASE, Script, pattern

from pystack.tcp.config import TcpConfig
from pystack.tcp.rtt import RttEstimator
from pystack.tcp.seq import MASK
from pystack.tcp.timestamps import MAX_IDLE_S
from pystack.wire.tcp import ACK, Segment
from pystack.wire.tcp_options import parse

# without tail loss probes, and with delayed ACKs from the start
CONFIG = TcpConfig(congestion="newreno", recovery="newreno", quick_acks=0)


@pytest.fixture
def tcp() -> Iterator[Script]:
    """Give a connection with options, agreed on at 1000.1 s: our clock stands at 1100."""
    script = Script(CONFIG)
    yield script
    script.nothing_left()


def opened(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0) <mss 1460,sackOK,TS val 1000 ecr 0,wscale 8>")
    tcp.inject("+0.1 < S. 0:0(0) ack 1 win 60000 <mss 1460,sackOK,TS val 500 ecr 1000>")
    tcp.expect("+0 > . 1:1(0) ack 1 <TS val 1100 ecr 500>")
    assert tcp.conn.info().timestamps
    tcp.conn.tcb.no_delay = True


def recent(tcp: Script) -> int:
    return tcp.conn.tcb.ts_recent - PEER_TS_BASE & MASK


@pytest.mark.rfc("7323", "3.2")
def test_timestamps_are_answered_only_where_they_were_offered(tcp: Script) -> None:
    tcp.listen("+0 < S 0:0(0) win 1000 <mss 1460>")
    tcp.expect("+0 > S. 0:0(0) ack 1 <mss 1460>")
    assert not tcp.conn.info().timestamps


@pytest.mark.rfc("7323", "3.2")
def test_a_syn_ack_answers_and_echoes(tcp: Script) -> None:
    tcp.listen("+0 < S 0:0(0) win 1000 <mss 1460,TS val 77 ecr 0>")
    tcp.expect("+0 > S. 0:0(0) ack 1 <mss 1460,TS val 1000 ecr 77>")


def test_what_the_configuration_forbids_is_neither_offered_nor_taken() -> None:
    tcp = Script(TcpConfig(timestamps=False, sack=False, window_scaling=False))
    tcp.connect()
    tcp.expect("+0 > S 0:0(0) <mss 1460>")
    tcp.inject("+0.1 < S. 0:0(0) ack 1 win 999 <mss 1460,sackOK,TS val 5 ecr 0,wscale 7>")
    tcp.expect("+0 > . 1:1(0) ack 1 <>")
    info = tcp.conn.info()
    assert (info.timestamps, info.sack_permitted, info.snd_wind_shift) == (False, False, None)


@pytest.mark.rfc("7323", "3.2")
def test_every_segment_of_the_connection_has_one(tcp: Script) -> None:
    opened(tcp)
    tcp.write(10)
    tcp.expect("+0 > P. 1:11(10) ack 1 <TS val 1100 ecr 500>")
    tcp.inject("+0.05 < P. 1:11(10) ack 11 win 60000 <TS val 560 ecr 1100>")
    tcp.expect("+0.04 > . 11:11(0) ack 11 <TS val 1190 ecr 560>")
    tcp.abort()
    tcp.expect("+0 > R. 11:11(0) ack 11 <TS val 1190 ecr 560>")


@pytest.mark.rfc("9293", "3.7.1")
def test_twelve_bytes_come_off_the_text_of_each_segment() -> None:
    tcp = Script(CONFIG, gso_max_bytes=65_000)
    opened(tcp)
    tcp.write(2 * 1448 + 4)
    tcp.expect("+0 > P. 1:2901(2900) ack 1 <TS val 1100 ecr 500> gso 1448")
    assert tcp.conn.info().snd_mss_bytes == 1448


@pytest.mark.rfc("7323", "5.6")
@pytest.mark.rfc("7323", "5.3 R1")
@pytest.mark.rfc("7323", "5.6")
def test_a_segment_of_an_older_turn_is_refused_and_answered(tcp: Script) -> None:
    opened(tcp)
    tcp.inject("+0.1 < P. 1:11(10) ack 1 win 60000 <TS val 600 ecr 1100>")
    tcp.expect("+0.04 > . 1:1(0) ack 11 <TS val 1240 ecr 600>")
    tcp.inject("+0.1 < P. 11:21(10) ack 1 win 60000 <TS val 599 ecr 1100>")
    tcp.expect("+0 > . 1:1(0) ack 11 <TS val 1340 ecr 600>")
    assert tcp.drops == ["tcp_paws"]
    tcp.inject("+0.1 < P. 11:21(10) ack 1 win 60000 <TS val 600 ecr 1100>")
    assert tcp.read() == pattern(1, 20)
    tcp.drain()


@pytest.mark.rfc("7323", "5.3 R1")
def test_an_old_segment_without_text_is_answered_now_and_then(tcp: Script) -> None:
    opened(tcp)
    for _ in range(3):
        tcp.batch("+0 < . 1:1(0) ack 1 win 1 <TS val 499 ecr 1100>")
    tcp.expect("+0 > . 1:1(0) ack 1")
    assert tcp.drops.count("tcp_paws") == 3
    assert tcp.drops.count("tcp_challenge_limited") == 2


def test_a_bare_ack_that_was_overtaken_is_no_reason_for_a_duplicate_ack(tcp: Script) -> None:
    opened(tcp)
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 60000 <TS val 499 ecr 1100>")
    tcp.expect_nothing()
    assert not tcp.drops
    assert recent(tcp) == 500


@pytest.mark.rfc("7323", "5.2")
def test_a_reset_is_taken_whatever_its_timestamp(tcp: Script) -> None:
    opened(tcp)
    tcp.inject("+0.1 < R 1:1(0) <TS val 1 ecr 0>")
    assert tcp.conn.error is not None


@pytest.mark.rfc("7323", "3.2")
@pytest.mark.parametrize("required", [False, True])
def test_a_reset_may_lack_it(required: bool) -> None:
    tcp = Script(TcpConfig(congestion="newreno", quick_acks=0, timestamps_required=required))
    opened(tcp)
    tcp.inject("+0.1 < R 1:1(0)")
    assert tcp.conn.error is not None


@pytest.mark.rfc("7323", "3.2")
def test_what_lacks_it_is_dropped_in_silence_unless_linux_is_the_model(tcp: Script) -> None:
    opened(tcp)
    tcp.inject("+0.1 < P. 1:11(10) ack 1 win 60000")
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 60000")
    tcp.inject("+0.1 < F. 1:1(0) ack 1 win 60000")
    tcp.expect_nothing("+1")
    assert tcp.read() == b""
    assert tcp.drops == ["tcp_no_timestamp"] * 3
    mild = Script(TcpConfig(congestion="newreno", quick_acks=0, timestamps_required=False))
    opened(mild)
    mild.inject("+0.1 < P. 1:11(10) ack 1 win 60000")
    assert mild.read() == pattern(1, 10)
    mild.expect("+0.04 > . 1:1(0) ack 11")


@pytest.mark.rfc("5961", "4.2")
def test_a_peer_that_begins_anew_without_it_is_asked(tcp: Script) -> None:
    opened(tcp)
    tcp.inject("+0.1 < S 5000:5000(0) win 60000 <mss 1460>")
    tcp.expect("+0 > . 1:1(0) ack 1 <TS val 1200 ecr 500>")


@pytest.mark.rfc("7323", "5.5")
def test_after_24_days_of_silence_the_peers_clock_is_believed_anew(tcp: Script) -> None:
    opened(tcp)
    tcp.inject("+0.1 < P. 1:11(10) ack 1 win 60000 <TS val 600 ecr 1100>")
    tcp.expect("+0.04 > . 1:1(0) ack 11")
    tcp.now += MAX_IDLE_S - 1
    tcp.inject("+0 < P. 11:21(10) ack 1 win 60000 <TS val 9 ecr 1100>")
    assert tcp.drops == ["tcp_paws"]
    tcp.drain()
    tcp.now += 2
    tcp.inject("+0 < P. 11:21(10) ack 1 win 60000 <TS val 9 ecr 1100>")
    tcp.expect("+0.04 > . 1:1(0) ack 21")
    assert recent(tcp) == 9


@pytest.mark.rfc("7323", "4.3 A")
def test_a_delayed_ack_echoes_the_first_of_the_segments_that_it_covers(tcp: Script) -> None:
    opened(tcp)
    tcp.inject("+0.1 < P. 1:11(10) ack 1 win 60000 <TS val 600 ecr 1100>")
    tcp.inject("+0.01 < P. 11:21(10) ack 1 win 60000 <TS val 610 ecr 1100>")
    tcp.inject("+0.01 < P. 21:31(10) ack 1 win 60000 <TS val 620 ecr 1100>")
    tcp.expect("+0.02 > . 1:1(0) ack 31 <TS val 1240 ecr 600>")


@pytest.mark.rfc("7323", "4.3 B")
def test_a_duplicate_ack_echoes_the_last_that_advanced_the_window(tcp: Script) -> None:
    opened(tcp)
    tcp.inject("+0.1 < P. 1:11(10) ack 1 win 60000 <TS val 600 ecr 1100>")
    tcp.expect("+0.04 > . 1:1(0) ack 11 <TS val 1240 ecr 600>")
    tcp.inject("+0.1 < P. 21:31(10) ack 1 win 60000 <TS val 700 ecr 1100>")
    tcp.expect("+0 > . 1:1(0) ack 11 <TS val 1340 ecr 600,sack 21:31>")


@pytest.mark.rfc("7323", "4.3 C")
def test_the_segment_that_fills_the_hole_is_the_one_to_echo(tcp: Script) -> None:
    opened(tcp)
    tcp.inject("+0.1 < P. 11:21(10) ack 1 win 60000 <TS val 600 ecr 1100>")
    tcp.expect("+0 > . 1:1(0) ack 1 <TS val 1200 ecr 500,sack 11:21>")
    tcp.inject("+0.1 < P. 1:11(10) ack 1 win 60000 <TS val 700 ecr 1100>")
    tcp.expect("+0 > . 1:1(0) ack 21 <TS val 1300 ecr 700>")


@pytest.mark.rfc("7323", "4.3")
@pytest.mark.parametrize("again", ["1:11(10)", "11:21(10)", "5:15(10)"])
def test_the_answer_to_what_came_again_echoes_the_copy_that_came(again: str, tcp: Script) -> None:
    opened(tcp)
    tcp.inject("+0.1 < P. 1:11(10) ack 1 win 60000 <TS val 600 ecr 1100>")
    tcp.inject("+0.01 < P. 11:21(10) ack 1 win 60000 <TS val 610 ecr 1100>")
    tcp.expect("+0.03 > . 1:1(0) ack 21 <TS val 1240 ecr 600>")
    tcp.inject(f"+1 < P. {again} ack 1 win 60000 <TS val 1640 ecr 1100>")
    sack = again.partition("(")[0]
    tcp.expect(f"+0 > . 1:1(0) ack 21 <TS val 2240 ecr 1640,sack {sack}>")


@pytest.mark.rfc("5961", "5.2")
def test_nobody_sets_the_peers_clock_with_text_from_long_ago(tcp: Script) -> None:
    opened(tcp)
    before = tcp.conn.tcb.ts_recent
    far = 1 << 31
    for seq, ack in ((-far + 100, 1), (-(1 << 21), 1), (0, 2), (0, 0), (0, 1 << 30)):
        seg = Segment(
            80, 49152, PEER_ISS + 1 + seq - 5 & MASK, ISS + ack & MASK, ACK, 100, b"", bytes(5)
        )
        seg.options = tcp.incoming.pack("TS val 100000 ecr 1100")
        tcp.conn.segment_arrived(seg, tcp.now)
        tcp.pump()
        assert tcp.conn.tcb.ts_recent == before
    tcp.drain()


def test_text_that_overlaps_what_was_acknowledged_is_judged_by_where_it_began(tcp: Script) -> None:
    opened(tcp)
    tcp.inject("+0.1 < P. 1:11(10) ack 1 win 60000 <TS val 600 ecr 1100>")
    tcp.inject("+0.01 < P. 1:21(20) ack 1 win 60000 <TS val 610 ecr 1100>")
    tcp.expect("+0 > . 1:1(0) ack 21 <TS val 1210 ecr 610,sack 1:11>")


@pytest.mark.rfc("7323", "4.1")
def test_what_was_sent_again_is_timed_by_its_echo(tcp: Script) -> None:
    opened(tcp)
    tcp.write(10)
    tcp.expect("+0 > P. 1:11(10) ack 1 <TS val 1100 ecr 500>")
    tcp.expect("+0.3 > P. 1:11(10) ack 1 <TS val 1400 ecr 500>")
    assert tcp.conn.rtt.rto_s == pytest.approx(0.6)
    tcp.inject("+0.18 < . 1:1(0) ack 11 win 60000 <TS val 600 ecr 1400>")
    assert tcp.conn.rtt.srtt_s == pytest.approx(0.1 + 0.08 / 8)
    assert tcp.conn.rtt.rto_s < 0.4  # the back-off is over


@pytest.mark.rfc("7323", "4.1")
@pytest.mark.parametrize("echo", ["ecr 0", "ecr 1900", "ecr 1050", "ecr 2147483700"])
def test_an_echo_of_what_is_not_on_the_way_measures_nothing(echo: str, tcp: Script) -> None:
    opened(tcp)
    tcp.write(10)
    tcp.expect("+0 > P. 1:11(10) ack 1")
    tcp.expect("+0.3 > P. 1:11(10) ack 1")
    tcp.inject(f"+0.18 < . 1:1(0) ack 11 win 60000 <TS val 600 {echo}>")
    assert tcp.conn.rtt.srtt_s == pytest.approx(0.1)
    assert tcp.conn.rtt.rto_s == pytest.approx(0.6)


def test_a_syn_that_was_sent_again_is_timed_by_its_echo(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0)")
    tcp.expect("+1 > S 0:0(0) <mss 1460,sackOK,TS val 2000 ecr 0,wscale 8>")
    tcp.inject("+0.05 < S. 0:0(0) ack 1 win 60000 <mss 1460,TS val 500 ecr 2000>")
    tcp.expect("+0 > . 1:1(0) ack 1")
    assert tcp.conn.rtt.srtt_s == pytest.approx(0.05)


@pytest.mark.rfc("7323", "4.2")
@pytest.mark.rfc("7323", "G")
def test_many_samples_a_round_trip_weigh_as_much_as_one() -> None:
    one, many = RttEstimator(), RttEstimator()
    one.sample(0.1)
    many.sample(0.1)
    one.sample(0.2)
    for _ in range(10):
        many.sample(0.2, 10)
    assert one.srtt_s is not None
    assert many.srtt_s == pytest.approx(one.srtt_s, rel=0.01)
    assert many.rttvar_s == pytest.approx(one.rttvar_s, rel=0.2)


@pytest.mark.rfc("7323", "5.4")
def test_our_clock_goes_a_thousand_times_a_second_and_never_back(tcp: Script) -> None:
    opened(tcp)
    at, last = 1, tcp.conn.tcb.ts_offset + 1_000_100 & MASK
    for span_ms in (0, 1, 1, 250, 10_000, 3_600_000):
        tcp.now += span_ms / 1000
        tcp.inject(f"+0 < P. {at}:{at + 9}(9) ack 1 win 60000 <TS val 900 ecr 1100>")
        tcp.advance("+0.04")
        (answer,) = tcp.drain()
        parsed = parse(answer.options).timestamps
        assert parsed is not None
        assert parsed[0] - last & MASK == span_ms + 40
        at, last = at + 9, parsed[0]
