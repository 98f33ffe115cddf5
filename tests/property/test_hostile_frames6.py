"""A host of IPv6 that is given anything at all: it never raises, it counts all, and stays small."""

from random import Random
from typing import Final

import pytest
from hostile6 import (
    CORPUS6,
    GROUP,
    ODD_ADDRESSES,
    mended6,
    router_advertisement,
    segment6,
    spoiled6,
)
from hypothesis import given
from hypothesis import strategies as st
from packets6 import fragment, packet6
from stack_bench import HERE_MAC, OTHER_MAC, PEER_MAC, FakePort
from stack_bench6 import (
    HERE,
    PEER,
    PEER_LINK,
    ROUTER,
    Bench6,
    datagram6,
    frame6,
    icmp6,
    solicitation_frame,
)
from storm import ACCEPTED, Stormed

from pystack.core.addresses import Ip, Mac, Prefix, parse_ip4, parse_ip6
from pystack.core.rng import component_rng
from pystack.stack import autoconf, own_addresses
from pystack.stack.ip6_config import Ip6Config
from pystack.wire import icmpv6, ipv4, ipv6, nd, tcp
from pystack.wire.frame import Frame

BEYOND: Final = parse_ip6("2001:db8:1::1")  # the router's other side
BEYOND_MAC: Final = Mac(bytes.fromhex("02000000000e"))


class Target6(Stormed, Bench6):
    """The host at IPv6 addresses, perhaps a router."""

    def __init__(self, *, forwarding: bool = False) -> None:
        super().__init__()
        host = self.host
        host.discovery.config = Ip6Config(
            accept_ra=True, accept_redirects=True, use_tempaddr=True, dad_transmits=1
        )
        host.discovery.start(0.0)
        self.run(5.0)
        host.groups.join(self.interface, GROUP, 5.0)
        if forwarding:
            self.other = FakePort()
            block = Prefix.of(BEYOND, 64)
            host.add_interface("eth1", self.other, BEYOND, block, BEYOND_MAC)
            host.forwarding = True
        self.know(PEER, PEER_LINK, ROUTER)
        self.serve()

    def greet(self) -> None:
        self.give(solicitation_frame(PEER, HERE))

    def segment(self, flags: int, seq: int, ack: int = 0) -> bytes:
        return frame6(segment6(flags, seq=seq, ack=ack, port=self.port_number))

    def answered(self) -> int:
        (reply,) = (packet for packet in self.taken6() if packet.proto == ipv4.TCP)
        return tcp.parse(reply).seq

    def check_bounds(self) -> None:
        super().check_bounds()
        host = self.host
        for interface in host.interfaces[1:]:
            assert len(interface.addresses) <= 8 + own_addresses.ADDRESSES
            assert len(interface.groups) <= 8 + 2 * own_addresses.ADDRESSES
            link = host.discovery.link(interface)
            assert len(link._offers) <= autoconf.ROUTES
            assert max(len(link.name_servers), len(link.search_domains)) <= autoconf.NAMES
        assert len(host.discovery._redirects) <= 256
        assert len(host.routes) <= 512


def aimed(frame: bytes, target: Target6, rng: Random) -> bytes:
    """Let a segment hit the open connection: near its window, with an ACK that means something."""
    if len(frame) < 74 or frame[20] != 6 or rng.random() < 0.3:
        return frame
    return mended6(target.aimed(frame, 54, rng))


@pytest.mark.parametrize("forwarding", [False, True])
def test_thousands_of_spoiled_frames_raise_nothing_and_leave_the_host_small(
    forwarding: bool,
) -> None:
    rng = component_rng(2026, "hostile frames of IPv6")
    target = Target6(forwarding=forwarding)
    for number in range(15_000):
        frame = aimed(spoiled6(rng.choice(CORPUS6), rng), target, rng)
        target.give(frame, after_s=rng.choice((0.0, 0.0, 0.001, 0.1)))
        if number % 20 == 0:
            target.use_connection(rng)
        if number % 1000 == 0:
            target.check_bounds()
            while target.socket.receive() is not None:
                pass
    target.check_bounds()
    reached = {name for name, count in target.counters.items() if count}
    # The spoiling is worth something only if it gets far.
    assert {
        "frag_malformed",
        "frag_overlap",
        "frag_timeout",
        "icmp6_echoes",
        "icmp6_errors_in",
        "icmp6_errors_out",
        "icmp6_mtu_too_small",
        "ip6_bad_payload_length",
        "ip6_extension_truncated",
        "ip6_incomplete_chain",
        "ip6_jumbo",
        "ip6_late_hop_by_hop",
        "ip6_routing_header",
        "ip6_unknown_option",
        "ip_martian",
        "mld_without_router_alert",
        "nd_bad_hop_limit",
        "nd_option_without_length",
        "tcp_no_connection",
        "udp_bad_length",
        "udp_datagrams_in",
    } <= reached
    target.host.close()
    assert target.scheduler.next_at() == float("inf")


def test_after_the_storm_the_host_answers_as_before() -> None:
    rng = component_rng(7, "storm of IPv6")
    target = Target6()
    for _ in range(2000):
        target.give(spoiled6(rng.choice(CORPUS6), rng), after_s=0.001)
    target.give(solicitation_frame(PEER, HERE), after_s=100.0)
    target.taken()
    target.give(frame6(icmp6(icmpv6.ECHO, 0, 1, b"still there?")))
    replies = [message for message in target.taken_icmp6() if message.kind == icmpv6.ECHO_REPLY]
    assert [message.payload for message in replies] == [b"still there?"]


def test_a_flood_from_ever_new_stations_stays_within_bounds_and_harms_nobody_known() -> None:
    """RFC 6583: whoever asks for, or as, ever new addresses gets no place of a station's."""
    rng = component_rng(11, "flood of IPv6")
    target = Target6()
    neighbors = target.interface.neighbors
    assert neighbors is not None
    target.host.tcp.write(target.connection, memoryview(b"hello"), target.scheduler.now)
    answer = nd.pack_neighbor_advertisement(
        PEER, HERE, PEER, mac=PEER_MAC, router=False, solicited=True, override=True
    )
    target.give(frame6(packet6([], 58, answer, src=PEER, dst=HERE, ttl=255)), after_s=6.0)
    known = neighbors.find(PEER)
    assert known is not None
    for _ in range(2000):
        stranger = Ip(PEER & ~0xFFFFFFFF | rng.getrandbits(32))
        mac = Mac(b"\2\0" + rng.randbytes(4))
        target.give(solicitation_frame(stranger, HERE, mac=mac), after_s=0.0005)
        target.give(frame6(icmp6(icmpv6.ECHO, src=stranger)), after_s=0.0005)
        target.give(frame6(datagram6(b"", src=Ip(stranger + 1), dst_port=9)))
        port = 1024 + rng.randrange(60_000)
        target.give(frame6(segment6(tcp.SYN, seq=7, port=port)))
        ident = rng.getrandbits(32)
        piece = packet6([fragment(0, more=True, ident=ident)], 17, bytes(1200), src=PEER, dst=HERE)
        target.give(frame6(piece))
        if target.frames % 1000 < 5:
            target.check_bounds()
    target.check_bounds()
    assert neighbors.find(PEER) is known
    assert known.mac == PEER_MAC


def test_a_scan_through_a_router_takes_no_place_of_who_is_there() -> None:
    """RFC 6583: of 2**64 addresses behind a router nearly all are nobody's."""
    rng = component_rng(17, "scan")
    target = Target6(forwarding=True)
    there = Ip(BEYOND + 1)
    question = nd.pack_neighbor_solicitation(there, BEYOND, BEYOND, source_mac=OTHER_MAC)
    target.other.sink(
        Frame(
            frame6(
                packet6([], 58, question, src=there, dst=BEYOND, ttl=255),
                dst=BEYOND_MAC,
                src=OTHER_MAC,
            )
        ),
        target.scheduler.now,
    )
    target.learned += 1
    target.give(frame6(datagram6(b"hello", dst=there), dst=HERE_MAC))
    answer = nd.pack_neighbor_advertisement(
        there, BEYOND, there, mac=OTHER_MAC, router=False, solicited=True, override=True
    )
    target.run(target.scheduler.now + 6.0)  # it was believed on trial, and is asked by now
    reply = packet6([], 58, answer, src=there, dst=BEYOND, ttl=255)
    target.other.sink(Frame(frame6(reply, dst=BEYOND_MAC, src=OTHER_MAC)), target.scheduler.now)
    target.learned += 1
    for _ in range(6000):
        nobody = Ip(BEYOND & ~0xFFFFFFFF | rng.getrandbits(32))
        target.give(frame6(datagram6(b"?", dst=nobody), dst=HERE_MAC), after_s=0.0005)
    target.check_bounds()
    target.other.sent.clear()
    target.give(frame6(datagram6(b"still there?", dst=there), dst=HERE_MAC))
    (passed,) = [frame.data for _, frame in target.other.sent]
    assert passed[:6] == OTHER_MAC
    assert passed.endswith(b"still there?")


def test_a_flood_of_router_advertisements_stays_within_bounds() -> None:
    rng = component_rng(13, "routers")
    target = Target6()
    for number in range(600):
        prefix = parse_ip6("2001:db8::") | rng.getrandbits(48) << 64
        router = Ip(parse_ip6("fe80::") | rng.getrandbits(64))
        target.give(frame6(router_advertisement(prefix, 1800, router)), after_s=0.05)
        if number % 50 == 0:
            target.check_bounds()
    target.check_bounds()
    interface = target.interface
    assert interface.mtu6_bytes == 1400
    assert any(own.prefix.is_v6 and own.is_automatic for own in interface.addresses)


@pytest.mark.parametrize("src", ODD_ADDRESSES)
@pytest.mark.parametrize("dst", ODD_ADDRESSES)
@pytest.mark.parametrize("forwarding", [False, True])
def test_scopes_are_kept(src: int, dst: int, forwarding: bool) -> None:
    target = Target6(forwarding=forwarding)
    sent_before = list(target.other.sent) if forwarding else []
    for packet in (
        datagram6(b"x", src=src, dst=dst),
        datagram6(b"x", src=src, dst=dst, dst_port=9),
        icmp6(icmpv6.ECHO, src=src, dst=dst),
    ):
        target.give(frame6(packet))
        target.give(frame6(packet, dst=HERE_MAC))
    for packet in target.taken6():
        # What is of one link goes to that link's stations, and nobody's address is never asked.
        assert packet.dst != src or src not in (parse_ip6("::"), parse_ip6("::1"))
        assert packet.src not in (parse_ip6("::1"), parse_ip6("fd00::9"))
    if forwarding:
        for _, frame in target.other.sent[len(sent_before) :]:
            if frame.data[12:14] == b"\x86\xdd":
                passed = ipv6.parse(memoryview(frame.data)[14:])
                assert passed.src not in (parse_ip6("fe80::2"), parse_ip6("::"), parse_ip6("::1"))


@pytest.mark.parametrize("size", range(9))
@pytest.mark.parametrize("proto", [6, 17, 47, 58])
def test_a_router_takes_packets_with_hardly_anything_in_them(size: int, proto: int) -> None:
    target = Target6(forwarding=True)
    packet = packet6([], proto, bytes(size), src=PEER, dst=Ip(BEYOND + 1))
    target.give(frame6(packet, dst=HERE_MAC))
    header = ipv4.pack_header(parse_ip4("10.0.0.2"), parse_ip4("10.0.0.1"), proto, size)
    target.give(HERE_MAC + PEER_MAC + b"\x08\x00" + header + bytes(size))
    far = ipv4.pack_header(parse_ip4("10.0.0.2"), parse_ip4("10.9.9.9"), proto, size)
    target.give(HERE_MAC + PEER_MAC + b"\x08\x00" + far + bytes(size))
    assert target.counters["ip_forwarded"] == 1


def test_neighbors_of_nobody_else_can_be_spoofed_from_afar() -> None:
    target = Target6()
    neighbors = target.interface.neighbors
    assert neighbors is not None
    known = neighbors.find(PEER)
    assert known is not None
    assert known.mac == PEER_MAC
    for message in (
        nd.pack_neighbor_advertisement(
            PEER, HERE, PEER, mac=OTHER_MAC, router=False, solicited=True, override=True
        ),
        nd.pack_neighbor_solicitation(PEER, HERE, HERE, source_mac=OTHER_MAC),
    ):
        for ttl in (0, 1, 64, 254):
            target.give(frame6(packet6([], 58, message, src=PEER, dst=HERE, ttl=ttl)))
    assert known.mac == PEER_MAC
    assert target.counters["nd_bad_hop_limit"] == 8


@given(st.lists(st.binary(max_size=120), max_size=20))
def test_any_bytes_at_all_are_taken_and_counted(frames: list[bytes]) -> None:
    target = Bench6()
    for number, data in enumerate(frames, 1):
        target.arrive(HERE_MAC + PEER_MAC + b"\x86\xdd" + data)
        target.arrive(HERE_MAC + PEER_MAC + b"\x86\xdd\x60" + data)
        header = ipv6.pack_header(PEER, HERE, data[0] if data else 0, len(data))
        target.arrive(HERE_MAC + PEER_MAC + b"\x86\xdd" + header + data)
        assert target.counters["frames_in"] == 3 * number
        accepted = sum(target.counters[name] for name in ACCEPTED)
        assert len(target.drops()) + accepted >= 3 * number


@given(
    st.lists(
        st.tuples(
            st.sampled_from(CORPUS6),
            st.lists(st.tuples(st.integers(0, 130), st.integers(0, 255)), max_size=4),
            st.booleans(),
            st.sampled_from([0.0, 0.5, 61.0]),
        ),
        max_size=12,
    )
)
def test_good_frames_with_some_bytes_changed_raise_nothing(
    frames: list[tuple[bytes, list[tuple[int, int]], bool, float]],
) -> None:
    target = Target6()
    for frame, changes, mended, after_s in frames:
        data = bytearray(frame)
        for at, value in changes:
            data[at % len(data)] = value
        target.give(mended6(data) if mended else bytes(data), after_s=after_s)
    target.check_bounds()
