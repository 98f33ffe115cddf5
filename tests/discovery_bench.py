"""The bench of `stack_bench.py` for IPv6: what a link says to a host, and what the host says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from stack_bench import HERE_MAC, PEER_MAC, Bench

from pystack.core.addresses import (
    ALL_NODES6,
    LINK_LOCAL6,
    UNSPECIFIED6,
    Ip,
    Mac,
    Prefix,
    format_ip,
    is_multicast,
    multicast_mac,
    parse_ip6,
    parse_prefix,
    solicited_node,
    with_zone,
)
from pystack.observe.observer import AddressChanged
from pystack.stack.interface import InterfaceAddress
from pystack.stack.ip6_config import Ip6Config
from pystack.wire import ethernet, icmpv6, ipv6, ipv6_ext, mld, nd
from pystack.wire.icmp import IcmpMessage
from pystack.wire.packet import Packet

HERE6: Final = parse_ip6("fd00::1")
PEER6: Final = parse_ip6("fd00::2")
FAR6: Final = parse_ip6("2001:db8::9")
NET6: Final = parse_prefix("fd00::/64")
HERE_LINK: Final = parse_ip6("fe80::1")
PEER_LINK: Final = parse_ip6("fe80::2")
ROUTER: Final = parse_ip6("fe80::f1")
OTHER_ROUTER: Final = parse_ip6("fe80::f2")
ZONE: Final = 2  # of eth0, behind the loopback
ROUTER_MAC: Final = Mac(bytes.fromhex("0200000000f1"))
OTHER_ROUTER_MAC: Final = Mac(bytes.fromhex("0200000000f2"))
FOR_EVER: Final = nd.FOR_EVER


def zoned(address: Ip) -> Ip:
    return with_zone(address, ZONE)


@dataclass(frozen=True)
class Said:
    """A message of ICMPv6 that the host sent."""

    at: float
    dst_mac: bytes
    packet: Packet
    message: IcmpMessage

    @property
    def kind(self) -> int:
        return self.message.kind

    @property
    def src(self) -> Ip:
        return self.packet.src

    @property
    def dst(self) -> Ip:
        return self.packet.dst


class DiscoveryBench(Bench):
    """The host at fe80::1 and fd00::1/64 (`addresses=()`: with none of IPv6)."""

    def __init__(
        self,
        addresses: Sequence[tuple[Ip, Prefix]] = ((HERE_LINK, LINK_LOCAL6), (HERE6, NET6)),
        mtu_bytes: int = 1500,
        **config: object,
    ) -> None:
        super().__init__(mtu_bytes=mtu_bytes)
        for address, prefix in addresses:
            self.host.add_address(self.interface, address, prefix)
        self.discovery = self.host.discovery
        self.discovery.config = replace(Ip6Config(), **config)  # type: ignore[arg-type]
        assert self.interface.neighbors is not None
        self.neighbors = self.interface.neighbors

    def hear(
        self,
        src: Ip,
        dst: Ip,
        message: bytes,
        *,
        at: float | None = None,
        ttl: int = nd.HOP_LIMIT,
        mac: bytes = PEER_MAC,
    ) -> None:
        """Let a message of ICMPv6 arrive."""
        self.arrive(frame6(src, dst, message, ttl=ttl, mac=mac), at=at)

    def asked(
        self,
        target: Ip = HERE6,
        src: Ip = PEER6,
        *,
        dst: Ip | None = None,
        mac: Mac | None = PEER_MAC,
        nonce: bytes = b"",
        at: float | None = None,
        ttl: int = nd.HOP_LIMIT,
    ) -> None:
        """Let a neighbor solicitation arrive; without `mac`, a probe has no source option."""
        dst = solicited_node(target) if dst is None else dst
        option = None if src == UNSPECIFIED6 else mac
        message = nd.pack_neighbor_solicitation(src, dst, target, source_mac=option, nonce=nonce)
        self.hear(src, dst, message, at=at, ttl=ttl)

    def answered(
        self,
        target: Ip = PEER6,
        *,
        dst: Ip = HERE6,
        mac: Mac | None = PEER_MAC,
        router: bool = False,
        solicited: bool = True,
        override: bool = True,
        at: float | None = None,
        ttl: int = nd.HOP_LIMIT,
    ) -> None:
        """Let a neighbor advertisement arrive."""
        message = nd.pack_neighbor_advertisement(
            target, dst, target, mac=mac, router=router, solicited=solicited, override=override
        )
        self.hear(target, dst, message, at=at, ttl=ttl)

    def advertised(
        self,
        router: Ip = ROUTER,
        *,
        mac: Mac | None = ROUTER_MAC,
        lifetime_s: int = 1800,
        preference: int = 0,
        at: float | None = None,
        ttl: int = nd.HOP_LIMIT,
        hop_limit: int = 0,
        reachable_ms: int = 0,
        retrans_ms: int = 0,
        **options: object,
    ) -> None:
        """Let a router advertisement arrive."""
        said = nd.RouterAdvertisement(
            hop_limit,
            preference=preference,
            lifetime_s=lifetime_s,
            reachable_ms=reachable_ms,
            retrans_ms=retrans_ms,
            options=nd.NdOptions(source_mac=mac, **options),  # type: ignore[arg-type]
        )
        message = nd.pack_router_advertisement(router, ALL_NODES6, said)
        self.hear(router, ALL_NODES6, message, at=at, ttl=ttl, mac=mac or ROUTER_MAC)

    def said(self, *kinds: int) -> list[Said]:
        """Return the ICMPv6 messages sent since the last time, all or of these kinds."""
        found = []
        for at, frame in self.port.sent:
            if frame.data[12:14] != ethernet.IPV6.to_bytes(2, "big"):
                continue
            packet = ipv6.parse(memoryview(frame.data)[14:])
            if packet.proto == ipv6.ICMPV6:
                message = icmpv6.parse(packet)
                if not kinds or message.kind in kinds:
                    found.append(Said(at, frame.data[:6], packet, message))
        self.port.sent.clear()
        return found

    def solicitations(self) -> list[tuple[float, str, bytes]]:
        """Return when stations were asked for, which, and whom: (at, target, MAC)."""
        found = self.said(icmpv6.NEIGHBOR_SOLICITATION)
        return [
            (
                each.at,
                format_ip(nd.parse_neighbor_solicitation(each.packet, each.message).target),
                each.dst_mac,
            )
            for each in found
        ]

    def states(self) -> list[tuple[str, str]]:
        """Return the IPv6 addresses of the interface, each with its state."""
        own = [each for each in self.interface.addresses if each.prefix.is_v6]
        return [(format_ip(each.address), each.state.value) for each in own]

    def automatic(self) -> list[InterfaceAddress]:
        return [own for own in self.interface.addresses if own.is_automatic]

    def address_changes(self) -> list[tuple[float, str, str]]:
        return [
            (event.at, event.old, event.new)
            for event in self.events
            if isinstance(event, AddressChanged)
        ]

    def routes(self) -> list[str]:
        return str(self.host.routes).splitlines()


def frame6(
    src: Ip,
    dst: Ip,
    payload: bytes,
    *,
    proto: int = ipv6.ICMPV6,
    ttl: int = nd.HOP_LIMIT,
    mac: bytes = PEER_MAC,
    dst_mac: bytes | None = None,
) -> bytes:
    """Return a frame with a packet of IPv6, to the station or the stations of `dst`."""
    header = ipv6.pack_header(src, dst, proto, len(payload), ttl=ttl)
    if dst_mac is None:
        dst_mac = multicast_mac(dst) if is_multicast(dst) else HERE_MAC
    return ethernet.pack(dst_mac, mac, ethernet.IPV6, header + payload)


def mld_frame(src: Ip, dst: Ip, message: bytes, *, ttl: int = mld.HOP_LIMIT) -> bytes:
    """Return a frame with a message of MLD behind its Router Alert."""
    payload = mld.ROUTER_ALERT + message
    return frame6(src, dst, payload, proto=ipv6_ext.HOP_BY_HOP, ttl=ttl)


def prefix_said(
    text: str = "2001:db8:1::/64",
    *,
    on_link: bool = True,
    autonomous: bool = True,
    valid_s: int = 2_592_000,
    preferred_s: int = 604_800,
) -> nd.PrefixInformation:
    return nd.PrefixInformation(
        parse_prefix(text),
        on_link=on_link,
        autonomous=autonomous,
        valid_s=valid_s,
        preferred_s=preferred_s,
    )
