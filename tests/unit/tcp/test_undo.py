"""Mistakes taken back: F-RTO (RFC 5682), Eifel (RFC 3522, 4015), D-SACK (RFC 2883, 3708)."""

import pytest
from script import Script

from pystack.tcp import timestamps
from pystack.tcp.config import TcpConfig
from pystack.tcp.congestion.newreno import NewReno
from pystack.tcp.recovery.undo import Undo
from pystack.tcp.tcb import Tcb
from pystack.wire.tcp import ACK, Segment

MSS = 1000


class Noted(NewReno):
    """A control that notes what it is told."""

    __slots__ = ("told",)

    def __init__(self, smss_bytes: int) -> None:
        super().__init__(smss_bytes)
        self.told: list[str] = []

    def on_undo(self, now: float) -> None:
        self.told.append("undo")

    def on_recovery_exit(self, now: float) -> None:
        self.told.append("exit")


def opened(recovery: str = "rack", *, timestamps: bool = False, segments: int = 10) -> Script:
    config = TcpConfig(congestion="newreno", timestamps=timestamps, recovery=recovery)
    tcp = Script(config, mtu_mss=MSS + 12 * timestamps)
    echo = ",TS val 500 ecr 1000" if timestamps else ""
    tcp.established(options=f"mss {MSS + 12 * timestamps},sackOK{echo}", win=65535)
    tcp.conn.congestion = Noted(MSS)
    tcp.write(segments * MSS)
    assert len(tcp.drain()) == min(10, segments)
    return tcp


def told(tcp: Script) -> list[str]:
    control = tcp.conn.congestion
    assert isinstance(control, Noted)
    return control.told


def timed_out(tcp: Script) -> None:
    """Let the retransmission timer run out: at 0.3 s, or after a probe at 0.2 s at 0.5 s."""
    tcp.advance("+0.51")
    tcp.drain()
    assert tcp.conn.congestion.cwnd_bytes == MSS


@pytest.mark.rfc("5682", "3.1")
@pytest.mark.parametrize("recovery", ["sack", "rack"])
def test_a_timeout_after_which_originals_arrive_was_spurious(recovery: str) -> None:
    tcp = opened(recovery, segments=12)
    timed_out(tcp)
    tcp.inject("+0.1 < . 1:1(0) ack 1001 win 65535")  # for the one that was sent again, perhaps
    new = [(sent.seq - tcp.conn.tcb.iss - 1) // MSS for sent in tcp.drain()]
    assert new[0] >= 10  # step 2 (b): new text, not what seems lost
    tcp.inject("+0 < . 1:1(0) ack 3001 win 65535")  # which 1 and 2 were not
    assert told(tcp) == ["undo", "exit"]
    assert tcp.conn.recovery.next_lost() is None


@pytest.mark.rfc("5682", "3.1")
@pytest.mark.parametrize("recovery", ["sack", "rack"])
def test_a_timeout_after_which_only_duplicates_arrive_was_not(recovery: str) -> None:
    tcp = opened(recovery, segments=14)
    timed_out(tcp)
    tcp.inject("+0.1 < . 1:1(0) ack 1001 win 65535")
    new = tcp.drain()
    assert new
    end = new[0].seq - tcp.conn.tcb.iss
    tcp.inject(f"+0.1 < . 1:1(0) ack 1001 win 65535 <sack {end}:{end + MSS}>")
    assert tcp.drain()[0].seq - tcp.conn.tcb.iss == 1001
    assert told(tcp) == []


@pytest.mark.rfc("5682", "3.1")
def test_with_nothing_new_to_send_it_goes_back_at_once() -> None:
    tcp = opened("sack")
    timed_out(tcp)
    tcp.inject("+0.1 < . 1:1(0) ack 1001 win 65535")
    assert [sent.seq - tcp.conn.tcb.iss for sent in tcp.drain()] == [1001, 2001]


@pytest.mark.rfc("3522", "3.2")
def test_an_echo_from_before_the_first_retransmission_takes_a_timeout_back() -> None:
    tcp = opened(timestamps=True)
    timed_out(tcp)
    tcp.inject("+0.01 < . 1:1(0) ack 1001 win 65535 <TS val 600 ecr 1100>")  # of the original
    assert told(tcp) == ["undo", "exit"]


@pytest.mark.rfc("3522", "3.2")
def test_an_echo_of_the_retransmission_does_not() -> None:
    tcp = opened(timestamps=True, segments=30)
    timed_out(tcp)
    echo = 1100 + 510
    tcp.inject(f"+0.1 < . 1:1(0) ack 1001 win 65535 <TS val 600 ecr {echo}>")
    tcp.drain()
    assert told(tcp) == []


@pytest.mark.rfc("3522", "3.2")
def test_an_echo_takes_a_fast_retransmit_back() -> None:
    tcp = opened(timestamps=True)
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 65535 <TS val 600 ecr 1100,sack 1001:4001>")
    assert tcp.drain()
    tcp.inject("+0.01 < . 1:1(0) ack 4001 win 65535 <TS val 601 ecr 1100>")
    assert told(tcp) == ["undo", "exit"]
    assert not tcp.conn.recovery.in_recovery


@pytest.mark.rfc("2883", "5")
@pytest.mark.parametrize("recovery", ["sack", "rack"])
def test_when_all_that_was_sent_again_came_twice_it_is_taken_back(recovery: str) -> None:
    tcp = opened(recovery, segments=12)
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 65535 <sack 1001:4001>")
    assert tcp.conn.retransmits == 1
    tcp.drain()
    tcp.inject("+0.01 < . 1:1(0) ack 4001 win 65535")  # the original came late
    tcp.drain()
    assert told(tcp) == []
    tcp.inject("+0.09 < . 1:1(0) ack 4001 win 65535 <sack 1:1001>")  # and the copy
    tcp.drain()
    assert told(tcp)[0] == "undo"


def test_reports_of_what_was_not_sent_again_take_nothing_back() -> None:
    tcp = opened(segments=12)
    tcp.inject("+0.1 < . 1:1(0) ack 1001 win 65535 <sack 1:1001>")
    tcp.drain()
    assert told(tcp) == []


@pytest.mark.rfc("3522", "3.2")
def test_the_ack_of_what_an_earlier_repair_sent_again_is_no_originals() -> None:
    tcb = Tcb(1000, 1460)
    undo = Undo(tcb)

    def answered(sent_at: float) -> bool:
        segment = Segment(1, 2, 0, 0, ACK, 0)
        segment.tsval, segment.tsecr = 1, timestamps.clock(tcb, sent_at)
        return undo.original_answered(segment)

    undo.begin(0)
    undo.on_retransmitted(1000, 0, 10.0)
    undo.begin(1000)  # the first of it is on the way still
    undo.on_retransmitted(1000, 1000, 20.0)
    assert not answered(15.0)
    assert not answered(10.0)
    assert answered(9.0)
    undo.on_duplicate_report(1000, 2000)
    assert not undo.all_were_duplicates()  # one of two
    undo.end()
    undo.on_retransmitted(1000, 0, 30.0)  # a probe, in no repair
    undo.begin(1000)
    undo.on_retransmitted(1000, 1000, 40.0)
    assert not answered(35.0)
    undo.begin(0)
    undo.on_retransmitted(1000, 0, 50.0)
    assert answered(45.0)
