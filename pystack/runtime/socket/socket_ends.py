"""What a socket stands for: all that its descriptors share, as `dup` makes several of one.

The calls are in `sockets.py` and its two kinds; here is what they call, and nothing waits.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Final, Protocol

from pystack.core.addresses import UNSPECIFIED6, Ip, Prefix, is_v6, zone_of
from pystack.core.errors import error_of
from pystack.runtime.names.zones import format_on
from pystack.runtime.socket import option_numbers as numbers
from pystack.runtime.socket.option_table import IP, IPV6, SOCKET, Option
from pystack.runtime.socket.socket_addresses import (
    Place,
    SocketAddress,
    is_wild,
    nowhere,
    packed,
    shown,
)
from pystack.runtime.socket.socket_options import SocketOptions, as_bytes, as_number
from pystack.stack.interface import Interface
from pystack.stack.routes import Route

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

MAX_BUFFER_BYTES: Final = 4 << 20  # as Linux's rmem_max and wmem_max, since 6.17
MIN_SEND_BUFFER_BYTES: Final = 4608  # SOCK_MIN_SNDBUF and SOCK_MIN_RCVBUF, as read
MIN_RECEIVE_BUFFER_BYTES: Final = 2304
_MAX_NUMBER: Final = (1 << 31) - 1
# SO_PRIORITY by the bits of IP_TOS: Linux's ip_tos2prio
_PRIORITIES: Final = (0, 0, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4)


class Told(Protocol):
    """A descriptor, who is told when it is worth trying again."""

    def became_readable(self) -> None:
        """Try to receive, or to accept."""
        ...

    def became_writable(self) -> None:
        """Try to send."""
        ...


class SocketEnd:
    """One socket of a host, for all its descriptors."""

    def __init__(
        self,
        host: BareHost,
        kind: socket.SocketKind,
        proto: int,
        family: socket.AddressFamily = socket.AF_INET,
        options: SocketOptions | None = None,
    ) -> None:
        self.host = host
        self.kind = kind
        self.proto = proto
        self.family = family
        self.is_v6 = family == socket.AF_INET6
        self.options = SocketOptions(kind, v6=self.is_v6) if options is None else options
        self.descriptors: list[Told] = []
        self.read_shut = self.write_shut = False
        self.device: Interface | None = None  # SO_BINDTODEVICE; None: all
        self.bound_to_six = False  # to an address of IPv6: it keeps to that, as in Linux

    def let_go(self, descriptor: Told) -> None:
        """One descriptor was closed; with the last of them ends the socket."""
        self.descriptors.remove(descriptor)
        if not self.descriptors:
            self.release()

    def became_readable(self) -> None:
        """Tell who waits."""
        for descriptor in self.descriptors:
            descriptor.became_readable()

    def became_writable(self) -> None:
        """Tell who waits."""
        for descriptor in self.descriptors:
            descriptor.became_writable()

    @property
    def v6_only(self) -> bool:
        """Tell whether a socket of AF_INET6 keeps to IPv6."""
        return self.bound_to_six or self.flag(IPV6, numbers.IPV6_V6ONLY)

    @property
    def everywhere(self) -> Ip:
        """Return what stands for all addresses that it can hear at."""
        return UNSPECIFIED6 if self.v6_only else nowhere(self.family)

    def check_local(self, local: Ip, *, bound: bool) -> None:
        """Raise OSError for an address that it cannot be bound to: EADDRNOTAVAIL, EINVAL.

        `bound`: it is already; IPv6 looks at that first, as in Linux.
        """
        stack = self.host.stack
        if bound and self.is_v6:
            raise error_of(errno.EINVAL)
        if zone_of(local) > len(stack.interfaces) and not is_wild(local):
            raise error_of(errno.ENODEV)
        own = stack.is_own(local)
        if self.device is not None and is_v6(local):  # as in Linux, of IPv6 alone
            own = stack.addresses.get(local) is self.device
        if not (self.foreign or is_wild(local) or own or stack.is_many(local)):
            raise error_of(errno.EADDRNOTAVAIL, format_on(stack, local))
        if bound:
            raise error_of(errno.EINVAL)

    def note_bound(self, local: Ip) -> None:
        """Take note of the address that it was bound to."""
        self.bound_to_six = self.is_v6 and is_v6(local) and not is_wild(local)

    @property
    def foreign(self) -> bool:
        """Tell whether it may be bound to an address that is not here."""
        return self.flag(IP, numbers.IP_FREEBIND) or self.flag(IPV6, numbers.IPV6_FREEBIND)

    def check_family(self, remote: Ip) -> None:
        """Raise OSError (ENETUNREACH) for IPv4 with IPV6_V6ONLY."""
        if self.is_v6 and self.v6_only and not is_v6(remote):
            raise error_of(errno.ENETUNREACH)

    def route_to(self, remote: Ip) -> Route | None:
        """Return a route of the socket's own, by its options; None: the host's. OSError."""
        routes = self.host.stack.routes
        if self.device is not None:
            route = self.host.stack.route_by(self.device, remote)
            found = route or link_route(self.device, remote)
        else:
            known = routes.lookup(remote)
            if known is None or not self.flag(SOCKET, numbers.SO_DONTROUTE):
                return None
            found = known
        if found.gateway is not None and self.flag(SOCKET, numbers.SO_DONTROUTE):
            raise error_of(errno.ENETUNREACH)
        return found

    # options

    def set_option(self, level: int, name: int, value: object) -> None:
        """Set an option. OSError: ENOPROTOOPT, EINVAL and the like."""
        row, data, number = self.options.check(level, name, value)
        changed = self.option_set(row, data, number)
        if row.access != "w":
            self.options.keep(row, data if changed is None else struct.pack("i", changed))

    def get_option(self, level: int, name: int, buflen: int | None) -> int | bytes:
        """Return an option: a number, or bytes where a length is given. OSError: ENOPROTOOPT."""
        row = self.options.check_readable(level, name)
        known = self.known_option(row)
        if known is None:
            return self.options.read(row, buflen)
        if buflen is not None:
            return as_bytes(known, buflen, level)
        return as_number(known)

    def flag(self, level: int, name: int) -> bool:
        """Tell whether an option is on."""
        return self.options.number(level, name) != 0

    def option_set(self, row: Option, data: bytes, number: int) -> int | None:
        """Do what an option means; return what is remembered, None: the value itself. OSError."""
        if (
            row.level == IP
            and row.number == numbers.IP_TTL
            and not (number == -1 or 1 <= number <= 255)
        ):
            raise error_of(errno.EINVAL)
        if row.level == IP and row.number == numbers.IP_TOS:
            priority = self.options.check(
                SOCKET, numbers.SO_PRIORITY, _PRIORITIES[(number & 0x1E) >> 1]
            )
            self.options.keep(*priority[:2])
            ecn = 0x03 if self.kind is socket.SOCK_STREAM else 0  # TCP's own two bits
            return number & 0xFF & ~ecn
        if row.key == (IPV6, numbers.IPV6_TCLASS):
            ecn = 0x03 if self.kind is socket.SOCK_STREAM else 0
            return max(number, 0) & ~ecn
        if row.key == (IPV6, numbers.IPV6_V6ONLY) and self.name()[1]:
            raise error_of(errno.EINVAL)
        if row.level != SOCKET:
            return None
        match row.number:
            case numbers.SO_RCVLOWAT:
                wanted = _MAX_NUMBER if number < 0 else number or 1
                return min(wanted, self.most_waited_for())
            case numbers.SO_BINDTODEVICE:
                self.bind_to(data.split(b"\0")[0].decode("ascii", "replace"))
            case numbers.SO_SNDBUF | numbers.SO_SNDBUFFORCE:
                forced = row.number == numbers.SO_SNDBUFFORCE
                size = buffer_bytes(number, MIN_SEND_BUFFER_BYTES, forced=forced)
                self.keep_size(numbers.SO_SNDBUF, size)
                return size
            case numbers.SO_RCVBUF | numbers.SO_RCVBUFFORCE:
                forced = row.number == numbers.SO_RCVBUFFORCE
                size = buffer_bytes(number, MIN_RECEIVE_BUFFER_BYTES, forced=forced)
                self.keep_size(numbers.SO_RCVBUF, size)
                return size
        return None

    def keep_size(self, name: int, size_bytes: int) -> None:
        """Have a buffer of another size; it is told as twice what was asked for."""
        row = self.options.check(SOCKET, name, 0)[0]
        self.options.keep(row, struct.pack("i", size_bytes))
        self.resize(name, size_bytes // 2)

    def resize(self, name: int, size_bytes: int) -> None:
        """Give the buffer (SO_SNDBUF, SO_RCVBUF) room for so much text."""
        raise NotImplementedError

    def bind_to(self, name: str) -> None:
        """Be of one interface alone; with "" of all again. OSError (ENODEV)."""
        found = None
        if name:
            found = next((i for i in self.host.interfaces if i.name == name), None)
            if found is None:
                raise OSError(errno.ENODEV, f"{self.host.name} has no interface {name!r}")
        self.device = found

    def known_option(self, row: Option) -> int | str | bytes | None:
        """Return an option that says something of the socket; None for one just remembered."""
        if row.key == (IPV6, numbers.IPV6_V6ONLY):
            return int(self.v6_only)
        if row.level != SOCKET:
            return None
        match row.number:
            case numbers.SO_TYPE:
                return int(self.kind)
            case numbers.SO_DOMAIN:
                return int(self.family)
            case numbers.SO_BSDCOMPAT | numbers.SO_ACCEPTCONN:
                return 0
            case numbers.SO_PROTOCOL:
                udp = self.kind is socket.SOCK_DGRAM
                return self.proto or (socket.IPPROTO_UDP if udp else socket.IPPROTO_TCP)
            case numbers.SO_ERROR:
                return self.take_error()
            case numbers.SO_BINDTODEVICE:
                return b"" if self.device is None else self.device.name.encode() + b"\0"
            case numbers.SO_PEERNAME:
                return packed(*self.peer(), self.family)
        return None

    def most_waited_for(self) -> int:
        """Return the most that SO_RCVLOWAT can be."""
        return _MAX_NUMBER

    def shown(self, address: Ip, port: int) -> SocketAddress:
        """Return an address as the BSD calls give it."""
        return shown(address, port, self.family)

    # for the two kinds

    def name(self) -> Place:
        """Return address and port of this end; zeros before it has any."""
        raise NotImplementedError

    def bind(self, local: Ip, port: int) -> None:
        """Take an address and a port. OSError: EADDRNOTAVAIL, EINVAL, EADDRINUSE."""
        raise NotImplementedError

    def shutdown(self, how: int) -> None:
        """End sending, receiving or both. OSError: ENOTCONN, EINVAL."""
        raise NotImplementedError

    def peer(self) -> Place:
        """Return address and port of the other end. OSError (ENOTCONN)."""
        raise NotImplementedError

    def take_error(self) -> int:
        """Return what went wrong, for SO_ERROR, once; 0 for nothing."""
        raise NotImplementedError

    def is_readable(self) -> bool:
        """Tell whether receiving would return (or raise) at once."""
        raise NotImplementedError

    def release(self) -> None:
        """Give back what the host holds for it."""
        raise NotImplementedError


def buffer_bytes(number: int, least: int, *, forced: bool) -> int:
    """Return a buffer's size as Linux tells it, twice of what was asked for."""
    wanted = number & 0xFFFFFFFF
    if not forced:
        wanted = min(wanted, MAX_BUFFER_BYTES)
    return max(min(2 * wanted, _MAX_NUMBER), least)


def link_route(device: Interface, remote: Ip) -> Route:
    """Return the route of a link that takes a destination to be on it. OSError (ENETUNREACH).

    Of IPv6 none does: hosts on a link know its prefixes (RFC 4943).
    """
    source = next((own.address for own in device.addresses if not is_v6(own.address)), None)
    if source is None or is_v6(remote):
        raise error_of(errno.ENETUNREACH)
    return Route(Prefix.of(remote, 32), device, None, source)
