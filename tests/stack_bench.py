"""A host on a port that keeps what it sends: the bench of all tests of a host's layers."""

import struct
from typing import Final

import dpkt

from pystack.core.addresses import (
    BROADCAST_MAC,
    LOOPBACK,
    ZERO_MAC,
    Ip4,
    Mac,
    Prefix,
    parse_interface_address,
    parse_ip4,
)
from pystack.core.scheduler import Scheduler
from pystack.link.port import FrameSink, LoopbackPort
from pystack.observe.observer import Dropped, Event, NeighborChanged
from pystack.stack.groups import UNSOLICITED_REPORT_INTERVAL_S
from pystack.stack.host import Host
from pystack.stack.interface import Interface
from pystack.wire import arp, ethernet, icmp, ipv4, udp
from pystack.wire.frame import Frame

HERE: Final = parse_ip4("10.0.0.1")
PEER: Final = parse_ip4("10.0.0.2")
GATEWAY: Final = parse_ip4("10.0.0.254")
FAR: Final = parse_ip4("192.0.2.9")  # behind the gateway
SUBNET_BROADCAST: Final = parse_ip4("10.0.0.255")
GROUP: Final = parse_ip4("224.0.0.251")

HERE_MAC: Final = Mac(bytes.fromhex("02000000000a"))
PEER_MAC: Final = Mac(bytes.fromhex("02000000000b"))
OTHER_MAC: Final = Mac(bytes.fromhex("02000000000c"))


class FakePort:
    """A port whose other end is the test."""

    gso_max_bytes = 0
    fills_checksums = False
    uso_max_bytes = 0

    def __init__(self, mtu_bytes: int = 1500) -> None:
        self.mtu_bytes = mtu_bytes
        self.sent: list[tuple[float, Frame]] = []
        self.closed = False
        self.sink: FrameSink = lambda _frame, _now: None

    def attach(self, sink: FrameSink) -> None:
        self.sink = sink

    def send(self, frame: Frame, now: float) -> None:
        self.sent.append((now, frame))

    def close(self) -> None:
        self.closed = True


class Bench:
    """One host at 10.0.0.1/24, its observer, and the test's hands on its only link."""

    def __init__(self, address: str = "10.0.0.1/24", *, mtu_bytes: int = 1500) -> None:
        self.scheduler = Scheduler(0.0)
        self.host = Host("here", self.scheduler, seed=1)
        prefix = Prefix.of(LOOPBACK, 8)
        loopback = LoopbackPort(self.scheduler)
        self.host.add_interface("lo", loopback, LOOPBACK, prefix, ZERO_MAC)
        self.port = FakePort(mtu_bytes)
        self.interface: Interface = self.host.add_interface(
            "eth0", self.port, *parse_interface_address(address), HERE_MAC
        )
        self.events: list[Event] = []
        self.host.observers.append(self)

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    @property
    def counters(self) -> dict[str, int]:
        return self.host.counters

    def arrive(self, data: bytes, *, at: float | None = None) -> None:
        """Let a frame arrive, and all happen that is due at that instant."""
        now = self.scheduler.now if at is None else at
        self.scheduler.run_due(now)
        self.port.sink(Frame(data), now)
        self.scheduler.run_due(now)

    def run(self, until: float) -> None:
        self.scheduler.run_due(until)

    def know_peer(self, address: Ip4 = PEER, mac: Mac = PEER_MAC) -> None:
        """Let the host learn where a station is (the entry is STALE then)."""
        self.arrive(arp_frame(arp.REQUEST, mac, address, self.interface.address))
        self.taken()

    def join(self, group: Ip4 = GROUP) -> None:
        """Let the host be in a multicast group, reports and all done."""
        self.host.groups.join(self.interface, group, self.scheduler.now)
        self.run(self.scheduler.now + UNSOLICITED_REPORT_INTERVAL_S)
        self.taken()

    def taken(self) -> list[Frame]:
        """Return the frames sent since the last time."""
        frames = [frame for _, frame in self.port.sent]
        self.port.sent.clear()
        return frames

    def taken_ip(self) -> list[dpkt.ip.IP]:
        """Return the IP packets sent since the last time, as dpkt reads them."""
        packets = [dpkt.ethernet.Ethernet(frame.data).data for frame in self.taken()]
        return [packet for packet in packets if isinstance(packet, dpkt.ip.IP)]

    def taken_arp(self) -> list[tuple[float, arp.ArpPacket]]:
        """Return the ARP packets sent since the last time, and when."""
        found = [
            (at, arp.parse(frame.data[14:]))
            for at, frame in self.port.sent
            if frame.data[12:14] == b"\x08\x06"
        ]
        self.port.sent.clear()
        return found

    def drops(self) -> list[str]:
        """Return the reasons of all that was dropped so far, in order."""
        return [event.reason for event in self.events if isinstance(event, Dropped)]

    def neighbor_changes(self) -> list[tuple[float, str, str]]:
        return [
            (event.at, event.old, event.new)
            for event in self.events
            if isinstance(event, NeighborChanged)
        ]


def frame_of(
    packet: bytes,
    *,
    dst: bytes = HERE_MAC,
    src: bytes = PEER_MAC,
    ethertype: int = ethernet.IPV4,
) -> bytes:
    return ethernet.pack(dst, src, ethertype, packet)


def ip_packet(
    payload: bytes,
    proto: int = ipv4.UDP,
    *,
    src: int = PEER,
    dst: int = HERE,
    ident: int = 7,
    flags_offset: int = 0,
    tos: int = 0,
) -> bytes:
    header = ipv4.pack_header(
        src, dst, proto, len(payload), ident=ident, flags_offset=flags_offset, tos=tos
    )
    return header + payload


def udp_frame(
    payload: bytes,
    *,
    src: int = PEER,
    dst: int = HERE,
    src_port: int = 5000,
    dst_port: int = 7,
    dst_mac: bytes = HERE_MAC,
    src_mac: bytes = PEER_MAC,
) -> bytes:
    datagram = udp.pack(src, dst, src_port, dst_port, payload)
    return frame_of(ip_packet(datagram, src=src, dst=dst), dst=dst_mac, src=src_mac)


def icmp_frame(message: bytes, *, src: int = PEER, dst: int = HERE, mac: bytes = HERE_MAC) -> bytes:
    return frame_of(ip_packet(message, ipv4.ICMP, src=src, dst=dst), dst=mac)


def echo_frame(payload: bytes = b"ping", *, dst: int = HERE, mac: bytes = HERE_MAC) -> bytes:
    return icmp_frame(icmp.pack(icmp.ECHO, 0, 0x00010002, payload), dst=dst, mac=mac)


def arp_frame(
    op: int,
    sha: bytes,
    spa: int,
    tpa: int,
    tha: bytes = ZERO_MAC,
    *,
    dst: bytes = BROADCAST_MAC,
) -> bytes:
    packet = struct.pack("!HHBBH6sI6sI", 1, 0x0800, 6, 4, op, sha, spa, tha, tpa)
    return frame_of(packet, dst=dst, src=sha, ethertype=ethernet.ARP)
