"""One UDP port of a host: what waits to be received, and what goes out differently from usual."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import UNSPECIFIED, Ip, is_multicast, is_v6
from pystack.stack.egress import send_datagram
from pystack.stack.ports import locals_of, names_one
from pystack.wire import ipv4, ipv6

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface
    from pystack.stack.udp import UdpTable
    from pystack.stack.way import Way
    from pystack.wire.checksum import Buffer

RECEIVE_BUFFER_BYTES: Final = 1 << 20
MAX_ERRORS: Final = 64  # that wait for their reader (IP_RECVERR); the next one is only counted

# IP_MTU_DISCOVER, by Linux's numbers
PMTU_DONT: Final = 0  # never DF: routers may cut, as RFC 791 has it
PMTU_WANT: Final = 1  # DF on what fits the path's MTU, the rest is cut here
PMTU_DO: Final = 2  # DF always; EMSGSIZE for what is larger than the path's MTU
PMTU_PROBE: Final = 3  # DF always, whatever is known of the path
PMTU_INTERFACE: Final = 4  # never DF; EMSGSIZE for what is larger than the link's MTU

# Where a queued error comes from: SO_EE_ORIGIN_LOCAL, SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6
ORIGIN_LOCAL: Final = 1
ORIGIN_ICMP: Final = 2
ORIGIN_ICMP6: Final = 3


def buffer_bytes(payload_bytes: int, src: int = UNSPECIFIED) -> int:
    """Return what a waiting datagram takes of its socket's buffer: what it takes on Linux.

    There it lies in a block of 576, 1,024, 2,048, ... or 16,384 bytes, with 379 bytes beside the
    payload (399 of IPv6) and 256 for what describes it; above that in pages of its own
    (skb->truesize).
    """
    if src >> 32:
        payload_bytes += 20
    block_bytes = payload_bytes + 379
    if block_bytes <= 576:
        return 832
    if block_bytes <= 16_384:
        return 256 + (1 << (block_bytes - 1).bit_length())
    return payload_bytes + 832


@dataclass(slots=True, frozen=True)
class DatagramFields:
    """How the datagrams of a socket, or a single one, differ from the usual; replaced as a whole.

    The TTL is not among them: it may differ on the short way too.
    """

    tos: int = 0
    mtu_discover: int = PMTU_DONT
    checksum: bool = True  # False: none is sent (SO_NO_CHECK)
    on_link_only: bool = False  # no router is asked to pass it on (SO_DONTROUTE)
    source: Ip = UNSPECIFIED  # that of this datagram (IP_PKTINFO); UNSPECIFIED: the socket's
    device: Interface | None = None  # None: the one that the routes say
    group_device: Interface | None = None  # the same for multicast (IP_MULTICAST_IF)
    group_ttl: int = 1  # of multicast (IP_MULTICAST_TTL)
    group_loop: bool = True  # multicast is heard here too, where the group is joined


USUAL: Final = DatagramFields()


@dataclass(slots=True)
class Arrival:
    """What is told of a datagram beside its sender, to whoever asked for it."""

    dst: Ip
    interface: int  # its number on the host, from 1
    ttl: int
    tos: int
    at: float
    options: bytes = b""


@dataclass(slots=True)
class QueuedError:
    """An error about one datagram, as IP_RECVERR gives it."""

    number: int  # errno
    origin: int
    kind: int  # of the ICMP message, and its code; 0 for local ones
    code: int
    info: int  # the MTU, where that is the trouble
    offender: Ip  # who said so; UNSPECIFIED: this host
    dst: tuple[Ip, int]  # where the datagram was to go
    payload: bytes  # as much of it as was quoted


class UdpSocket:
    """One bound, perhaps connected, UDP port. Made by `UdpTable.bind`."""

    __slots__ = (
        "_host",
        "_queued_bytes",
        "_received",
        "_table",
        "_wildcard",
        "all_groups",
        "allow_broadcast",
        "arrival",
        "arrivals",
        "arrived_at",
        "broken",
        "device",
        "dropped",
        "error",
        "errors",
        "fields",
        "groups",
        "local",
        "local_port",
        "local_was_given",
        "on_readable",
        "receive_buffer_bytes",
        "receives_errors",
        "receives_errors6",
        "remote",
        "reuse_address",
        "reuse_port",
        "ttl",
        "ways",
    )

    def __init__(self, host: Host, table: UdpTable, local: Ip, local_port: int) -> None:
        self._host = host
        self._table = table
        self.local = local  # one that `locals_of` knows of: every address of the host
        self._wildcard = UNSPECIFIED if names_one(local) else local
        self.local_port = local_port
        self.local_was_given = names_one(local)  # by the user, not by `connect`
        self.remote: tuple[Ip, int] | None = None  # None: not connected
        self.error: OSError | None = None  # what ICMP told, for the owner's next call
        self.broken: int | None = None  # errno of every call from now on: the host has no power
        self.errors: deque[QueuedError] = deque()
        self.receives_errors = False  # True: all errors are told, and queued (IP_RECVERR)
        self.receives_errors6: bool | None = None  # the same of IPv6; None: as of IPv4
        self.on_readable: Callable[[], None] | None = None  # None: nobody wants to be told
        self.allow_broadcast = False
        self.reuse_address = self.reuse_port = False
        self.receive_buffer_bytes = RECEIVE_BUFFER_BYTES
        self.ttl = ipv4.DEFAULT_TTL
        self.fields: DatagramFields = USUAL
        self.device: Interface | None = None  # hears nothing from elsewhere; None: hears all
        self.groups: dict[tuple[Interface, Ip], None] = {}  # multicast that it has joined
        self.all_groups = True  # False: hears none that it has not joined itself
        self.dropped = 0  # datagrams that there was no room for
        self.ways: dict[tuple[Ip, int], Way] = {}  # by destination, from the local address
        # Payload, from whom, and to which address of this host
        self._received: deque[tuple[bytes, Ip, int, Ip]] = deque()
        self._queued_bytes = 0
        self.arrived_at = UNSPECIFIED  # where the last datagram received was sent to
        self.arrival: Arrival | None = None  # of the last datagram received; None: not asked for
        self.arrivals: deque[Arrival | None] | None = None  # None: nobody has asked for them

    def keep_in(self, received: deque[tuple[bytes, Ip, int, Ip]]) -> None:
        """Have what arrives put there, after what waits: for a deque that counts, at no cost."""
        received.extend(self._received)
        self._received = received

    @property
    def readable(self) -> bool:
        """Tell whether `receive`, `take_error` or `errors` has something."""
        return bool(self._received) or self.has_errors

    @property
    def has_datagrams(self) -> bool:
        """Tell whether `receive` has something."""
        return bool(self._received)

    @property
    def has_errors(self) -> bool:
        """Tell whether `take_error` or `errors` has something."""
        return self.error is not None or self.broken is not None or bool(self.errors)

    @property
    def queued_bytes(self) -> int:
        """Return what waits, in bytes of the receive buffer."""
        return self._queued_bytes

    @property
    def is_plain(self) -> bool:
        """Tell whether the short way in may serve it: it has no wishes."""
        return self.arrivals is None and self.device is None

    def want_arrivals(self, *, wanted: bool) -> None:
        """Keep an `Arrival` for each datagram from now on, or no more."""
        if not wanted:
            self.arrivals = self.arrival = None
        elif self.arrivals is None:
            self.arrivals = deque([None] * len(self._received))

    def receive(self) -> tuple[bytes, Ip, int] | None:
        """Return (payload, source address, source port) of the oldest datagram, if there is one."""
        if not self._received:
            return None
        payload, src, port, self.arrived_at = self._received.popleft()
        if self._received:
            self._queued_bytes -= buffer_bytes(len(payload), src)
        else:
            self._queued_bytes = 0
        if self.arrivals is not None:
            self.arrival = self.arrivals.popleft()
        return payload, src, port

    def peek(self) -> tuple[bytes, Ip, int] | None:
        """Return what `receive` would, and leave it there."""
        if not self._received:
            return None
        if self.arrivals is not None:
            self.arrival = self.arrivals[0]
        payload, src, port, self.arrived_at = self._received[0]
        return payload, src, port

    def take_error(self) -> OSError | None:
        """Return what went wrong, once; always, where there is no host any more."""
        if self.broken is not None:
            return OSError(self.broken, os.strerror(self.broken))
        error, self.error = self.error, None
        return error

    def take_queued_error(self) -> QueuedError | None:
        """Return the oldest error of the queue; the pending one is then that of the next."""
        if not self.errors:
            return None
        found = self.errors.popleft()
        self.error = None
        if self.errors:
            number = self.errors[0].number
            self.error = OSError(number, os.strerror(number))
        return found

    def connect(self, remote: Ip, port: int, source: Ip) -> None:
        """Take one partner. `source`: the address to send from, unless it was bound to one."""
        self.remote = remote, port
        named = self.local_was_given or is_v6(self.local) is is_v6(remote)
        if not (names_one(self.local) and named):
            # udp(7): the source address is chosen now; programs ask getsockname for it.
            self.local = source
            self.ways.clear()

    def disconnect(self) -> None:
        """Hear from anybody again, at every address unless it was bound to one."""
        self.remote = None
        if not self.local_was_given:
            self.local = self._wildcard
            self.ways.clear()

    def send_to(
        self,
        payload: bytes,
        dst: Ip,
        dst_port: int,
        now: float,
        fields: DatagramFields | None = None,
        ttl: int | None = None,
    ) -> None:
        """Send one datagram (HOT). OSError: EMSGSIZE, ENETUNREACH, EACCES (broadcast), EINVAL.

        `fields` and `ttl` are those of this datagram; None: the socket's.
        """
        host, table = self._host, self._table
        if fields is None:
            fields = self.fields
        if fields is USUAL:
            way = self.ways.get((dst, dst_port))
            if way is None or way.changes != host.routes.changes:
                way = table.find_way(self, dst, dst_port, fields)
            size = way.headers_bytes + len(payload)
            if (
                way.to_neighbor  # else it may be for many, or for us
                and size <= way.mtu_bytes
                and not (way.is_v6 and size > ipv6.MIN_MTU_BYTES and table.path_mtus)
            ):
                host.counters["udp_datagrams_out"] += 1
                send_datagram(host, way, self.local_port, dst_port, payload, now, ttl or self.ttl)
                return
        else:
            way = table.find_way(self, dst, dst_port, fields)
        table.send_otherwise(self, way, payload, dst, dst_port, now, fields, ttl)

    def send_many(
        self,
        datagrams: Sequence[Buffer],
        dst: Ip,
        dst_port: int,
        now: float,
        fields: DatagramFields | None = None,
        ttl: int | None = None,
    ) -> None:
        """Send datagrams in order: those of one size in a row as bursts, where the port cuts them.

        Raises OSError as `send_to` does; then none was sent.
        """
        self._table.send_many(self, datagrams, dst, dst_port, now, fields, ttl)

    def close(self) -> None:
        """Give the port back."""
        self._table.unbind(self)
        self._received.clear()
        self.errors.clear()
        self.on_readable = None

    def deliver(
        self, payload: bytes, src: Ip, src_port: int, dst: Ip, arrival: Arrival | None = None
    ) -> bool:
        """Queue a datagram for the owner; False where there is no room."""
        cost = buffer_bytes(len(payload), src)
        if self._queued_bytes and self._queued_bytes + cost > self.receive_buffer_bytes:
            self.dropped += 1
            return False
        self._queued_bytes += cost
        self._received.append((payload, src, src_port, dst))
        if self.arrivals is not None:
            self.arrivals.append(arrival)
        if self.on_readable is not None:
            self.on_readable()
        return True

    def deliver_burst(
        self, payload: bytes, each_bytes: int, src: Ip, src_port: int, dst: Ip
    ) -> tuple[int, int]:
        """Queue datagrams of one size, the last perhaps shorter; return (how many, no room for)."""
        parts = [payload[at : at + each_bytes] for at in range(0, len(payload), each_bytes)]
        count = len(parts)
        cost = (count - 1) * buffer_bytes(each_bytes, src) + buffer_bytes(len(parts[-1]), src)
        if self._queued_bytes + cost > self.receive_buffer_bytes:
            return count, sum(not self.deliver(part, src, src_port, dst) for part in parts)
        self._queued_bytes += cost
        self._received.extend([(part, src, src_port, dst) for part in parts])
        if self.on_readable is not None:
            self.on_readable()
        return count, 0

    def hears(self, dst: Ip, interface: Interface) -> bool:
        """Tell whether what came to this address by that link is for it."""
        if self.device is not None and self.device is not interface:
            return False
        if self.local not in locals_of(dst):
            return False
        return self.all_groups or not is_multicast(dst) or (interface, dst) in self.groups

    def wants_errors_of(self, dst: int) -> bool:
        """Tell whether all errors about what was sent there are told (IP(V6)_RECVERR)."""
        six = self.receives_errors6 if dst >> 32 else None
        return self.receives_errors if six is None else six

    def fail(self, error: OSError) -> None:
        """Keep an error for the owner."""
        self.error = error
        if self.on_readable is not None:
            self.on_readable()

    def queue_error(self, error: QueuedError) -> bool:
        """Keep an error for whoever reads the queue of errors; False where too many wait."""
        if len(self.errors) >= MAX_ERRORS:
            return False
        self.errors.append(error)
        return True
