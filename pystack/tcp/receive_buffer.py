"""What has arrived and the user has not read: in order, and out of order.

Pieces beyond a gap wait in a sorted list, disjoint; the bytes that came first stay. Their number is
bounded as their bytes are (by the window), so that a peer who sends every second byte gets nowhere.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from typing import Final

from pystack.wire.checksum import Buffer

MAX_PIECES: Final = 1024
# A payload that fills less of the frame's buffer than this is copied, so that it does not pin it.
# The short ones are gathered: a thousand segments of a byte must not become a thousand objects.
_GATHER_BELOW_BYTES: Final = 1024
_GATHER_UP_TO_BYTES: Final = 65536


class ReceiveBuffer:
    """Bytes in order for the user, and pieces that wait for what is missing before them."""

    __slots__ = ("_chunks", "_pieces", "_starts", "_tail", "readable_bytes")

    def __init__(self) -> None:
        self.readable_bytes = 0
        self._chunks: deque[Buffer] = deque()
        self._tail: bytearray | None = None  # the last chunk, while short payloads may join it
        self._starts: list[int] = []  # of the pieces out of order, ascending
        self._pieces: list[bytes] = []

    def append(self, payload: Buffer) -> None:
        """Add the bytes that come next in order."""
        size = len(payload)
        self.readable_bytes += size
        if size >= _GATHER_BELOW_BYTES:
            self._tail = None
            self._chunks.append(payload)
            return
        if self._tail is None or len(self._tail) >= _GATHER_UP_TO_BYTES:
            self._tail = bytearray()
            self._chunks.append(self._tail)
        self._tail += payload

    def insert(self, seq: int, payload: Buffer) -> bool:
        """Keep a piece that lies beyond a gap; False where there are too many already."""
        starts, pieces = self._starts, self._pieces
        data = bytes(payload)
        index = bisect_right(starts, seq)
        if index:
            known_end = starts[index - 1] + len(pieces[index - 1])
            if known_end > seq:
                data = data[known_end - seq :]
                seq = known_end
        while data:
            room = starts[index] - seq if index < len(starts) else len(data)
            if room > 0:
                if len(pieces) >= MAX_PIECES:
                    return False
                starts.insert(index, seq)
                pieces.insert(index, data[:room])
                index += 1
            if index >= len(starts):
                break
            skip = starts[index] + len(pieces[index]) - seq
            data = data[skip:]
            seq += skip
            index += 1
        return True

    def take_contiguous(self, rcv_nxt: int) -> int:
        """Move the pieces that are now in order to the user's side; return the new RCV.NXT."""
        starts, pieces = self._starts, self._pieces
        used = 0
        while used < len(starts) and starts[used] <= rcv_nxt:
            piece = pieces[used][rcv_nxt - starts[used] :]
            if piece:
                self.append(piece)
                rcv_nxt += len(piece)
            used += 1
        del starts[:used], pieces[:used]
        return rcv_nxt

    def cut(self, end: int) -> None:
        """Forget all that lies from `end` on: the peer has no more to say."""
        starts, pieces = self._starts, self._pieces
        kept = bisect_left(starts, end)
        del starts[kept:], pieces[kept:]
        if pieces:
            pieces[-1] = pieces[-1][: end - starts[-1]]

    def read(self, max_bytes: int) -> bytes:
        """Return and forget up to `max_bytes` of what is in order; empty when there is nothing."""
        chunks = self._chunks
        parts: list[Buffer] = []
        left = max_bytes
        while chunks and left > 0:
            chunk = chunks.popleft()
            if chunk is self._tail:
                self._tail = None  # it may grow no more: there will be views of it
            if len(chunk) > left:
                view = memoryview(chunk)
                chunks.appendleft(view[left:])
                chunk = view[:left]
            parts.append(chunk)
            left -= len(chunk)
        self.readable_bytes -= max_bytes - left
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    @property
    def out_of_order(self) -> bool:
        """Tell whether something waits beyond a gap."""
        return bool(self._starts)

    def clear(self) -> None:
        """Forget all: nobody will read it any more."""
        self._chunks.clear()
        self._tail = None
        self._starts.clear()
        self._pieces.clear()
        self.readable_bytes = 0
