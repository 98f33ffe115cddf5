"""Control messages of datagrams: what `sendmsg` is asked for, and what `recvmsg` tells.

Those of ip(7) are for datagrams of IPv4, those of ipv6(7) for those of IPv6.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from pystack.core.addresses import UNSPECIFIED, UNSPECIFIED6, Ip, is_mapped, is_v6, unmapped
from pystack.core.errors import error_of
from pystack.runtime.socket import option_numbers as numbers
from pystack.runtime.socket.option_table import IP, IPV6, SOCKET, UDP
from pystack.runtime.socket.socket_addresses import packed, packed_ip, unpacked_ip6
from pystack.runtime.socket.socket_calls import MSG_DONTROUTE, ControlMessage, Message
from pystack.runtime.socket.socket_options import view_of
from pystack.stack.udp_socket import PMTU_DO, PMTU_DONT, DatagramFields

if TYPE_CHECKING:
    from pystack.runtime.socket.datagram_ends import DatagramEnd
    from pystack.stack.udp_socket import Arrival, UdpSocket

STAMPS: Final = {  # in microseconds?
    numbers.SO_TIMESTAMP: True,
    numbers.SO_TIMESTAMP_NEW: True,
    numbers.SO_TIMESTAMPNS: False,
    numbers.SO_TIMESTAMPNS_NEW: False,
}
# Options that make `told` look at how a datagram came
ARRIVALS: Final = (
    (IP, numbers.IP_RECVOPTS),
    (IP, numbers.IP_PKTINFO),
    (IP, numbers.IP_RECVTTL),
    (IP, numbers.IP_RECVTOS),
    (IP, numbers.IP_RECVORIGDSTADDR),
    (IPV6, numbers.IPV6_RECVPKTINFO),
    (IPV6, numbers.IPV6_RECVHOPLIMIT),
    (IPV6, numbers.IPV6_RECVTCLASS),
    (IPV6, numbers.IPV6_RECVORIGDSTADDR),
    *((SOCKET, name) for name in STAMPS),
)
PKTINFO6_BYTES: Final = 20  # struct in6_pktinfo: an address and the number of an interface
_PKTINFO: Final = struct.Struct("=iII")  # with its addresses swapped, where the machine does so
_INDEX: Final = struct.Struct("=I")
_TIME: Final = struct.Struct("@ll")


class Wishes(NamedTuple):
    """What is asked for one datagram."""

    fields: DatagramFields | None  # None: the socket's
    ttl: int | None  # the same
    segment_bytes: int  # how it is to be cut; 0: not at all


def wishes(end: DatagramEnd, messages: Iterable[Message], flags: int, remote: Ip) -> Wishes:
    """Read what is asked for a datagram to there. OSError (EINVAL)."""
    fields, ttl = end.own_of(remote)
    segment_bytes = end.options.number(UDP, numbers.UDP_SEGMENT)
    usual = fields or end.fields
    if flags & MSG_DONTROUTE:
        fields = replace(usual, on_link_only=True)
    for level, name, data in messages:
        view = view_of(data)
        if (level, name) == (UDP, numbers.UDP_SEGMENT):
            segment_bytes = _number_of(view, 2)
        elif level == IPV6 and end.is_v6:
            fields, ttl = _wish6(end, name, view, fields or usual, ttl, remote)
        elif is_v6(remote) and level != UDP:
            continue  # as Linux, which leaves to IPv4 what is for IPv4
        elif (level, name) == (IP, numbers.IP_TTL):
            ttl = _number_of(view, 4)
            if not 1 <= ttl <= 255:
                raise error_of(errno.EINVAL)
        elif (level, name) == (IP, numbers.IP_TOS):
            tos = view[0] if len(view) == 1 else _number_of(view, 4)
            if not 0 <= tos <= 255:
                raise error_of(errno.EINVAL)
            fields = replace(fields or usual, tos=tos)
        elif (level, name) == (IP, numbers.IP_PKTINFO):
            fields = _sent_by(end, view, fields or usual)
        else:
            raise error_of(errno.EINVAL, "control message")
    return Wishes(fields, ttl, segment_bytes)


def _sent_by(end: DatagramEnd, view: memoryview, fields: DatagramFields) -> DatagramFields:
    if len(view) != _PKTINFO.size:
        raise error_of(errno.EINVAL)
    index = _PKTINFO.unpack(view)[0]
    source = Ip(int.from_bytes(view[4:8], "big"))
    if source and not end.host.stack.is_own(source):
        raise error_of(errno.EINVAL)
    device = fields.device if index == 0 else end.groups.interface(index)
    return replace(fields, source=source, device=device)


def sent_by6(end: DatagramEnd, view: memoryview | bytes, fields: DatagramFields) -> DatagramFields:
    """Return fields with the source and the interface of a struct in6_pktinfo. OSError."""
    if len(view) < PKTINFO6_BYTES:
        raise error_of(errno.EINVAL)
    (number,) = _INDEX.unpack_from(view, 16)
    device = fields.device if number == 0 else end.groups.interface(number)
    address = unpacked_ip6(view[:16], number)
    source = UNSPECIFIED if address == UNSPECIFIED6 else unmapped(address)
    if source and not end.host.stack.is_own(source):
        raise error_of(errno.EINVAL)
    return replace(fields, source=source, device=device)


def _wish6(
    end: DatagramEnd,
    name: int,
    view: memoryview,
    fields: DatagramFields,
    ttl: int | None,
    remote: Ip,
) -> tuple[DatagramFields, int | None]:
    """Return fields and hop limit with what a control message of ipv6(7) says. OSError."""
    if name == numbers.IPV6_PKTINFO:
        if not is_v6(remote) and not is_mapped(unpacked_ip6(view[:16].tobytes().ljust(16, b"\0"))):
            raise error_of(errno.EINVAL)
        return sent_by6(end, view, fields), ttl
    if not is_v6(remote):
        return fields, ttl  # nobody's: as Linux
    number = _number_of(view, 4)
    if name in (numbers.IPV6_HOPLIMIT, numbers.IPV6_TCLASS) and not -1 <= number <= 255:
        raise error_of(errno.EINVAL)
    match name:
        case numbers.IPV6_HOPLIMIT:
            return fields, None if number == -1 else number
        case numbers.IPV6_TCLASS:
            return replace(fields, tos=max(number, 0)), ttl
        case numbers.IPV6_DONTFRAG:
            return replace(fields, mtu_discover=PMTU_DO if number else PMTU_DONT), ttl
    raise error_of(errno.EINVAL, "control message")


def told(end: DatagramEnd, udp: UdpSocket) -> list[ControlMessage]:
    """Return the control messages of the datagram that was just received."""
    found: list[ControlMessage] = []
    arrival = udp.arrival
    if arrival is not None:
        for name, in_microseconds in STAMPS.items():
            if end.flag(SOCKET, name):
                found.append((SOCKET, name, _stamp(end, arrival.at, coarse=in_microseconds)))
    if end.flag(SOCKET, numbers.SO_RXQ_OVFL) and udp.dropped:
        found.append((SOCKET, numbers.SO_RXQ_OVFL, struct.pack("I", udp.dropped & 0xFFFFFFFF)))
    if arrival is None:
        return found
    if end.is_v6:
        found += _told6(end, arrival, udp)
    if not is_v6(arrival.dst):
        found += _told4(end, arrival, udp)
    return found


def _told4(end: DatagramEnd, arrival: Arrival, udp: UdpSocket) -> Iterable[ControlMessage]:
    if end.flag(IP, numbers.IP_PKTINFO):
        dst = arrival.dst
        own = dst
        if not end.host.stack.is_own(dst):
            own = end.groups.interface(arrival.interface).address
        where = own.to_bytes(4, "big") + dst.to_bytes(4, "big")
        yield IP, numbers.IP_PKTINFO, struct.pack("i", arrival.interface) + where
    if end.flag(IP, numbers.IP_RECVTTL):
        yield IP, numbers.IP_TTL, struct.pack("i", arrival.ttl)
    if end.flag(IP, numbers.IP_RECVTOS):
        yield IP, numbers.IP_TOS, bytes((arrival.tos,))
    if end.flag(IP, numbers.IP_RECVOPTS) and arrival.options:
        yield IP, numbers.IP_RECVOPTS, arrival.options
    if end.flag(IP, numbers.IP_RECVORIGDSTADDR):
        at = packed(arrival.dst, udp.local_port, socket.AF_INET)
        yield IP, numbers.IP_RECVORIGDSTADDR, at


def _told6(end: DatagramEnd, arrival: Arrival, udp: UdpSocket) -> Iterable[ControlMessage]:
    """Yield those of ipv6(7); of a datagram of IPv4 only where it came in."""
    if end.flag(IPV6, numbers.IPV6_RECVPKTINFO):
        where = packed_ip(arrival.dst, end.family) + _INDEX.pack(arrival.interface)
        yield IPV6, numbers.IPV6_PKTINFO, where
    if not is_v6(arrival.dst):
        return
    if end.flag(IPV6, numbers.IPV6_RECVHOPLIMIT):
        yield IPV6, numbers.IPV6_HOPLIMIT, struct.pack("i", arrival.ttl)
    if end.flag(IPV6, numbers.IPV6_RECVTCLASS):
        yield IPV6, numbers.IPV6_TCLASS, struct.pack("i", arrival.tos)
    if end.flag(IPV6, numbers.IPV6_RECVORIGDSTADDR):
        yield IPV6, numbers.IPV6_RECVORIGDSTADDR, packed(arrival.dst, udp.local_port, end.family)


def _stamp(end: DatagramEnd, at: float, *, coarse: bool) -> bytes:
    nanoseconds = round(end.host.time_at(at) * 1e9)
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return _TIME.pack(seconds, rest // 1000 if coarse else rest)


def _number_of(view: memoryview, size: int) -> int:
    if len(view) != size:
        raise error_of(errno.EINVAL)
    return int.from_bytes(view, sys.byteorder, signed=size == 4)
