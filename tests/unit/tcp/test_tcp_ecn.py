"""ECN as TCP agrees on it, marks, echoes and answers: RFC 3168 section 6.1, RFC 8257."""

import pytest
from accurate import PLAIN
from script import Script

from pystack.core.errors import ConfigError
from pystack.tcp.config import TcpConfig

REQUEST = TcpConfig(ecn="request", **PLAIN)  # type: ignore[arg-type]
ACCEPT = TcpConfig(ecn="accept", **PLAIN)  # type: ignore[arg-type]
OFF = TcpConfig(ecn="off", **PLAIN)  # type: ignore[arg-type]
DCTCP = TcpConfig(**{**PLAIN, "congestion": "dctcp"})  # type: ignore[arg-type]


def opened(config: TcpConfig = REQUEST, mark: str = "noecn") -> Script:
    """Return a connection that has agreed on ECN."""
    tcp = Script(config)
    tcp.connect()
    tcp.expect(f"+0 > [{mark}] SEW 0:0(0)")
    tcp.inject("+0.1 < SE. 0:0(0) ack 1 win 65535 <mss 1000>")
    tcp.expect(f"+0 > [{mark}] . 1:1(0) ack 1")
    assert tcp.conn.info().ecn
    tcp.conn.tcb.no_delay = True
    return tcp


@pytest.mark.rfc("3168", "6.1.1")
@pytest.mark.parametrize(
    ("config", "theirs", "ours"),
    [
        (ACCEPT, "SEW", "SE."),
        (REQUEST, "SEW", "SE."),
        (OFF, "SEW", "S."),
        (ACCEPT, "S", "S."),
        (ACCEPT, "SE", "S."),
        (ACCEPT, "SW", "S."),
        (ACCEPT, "[ect0] SEW", "S."),  # a SYN must not have it
        (DCTCP, "[ect0] SEW", "[ect0] SE."),  # RFC 8257 section 3.6
        (DCTCP, "SEW", "[ect0] SE."),
    ],
)
def test_a_syn_that_asks_is_answered_as_configured(
    config: TcpConfig, theirs: str, ours: str
) -> None:
    tcp = Script(config)
    tcp.listen(f"+0 < {theirs} 0:0(0) win 1000 <mss 1000>")
    tcp.expect(f"+0 > {ours} 0:0(0) ack 1")
    assert tcp.conn.info().ecn == ("E" in ours)


@pytest.mark.rfc("3168", "6.1.1")
@pytest.mark.parametrize(("answer", "agreed"), [("SE.", True), ("S.", False), ("SEW.", False)])
def test_only_ece_alone_in_a_syn_ack_agrees(answer: str, agreed: bool) -> None:
    tcp = Script(REQUEST)
    tcp.connect()
    tcp.expect("+0 > [noecn] SEW 0:0(0)")
    tcp.inject(f"+0.1 < {answer} 0:0(0) ack 1 win 1000 <mss 1000>")
    tcp.expect("+0 > . 1:1(0) ack 1")
    tcp.write(10)
    tcp.expect(f"+0 > [{'ect0' if agreed else 'noecn'}] P. 1:11(10) ack 1")


def test_it_is_accepted_but_not_asked_for_unless_configured() -> None:
    tcp = Script(ACCEPT)
    tcp.connect()
    tcp.expect("+0 > S 0:0(0)")
    with pytest.raises(ConfigError, match="ecn"):
        TcpConfig(ecn="perhaps")  # type: ignore[arg-type]


@pytest.mark.rfc("3168", "6.1.1.1")
def test_a_syn_without_an_answer_asks_no_more() -> None:
    tcp = Script(REQUEST)
    tcp.connect()
    tcp.expect("+0 > SEW 0:0(0)")
    tcp.expect("+1 > S 0:0(0)")
    tcp.inject("+0.1 < SE. 0:0(0) ack 1 win 1000 <mss 1000>")
    tcp.expect("+0 > . 1:1(0) ack 1")
    assert not tcp.conn.info().ecn


@pytest.mark.rfc("3168", "6.1.1")
def test_both_ends_that_ask_at_once_agree() -> None:
    tcp = Script(REQUEST)
    tcp.connect()
    tcp.expect("+0 > SEW 0:0(0)")
    tcp.inject("+0.1 < SEW 0:0(0) win 1000 <mss 1000>")
    tcp.expect("+0 > SE. 0:0(0) ack 1")
    assert tcp.conn.info().ecn


@pytest.mark.rfc("3168", "6.1.4")
@pytest.mark.rfc("3168", "6.1.5")
@pytest.mark.rfc("3168", "6.1.6")
def test_only_new_text_is_ect() -> None:
    tcp = opened()
    tcp.write(1000)
    tcp.expect("+0 > [ect0] P. 1:1001(1000) ack 1")
    tcp.expect("+0.3 > [noecn] P. 1:1001(1000) ack 1")
    tcp.inject("+0.1 < P. 1:11(10) ack 1001 win 0")
    tcp.expect("+0.04 > [noecn] . 1001:1001(0) ack 11")
    tcp.write(10)
    tcp.advance("+1")
    probe, *_ = tcp.drain()
    assert (probe.ecn, probe.payload) == (0, b"")
    tcp.inject("+0.1 < . 11:11(0) ack 1001 win 9000")
    tcp.expect("+0 > [ect0] PW. 1001:1011(10) ack 11")  # the time-out made the window smaller
    tcp.close()
    tcp.expect("+0 > [noecn] F. 1011:1011(0) ack 11")
    tcp.abort()
    tcp.expect("+0 > [noecn] R. 1012:1012(0) ack 11")


@pytest.mark.rfc("9293", "SHLD-8")
@pytest.mark.rfc("3168", "6.1.3")
def test_a_mark_is_echoed_by_every_segment_until_cwr() -> None:
    tcp = opened()
    tcp.inject("+0.1 < [ect0] P. 1:11(10) ack 1 win 65535")
    tcp.expect("+0.04 > . 1:1(0) ack 11")
    tcp.inject("+0.1 < [ce] P. 11:21(10) ack 1 win 65535")
    tcp.expect("+0 > E. 1:1(0) ack 21")
    tcp.inject("+0.1 < [ect0] P. 21:31(10) ack 1 win 65535")
    tcp.write(10)
    tcp.expect("+0 > [ect0] PE. 1:11(10) ack 31")
    tcp.inject("+0.1 < [ect0] PW. 31:41(10) ack 11 win 65535")
    tcp.expect("+0 > . 11:11(0) ack 41")
    info = tcp.conn.info()
    assert (info.ce_received, info.ecn_seen) == (1, True)


@pytest.mark.rfc("3168", "6.1.3")
def test_a_segment_with_cwr_that_is_marked_again_goes_on_being_echoed() -> None:
    tcp = opened()
    tcp.inject("+0.1 < [ce] P. 1:11(10) ack 1 win 65535")
    tcp.expect("+0 > E. 1:1(0) ack 11")
    tcp.inject("+0.1 < [ce] PW. 11:21(10) ack 1 win 65535")
    tcp.expect("+0 > E. 1:1(0) ack 21")


@pytest.mark.rfc("3168", "6.1.3")
def test_text_out_of_order_is_looked_at_and_what_is_refused_is_not() -> None:
    tcp = opened()
    tcp.inject("+0.1 < [ce] P. 99999:100009(10) ack 1 win 65535")
    tcp.expect("+0 > . 1:1(0) ack 1")
    tcp.inject("+0.1 < [ce] P. 11:21(10) ack 1 win 65535")
    tcp.expect("+0 > E. 1:1(0) ack 1")


def test_without_an_agreement_marks_and_echoes_are_nothing() -> None:
    tcp = Script(ACCEPT)
    tcp.established()
    tcp.inject("+0.1 < [ce] P. 1:11(10) ack 1 win 65535")
    tcp.expect("+0.04 > . 1:1(0) ack 11")
    tcp.write(10)
    tcp.expect("+0 > [noecn] P. 1:11(10) ack 11")
    before = tcp.conn.congestion.cwnd_bytes
    tcp.inject("+0.1 < E. 11:11(0) ack 11 win 65535")
    assert tcp.conn.congestion.cwnd_bytes >= before


@pytest.mark.rfc("9293", "SHLD-8")
@pytest.mark.rfc("3168", "6.1.2")
def test_an_echo_reduces_the_window_once_per_window_and_is_answered_by_cwr() -> None:
    tcp = opened()
    tcp.write(20_000)
    assert [segment.ecn for segment in tcp.drain()] == [2] * 10
    tcp.inject("+0.1 < E. 1:1(0) ack 1001 win 65535")
    assert tcp.conn.congestion.cwnd_bytes == 8000  # by a fifth: RFC 8511
    assert tcp.conn.retransmits == 0
    tcp.inject("+0 < E. 1:1(0) ack 2001 win 65535")
    tcp.expect_nothing()
    tcp.inject("+0 < E. 1:1(0) ack 3001 win 65535")
    tcp.expect("+0 > [ect0] W. 10001:11001(1000) ack 1")
    tcp.inject("+0 < . 1:1(0) ack 4001 win 65535")
    tcp.expect("+0 > [ect0] . 11001:12001(1000) ack 1")
    assert tcp.conn.congestion.cwnd_bytes == 8000
    tcp.inject("+0.1 < E. 1:1(0) ack 10001 win 65535")
    assert tcp.conn.congestion.cwnd_bytes == 8000
    tcp.drain()
    tcp.inject("+0.1 < E. 1:1(0) ack 11001 win 65535")
    assert tcp.conn.congestion.cwnd_bytes < 8000
    assert tcp.conn.info().ece_received == 5
    tcp.drain()


@pytest.mark.rfc("3168", "6.1.2")
def test_a_loss_is_told_by_cwr_and_an_echo_in_the_same_window_changes_nothing_more() -> None:
    tcp = opened()
    tcp.write(20_000)
    tcp.drain()
    for _ in range(3):
        tcp.batch("+0 < . 1:1(0) ack 1 win 65535")
    sent = tcp.drain()
    window = tcp.conn.congestion.cwnd_bytes
    tcp.inject("+0.01 < E. 1:1(0) ack 1 win 65535")
    assert tcp.conn.congestion.cwnd_bytes == window
    sent += tcp.drain()
    assert [segment.flags & 0x80 for segment in sent if segment.ecn].count(0x80) <= 1
    assert not any(segment.flags & 0x80 for segment in sent if not segment.ecn)
    assert tcp.conn.tcb.cwr_now or any(segment.flags & 0x80 for segment in sent)


@pytest.mark.rfc("8257", "3.2")
def test_dctcp_echoes_the_last_mark_and_tells_first_of_what_came_before_it() -> None:
    tcp = opened(DCTCP, "ect0")
    tcp.inject("+0.1 < [ect0] P. 1:101(100) ack 1 win 65535")
    tcp.inject("+0.01 < [ce] P. 101:201(100) ack 1 win 65535")
    tcp.expect("+0 > [ect0] . 1:1(0) ack 101")
    tcp.expect("+0 > [ect0] E. 1:1(0) ack 201")
    tcp.inject("+0.01 < [ce] P. 201:301(100) ack 1 win 65535")
    tcp.inject("+0.01 < [ect0] P. 301:401(100) ack 1 win 65535")
    tcp.expect("+0 > E. 1:1(0) ack 301")
    tcp.expect("+0 > . 1:1(0) ack 401")
    tcp.inject("+0.01 < [ect0] P. 401:501(100) ack 1 win 65535")
    tcp.expect("+0.04 > . 1:1(0) ack 501")


@pytest.mark.rfc("8257", "3.3")
def test_dctcp_counts_echoes_and_says_cwr_once_a_window() -> None:
    tcp = opened(DCTCP, "ect0")
    tcp.write(40_000)
    tcp.drain()
    tcp.inject("+0.1 < E. 1:1(0) ack 1001 win 65535")
    window = tcp.conn.congestion.cwnd_bytes
    assert window == 5000  # alpha is 1 at the start
    tcp.inject("+0.1 < E. 1:1(0) ack 8001 win 65535")
    sent = tcp.drain()
    assert [bool(segment.flags & 0x80) for segment in sent] == [True] + [False] * 2
    assert tcp.conn.congestion.cwnd_bytes == window
    tcp.drain()
