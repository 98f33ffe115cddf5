"""Which way the kernel sends packets, asked by rtnetlink(7): as `ip route get` does."""

from __future__ import annotations

import socket
import struct
import sys
from dataclasses import dataclass
from typing import Final

from pystack.core.addresses import Ip4, Prefix

# <linux/netlink.h>, <linux/rtnetlink.h>
_NLMSG_ERROR: Final = 2
_NLM_F_REQUEST: Final = 1
_RTM_GETROUTE: Final = 26
_RTA_DST: Final = 1
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RTN_LOCAL: Final = 2
_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr
_ROUTE: Final = struct.Struct("=BBBBBBBBI")  # struct rtmsg
_ATTRIBUTE: Final = struct.Struct("=HH")  # struct rtattr
_ERROR: Final = struct.Struct("=i")
_TIMEOUT_S: Final = 1.0  # the kernel answers before `send` returns
_MESSAGE_BYTES: Final = 8192


@dataclass(frozen=True, slots=True)
class Way:
    """Where packets for an address go."""

    interface: str  # its name; "" if it has gone meanwhile
    is_local: bool  # the address is the machine's own
    has_gateway: bool  # it is not on the interface's link


def way_to(address: Ip4) -> Way | None:
    """Ask the kernel; None: there is no way. Raises OSError where it cannot be asked."""
    destination = _ATTRIBUTE.pack(_ATTRIBUTE.size + 4, _RTA_DST) + address.to_bytes(4, "big")
    body = _ROUTE.pack(socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, 0) + destination
    header = _HEADER.pack(_HEADER.size + len(body), _RTM_GETROUTE, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(_TIMEOUT_S)
        kernel.sendto(header + body, (0, 0))
        answer = kernel.recv(_MESSAGE_BYTES)
    size, kind, *_ = _HEADER.unpack_from(answer)
    if kind == _NLMSG_ERROR:
        return None  # ENETUNREACH, or what a blackhole and its like say
    return _read(answer[_HEADER.size : size])


def free_network(beside: Ip4) -> Prefix | None:
    """Return a private /24 that no interface has, and that `beside` is not in; None: none."""
    for number in range(77, 128):
        prefix = Prefix.of(10 << 24 | number << 16, 24)
        way = way_to(Ip4(prefix.network + 2))
        if beside not in prefix and (way is None or way.has_gateway):
            return prefix
    return None


def _read(message: bytes) -> Way:
    kind = _ROUTE.unpack_from(message)[7]
    interface, has_gateway = "", False
    at = _ROUTE.size
    while at + _ATTRIBUTE.size <= len(message):
        size, name = _ATTRIBUTE.unpack_from(message, at)
        value = message[at + _ATTRIBUTE.size : at + size]
        if name == _RTA_OIF:
            try:
                interface = socket.if_indextoname(int.from_bytes(value, sys.byteorder))
            except OSError:
                interface = ""
        elif name == _RTA_GATEWAY:
            has_gateway = True
        at += max(size + 3 & ~3, _ATTRIBUTE.size)
    return Way(interface, kind == _RTN_LOCAL, has_gateway)
