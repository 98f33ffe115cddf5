"""What a SOCK_DGRAM socket of a host is: its port, its options, and what its calls attempt."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import (
    UNSPECIFIED,
    Ip,
    is_link_local,
    is_multicast,
    is_v6,
    with_zone,
    zone_of,
)
from pystack.core.errors import error_of
from pystack.runtime.socket import error_queue
from pystack.runtime.socket import option_numbers as numbers
from pystack.runtime.socket.datagram_messages import (
    ARRIVALS,
    PKTINFO6_BYTES,
    STAMPS,
    sent_by6,
    told,
    wishes,
)
from pystack.runtime.socket.group_options import GroupOptions
from pystack.runtime.socket.option_table import IP, IPV6, SOCKET, UDP, Option
from pystack.runtime.socket.socket_addresses import (
    Place,
    check_zone,
    destination,
    is_wild,
    nowhere,
)
from pystack.runtime.socket.socket_calls import (
    MSG_ERRQUEUE,
    MSG_MORE,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    Message,
    Received,
)
from pystack.runtime.socket.socket_ends import SocketEnd
from pystack.stack.udp_socket import (
    PMTU_DO,
    PMTU_DONT,
    PMTU_WANT,
    RECEIVE_BUFFER_BYTES,
    USUAL,
    DatagramFields,
)
from pystack.wire.udp import MAX_LONG_BURST_DATAGRAMS, MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost
    from pystack.stack.udp_socket import UdpSocket

_TTL: Final = (IP, numbers.IP_TTL)
_HOPS: Final = (IPV6, numbers.IPV6_UNICAST_HOPS)
_GROUP_HOPS: Final = ((IP, numbers.IP_MULTICAST_TTL), (IPV6, numbers.IPV6_MULTICAST_HOPS))
_ALL_GROUPS: Final = (IP, numbers.IP_MULTICAST_ALL)
_DEFAULT_SNDBUF: Final = 212992  # as Linux tells it; datagrams never wait here


class DatagramEnd(SocketEnd):
    """A UDP socket; it gets its port when bound, or when it first sends."""

    def __init__(
        self, host: BareHost, proto: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> None:
        super().__init__(host, socket.SOCK_DGRAM, proto, family)
        self.socket: UdpSocket | None = None  # None: no port yet
        self.fields = USUAL  # of what it sends in its own version of IP
        # Those of IPv4, and their TTL, on a socket of IPv6; None: as for IPv6
        self._mapped: tuple[DatagramFields, int] | None = None
        self._sticky = bytes(PKTINFO6_BYTES)  # IPV6_PKTINFO; zeros: nothing is asked for
        self.groups = GroupOptions(host)
        self._sends_plainly = True  # False: options say what becomes of what is sent
        self._corked: tuple[bytearray, Place] | None = None  # None: no datagram is being gathered

    # addresses

    def name(self) -> Place:
        """Return address and port of this end; zeros before it has any."""
        if self.socket is None:
            return nowhere(self.family), 0
        return self.socket.local, self.socket.local_port

    def peer(self) -> Place:
        """Return address and port of the partner. OSError (ENOTCONN)."""
        if self.socket is None or self.socket.remote is None:
            raise error_of(errno.ENOTCONN)
        return self.socket.remote

    def bind(self, local: Ip, port: int) -> None:
        """Take a port. OSError: EINVAL, EADDRINUSE, EADDRNOTAVAIL."""
        self.check_local(local, bound=self.socket is not None)
        self._open(local, port)
        self.note_bound(local)

    def connect(self, remote: Ip, port: int) -> None:
        """Take one partner. OSError: ENETUNREACH, EACCES."""
        udp, stack = self._opened(), self.host.stack
        remote = destination(remote, udp.local)
        if self.groups.device is None or not is_multicast(remote):
            check_zone(remote, self.device)
        if udp.local_was_given or not is_v6(udp.local):
            self._check_version(udp, remote)
        self.check_family(remote)
        route = stack.udp.find_route(udp.local, remote, udp.fields)
        if route.interface.is_broadcast(remote) and not udp.allow_broadcast:
            raise error_of(errno.EACCES)
        udp.connect(remote, port, stack.source_towards(remote, route))

    def on_some_link(self, remote: Ip) -> Ip:
        """Return a link-local address as one of a link: of the first where none was named."""
        if is_v6(remote) and is_link_local(remote) and not zone_of(remote):
            return with_zone(remote, self.host.stack.routes.first_link)
        return remote

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
        self.groups.leave_all()

    # data; None: not now

    def try_receive(self, size: int, flags: int) -> Received | None:
        """Take the next datagram, or with MSG_ERRQUEUE the next error."""
        udp = self.socket
        if udp is None:
            return Received(b"", 0) if self.read_shut else None
        if flags & MSG_ERRQUEUE:
            queued = udp.take_queued_error()
            return None if queued is None else error_queue.of_datagram(queued, size, self.family)
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
            told(self, udp) if self.options.is_any_set() else [],
            MSG_TRUNC if len(payload) > size else 0,
            self.shown(src, port),
        )

    def try_send(
        self, view: memoryview, where: Place | None, flags: int, messages: Sequence[Message] = ()
    ) -> int:
        """Send a datagram, or a part of one (MSG_MORE, UDP_CORK)."""
        udp = self._opened()  # it has a port afterwards, whatever comes of this
        if flags & MSG_OOB and not self.is_v6:
            raise error_of(errno.EOPNOTSUPP)
        if len(view) > 0xFFFF:
            raise error_of(errno.EMSGSIZE)
        error = udp.take_error()
        if error is not None:
            raise error
        to = where or udp.remote
        if to is None:
            raise error_of(errno.EDESTADDRREQ)
        if self.write_shut:
            raise error_of(errno.EPIPE)
        if where is not None:
            to = destination(where[0], udp.local), where[1]
            if self.is_v6:
                self._check_version(udp, to[0])
        if flags & MSG_OOB and not is_v6(to[0]):  # IPv6 does not look at it, as in Linux
            raise error_of(errno.EOPNOTSUPP)
        if self._sends_plainly and not flags and not messages and self._corked is None:
            udp.send_to(bytes(view), *to, self.host.now(), *self.own_of(to[0]))
            return len(view)
        fields, ttl, segment_bytes = wishes(self, messages, flags, to[0])
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
        to: Place,
        fields: DatagramFields | None,
        ttl: int | None,
        segment_bytes: int,
    ) -> None:
        remote, port, now = *to, self.host.now()
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
            self._send(udp, memoryview(gathered), to, *wishes(self, (), 0, to[0]))

    def own_of(self, remote: Ip) -> tuple[DatagramFields | None, int | None]:
        """Return fields and TTL of datagrams to there; None: those of the port."""
        if self._mapped is None or is_v6(remote):
            return None, None
        fields, ttl = self._mapped
        return fields, None if is_multicast(remote) else ttl

    def _check_version(self, udp: UdpSocket, remote: Ip) -> None:
        """Raise OSError where what it is bound to is no source: ENETUNREACH, EAFNOSUPPORT."""
        self.check_family(remote)
        local = udp.local
        if self.is_v6 and is_v6(remote) and not is_v6(local):
            raise error_of(errno.EAFNOSUPPORT)
        if not is_wild(local) and (
            is_v6(local) is not is_v6(remote) or (self.is_v6 and self.host.stack.is_many(local))
        ):
            raise error_of(errno.ENETUNREACH)

    # the port

    def _opened(self) -> UdpSocket:
        return self.socket or self._open(self.everywhere, 0)

    def _open(self, local: Ip, port: int) -> UdpSocket:
        udp = self.socket = self.host.stack.udp.bind(
            local,
            port,
            reuse_address=self.flag(SOCKET, numbers.SO_REUSEADDR),
            reuse_port=self.flag(SOCKET, numbers.SO_REUSEPORT),
            device=self.device,
            foreign=self.foreign,
        )
        udp.on_readable = self.became_readable
        udp.groups = self.groups.members
        udp.fields = self.fields
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
        if self.is_v6:
            udp.all_groups = self.flag(IPV6, numbers.IPV6_MULTICAST_ALL)
        udp.ttl = self._ttl(*_HOPS if self.is_v6 else _TTL)
        udp.receives_errors = self.flag(IP, numbers.IP_RECVERR)
        if self.is_v6:
            udp.receives_errors6 = self.flag(IPV6, numbers.IPV6_RECVERR)
        if not (udp.receives_errors or udp.receives_errors6):
            udp.errors.clear()
        udp.want_arrivals(wanted=any(options.number(*key) for key in ARRIVALS))
        if options.is_set(SOCKET, numbers.SO_RCVBUF):
            udp.receive_buffer_bytes = options.number(SOCKET, numbers.SO_RCVBUF)
        udp.fields = self.fields

    def take_error(self) -> int:
        """Return what went wrong, for SO_ERROR, once; 0 for nothing."""
        error = None if self.socket is None else self.socket.take_error()
        return 0 if error is None else error.errno or 0

    # options

    def set_option(self, level: int, name: int, value: object) -> None:
        """Set an option; the port follows."""
        super().set_option(level, name, value)
        self.fields, self._mapped = self._wanted_fields(), None
        if self.is_v6:
            mapped = self.fields, self._ttl(*_TTL)
            self.fields = self._wanted_fields6()
            if mapped != (self.fields, self._ttl(*_HOPS)):
                self._mapped = mapped
        self._sends_plainly = not (
            self.flag(UDP, numbers.UDP_CORK) or self.flag(UDP, numbers.UDP_SEGMENT)
        )
        if self.socket is not None:
            self._apply(self.socket)
            if (level, name) == (UDP, numbers.UDP_CORK) and not self.flag(UDP, numbers.UDP_CORK):
                self._uncork(self.socket)

    def option_set(self, row: Option, data: bytes, number: int) -> int | None:
        """Do what an option means beside what `_apply` does."""
        if row.level in (IP, IPV6):
            self.groups.option_set(row, data, number)
        if row.key in _GROUP_HOPS:
            return 1 if number == -1 else number
        if row.key == (IPV6, numbers.IPV6_PKTINFO):
            sent_by6(self, data, USUAL)
            self._sticky = data[:PKTINFO6_BYTES]
        elif row.level == SOCKET and row.number in STAMPS and number:
            for other in STAMPS:
                if other != row.number:
                    self.options.forget(SOCKET, other)
        return super().option_set(row, data, number)

    def _ttl(self, level: int, name: int) -> int:
        ttl = self.options.number(level, name)
        return self.host.tcp.config.ttl if ttl < 1 else ttl

    def _wanted_fields6(self) -> DatagramFields:
        number, flag = self.options.number, self.flag
        discover = number(IPV6, numbers.IPV6_MTU_DISCOVER)
        if flag(IPV6, numbers.IPV6_DONTFRAG):
            discover = PMTU_DO
        wanted = DatagramFields(
            tos=number(IPV6, numbers.IPV6_TCLASS),
            # No router cuts: to want to know the path's MTU is the usual thing here.
            mtu_discover=PMTU_DONT if discover == PMTU_WANT else discover,
            checksum=not flag(SOCKET, numbers.SO_NO_CHECK),
            on_link_only=flag(SOCKET, numbers.SO_DONTROUTE),
            device=self.device,
            group_device=self.groups.device,
            group_ttl=number(IPV6, numbers.IPV6_MULTICAST_HOPS),
            group_loop=flag(IPV6, numbers.IPV6_MULTICAST_LOOP),
        )
        if any(self._sticky):
            wanted = sent_by6(self, self._sticky, wanted)
        return USUAL if wanted == USUAL else wanted

    def _wanted_fields(self) -> DatagramFields:
        number, flag = self.options.number, self.flag
        wanted = DatagramFields(
            tos=number(IP, numbers.IP_TOS),
            mtu_discover=number(IP, numbers.IP_MTU_DISCOVER),
            checksum=not flag(SOCKET, numbers.SO_NO_CHECK),
            on_link_only=flag(SOCKET, numbers.SO_DONTROUTE),
            device=self.device,
            group_device=self.groups.device,
            group_ttl=number(IP, numbers.IP_MULTICAST_TTL),
            group_loop=flag(IP, numbers.IP_MULTICAST_LOOP),
        )
        return USUAL if wanted == USUAL else wanted

    def resize(self, name: int, size_bytes: int) -> None:
        """Nothing to do: `_apply` does it."""

    def known_option(self, row: Option) -> int | str | bytes | None:
        """Return an option that says something of the socket; None for one just remembered."""
        options = self.options
        if row.key == _TTL:
            return self._ttl(*_TTL)
        if row.key == _HOPS:
            hops = options.number(*_HOPS)
            return self.host.tcp.config.ttl if hops < 0 else hops
        if row.key in ((IP, numbers.IP_MTU), (IPV6, numbers.IPV6_MTU)):
            return self._mtu()
        if row.key == _ALL_GROUPS and self.is_v6 and not options.is_set(*row.key):
            return 0  # as Linux, where that of IPv6 counts
        device = self.groups.device
        if row.key == (IP, numbers.IP_MULTICAST_IF):
            return (UNSPECIFIED if device is None else device.address).to_bytes(4, "big")
        if row.key == (IPV6, numbers.IPV6_MULTICAST_IF):
            return 0 if device is None else device.index
        if row.level == SOCKET and not options.is_set(*row.key):
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
