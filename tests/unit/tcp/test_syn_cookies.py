"""SYN cookies: RFC 4987 section 3.6, as Linux has them."""

import dataclasses
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tcp_bench import ANY, PEER_ISS, TcpBench, calls_of

from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp import syn_cookie
from pystack.tcp.config import TcpLimits
from pystack.tcp.listener import Listener
from pystack.tcp.states import TcpState
from pystack.wire import tcp_options
from pystack.wire.tcp import ACK, AE, CWR, ECE, PSH, RST, SYN, Segment
from pystack.wire.tcp_options import TcpOptions

KEY, ENDS = bytes(range(32)), bytes(range(12))
LINUX = TcpOptions(mss=1460, wscale=7, sack_permitted=True, timestamps=(77_000, 0))


@pytest.fixture
def bench() -> TcpBench:
    bench = TcpBench()
    bench.table.limits = TcpLimits(syn_cookies=2)
    return bench


def cookie_for(bench: TcpBench, options: TcpOptions | None, port: int = 5000) -> Segment:
    """Send a SYN, and see that nothing is kept; return the SYN-ACK."""
    before = len(bench.table)
    bench.segment(SYN, ports=(port, 80), options=options)
    (answer,) = bench.sent()
    assert answer.flags == SYN | ACK
    assert len(bench.table) == before
    return answer


def bring_back(
    bench: TcpBench, answer: Segment, port: int = 5000, payload: bytes = b"", off: int = 0
) -> None:
    stamps = tcp_options.parse(answer.options).timestamps
    options = TcpOptions(timestamps=(77_100, stamps[0])) if stamps else None
    bench.segment(
        ACK | PSH if payload else ACK,
        ports=(port, 80),
        seq=PEER_ISS + 1,
        ack=answer.seq + 1 + off,
        wnd=500,
        options=options,
        payload=payload,
    )


def opened(listener: Listener[TcpSocket]) -> TcpSocket:
    (socket,) = listener.ready
    assert socket.connection.state is TcpState.ESTABLISHED
    return socket


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 65535),
    st.floats(0, 1e9),
    st.floats(0, syn_cookie.PERIOD_S),
)
def test_a_cookie_is_known_again_for_a_minute_at_least(
    irs: int, mss: int, now: float, later: float
) -> None:
    cookie = syn_cookie.make(KEY, ENDS, irs, mss, now)
    told = syn_cookie.check(KEY, ENDS, irs, cookie, now + later)
    assert told is not None
    assert told == max((known for known in syn_cookie.MSS_BYTES if known <= mss), default=536)


@given(st.integers(0, 2**32 - 1), st.floats(0, 1e9), st.floats(120, 15_000))
def test_a_cookie_is_not_known_after_two_minutes(irs: int, now: float, later: float) -> None:
    cookie = syn_cookie.make(KEY, ENDS, irs, 1460, now)
    assert syn_cookie.check(KEY, ENDS, irs, cookie, now + later) is None


def test_a_cookie_holds_for_its_own_ends_number_and_host() -> None:
    cookie = syn_cookie.make(KEY, ENDS, 7, 1460, 0.0)
    assert syn_cookie.check(KEY, ENDS[::-1], 7, cookie, 0.0) is None
    assert syn_cookie.check(KEY, ENDS, 8, cookie, 0.0) is None
    assert syn_cookie.check(KEY[::-1], ENDS, 7, cookie, 0.0) is None


def test_a_guess_is_good_once_in_two_million() -> None:
    rng = Random(1)
    hits = 0
    for _ in range(20_000):
        hits += syn_cookie.check(KEY, ENDS, 7, rng.getrandbits(32), 600.0) is not None
    assert hits == 0


def test_cookies_of_one_peer_do_not_tell_those_of_another() -> None:
    cookies = {syn_cookie.make(KEY, bytes((at,)) * 12, 7, 1460, 0.0) for at in range(256)}
    assert len(cookies) == 256
    assert len({cookie >> 24 for cookie in cookies}) > 100


def test_nothing_is_kept_and_all_options_come_back_in_the_timestamp(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    answer = cookie_for(bench, LINUX)
    offered = tcp_options.parse(answer.options)
    assert offered.wscale is not None
    assert offered.sack_permitted
    bring_back(bench, answer)
    tcb = opened(listener).connection.tcb
    assert (tcb.snd_wind_shift, tcb.rcv_wind_shift) == (7, offered.wscale)
    assert tcb.sack_permitted
    assert tcb.timestamps
    assert tcb.ts_recent == 77_100
    assert tcb.snd_wnd == 500 << 7
    assert tcb.snd_mss == 1460 - 12
    assert bench.counters["tcp_syn_cookies_sent"] == 1
    assert bench.counters["tcp_syn_cookies_received"] == 1


@pytest.mark.parametrize("wscale", [None, 0, 1, 14])
@pytest.mark.parametrize("sack", [False, True])
def test_what_was_not_offered_does_not_come_back(
    wscale: int | None, sack: bool, bench: TcpBench
) -> None:
    listener = bench.table.listen(ANY, 80)
    answer = cookie_for(bench, dataclasses.replace(LINUX, wscale=wscale, sack_permitted=sack))
    bring_back(bench, answer)
    tcb = opened(listener).connection.tcb
    assert tcb.snd_wind_shift == wscale
    assert tcb.sack_permitted == sack


def test_the_timestamp_of_a_cookie_is_not_ahead_of_the_clock(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    for step in range(70):  # every state of the low bits
        bench.run(10 + step * 0.001)
        answer = cookie_for(bench, LINUX, port=5000 + step)
        stamps = tcp_options.parse(answer.options).timestamps
        assert stamps is not None
        bring_back(bench, answer, port=5000 + step)
        tcb = listener.ready[-1].connection.tcb
        clock = int(bench.scheduler.now * 1000 + 0.5) + tcb.ts_offset & 0xFFFFFFFF
        assert 0 <= clock - stamps[0] & 0xFFFFFFFF < 64


def test_without_timestamps_only_the_mss_is_kept(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    answer = cookie_for(bench, TcpOptions(mss=1400, wscale=7, sack_permitted=True))
    offered = tcp_options.parse(answer.options)
    assert offered.mss == 1460
    assert offered.wscale is None
    assert not offered.sack_permitted
    bring_back(bench, answer)
    tcb = opened(listener).connection.tcb
    assert tcb.snd_wind_shift is None
    assert not tcb.sack_permitted
    assert tcb.snd_mss == 1300
    assert tcb.snd_wnd == 500


def test_the_text_of_the_ack_is_taken_and_answered_as_ever(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    answer = cookie_for(bench, LINUX)
    bring_back(bench, answer, payload=b"GET /")
    socket = opened(listener)
    assert bench.table.read(socket, 100, 0.0) == b"GET /"
    bench.sent()
    bench.table.write(socket, memoryview(b"here"), 0.0)
    (text,) = bench.sent()
    assert bytes(text.payload) == b"here"
    assert text.seq == answer.seq + 1 & 0xFFFFFFFF
    assert text.ack == (PEER_ISS + 6) & 0xFFFFFFFF
    assert [entry.flags for entry in socket.handshake] == ["SYN", "SYN ACK", "PSH ACK"]


def test_no_more_is_taken_than_the_syn_ack_promised(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    answer = cookie_for(bench, LINUX)
    bring_back(bench, answer)
    assert opened(listener).connection.tcb.rcv_wnd == answer.wnd


@pytest.mark.parametrize("off", [1, -1, 1 << 24, 77_777])
def test_a_forged_cookie_is_a_strangers(off: int, bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    answer = cookie_for(bench, TcpOptions(mss=536))
    bring_back(bench, answer, off=off + 3 if off == 1 else off)
    (reset,) = bench.sent()
    assert reset.flags == RST
    assert not listener.ready
    assert bench.counters["tcp_syn_cookies_failed"] == 1
    assert bench.counters["tcp_no_connection"] == 1


def test_cookies_are_sent_when_the_syn_queue_is_full_and_believed_for_two_minutes(
    bench: TcpBench,
) -> None:
    bench.table.limits = TcpLimits()
    listener = bench.table.listen(ANY, 80, backlog=1)
    for port in (5000, 5001):
        bench.half_open_from(port)
    answer = cookie_for(bench, LINUX, port=5002)
    bring_back(bench, answer, port=5002)
    assert listener.ready
    listener.ready.clear()
    again = cookie_for(bench, LINUX, port=5003)
    bench.run(150.0)
    bench.know_peer()
    bring_back(bench, again, port=5003)
    assert [segment.flags for segment in bench.sent()] == [RST]
    # Nobody has been sent one for so long that no ACK is even looked at.
    assert bench.counters["tcp_syn_cookies_failed"] == 0


def test_an_ack_is_no_cookie_where_none_was_sent(bench: TcpBench) -> None:
    bench.table.limits = TcpLimits()
    bench.table.listen(ANY, 80)
    bench.segment(ACK, seq=PEER_ISS + 1, ack=77)
    assert [segment.flags for segment in bench.sent()] == [RST]
    assert bench.counters["tcp_syn_cookies_failed"] == 0


def test_a_cookie_for_a_full_accept_queue_is_ignored_not_refused(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80, backlog=0)
    answers = [cookie_for(bench, LINUX, port=port) for port in (5000, 5001)]
    for port, answer in zip((5000, 5001), answers, strict=True):
        bring_back(bench, answer, port=port)
    assert bench.sent() == []
    assert len(listener.ready) == 1
    assert bench.counters["tcp_listen_overflow"] == 1
    listener.ready.clear()
    bring_back(bench, answers[1], port=5001)
    assert opened(listener).connection.remote_port == 5001


def test_a_flood_of_syns_keeps_nobody_out_and_holds_no_memory(bench: TcpBench) -> None:
    bench.table.limits = TcpLimits()
    listener = bench.table.listen(ANY, 80, backlog=10)
    for port in range(20_000, 20_500):
        bench.segment(SYN, ports=(port, 80))
    assert len(bench.sent()) == 500
    assert len(bench.table) == 11
    assert bench.counters["tcp_syn_cookies_sent"] == 489
    for port in range(5000, 5010):
        bench.segment(SYN, ports=(port, 80), options=LINUX)
        (answer,) = bench.sent()
        bring_back(bench, answer, port=port)
    assert len(listener.ready) == 10


def test_a_successor_of_time_wait_gets_a_number_beyond_its_predecessors(bench: TcpBench) -> None:
    bench.table.limits = TcpLimits()
    listener = bench.table.listen(ANY, 80, backlog=0)
    socket = bench.accept_from(5000, listener)
    listener.ready.clear()
    bench.table.close(socket, 0.0)
    tcb = socket.connection.tcb
    bench.segment(ACK | 1, seq=PEER_ISS + 1, ack=tcb.snd_nxt)
    assert socket.connection.state is TcpState.TIME_WAIT
    bench.sent()
    bench.half_open_from(6000)
    bench.segment(SYN, seq=PEER_ISS + 70_000)
    (answer,) = bench.sent()
    assert answer.seq - tcb.snd_nxt & 0xFFFFFFFF == 0x10001
    assert bench.counters["tcp_syn_cookies_sent"] == 0


@pytest.mark.parametrize(
    "asked",
    [
        LINUX,
        dataclasses.replace(LINUX, wscale=None),
        dataclasses.replace(LINUX, sack_permitted=False),
        TcpOptions(mss=1400, wscale=7, sack_permitted=True),
        TcpOptions(),
    ],
)
@pytest.mark.parametrize("flags", [SYN, SYN | ECE | CWR, SYN | ECE])
def test_a_cookie_s_syn_ack_says_the_same_the_second_time(
    asked: TcpOptions, flags: int, bench: TcpBench
) -> None:
    bench.table.listen(ANY, 80)
    said = []
    for port in (5000, 5001):  # the first is found out, the second remembered
        bench.segment(flags, ports=(port, 80), options=asked)
        (answer,) = bench.sent()
        options = tcp_options.parse(answer.options)
        if options.timestamps is not None:
            options.timestamps = None
        said.append((answer.flags, answer.wnd, answer.ecn, options))
    assert said[0] == said[1]


def test_a_cookie_s_syn_ack_goes_by_what_holds_when_it_is_sent(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    assert cookie_for(bench, LINUX).wnd == 65535
    listener.configure(max_segment_bytes=700, window_clamp_bytes=4000)
    answer = cookie_for(bench, LINUX)
    assert (tcp_options.parse(answer.options).mss, answer.wnd) == (700, 4000)
    listener.configure(timestamps=False)
    assert tcp_options.parse(cookie_for(bench, LINUX).options).timestamps is None
    bench.interface.mtu_bytes = 600
    bench.host.routes.forget()
    assert tcp_options.parse(cookie_for(bench, LINUX).options).mss == 560


def test_a_cookie_costs_no_connection_and_not_much_more_than_a_segment_of_text(
    bench: TcpBench,
) -> None:
    listener = bench.table.listen(ANY, 80)
    bring_back(bench, cookie_for(bench, LINUX))
    tcb = opened(listener).connection.tcb
    bench.sent()

    def text() -> None:
        bench.segment(
            ACK,
            seq=tcb.rcv_nxt & 0xFFFFFFFF,
            ack=tcb.snd_nxt & 0xFFFFFFFF,
            payload=bytes(1400),
            options=TcpOptions(timestamps=(77_100, 0)),
        )

    def cookie() -> None:
        bench.segment(SYN, ports=(6000, 80), options=LINUX)

    assert calls_of(cookie) <= 1.5 * calls_of(text)


@pytest.mark.rfc("9768", "5.1")
@pytest.mark.parametrize("options", [LINUX, TcpOptions(mss=1460)])
def test_a_cookie_needs_no_bit_for_accurate_ecn(options: TcpOptions, bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    bench.segment(SYN | AE | CWR | ECE, ports=(5000, 80), options=options)
    (answer,) = bench.sent()
    assert answer.flags == SYN | ACK | CWR
    told = tcp_options.parse(answer.options)
    assert told.accurate_ecn == tcp_options.AccurateEcn(1, 0, 1)
    bench.segment(
        ACK | CWR,
        ports=(5000, 80),
        seq=PEER_ISS + 1,
        ack=answer.seq + 1,
        wnd=500,
        options=TcpOptions(timestamps=(77_100, told.timestamps[0])) if told.timestamps else None,
    )
    info = opened(listener).connection.info()
    assert (info.ecn, info.accurate_ecn, info.accurate_ecn_silent) == (True, True, "")
