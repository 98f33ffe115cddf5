"""A host on two links with the same stations on both: link-local addresses do not get mixed up."""

from typing import Final

import pytest
from discovery_bench import frame6
from packets6 import fragment, packet6
from stack_bench import HERE_MAC, OTHER_MAC, PEER_MAC, FakePort
from stack_bench6 import Bench6, icmp6
from tcp_frames import segment_in

from pystack.core.addresses import (
    LINK_LOCAL6,
    Ip,
    Prefix,
    multicast_mac,
    parse_ip6,
    solicited_node,
    with_zone,
    without_zone,
)
from pystack.stack.ports import ANY
from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.states import TcpState
from pystack.wire import icmpv6, nd, tcp, tcp_options
from pystack.wire.frame import Frame
from pystack.wire.tcp import ACK, PSH, RST, SYN, Segment
from pystack.wire.tcp_options import TcpOptions

HERE: Final = parse_ip6("fe80::1")  # on both
PEER: Final = parse_ip6("fe80::2")  # on both
ISS: Final = 2**32 - 100
LINKS: Final = (2, 3)  # their zones


class TwoLinks(Bench6):
    """The host of the bench, with a second link like the first."""

    def __init__(self, *, forwarding: bool = False) -> None:
        super().__init__()
        self.host.forwarding = forwarding
        self.port2 = FakePort()
        address = with_zone(HERE, 3)
        second = self.host.add_interface("eth1", self.port2, address, LINK_LOCAL6, HERE_MAC)
        assert [self.interface.index, second.index] == list(LINKS)
        for zone, mac in zip(LINKS, (PEER_MAC, OTHER_MAC), strict=True):
            group = solicited_node(HERE)
            asked = nd.pack_neighbor_solicitation(PEER, group, HERE, source_mac=mac)
            self.put(zone, frame6(PEER, group, asked, mac=mac, dst_mac=multicast_mac(group)))
            self.out(zone)

    def put(self, zone: int, data: bytes) -> None:
        port = {2: self.port, 3: self.port2}[zone]
        now = self.scheduler.now
        port.sink(Frame(data), now)
        self.scheduler.run_due(now)

    def out(self, zone: int) -> list[Frame]:
        port = {2: self.port, 3: self.port2}[zone]
        frames = [frame for _, frame in port.sent]
        port.sent.clear()
        return frames

    def segment(self, zone: int, segment: Segment, src: Ip = PEER, dst: Ip = HERE) -> None:
        text = tcp.pack_header(segment, src, dst) + bytes(segment.payload)
        self.put(zone, frame6(src, dst, text, proto=6, ttl=64))


def opened(bench: TwoLinks, zone: int) -> TcpSocket:
    """Open a connection from the peer's port 5000 on a link."""
    packed = tcp_options.pack(TcpOptions(mss=1440))
    bench.segment(zone, Segment(5000, 80, ISS, 0, SYN, 65535, packed, b""))
    (frame,) = bench.out(zone)
    ack = segment_in(frame).seq + 1 & 0xFFFFFFFF
    bench.segment(zone, Segment(5000, 80, ISS + 1, ack, ACK, 65535, b"", b""))
    (socket,) = [each for each in bench.host.tcp if each.way.interface.index == zone]
    assert socket.connection.state is TcpState.ESTABLISHED
    return socket


@pytest.fixture
def bench() -> TwoLinks:
    bench = TwoLinks()
    bench.host.tcp.listen(ANY, 80)
    return bench


@pytest.mark.rfc("4007", "5")
def test_the_same_ends_on_two_links_are_two_connections(bench: TwoLinks) -> None:
    sockets = {zone: opened(bench, zone) for zone in LINKS}
    for zone, socket in sockets.items():
        ack = socket.connection.tcb.snd_nxt & 0xFFFFFFFF
        text = b"by %d" % zone
        bench.segment(zone, Segment(5000, 80, ISS + 1, ack, ACK | PSH, 65535, b"", text))
    for zone, socket in sockets.items():
        assert bench.host.tcp.read(socket, 100, 0.0) == b"by %d" % zone
        assert (socket.local, socket.remote) == (with_zone(HERE, zone), with_zone(PEER, zone))


@pytest.mark.rfc("4007", "9")
def test_a_reset_of_one_link_ends_no_connection_of_the_other(bench: TwoLinks) -> None:
    socket = opened(bench, 2)
    tcb = socket.connection.tcb
    for _ in range(3):
        bench.segment(3, Segment(5000, 80, ISS + 1, 0, RST, 0, b"", b""))
        ack = tcb.snd_nxt & 0xFFFFFFFF
        bench.segment(3, Segment(5000, 80, ISS + 1, ack, ACK | PSH, 65535, b"", b"forged"))
    assert socket.connection.state is TcpState.ESTABLISHED
    assert bench.host.tcp.read(socket, 100, 0.0) == b""
    # What was no connection's there was answered there, and with a reset.
    assert bench.out(2) == []
    assert {segment_in(frame).flags & RST for frame in bench.out(3)} == {RST}


@pytest.mark.rfc("4443", "2.4")
@pytest.mark.parametrize(("zone", "concerned"), [(2, True), (3, False)])
def test_errors_of_one_link_concern_no_connection_of_the_other(
    bench: TwoLinks, zone: int, concerned: bool
) -> None:
    socket = opened(bench, 2)
    bench.host.tcp.write(socket, memoryview(bytes(1440)), 0.0)
    (frame,) = bench.out(2)
    quoted = frame.data[14 : 14 + 1200]
    error = icmpv6.pack(PEER, HERE, icmpv6.PACKET_TOO_BIG, 0, 1280, quoted)
    bench.put(zone, frame6(PEER, HERE, error, ttl=64))
    assert (socket.connection.tcb.snd_mss < 1440) == concerned
    assert bench.counters["tcp_error_unclaimed"] == (not concerned)
    assert len(bench.host.tcp.path_mtus) == concerned


@pytest.mark.rfc("4291", "2.5.6")
@pytest.mark.parametrize("forwarding", [False, True])
def test_nothing_of_one_link_gets_to_the_other(forwarding: bool) -> None:
    bench = TwoLinks(forwarding=forwarding)
    alone = parse_ip6("fe80::77")  # ours, on the second link only
    second = bench.host.interfaces[2]
    bench.host.add_address(second, alone, Prefix.of(alone, 64))
    for src in (PEER, parse_ip6("fd00::2")):
        bench.put(2, frame6(src, alone, icmp6(icmpv6.ECHO, src=src, dst=alone)[40:], ttl=64))
    assert bench.counters["icmp6_echoes"] == 0
    assert bench.out(3) == []
    request = icmp6(icmpv6.ECHO, src=PEER, dst=alone)[40:]
    bench.put(3, frame6(PEER, alone, request, ttl=64))
    assert bench.counters["icmp6_echoes"] == 1
    (reply,) = bench.out(3)
    assert reply.data[:6] == OTHER_MAC


@pytest.mark.rfc("4861", "7.2.5")
def test_neighbors_of_one_link_are_not_moved_by_the_other(bench: TwoLinks) -> None:
    tables = [interface.neighbors for interface in bench.host.interfaces[1:]]
    before = [
        table and table.peek(with_zone(PEER, zone))
        for table, zone in zip(tables, LINKS, strict=True)
    ]
    assert before == [PEER_MAC, OTHER_MAC]
    group = solicited_node(HERE)
    stranger = HERE_MAC[:5] + b"\x99"
    asked = nd.pack_neighbor_solicitation(PEER, group, HERE, source_mac=stranger)  # type: ignore[arg-type]
    bench.put(3, frame6(PEER, group, asked, mac=stranger, dst_mac=multicast_mac(group)))
    first, second = tables
    assert first is not None
    assert second is not None
    assert first.peek(with_zone(PEER, 2)) == PEER_MAC
    assert second.peek(with_zone(PEER, 3)) == stranger
    assert all(without_zone(entry.address) == PEER for entry in first.entries(0.0))


@pytest.mark.rfc("8200", "4.5")
def test_fragments_of_two_links_make_no_packet_together(bench: TwoLinks) -> None:
    whole = icmpv6.pack(PEER, HERE, icmpv6.ECHO, 0, 1, bytes(24))
    first = packet6([fragment(0, more=True)], 58, whole[:16], src=PEER, dst=HERE)
    last = packet6([fragment(2, more=False)], 58, whole[16:], src=PEER, dst=HERE)
    bench.put(2, frame6(PEER, HERE, first[40:], proto=44, ttl=64))
    bench.put(3, frame6(PEER, HERE, last[40:], proto=44, ttl=64))
    assert len(bench.host.reassembly) == 2
    assert bench.counters["icmp6_echoes"] == 0
    bench.put(2, frame6(PEER, HERE, last[40:], proto=44, ttl=64))
    assert bench.counters["icmp6_echoes"] == 1


@pytest.mark.parametrize(
    "src", ["::1", "::ffff:10.0.0.2", "ff02::1", "ff0e::9", "::", "fe80::1", "fd00::1"]
)
def test_no_packet_comes_from_an_address_that_no_station_there_has(
    bench: TwoLinks, src: str
) -> None:
    address = parse_ip6(src)
    for dst in (HERE, parse_ip6("fd00::1"), parse_ip6("ff02::1")):
        mac = multicast_mac(dst) if dst >> 120 & 0xFF == 0xFF else HERE_MAC
        bench.put(
            2, frame6(address, dst, icmp6(icmpv6.ECHO, src=address, dst=dst)[40:], dst_mac=mac)
        )
        segment = Segment(5000, 80, ISS, 0, SYN, 65535, b"", b"")
        text = tcp.pack_header(segment, address, dst)
        bench.put(2, frame6(address, dst, text, proto=6, dst_mac=mac))
    assert len(bench.host.tcp) == 0
    assert bench.out(2) == bench.out(3) == []
