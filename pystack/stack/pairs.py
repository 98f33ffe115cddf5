"""What becomes of packets between two addresses, found out once: may they be heard, or passed on?

What no header but the addresses decides is remembered by these, with the interface that they came
by, until routes or addresses change. The short cuts ask by the bytes of a frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.core.addresses import (
    UNSPECIFIED6,
    Ip,
    is_link_local,
    is_loopback,
    is_multicast,
    is_usable_source,
    is_v6,
)
from pystack.stack.intercept import is_interceptable
from pystack.stack.ports import locals_of
from pystack.stack.way import Way
from pystack.wire.headers import pack_pair, unpack_pair

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface

_LIMIT: Final = 4096  # remembered; the oldest goes: to free all of them at once takes 6 ms


class Pair:
    """Two addresses of packets that come by one interface."""

    __slots__ = ("dst", "foreign", "heard", "interface", "locals", "src", "way")

    def __init__(self, host: Host, interface: Interface, src: Ip, dst: Ip) -> None:
        self.interface = interface
        self.src = src
        self.dst = dst
        self.locals = locals_of(dst)
        # True: they are for this host, came by a link, and nothing is wrong with them.
        self.heard = False
        self.foreign = False  # the address is none of the host's: the interceptor takes it
        # By which they are passed on; None: they are not, or `forward` has to look closer
        self.way: Way | None = None
        if dst in host.addresses:
            by_link = interface.neighbors is not None
            self.heard = by_link and not forged(host, interface, src, dst)
        elif is_interceptable(host, interface, dst):
            self.foreign = True
            self.locals = dst, dst, dst  # who is bound to all of the host's addresses is not meant
            self.heard = not forged(host, interface, src, dst)
        elif host.forwarding and not not_forwarded(host, src, dst):
            route = host.routes.lookup(dst)
            if route is not None and route.interface.neighbors is not None:
                self.way = Way(host, route, src, dst)


def learn(host: Host, interface: Interface, pair: bytes) -> Pair:
    """Find out what becomes of packets with these addresses, and remember it."""
    src, dst = unpack_pair(pair)
    pairs = host.pairs
    if len(pairs) >= _LIMIT:
        pairs.popitem(last=False)
    found = pairs[pair] = Pair(
        host, interface, host.zoned(interface, src), host.zoned(interface, dst)
    )
    return found


def is_foreign(host: Host, interface: Interface, src: Ip, dst: Ip) -> bool:
    """Tell whether the interceptor takes packets between these, which are for no own address."""
    if host.interceptor is None:
        return False
    key = pack_pair(src, dst)
    pair = host.pairs.get(key)
    if pair is None or pair.interface is not interface:
        pair = learn(host, interface, key)
    return pair.foreign


def forged(host: Host, interface: Interface, src: Ip, dst: Ip) -> str:
    """Return why no packet for this host has these addresses; "" where it may."""
    # A station without an IPv6 address yet asks for one, by multicast.
    if not host.may_be_source(src) and not (src == UNSPECIFIED6 and is_multicast(dst)):
        return "ip_bad_source"
    if interface.neighbors is not None and (
        is_loopback(src)  # RFC 1122 3.2.1.3 (g), RFC 4291 section 2.5.3
        or is_loopback(dst)
        or src in host.addresses  # what we send to ourselves never leaves the loopback
    ):
        return "ip_martian"
    return ""


def not_forwarded(host: Host, src: Ip, dst: Ip) -> str:
    """Return why no packet with these addresses may be passed on; "" where it may."""
    if host.is_many(dst):
        return "forward_broadcast"  # RFC 1812 5.3.5; RFC 2644: not the directed ones either
    # RFC 1812 5.3.7; RFC 3927 section 7; RFC 4291 section 2.5.6
    if is_v6(src) and is_link_local(src):
        return "forward_own_source" if src in host.addresses else "forward_beyond_scope"
    if not host.may_be_source(src) or is_loopback(src) or is_link_local(src):
        return "forward_bad_source"
    if src in host.addresses:
        return "forward_own_source"  # it came from here, or somebody says so
    if not is_usable_source(dst) or is_loopback(dst) or is_link_local(dst):
        return "forward_martian"
    return ""
