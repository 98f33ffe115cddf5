"""Addresses as the BSD calls have them, of both families, and what they mean below: ip(7), ipv6(7).

A socket of AF_INET6 sees IPv4 as ::ffff:0:0/96; below it is what it is. Its `::` is `ANY`, both
versions, or with IPV6_V6ONLY that of IPv6 alone.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import (
    LOOPBACK,
    LOOPBACK6,
    UNSPECIFIED,
    UNSPECIFIED6,
    Ip,
    format_ip4,
    format_ip6,
    has_zone,
    is_mapped,
    is_v6,
    mapped,
    pack_ip6,
    unmapped,
    unpack_ip6,
    with_zone,
    without_zone,
    zone_of,
)
from pystack.core.errors import error_of
from pystack.stack.ports import ANY

if TYPE_CHECKING:
    from pystack.stack.interface import Interface

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
Place = tuple[Ip, int]  # address and port

_FAMILY: Final = struct.Struct("=H")
_SCOPE: Final = struct.Struct("=I")
_WILD: Final = (UNSPECIFIED, UNSPECIFIED6, ANY)


def is_wild(local: int) -> bool:
    """Tell whether it means all addresses of a host."""
    return local in _WILD


def nowhere(family: int) -> Ip:
    """Return what stands for no address yet."""
    return ANY if family == socket.AF_INET6 else UNSPECIFIED


def shown(address: Ip, port: int, family: int) -> SocketAddress:
    """Return an address as Python's calls give it."""
    if family == socket.AF_INET:
        return format_ip4(address), port
    outside = _outside(address)
    return format_ip6(without_zone(outside)), port, 0, zone_of(outside)


def packed(address: Ip, port: int, family: int) -> bytes:
    """Return a struct sockaddr_in or sockaddr_in6."""
    head = _FAMILY.pack(family) + port.to_bytes(2, "big")
    if family == socket.AF_INET:
        return head + address.to_bytes(4, "big") + bytes(8)
    outside = _outside(address)
    return head + bytes(4) + pack_ip6(outside) + _SCOPE.pack(zone_of(outside))


def packed_ip(address: Ip, family: int) -> bytes:
    """Return a struct in_addr or in6_addr."""
    return address.to_bytes(4, "big") if family == socket.AF_INET else pack_ip6(_outside(address))


def unpacked_ip6(data: bytes | memoryview, zone: int = 0) -> Ip:
    """Read a struct in6_addr; `zone`: of the interface that was named with it, 0 for none."""
    address = unpack_ip6(data)
    return with_zone(address, zone) if zone and has_zone(address) else address


def local_place(address: Ip, *, v6_only: bool) -> Ip:
    """Return what a socket of AF_INET6 is to be bound to below. OSError (EINVAL)."""
    if address == UNSPECIFIED6:
        return address if v6_only else ANY
    if is_mapped(address):
        if v6_only:
            raise error_of(errno.EINVAL)
        return unmapped(address)
    if has_zone(address) and not zone_of(address):
        raise error_of(errno.EINVAL, "which link is meant? As in fe80::1%eth0")
    return address


def remote_place(address: Ip) -> Ip:
    """Return whom a socket of AF_INET6 means."""
    return unmapped(address) if is_mapped(address) else address


def destination(address: Ip, local: Ip) -> Ip:
    """Return where a packet to this address goes: to 0.0.0.0 or :: means to the host itself.

    `local`: of the socket: bound to an IPv4 address, it means IPv4's loopback by ::, too.
    """
    if address == UNSPECIFIED6:
        return LOOPBACK6 if is_v6(local) else LOOPBACK
    return LOOPBACK if address == UNSPECIFIED else address


def check_zone(address: Ip, device: Interface | None) -> None:
    """Raise OSError (EINVAL) for a partner on a link that nobody has named, a group too.

    `device`: the only one that the socket is for; another link is as good as none.
    """
    if not has_zone(address):
        return
    if not zone_of(address):
        raise error_of(errno.EINVAL, "which link is meant? As in ff02::1%eth0")
    if device is not None and zone_of(address) != device.index:
        raise error_of(errno.EINVAL, f"the socket is for {device.name} alone")


def _outside(address: Ip) -> Ip:
    if address == ANY:
        return UNSPECIFIED6
    return address if is_v6(address) else mapped(address)
