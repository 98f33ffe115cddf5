"""What the handshake settles: segment sizes and window scaling."""

import pytest
from script import Script, pattern
from test_states import open_passively

from pystack.core.errors import ConfigError
from pystack.tcp.config import TcpConfig
from pystack.tcp.negotiation import window_shift


def send_much(tcp: Script) -> int:
    tcp.write(5000)
    return max(len(segment.payload) for segment in tcp.drain())


@pytest.mark.rfc("9293", "MUST-15")
def test_without_an_mss_option_segments_have_536_bytes(tcp: Script) -> None:
    tcp.established(options="")
    assert send_much(tcp) == 536


@pytest.mark.rfc("9293", "MUST-16")
@pytest.mark.parametrize(("theirs", "size"), [(100, 100), (1000, 1000), (1460, 1460), (9000, 1460)])
def test_the_smaller_mss_of_the_two_holds(theirs: int, size: int, tcp: Script) -> None:
    tcp.established(options=f"mss {theirs}")
    assert send_much(tcp) == size


@pytest.mark.parametrize("theirs", [0, 1, 47])
def test_an_mss_that_only_makes_work_is_taken_for_48(theirs: int, tcp: Script) -> None:
    tcp.established(options=f"mss {theirs}")
    assert send_much(tcp) == 48


@pytest.mark.rfc("9293", "MUST-14")
@pytest.mark.rfc("9293", "SHLD-5")
@pytest.mark.rfc("9293", "MAY-3")
def test_the_syn_ack_has_an_mss_too(tcp: Script) -> None:
    tcp.listen("+0 < S 0:0(0) win 1000")
    tcp.expect("+0 > S. 0:0(0) ack 1 <mss 1460>")


@pytest.mark.rfc("7323", "2.2")
def test_scaling_is_answered_only_where_it_was_offered(tcp: Script) -> None:
    tcp.listen("+0 < S 0:0(0) win 1000 <mss 1460,wscale 7>")
    tcp.expect("+0 > S. 0:0(0) ack 1 win 65535 <mss 1460,wscale 5>")
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 1000")
    assert tcp.conn.tcb.snd_wnd == 128_000


@pytest.mark.rfc("7323", "2.2")
def test_without_their_offer_neither_direction_scales(tcp: Script) -> None:
    open_passively(tcp)
    assert tcp.conn.tcb.snd_wnd == 1000
    tcp.write(1)
    tcp.expect("+0 > P. 1:2(1) ack 1 win 65535")


@pytest.mark.rfc("7323", "2.2")
def test_the_window_of_a_syn_is_never_scaled(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0) win 65535 <mss 1460,wscale 5>")
    tcp.inject("+0.1 < S. 0:0(0) ack 1 win 1000 <mss 1460,wscale 7>")
    assert tcp.conn.tcb.snd_wnd == 1000
    tcp.expect("+0 > . 1:1(0) ack 1 win 32768")  # 1 MiB >> 5
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 1000")
    assert tcp.conn.tcb.snd_wnd == 128_000


@pytest.mark.rfc("7323", "2.3")
def test_a_shift_above_14_is_taken_for_14(tcp: Script) -> None:
    tcp.established(options="mss 1460,wscale 255")
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 2")
    assert tcp.conn.tcb.snd_wnd == 2 << 14


@pytest.mark.parametrize(
    ("buffer_bytes", "shift"), [(1, 0), (65535, 0), (65536, 1), (1 << 20, 5), (1 << 30, 14)]
)
def test_our_shift_is_the_smallest_that_tells_of_the_whole_buffer(
    buffer_bytes: int, shift: int
) -> None:
    assert window_shift(buffer_bytes) == shift


@pytest.mark.parametrize(
    "wrong",
    [
        {"send_buffer_bytes": 0},
        {"receive_buffer_bytes": -1},
        {"receive_buffer_bytes": (1 << 30) + 1},
        {"delayed_ack_s": -0.1},
        {"msl_s": float("inf")},
        {"retries": -1},
    ],
)
def test_a_configuration_that_cannot_work_is_refused_when_built(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TcpConfig(**wrong)  # type: ignore[arg-type]


def test_a_link_without_room_for_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="no room"):
        Script(mtu_mss=0)


def test_more_than_four_gibibytes_pass_where_the_numbers_wrap() -> None:
    # Begins 300 bytes before the second turn of the counters, which unwrapped are past 2**33.
    tcp = Script(iss=2**33 - 300, peer_iss=2**32 - 300)
    tcp.established()
    for turn in range(4):
        at = 1 + 200 * turn
        tcp.write(200)
        tcp.expect(f"+0 > P. {at}:{at + 200}(200) ack {at}")
        tcp.inject(f"+0 < P. {at}:{at + 200}(200) ack {at + 200} win 65535")
        assert tcp.read() == pattern(at, 200)
        tcp.expect(f"+0.04 > . {at + 200}:{at + 200}(0) ack {at + 200}")
    assert tcp.conn.tcb.snd_una == 2**33 - 300 + 801
