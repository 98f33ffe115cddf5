"""The receive buffer follows what the user reads in a round trip, up to its limit."""

import pytest
from script import Script

from pystack.core.errors import ConfigError
from pystack.tcp.config import TcpConfig
from pystack.tcp.seq import MASK

KIB = 1024
TIMED = "mss 1460,sackOK,TS val 500 ecr 1000,wscale 7"
CONTROL = {"congestion": "newreno"}


def flow(
    tcp: Script, sizes: list[int], *, reads: bool = True, stamps: bool = True, rtt_ms: int = 100
) -> None:
    """Have so many bytes arrive in each round trip; the user reads them as they come, or not."""
    conn = tcp.conn
    for size in sizes:
        segment = tcp.incoming_segment("+0 < . 0:0(0) ack 1 win 1000")
        if stamps:
            clock = round(tcp.now * 1000) - 1_000_000 + 1000
            segment.options = tcp.incoming.pack(f"TS val {clock} ecr {clock - rtt_ms}")
        while size:
            step = min(14_480, size)  # as a device that merges segments hands them on
            size -= step
            segment.seq, segment.payload = conn.tcb.rcv_nxt & MASK, bytes(step)
            segment.ack &= MASK
            conn.segment_arrived(segment, tcp.now)
            tcp.pump()
            if reads:
                assert len(tcp.read()) == step
        tcp.advance(f"+{rtt_ms / 1000}")
    tcp.drain()


def test_the_buffer_grows_with_the_rate_to_eight_mebibytes_and_no_further() -> None:
    tcp = Script(TcpConfig(**CONTROL))  # type: ignore[arg-type]
    tcp.established(options=TIMED)
    assert tcp.conn.info().rcv_buffer_bytes == 128 * KIB
    size, buffers = 14_480, []
    while len(buffers) < 14:
        size = min(2 * size, tcp.conn.tcb.rcv_wnd)
        flow(tcp, [size])
        buffers.append(tcp.conn.info().rcv_buffer_bytes)
    assert buffers == sorted(buffers)
    assert buffers[-1] == 8192 * KIB
    assert 8192 * KIB - 14_480 < tcp.conn.tcb.rcv_wnd <= 8192 * KIB
    assert tcp.conn.info().rcv_rtt_s == pytest.approx(0.1, rel=0.2)


def test_a_sender_in_slow_start_is_never_held_back() -> None:
    tcp = Script(TcpConfig(**CONTROL))  # type: ignore[arg-type]
    tcp.established(options=TIMED)
    size = 14_480
    while size < 3_000_000:
        assert size <= tcp.conn.tcb.rcv_wnd
        flow(tcp, [size])
        size *= 2


def test_a_slow_sender_gets_no_larger_buffer() -> None:
    tcp = Script(TcpConfig(**CONTROL))  # type: ignore[arg-type]
    tcp.established(options=TIMED)
    flow(tcp, [10_000] * 50)
    assert tcp.conn.info().rcv_buffer_bytes == 128 * KIB


def test_a_user_who_does_not_read_gets_no_larger_buffer() -> None:
    tcp = Script(TcpConfig(**CONTROL))  # type: ignore[arg-type]
    tcp.established(options=TIMED)
    flow(tcp, [20_000, 20_000, 20_000, 20_000], reads=False)
    assert tcp.conn.info().rcv_buffer_bytes == 128 * KIB
    assert tcp.conn.info().readable_bytes == 80_000


def test_without_timestamps_a_round_trip_is_the_time_of_a_window() -> None:
    tcp = Script(TcpConfig(timestamps=False, **CONTROL))  # type: ignore[arg-type]
    tcp.established(options="mss 1460,wscale 7")
    for _ in range(8):
        flow(tcp, [tcp.conn.tcb.rcv_wnd], stamps=False)
    assert tcp.conn.info().rcv_buffer_bytes > 1024 * KIB


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({"receive_buffer_bytes": 100_000}, 100_000),  # set: fixed
        ({"receive_buffer_bytes": 100_000, "receive_buffer_max_bytes": 1 << 20}, 1 << 20),
        ({"receive_buffer_max_bytes": 1 << 20}, 1 << 20),
        ({"receive_buffer_max_bytes": 0}, 128 * KIB),
    ],
)
def test_how_far_it_grows_is_set(settings: dict[str, int], limit: int) -> None:
    config = TcpConfig(**CONTROL, **settings)  # type: ignore[arg-type]
    assert config.receive_limit_bytes == limit
    tcp = Script(config)
    tcp.established(options=TIMED)
    size = 14_480
    for _ in range(14):
        size = min(2 * size, tcp.conn.tcb.rcv_wnd)
        flow(tcp, [size])
    assert tcp.conn.info().rcv_buffer_bytes == limit


def test_a_limit_that_is_lowered_takes_nothing_back() -> None:
    tcp = Script(TcpConfig(**CONTROL))  # type: ignore[arg-type]
    tcp.established(options=TIMED)
    flow(tcp, [14_480, 28_960, 57_920, 115_840])
    tcb = tcp.conn.tcb
    before, edge = tcb.rcv_buf_bytes, tcb.rcv_adv
    assert before > 128 * KIB
    tcb.rcv_buf_max_bytes = 64 * KIB
    flow(tcp, [231_680, 300_000])
    assert tcb.rcv_buf_bytes == before
    assert tcb.rcv_adv > edge


def test_an_impossible_limit_is_refused() -> None:
    with pytest.raises(ConfigError, match="receive_buffer_max_bytes"):
        TcpConfig(receive_buffer_max_bytes=(1 << 30) + 1)


@pytest.mark.parametrize("pressed", [False, True])
def test_while_the_host_is_short_of_memory_nothing_grows(pressed: bool) -> None:
    tcp = Script(TcpConfig(**CONTROL))  # type: ignore[arg-type]
    tcp.established(options=TIMED)
    flow(tcp, [14_480, 100_000], reads=False)
    tcp.conn.shared.memory.pressed = pressed
    tcp.read()
    tcp.drain()
    assert (tcp.conn.info().rcv_buffer_bytes > 128 * KIB) is not pressed
