"""The two sides of a transfer, without I/O: what is taken in, and what is to be sent then.

What is sent again is sent because a time is over, not because something came twice: else each
repeated packet would be repeated for ever after (the Sorcerer's Apprentice, RFC 1123 4.2.3.1).
With windows (RFC 7440) one thing is an exception, and once for each block that is missing: a gap
that the other side has seen.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from pystack.apps.tftp import packets
from pystack.apps.tftp.packets import Ack, Data, Packet

BLOCK_BYTES: Final = 512
# What fits a packet on Ethernet: of a larger one each fragment that is lost costs all of it.
MAX_BLOCK_BYTES: Final = 1468
MAX_WINDOW_BLOCKS: Final = 32
TIMEOUT_S: Final = 1.0
MAX_TIMEOUT_S: Final = 30.0
READ_BYTES: Final = 64 * 1024


class TransferError(Exception):
    """Ends a transfer, and is told to the peer."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.packet = packets.pack_error(code, text)


@dataclass(slots=True, kw_only=True)
class Terms:
    """What both sides have agreed on."""

    block_bytes: int = BLOCK_BYTES
    window_blocks: int = 1
    timeout_s: float = TIMEOUT_S
    offer: bytes = b""  # the packet that says so; empty: nothing was asked for that we know


def agree(request: packets.Request, size_bytes: int | None) -> Terms:
    """Take what we can of what is asked for; what is wrong or unknown is as if not there.

    `size_bytes`: of the file to send, where it is known; None: say nothing about it.
    """
    terms, taken = Terms(), {}
    for name, text in request.options.items():
        number = int(text) if text.isdigit() and text.isascii() and len(text) <= 12 else -1
        if name == "blksize" and 8 <= number <= 65464:
            terms.block_bytes = min(number, MAX_BLOCK_BYTES)
            taken[name] = str(terms.block_bytes)
        elif name == "windowsize" and 1 <= number <= 65535:
            terms.window_blocks = min(number, MAX_WINDOW_BLOCKS)
            taken[name] = str(terms.window_blocks)
        elif name == "timeout" and 1 <= number <= MAX_TIMEOUT_S:
            terms.timeout_s = float(number)
            taken[name] = text
        # Of an empty file nothing is said: curl takes a size of 0 for an error.
        elif name == "tsize" and number >= 0 and (request.is_write or size_bytes):
            taken[name] = text if request.is_write else str(size_bytes)
    if taken:
        terms.offer = packets.pack_option_ack(taken)
    return terms


class Sending:
    """Sends blocks; at most a window of them is under way."""

    def __init__(self, read: Callable[[int], bytes], terms: Terms) -> None:
        """`read` returns so many of the next bytes, and less than that only at the end."""
        self.progress = 0  # how much has been acknowledged
        self._read = read
        self._terms = terms
        self._first = 0 if terms.offer else 1  # the number of the first one under way
        self._under_way = deque([terms.offer] if terms.offer else [])
        self._at_end = False
        self._is_rewound = False

    @property
    def is_done(self) -> bool:
        """Tell whether all has arrived."""
        return self._at_end and not self._under_way

    def begin(self) -> list[bytes]:
        """Return what is to be sent first."""
        self._fill()
        return self.again()

    def again(self) -> list[bytes]:
        """Return what is to be sent when time is over."""
        return list(self._under_way)

    def take(self, packet: Packet) -> list[bytes]:
        """Return what is to be sent then."""
        if not isinstance(packet, Ack):
            return []
        count = ((packet.block - self._first) & 0xFFFF) + 1
        if count == 0x10000 and len(self._under_way) > 1 and not self._is_rewound:
            self._is_rewound = True  # of a window the first one is missing
            return self.again()
        if count > len(self._under_way):
            return []  # one that came before, or of what was never sent
        for _ in range(count):
            self._under_way.popleft()
        self._first += count
        self.progress += count
        self._is_rewound = False
        self._fill()
        return self.again()  # if not all of a window had come, the rest of it too

    def _fill(self) -> None:
        if not self._first:
            return  # the offer is taken or left before anything else
        while len(self._under_way) < self._terms.window_blocks and not self._at_end:
            payload = self._read(self._terms.block_bytes)
            self._at_end = len(payload) < self._terms.block_bytes
            number = self._first + len(self._under_way)
            self._under_way.append(packets.pack_data(number, payload))


class Receiving:
    """Takes blocks, and acknowledges the last one of each window."""

    def __init__(
        self, write: Callable[[bytes], None], finish: Callable[[], None], terms: Terms
    ) -> None:
        """`finish` is called when all has come, before the peer is told so."""
        self.is_done = False
        self.progress = 0  # how many blocks have come
        self._write = write
        self._finish = finish
        self._terms = terms
        self._answer = terms.offer or packets.pack_ack(0)
        self._unacknowledged = 0
        self._is_gap_told = False

    def begin(self) -> list[bytes]:
        """Return what is to be sent first."""
        return self.again()

    def again(self) -> list[bytes]:
        """Return what is to be sent when time is over."""
        return [self._answer]

    def take(self, packet: Packet) -> list[bytes]:
        """Return what is to be sent then. Raises TransferError, and what `write` raises."""
        if not isinstance(packet, Data):
            return []
        ahead = (packet.block - self.progress) & 0xFFFF
        if ahead == 0:  # the last one once more: the answer to it was lost
            return self._acknowledge() if self.progress else []
        if ahead != 1 or self.is_done:
            if ahead > self._terms.window_blocks or self._is_gap_told or self.is_done:
                return []
            self._is_gap_told = True
            return self._acknowledge()
        if len(packet.payload) > self._terms.block_bytes:
            raise TransferError(packets.ILLEGAL, "the block is longer than was agreed")
        self._write(packet.payload)
        self.progress += 1
        self._unacknowledged += 1
        self._is_gap_told = False
        if len(packet.payload) < self._terms.block_bytes:
            self._finish()
            self.is_done = True
        if self.is_done or self._unacknowledged == self._terms.window_blocks:
            return self._acknowledge()
        return []

    def _acknowledge(self) -> list[bytes]:
        self._unacknowledged = 0
        self._answer = packets.pack_ack(self.progress)
        return [self._answer]


Side: TypeAlias = Sending | Receiving


class Source:
    """Reads from a descriptor; in netascii lines end with CR LF, and CR alone is CR NUL."""

    def __init__(self, descriptor: int, *, netascii: bool) -> None:
        self._descriptor = descriptor
        self._netascii = netascii
        self._buffer = b""

    def read(self, count: int) -> bytes:
        """Return so many bytes; less than that only at the end."""
        while len(self._buffer) < count:
            data = os.read(self._descriptor, READ_BYTES)
            if not data:
                break
            if self._netascii:
                data = data.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")
            self._buffer += data
        found, self._buffer = self._buffer[:count], self._buffer[count:]
        return found


class Sink:
    """Writes to a descriptor, and undoes netascii."""

    def __init__(self, descriptor: int, *, netascii: bool, max_bytes: int) -> None:
        self._descriptor = descriptor
        self._netascii = netascii
        self._left_bytes = max_bytes
        self._carry = b""  # a CR at the end of a block, of which nobody knows yet what follows

    def write(self, data: bytes) -> None:
        """Take what comes next. Raises OSError, TransferError."""
        if self._netascii:
            data = self._carry + data
            self._carry = b"\r" if data.endswith(b"\r") else b""
            data = data.removesuffix(self._carry).replace(b"\r\n", b"\n").replace(b"\r\0", b"\r")
        self._put(data)

    def finish(self) -> None:
        """Take the end."""
        self._put(self._carry)

    def _put(self, data: bytes) -> None:
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise TransferError(packets.DISK_FULL, "the file is too large")
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]
