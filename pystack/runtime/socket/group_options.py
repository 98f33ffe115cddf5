"""The groups that a socket has joined, and the interfaces that its options name: ip(7), ipv6(7)."""

from __future__ import annotations

import errno
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from pystack.core.addresses import UNSPECIFIED, UNSPECIFIED6, Ip, is_multicast
from pystack.core.errors import error_of
from pystack.runtime.socket import option_numbers as numbers
from pystack.runtime.socket.option_table import IP, Option
from pystack.runtime.socket.socket_addresses import unpacked_ip6
from pystack.stack.interface import Interface

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

_JOINS = (numbers.IP_ADD_MEMBERSHIP, numbers.MCAST_JOIN_GROUP, numbers.IPV6_JOIN_GROUP)


class GroupOptions:
    """What one socket has joined, and where it sends what is for groups."""

    def __init__(self, host: BareHost) -> None:
        self.host = host
        self.members: dict[tuple[Interface, Ip], None] = {}
        self.device: Interface | None = None  # IP(V6)_MULTICAST_IF; None: as the routes say

    def option_set(self, row: Option, data: bytes, number: int) -> None:
        """Do what an option means, if it is one of these. OSError."""
        join = row.number in _JOINS
        if row.level == IP:
            match row.number:
                case numbers.IP_MULTICAST_IF:
                    self.device = self._device_of(data)
                case numbers.IP_ADD_MEMBERSHIP | numbers.IP_DROP_MEMBERSHIP:
                    self._change4(Ip(int.from_bytes(data[:4], "big")), data[4:], join=join)
                case numbers.MCAST_JOIN_GROUP | numbers.MCAST_LEAVE_GROUP:
                    # struct group_req: index, and a sockaddr at the next 8 bytes
                    if int.from_bytes(data[8:10], sys.byteorder) != socket.AF_INET:
                        raise error_of(errno.EINVAL)
                    group = Ip(int.from_bytes(data[12:16], "big"))
                    self._change4(group, bytes(4) + data[:4], join=join)
            return
        match row.number:
            case numbers.IPV6_MULTICAST_IF:
                self.device = self.interface(number) if number else None
            case numbers.IPV6_JOIN_GROUP | numbers.IPV6_LEAVE_GROUP:
                self._change6(data[:16], data[16:20], join=join)
            case numbers.MCAST_JOIN_GROUP | numbers.MCAST_LEAVE_GROUP:
                if int.from_bytes(data[8:10], sys.byteorder) != socket.AF_INET6:
                    raise error_of(errno.EADDRNOTAVAIL)
                self._change6(data[16:32], data[:4], join=join)

    def leave_all(self) -> None:
        """Be in none any more."""
        for member in list(self.members):
            self._leave(member)

    def interface(self, number: int) -> Interface:
        """Return an interface by its number. OSError (ENODEV)."""
        interfaces = self.host.interfaces
        if not 1 <= number <= len(interfaces):
            raise error_of(errno.ENODEV)
        return interfaces[number - 1]

    def _device_of(self, data: bytes) -> Interface | None:
        """Read an in_addr, ip_mreq or ip_mreqn that names a link. OSError (EADDRNOTAVAIL)."""
        address = Ip(int.from_bytes(data[4:8] if len(data) >= 8 else data[:4], "big"))
        if len(data) >= 12 and (index := int.from_bytes(data[8:12], sys.byteorder)):
            if index > len(self.host.interfaces):
                raise error_of(errno.EADDRNOTAVAIL)
            return self.interface(index)
        if address == UNSPECIFIED:
            return None
        found = self.host.stack.addresses.get(address)
        if found is None:
            raise error_of(errno.EADDRNOTAVAIL)
        return found

    def _link_of(self, group: Ip, where: bytes) -> Interface:
        if len(where) >= 8 and (index := int.from_bytes(where[4:8], sys.byteorder)):
            return self.interface(index)
        address = Ip(int.from_bytes(where[:4], "big"))
        return self.host.stack.groups.find_interface(group, address)

    def _change4(self, group: Ip, where: bytes, *, join: bool) -> None:
        if join and not is_multicast(group):
            raise error_of(errno.EINVAL)
        try:
            member = self._link_of(group, where), group
        except OSError:
            if join:
                raise
            raise error_of(errno.EADDRNOTAVAIL) from None
        self._change(member, join=join)

    def _change6(self, address: bytes, index: bytes, *, join: bool) -> None:
        group, number = unpacked_ip6(address), int.from_bytes(index, sys.byteorder)
        if not is_multicast(group):
            raise error_of(errno.EINVAL)
        if number:
            interface = self.interface(number)
        else:
            interface = self.host.stack.groups.find_interface(group, UNSPECIFIED6)
        self._change((interface, group), join=join)

    def _change(self, member: tuple[Interface, Ip], *, join: bool) -> None:
        if join and member in self.members:
            raise error_of(errno.EADDRINUSE)
        if join:
            self.host.stack.groups.join(*member, self.host.now())
            self.members[member] = None
        elif member not in self.members:
            raise error_of(errno.EADDRNOTAVAIL)
        else:
            self._leave(member)

    def _leave(self, member: tuple[Interface, Ip]) -> None:
        del self.members[member]
        with suppress(OSError):  # its host has lost its power meanwhile, and has forgotten
            self.host.stack.groups.leave(*member, self.host.now())
