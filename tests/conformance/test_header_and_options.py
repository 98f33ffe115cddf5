"""RFC 9293 sections 3.1 and 3.7.1: what the header says, and what its options may do."""

import pytest
from script import ISS, LOCAL_PORT, PEER_ISS, REMOTE_PORT, Script, pattern
from stack_bench import HERE, PEER, frame_of, ip_packet
from tcp_bench import ANY, TcpBench

from pystack.stack.tcp_table import TcpSocket
from pystack.tcp.states import TcpState
from pystack.wire import ipv4, tcp, tcp_options
from pystack.wire.options import END, NO_OPERATION

UNKNOWN = bytes.fromhex("fd0612345678")


def arrive_with_options(script: Script, options: bytes, payload: bytes) -> None:
    """Let the peer's next text arrive with these options, which may be anything."""
    segment = tcp.Segment(
        REMOTE_PORT,
        LOCAL_PORT,
        script.conn.tcb.rcv_nxt & 0xFFFFFFFF,
        (ISS + 1) & 0xFFFFFFFF,
        tcp.ACK | tcp.PSH,
        1000,
        options,
        payload,
    )
    script.conn.segment_arrived(segment, script.now)
    script.pump()


@pytest.mark.rfc("9293", "MUST-1")
@pytest.mark.parametrize("window", [0x7FFF, 0x8000, 0xFFFF])
def test_the_window_field_has_no_sign(window: int, tcp: Script) -> None:
    tcp.established(win=window)
    assert tcp.conn.tcb.snd_wnd == window


@pytest.mark.rfc("9293", "REC-1")
def test_a_scaled_window_of_a_gibibyte_is_kept_whole(tcp: Script) -> None:
    tcp.established(options="mss 1460,wscale 14")
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 65535")
    assert tcp.conn.tcb.snd_wnd == 65535 << 14


@pytest.mark.rfc("9293", "MUST-3")
def test_a_segment_with_a_wrong_checksum_is_dropped_and_not_answered(bench: TcpBench) -> None:
    bench.table.listen(ANY, 80)
    segment = tcp.Segment(5000, 80, PEER_ISS, 0, tcp.SYN, 1000)
    header = bytearray(tcp.pack_header(segment, PEER, HERE))
    header[tcp.CHECKSUM_OFFSET] ^= 0x01
    bench.arrive(frame_of(ip_packet(bytes(header), ipv4.TCP)))
    assert bench.drops() == ["tcp_bad_checksum"]
    assert bench.sent() == []


@pytest.mark.rfc("9293", "MUST-4")
@pytest.mark.rfc("9293", "MUST-64")
@pytest.mark.parametrize(
    "options",
    [
        "020403e8",  # an MSS of 1,000, and nothing else
        "01020403e8010101",  # after one NOP: no word begins where the option does
        "0101020403e80000",
        "010101020403e800",
        "fd0512345602 0403e8",  # after an unknown one of five bytes
        "020403e800ffffff",  # what follows the end of the list is not looked at
        "020403e801010100",
    ],
)
def test_the_mss_option_is_found_wherever_it_begins(options: str, bench: TcpBench) -> None:
    socket = accepted(bench, bytes.fromhex(options))
    bench.table.write(socket, memoryview(bytes(3000)), bench.scheduler.now)
    assert [len(segment.payload) for segment in bench.sent()] == [1000, 1000, 1000]


def accepted(bench: TcpBench, options: bytes) -> TcpSocket:
    """Go through a handshake whose SYN has these options, padded to whole words."""
    listener = bench.table.listen(ANY, 80)
    options += bytes(-len(options) % 4)
    for flags, seq, ack, said in (
        (tcp.SYN, PEER_ISS, 0, options),
        (tcp.ACK, PEER_ISS + 1, None, b""),
    ):
        if ack is None:
            (answer,) = bench.sent()
            ack = answer.seq + 1 & 0xFFFFFFFF
        segment = tcp.Segment(5000, 80, seq, ack, flags, 65535, said)
        header = tcp.pack_header(segment, PEER, HERE)
        bench.arrive(frame_of(ip_packet(header, ipv4.TCP)), at=bench.scheduler.now)
    return listener.ready[-1]


@pytest.mark.rfc("9293", "MUST-5")
@pytest.mark.rfc("9293", "MUST-6")
@pytest.mark.parametrize(
    "options",
    [
        UNKNOWN + b"\x01\x01",
        b"\x01" * 40,
        tcp_options.pack(tcp_options.TcpOptions(mss=500)),  # no place for it, and no harm
        tcp_options.pack(tcp_options.TcpOptions(wscale=3)),
        tcp_options.pack(tcp_options.TcpOptions(sack_permitted=True)),
        tcp_options.pack(tcp_options.TcpOptions(sack_blocks=((1, 2), (3, 4)))),
    ],
)
def test_options_in_any_segment_are_read_and_its_text_taken(options: bytes, tcp: Script) -> None:
    tcp.established()
    before = tcp.conn.tcb.snd_mss
    arrive_with_options(tcp, options, pattern(1, 100))
    assert tcp.read() == pattern(1, 100)
    assert tcp.conn.tcb.snd_mss == before
    assert tcp.conn.tcb.snd_wind_shift is None
    tcp.expect("+0.04 > . 1:1(0) ack 101")


@pytest.mark.rfc("9293", "MUST-7")
@pytest.mark.parametrize(
    "options",
    ["0200", "0201", "0205", "02ff0000", "0800", "fd00", "fd", "0502", "03ff", "080affff"],
)
def test_illegal_lengths_in_any_segment_do_no_harm(options: str, tcp: Script) -> None:
    tcp.established()
    data = bytes.fromhex(options)
    arrive_with_options(tcp, data + bytes(-len(data) % 4), pattern(1, 100))
    assert tcp.read() == pattern(1, 100)
    assert tcp.state is TcpState.ESTABLISHED
    tcp.expect("+0.04 > . 1:1(0) ack 101")


@pytest.mark.rfc("9293", "MUST-65")
def test_only_syn_segments_carry_the_mss_option(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    bench.segment(tcp.SYN, mss=1460)
    syn_ack, *_ = sent = bench.sent()
    bench.segment(tcp.ACK, seq=PEER_ISS + 1, ack=syn_ack.seq + 1)
    socket = listener.ready.popleft()
    bench.table.write(socket, memoryview(bytes(3000)), bench.scheduler.now)
    sent += bench.sent()
    bench.segment(tcp.ACK, seq=PEER_ISS + 1, ack=syn_ack.seq + 3001)
    bench.table.close(socket, bench.scheduler.now)
    bench.segment(tcp.FIN | tcp.ACK, seq=PEER_ISS + 1, ack=syn_ack.seq + 3002)
    bench.segment(tcp.ACK, seq=PEER_ISS + 9, ack=77)
    sent += bench.sent()
    with_mss = [tcp_options.parse(segment.options).mss is not None for segment in sent]
    is_syn = [bool(segment.flags & tcp.SYN) for segment in sent]
    assert len(sent) >= 6
    assert with_mss == is_syn


@pytest.mark.rfc("9293", "MUST-67")
@pytest.mark.rfc("9293", "SHLD-5")
@pytest.mark.rfc("9293", "SHLD-6")
@pytest.mark.rfc("9293", "MAY-3")
@pytest.mark.parametrize("mtu_bytes", [576, 1280, 1500, 9000])
def test_the_mss_is_what_the_link_takes_less_forty_bytes_of_headers(mtu_bytes: int) -> None:
    bench = TcpBench(mtu_bytes=mtu_bytes)
    bench.table.listen(ANY, 80)
    bench.table.pump(bench.table.connect(PEER, 80, 0.0), 0.0)
    bench.segment(tcp.SYN)
    said = [tcp_options.parse(segment.options).mss for segment in bench.sent()]
    assert said == [mtu_bytes - 40] * 2


@pytest.mark.rfc("9293", "MUST-68")
@pytest.mark.rfc("9293", "MUST-69")
def test_what_is_sent_has_lengths_that_add_up_and_ends_in_whole_words_or_zeros(
    bench: TcpBench,
) -> None:
    bench.table.listen(ANY, 80)
    bench.table.pump(bench.table.connect(PEER, 80, 0.0), 0.0)
    bench.segment(tcp.SYN, mss=1460)
    for segment in bench.sent():
        data = bytes(segment.options)
        assert data
        assert len(data) % 4 == 0
        at = 0
        while at < len(data) and data[at] != END:
            at += 1 if data[at] == NO_OPERATION else data[at + 1]
        assert at <= len(data)
        assert not any(data[at:])
