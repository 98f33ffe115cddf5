"""What has arrived and the user has not read: in order here, beyond a gap in `out_of_order.py`.

How large that may be follows what the user reads in a round trip: dynamic right-sizing, as Linux's
tcp_rcv_space_adjust. It is twice of what was read, so that a loss does not stall the sender, and
more while the rate still grows. It never gets smaller. How far it may grow is
`tcb.rcv_buf_max_bytes`, and not at all while the host is short of memory.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from pystack.tcp.out_of_order import MAX_RANGES, RANGE_BYTES, OutOfOrder
from pystack.tcp.seq import MASK
from pystack.tcp.timestamps import OLDER, TICKS_PER_S, clock
from pystack.wire.checksum import Buffer

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

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


_INITIAL_SEGMENTS: Final = 10  # RFC 6928: what a sender starts with
_CUSHION_SEGMENTS: Final = 16
_SMOOTHING: Final = 8


def begin(conn: Connection, now: float) -> None:
    """The handshake is over: the first round trip begins."""
    tcb = conn.tcb
    tcb.space_at = tcb.rcv_rtt_at = now
    tcb.space_bytes = max(1, min(tcb.rcv_wnd, _INITIAL_SEGMENTS * tcb.rcv_mss))
    tcb.rcv_rtt_seq = tcb.rcv_nxt + tcb.rcv_wnd


def user_has_read(conn: Connection, now: float) -> None:
    """Once a round trip, let the buffer grow to what the rate asks for (HOT)."""
    tcb = conn.tcb
    if tcb.rcv_rtt_s is not None and now - tcb.space_at < tcb.rcv_rtt_s:
        return
    _measure(conn, now)
    rtt_s = tcb.rcv_rtt_s
    if rtt_s is None or now - tcb.space_at < rtt_s:
        return
    has_read = conn.bytes_received - conn.receive_buffer.readable_bytes
    copied = has_read - tcb.space_read
    if copied > tcb.space_bytes and not conn.shared.memory.pressed:
        wanted = 2 * copied + _CUSHION_SEGMENTS * tcb.rcv_mss
        wanted += 2 * (wanted * (copied - tcb.space_bytes) // tcb.space_bytes)
        tcb.rcv_buf_bytes = max(tcb.rcv_buf_bytes, min(wanted, tcb.rcv_buf_max_bytes))
        tcb.space_bytes = copied
    tcb.space_read = has_read
    tcb.space_at = now


def _measure(conn: Connection, now: float) -> None:
    """Measure the round trip as a receiver can.

    By the echo in the last segment that made TS.Recent; without timestamps by the time in which a
    whole window arrives, of which the shortest counts.
    """
    tcb = conn.tcb
    if tcb.timestamps:
        if not tcb.rcv_tsecr:
            return
        ticks = clock(tcb, tcb.ts_recent_at) - tcb.rcv_tsecr & MASK
        tcb.rcv_tsecr = 0
        if ticks & OLDER:
            return
        sample_s = max(ticks, 1) / TICKS_PER_S
        if tcb.rcv_rtt_s is None:
            tcb.rcv_rtt_s = sample_s
        else:
            tcb.rcv_rtt_s += (sample_s - tcb.rcv_rtt_s) / _SMOOTHING
    elif tcb.rcv_nxt >= tcb.rcv_rtt_seq:
        sample_s = now - tcb.rcv_rtt_at
        if sample_s > 0 and (tcb.rcv_rtt_s is None or sample_s < tcb.rcv_rtt_s):
            tcb.rcv_rtt_s = sample_s
        tcb.rcv_rtt_seq = tcb.rcv_nxt + tcb.rcv_wnd
        tcb.rcv_rtt_at = now
