"""What has arrived and the user has not read: in order, and out of order.

Pieces beyond a gap wait in a sorted list, disjoint; the bytes that came first stay. Their number is
bounded as their bytes are (by the window), so that a peer who sends every second byte gets nowhere.
"""

from bisect import bisect_right
from typing import Final

from pystack.wire.checksum import Buffer

MAX_PIECES: Final = 1024
# A payload that fills less of the frame's buffer than this is copied, so that it does not pin it.
_COPY_BELOW_BYTES: Final = 1024


class ReceiveBuffer:
    """Bytes in order for the user, and pieces that wait for what is missing before them."""

    __slots__ = ("_chunks", "_pieces", "_starts", "readable_bytes")

    def __init__(self) -> None:
        self.readable_bytes = 0
        self._chunks: list[Buffer] = []
        self._starts: list[int] = []  # of the pieces out of order, ascending
        self._pieces: list[bytes] = []

    def append(self, payload: Buffer) -> None:
        """Add the bytes that come next in order."""
        size = len(payload)
        self._chunks.append(bytes(payload) if size < _COPY_BELOW_BYTES else payload)
        self.readable_bytes += size

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

    def read(self, max_bytes: int) -> bytes:
        """Return and forget up to `max_bytes` of what is in order; empty when there is nothing."""
        chunks = self._chunks
        if not chunks:
            return b""
        if len(chunks) == 1 and len(chunks[0]) <= max_bytes:
            self.readable_bytes = 0
            return bytes(chunks.pop(0))
        parts: list[Buffer] = []
        left = max_bytes
        while chunks and left > 0:
            chunk = chunks.pop(0)
            if len(chunk) > left:
                view = memoryview(chunk)
                chunks.insert(0, view[left:])
                chunk = view[:left]
            parts.append(chunk)
            left -= len(chunk)
        self.readable_bytes -= max_bytes - left
        return b"".join(parts)

    @property
    def out_of_order(self) -> bool:
        """Tell whether something waits beyond a gap."""
        return bool(self._starts)

    def clear(self) -> None:
        """Forget all: nobody will read it any more."""
        self._chunks.clear()
        self._starts.clear()
        self._pieces.clear()
        self.readable_bytes = 0
