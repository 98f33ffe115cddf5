"""A connected pair of sockets on one host (socketpair(2)): what Unix sockets are used for there.

No network lies between them: what one end sends, the other has. Event loops and threads are woken
through such pairs, and programs' parts talk over them.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import Ip
from pystack.core.errors import error_of
from pystack.runtime.socket.socket_addresses import Place, SocketAddress
from pystack.runtime.socket.socket_calls import MSG_PEEK, MSG_TRUNC, Received
from pystack.runtime.socket.socket_ends import SocketEnd

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

FAMILY: Final[socket.AddressFamily] = getattr(socket, "AF_UNIX", socket.AF_INET)
_ROOM_BYTES: Final = 212_992  # Linux's net.core.wmem_default


class PairEnd(SocketEnd):
    """One of two; a stream of bytes, or datagrams that keep their borders."""

    def __init__(
        self, host: BareHost, kind: socket.SocketKind, family: socket.AddressFamily
    ) -> None:
        super().__init__(host, kind, 0, family)
        self.other: PairEnd | None = None  # None: it was closed
        self._waiting: deque[bytes] = deque()  # to be received
        self.waiting_bytes = 0
        self.error = 0  # ECONNRESET: the other end was closed and had not read all

    @property
    def has_text(self) -> bool:
        """Tell whether there is something to receive."""
        return bool(self._waiting)

    @property
    def other_ended(self) -> bool:
        """Tell whether the other end sends no more; of datagrams nobody is told."""
        streams = self.kind is socket.SOCK_STREAM
        return streams and (self.other is None or self.other.write_shut)

    @property
    def has_room(self) -> bool:
        """Tell whether sending would not have to wait."""
        other = self.other
        return self.write_shut or other is None or other.waiting_bytes < _ROOM_BYTES

    def try_send(self, view: memoryview, flags: int) -> int | None:
        """Hand over as much as there is room for; None: not now. OSError (EPIPE)."""
        other = self.other
        if self.write_shut or other is None or other.read_shut:
            raise error_of(errno.EPIPE if self.kind is socket.SOCK_STREAM else errno.ECONNREFUSED)
        room = _ROOM_BYTES - other.waiting_bytes
        if room <= 0:
            return None
        data = bytes(view if self.kind is socket.SOCK_DGRAM else view[:room])
        if data or self.kind is socket.SOCK_DGRAM:
            other._waiting.append(data)
            other.waiting_bytes += len(data)
            other.became_readable()
        return len(data)

    def try_receive(self, size: int, flags: int) -> Received | None:
        """Take what was sent; None: nothing yet."""
        waiting = self._waiting
        if not waiting:
            if self.error:
                raise error_of(self.take_error())
            return Received(b"", 0) if self.read_shut or self.other_ended else None
        first = waiting[0]
        data, rest = first[:size], first[size:]
        flags_back = 0
        if self.kind is socket.SOCK_DGRAM:
            flags_back, rest = MSG_TRUNC if rest else 0, b""
        if not flags & MSG_PEEK:
            was_full = self.waiting_bytes >= _ROOM_BYTES
            self.waiting_bytes -= len(first) - len(rest)
            if rest:
                waiting[0] = rest
            else:
                waiting.popleft()
            if was_full and self.other is not None:
                self.other.became_writable()
        told = len(first) if flags & MSG_TRUNC and flags_back else len(data)
        return Received(data, told, [], flags_back)

    # as all ends

    def is_readable(self) -> bool:
        """Tell whether receiving would return (or raise) at once."""
        return self.read_shut or self.has_text or self.other_ended

    def name(self) -> Place:
        """Return nothing: the pair has no names."""
        return Ip(0), 0

    def peer(self) -> Place:
        """Return nothing, also once the other end was closed."""
        return Ip(0), 1

    def shown(self, address: Ip, port: int) -> SocketAddress:
        """Return what stands for no name: empty text, as of Unix sockets."""
        return ""  # type: ignore[return-value] # no address of the network's

    def bind(self, local: Ip, port: int) -> None:
        """Refuse: it is connected (EINVAL)."""
        raise error_of(errno.EINVAL)

    def shutdown(self, how: int) -> None:
        """End sending, receiving or both."""
        if how not in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
            raise error_of(errno.EINVAL)
        self.read_shut |= how != socket.SHUT_WR
        self.write_shut |= how != socket.SHUT_RD
        for end in (self, self.other):
            if end is not None:
                end.became_readable()
                end.became_writable()

    def take_error(self) -> int:
        """Return what went wrong, for SO_ERROR, once; 0 for nothing."""
        number, self.error = self.error, 0
        return number

    def resize(self, name: int, size_bytes: int) -> None:
        """Nothing to do: the room is always the same."""

    def release(self) -> None:
        """Let the other end know."""
        other, self.other = self.other, None
        if other is not None:
            other.other = None
            if self._waiting and self.kind is socket.SOCK_STREAM:
                other.error = errno.ECONNRESET
            other.became_readable()
            other.became_writable()


def make_pair(
    host: BareHost, kind: socket.SocketKind, family: socket.AddressFamily = FAMILY
) -> tuple[PairEnd, PairEnd]:
    """Return two ends that are connected to each other. OSError: a kind that there is none of."""
    if kind not in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        raise OSError(errno.ESOCKTNOSUPPORT, f"no pairs of type {kind} on {host.name}")
    one, other = PairEnd(host, kind, family), PairEnd(host, kind, family)
    one.other, other.other = other, one
    return one, other
