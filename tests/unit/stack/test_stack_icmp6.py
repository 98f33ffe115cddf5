"""ICMPv6 of a host: echo, errors sent and not sent, errors received, and what headers provoke."""

import errno

import pytest
from packets6 import Header, destination, fragment, hop_by_hop, packet6, routing
from stack_bench import udp_frame
from stack_bench6 import (
    ALL_NODES,
    FAR,
    HERE,
    HERE_LINK,
    NOBODY,
    PEER,
    PEER_LINK,
    Bench6,
    datagram6,
    frame6,
    icmp6,
    solicitation_frame,
)

from pystack.core.addresses import Ip, parse_ip6, with_zone
from pystack.stack.icmp_core import ERRORS_BURST, IcmpError, Trouble
from pystack.wire import icmpv6, ipv6, nd, udp
from pystack.wire.icmp import IcmpMessage
from pystack.wire.ipv6_ext import (
    DESTINATION_OPTIONS,
    ERRONEOUS_FIELD,
    FRAGMENT,
    INCOMPLETE_CHAIN,
    UNKNOWN_NEXT_HEADER,
    UNKNOWN_OPTION,
)

GROUP = parse_ip6("ff02::fb")
PARAMETER_PROBLEM = icmpv6.PARAMETER_PROBLEM


@pytest.fixture
def bench() -> Bench6:
    bench = Bench6()
    bench.know()
    bench.events.clear()
    return bench


def told(bench: Bench6) -> list[tuple[int, int, int]]:
    """Return type, code and the four bytes behind of all errors that were sent."""
    return [(message.kind, message.code, message.rest) for message in bench.taken_icmp6()]


# echo


@pytest.mark.parametrize("size", [0, 1, 56, 1452, 4000])
def test_an_echo_is_answered_with_the_same_data(bench: Bench6, size: int) -> None:
    payload = bytes(at & 0xFF for at in range(size))
    whole = icmpv6.pack(PEER, HERE, icmpv6.ECHO, 0, 0x00010002, payload)
    for at in range(0, len(whole), 1400):
        pieces = [fragment(at // 8, more=at + 1400 < len(whole))] if len(whole) > 1400 else []
        bench.arrive(frame6(packet6(pieces, 58, whole[at : at + 1400], src=PEER, dst=HERE)))
    packets, reply = bench.taken6(), None
    for packet in packets:
        reply = bench.host.reassembly.add(packet, 0.0) if packet.is_fragment else packet
    assert reply is not None
    message = icmpv6.parse(reply)
    assert (reply.src, reply.dst) == (HERE, PEER)
    assert (message.kind, message.code, message.ident, message.seq) == (129, 0, 1, 2)
    assert message.payload == payload
    assert all(len(packet.raw) <= 1500 for packet in packets)


@pytest.mark.rfc("4443", "4.2")
def test_an_echo_to_all_is_answered_from_an_address_of_the_link(bench: Bench6) -> None:
    bench.arrive(frame6(icmp6(icmpv6.ECHO, src=PEER_LINK, dst=ALL_NODES)))
    (reply,) = bench.taken6()
    assert (reply.src, reply.dst) == (HERE_LINK, PEER_LINK)
    assert icmpv6.parse(reply).kind == icmpv6.ECHO_REPLY


def test_the_traffic_class_comes_back(bench: Bench6) -> None:
    data = icmpv6.pack(PEER, HERE, icmpv6.ECHO, 0, 1, b"")
    bench.arrive(frame6(packet6([], 58, data, src=PEER, dst=HERE, tos=0xB8)))
    assert [packet.tos for packet in bench.taken6()] == [0xB8]


def test_who_pings_gets_replies_and_errors(bench: Bench6) -> None:
    replies: list[tuple[IcmpMessage, Ip]] = []
    problems: list[IcmpError] = []
    layer = bench.host.icmp6
    layer.echo_sinks[9] = lambda message, src, _ttl, _now: replies.append((message, src))
    layer.echo_error_sinks[9] = lambda error, _now: problems.append(error)
    assert layer.send_echo(PEER, 9, 3, b"ping", 0.0, ttl=5)
    (request,) = bench.taken6()
    assert (request.src, request.dst, request.ttl) == (HERE, PEER, 5)
    bench.arrive(frame6(icmp6(icmpv6.ECHO_REPLY, 0, 9 << 16 | 3, b"ping")))
    bench.arrive(frame6(icmp6(icmpv6.TIME_EXCEEDED, 0, 0, bytes(request.raw))))
    ((reply, src),) = replies
    assert (reply.seq, reply.payload, src) == (3, b"ping", PEER)
    (problem,) = problems
    assert (problem.kind, problem.reporter) == (icmpv6.TIME_EXCEEDED, PEER)
    bench.arrive(frame6(icmp6(icmpv6.ECHO_REPLY, 0, 10 << 16)))
    assert bench.drops() == ["icmp6_stray_reply"]


# errors that are sent


@pytest.mark.rfc("4443", "2.4")
@pytest.mark.parametrize(("size", "quoted"), [(10, 58), (1400, 1232)])
def test_an_error_quotes_as_much_as_fits_into_the_least_mtu(
    bench: Bench6, size: int, quoted: int
) -> None:
    packet = datagram6(bytes(size), dst_port=9)
    bench.arrive(frame6(packet))
    (error,) = bench.taken6()
    assert len(error.raw) <= 1280
    message = icmpv6.parse(error)
    assert (message.kind, message.code) == (1, icmpv6.PORT_UNREACHABLE)
    assert message.payload == packet[:quoted]
    assert (error.src, error.dst) == (HERE, PEER)


@pytest.mark.rfc("4443", "2.4")
def test_no_errors_about_errors_redirects_groups_or_nobody(bench: Bench6) -> None:
    bench.join6(GROUP)
    host, now = bench.host, bench.scheduler.now
    packets = [
        icmp6(icmpv6.DESTINATION_UNREACHABLE, 4, 0, bytes(48)),
        icmp6(100, 0, 0, bytes(48)),
        icmp6(icmpv6.REDIRECT, 0, 0, bytes(32), src=PEER_LINK),
        icmp6(icmpv6.TIME_EXCEEDED, 0, 0, bytes(48), headers=[destination()]),
        packet6([fragment(0, more=True)], 58, b"\1" + bytes(15), src=PEER, dst=HERE),
        datagram6(b"to many", dst=GROUP),
        datagram6(b"from nobody", src=NOBODY),
        datagram6(b"from many", src=GROUP),
    ]
    for data in packets:
        host.tell(ipv6.parse(memoryview(data)), Trouble.HOPS_EXCEEDED, now)
    by_link_broadcast = ipv6.parse(memoryview(datagram6(b"")), to_many=True)
    host.tell(by_link_broadcast, Trouble.HOPS_EXCEEDED, now)
    assert bench.taken() == []
    later = packet6([fragment(9, more=True)], 58, b"\1" + bytes(15), src=PEER, dst=HERE)
    host.tell(ipv6.parse(memoryview(later)), Trouble.HOPS_EXCEEDED, now)
    assert told(bench) == [(icmpv6.TIME_EXCEEDED, 0, 0)]  # what it is, its first piece knows


@pytest.mark.rfc("4443", "2.4")
def test_of_what_was_for_many_only_packet_too_big_is_told(bench: Bench6) -> None:
    packet = ipv6.parse(memoryview(datagram6(bytes(1300), dst=parse_ip6("ff0e::5"))))
    bench.host.tell(packet, Trouble.TOO_BIG, 0.0, mtu_bytes=1280)
    assert told(bench) == [(icmpv6.PACKET_TOO_BIG, 0, 1280)]


@pytest.mark.rfc("4443", "2.4")
def test_errors_of_both_versions_are_limited_together(bench: Bench6) -> None:
    bench.know_peer()
    for _ in range(100):
        bench.arrive(frame6(datagram6(b"", dst_port=9)))
        bench.arrive(udp_frame(b"", dst_port=9))
    sent = bench.counters["icmp6_errors_out"] + bench.counters["icmp_errors_out"]
    assert ERRORS_BURST / 2 <= sent <= 2 * ERRORS_BURST
    limited = bench.counters["icmp6_rate_limited"] + bench.counters["icmp_rate_limited"]
    assert sent + limited == 200
    assert min(bench.counters["icmp6_rate_limited"], bench.counters["icmp_rate_limited"]) > 40
    bench.taken()
    bench.arrive(frame6(datagram6(b"", dst_port=9)), at=1.0)
    assert len(bench.taken()) == 1


# what headers provoke


def option(kind: int) -> bytes:
    return bytes((kind, 2, 1, 2))


@pytest.mark.rfc("8200", "4.2")
@pytest.mark.parametrize(
    ("headers", "reason", "answer"),
    [
        ([destination(option(0x1E))], None, None),
        ([destination(option(0x5E))], "ip6_unknown_option", None),
        ([destination(option(0x9E))], "ip6_unknown_option", (UNKNOWN_OPTION, 42)),
        ([hop_by_hop(option(0xDE))], "ip6_unknown_option", (UNKNOWN_OPTION, 42)),
        ([destination(), hop_by_hop()], "ip6_late_hop_by_hop", (UNKNOWN_NEXT_HEADER, 40)),
        ([destination(), routing(0, 1)], "ip6_routing_header", (ERRONEOUS_FIELD, 50)),
        ([routing(0, 0)], None, None),
        ([destination()] * 9, "ip6_extensions_too_many", None),
        ([fragment(0, more=False)], None, None),
    ],
)
def test_extension_headers_are_passed_over_or_refused_as_rfc_8200_says(
    bench: Bench6,
    headers: list[Header],
    reason: str | None,
    answer: tuple[int, int] | None,
) -> None:
    bench.host.udp.bind(HERE, 7)
    bench.arrive(frame6(datagram6(b"hello", headers=headers)))
    assert bench.drops() == ([] if reason is None else [reason])
    assert told(bench) == ([] if answer is None else [(PARAMETER_PROBLEM, *answer)])


@pytest.mark.rfc("8200", "4.2")
@pytest.mark.parametrize(("kind", "answered"), [(0x5E, False), (0x9E, True), (0xDE, False)])
def test_an_option_in_a_packet_for_many_is_told_of_only_where_it_says_so(
    bench: Bench6, kind: int, answered: bool
) -> None:
    packet = datagram6(b"", src=PEER_LINK, dst=ALL_NODES, headers=[destination(option(kind))])
    bench.arrive(frame6(packet))
    assert bench.drops() == ["ip6_unknown_option"]
    errors = bench.taken6()
    assert [error.src for error in errors] == ([HERE_LINK] if answered else [])


def test_an_unknown_protocol_is_told_with_the_place_where_it_is_named(bench: Bench6) -> None:
    for headers in ([], [destination()], [hop_by_hop(), destination()]):
        bench.arrive(frame6(packet6(headers, 132, b"data", src=PEER, dst=HERE)))
    assert bench.drops() == ["ip_unknown_protocol"] * 3
    assert told(bench) == [(PARAMETER_PROBLEM, UNKNOWN_NEXT_HEADER, at) for at in (6, 40, 48)]


def test_nothing_behind_the_headers_is_no_error(bench: Bench6) -> None:
    bench.arrive(frame6(packet6([], 59, b"whatever", src=PEER, dst=HERE)))
    assert bench.drops() == ["ip6_no_next_header"]
    assert bench.taken() == []


def test_a_jumbogram_is_refused(bench: Bench6) -> None:
    jumbo = hop_by_hop(bytes((0xC2, 4, 0, 1, 0, 0)))
    data = bytearray(packet6([jumbo], 17, bytes(500), src=PEER, dst=HERE))
    data[4:6] = b"\0\0"
    bench.arrive(frame6(bytes(data)))
    assert bench.drops() == ["ip6_jumbo"]
    assert told(bench) == [(PARAMETER_PROBLEM, UNKNOWN_OPTION, 42)]


# fragments


def pieces(payload: bytes, step: int, headers: list[Header] | None = None) -> list[bytes]:
    data = udp.pack(PEER, HERE, 5000, 7, payload)
    return [
        packet6(
            [*(headers or []), fragment(at // 8, more=at + step < len(data))],
            17,
            data[at : at + step],
            src=PEER,
            dst=HERE,
        )
        for at in range(0, len(data), step)
    ]


@pytest.mark.parametrize("headers", [[], [hop_by_hop(), destination()]])
def test_a_datagram_in_fragments_arrives_whole(bench: Bench6, headers: list[Header]) -> None:
    socket = bench.host.udp.bind(HERE, 7)
    payload = bytes(at * 7 & 0xFF for at in range(9000))
    for piece in reversed(pieces(payload, 1400, headers)):
        bench.arrive(frame6(piece))
    datagram = socket.receive()
    assert datagram is not None
    assert datagram[0] == payload
    assert bench.drops() == []


@pytest.mark.rfc("5722", "section 4")
def test_overlapping_fragments_are_thrown_away_without_a_word(bench: Bench6) -> None:
    first, second = pieces(bytes(80), 48)
    wrong = packet6([fragment(5, more=True)], 17, b"x" * 16, src=PEER, dst=HERE)
    for piece in (first, wrong, second):
        bench.arrive(frame6(piece))
    bench.run(100.0)
    assert bench.drops() == ["frag_overlap", "frag_timeout"]  # of the second nobody has the first
    assert bench.taken_icmp6() == []


@pytest.mark.rfc("6946", "4")
def test_an_atomic_fragment_has_nothing_to_do_with_others(bench: Bench6) -> None:
    socket = bench.host.udp.bind(HERE, 7)
    first, second = pieces(bytes(80), 48)
    bench.arrive(frame6(first))
    bench.arrive(frame6(datagram6(b"atomic", headers=[fragment(0, more=False)])))
    bench.arrive(frame6(second))
    found = [socket.receive(), socket.receive()]
    assert [datagram and datagram[0] for datagram in found] == [b"atomic", bytes(80)]


@pytest.mark.rfc("8200", "4.5")
def test_an_unfinished_datagram_is_told_of_after_a_minute_if_its_beginning_is_here(
    bench: Bench6,
) -> None:
    first, second = pieces(bytes(80), 48)
    bench.arrive(frame6(first), at=1.0)
    bench.arrive(solicitation_frame(PEER, HERE), at=60.0)
    bench.taken()
    bench.run(61.0)
    (message,) = bench.taken_icmp6()
    assert (message.kind, message.code) == (icmpv6.TIME_EXCEEDED, 1)
    assert message.payload == first
    bench.arrive(frame6(second), at=100.0)
    bench.run(200.0)
    assert bench.taken_icmp6() == []


@pytest.mark.rfc("8200", "4.5")
@pytest.mark.parametrize(
    ("headers", "proto", "payload", "reason", "answer"),
    [
        ([fragment(0, more=True)], 17, bytes(17), "frag_malformed", (ERRONEOUS_FIELD, 4)),
        ([fragment(8191, more=False)], 17, bytes(8), "frag_malformed", (ERRONEOUS_FIELD, 42)),
        (
            [hop_by_hop(), fragment(8191, more=False)],
            17,
            bytes(8),
            "frag_malformed",
            (ERRONEOUS_FIELD, 50),
        ),
        ([fragment(0, more=True)], 17, b"", "ip6_incomplete_chain", (INCOMPLETE_CHAIN, 0)),
        ([fragment(0, more=True)], 6, bytes(16), "ip6_incomplete_chain", (INCOMPLETE_CHAIN, 0)),
        ([], FRAGMENT, bytes(7), "ip6_extension_truncated", (ERRONEOUS_FIELD, 40)),
    ],
)
def test_a_fragment_that_cannot_be_is_told_of(
    bench: Bench6,
    headers: list[Header],
    proto: int,
    payload: bytes,
    reason: str,
    answer: tuple[int, int],
) -> None:
    bench.arrive(frame6(packet6(headers, proto, payload, src=PEER, dst=HERE)))
    assert bench.drops() == [reason]
    assert told(bench) == [(PARAMETER_PROBLEM, *answer)]
    assert len(bench.host.reassembly) == 0


def test_what_is_wrong_behind_a_fragment_header_is_found_in_the_whole(bench: Bench6) -> None:
    header = bytes((17, 0)) + option(0x9E) + bytes(2)
    whole = header + udp.pack(PEER, HERE, 5000, 7, b"hello")
    for at, more in ((0, True), (16, False)):
        text = whole[at : at + 16] if more else whole[at:]
        piece = packet6(
            [fragment(at // 8, more=more)], DESTINATION_OPTIONS, text, src=PEER, dst=HERE
        )
        bench.arrive(frame6(piece))
    assert bench.drops() == ["ip6_unknown_option"]
    assert told(bench) == [(PARAMETER_PROBLEM, UNKNOWN_OPTION, 42)]


@pytest.mark.rfc("6980", "5")
def test_discovery_in_fragments_is_not_heard(bench: Bench6) -> None:
    data = nd.pack_neighbor_advertisement(
        PEER, HERE, PEER, mac=None, router=False, solicited=True, override=False
    )
    headers = [fragment(0, more=False)]
    bench.arrive(frame6(packet6(headers, 58, data, src=PEER, dst=HERE, ttl=255)))
    for at, more in ((0, True), (16, False)):
        text = data[at : at + 16] if more else data[at:]
        headers = [fragment(at // 8, more=more)]
        bench.arrive(frame6(packet6(headers, 58, text, src=PEER, dst=HERE, ttl=255)))
    assert bench.drops() == ["nd_fragment"] * 2


@pytest.mark.parametrize("mtu", [1280, 1500])
def test_a_host_cuts_what_is_too_large_for_the_link(mtu: int) -> None:
    bench = Bench6(mtu_bytes=mtu)
    bench.know()
    payload = bytes(at * 7 & 0xFF for at in range(9000))
    bench.host.udp.bind(HERE, 9).send_to(payload, PEER, 7, 0.0)
    packets, whole = bench.taken6(), None
    assert len({packet.ident for packet in packets}) == 1
    for packet in reversed(packets):
        assert len(packet.raw) <= mtu
        assert packet.is_fragment
        whole = bench.host.reassembly.add(packet, 0.0) or whole
    assert whole is not None
    assert udp.parse(whole).payload == payload
    assert bench.counters["ip_fragments_out"] == len(packets) > 5


# errors that come


def about(payload: bytes, *, src: int = HERE, dst: int = PEER) -> bytes:
    return packet6([], 17, udp.pack(src, dst, 9, 7, payload), src=src, dst=dst)


def test_a_connected_socket_hears_that_its_port_is_closed(bench: Bench6) -> None:
    socket = bench.host.udp.bind(HERE, 9)
    socket.connect(PEER, 7, 0.0)
    bench.arrive(frame6(icmp6(1, icmpv6.PORT_UNREACHABLE, 0, about(b"x"))))
    assert socket.error is not None
    assert socket.error.errno == errno.ECONNREFUSED


def test_a_quote_of_this_link_is_about_a_socket_of_this_link(bench: Bench6) -> None:
    here, peer = with_zone(HERE_LINK, bench.zone), with_zone(PEER_LINK, bench.zone)
    socket = bench.host.udp.bind(here, 9)
    socket.connect(peer, 7, 0.0)
    quote = about(b"x", src=HERE_LINK, dst=PEER_LINK)
    error = icmp6(1, icmpv6.PORT_UNREACHABLE, 0, quote, src=PEER_LINK, dst=HERE_LINK)
    bench.arrive(frame6(error))
    assert socket.error is not None
    assert socket.error.errno == errno.ECONNREFUSED


@pytest.mark.rfc("8201", "4")
def test_no_path_is_narrower_than_1280(bench: Bench6) -> None:
    for mtu in (0, 68, 576, 1279):
        bench.arrive(frame6(icmp6(icmpv6.PACKET_TOO_BIG, 0, mtu, about(bytes(1400)))))
    assert bench.drops() == ["icmp6_mtu_too_small"] * 4
    assert bench.counters["icmp6_errors_in"] == 0


def test_errors_about_what_we_never_sent_are_counted(bench: Bench6) -> None:
    bench.arrive(frame6(icmp6(1, 4, 0, about(b"", src=FAR))))
    bench.arrive(frame6(icmp6(1, 4, 0, about(b"")[:44])))
    bench.arrive(frame6(icmp6(1, 4, 0, b"short")))
    bench.arrive(frame6(icmp6(1, 4, 0, about(b""), dst=ALL_NODES)))
    bench.arrive(frame6(icmp6(200)))
    assert bench.drops() == [
        "icmp6_error_not_ours",
        "icmp_quote_truncated",
        "icmp6_quote_truncated",
        "icmp6_to_many",
        "icmp6_unknown_type",
    ]
    assert bench.taken() == []
