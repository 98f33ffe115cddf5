"""What a rule sees of a frame: names and numbers, as a person would say them.

`lambda packet: packet.flags == "SYN ACK"`. Bytes that are not what they should be leave fields at
None, or empty; nothing here raises.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from pystack.core.addresses import format_ip, format_ip4
from pystack.core.errors import WireError
from pystack.wire import arp, ethernet, icmp, ipv4, ipv6, tcp, udp
from pystack.wire.frame import Frame
from pystack.wire.packet import Packet as IpPacket

_PROTOCOLS: Final = {
    4: {ipv4.TCP: "TCP", ipv4.UDP: "UDP", ipv4.ICMP: "ICMP"},
    6: {ipv4.TCP: "TCP", ipv4.UDP: "UDP", ipv6.ICMPV6: "ICMPv6"},
}
_ETHERTYPES: Final = {ethernet.ARP: "ARP", ethernet.IPV6: "IPv6", ethernet.IPV4: "IPv4"}


class Packet:
    """One frame, parsed as far as it can be."""

    __slots__ = (
        "ack",
        "dst",
        "dst_port",
        "flags",
        "fragment",
        "frame",
        "length",
        "payload",
        "proto",
        "seq",
        "src",
        "src_port",
        "tos",
        "ttl",
        "type",
        "version",
    )

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.length = len(frame.data)  # bytes, Ethernet header included
        # "TCP", "UDP", "ICMP", "ICMPv6", "ARP"; "IPv4" or "IPv6" for another protocol in it; ""
        # for all others
        self.proto = ""
        self.version: int | None = None  # of IP: 4 or 6
        self.src: str | None = None  # the address as text: "10.0.0.1", "fd00::1"
        self.dst: str | None = None
        self.ttl: int | None = None
        self.tos: int | None = None  # DSCP and ECN bits
        self.fragment = False  # less than a whole datagram
        self.src_port: int | None = None  # None where there is none, or in a later fragment
        self.dst_port: int | None = None
        self.flags = ""  # of TCP, "SYN ACK" and the like, in the order of `wire.tcp.flag_names`
        self.seq: int | None = None  # of TCP, as on the wire
        self.ack: int | None = None
        self.type: int | None = None  # of ICMP or ICMPv6
        self.payload = b""  # what TCP, UDP, ICMP or ICMPv6 carry
        with suppress(WireError):  # what was read before the fault is there
            self._parse(memoryview(frame.data))

    def _parse(self, data: memoryview) -> None:
        if len(data) < ethernet.HEADER_BYTES:
            return
        ethertype = ethernet.HEADER.unpack_from(data)[2]
        self.proto = _ETHERTYPES.get(ethertype, "")
        rest = data[ethernet.HEADER_BYTES :]
        if ethertype == ethernet.ARP:
            request = arp.parse(rest)
            self.src, self.dst = format_ip4(request.spa), format_ip4(request.tpa)
        elif ethertype == ethernet.IPV4:
            # Rules are asked before anybody verifies: a wrong checksum hides nothing from them.
            self._parse_ip(ipv4.parse(rest, checksum_good=True))
        elif ethertype == ethernet.IPV6:
            self._parse_ip(ipv6.parse(rest, checksum_good=True))

    def _parse_ip(self, packet: IpPacket) -> None:
        self.version = packet.version
        self.proto = _PROTOCOLS[packet.version].get(packet.proto, f"IPv{packet.version}")
        self.src, self.dst = format_ip(packet.src), format_ip(packet.dst)
        self.ttl, self.tos, self.fragment = packet.ttl, packet.tos, packet.is_fragment
        if packet.fragment_offset_bytes:
            return
        if packet.proto == ipv4.TCP:
            segment = tcp.parse(packet)
            self.src_port, self.dst_port = segment.src_port, segment.dst_port
            self.seq, self.ack = segment.seq, segment.ack
            self.flags = tcp.flag_names(segment.flags)
            self.payload = bytes(segment.payload)
        elif packet.proto == ipv4.UDP and not packet.is_fragment:
            datagram = udp.parse(packet)
            self.src_port, self.dst_port = datagram.src_port, datagram.dst_port
            self.payload = bytes(datagram.payload)
        elif self.proto in ("ICMP", "ICMPv6") and len(packet.payload) >= icmp.HEADER_BYTES:
            self.type = packet.payload[0]
            self.payload = bytes(packet.payload[icmp.HEADER_BYTES :])

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        ports = "" if self.src_port is None else f" {self.src_port}->{self.dst_port}"
        return f"<Packet {self.proto} {self.src}->{self.dst}{ports} {self.flags}>"


Predicate = Callable[[Packet], bool]
