"""A host on an emulated TUN device, and time that runs only when the script wants it to.

The device has one station on its other side, the gateway: it answers whoever looks for it (ARP,
neighbor discovery), and is where the script's packets come from. What the host sends is kept, with
its instant, until the script asks for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pystack.core.addresses import (
    Ip,
    Mac,
    Prefix,
    is_multicast,
    is_v6,
    multicast_mac,
    solicited_node,
)
from pystack.core.scheduler import Scheduler
from pystack.link.port import PortBase
from pystack.stack.host import Host
from pystack.testing.packetdrill.cookies import LinuxCookies
from pystack.testing.packetdrill.settings import Settings
from pystack.wire import arp, ethernet, icmpv6, ip, ipv6, nd
from pystack.wire.frame import Frame
from pystack.wire.packet import Packet as IpPacket

START: Final = 1000.0  # the world's time at the script's zero; exact in a float
# Of Fast Open, where nothing sets tcp_fastopen_key: that of the public collections
USUAL_KEY: Final = bytes.fromhex("a1a1a1a1b2b2b2b2c3c3c3c3d4d4d4d4")
_PREFIX_BITS: Final = 16
_PREFIX_BITS6: Final = 48
_MAC: Final = Mac(b"\x02\0\0\0\0\x02")
_GATEWAY_MAC: Final = Mac(b"\x02\0\0\0\0\x01")


@dataclass(slots=True)
class Sent:
    """A packet that the host has sent."""

    at: float
    packet: IpPacket


class _Tun(PortBase):
    """The device's port: who looks for the gateway is answered here, packets go to the world."""

    def __init__(self, scheduler: Scheduler, gateway: Ip, mtu_bytes: int) -> None:
        super().__init__(mtu_bytes)
        self.sent: deque[Sent] = deque()
        self._scheduler = scheduler
        self._gateway = gateway

    def send(self, frame: Frame, now: float) -> None:
        """Keep a packet; answer whoever asks for the gateway."""
        data = memoryview(frame.data)
        kind = int.from_bytes(data[ethernet.TYPE], "big")
        payload = data[ethernet.HEADER_BYTES :]
        if kind in (ethernet.IPV4, ethernet.IPV6):
            packet = ip.parse(payload)
            if not self._is_discovery(packet, now):
                self.sent.append(Sent(now, packet))
        elif kind == ethernet.ARP:
            asked = arp.parse(payload)
            if asked.op == arp.REQUEST and asked.tpa == self._gateway:
                reply = arp.pack(arp.REPLY, _GATEWAY_MAC, asked.tpa, asked.spa, asked.sha)
                self._scheduler.post(now, self._deliver_arp, reply)

    def _is_discovery(self, packet: IpPacket, now: float) -> bool:
        """Answer questions for the gateway; tell whether this was one, or an answer."""
        if packet.proto != ipv6.ICMPV6:
            return False
        kind = packet.payload[0]
        if kind == icmpv6.NEIGHBOR_SOLICITATION:
            answer = nd.pack_neighbor_advertisement(
                self._gateway,
                packet.src,
                self._gateway,
                mac=_GATEWAY_MAC,
                router=True,
                solicited=True,
                override=True,
            )
            self._scheduler.post(now, self._deliver_discovery, (packet.src, answer))
        return kind in (icmpv6.NEIGHBOR_SOLICITATION, icmpv6.NEIGHBOR_ADVERTISEMENT)

    def deliver(self, packet: bytes, now: float) -> None:
        """Let an IP packet arrive at the host."""
        kind = ethernet.IPV6 if packet[0] >> 4 == 6 else ethernet.IPV4
        self.sink(Frame(ethernet.HEADER.pack(_MAC, _GATEWAY_MAC, kind) + packet), now)

    def _deliver_arp(self, packet: bytes, now: float) -> None:
        self.sink(Frame(ethernet.HEADER.pack(_MAC, _GATEWAY_MAC, ethernet.ARP) + packet), now)

    def _deliver_discovery(self, what: tuple[Ip, bytes], now: float) -> None:
        dst, message = what
        mac = multicast_mac(dst) if is_multicast(dst) else _MAC
        header = ipv6.pack_header(self._gateway, dst, ipv6.ICMPV6, len(message), ttl=255)
        self.sink(
            Frame(ethernet.HEADER.pack(mac, _GATEWAY_MAC, ethernet.IPV6) + header + message), now
        )

    def introduce(self, address: Ip, now: float) -> None:
        """Let the host know the gateway's station before it has to ask."""
        if is_v6(address):
            group = solicited_node(address)
            request = nd.pack_neighbor_solicitation(
                self._gateway, group, address, source_mac=_GATEWAY_MAC
            )
            self._deliver_discovery((group, request), now)
        else:
            request = arp.pack(arp.REQUEST, _GATEWAY_MAC, self._gateway, address)
            self._deliver_arp(request, now)
        self.sent.clear()


class World:
    """The host, its device, and the time."""

    def __init__(self, settings: Settings) -> None:
        self.scheduler = Scheduler(START)
        local = settings.local_ip
        prefix = Prefix.of(local, _PREFIX_BITS6 if is_v6(local) else _PREFIX_BITS)
        gateway = Ip(local ^ 0xFE)  # some other address on the link
        self._tun = _Tun(self.scheduler, gateway, settings.mtu_bytes)
        self.host = Host("packetdrill", self.scheduler, settings.seed)
        self.host.add_interface("tun0", self._tun, local, prefix, _MAC)
        self._tun.introduce(local, START)
        self.host.set_gateway(gateway)
        self.cookies = LinuxCookies(USUAL_KEY)
        self.host.tcp.fast_open = self.cookies
        # Asked after each thing that has happened; True: time is to stand here.
        self.on_step: Callable[[], bool] | None = None

    @property
    def now(self) -> float:
        """Return the world's time."""
        return self.scheduler.now

    @property
    def elapsed_s(self) -> float:
        """Return the script's time."""
        return self.scheduler.now - START

    @property
    def sent(self) -> deque[Sent]:
        """Return what was sent and not asked for yet, oldest first."""
        return self._tun.sent

    def set_mtu(self, mtu_bytes: int) -> None:
        """Let the device have another MTU from now on."""
        self._tun.mtu_bytes = mtu_bytes
        interface = self.host.interfaces[-1]
        interface.mtu_bytes = interface.mtu6_bytes = mtu_bytes
        self.host.routes.forget()  # ways remember it

    def run_until(self, elapsed_s: float) -> None:
        """Let all happen up to a time of the script."""
        until = START + elapsed_s
        while True:
            self.scheduler.run_due(until, self._stop)
            if self.scheduler.next_at() > until:
                break
        self.scheduler.advance(until)

    def run_to_next_packet(self, limit_s: float) -> Sent | None:
        """Return the next packet, for which time runs up to `limit_s`; None: none was sent."""
        until = START + limit_s
        while not self.sent:
            if self.scheduler.next_at() > until:
                return None
            self.scheduler.run_due(until, self._stop)
        return self.sent.popleft()

    def settle(self) -> None:
        """Let happen what is due at this very instant."""
        self.run_until(self.elapsed_s)

    def deliver(self, packet: bytes) -> None:
        """Let an IP packet arrive now."""
        self._tun.deliver(packet, self.now)
        self.settle()

    def close(self) -> None:
        """End: no timer is left."""
        self.host.close()

    def _stop(self) -> bool:
        if self.on_step is not None:
            self.on_step()
        return bool(self.sent)
