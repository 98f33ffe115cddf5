"""ICMP of a host: echo, errors sent and not sent, errors received."""

import struct

import pytest
from stack_bench import (
    FAR,
    GROUP,
    HERE,
    HERE_MAC,
    OTHER_MAC,
    PEER,
    SUBNET_BROADCAST,
    Bench,
    echo_frame,
    frame_of,
    icmp_frame,
    ip_packet,
    udp_frame,
)

from pystack.core.addresses import BROADCAST_MAC, UNSPECIFIED, Ip4
from pystack.wire import icmp, ipv4, tcp
from pystack.wire.ip_options import SourceRoute, find_source_route

GROUP_MAC = bytes.fromhex("01005e0000fb")


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.know_peer()
    return bench


def errors_sent(bench: Bench) -> list[tuple[int, int]]:
    bench.run(bench.scheduler.now)
    return [(packet.data.type, packet.data.code) for packet in bench.taken_ip()]


@pytest.mark.parametrize("size", [0, 1, 56, 1472])
def test_an_echo_is_answered_with_the_same_data_under_the_address_it_was_sent_to(
    bench: Bench, size: int
) -> None:
    payload = bytes(at & 0xFF for at in range(size))
    bench.arrive(echo_frame(payload))
    (packet,) = bench.taken_ip()
    assert (packet.src, packet.dst) == (HERE.to_bytes(4, "big"), PEER.to_bytes(4, "big"))
    message = icmp.parse(memoryview(bytes(packet.data)))
    assert (message.kind, message.code, message.ident, message.seq) == (0, 0, 1, 2)
    assert message.payload == payload
    assert bench.counters["icmp_echoes"] == 1


@pytest.mark.parametrize(
    ("dst", "mac"),
    [
        (SUBNET_BROADCAST, BROADCAST_MAC),
        (SUBNET_BROADCAST, HERE_MAC),
        (GROUP, GROUP_MAC),
    ],
)
def test_an_echo_to_many_is_not_answered(bench: Bench, dst: int, mac: bytes) -> None:
    bench.join(GROUP)
    bench.arrive(echo_frame(dst=dst, mac=mac))
    assert bench.drops() == ["icmp_echo_to_many"]
    assert bench.taken() == []


def request_with(options: bytes, message: bytes, at: int = HERE) -> bytes:
    header = ipv4.pack_header(PEER, at, ipv4.ICMP, len(message), options=options)
    return frame_of(header + message)


ECHO = icmp.pack(icmp.ECHO, 0, 0x00010002, b"ping")
ASKED_AT = struct.pack("!III", 12345, 0, 0)
TIMESTAMP = icmp.pack(icmp.TIMESTAMP, 0, 0x00010002, ASKED_AT)


@pytest.mark.rfc("1122", "3.2.2.6")
@pytest.mark.rfc("1122", "3.2.2.8")
@pytest.mark.parametrize(("message", "kind"), [(ECHO, 0), (TIMESTAMP, 14)])
def test_a_reply_has_the_route_and_the_times_that_the_request_had_recorded_and_this_hosts(
    bench: Bench, message: bytes, kind: int
) -> None:
    before = bytes((10, 9, 9, 9))
    route = bytes((7, 11, 8)) + before + bytes(4)
    times = bytes((68, 12, 9, 0)) + before + bytes(4)
    bench.arrive(request_with(route + times + b"\1", message), at=2.5)
    (frame,) = bench.taken()
    packet = ipv4.parse(memoryview(frame.data)[14:])
    here, stamp = HERE.to_bytes(4, "big"), (2**31 + 2500).to_bytes(4, "big")
    assert bytes(packet.options) == (
        bytes((7, 11, 12)) + before + here + bytes((68, 12, 13, 0)) + before + stamp + b"\0"
    )
    assert icmp.parse(packet.payload).kind == kind


def test_a_large_reply_has_them_in_its_first_fragment_alone() -> None:
    bench = Bench(mtu_bytes=576)
    bench.know_peer()
    message = icmp.pack(icmp.ECHO, 0, 1, bytes(1000))
    bench.arrive(request_with(bytes((7, 7, 4)) + bytes(5), message))
    packets = [ipv4.parse(memoryview(frame.data)[14:]) for frame in bench.taken()]
    assert [bytes(packet.options)[:3] for packet in packets] == [bytes((7, 7, 8)), b""]
    assert all(len(packet.raw) <= 576 for packet in packets)
    whole = b"".join(bytes(packet.payload) for packet in packets)
    assert icmp.parse(memoryview(whole)).payload == bytes(1000)


def test_other_options_are_not_sent_back(bench: Bench) -> None:
    bench.arrive(request_with(bytes((148, 4, 0, 0)), ECHO))
    (frame,) = bench.taken()
    assert frame.data[14] == 0x45


def test_a_record_that_cannot_be_filled_in_is_a_parameter_problem(bench: Bench) -> None:
    bench.arrive(request_with(bytes((7, 6, 4, 0, 0, 0, 0, 0)), ECHO))
    (frame,) = bench.taken()
    message = icmp.parse(ipv4.parse(memoryview(frame.data)[14:]).payload)
    assert (message.kind, message.code, message.rest) == (icmp.PARAMETER_PROBLEM, 0, 22 << 24)
    assert bench.drops() == ["ip_bad_option"]


@pytest.mark.rfc("1122", "3.2.2.6")
@pytest.mark.parametrize("accepts", [True, False])
def test_an_echo_that_came_by_a_source_route_goes_back_by_it_where_that_is_allowed(
    accepts: bool, bench: Bench
) -> None:
    bench.host.accepts_source_routes = accepts
    first, second = Ip4(PEER + 1), Ip4(PEER + 2)
    for station in (first, second):
        bench.know_peer(station)
    came_by = b"".join(hop.to_bytes(4, "big") for hop in (first, second))
    bench.arrive(request_with(bytes((131, 11, 12)) + came_by + b"\0", ECHO))
    (frame,) = bench.taken()
    packet = ipv4.parse(memoryview(frame.data)[14:])
    if not accepts:
        assert (packet.dst, packet.header_bytes) == (PEER, 20)
        return
    assert packet.dst == second
    assert find_source_route(packet.options) == SourceRoute((first, PEER), done=False)


@pytest.mark.rfc("1122", "3.2.2.8")
def test_a_timestamp_request_is_answered_by_a_clock_that_says_it_knows_of_no_midnight(
    bench: Bench,
) -> None:
    bench.arrive(icmp_frame(TIMESTAMP), at=7.25)
    (packet,) = bench.taken_ip()
    message = icmp.parse(memoryview(bytes(packet.data)))
    assert (message.kind, message.rest) == (icmp.TIMESTAMP_REPLY, 0x00010002)
    assert struct.unpack("!III", message.payload) == (12345, 2**31 + 7250, 2**31 + 7250)
    assert bench.counters["icmp_timestamps"] == 1


def test_timestamp_requests_can_be_refused(bench: Bench) -> None:
    bench.host.answers_timestamps = False
    bench.arrive(icmp_frame(TIMESTAMP))
    assert bench.taken() == []
    assert bench.drops() == ["icmp_timestamp_refused"]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (icmp_frame(TIMESTAMP, dst=SUBNET_BROADCAST, mac=BROADCAST_MAC), "icmp_timestamp_refused"),
        (icmp_frame(icmp.pack(icmp.TIMESTAMP, 0, 1, bytes(11))), "icmp_truncated"),
        (icmp_frame(icmp.pack(icmp.TIMESTAMP_REPLY, 0, 1, bytes(12))), "icmp_stray_reply"),
        (icmp_frame(TIMESTAMP, src=FAR), "icmp_no_route"),
    ],
)
def test_no_other_timestamp_is_answered(bench: Bench, frame: bytes, reason: str) -> None:
    bench.arrive(frame)
    assert bench.taken() == []
    assert bench.drops() == [reason]


def test_an_echo_from_nowhere_is_not_answered(bench: Bench) -> None:
    message = icmp.pack(icmp.ECHO, 0, 1, b"")
    bench.arrive(icmp_frame(message, src=FAR))
    assert bench.drops() == ["icmp_no_route"]


def test_a_reply_goes_to_who_pings_and_a_stray_one_is_dropped(bench: Bench) -> None:
    replies: list[tuple[int, bytes, int, float]] = []
    bench.host.icmp.echo_sinks[5] = lambda message, src, _ttl, now: replies.append(
        (message.seq, bytes(message.payload), src, now)
    )
    for ident in (5, 6):
        message = icmp.pack(icmp.ECHO_REPLY, 0, ident << 16 | 9, b"pong")
        bench.arrive(icmp_frame(message), at=1.5)
    assert replies == [(9, b"pong", PEER, 1.5)]
    assert bench.drops() == ["icmp_stray_reply"]


@pytest.mark.parametrize("kind", [5, 9, 10, 15, 17, 30, 255])
def test_other_types_are_dropped_by_name(bench: Bench, kind: int) -> None:
    bench.arrive(icmp_frame(icmp.pack(kind, 0, 0, bytes(28))))
    assert bench.drops() == ["icmp_unknown_type"]
    assert bench.taken() == []


@pytest.mark.rfc("1122", "3.2.2.1")
def test_a_protocol_that_nobody_speaks_is_unreachable(bench: Bench) -> None:
    packet = ip_packet(b"12345678rest", proto=253)
    bench.arrive(frame_of(packet))
    (sent,) = bench.taken_ip()
    message = icmp.parse(memoryview(bytes(sent.data)))
    assert (message.kind, message.code) == (icmp.DESTINATION_UNREACHABLE, icmp.PROTOCOL_UNREACHABLE)
    assert message.payload == packet[:28]  # the header and 8 bytes


def test_a_udp_port_that_nobody_has_is_unreachable(bench: Bench) -> None:
    bench.arrive(udp_frame(b"payload"))
    (sent,) = bench.taken_ip()
    assert (sent.data.type, sent.data.code) == (3, 3)
    quoted = ipv4.parse_quoted(memoryview(bytes(sent.data))[8:])
    assert icmp.quoted_ports(quoted.payload) == (5000, 7)
    assert bench.counters["icmp_errors_out"] == 1


UNANSWERED = {
    "an error": icmp_frame(icmp.pack(icmp.DESTINATION_UNREACHABLE, 3, 0, bytes(28))),
    "a broadcast of IP": udp_frame(b"", dst=SUBNET_BROADCAST, dst_mac=BROADCAST_MAC),
    "a broadcast of the link": udp_frame(b"", dst_mac=BROADCAST_MAC),
    "a multicast": udp_frame(b"", dst=GROUP, dst_mac=GROUP_MAC),
    "a multicast of the link": udp_frame(b"", dst_mac=GROUP_MAC),
    "a broadcast in a frame for us alone": udp_frame(b"", dst=SUBNET_BROADCAST),
    "a protocol to many": frame_of(ip_packet(b"", 253, dst=GROUP), dst=GROUP_MAC),
    "nobody's packet": udp_frame(b"", src=UNSPECIFIED),
    "a group's packet": udp_frame(b"", src=GROUP),
}


@pytest.mark.rfc("1122", "3.2.2")
@pytest.mark.parametrize("frame", UNANSWERED.values(), ids=UNANSWERED)
def test_no_error_is_sent_about(bench: Bench, frame: bytes) -> None:
    bench.join(GROUP)
    bench.arrive(frame)
    assert bench.taken() == []
    assert bench.drops() != []


@pytest.mark.rfc("1122", "3.2.2")
def test_no_error_is_sent_about_a_fragment_but_the_first(bench: Bench) -> None:
    first = ipv4.parse(memoryview(ip_packet(bytes(8), flags_offset=ipv4.MORE_FRAGMENTS)))
    later = ipv4.parse(memoryview(ip_packet(bytes(8), flags_offset=1)))
    for packet in (later, first):
        bench.host.icmp.send_error(packet, icmp.TIME_EXCEEDED, 1, 0.0)
    assert errors_sent(bench) == [(11, 1)]


@pytest.mark.parametrize("kind", [3, 4, 5, 11, 12])
def test_no_error_is_sent_about_an_error(bench: Bench, kind: int) -> None:
    packet = ipv4.parse(memoryview(ip_packet(icmp.pack(kind, 0, 0, b""), ipv4.ICMP)))
    bench.host.icmp.send_error(packet, icmp.DESTINATION_UNREACHABLE, 2, 0.0)
    assert errors_sent(bench) == []


def test_an_error_may_be_sent_about_an_echo(bench: Bench) -> None:
    packet = ipv4.parse(memoryview(ip_packet(icmp.pack(icmp.ECHO, 0, 0, b""), ipv4.ICMP)))
    bench.host.icmp.send_error(packet, icmp.TIME_EXCEEDED, 1, 0.0)
    assert errors_sent(bench) == [(11, 1)]


def test_an_error_to_nowhere_is_counted(bench: Bench) -> None:
    bench.arrive(udp_frame(b"", src=FAR))
    assert bench.taken() == []
    assert bench.counters["icmp_no_route"] == 1


def test_errors_are_limited_to_a_burst_of_50_and_1000_a_second_about(bench: Bench) -> None:
    bench.run(1.0)
    for _ in range(100):
        bench.arrive(udp_frame(b""), at=1.0)
    burst = len(errors_sent(bench))
    assert 35 <= burst <= 70
    assert bench.counters["icmp_rate_limited"] == 100 - burst
    for number in range(10_000):
        bench.arrive(udp_frame(b""), at=1.0 + number / 5000)
    assert 1850 <= len(errors_sent(bench)) <= 2150


def test_how_many_errors_one_gets_does_not_tell_how_many_another_got() -> None:
    """The number of errors in a burst is another for each seed and each burst (CVE-2020-25705)."""
    bursts = []
    bench = Bench()
    bench.know_peer()
    for second in range(1, 21):
        for _ in range(100):
            bench.arrive(udp_frame(b""), at=float(second))
        bursts.append(len(errors_sent(bench)))
    assert len(set(bursts)) > 5


def test_echo_replies_are_not_limited(bench: Bench) -> None:
    for _ in range(200):
        bench.arrive(echo_frame(), at=1.0)
    assert len(bench.taken()) == 200


def quoting(payload: bytes, proto: int, *, src: int = HERE, dst: int = PEER) -> bytes:
    quoted = ip_packet(payload, proto, src=src, dst=dst)
    return icmp_frame(icmp.pack(icmp.DESTINATION_UNREACHABLE, 3, 0, quoted))


def test_an_error_about_a_packet_that_was_never_ours_is_dropped(bench: Bench) -> None:
    bench.arrive(quoting(struct.pack("!HHHH", 1, 2, 8, 0), ipv4.UDP, src=PEER))
    assert bench.drops() == ["icmp_error_not_ours"]


def test_an_error_that_no_socket_claims_is_counted(bench: Bench) -> None:
    bench.arrive(quoting(struct.pack("!HHHH", 1, 2, 8, 0), ipv4.UDP))
    assert bench.counters["udp_error_unclaimed"] == 1
    bench.arrive(quoting(struct.pack("!HHII", 1, 2, 3, 4), ipv4.TCP))
    assert bench.counters["tcp_error_unclaimed"] == 1


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "icmp_quote_truncated"),
        (bytes(28), "icmp_quote_malformed"),
        (ip_packet(bytes(7), ipv4.UDP, src=HERE, dst=PEER), "icmp_quote_truncated"),
        (ip_packet(bytes(7), ipv4.TCP, src=HERE, dst=PEER), "icmp_quote_truncated"),
    ],
)
def test_a_hostile_quotation_is_dropped_by_name(bench: Bench, payload: bytes, reason: str) -> None:
    bench.arrive(icmp_frame(icmp.pack(icmp.DESTINATION_UNREACHABLE, 1, 0, payload)))
    assert bench.drops() == [reason]


def test_a_segment_for_nobody_is_answered_with_a_reset_and_no_icmp(bench: Bench) -> None:
    segment = tcp.Segment(5000, 81, 100, 0, tcp.SYN, 1000)
    data = tcp.pack_header(segment, PEER, HERE)
    bench.arrive(frame_of(ip_packet(data, ipv4.TCP)))
    (packet,) = bench.taken_ip()
    assert packet.p == 6
    assert packet.data.flags == tcp.RST | tcp.ACK
    assert packet.data.ack == 101


def test_segments_to_many_are_dropped(bench: Bench) -> None:
    segment = tcp.Segment(5000, 81, 100, 0, tcp.SYN, 1000)
    data = tcp.pack_header(segment, PEER, SUBNET_BROADCAST)
    bench.arrive(frame_of(ip_packet(data, ipv4.TCP, dst=SUBNET_BROADCAST), dst=BROADCAST_MAC))
    assert bench.drops() == ["tcp_to_many"]
    assert bench.taken() == []


def test_a_stranger_on_the_link_is_answered_under_its_own_mac(bench: Bench) -> None:
    bench.know_peer(mac=OTHER_MAC)
    bench.arrive(echo_frame())
    (frame,) = bench.taken()
    assert frame.data[:6] == OTHER_MAC
