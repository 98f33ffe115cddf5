"""At which of the machine's addresses a datagram was received, so that it is answered from there.

A socket that listens everywhere answers from the address that the route to the client suggests. Who
asked at another one takes no notice of that. On Linux alone: elsewhere it stays so.
"""

from __future__ import annotations

import socket
import sys
from typing import Final, cast

from pystack.apps.proxy.endpoints import SockAddress

Ancillary = list[tuple[int, int, bytes]]  # as `sendmsg` takes it

_IP_PKTINFO: Final = 8  # ip(7): int ifindex, spec_dst (the machine's address), addr
_ROOM_BYTES: Final = 64
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})
_MULTICAST: Final = 0xFF  # what addresses of IPv6 begin with that nobody sends from


class DatagramSocket:
    """What a proxy of UDP listens with."""

    __slots__ = ("_is_everywhere", "sock")

    def __init__(self, sock: socket.socket) -> None:
        """`sock` is bound already."""
        self.sock = sock
        self._is_everywhere = sys.platform == "linux" and sock.getsockname()[0] in _EVERYWHERE
        if self._is_everywhere:
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, True)
            else:
                sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, True)

    def receive(self, most_bytes: int) -> tuple[bytes, SockAddress, Ancillary]:
        """Return a datagram, its sender, and how that is answered. Raises OSError."""
        if not self._is_everywhere:
            payload, client = self.sock.recvfrom(most_bytes)
            return payload, client, []
        payload, ancillary, _, client = self.sock.recvmsg(most_bytes, _ROOM_BYTES)
        return payload, cast(SockAddress, client), [_answer(*each) for each in ancillary if each[2]]

    def send(self, payload: bytes, client: SockAddress, answer: Ancillary) -> int:
        """Send a datagram. Raises OSError."""
        if not answer:
            return self.sock.sendto(payload, client)
        return self.sock.sendmsg([payload], answer, 0, client)


def _answer(level: int, kind: int, data: bytes) -> tuple[int, int, bytes]:
    """Return what makes an answer come from there; whichever way it goes."""
    if level == socket.IPPROTO_IP:
        return level, kind, bytes(4) + data[4:8] + bytes(4)
    address = bytes(16) if data[0] == _MULTICAST else data[:16]
    return level, kind, address + bytes(4)
