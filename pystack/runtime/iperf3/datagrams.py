"""UDP: the header of each datagram, and what its receiver counts (RFC 1889 for the jitter).

A header is the sender's time, in seconds and microseconds, and the datagram's number, from 1 on.
"""

import struct
from typing import Final

# What opens a stream and what answers: both as a little-endian machine writes them.
CONNECT: Final = (0x36373839).to_bytes(4, "little")
REPLY: Final = (0x39383736).to_bytes(4, "little")
# The same of iperf3 before 3.12
OLD_CONNECT: Final = (123456789).to_bytes(4, "little")
OLD_REPLY: Final = (987654321).to_bytes(4, "little")

_HEADER_32: Final = struct.Struct("!III")
_HEADER_64: Final = struct.Struct("!IIQ")
_US: Final = 1_000_000


def reply_to(payload: bytes) -> bytes | None:
    """Return the answer to what opens a stream; None if it does not."""
    if payload == CONNECT:
        return REPLY
    return OLD_REPLY if payload == OLD_CONNECT else None


def is_reply(payload: bytes) -> bool:
    """Tell whether this is what a server answers."""
    return payload in (REPLY, OLD_REPLY)


class Header:
    """The header, with counters of 32 or of 64 bits."""

    __slots__ = ("_mask", "_struct")

    def __init__(self, *, counters_64bit: bool) -> None:
        self._struct = _HEADER_64 if counters_64bit else _HEADER_32
        self._mask = 2**64 - 1 if counters_64bit else 2**32 - 1

    def pack(self, number: int, now: float) -> bytes:
        """Return the header of one datagram."""
        us = int(now * _US)
        return self._struct.pack(us // _US & 0xFFFFFFFF, us % _US, number & self._mask)

    def parse(self, payload: bytes) -> tuple[int, float] | None:
        """Return the number and the time when it was sent; None: it is too short."""
        if len(payload) < self._struct.size:
            return None
        seconds, us, number = self._struct.unpack_from(payload)
        return number, seconds + us / _US


class Arrivals:
    """What came, what did not, and how unevenly."""

    __slots__ = ("_transit_s", "jitter_s", "lost", "out_of_order", "packets")

    def __init__(self) -> None:
        self.packets = 0  # the highest number that has come
        self.lost = 0
        self.out_of_order = 0
        self.jitter_s = 0.0
        self._transit_s: float | None = None  # None: nothing has come yet

    def arrived(self, number: int, sent_at: float, now: float) -> None:
        """Count one datagram."""
        if number > self.packets:
            self.lost += number - self.packets - 1
            self.packets = number
        else:
            # It was counted as lost when one behind it came; or it comes a second time.
            self.out_of_order += 1
            if self.lost:
                self.lost -= 1
        # The two clocks need not agree: only differences count (RFC 1889 section 6.3.1).
        transit_s = now - sent_at
        if self._transit_s is not None:
            self.jitter_s += (abs(transit_s - self._transit_s) - self.jitter_s) / 16
        self._transit_s = transit_s
