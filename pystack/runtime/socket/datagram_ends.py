"""What a SOCK_DGRAM socket of a host is: its port, its options, and what its calls attempt."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import LOOPBACK, UNSPECIFIED, Ip4, format_ip4, is_multicast
from pystack.core.errors import error_of
from pystack.runtime.driver.driver import wall_clock_offset_s
from pystack.runtime.socket import error_queue
from pystack.runtime.socket import option_numbers as numbers
from pystack.runtime.socket.option_table import IP, SOCKET, UDP, Option
from pystack.runtime.socket.socket_ends import SocketEnd, packed_address
from pystack.runtime.socket.socket_options import view_of
from pystack.runtime.socket.sockets import (
    MSG_DONTROUTE,
    MSG_ERRQUEUE,
    MSG_MORE,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    ControlMessage,
    Received,
)
from pystack.stack.interface import Interface
from pystack.stack.udp_socket import (
    RECEIVE_BUFFER_BYTES,
    USUAL,
    DatagramFields,
)
from pystack.wire.udp import MAX_LONG_BURST_DATAGRAMS, MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from pystack.runtime.host import Host
    from pystack.stack.udp_socket import Arrival, UdpSocket

_STAMPS: Final = {  # in microseconds?
    numbers.SO_TIMESTAMP: True,
    numbers.SO_TIMESTAMP_NEW: True,
    numbers.SO_TIMESTAMPNS: False,
    numbers.SO_TIMESTAMPNS_NEW: False,
}
_ARRIVALS: Final = (
    *(
        (IP, name)
        for name in (
            numbers.IP_RECVOPTS,
            numbers.IP_PKTINFO,
            numbers.IP_RECVTTL,
            numbers.IP_RECVTOS,
        )
    ),
    (IP, numbers.IP_RECVORIGDSTADDR),
    *((SOCKET, name) for name in _STAMPS),
)
_DEFAULT_SNDBUF: Final = 212992  # as Linux tells it; datagrams never wait here
_PKTINFO: Final = struct.Struct("=iII")  # with its addresses swapped, where the machine does so
_TIME: Final = struct.Struct("@ll")

To = tuple[Ip4, int]
Message = tuple[int, int, object]  # level, type, anything that has bytes


class DatagramEnd(SocketEnd):
    """A UDP socket; it gets its port when bound, or when it first sends."""

    def __init__(self, host: Host, proto: int = 0) -> None:
        super().__init__(host, socket.SOCK_DGRAM, proto)
        self.socket: UdpSocket | None = None  # None: no port yet
        self._fields = USUAL
        self._groups: dict[tuple[Interface, Ip4], None] = {}
        self._group_device: Interface | None = None  # IP_MULTICAST_IF; None: as the routes say
        self._sends_plainly = True  # False: options say what becomes of what is sent
        self._corked: tuple[bytearray, To] | None = None  # None: no datagram is being gathered

    # addresses

    def name(self) -> To:
        """Return address and port of this end; zeros before it has any."""
        if self.socket is None:
            return UNSPECIFIED, 0
        return self.socket.local, self.socket.local_port

    def peer(self) -> To:
        """Return address and port of the partner. OSError (ENOTCONN)."""
        if self.socket is None or self.socket.remote is None:
            raise error_of(errno.ENOTCONN)
        return self.socket.remote

    def bind(self, local: Ip4, port: int) -> None:
        """Take a port. OSError: EINVAL, EADDRINUSE, EADDRNOTAVAIL."""
        self.check_local(local)
        if self.socket is not None:
            raise error_of(errno.EINVAL)
        self._open(local, port)

    def connect(self, remote: Ip4, port: int) -> None:
        """Take one partner. OSError: ENETUNREACH, EACCES."""
        remote = _destination(remote)
        udp, stack = self._opened(), self.host.stack
        route = stack.udp.find_route(udp.local, remote, udp.fields)
        if route.interface.is_broadcast(remote) and not udp.allow_broadcast:
            raise error_of(errno.EACCES)
        udp.connect(remote, port, stack.source_towards(remote, route))

    def shutdown(self, how: int) -> None:
        """End sending, receiving or both; also without a partner, which is an error all the same.

        OSError: ENOTCONN, EINVAL.
        """
        if how not in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
            raise error_of(errno.EINVAL)
        if how != socket.SHUT_RD:
            self.write_shut = True
        if how != socket.SHUT_WR:
            self.read_shut = True
            self.became_readable()
        self.peer()

    def is_readable(self) -> bool:
        """Tell whether receiving would return (or raise) at once."""
        return self.read_shut or (self.socket is not None and self.socket.readable)

    def release(self) -> None:
        """Give the port back, and leave the groups."""
        self._corked = None
        if self.socket is not None:
            self.socket.close()
        for interface, group in list(self._groups):
            self._leave(interface, group)

    # data; None: not now

    def try_receive(self, size: int, flags: int) -> Received | None:
        """Take the next datagram, or with MSG_ERRQUEUE the next error."""
        udp = self.socket
        if udp is None:
            return Received(b"", 0) if self.read_shut else None
        if flags & MSG_ERRQUEUE:
            queued = udp.take_queued_error()
            return None if queued is None else error_queue.of_datagram(queued, size)
        error = udp.take_error()
        if error is not None:
            raise error
        datagram = udp.peek() if flags & MSG_PEEK else udp.receive()
        if datagram is None:
            return Received(b"", 0) if self.read_shut else None
        payload, src, port = datagram
        data = payload[:size]
        return Received(
            data,
            len(payload) if flags & MSG_TRUNC else len(data),
            self._messages(udp) if self.options.is_any_set() else [],
            MSG_TRUNC if len(payload) > size else 0,
            (format_ip4(src), port),
        )

    def try_send(
        self, view: memoryview, destination: To | None, flags: int, messages: Sequence[Message] = ()
    ) -> int:
        """Send a datagram, or a part of one (MSG_MORE, UDP_CORK)."""
        udp = self._opened()  # it has a port afterwards, whatever comes of this
        if flags & MSG_OOB:
            raise error_of(errno.EOPNOTSUPP)
        if len(view) > 0xFFFF:
            raise error_of(errno.EMSGSIZE)
        error = udp.take_error()
        if error is not None:
            raise error
        if self.write_shut:
            raise error_of(errno.EPIPE)
        to = destination or udp.remote
        if to is None:
            raise error_of(errno.EDESTADDRREQ)
        if self._sends_plainly and not flags and not messages and self._corked is None:
            udp.send_to(bytes(view), _destination(to[0]), to[1], self.host.now())
            return len(view)
        fields, ttl, segment_bytes = self._wishes(messages, flags)
        if self._corked is not None or flags & MSG_MORE or self.flag(UDP, numbers.UDP_CORK):
            gathered, first_to = self._corked or (bytearray(), to)
            if len(gathered) + len(view) > MAX_PAYLOAD_BYTES:
                raise error_of(errno.EMSGSIZE)
            gathered += view
            self._corked = gathered, first_to
            if not (flags & MSG_MORE or self.flag(UDP, numbers.UDP_CORK)):
                self._uncork(udp)
            return len(view)
        self._send(udp, view, to, fields, ttl, segment_bytes)
        return len(view)

    def _send(
        self,
        udp: UdpSocket,
        view: memoryview,
        to: To,
        fields: DatagramFields | None,
        ttl: int | None,
        segment_bytes: int,
    ) -> None:
        remote, port, now = _destination(to[0]), to[1], self.host.now()
        if not 0 < segment_bytes < len(view):
            udp.send_to(bytes(view), remote, port, now, fields, ttl)
            return
        if len(view) > MAX_PAYLOAD_BYTES:
            raise error_of(errno.EMSGSIZE)
        if len(view) > segment_bytes * MAX_LONG_BURST_DATAGRAMS:
            raise error_of(errno.EINVAL)
        parts = [view[at : at + segment_bytes] for at in range(0, len(view), segment_bytes)]
        udp.send_many(parts, remote, port, now, fields, ttl)

    def _uncork(self, udp: UdpSocket) -> None:
        if self._corked is not None:
            (gathered, to), self._corked = self._corked, None
            segment_bytes = self.options.number(UDP, numbers.UDP_SEGMENT)
            self._send(udp, memoryview(gathered), to, None, None, segment_bytes)

    def _wishes(
        self, messages: Iterable[Message], flags: int
    ) -> tuple[DatagramFields | None, int | None, int]:
        """Return fields and TTL of one datagram (None: the socket's), and how it is to be cut."""
        fields, ttl = None, None
        segment_bytes = self.options.number(UDP, numbers.UDP_SEGMENT)
        if flags & MSG_DONTROUTE:
            fields = replace(self._fields, on_link_only=True)
        for level, name, data in messages:
            view = view_of(data)
            if (level, name) == (UDP, numbers.UDP_SEGMENT):
                segment_bytes = _number_of(view, 2)
            elif (level, name) == (IP, numbers.IP_TTL):
                ttl = _number_of(view, 4)
                if not 1 <= ttl <= 255:
                    raise error_of(errno.EINVAL)
            elif (level, name) == (IP, numbers.IP_TOS):
                tos = view[0] if len(view) == 1 else _number_of(view, 4)
                if not 0 <= tos <= 255:
                    raise error_of(errno.EINVAL)
                fields = replace(fields or self._fields, tos=tos)
            elif (level, name) == (IP, numbers.IP_PKTINFO):
                fields = self._sent_by(view, fields or self._fields)
            else:
                raise error_of(errno.EINVAL, "control message")
        return fields, ttl, segment_bytes

    def _sent_by(self, view: memoryview, fields: DatagramFields) -> DatagramFields:
        if len(view) != _PKTINFO.size:
            raise error_of(errno.EINVAL)
        index = _PKTINFO.unpack(view)[0]
        source = Ip4(int.from_bytes(view[4:8], "big"))
        if source and not self.host.stack.is_own(source):
            raise error_of(errno.EINVAL)
        device = fields.device if index == 0 else self._interface(index)
        return replace(fields, source=source, device=device)

    # the port

    def _opened(self) -> UdpSocket:
        return self.socket or self._open(UNSPECIFIED, 0)

    def _open(self, local: Ip4, port: int) -> UdpSocket:
        udp = self.socket = self.host.stack.udp.bind(
            local,
            port,
            reuse_address=self.flag(SOCKET, numbers.SO_REUSEADDR),
            reuse_port=self.flag(SOCKET, numbers.SO_REUSEPORT),
            device=self.device,
            foreign=self.flag(IP, numbers.IP_FREEBIND),
        )
        udp.on_readable = self.became_readable
        udp.groups = self._groups
        udp.fields = self._fields
        self._apply(udp)
        return udp

    def _apply(self, udp: UdpSocket) -> None:
        """Let the port be what the options say."""
        options = self.options
        udp.allow_broadcast = self.flag(SOCKET, numbers.SO_BROADCAST)
        udp.reuse_address = self.flag(SOCKET, numbers.SO_REUSEADDR)
        udp.reuse_port = self.flag(SOCKET, numbers.SO_REUSEPORT)
        udp.device = self.device
        udp.all_groups = self.flag(IP, numbers.IP_MULTICAST_ALL)
        ttl = options.number(IP, numbers.IP_TTL)
        udp.ttl = self.host.tcp.config.ttl if ttl < 1 else ttl
        udp.receives_errors = self.flag(IP, numbers.IP_RECVERR)
        if not udp.receives_errors:
            udp.errors.clear()
        udp.want_arrivals(wanted=any(options.number(*key) for key in _ARRIVALS))
        if options.is_set(SOCKET, numbers.SO_RCVBUF):
            udp.receive_buffer_bytes = options.number(SOCKET, numbers.SO_RCVBUF)
        udp.fields = self._fields

    def take_error(self) -> int:
        """Return what went wrong, for SO_ERROR, once; 0 for nothing."""
        error = None if self.socket is None else self.socket.take_error()
        return 0 if error is None else error.errno or 0

    # options

    def set_option(self, level: int, name: int, value: object) -> None:
        """Set an option; the port follows."""
        super().set_option(level, name, value)
        self._fields = self._wanted_fields()
        self._sends_plainly = not (
            self.flag(UDP, numbers.UDP_CORK) or self.flag(UDP, numbers.UDP_SEGMENT)
        )
        if self.socket is not None:
            self._apply(self.socket)
            if (level, name) == (UDP, numbers.UDP_CORK) and not self.flag(UDP, numbers.UDP_CORK):
                self._uncork(self.socket)

    def option_set(self, row: Option, data: bytes, number: int) -> int | None:
        """Do what an option means beside what `_apply` does."""
        if row.level == IP:
            match row.number:
                case numbers.IP_MULTICAST_IF:
                    self._group_device = self._device_of(data)
                case numbers.IP_MULTICAST_TTL:
                    return 1 if number == -1 else number
                case numbers.IP_ADD_MEMBERSHIP | numbers.IP_DROP_MEMBERSHIP:
                    group = Ip4(int.from_bytes(data[:4], "big"))
                    join = row.number == numbers.IP_ADD_MEMBERSHIP
                    self._change_group(group, data[4:], join=join)
                case numbers.MCAST_JOIN_GROUP | numbers.MCAST_LEAVE_GROUP:
                    # struct group_req: index, and a sockaddr at the next 8 bytes
                    if int.from_bytes(data[8:10], sys.byteorder) != socket.AF_INET:
                        raise error_of(errno.EINVAL)
                    group = Ip4(int.from_bytes(data[12:16], "big"))
                    join = row.number == numbers.MCAST_JOIN_GROUP
                    self._change_group(group, bytes(4) + data[:4], join=join)
        elif row.level == SOCKET and row.number in _STAMPS and number:
            for other in _STAMPS:
                if other != row.number:
                    self.options.forget(SOCKET, other)
        return super().option_set(row, data, number)

    def _wanted_fields(self) -> DatagramFields:
        number, flag = self.options.number, self.flag
        wanted = DatagramFields(
            tos=number(IP, numbers.IP_TOS),
            mtu_discover=number(IP, numbers.IP_MTU_DISCOVER),
            checksum=not flag(SOCKET, numbers.SO_NO_CHECK),
            on_link_only=flag(SOCKET, numbers.SO_DONTROUTE),
            device=self.device,
            group_device=self._group_device,
            group_ttl=number(IP, numbers.IP_MULTICAST_TTL),
            group_loop=flag(IP, numbers.IP_MULTICAST_LOOP),
        )
        return USUAL if wanted == USUAL else wanted

    def resize(self, name: int, size_bytes: int) -> None:
        """Nothing to do: `_apply` does it."""

    def known_option(self, row: Option) -> int | str | bytes | None:
        """Return an option that says something of the socket; None for one just remembered."""
        options = self.options
        if row.level == IP:
            match row.number:
                case numbers.IP_TTL:
                    ttl = options.number(IP, numbers.IP_TTL)
                    return self.host.tcp.config.ttl if ttl < 1 else ttl
                case numbers.IP_MTU:
                    return self._mtu()
                case numbers.IP_MULTICAST_IF:
                    device = self._group_device
                    address = UNSPECIFIED if device is None else device.address
                    return address.to_bytes(4, "big")
        elif row.level == SOCKET and not options.is_set(*row.key):
            if row.number == numbers.SO_SNDBUF:
                return _DEFAULT_SNDBUF
            if row.number == numbers.SO_RCVBUF:
                return RECEIVE_BUFFER_BYTES
        return super().known_option(row)

    def _mtu(self) -> int:
        remote = self.peer()[0]
        udp, table = self._opened(), self.host.stack.udp
        route = table.find_route(udp.local, remote, udp.fields)
        return table.mtu_of(route, remote, udp.fields, self.host.now())

    # interfaces and groups

    def _interface(self, index: int) -> Interface:
        interfaces = self.host.interfaces
        if not 1 <= index <= len(interfaces):
            raise error_of(errno.ENODEV)
        return interfaces[index - 1]

    def _device_of(self, data: bytes) -> Interface | None:
        """Read an in_addr, ip_mreq or ip_mreqn that names a link. OSError (EADDRNOTAVAIL)."""
        address = Ip4(int.from_bytes(data[4:8] if len(data) >= 8 else data[:4], "big"))
        if len(data) >= 12 and (index := int.from_bytes(data[8:12], sys.byteorder)):
            if index > len(self.host.interfaces):
                raise error_of(errno.EADDRNOTAVAIL)
            return self._interface(index)
        if address == UNSPECIFIED:
            return None
        found = self.host.stack.addresses.get(address)
        if found is None:
            raise error_of(errno.EADDRNOTAVAIL)
        return found

    def _link_of(self, group: Ip4, where: bytes) -> Interface:
        if len(where) >= 8 and (index := int.from_bytes(where[4:8], sys.byteorder)):
            return self._interface(index)
        address = Ip4(int.from_bytes(where[:4], "big"))
        return self.host.stack.groups.find_interface(group, address)

    def _change_group(self, group: Ip4, where: bytes, *, join: bool) -> None:
        if join and not is_multicast(group):
            raise error_of(errno.EINVAL)
        try:
            member = self._link_of(group, where), group
        except OSError:
            if join:
                raise
            raise error_of(errno.EADDRNOTAVAIL) from None
        if join and member in self._groups:
            raise error_of(errno.EADDRINUSE)
        if join:
            self.host.stack.groups.join(*member, self.host.now())
            self._groups[member] = None
        elif member not in self._groups:
            raise error_of(errno.EADDRNOTAVAIL)
        else:
            self._leave(*member)

    def _leave(self, interface: Interface, group: Ip4) -> None:
        del self._groups[interface, group]
        with suppress(OSError):  # its host has lost its power meanwhile, and has forgotten
            self.host.stack.groups.leave(interface, group, self.host.now())

    # what is told of a datagram

    def _messages(self, udp: UdpSocket) -> list[ControlMessage]:
        """Return the control messages of the datagram that was just received."""
        found: list[ControlMessage] = []
        arrival = udp.arrival
        if arrival is not None:
            for name, in_microseconds in _STAMPS.items():
                if self.flag(SOCKET, name):
                    found.append(
                        (SOCKET, name, self._stamp(arrival.at, in_microseconds=in_microseconds))
                    )
        if self.flag(SOCKET, numbers.SO_RXQ_OVFL) and udp.dropped:
            found.append((SOCKET, numbers.SO_RXQ_OVFL, struct.pack("I", udp.dropped & 0xFFFFFFFF)))
        if arrival is None:
            return found
        if self.flag(IP, numbers.IP_PKTINFO):
            found.append((IP, numbers.IP_PKTINFO, self._pktinfo(arrival)))
        if self.flag(IP, numbers.IP_RECVTTL):
            found.append((IP, numbers.IP_TTL, struct.pack("i", arrival.ttl)))
        if self.flag(IP, numbers.IP_RECVTOS):
            found.append((IP, numbers.IP_TOS, bytes((arrival.tos,))))
        if self.flag(IP, numbers.IP_RECVOPTS) and arrival.options:
            found.append((IP, numbers.IP_RECVOPTS, arrival.options))
        if self.flag(IP, numbers.IP_RECVORIGDSTADDR):
            found.append(
                (IP, numbers.IP_RECVORIGDSTADDR, packed_address(arrival.dst, udp.local_port))
            )
        return found

    def _pktinfo(self, arrival: Arrival) -> bytes:
        dst = arrival.dst
        own = dst
        if not self.host.stack.is_own(dst):
            own = self._interface(arrival.interface).address
        index = struct.pack("i", arrival.interface)
        return index + own.to_bytes(4, "big") + dst.to_bytes(4, "big")

    def _stamp(self, at: float, *, in_microseconds: bool) -> bytes:
        nanoseconds = round((at + wall_clock_offset_s(self.host.driver)) * 1e9)
        seconds, rest = divmod(nanoseconds, 1_000_000_000)
        return _TIME.pack(seconds, rest // 1000 if in_microseconds else rest)


def _number_of(view: memoryview, size: int) -> int:
    if len(view) != size:
        raise error_of(errno.EINVAL)
    return int.from_bytes(view, sys.byteorder, signed=size == 4)


def _destination(address: Ip4) -> Ip4:
    """Return where a packet to this address goes: to 0.0.0.0 means to the host itself."""
    return LOOPBACK if address == UNSPECIFIED else address
