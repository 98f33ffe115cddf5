"""RFC 9293 sections 3.6, 3.10.4 to 3.10.6: CLOSE, ABORT and STATUS, and the waits behind them."""

import errno

import pytest
from script import Script
from test_states import REACH

from pystack.tcp.config import TcpConfig
from pystack.tcp.states import TcpState

CLOSING_ALREADY = (
    TcpState.FIN_WAIT_1,
    TcpState.FIN_WAIT_2,
    TcpState.CLOSING,
    TcpState.LAST_ACK,
    TcpState.TIME_WAIT,
)


@pytest.mark.rfc("9293", "MUST-12")
@pytest.mark.parametrize(
    ("ending", "number"),
    [
        ("F. 1:1(0) ack 1 win 1000", None),
        ("R 1:1(0)", errno.ECONNRESET),
    ],
)
def test_a_closed_connection_is_told_from_an_aborted_one(
    ending: str, number: int | None, tcp: Script
) -> None:
    tcp.established()
    tcp.inject(f"+0.1 < {ending}")
    tcp.drain()
    assert tcp.conn.at_eof
    assert tcp.conn.error == number


@pytest.mark.rfc("9293", "MUST-13")
@pytest.mark.parametrize("msl_s", [30.0, 120.0])
def test_who_closes_first_waits_for_twice_the_segment_lifetime(msl_s: float) -> None:
    tcp = Script(TcpConfig(msl_s=msl_s, congestion="newreno"))
    tcp.established()
    tcp.close()
    tcp.expect("+0 > F. 1:1(0) ack 1")
    tcp.inject("+0.1 < F. 1:1(0) ack 2 win 1000")
    tcp.expect("+0 > . 2:2(0) ack 2")
    assert tcp.state is TcpState.TIME_WAIT
    tcp.advance(f"+{2 * msl_s - 0.001}")
    assert tcp.state is TcpState.TIME_WAIT
    tcp.advance("+0.001")
    assert tcp.state is TcpState.CLOSED
    assert tcp.conn.error is None


@pytest.mark.rfc("9293", "SHLD-2")
@pytest.mark.parametrize("size", [1, 1000])
def test_a_reset_may_carry_data(size: int, tcp: Script) -> None:
    tcp.established()
    tcp.inject(f"+0.1 < R 1:{1 + size}({size})")
    assert tcp.state is TcpState.CLOSED
    assert tcp.conn.error == errno.ECONNRESET


@pytest.mark.rfc("9293", "3.10.4")
def test_close_in_syn_sent_forgets_the_connection_without_a_word(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0)")
    tcp.close()
    assert tcp.state is TcpState.CLOSED
    tcp.expect_nothing("+100")


@pytest.mark.rfc("9293", "3.10.4")
def test_close_in_syn_received_waits_until_the_handshake_is_over(tcp: Script) -> None:
    tcp.listen("+0 < S 0:0(0) win 1000 <mss 1460>")
    tcp.expect("+0 > S. 0:0(0) ack 1")
    tcp.close()
    tcp.expect_nothing()
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 1000")
    tcp.expect("+0 > F. 1:1(0) ack 1")
    assert tcp.state is TcpState.FIN_WAIT_1


@pytest.mark.rfc("9293", "3.10.4")
def test_close_sends_what_is_queued_first(tcp: Script) -> None:
    tcp.established(win=1000)
    tcp.write(1500)
    tcp.expect("+0 > P. 1:1001(1000) ack 1")
    tcp.close()
    assert tcp.state is TcpState.FIN_WAIT_1
    tcp.inject("+0.1 < . 1:1(0) ack 1001 win 1000")
    tcp.expect("+0 > FP. 1001:1501(500) ack 1")


@pytest.mark.rfc("9293", "3.10.4")
@pytest.mark.parametrize("state", CLOSING_ALREADY)
def test_close_a_second_time_sends_no_second_fin(state: TcpState, tcp: Script) -> None:
    REACH[state](tcp)
    tcp.drain()
    tcp.close()
    tcp.expect_nothing()
    assert tcp.state is state


@pytest.mark.rfc("9293", "3.10.5")
@pytest.mark.parametrize("state", [TcpState.SYN_SENT, TcpState.LAST_ACK, TcpState.TIME_WAIT])
def test_abort_says_nothing_where_the_peer_has_no_connection_or_needs_no_reset(
    state: TcpState, tcp: Script
) -> None:
    REACH[state](tcp)
    tcp.drain()
    tcp.abort()
    tcp.expect_nothing("+100")
    assert tcp.state is TcpState.CLOSED


@pytest.mark.rfc("9293", "3.10.6")
@pytest.mark.parametrize("state", REACH)
def test_status_tells_the_state_and_the_variables_in_every_state(
    state: TcpState, tcp: Script
) -> None:
    REACH[state](tcp)
    info, tcb = tcp.conn.info(), tcp.conn.tcb
    assert info.state is state
    assert info.snd_una == tcb.snd_una & 0xFFFFFFFF
    assert info.snd_nxt == tcb.snd_nxt & 0xFFFFFFFF
    assert info.rcv_nxt == tcb.rcv_nxt & 0xFFFFFFFF
    assert info.snd_wnd_bytes == tcb.snd_wnd
    tcp.drain()


@pytest.mark.rfc("9293", "MAY-1")
def test_a_user_may_close_both_directions_at_once(tcp: Script) -> None:
    tcp.established()
    tcp.release()
    tcp.expect("+0 > F. 1:1(0) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 2 win 1000")
    tcp.inject("+0.1 < F. 1:1(0) ack 2 win 1000")
    tcp.expect("+0 > . 2:2(0) ack 2")
    assert tcp.state is TcpState.TIME_WAIT
