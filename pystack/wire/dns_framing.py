"""How DNS messages travel: the port, the room by UDP, the length in front by TCP (RFC 1035 4.2).

Unlike `dns.py` this needs no library.
"""

import struct
from typing import Final

PORT: Final = 53
MULTICAST_PORT: Final = 5353  # RFC 6762
PORTS: Final = frozenset({PORT, MULTICAST_PORT})
MAX_BYTES: Final = 65535  # of a message, by TCP; by UDP what both sides can take
UDP_BYTES: Final = 512  # that every side can take (RFC 1035 section 4.2.1)
EDNS_BYTES: Final = 1232  # one packet on nearly every path, as all servers have it (flag day 2020)

_LENGTH: Final = struct.Struct("!H")


def frame(message: bytes) -> bytes:
    """Return a message as a TCP stream carries it, its length in front (RFC 1035 4.2.2)."""
    return _LENGTH.pack(len(message)) + message


class Framer:
    """Cuts the bytes of a TCP stream into messages."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take what has come; then call `next` until it returns None."""
        self._held += data

    def next(self) -> bytes | None:
        """Return the next whole message."""
        length = self.next_bytes
        if length is None or len(self._held) < _LENGTH.size + length:
            return None
        end = _LENGTH.size + length
        message = bytes(self._held[_LENGTH.size : end])
        del self._held[:end]
        return message

    @property
    def next_bytes(self) -> int | None:
        """Return how long the next message says it is; None: not known yet."""
        return None if len(self._held) < _LENGTH.size else int.from_bytes(self._held[:2], "big")

    @property
    def held_bytes(self) -> int:
        """Return how much of it is here; 0: the stream is between two messages."""
        return len(self._held)
