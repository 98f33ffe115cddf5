"""A UDP socket as BSD programs know it, over the stack of the world's host."""

from __future__ import annotations

import errno
from typing import Final

from pystack.core.addresses import Ip
from pystack.stack.ports import ANY
from pystack.stack.udp_socket import UdpSocket
from pystack.testing.packetdrill.constants import VALUES
from pystack.testing.packetdrill.files import Outcome, Program, Steps, failed
from pystack.testing.packetdrill.inject import pattern
from pystack.testing.packetdrill.messages import of_queued

_DONTWAIT: Final = VALUES["MSG_DONTWAIT"]
_TTL: Final = (VALUES["SOL_IP"], VALUES["IP_TTL"])
_HOPS: Final = (VALUES["SOL_IPV6"], VALUES["IPV6_UNICAST_HOPS"])
_RECVERR: Final = (VALUES["SOL_IP"], VALUES["IP_RECVERR"])
_RECVERR6: Final = (VALUES["SOL_IPV6"], VALUES["IPV6_RECVERR"])


class Datagrams:
    """A UDP socket."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.nonblocking = False
        self._socket: UdpSocket | None = None  # None: it has no port yet
        self._options: dict[tuple[int, int], list[int]] = {}

    @property
    def local(self) -> tuple[Ip, int]:
        """Return address and port of this end; zeros where it has none."""
        socket = self._socket
        return (ANY, 0) if socket is None else (socket.local, socket.local_port)

    @property
    def remote(self) -> tuple[Ip, int] | None:
        """Return whom it is connected to; None: nobody."""
        return None if self._socket is None else self._socket.remote

    def bind(self, local: Ip, port: int) -> Outcome:
        """Take a port."""
        if self._socket is not None:
            return failed(errno.EINVAL)
        try:
            self._socket = self.program.world.host.udp.bind(local, port)
        except OSError as error:
            return failed(error.errno or errno.EINVAL)
        self.program.on_subject(self)
        return Outcome(0)

    def connect(self, remote: Ip, port: int) -> Outcome:
        """Send to, and hear from, one address only."""
        self._bound().remote = (remote, port)
        self.program.on_subject(self)
        return Outcome(0)

    def disconnect(self) -> Outcome:
        """Hear from anybody again."""
        self._bound().remote = None
        return Outcome(0)

    def send(self, size: int, text: bytes | None, to: tuple[Ip, int] | None) -> Steps:
        """Send one datagram, to whom it is connected to where `to` is None."""
        socket = self._bound()
        if socket.error is not None:
            return failed(self._take_error())
        remote = to or socket.remote
        if remote is None:
            return failed(errno.EDESTADDRREQ)
        if text is not None:
            self.program.patterned = False
        payload = pattern(0, size) if text is None else text
        try:
            socket.send_to(payload, *remote, self.program.now)
        except OSError as error:
            return failed(error.errno or errno.EINVAL)
        if to is not None:
            self.program.on_subject(self)
        return Outcome(len(payload))
        yield

    def receive(self, size: int, flags: int = 0) -> Steps:
        """Take the oldest datagram, what fits of it."""
        socket = self._bound()
        while True:
            if socket.error is not None:
                return failed(self._take_error())
            datagram = socket.receive()
            if datagram is not None:
                data = datagram[0][:size]
                whole = flags & VALUES["MSG_TRUNC"]
                return Outcome(len(datagram[0]) if whole else len(data), text=data)
            if self.nonblocking or flags & _DONTWAIT:
                return failed(errno.EAGAIN)
            yield

    def queued_error(self, size: int) -> Outcome:
        """Take the oldest entry of the error queue (IP_RECVERR)."""
        queued = self._bound().take_queued_error()
        if queued is None:
            return failed(errno.EAGAIN)
        text = queued.payload[:size]
        message = of_queued(queued, cut=len(queued.payload) > size)
        return Outcome(len(text), text=text, message=message)

    def set_option(self, level: int, name: int, values: list[int]) -> int:
        """Set an option; return an errno, 0 for none."""
        if not values:
            return errno.EINVAL
        self._options[level, name] = values
        if (level, name) == (VALUES["SOL_SOCKET"], VALUES["SO_BROADCAST"]):
            self._bound().allow_broadcast = bool(values[0])
        elif (level, name) in (_TTL, _HOPS):
            self._bound().ttl = values[0]
        elif (level, name) == _RECVERR:
            self._bound().receives_errors = bool(values[0])
        elif (level, name) == _RECVERR6:
            self._bound().receives_errors6 = bool(values[0])
        return 0

    def get_option(self, level: int, name: int) -> list[int]:
        """Return an option."""
        if level == VALUES["SOL_SOCKET"] and name == VALUES["SO_ERROR"]:
            return [self._take_error()]
        if level == VALUES["SOL_SOCKET"] and name == VALUES["SO_TYPE"]:
            return [VALUES["SOCK_DGRAM"]]
        return self._options.get((level, name), [0])

    def poll_mask(self) -> int:
        """Return the poll bits that hold now."""
        mask = VALUES["POLLOUT"] | VALUES["POLLWRNORM"]
        if self._socket is not None and self._socket.readable:
            mask |= VALUES["POLLIN"] | VALUES["POLLRDNORM"]
            if self._socket.error is not None or self._socket.errors:
                mask |= VALUES["POLLERR"]
        return mask

    def close(self) -> Steps:
        """Give the port back."""
        if self._socket is not None:
            self._socket.close()
        return Outcome(0)
        yield

    def _bound(self) -> UdpSocket:
        if self._socket is None:
            self._socket = self.program.world.host.udp.bind(ANY, 0)
        return self._socket

    def _take_error(self) -> int:
        socket = self._socket
        if socket is None or socket.error is None:
            return 0
        number = socket.error.errno or 0
        socket.error = None
        return number
