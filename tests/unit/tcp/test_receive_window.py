"""Our window and our ACKs: RFC 9293 section 3.8.6, RFC 5681 section 4.2."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from script import Script, pattern

from pystack.tcp.config import TcpConfig


def small() -> Script:
    tcp = Script(TcpConfig(receive_buffer_bytes=4000, quick_acks=0))
    tcp.established()
    return tcp


@pytest.mark.rfc("9293", "MUST-39")
def test_the_window_closes_as_data_comes_and_opens_when_enough_is_read() -> None:
    tcp = small()
    tcp.inject("+0.1 < . 1:1461(1460) ack 1 win 1000")
    tcp.inject("+0 < . 1461:2921(1460) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 2921 win 1080")
    tcp.inject("+0 < P. 2921:4001(1080) ack 1 win 1000")
    tcp.expect("+0.04 > . 1:1(0) ack 4001 win 0")
    assert tcp.read(1000) == pattern(1, 1000)
    tcp.expect_nothing()  # 1000 bytes are less than a segment and less than half the buffer
    tcp.read(459)
    tcp.expect_nothing()
    tcp.read(1)
    tcp.expect("+0 > . 1:1(0) ack 4001 win 1460")


@pytest.mark.rfc("9293", "3.8.6.2.2")
def test_a_window_of_little_more_is_not_told() -> None:
    tcp = small()
    tcp.inject("+0.1 < P. 1:2001(2000) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 2001 win 2000")
    tcp.read(100)
    tcp.inject("+0.1 < P. 2001:2011(10) ack 1 win 1000")
    tcp.expect("+0.04 > . 1:1(0) ack 2011 win 1990")  # the edge stays at 4001


@pytest.mark.rfc("9293", "SHLD-14")
def test_the_right_edge_never_moves_back() -> None:
    tcp = small()
    edge = 0
    at = 1
    for size in (100, 1460, 7, 1000, 1433):
        tcp.inject(f"+0.1 < P. {at}:{at + size}({size}) ack 1 win 1000")
        at += size
        tcp.advance("+0.05")
        for segment in tcp.drain():
            told = segment.ack + segment.wnd
            assert told >= edge
            edge = told
    assert tcp.conn.tcb.rcv_wnd == 0


@pytest.mark.rfc("9293", "SHLD-14")
def test_what_scaling_cuts_off_is_rounded_up() -> None:
    tcp = Script(TcpConfig(receive_buffer_bytes=8000, receive_buffer_max_bytes=65535 << 7))
    tcp.established(options="mss 1460,wscale 7")  # ours is 7 too
    assert tcp.conn.tcb.rcv_wind_shift == 7
    edge, at = tcp.conn.tcb.rcv_adv, 1
    told = []
    for size in (104, 64, 168, 80, 1460, 1460, 1460):
        tcp.inject(f"+0.1 < P. {at}:{at + size}({size}) ack 1 win 1000")
        at += size
        tcp.advance("+0.05")
        told += [segment.ack + (segment.wnd << 7) - edge for segment in tcp.drain()]
    assert told == sorted(told)
    assert told[0] >= 0
    assert told[-1] < 7 * 128


@pytest.mark.rfc("7323", "2.4")
def test_short_segments_push_a_scaled_window_along_only_so_far() -> None:
    size = 4000
    tcp = Script(TcpConfig(receive_buffer_bytes=size, receive_buffer_max_bytes=65535 << 10))
    tcp.established(options="mss 1460,wscale 7")
    unit = 1 << (tcp.conn.tcb.rcv_wind_shift or 0)
    assert unit == 1024
    at, windows = 1, [1 << 16]
    while windows[-1]:
        assert at < 10 * size
        tcp.inject(f"+0.1 < P. {at}:{at + 100}(100) ack 1 win 1000")
        at += 100
        tcp.advance("+0.05")
        windows += [segment.wnd for segment in tcp.drain()]
    assert len(tcp.read()) <= 2 * size + unit
    assert tcp.expect(f"+0 > . 1:1(0) ack {at}").wnd


@pytest.mark.parametrize(("size", "shift"), [(1, 14), (100, 11), (2000, 11), (2049, 11)])
def test_a_buffer_of_less_than_a_unit_has_a_window(size: int, shift: int) -> None:
    largest = 65535 << shift
    tcp = Script(TcpConfig(receive_buffer_bytes=size, receive_buffer_max_bytes=largest))
    tcp.established(options="mss 1460,wscale 0")
    assert tcp.conn.tcb.rcv_wind_shift == shift
    at = 1
    for _ in range(40):  # and whoever reads at once can be sent to for ever
        count = min(1460, tcp.conn.tcb.rcv_wnd)
        assert count > 0
        tcp.inject(f"+0.1 < P. {at}:{at + count}({count}) ack 1 win 1000")
        at += count
        tcp.read()
        tcp.advance("+0.05")
        assert tcp.drain()[-1].wnd


@given(
    st.integers(0, 14),
    st.integers(1, 200_000),
    st.lists(st.tuples(st.integers(1, 1460), st.integers(0, 3000)), max_size=60),
    st.booleans(),
)
@settings(deadline=None)
def test_the_right_edge_never_moves_left(
    shift: int, size: int, steps: list[tuple[int, int]], pressed: bool
) -> None:
    largest = min(max(size, (32768 << shift) + 1 if shift else size), 1 << 30)
    tcp = Script(TcpConfig(receive_buffer_bytes=size, receive_buffer_max_bytes=largest))
    tcp.established(options="mss 1460,wscale 7")
    conn, tcb = tcp.conn, tcp.conn.tcb
    unit = 1 << (tcb.rcv_wind_shift or 0)
    conn.shared.memory.pressed = pressed
    tcb.rcv_buf_max_bytes = size  # it does not grow
    edge, at = tcb.rcv_adv, 1
    for count, read in steps:
        count = min(count, tcb.rcv_wnd)
        if count:
            tcp.inject(f"+0.1 < P. {at}:{at + count}({count}) ack 1 win 1000")
        at += count
        unread = conn.receive_buffer.readable_bytes
        tcp.read(read)
        tcp.advance("+0.05")
        for segment in tcp.drain():
            told = segment.ack + (segment.wnd << (tcb.rcv_wind_shift or 0))
            if told < edge:  # there is an end to rounding up
                assert edge - told < unit
                assert unread + segment.wnd * unit + unit > 2 * size
            edge = max(edge, told)
        assert conn.receive_buffer.readable_bytes + tcb.rcv_wnd <= 2 * size + unit


@pytest.mark.rfc("9293", "3.10.7.4")
def test_what_is_beyond_the_window_is_cut_off_and_answered() -> None:
    tcp = small()
    tcp.inject("+0.1 < P. 1:5001(5000) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 4001 win 0")
    assert tcp.read() == pattern(1, 4000)
    tcp.expect("+0 > . 1:1(0) ack 4001 win 4000")
    assert tcp.drops == ["tcp_beyond_window"]


@pytest.mark.rfc("9293", "3.8.6.1")
@pytest.mark.parametrize("probe", ["4001:4002(1)", "4000:4001(1)", "4000:4000(0)"])
def test_a_probe_of_a_closed_window_is_answered(probe: str) -> None:
    tcp = small()
    tcp.inject("+0.1 < P. 1:4001(4000) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 4001 win 0")
    tcp.inject(f"+1 < . {probe} ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 4001 win 0")


@pytest.mark.rfc("9293", "3.10.7.4")
@pytest.mark.rfc("9293", "MUST-66")
def test_a_closed_window_takes_acks_and_resets() -> None:
    tcp = small()
    tcp.inject("+0.1 < P. 1:4001(4000) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 4001 win 0")
    tcp.write(10)
    tcp.expect("+0 > P. 1:11(10) ack 4001 win 0")
    tcp.inject("+0.1 < P. 4001:4101(100) ack 11 win 1000")
    tcp.expect("+0 > . 11:11(0) ack 4001 win 0")
    assert tcp.conn.tcb.snd_una == tcp.conn.tcb.iss + 11
    tcp.inject("+0.1 < R 4001:4001(0)")
    assert tcp.conn.error is not None


def test_a_fin_is_taken_in_a_closed_window() -> None:
    tcp = small()
    tcp.inject("+0.1 < P. 1:4001(4000) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 4001 win 0")
    tcp.inject("+0.1 < F. 4001:4001(0) ack 1 win 1000")
    tcp.expect("+0.04 > . 1:1(0) ack 4002 win 0")
    assert tcp.read() == pattern(1, 4000)
    tcp.expect_nothing()  # nobody will send into that room
    assert tcp.conn.at_eof


@pytest.mark.rfc("9293", "MUST-58")
@pytest.mark.rfc("9293", "SHLD-18")
@pytest.mark.rfc("9293", "MUST-40")
def test_an_ack_of_one_segment_is_delayed_by_40_ms(tcp: Script) -> None:
    tcp.established()
    tcp.inject("+0.1 < P. 1:101(100) ack 1 win 1000")
    tcp.inject("+0.02 < P. 101:201(100) ack 1 win 1000")
    tcp.expect("+0.02 > . 1:1(0) ack 201")


@pytest.mark.rfc("9293", "SHLD-19")
def test_the_second_full_segment_is_acknowledged_at_once(tcp: Script) -> None:
    tcp.established()
    for at in range(1, 1 + 6 * 1460, 2920):
        tcp.inject(f"+0.01 < . {at}:{at + 1460}(1460) ack 1 win 1000")
        tcp.expect_nothing()
        tcp.inject(f"+0.01 < . {at + 1460}:{at + 2920}(1460) ack 1 win 1000")
        tcp.expect(f"+0 > . 1:1(0) ack {at + 2920}")


def test_reading_does_not_hurry_an_ack_where_no_more_window_can_be_told(tcp: Script) -> None:
    tcp.established()  # without scaling: 65535 of a buffer of 1 MiB
    tcp.inject("+0.1 < P. 1:101(100) ack 1 win 1000")
    tcp.read()
    tcp.expect("+0.04 > . 1:1(0) ack 101 win 65535")


@pytest.mark.rfc("9293", "MUST-58")
def test_data_that_goes_out_takes_the_ack_along(tcp: Script) -> None:
    tcp.established()
    tcp.inject("+0.1 < P. 1:101(100) ack 1 win 1000")
    tcp.write(10)
    tcp.expect("+0 > P. 1:11(10) ack 101")
    tcp.expect_nothing("+0.1")


@pytest.mark.rfc("5681", "4.2")
@pytest.mark.rfc("9293", "SHLD-31")
@pytest.mark.rfc("9293", "MAY-13")
def test_out_of_order_and_gap_filling_segments_are_acknowledged_at_once(tcp: Script) -> None:
    tcp.established()
    tcp.inject("+0.1 < P. 101:201(100) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 1")
    tcp.inject("+0.1 < P. 301:401(100) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 1")
    tcp.inject("+0.1 < P. 1:101(100) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 201")
    tcp.inject("+0.1 < P. 201:301(100) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 401")
    assert tcp.read() == pattern(1, 400)


def test_a_pure_ack_is_not_acknowledged(tcp: Script) -> None:
    tcp.established()
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 1000")
    tcp.expect_nothing("+1")


@pytest.mark.rfc("9293", "3.10.7.4")
def test_a_segment_that_is_here_already_is_acknowledged_again(tcp: Script) -> None:
    tcp.established()
    tcp.inject("+0.1 < P. 1:101(100) ack 1 win 1000")
    tcp.expect("+0.04 > . 1:1(0) ack 101")
    tcp.inject("+0.1 < P. 1:101(100) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 101")
    tcp.inject("+0.1 < P. 51:151(100) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 151")
    assert tcp.read() == pattern(1, 150)


@pytest.mark.rfc("9293", "3.10.7.4")
def test_a_fin_is_taken_with_the_text_before_it(tcp: Script) -> None:
    tcp.established()
    tcp.inject("+0.1 < FP. 1:101(100) ack 1 win 1000")
    tcp.expect("+0.04 > . 1:1(0) ack 102")
    assert not tcp.conn.at_eof
    assert tcp.read() == pattern(1, 100)
    assert tcp.conn.at_eof


@pytest.mark.parametrize("fin", ["F. 101:101(0)", "FP. 51:101(50)"])
def test_a_fin_waits_for_the_text_before_it(fin: str, tcp: Script) -> None:
    tcp.established()
    tcp.inject(f"+0.1 < {fin} ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 1")
    tcp.inject("+0.1 < P. 1:101(100) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 102")
    assert tcp.read() == pattern(1, 100)
    assert tcp.conn.at_eof


def test_text_beyond_a_fin_is_not_taken(tcp: Script) -> None:
    tcp.established()
    tcp.inject("+0.1 < P. 151:201(50) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 1")
    tcp.inject("+0.1 < F. 101:101(0) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 1")
    tcp.inject("+0.1 < P. 1:151(150) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 102")
    assert tcp.read() == pattern(1, 100)
    assert tcp.conn.at_eof
    assert tcp.drops == ["tcp_beyond_fin"]
    tcp.inject("+0.1 < P. 102:202(100) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 102")
    assert tcp.read() == b""


def test_a_peer_who_sends_every_second_byte_is_not_kept_for_ever(tcp: Script) -> None:
    tcp.established()
    for at in range(2, 2 + 2 * 1100, 2):
        tcp.batch(f"+0 < P. {at}:{at + 1}(1) ack 1 win 1000")
    tcp.drain()
    assert tcp.drops == ["tcp_too_many_pieces"] * (1100 - 1024)
