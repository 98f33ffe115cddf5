"""RACK-TLP: RFC 8985. The round trip is 0.1 s, so the window for reordering 25 ms."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from random import Random
from types import FrameType
from typing import Any

import pytest
from script import Script

from pystack.tcp.config import TcpConfig
from pystack.tcp.recovery.rack import RackRecovery
from pystack.wire.tcp import Segment

MSS = 1000
CONFIG = TcpConfig(congestion="newreno", timestamps=False)


def opened(*, segments: int = 10, config: TcpConfig = CONFIG) -> Script:
    """Return a connection that has sent so many segments."""
    tcp = Script(config, mtu_mss=MSS)
    tcp.established(options="mss 1000,sackOK", win=65535)
    tcp.conn.tcb.no_delay = True
    tcp.write(segments * MSS)
    assert len(tcp.drain()) == min(segments, 10)
    return tcp


@pytest.fixture
def tcp() -> Iterator[Script]:
    """Give one that has sent ten segments and has nothing more to send."""
    script = opened()
    yield script
    script.nothing_left()


def rack(tcp: Script) -> RackRecovery:
    recovery = tcp.conn.recovery
    assert isinstance(recovery, RackRecovery)
    return recovery


def sack(tcp: Script, blocks: str, *, ack: int = 1, after: str = "+0") -> None:
    tcp.inject(f"{after} < . 1:1(0) ack {ack} win 65535 <sack {blocks}>")


def numbers(tcp: Script) -> list[int]:
    return [(sent.seq - tcp.conn.tcb.iss - 1) // MSS for sent in tcp.drain()]


def test_it_is_the_default_where_sack_was_agreed_on() -> None:
    assert opened().conn.recovery.name == "rack"
    plain = Script(CONFIG)
    plain.established()
    assert plain.conn.recovery.name == "newreno"


@pytest.mark.rfc("8985", "6.2")
def test_one_segment_that_was_sent_later_is_enough_after_the_reordering_window(
    tcp: Script,
) -> None:
    sack(tcp, "9001:10001", after="+0.1")
    tcp.expect("+0.025 > . 1:1001(1000) ack 1")
    assert tcp.conn.recovery.in_recovery
    assert tcp.conn.congestion.ssthresh_bytes == 5 * MSS
    tcp.drain()


@pytest.mark.rfc("8985", "6.2")
def test_three_segments_need_no_window(tcp: Script) -> None:
    sack(tcp, "1001:4001", after="+0.1")
    assert numbers(tcp) == [0]


@pytest.mark.rfc("8985", "6.2")
def test_what_arrives_within_the_window_was_late_only(tcp: Script) -> None:
    sack(tcp, "1001:2001", after="+0.1")
    tcp.inject("+0.02 < . 1:1(0) ack 2001 win 65535")
    assert rack(tcp).reordering_seen
    tcp.expect_nothing("+0.1")
    assert tcp.conn.congestion.cwnd_bytes >= 10 * MSS


@pytest.mark.rfc("8985", "6.2")
def test_where_reordering_was_seen_three_segments_wait_too(tcp: Script) -> None:
    sack(tcp, "1001:2001", after="+0.1")
    tcp.inject("+0.02 < . 1:1(0) ack 2001 win 65535")
    sack(tcp, "3001:6001", ack=2001)
    # The last round trip took 0.12
    tcp.expect("+0.025 > . 2001:3001(1000) ack 1")


@pytest.mark.rfc("8985", "6.1")
@pytest.mark.rfc("8985", "6.2")
def test_a_lost_retransmission_is_found_by_time(tcp: Script) -> None:
    tcp.write(100 * MSS)
    tcp.drain()
    sack(tcp, "1001:10001", after="+0.1")
    assert numbers(tcp)[:2] == [0, 10]
    sack(tcp, "10001:11001 1001:10001", after="+0.1")  # it was sent after the retransmission
    assert numbers(tcp)[0] == 0
    assert tcp.conn.congestion.ssthresh_bytes == 5 * MSS  # the same window of data


@pytest.mark.rfc("8985", "6.2")
def test_a_duplicate_report_widens_the_window_once_a_round_trip(tcp: Script) -> None:
    tcp.inject("+0.1 < . 1:1(0) ack 1001 win 65535 <sack 1:1001>")
    tcp.inject("+0 < . 1:1(0) ack 2001 win 65535 <sack 1001:2001>")
    assert rack(tcp).reo_wnd_mult == 2
    assert rack(tcp).reo_wnd_s == pytest.approx(0.05)


@pytest.mark.rfc("8985", "7.2")
def test_the_probe_comes_two_round_trips_after_the_last_word(tcp: Script) -> None:
    tcp.expect("+0.2 > P. 9001:10001(1000) ack 1")


@pytest.mark.rfc("8985", "7.2")
@pytest.mark.parametrize(
    "ack", ["win 65535", "win 60000", "win 65535 <sack 9991:10001>", "win 65535 <sack 1:1>"]
)
def test_an_ack_that_makes_no_progress_does_not_put_the_probe_off(ack: str, tcp: Script) -> None:
    for _ in range(3):
        tcp.inject(f"+0.06 < . 1:1(0) ack 1 {ack}")
        tcp.drain()  # limited transmit has nothing to send
    tcp.expect("+0.02 > P. 9001:10001(1000) ack 1")


@pytest.mark.rfc("8985", "7.2")
def test_an_ack_of_new_text_puts_it_off(tcp: Script) -> None:
    tcp.inject("+0.15 < . 1:1(0) ack 1001 win 65535")
    tcp.expect_nothing("+0.2")  # two of 106 ms
    tcp.expect("+0.0125 > P. 9001:10001(1000) ack 1")


@pytest.mark.rfc("8985", "7.2")
def test_a_round_trip_of_no_time_at_all_leaves_time_for_an_answer() -> None:
    tcp = Script(CONFIG, mtu_mss=MSS)
    tcp.established(options="mss 1000,sackOK", rtt="0")
    tcp.write(5 * MSS)
    assert numbers(tcp) == [0, 1, 2, 3, 4]
    tcp.advance("+0")
    tcp.nothing_left()
    tcp.expect("+0.001 > P. 4001:5001(1000) ack 1")


@pytest.mark.rfc("8985", "7.2")
def test_the_probe_for_a_single_segment_allows_for_a_delayed_ack() -> None:
    tcp = opened(segments=1)
    # 2 * 0.1 and 0.2, but not after the RTO, which would be at 0.1 and 0.2
    tcp.expect("+0.3 > P. 1:1001(1000) ack 1")
    tcp.expect("+0.3 > P. 1:1001(1000) ack 1")  # the RTO, started afresh by the probe
    assert tcp.conn.congestion.cwnd_bytes == MSS


@pytest.mark.rfc("8985", "7.3")
def test_new_text_is_the_better_probe_whatever_cwnd_says() -> None:
    tcp = opened(segments=20)
    tcp.expect("+0.2 > . 10001:11001(1000) ack 1")
    tcp.expect_nothing("+0.29")  # one at a time; then the RTO
    assert tcp.conn.retransmits == 0


@pytest.mark.rfc("8985", "7.3")
def test_the_probe_makes_rack_find_the_lost_tail(tcp: Script) -> None:
    tcp.inject("+0.1 < . 1:1(0) ack 6001 win 65535")  # 6 to 9 are lost
    tcp.expect("+0.2 > P. 9001:10001(1000) ack 1")
    sack(tcp, "9001:10001", ack=6001, after="+0.1")
    assert numbers(tcp) == [6]
    sack(tcp, "9001:10001", ack=7001, after="+0.1")
    assert numbers(tcp) == [7, 8]
    tcp.inject("+0.1 < . 1:1(0) ack 10001 win 65535")
    assert not tcp.conn.recovery.in_recovery
    assert tcp.conn.retransmits == 4


@pytest.mark.rfc("8985", "7.4")
def test_a_repair_by_the_probe_alone_is_congestion_all_the_same() -> None:
    tcp = opened(segments=10)
    tcp.inject("+0.1 < . 1:1(0) ack 9001 win 65535")
    cwnd_bytes = tcp.conn.congestion.cwnd_bytes
    tcp.expect("+0.3 > P. 9001:10001(1000) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 10001 win 65535")
    assert tcp.conn.congestion.cwnd_bytes >= cwnd_bytes  # the original may be on its way still
    tcp.write(MSS)
    tcp.expect("+0 > P. 10001:11001(1000) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 11001 win 65535")
    assert tcp.conn.congestion.cwnd_bytes < cwnd_bytes


@pytest.mark.rfc("8985", "7.4")
@pytest.mark.parametrize("options", ["<sack 9001:10001>", ""])
def test_a_probe_that_came_twice_is_no_congestion(options: str) -> None:
    tcp = opened(segments=10)
    tcp.inject("+0.1 < . 1:1(0) ack 9001 win 65535")
    cwnd_bytes = tcp.conn.congestion.cwnd_bytes
    tcp.expect("+0.3 > P. 9001:10001(1000) ack 1")
    tcp.inject("+0.01 < . 1:1(0) ack 10001 win 65535")  # for the original
    tcp.write(MSS)
    tcp.drain()
    tcp.inject(f"+0.09 < . 1:1(0) ack 10001 win 65535 {options}".strip())  # for the copy
    tcp.inject("+0.1 < . 1:1(0) ack 11001 win 65535")
    assert tcp.conn.congestion.cwnd_bytes >= cwnd_bytes


@pytest.mark.rfc("8985", "6.3")
def test_at_a_timeout_what_was_sent_just_now_is_not_lost() -> None:
    tcp = opened(segments=8)
    tcp.inject("+0.1 < . 1:1(0) ack 1001 win 65535")
    tcp.expect("+0.2 > P. 7001:8001(1000) ack 1")  # the probe, and the RTO 0.3 after it
    tcp.advance("+0.29")
    tcp.write(MSS)
    tcp.expect("+0 > P. 8001:9001(1000) ack 1")
    tcp.expect("+0.01 > . 1001:2001(1000) ack 1")
    assert tcp.conn.recovery.pipe_bytes() == 2 * MSS
    assert tcp.conn.congestion.cwnd_bytes == MSS


def test_nothing_on_the_way_no_timer_is_left(tcp: Script) -> None:
    tcp.inject("+0.1 < . 1:1(0) ack 10001 win 65535")
    assert tcp.conn.next_timeout() == float("inf")


@pytest.mark.rfc("8985", "6.2")
@pytest.mark.rfc("3522", "3.2")
def test_a_recovery_that_was_a_mistake_is_not_made_again_at_once() -> None:
    tcp = Script(replace(CONFIG, timestamps=True), mtu_mss=MSS + 12)
    tcp.established(options="mss 1012,sackOK,TS val 500 ecr 1000")
    tcp.write(30 * MSS)
    assert numbers(tcp) == list(range(10))
    # The last three have overtaken all others, which come at last, one after the other.
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 65535 <TS val 600 ecr 1100,sack 7001:10001>")
    assert tcp.conn.recovery.in_recovery
    again = tcp.conn.retransmits
    assert again > 0
    tcp.drain()
    for number in range(1, 7):
        at = number * MSS + 1
        told = f"TS val {600 + number} ecr 1100,sack 7001:10001"
        tcp.inject(f"+0.001 < . 1:1(0) ack {at} win 65535 <{told}>")
        assert all(sent >= 10 for sent in numbers(tcp))  # new text
    assert tcp.conn.retransmits == again
    assert tcp.conn.undos == 1
    assert rack(tcp).reo_wnd_mult == 2
    assert rack(tcp).reo_wnd_s == tcp.conn.rtt.srtt_s
    tcp.inject("+0.09 < . 1:1(0) ack 12001 win 65535 <TS val 700 ecr 1200>")
    tcp.drain()
    tcp.inject("+0.01 < . 1:1(0) ack 20001 win 65535 <TS val 700 ecr 1200>")
    assert rack(tcp).reo_wnd_s == pytest.approx(2 * 0.095 / 4)  # two quarters, a round trip later
    tcp.drain()


@pytest.mark.rfc("8985", "6.2")
def test_recoveries_that_were_undone_do_not_wear_the_wider_window_out(tcp: Script) -> None:
    recovery = rack(tcp)
    recovery.reo_wnd_mult, recovery._persist = 5, 3
    for _ in range(4):
        recovery._left_recovery(undone=True)
    assert (recovery.reo_wnd_mult, recovery._persist) == (5, 7)
    for _ in range(7):
        assert recovery.reo_wnd_mult == 5
        recovery._left_recovery(undone=False)
    assert recovery.reo_wnd_mult == 1


def lines_run(function: Callable[[], None]) -> int:
    """Return how many lines of the engine a call runs: what it costs, on any machine."""
    count = 0

    def trace(_frame: FrameType, event: str, _arg: object) -> Any:  # noqa: ANN401 - sys.settrace's
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    function()
    sys.settrace(before)
    return count


@pytest.mark.parametrize("cumulative", [False, True])
def test_an_ack_costs_the_same_however_much_is_on_the_way(*, cumulative: bool) -> None:
    costs = []
    for segments in (250, 1250):
        tcp = Script(replace(CONFIG, congestion="fixed:4000"))
        tcp.established(options="mss 50,sackOK,wscale 14")
        tcp.conn.tcb.no_delay = True
        tcp.write(segments * 50)
        assert len(tcp.drain()) == segments
        rack(tcp).reordering_seen = True  # so that nothing is lost before 25 ms
        tcp.now += 0.1
        answers = []
        for count, number in enumerate(Random(1).sample(range(60, segments), 120)):
            una, at = 1 + 50 * (count // 4) * cumulative, 1 + 50 * number
            sack_of_one = f"<sack {at}:{at + 50}>"
            answers.append(tcp.incoming_segment(f"+0 < . 1:1(0) ack {una} win 8000 {sack_of_one}"))
        for answer in answers[:60]:  # makes records of the log, and orders them
            tcp.conn.segment_arrived(answer, tcp.now)
        costs.append(lines_run(partial(arrive, tcp, answers[60:])))
        assert tcp.conn.recovery.info().state == "disorder"
    assert costs[1] < 1.2 * costs[0]


def arrive(tcp: Script, segments: list[Segment]) -> None:
    for segment in segments:
        tcp.conn.segment_arrived(segment, tcp.now)
