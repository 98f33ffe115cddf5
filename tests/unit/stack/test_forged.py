"""Packets that cannot be what they say they are: each is counted by name and answered by nothing.

LAND (our own address as the source), sources that are nobody's or many's, loopback addresses on a
link: to a host and to a router, with all that a host would answer in them.
"""

import pytest
from stack_bench import (
    GROUP,
    HERE,
    HERE_MAC,
    OTHER_MAC,
    PEER,
    PEER_MAC,
    SUBNET_BROADCAST,
    Bench,
    FakePort,
    frame_of,
    ip_packet,
)

from pystack.core.addresses import (
    BROADCAST_MAC,
    LIMITED_BROADCAST,
    LOOPBACK,
    UNSPECIFIED,
    Ip4,
    Mac,
    parse_interface_address,
    parse_ip4,
)
from pystack.tcp.states import TcpState
from pystack.wire import icmp, ipv4, tcp, udp
from pystack.wire.frame import Frame

SECOND = parse_ip4("10.1.0.1")  # the host's own, on another link
BEHIND = parse_ip4("10.1.0.2")
SECOND_BROADCAST = parse_ip4("10.1.0.255")
NOBODY = parse_ip4("0.0.0.7")
RESERVED = parse_ip4("240.0.0.1")
OTHER_LOOPBACK = parse_ip4("127.9.9.9")
GROUP_MAC = bytes.fromhex("01005e0000fb")


def make(*, forwarding: bool) -> tuple[Bench, FakePort]:
    """Return a host on two links with a port open for each protocol, and its second port."""
    bench = Bench()
    bench.host.forwarding = forwarding
    port = FakePort(1500)
    address = parse_interface_address("10.1.0.1/24")
    bench.host.add_interface("eth1", port, *address, Mac(OTHER_MAC))
    bench.host.set_gateway(PEER)
    bench.know_peer()
    bench.host.tcp.listen(UNSPECIFIED, 80)
    bench.host.udp.bind(UNSPECIFIED, 7)
    bench.join(GROUP)
    return bench, port


def bodies(src: int, dst: int, port: int = 80) -> dict[str, tuple[bytes, int]]:
    def segment(flags: int, payload: bytes = b"") -> bytes:
        made = tcp.Segment(port, 80, 7, 9, flags, 1000, b"", payload)
        return tcp.pack_header(made, src, dst) + payload

    quoted = ip_packet(udp.pack(HERE, PEER, 7, 5000, b"abc"), src=HERE, dst=PEER)
    return {
        "SYN": (segment(tcp.SYN), ipv4.TCP),
        "ACK": (segment(tcp.ACK, b"x"), ipv4.TCP),
        "RST": (segment(tcp.RST), ipv4.TCP),
        "datagram": (udp.pack(src, dst, 7, 7, b"x"), ipv4.UDP),
        "to a closed port": (udp.pack(src, dst, 7, 9, b"x"), ipv4.UDP),
        "echo": (icmp.pack(icmp.ECHO, 0, 1, b"x"), ipv4.ICMP),
        "timestamp": (icmp.pack(icmp.TIMESTAMP, 0, 1, bytes(12)), ipv4.ICMP),
        "error": (icmp.pack(icmp.DESTINATION_UNREACHABLE, 3, 0, quoted), ipv4.ICMP),
        "unknown protocol": (b"data", 253),
    }


KINDS = tuple(bodies(PEER, HERE))
FORGED_SOURCES = {
    "LAND": (HERE, "ip_martian"),
    "our other address": (SECOND, "ip_martian"),
    "loopback": (LOOPBACK, "ip_martian"),
    "another loopback": (OTHER_LOOPBACK, "ip_martian"),
    "the link's broadcast": (SUBNET_BROADCAST, "ip_bad_source"),
    "another link's broadcast": (SECOND_BROADCAST, "ip_bad_source"),
    "everybody": (LIMITED_BROADCAST, "ip_bad_source"),
    "a group": (GROUP, "ip_bad_source"),
    "nobody": (UNSPECIFIED, "ip_bad_source"),
    "this network": (NOBODY, "ip_bad_source"),
    "reserved": (RESERVED, "ip_bad_source"),
}


@pytest.mark.rfc("1122", "3.2.1.3")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [b"", b"\1\1\1\0"], ids=["plain", "with options"])
@pytest.mark.parametrize("forwarding", [False, True], ids=["host", "router"])
@pytest.mark.parametrize(("src", "reason"), FORGED_SOURCES.values(), ids=FORGED_SOURCES)
def test_a_forged_source_is_counted_and_nobody_is_answered(
    src: Ip4, reason: str, forwarding: bool, options: bytes, kind: str
) -> None:
    bench, far = make(forwarding=forwarding)
    body, proto = bodies(src, HERE)[kind]
    header = ipv4.pack_header(src, HERE, proto, len(body), options=options)
    bench.arrive(frame_of(header + body))
    bench.run(5.0)
    assert bench.drops() == [reason]
    assert bench.taken() == []
    assert far.sent == []
    assert len(bench.host.tcp) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("src", "reason"),
    [
        (HERE, "forward_own_source"),
        (SECOND, "forward_own_source"),
        (LOOPBACK, "forward_bad_source"),
        (SUBNET_BROADCAST, "forward_bad_source"),
        (SECOND_BROADCAST, "forward_bad_source"),
        (LIMITED_BROADCAST, "forward_bad_source"),
        (GROUP, "forward_bad_source"),
        (UNSPECIFIED, "forward_bad_source"),
        (NOBODY, "forward_bad_source"),
        (RESERVED, "forward_bad_source"),
    ],
)
@pytest.mark.rfc("1812", "5.3.7")
def test_a_router_passes_none_on(src: Ip4, reason: str, kind: str) -> None:
    bench, far = make(forwarding=True)
    body, proto = bodies(src, BEHIND)[kind]
    for ttl in (64, 1):
        header = ipv4.pack_header(src, BEHIND, proto, len(body), ttl=ttl)
        bench.arrive(frame_of(header + body))
    assert bench.drops() == [reason] * 2
    assert bench.taken() == []
    assert far.sent == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("forwarding", [False, True], ids=["host", "router"])
@pytest.mark.parametrize("dst", [LOOPBACK, OTHER_LOOPBACK])
def test_a_loopback_address_means_nothing_on_a_link(dst: Ip4, forwarding: bool, kind: str) -> None:
    bench, far = make(forwarding=forwarding)
    body, proto = bodies(PEER, dst)[kind]
    bench.arrive(frame_of(ip_packet(body, proto, dst=dst)))
    reason = "forward_martian" if forwarding and dst == OTHER_LOOPBACK else "ip_martian"
    assert bench.drops() == [reason]
    assert bench.taken() == []
    assert far.sent == []


@pytest.mark.rfc("1122", "3.3.6")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("dst", "mac"),
    [
        (HERE, BROADCAST_MAC),
        (HERE, GROUP_MAC),
        (SUBNET_BROADCAST, BROADCAST_MAC),
        (SUBNET_BROADCAST, HERE_MAC),
        (LIMITED_BROADCAST, BROADCAST_MAC),
        (GROUP, GROUP_MAC),
        (GROUP, HERE_MAC),
    ],
)
def test_what_came_to_many_is_answered_by_nobody(dst: Ip4, mac: bytes, kind: str) -> None:
    bench, far = make(forwarding=False)
    body, proto = bodies(PEER, dst)[kind]
    bench.arrive(frame_of(ip_packet(body, proto, dst=dst), dst=mac))
    bench.run(5.0)
    heard = kind == "datagram" and dst != HERE
    assert len(bench.drops()) == (0 if heard else 1)
    assert bench.taken() == []
    assert far.sent == []
    assert bench.counters["icmp_errors_in"] == 0


def test_a_segment_from_our_own_address_does_not_reach_a_connection_with_ourselves() -> None:
    bench, _ = make(forwarding=False)
    now = bench.scheduler.now
    socket = bench.host.tcp.connect(HERE, 80, now)
    bench.host.tcp.pump(socket, now)
    bench.run(now + 1)
    assert socket.connection.state is TcpState.ESTABLISHED
    own_port, state = socket.connection.local_port, socket.connection.state
    body = tcp.pack_header(tcp.Segment(80, own_port, 7, 9, tcp.RST, 0), HERE, HERE)
    bench.arrive(frame_of(ip_packet(body, ipv4.TCP, src=HERE)))
    assert bench.drops() == ["ip_martian"]
    assert socket.connection.state is state


def test_a_frame_from_a_group_is_nobodys() -> None:
    bench, _ = make(forwarding=True)
    body, proto = bodies(PEER, HERE)["echo"]
    bench.arrive(frame_of(ip_packet(body, proto), src=GROUP_MAC))
    bench.port.sink(Frame(frame_of(ip_packet(body, proto), src=PEER_MAC)), 0.0)
    assert bench.drops() == ["eth_bad_source"]
    assert len(bench.taken()) == 1
