"""SYN cookies over IPv6: the same host answers both versions, each with what its link takes."""

from dataclasses import replace
from typing import Final

import pytest
from packets6 import packet6
from stack_bench import HERE, HERE_MAC, PEER, PEER_MAC
from stack_bench6 import HERE as HERE6
from stack_bench6 import HERE_LINK, PEER_LINK, Bench6, frame6
from stack_bench6 import PEER as PEER6
from tcp_frames import headers_of, segment_in

from pystack.core.addresses import Ip, with_zone
from pystack.stack.ports import ANY
from pystack.tcp import syn_cookie
from pystack.tcp.config import TcpLimits
from pystack.tcp.states import TcpState
from pystack.wire import tcp, tcp_options
from pystack.wire.tcp import ACK, SYN, Segment
from pystack.wire.tcp_options import TcpOptions

KEY: Final = bytes(range(32))
LINUX: Final = TcpOptions(mss=1440, wscale=7, sack_permitted=True, timestamps=(77_000, 0))


@pytest.fixture
def bench() -> Bench6:
    bench = Bench6()
    bench.know()
    bench.know_peer()
    bench.host.tcp.limits = TcpLimits(syn_cookies=2)
    return bench


def segment(bench: Bench6, sent: Segment, src: Ip, dst: Ip) -> None:
    if src >> 32:
        text = tcp.pack_header(sent, src, dst)
        bench.arrive(frame6(packet6([], 6, text, src=src, dst=dst)))
    else:
        bench.arrive(headers_of(sent, src, dst, PEER_MAC, HERE_MAC))


def answer_to(bench: Bench6, options: TcpOptions, src: Ip = PEER6, dst: Ip = HERE6) -> Segment:
    """Send a SYN; return the SYN-ACK."""
    packed = tcp_options.pack(options)
    segment(bench, Segment(5000, 80, 2**32 - 100, 0, SYN, 65535, packed, b""), src, dst)
    (frame,) = bench.taken()
    return segment_in(frame)


def bring_back(bench: Bench6, answer: Segment, src: Ip = PEER6, dst: Ip = HERE6) -> None:
    stamps = tcp_options.parse(answer.options).timestamps
    options = TcpOptions(timestamps=None if stamps is None else (77_100, stamps[0]))
    packed = tcp_options.pack(options)
    ack = answer.seq + 1 & 0xFFFFFFFF
    segment(bench, Segment(5000, 80, 2**32 - 99, ack, ACK, 500, packed, b""), src, dst)


@pytest.mark.rfc("9293", "MUST-67")
def test_each_version_is_told_the_segments_that_its_own_headers_leave_room_for(
    bench: Bench6,
) -> None:
    bench.host.tcp.listen(ANY, 80)
    told = [
        tcp_options.parse(answer_to(bench, LINUX, *ends).options).mss
        for ends in ((PEER, HERE), (PEER6, HERE6), (PEER, HERE))
    ]
    assert told == [1460, 1440, 1460]


@pytest.mark.rfc("4861", "4.6.4")
def test_the_mtu_that_a_router_says_of_the_link_is_in_the_next_answer(bench: Bench6) -> None:
    bench.host.tcp.listen(ANY, 80)
    assert tcp_options.parse(answer_to(bench, LINUX).options).mss == 1440
    bench.interface.mtu6_bytes = 1300
    bench.host.routes.forget()
    bench.know()
    assert tcp_options.parse(answer_to(bench, LINUX).options).mss == 1240


@pytest.mark.parametrize(
    ("offered", "known"), [(None, 1220), (536, 1220), (1220, 1220), (1439, 1420), (8940, 8940)]
)
def test_what_a_cookie_of_ipv6_tells_of_the_segment_size(offered: int | None, known: int) -> None:
    mss = 1220 if offered is None else offered
    cookie = syn_cookie.make(KEY, bytes(36), 7, mss, 0.0)
    assert syn_cookie.check(KEY, bytes(36), 7, cookie, 0.0) == known


@pytest.mark.parametrize("scope", ["global", "link-local"])
@pytest.mark.parametrize("options", [LINUX, replace(LINUX, timestamps=None), TcpOptions()])
def test_the_ack_that_brings_a_cookie_back_opens_the_connection(
    bench: Bench6, options: TcpOptions, scope: str
) -> None:
    listener = bench.host.tcp.listen(ANY, 80)
    src, dst = (PEER6, HERE6) if scope == "global" else (PEER_LINK, HERE_LINK)
    answer = answer_to(bench, options, src, dst)
    assert len(bench.host.tcp) == 0
    bring_back(bench, answer, src, dst)
    (socket,) = listener.ready
    assert socket.connection.state is TcpState.ESTABLISHED
    expected = src if scope == "global" else with_zone(src, bench.zone)
    assert socket.remote == expected
    stamped = 12 if options.timestamps else 0
    assert socket.connection.tcb.snd_mss == (options.mss or 1220) - stamped


def test_the_cookie_of_one_station_is_not_another_ones_of_its_network(bench: Bench6) -> None:
    bench.host.tcp.listen(ANY, 80)
    bring_back(bench, answer_to(bench, LINUX), Ip(PEER6 + 1))
    assert len(bench.host.tcp) == 0
    assert bench.counters["tcp_syn_cookies_failed"] == 1
