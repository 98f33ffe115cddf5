"""A host with IPv6 on a port that keeps what it sends: `stack_bench` for the other version."""

from typing import Final

from packets6 import Header, packet6
from stack_bench import HERE_MAC, PEER_MAC, Bench, frame_of

from pystack.core.addresses import (
    LOOPBACK6,
    Ip,
    Mac,
    Prefix,
    multicast_mac,
    parse_ip6,
    solicited_node,
)
from pystack.wire import ethernet, icmpv6, ipv6, nd, udp
from pystack.wire.icmp import IcmpMessage
from pystack.wire.packet import Packet

HERE: Final = parse_ip6("fd00::1")
PEER: Final = parse_ip6("fd00::2")
ROUTER: Final = parse_ip6("fe80::fe")
FAR: Final = parse_ip6("2001:db8::9")  # behind the router
HERE_LINK: Final = parse_ip6("fe80::1")
PEER_LINK: Final = parse_ip6("fe80::2")
ALL_NODES: Final = parse_ip6("ff02::1")
NOBODY: Final = parse_ip6("::")


class Bench6(Bench):
    """One host at fd00::1/64 and fe80::1 beside its IPv4 address."""

    def __init__(self, *, mtu_bytes: int = 1500, address: Ip = HERE, length: int = 64) -> None:
        super().__init__(mtu_bytes=mtu_bytes)
        host = self.host
        host.add_address(host.interfaces[0], LOOPBACK6, Prefix.of(LOOPBACK6, 128))
        host.add_address(self.interface, HERE_LINK, Prefix.of(HERE_LINK, 64))
        host.add_address(self.interface, address, Prefix.of(address, length))
        self.zone = self.interface.index
        self.address = address

    def know(self, *stations: Ip, mac: Mac = PEER_MAC) -> None:
        """Let the host learn where stations are (the entries are STALE then)."""
        for station in stations or (PEER, PEER_LINK):
            self.arrive(solicitation_frame(station, self.address, mac=mac))
        self.taken()

    def join6(self, group: Ip) -> None:
        """Let the host be in a group, reports and all done."""
        self.host.groups.join(self.interface, group, self.scheduler.now)
        self.run(self.scheduler.now + 60.0)
        self.know()

    def taken6(self) -> list[Packet]:
        """Return the IPv6 packets sent since the last time."""
        return [
            ipv6.parse(memoryview(frame.data)[ethernet.HEADER_BYTES :])
            for frame in self.taken()
            if frame.data[12:14] == b"\x86\xdd"
        ]

    def taken_icmp6(self) -> list[IcmpMessage]:
        """Return the messages among them that are no Neighbor Discovery, checksums verified."""
        messages = [icmpv6.parse(packet) for packet in self.taken6() if packet.proto == 58]
        return [message for message in messages if message.kind not in range(133, 138)]


def frame6(packet: bytes, *, dst: bytes | None = None, src: bytes = PEER_MAC) -> bytes:
    """Return a packet in a frame, for the host or for the stations of its group."""
    if dst is None:
        to = ipv6.parse(memoryview(packet)).dst
        dst = multicast_mac(to) if packet[24] == 0xFF else HERE_MAC
    return frame_of(packet, dst=dst, src=src, ethertype=ethernet.IPV6)


def datagram6(
    payload: bytes,
    *,
    src: int = PEER,
    dst: int = HERE,
    dst_port: int = 7,
    headers: list[Header] | None = None,
) -> bytes:
    """Return a datagram from port 5000 in its packet."""
    data = udp.pack(src, dst, 5000, dst_port, payload)
    return packet6(headers or [], 17, data, src=src, dst=dst)


def icmp6(
    kind: int,
    code: int = 0,
    rest: int = 0,
    payload: bytes = b"",
    *,
    src: int = PEER,
    dst: int = HERE,
    ttl: int = 64,
    headers: list[Header] | None = None,
) -> bytes:
    """Return an ICMPv6 message in its packet."""
    message = icmpv6.pack(src, dst, kind, code, rest, payload)
    return packet6(headers or [], 58, message, src=src, dst=dst, ttl=ttl)


def message6(message: bytes, src: int, dst: int, ttl: int = 255) -> bytes:
    """Return a message that is packed already in its packet."""
    return packet6([], 58, message, src=src, dst=dst, ttl=ttl)


def solicitation_frame(src: Ip, target: Ip, *, mac: Mac = PEER_MAC) -> bytes:
    """Return the question of a station for an address."""
    group = solicited_node(target)
    message = nd.pack_neighbor_solicitation(src, group, target, source_mac=mac)
    return frame6(message6(message, src, group), src=mac)
