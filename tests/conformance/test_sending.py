"""RFC 9293 sections 3.8.6 and 3.9.1.2: what is sent into which window, and what PUSH is."""

import errno

import pytest
from script import Script
from tcp_bench import ANY, PEER_ISS, TcpBench

from pystack.tcp.config import TcpConfig
from pystack.tcp.states import TcpState
from pystack.wire.tcp import ACK


@pytest.mark.rfc("9293", "SHLD-15")
@pytest.mark.rfc("9293", "MUST-34")
def test_where_the_window_shrinks_no_new_data_is_sent(tcp: Script) -> None:
    tcp.established(win=4000)
    tcp.write(10_000)
    tcp.expect("+0 > . 1:1461(1460) ack 1")
    tcp.expect("+0 > P. 1461:2921(1460) ack 1")  # half of the window: pushed, as in Linux
    tcp.inject("+0.1 < . 1:1(0) ack 1461 win 1000")  # the edge moves from 4,001 back to 2,461
    assert tcp.conn.tcb.snd_una + tcp.conn.tcb.snd_wnd < tcp.conn.tcb.snd_nxt
    tcp.expect_nothing("+0.05")
    tcp.inject("+0 < . 1:1(0) ack 2921 win 4000")
    tcp.expect("+0 > . 2921:4381(1460) ack 1")
    tcp.expect("+0 > P. 4381:5841(1460) ack 1")


@pytest.mark.rfc("9293", "SHLD-16")
def test_where_the_window_shrinks_old_data_within_it_is_retransmitted(tcp: Script) -> None:
    tcp.established(win=4000)
    tcp.write(2920)
    tcp.expect("+0 > . 1:1461(1460) ack 1")
    tcp.expect("+0 > P. 1461:2921(1460) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 1460")
    tcp.expect("+0.2 > . 1:1461(1460) ack 1")


@pytest.mark.rfc("9293", "MAY-7")
def test_where_the_window_shrinks_old_data_beyond_it_is_retransmitted_too(tcp: Script) -> None:
    tcp.established(win=4000)
    tcp.write(1460)
    tcp.expect("+0 > P. 1:1461(1460) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 500")
    tcp.expect("+0.2 > P. 1:1461(1460) ack 1")


@pytest.mark.rfc("9293", "MUST-60")
@pytest.mark.parametrize("size", [1, 100, 1460, 3000])
def test_nothing_that_was_written_waits_for_more(size: int, tcp: Script) -> None:
    tcp.established()
    tcp.write(size)
    sent = tcp.drain()
    assert sum(len(segment.payload) for segment in sent) == size


@pytest.mark.rfc("9293", "MUST-60")
def test_what_nagle_holds_back_goes_when_the_ack_comes(tcp: Script) -> None:
    tcp.established()
    tcp.write(10)
    tcp.write(10)
    tcp.expect("+0 > P. 1:11(10) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 11 win 65535")
    tcp.expect("+0 > P. 11:21(10) ack 1")


@pytest.mark.rfc("9293", "SHLD-27")
@pytest.mark.rfc("9293", "SHLD-28")
def test_writes_that_wait_together_go_as_one_segment_with_one_push(tcp: Script) -> None:
    tcp.established(win=0)
    for _ in range(5):
        tcp.write(100)
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 65535")
    tcp.expect("+0 > P. 1:501(500) ack 1")


@pytest.mark.rfc("9293", "MAY-8")
def test_our_window_may_stay_closed_and_probes_are_answered_for_ever() -> None:
    tcp = Script(TcpConfig(receive_buffer_bytes=1000, congestion="newreno"))
    tcp.established()
    tcp.inject("+0.1 < P. 1:1001(1000) ack 1 win 1000")
    tcp.advance("+0.04")
    tcp.drain()
    for _ in range(100):
        tcp.inject("+60 < . 1000:1000(0) ack 1 win 1000")
        tcp.expect("+0 > . 1:1(0) ack 1001 win 0")
    assert tcp.state is TcpState.ESTABLISHED


@pytest.mark.rfc("9293", "MAY-4")
def test_every_segment_has_the_same_ip_identification_and_may_not_be_cut(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    socket = bench.accept_from(5000, listener)
    bench.table.write(socket, memoryview(bytes(100)), bench.scheduler.now)
    bench.run(bench.scheduler.now + 3)
    packets = bench.taken_ip()
    assert len(packets) > 1
    assert {(packet.id, bool(packet.df)) for packet in packets} == {(0, True)}


@pytest.mark.rfc("9293", "MUST-59")
@pytest.mark.rfc("9293", "MUST-58")
def test_a_gap_that_its_batch_fills_is_acknowledged_once(tcp: Script) -> None:
    tcp.established()
    tcp.batch(
        "+0 < . 1461:2921(1460) ack 1 win 1000",
        "+0 < . 2921:4381(1460) ack 1 win 1000",
        "+0 < P. 1:1461(1460) ack 1 win 1000",
    )
    tcp.expect("+0 > . 1:1(0) ack 4381")


@pytest.mark.rfc("9293", "MUST-22")
def test_the_user_hears_of_a_syn_that_nobody_answers(tcp: Script) -> None:
    tcp.connect()
    tcp.advance("+600")
    tcp.drain()
    assert tcp.state is TcpState.CLOSED
    assert tcp.conn.error == errno.ETIMEDOUT


@pytest.mark.rfc("9293", "3.5.2")
def test_a_reset_for_a_stranger_acknowledges_all_that_came(bench: TcpBench) -> None:
    bench.segment(0, payload=bytes(7))
    (reset,) = bench.sent()
    assert reset.ack == (PEER_ISS + 7) & 0xFFFFFFFF
    assert reset.flags & ACK
