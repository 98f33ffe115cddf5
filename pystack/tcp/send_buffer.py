"""What the user has written and the peer has not acknowledged, by sequence number.

Large immutable writes are kept as they are and sliced without a copy. Small ones are gathered, for
a thousand writes of a byte must not become a thousand objects. How much may be queued grows with
the window, or is less by the user's choice.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final

from pystack.tcp.events import Signal
from pystack.wire.checksum import Buffer

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

_GATHER_BELOW_BYTES: Final = 4096  # smaller writes are copied together ...
_GATHER_UP_TO_BYTES: Final = 65536  # ... up to that


# What all buffers have that have no records. It takes nothing in.
_NO_RECORDS: Final[list[int]] = []


class SendBuffer:
    """Bytes from `start` (the first not acknowledged) to `end` (the next to be written)."""

    __slots__ = ("_chunks", "_starts", "_tail", "end", "record_ends", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self._chunks: list[memoryview | bytearray] = []
        self._starts: list[int] = []  # the sequence number of each chunk's first byte
        self.record_ends = _NO_RECORDS  # what stands before and behind shares no segment
        self._tail: bytearray | None = None  # the last chunk, while small writes may join it

    def __len__(self) -> int:
        """Return how many bytes are held."""
        return self.end - self.start

    def append(self, data: memoryview) -> None:
        """Add bytes at the end. A view of anything that may still change is copied."""
        size = len(data)
        if size < _GATHER_BELOW_BYTES:
            if self._tail is None or len(self._tail) + size > _GATHER_UP_TO_BYTES:
                self._tail = bytearray()
                self._add_chunk(self._tail)
            self._tail += data
        else:
            self._tail = None
            self._add_chunk(data if type(data.obj) is bytes else memoryview(bytes(data)))
        self.end += size

    def end_record(self) -> None:
        """Let no segment have what is held so far and what comes later (MSG_EOR)."""
        if self.end > self.start and self.end not in self.record_ends[-1:]:
            if self.record_ends is _NO_RECORDS:
                self.record_ends = []
            self.record_ends.append(self.end)

    def in_record(self, seq: int, size: int) -> int:
        """Return how much of `size` bytes from `seq` on belongs to one record."""
        index = bisect_right(self.record_ends, seq)
        if index < len(self.record_ends):
            return min(size, self.record_ends[index] - seq)
        return size

    def ends_record(self, seq: int) -> bool:
        """Tell whether a record ends there."""
        index = bisect_left(self.record_ends, seq)
        return index < len(self.record_ends) and self.record_ends[index] == seq

    def slice(self, seq: int, size: int) -> memoryview | bytes:
        """Return `size` bytes from `seq` on, without a copy where they lie in one write."""
        index = bisect_right(self._starts, seq) - 1
        offset = seq - self._starts[index]
        chunk = self._chunks[index]
        if offset + size <= len(chunk):
            if isinstance(chunk, bytearray):
                return bytes(chunk[offset : offset + size])  # it may grow: no view may stay
            return chunk[offset : offset + size]
        return b"".join(self.pieces(seq, size))

    def pieces(self, seq: int, size: int) -> list[Buffer]:
        """Return the same without a copy, in as many pieces as the writes it lies in.

        Where small writes were gathered, they are copied: what may grow nobody may have a view of.
        """
        index = bisect_right(self._starts, seq) - 1
        offset = seq - self._starts[index]
        found: list[Buffer] = []
        while size:
            chunk = self._chunks[index]
            piece = memoryview(chunk)[offset : offset + size]
            size -= len(piece)
            found.append(bytes(piece) if isinstance(chunk, bytearray) else piece)
            index, offset = index + 1, 0
        return found

    def acknowledge(self, seq: int) -> None:
        """Forget everything before `seq`."""
        self.start = seq
        if self.record_ends and self.record_ends[0] <= seq:
            del self.record_ends[: bisect_right(self.record_ends, seq)]
        starts = self._starts
        if seq == self.end:
            starts.clear()
            self._chunks.clear()
            self._tail = None
            return
        index = bisect_right(starts, seq) - 1
        if index > 0:
            del starts[:index], self._chunks[:index]

    def clear(self) -> None:
        """Forget all: nobody will send it any more."""
        self.acknowledge(self.end)

    def _add_chunk(self, chunk: memoryview | bytearray) -> None:
        self._starts.append(self.end)
        self._chunks.append(chunk)


# While the host is short of memory; as Linux's default, the second of tcp_wmem
PRESSED_SEND_BUFFER_BYTES: Final = 16 << 10


def limit_bytes(conn: Connection) -> int:
    """Return how large the send buffer may be now.

    As Linux's, it holds two windows: one in flight, and one to be sent when that is acknowledged.
    """
    config = conn.config
    limit = config.send_buffer_bytes
    if conn.shared.memory.pressed:
        return min(limit, PRESSED_SEND_BUFFER_BYTES)
    wanted = 2 * conn.congestion.cwnd_bytes
    return min(wanted, config.send_limit_bytes) if wanted > limit else limit


def room_bytes(conn: Connection) -> int:
    """Return how much more may be queued now."""
    buffer = conn.send_buffer
    room = limit_bytes(conn) - len(buffer)
    lowat = conn.config.notsent_lowat_bytes
    if lowat is not None:
        room = min(room, lowat - (buffer.end - max(conn.tcb.snd_nxt, buffer.start)))
    return max(room, 0)


def writable(conn: Connection) -> bool:
    """Tell whether there is enough room to wake a user for it: a quarter, as Linux's third."""
    buffer = conn.send_buffer
    if len(buffer) > limit_bytes(conn) * 3 // 4:
        return False
    lowat = conn.config.notsent_lowat_bytes
    return lowat is None or buffer.end - conn.tcb.snd_nxt <= lowat // 2


def must_wait(conn: Connection) -> bool:
    """Tell, after a write that was not taken whole, whether its user has to wait for the rest.

    What was queued may have gone out with that very write, and who does not wait yet hears of no
    room that this has made.
    """
    conn.write_blocked = room_bytes(conn) == 0
    return conn.write_blocked


def wake_writer(conn: Connection) -> None:
    """Wake a user that waits for room."""
    if writable(conn):
        conn.write_blocked = False
        conn.signal(Signal.WRITABLE)
