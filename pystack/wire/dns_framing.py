"""DNS messages in a TCP stream: each with its length in front (RFC 1035 section 4.2.2)."""

import struct
from typing import Final

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
