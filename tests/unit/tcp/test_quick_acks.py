"""When ACKs are not delayed: at the start, after a silence, after duplicates; as in Linux."""

from collections.abc import Iterator

import pytest
from script import Script

from pystack.core.errors import ConfigError
from pystack.tcp.config import TcpConfig


@pytest.fixture
def tcp() -> Iterator[Script]:
    """Give a connection with quick ACKs, and without the options."""
    script = Script(TcpConfig(congestion="newreno", timestamps=False, sack=False))
    script.established()
    yield script
    script.nothing_left()


def at_once(tcp: Script, at: int, count: int, *, gap: str = "+0.01") -> int:
    """Have short segments arrive; each gets its ACK."""
    for start in range(at, at + 10 * count, 10):
        tcp.inject(f"{gap} < P. {start}:{start + 10}(10) ack 1 win 1000")
        tcp.expect(f"+0 > . 1:1(0) ack {start + 10}")
    return at + 10 * count


def delayed(tcp: Script, at: int) -> int:
    tcp.inject(f"+0.01 < P. {at}:{at + 10}(10) ack 1 win 1000")
    tcp.expect(f"+0.04 > . 1:1(0) ack {at + 10}")
    return at + 10


def test_sixteen_acks_at_the_start_are_not_delayed(tcp: Script) -> None:
    delayed(tcp, at_once(tcp, 1, 16))


def test_fewer_where_the_window_is_small() -> None:
    config = TcpConfig(congestion="newreno", sack=False, receive_buffer_bytes=4000)
    tcp = Script(config)
    tcp.established()
    delayed(tcp, at_once(tcp, 1, 3))


def test_after_a_silence_they_are_quick_again(tcp: Script) -> None:
    at = delayed(tcp, at_once(tcp, 1, 16))
    tcp.advance("+1")
    delayed(tcp, at_once(tcp, at, 16))


def test_after_a_duplicate_they_are_quick_again(tcp: Script) -> None:
    at = delayed(tcp, at_once(tcp, 1, 16))
    tcp.inject("+0 < P. 1:11(10) ack 1 win 1000")
    tcp.expect(f"+0 > . 1:1(0) ack {at}")
    delayed(tcp, at_once(tcp, at, 15))


def test_whoever_answers_at_once_has_the_answer_take_the_ack_along(tcp: Script) -> None:
    at = at_once(tcp, 1, 1)
    tcp.write(5)
    tcp.expect(f"+0 > P. 1:6(5) ack {at}")
    tcp.inject(f"+0.01 < P. {at}:{at + 10}(10) ack 6 win 1000")
    tcp.expect_nothing("+0.01")
    tcp.write(5)
    tcp.expect(f"+0 > P. 6:11(5) ack {at + 10}")


@pytest.mark.rfc("9293", "SHLD-19")
def test_what_is_more_than_a_full_segment_is_acknowledged_at_once() -> None:
    tcp = Script()
    tcp.established()
    tcp.inject("+0.1 < . 1:1461(1460) ack 1 win 1000")
    tcp.expect_nothing("+0.02")
    tcp.inject("+0 < P. 1461:1462(1) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 1462")


@pytest.mark.rfc("9293", "MUST-40")
def test_a_delay_of_more_than_half_a_second_is_refused() -> None:
    TcpConfig(delayed_ack_s=0.5)
    with pytest.raises(ConfigError, match="delayed_ack_s"):
        TcpConfig(delayed_ack_s=0.501)
    with pytest.raises(ConfigError, match="quick_acks"):
        TcpConfig(quick_acks=-1)
