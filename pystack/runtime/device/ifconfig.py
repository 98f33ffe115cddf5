"""The kernel's interfaces, their addresses, and its routes, of both IP versions, by rtnetlink(7).

Enough to put a device on a network without any program for it. All of it is about the network
namespace that the caller is in. Raises OSError.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pystack.core.addresses import V6, Ip, Mac, Prefix, is_link_local, is_v6, pack_ip6, unpack_ip6
from pystack.runtime.device import netlink

# <linux/rtnetlink.h>, <linux/if_link.h>, <linux/if_addr.h>
_LINK: Final = struct.Struct("=BxHiII")  # struct ifinfomsg
_ADDRESS: Final = struct.Struct("=BBBBI")  # struct ifaddrmsg
_ROUTE: Final = struct.Struct("=BBBBBBBBI")  # struct rtmsg
_NEIGHBOR: Final = struct.Struct("=BxxxiHBB")  # struct ndmsg
_NUMBER: Final = struct.Struct("=I")
_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_TXQLEN: Final = 13
_IFLA_LINKINFO: Final = 18
_IFLA_NET_NS_FD: Final = 28
_IFLA_GSO_MAX_SIZE: Final = 41
_IFLA_GSO_IPV4_MAX_SIZE: Final = 63
_IFLA_INFO_KIND: Final = 1
_IFLA_INFO_DATA: Final = 2
_VETH_INFO_PEER: Final = 1
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_BROADCAST: Final = 4
_IFA_F_NODAD: Final = 0x02
_RTA_DST: Final = 1
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RTA_TABLE: Final = 15
_RT_TABLE_MAIN: Final = 254
_RTPROT_STATIC: Final = 4
_RT_SCOPE_UNIVERSE: Final = 0
_RT_SCOPE_LINK: Final = 253
_RTN_UNICAST: Final = 1
_RTN_LOCAL: Final = 2
_IFF_UP: Final = 0x1
_NUD_PERMANENT: Final = 0x80  # <linux/neighbour.h>
_NDA_DST: Final = 1
_NDA_LLADDR: Final = 2
_IPV6: Final = Path("/proc/sys/net/ipv6/conf")


EVERYWHERE: Final = Prefix.of(0, 0)
EVERYWHERE6: Final = Prefix.of(V6, 0)


@dataclass(frozen=True, slots=True)
class Link:
    """An interface."""

    index: int
    is_up: bool
    mtu_bytes: int
    queue_frames: int  # how many may wait for it (txqueuelen)


def link(interface: str) -> Link:
    """Return what an interface is."""
    name = {_IFLA_IFNAME: os.fsencode(interface) + b"\0"}
    (answer,) = netlink.request(netlink.GETLINK, _LINK.pack(0, 0, 0, 0, 0), name)
    _, _, index, flags, _ = _LINK.unpack_from(answer.body)
    found = answer.attributes(_LINK)
    mtu, queue = (_NUMBER.unpack(found[kind])[0] for kind in (_IFLA_MTU, _IFLA_TXQLEN))
    return Link(index, bool(flags & _IFF_UP), mtu, queue)


def set_link(
    interface: str,
    *,
    up: bool = False,
    mac: Mac | None = None,
    mtu_bytes: int | None = None,
    queue_frames: int | None = None,
    gso_max_bytes: int | None = None,
) -> None:
    """Change an interface: what is given, and nothing else; `up` brings it up."""
    attributes: dict[int, bytes] = {}
    if mac is not None:
        attributes[_IFLA_ADDRESS] = mac
    if mtu_bytes is not None:
        attributes[_IFLA_MTU] = _NUMBER.pack(mtu_bytes)
    if queue_frames is not None:
        attributes[_IFLA_TXQLEN] = _NUMBER.pack(queue_frames)
    if gso_max_bytes is not None:
        attributes[_IFLA_GSO_MAX_SIZE] = _NUMBER.pack(gso_max_bytes)
        attributes[_IFLA_GSO_IPV4_MAX_SIZE] = _NUMBER.pack(gso_max_bytes)
    flag = _IFF_UP if up else 0
    body = _LINK.pack(0, 0, socket.if_nametoindex(interface), flag, flag)
    netlink.request(netlink.NEWLINK, body, attributes)


def add_veth(interface: str, peer: str, *, peer_net: int, index: int) -> None:
    """Make a pair of interfaces, which are the ends of a cable.

    `peer_net`: a descriptor of the network namespace where the peer is to be. `index`: the
    interface's.
    """
    other = _LINK.pack(0, 0, 0, 0, 0) + netlink.pack_attributes(
        {_IFLA_IFNAME: os.fsencode(peer) + b"\0", _IFLA_NET_NS_FD: _NUMBER.pack(peer_net)}
    )
    data = netlink.pack_attributes({_VETH_INFO_PEER: other})
    info = netlink.pack_attributes({_IFLA_INFO_KIND: b"veth\0", _IFLA_INFO_DATA: data})
    attributes = {_IFLA_IFNAME: os.fsencode(interface) + b"\0", _IFLA_LINKINFO: info}
    flags = netlink.CREATE | netlink.EXCLUSIVE
    netlink.request(netlink.NEWLINK, _LINK.pack(0, 0, index, 0, 0), attributes, flags)


def addresses(interface: str) -> list[tuple[Ip, Prefix]]:
    """Return the addresses of an interface; without those that are for its link alone."""
    index = socket.if_nametoindex(interface)
    found: list[tuple[Ip, Prefix]] = []
    for answer in netlink.request(
        netlink.GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0), flags=netlink.DUMP
    ):
        _, length, _, _, where = _ADDRESS.unpack_from(answer.body)
        if where == index:
            values = answer.attributes(_ADDRESS)
            address = _unpack(values.get(_IFA_LOCAL) or values[_IFA_ADDRESS])
            if not (is_v6(address) and is_link_local(address)):
                found.append((address, Prefix.of(address, length)))
    return found


def add_address(interface: str, address: Ip, prefix: Prefix) -> None:
    """Give an interface one more address. It may be used at once: nobody is asked whether it is."""
    packed = _pack(address)
    attributes = {_IFA_LOCAL: packed, _IFA_ADDRESS: packed}
    if prefix.has_broadcast:
        attributes[_IFA_BROADCAST] = _pack(prefix.broadcast)
    flags = netlink.CREATE | netlink.EXCLUSIVE
    netlink.request(netlink.NEWADDR, _address(interface, address, prefix), attributes, flags)


def remove_address(interface: str, address: Ip, prefix: Prefix) -> None:
    """Take an address from an interface."""
    attributes = {_IFA_LOCAL: _pack(address)}
    netlink.request(netlink.DELADDR, _address(interface, address, prefix), attributes)


def set_addresses(interface: str, wanted: list[tuple[Ip, Prefix]]) -> None:
    """Let an interface have exactly these addresses, beside those for its link alone."""
    known = addresses(interface)
    for address in known:
        if address not in wanted:
            remove_address(interface, *address)
    for address in wanted:
        if address not in known:
            add_address(interface, *address)


def enable_ipv6(interface: str) -> bool:
    """Switch IPv6 on where it is off (as in many containers); False: the kernel has none there."""
    switch = _IPV6 / interface / "disable_ipv6"
    try:
        if switch.read_text().strip() != "0":
            switch.write_text("0")
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        return False
    return True


def add_route(prefix: Prefix, *, via: Ip | None, interface: str) -> None:
    """Send what is for a block to a gateway; `via` None: the block is on the link itself.

    Nothing happens where that route is there already.
    """
    scope = _RT_SCOPE_LINK if via is None and not prefix.is_v6 else _RT_SCOPE_UNIVERSE
    attributes = _route_attributes(prefix, interface)
    if via is not None:
        attributes[_RTA_GATEWAY] = _pack(via)
    with suppress(FileExistsError):
        netlink.request(
            netlink.NEWROUTE,
            _route(prefix, scope, _RTN_UNICAST),
            attributes,
            netlink.CREATE | netlink.EXCLUSIVE,
        )


def add_neighbor(interface: str, address: Ip, mac: Mac) -> None:
    """Let the kernel know for ever which station of a link has an address."""
    index = socket.if_nametoindex(interface)
    body = _NEIGHBOR.pack(_family(address), index, _NUD_PERMANENT, 0, 0)
    attributes = {_NDA_DST: _pack(address), _NDA_LLADDR: bytes(mac)}
    netlink.request(netlink.NEWNEIGHBOR, body, attributes, netlink.CREATE | netlink.REPLACE)


def delete_default_routes(interface: str) -> None:
    """Take away the routes to everywhere that go out of an interface."""
    for everywhere in (EVERYWHERE, EVERYWHERE6):
        with suppress(ProcessLookupError):  # ESRCH: there is none any more
            while True:
                attributes = _route_attributes(everywhere, interface)
                # Scope "nowhere": any. For IPv4 it has to be said.
                netlink.request(netlink.DELROUTE, _route(everywhere, 255, 0), attributes)


@dataclass(frozen=True, slots=True)
class Way:
    """Where packets for an address go."""

    interface: str  # its name; "" if it has gone meanwhile
    is_local: bool  # the address is the machine's own
    has_gateway: bool  # it is not on the interface's link


def way_to(address: Ip) -> Way | None:
    """Ask the kernel, as `ip route get` does; None: there is no way."""
    destination = {_RTA_DST: _pack(address)}
    everything = Prefix.of(address, 128 if is_v6(address) else 32)
    try:
        (answer,) = netlink.request(netlink.GETROUTE, _route(everything, 0, 0), destination)
    except TimeoutError:
        raise
    except OSError:
        return None  # ENETUNREACH, or what a blackhole and its like say
    kind = _ROUTE.unpack_from(answer.body)[7]
    found = answer.attributes(_ROUTE)
    interface = ""
    if _RTA_OIF in found:
        with suppress(OSError):
            interface = socket.if_indextoname(int.from_bytes(found[_RTA_OIF], sys.byteorder))
    return Way(interface, kind == _RTN_LOCAL, _RTA_GATEWAY in found)


def free_network(beside: Ip) -> Prefix | None:
    """Return a private block that no interface has, and that `beside` is not in; None: none.

    It is a /24 of IPv4, or a /64 of IPv6.
    """
    for number in range(77, 128):
        prefix = (
            Prefix.of(V6 | (0xFD00 | number) << 112, 64)
            if is_v6(beside)
            else Prefix.of(10 << 24 | number << 16, 24)
        )
        way = way_to(Ip(prefix.network + 2))
        if beside not in prefix and (way is None or way.has_gateway):
            return prefix
    return None


def _family(address: int) -> int:
    return socket.AF_INET6 if is_v6(address) else socket.AF_INET


def _pack(address: int) -> bytes:
    return pack_ip6(address) if is_v6(address) else address.to_bytes(4, "big")


def _unpack(data: bytes) -> Ip:
    return unpack_ip6(data) if len(data) == 16 else Ip(int.from_bytes(data, "big"))


def _address(interface: str, address: Ip, prefix: Prefix) -> bytes:
    flags = _IFA_F_NODAD if prefix.is_v6 else 0
    index = socket.if_nametoindex(interface)
    return _ADDRESS.pack(_family(address), prefix.length, flags, _RT_SCOPE_UNIVERSE, index)


def _route(prefix: Prefix, scope: int, kind: int) -> bytes:
    family, protocol = _family(prefix.network), _RTPROT_STATIC if kind else 0
    return _ROUTE.pack(family, prefix.length, 0, 0, _RT_TABLE_MAIN, protocol, scope, kind, 0)


def _route_attributes(prefix: Prefix, interface: str) -> dict[int, bytes]:
    attributes = {_RTA_OIF: _NUMBER.pack(socket.if_nametoindex(interface))}
    if prefix.length:
        attributes[_RTA_DST] = _pack(prefix.network)
    return attributes
