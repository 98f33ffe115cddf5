"""What a user may ask of the send side: cork, MSG_MORE, user timeout, keep-alive, buffer sizes."""

import errno

import pytest
from script import Script

from pystack.core.errors import ConfigError
from pystack.tcp import send_buffer
from pystack.tcp.config import SEND_BUFFER_BYTES, SEND_BUFFER_MAX_BYTES, TcpConfig
from pystack.tcp.states import TcpState
from pystack.tcp.tcb import NEVER, Timer


def opened(**changes: object) -> Script:
    words: dict[str, object] = {"congestion": "newreno", "timestamps": False, "sack": False}
    tcp = Script(TcpConfig(**{**words, **changes}), mtu_mss=1000)  # type: ignore[arg-type]
    tcp.established(options="mss 1000", win=60000)
    return tcp


def test_corked_text_waits_for_a_full_segment_and_goes_when_the_cork_is_drawn() -> None:
    tcp = opened(no_delay=True)
    tcp.conn.cork(corked=True)
    tcp.write(600)
    tcp.expect_nothing("+0.1")
    tcp.write(600)
    tcp.expect("+0 > . 1:1001(1000) ack 1")
    tcp.expect_nothing()
    tcp.conn.cork(corked=False)
    tcp.pump()
    tcp.expect("+0 > P. 1001:1201(200) ack 1")


def test_corked_text_waits_for_200_ms_at_most() -> None:
    tcp = opened()
    tcp.conn.cork(corked=True)
    tcp.write(10)
    tcp.expect("+0.2 > P. 1:11(10) ack 1")
    tcp.write(10)
    tcp.expect("+0.2 > P. 11:21(10) ack 1")  # and each time anew


def test_a_close_draws_the_cork() -> None:
    tcp = opened()
    tcp.conn.cork(corked=True)
    tcp.write(10)
    tcp.close()
    tcp.expect("+0 > FP. 1:11(10) ack 1")


def test_a_write_that_says_more_comes_is_held_back_until_one_that_does_not() -> None:
    tcp = opened(no_delay=True)
    tcp.conn.write(memoryview(bytes(10)), tcp.now, more_comes=True)
    tcp.pump()
    tcp.expect_nothing()
    tcp.conn.write(memoryview(bytes(10)), tcp.now)
    tcp.pump()
    (segment,) = tcp.drain()
    assert len(segment.payload) == 20


@pytest.mark.rfc("9293", "MUST-21")
def test_after_the_user_timeout_the_connection_ends_at_that_very_instant() -> None:
    tcp = opened(user_timeout_s=1.0)
    tcp.write(10)
    tcp.expect("+0 > P. 1:11(10) ack 1")
    tcp.expect("+0.3 > P. 1:11(10) ack 1")
    tcp.expect("+0.6 > P. 1:11(10) ack 1")
    tcp.advance("+0.0999")
    assert tcp.state is TcpState.ESTABLISHED
    tcp.advance("+0.0001")
    assert tcp.state is TcpState.CLOSED
    assert tcp.conn.error == errno.ETIMEDOUT


@pytest.mark.rfc("9293", "MUST-21")
def test_the_user_timeout_may_be_longer_than_all_retries() -> None:
    tcp = opened(user_timeout_s=3000.0, retries=2)
    tcp.write(10)
    tcp.advance("+2999")
    assert tcp.state is TcpState.ESTABLISHED
    tcp.advance("+1")
    assert tcp.state is TcpState.CLOSED
    tcp.drain()


def test_progress_begins_the_user_timeout_anew() -> None:
    tcp = opened(user_timeout_s=1.0)
    tcp.write(10)
    tcp.advance("+0.9")
    tcp.drain()
    tcp.inject("+0.05 < . 1:1(0) ack 11 win 60000")
    tcp.write(10)
    tcp.advance("+0.9")
    assert tcp.state is TcpState.ESTABLISHED
    tcp.drain()


def test_a_window_that_stays_closed_counts_too_though_the_peer_answers() -> None:
    tcp = opened(user_timeout_s=2.0)
    tcp.inject("+0 < . 1:1(0) ack 1 win 0")
    tcp.write(10)
    for _ in range(20):
        if tcp.state is TcpState.CLOSED:
            break
        tcp.advance("+0.1")
        if tcp.drain():
            tcp.inject("+0 < . 1:1(0) ack 1 win 0")
    assert tcp.state is TcpState.CLOSED
    assert tcp.conn.error == errno.ETIMEDOUT


@pytest.mark.rfc("9293", "MUST-25")
def test_keep_alive_is_off_by_default() -> None:
    assert not TcpConfig().keepalive
    assert opened().conn.next_timeout() == NEVER


@pytest.mark.rfc("9293", "MUST-28")
def test_a_silent_peer_is_asked_after_two_hours_by_default() -> None:
    tcp = opened(keepalive=True)
    tcp.expect("+7200 > . 0:0(0) ack 1")


@pytest.mark.rfc("9293", "MUST-26")
def test_keep_alive_asks_only_a_silent_peer_and_goes_on_while_he_answers() -> None:
    tcp = opened(keepalive=True, keepalive_idle_s=10.0, keepalive_interval_s=2.0)
    tcp.inject("+7 < P. 1:11(10) ack 1 win 60000")
    tcp.drain()
    tcp.expect("+10 > . 0:0(0) ack 11")
    for _ in range(20):
        tcp.inject("+0.1 < . 11:11(0) ack 1 win 60000")
        tcp.expect("+10 > . 0:0(0) ack 11")
    assert tcp.state is TcpState.ESTABLISHED


@pytest.mark.rfc("9293", "MUST-29")
def test_only_after_several_probes_without_an_answer_the_peer_is_gone() -> None:
    tcp = opened(
        keepalive=True, keepalive_idle_s=10.0, keepalive_interval_s=2.0, keepalive_probes=3
    )
    tcp.expect("+10 > . 0:0(0) ack 1")
    tcp.expect("+2 > . 0:0(0) ack 1")
    tcp.expect("+2 > . 0:0(0) ack 1")
    tcp.expect("+2 > R. 1:1(0) ack 1")
    assert tcp.conn.error == errno.ETIMEDOUT


@pytest.mark.rfc("9293", "SHLD-12")
def test_a_probe_carries_no_text() -> None:
    tcp = opened(keepalive=True, keepalive_idle_s=10.0)
    assert not tcp.expect("+10 > . 0:0(0) ack 1").payload


def test_a_probe_is_told_of_as_one() -> None:
    tcp = opened(keepalive=True, keepalive_idle_s=10.0)
    tcp.expect("+10 > . 0:0(0) ack 1")
    assert tcp.sent_again == ["probe"]
    assert tcp.conn.info().retransmits == 0  # nothing was lost


def test_while_text_is_on_the_way_nobody_is_asked() -> None:
    tcp = opened(keepalive=True, keepalive_idle_s=1.0)
    tcp.write(10)
    tcp.advance("+2")
    assert all(segment.payload for segment in tcp.drain())


def test_a_user_timeout_takes_the_place_of_the_number_of_probes() -> None:
    tcp = opened(
        keepalive=True,
        keepalive_idle_s=10.0,
        keepalive_interval_s=1.0,
        keepalive_probes=2,
        user_timeout_s=15.0,
    )
    tcp.advance("+14.9")
    assert len(tcp.drain()) == 5
    tcp.expect("+0.1 > R. 1:1(0) ack 1")


@pytest.mark.rfc("9293", "MUST-24")
def test_it_can_be_switched_on_and_off_later() -> None:
    tcp = opened()
    tcp.conn.configure(tcp.now, keepalive=True, keepalive_idle_s=5.0)
    tcp.expect("+5 > . 0:0(0) ack 1")
    tcp.conn.configure(tcp.now, keepalive=False)
    assert tcp.conn.tcb.timers[Timer.KEEPALIVE] == NEVER


def test_the_send_buffer_holds_two_windows_up_to_its_limit() -> None:
    tcp = opened()
    assert send_buffer.limit_bytes(tcp.conn) == SEND_BUFFER_BYTES
    tcp.conn.congestion.cwnd_bytes = 2_000_000  # type: ignore[misc]
    assert send_buffer.limit_bytes(tcp.conn) == 4_000_000
    tcp.conn.congestion.cwnd_bytes = 1 << 30  # type: ignore[misc]
    assert send_buffer.limit_bytes(tcp.conn) == SEND_BUFFER_MAX_BYTES


def test_a_size_that_was_set_stays() -> None:
    tcp = opened(send_buffer_bytes=5000)
    tcp.conn.congestion.cwnd_bytes = 1 << 30  # type: ignore[misc]
    assert send_buffer.limit_bytes(tcp.conn) == 5000


def test_not_more_is_queued_unsent_than_the_user_wants() -> None:
    tcp = opened(notsent_lowat_bytes=2000)
    assert tcp.write(50_000) == 2000  # nothing is on the way yet
    assert tcp.write(50_000) == 2000
    assert len(tcp.drain()) == 4
    for _ in range(3):
        tcp.write(2000)
    assert tcp.write(50_000) == 2000  # the window is full: this waits
    assert tcp.write(50_000) == 0
    tcp.drain()
    assert tcp.conn.write_blocked
    tcp.inject("+0.1 < . 1:1(0) ack 2001 win 60000")
    tcp.drain()
    assert not tcp.conn.write_blocked


@pytest.mark.parametrize(
    "words",
    [
        {"keepalive_idle_s": 0},
        {"user_timeout_s": -1},
        {"keepalive_probes": 0},
        {"notsent_lowat_bytes": 0},
        {"recovery": "no such"},
    ],
)
def test_what_cannot_be_is_refused_at_once(words: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        TcpConfig(**words)  # type: ignore[arg-type]
