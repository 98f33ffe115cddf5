"""What has arrived and the user has not read: in order here, beyond a gap in `out_of_order.py`."""

from collections import deque
from typing import Final

from pystack.tcp.out_of_order import MAX_RANGES, RANGE_BYTES, OutOfOrder
from pystack.wire.checksum import Buffer

# Short payloads are gathered: a thousand segments of a byte must not become a thousand objects.
_GATHER_BELOW_BYTES: Final = 1024
_GATHER_UP_TO_BYTES: Final = 65536
# What is a view of something more than twice as large is copied, so that it does not pin that; not
# what is large: a sender in the same process may have all of it in one piece.
_COPY_BELOW_BYTES: Final = 32768
# What all buffers have while nothing is in them: a deque takes 0.6 kB. It takes nothing in.
_EMPTY: Final[deque[Buffer]] = deque(maxlen=0)


def _unpinned(view: memoryview) -> Buffer:
    """Return what is viewed; a copy, where it would keep more than twice as much from going."""
    return bytes(view) if len(view.obj) > 2 * len(view) else view  # type: ignore[arg-type]


class ReceiveBuffer:
    """Bytes in order for the user, and pieces that wait for what is missing before them."""

    __slots__ = ("_chunks", "_tail", "out_of_order", "ranges", "readable_bytes")

    def __init__(self) -> None:
        self.readable_bytes = 0
        self._chunks = _EMPTY
        self._tail: bytearray | None = None  # the last chunk, while short payloads may join it
        self.out_of_order = OutOfOrder()
        self.ranges = self.out_of_order.ranges  # empty: nothing waits beyond a gap (HOT)

    def append(self, payload: Buffer) -> None:
        """Add the bytes that come next in order."""
        size = len(payload)
        self.readable_bytes += size
        if not self._chunks:
            self._chunks = deque()
        if size >= _GATHER_BELOW_BYTES:
            self._tail = None
            if (  # `_unpinned`, in place (HOT)
                type(payload) is memoryview
                and size < _COPY_BELOW_BYTES
                and len(payload.obj) > 2 * size  # type: ignore[arg-type]
            ):
                payload = bytes(payload)
            self._chunks.append(payload)
            return
        if self._tail is None or len(self._tail) >= _GATHER_UP_TO_BYTES:
            self._tail = bytearray()
            self._chunks.append(self._tail)
        self._tail += payload

    def insert(
        self, seq: int, payload: Buffer, buffer_bytes: int = MAX_RANGES * RANGE_BYTES
    ) -> bool:
        """Keep a piece that lies beyond a gap; False where there are too many already."""
        return self.out_of_order.insert(seq, payload, buffer_bytes)

    def take_contiguous(self, rcv_nxt: int) -> int:
        """Move what is now in order to the user's side; return the new RCV.NXT."""
        for chunk in self.out_of_order.take(rcv_nxt):
            self.append(chunk)
            rcv_nxt += len(chunk)
        return rcv_nxt

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
                chunks.appendleft(_unpinned(view[left:]))
                chunk = view[:left]
            parts.append(chunk)
            left -= len(chunk)
        self.readable_bytes -= max_bytes - left
        if not chunks:
            self._chunks = _EMPTY
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def peek(self, max_bytes: int) -> bytes:
        """Return up to `max_bytes` of what is in order, and leave it there."""
        parts: list[Buffer] = []
        left = max_bytes
        for chunk in self._chunks:
            if left <= 0:
                break
            parts.append(bytes(memoryview(chunk)[:left]))  # a view would keep it from growing
            left -= len(parts[-1])
        return b"".join(parts)

    def clear(self) -> None:
        """Forget all: nobody will read it any more."""
        self._chunks = _EMPTY
        self._tail = None
        self.out_of_order.clear()
        self.readable_bytes = 0
