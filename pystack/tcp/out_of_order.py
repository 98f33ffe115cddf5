"""What has arrived beyond a gap: ranges of text that wait for what is missing before them.

The ranges are sorted, and never touch each other; the bytes that came first stay. Their number is
bounded as their bytes are (by the window), so that a peer who sends every second byte gets nowhere:
each counts for `RANGE_BYTES`, whatever it holds, and all together for no more than the buffer.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final

from pystack.wire.checksum import Buffer

MAX_RANGES: Final = 1024
MIN_RANGES: Final = 32  # however small the buffer is
RANGE_BYTES: Final = 384  # what a range takes beside its text; `tracemalloc` finds 0.32 kB
# Short payloads are copied together up to that, so that they do not become as many objects.
_GATHER_UP_TO_BYTES: Final = 65536
_GATHER_BEFORE_BYTES: Final = 4096  # the same for those that come in reverse: each moves all of it


def most_ranges(buffer_bytes: int) -> int:
    """Return how many ranges may wait in a buffer of that size."""
    return min(max(buffer_bytes // RANGE_BYTES, MIN_RANGES), MAX_RANGES)


class _Range:
    """One contiguous piece of text."""

    __slots__ = ("chunks", "end", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self.chunks: list[bytearray] = []  # no deque: empty it takes 0.6 kB

    def extend(self, data: Buffer) -> None:
        """Add what follows at once."""
        self.end += len(data)
        if self.chunks and len(self.chunks[-1]) + len(data) <= _GATHER_UP_TO_BYTES:
            self.chunks[-1] += data
        else:
            self.chunks.append(bytearray(data))

    def join(self, other: "_Range") -> None:
        """Swallow the range that begins where this one ends."""
        here, there = self.chunks, other.chunks
        if here and there and len(here[-1]) + len(there[0]) <= _GATHER_BEFORE_BYTES:
            there[0] = here.pop() + there[0]
        # The shorter of the two is moved: a range that grows by its front costs no more than others
        if len(here) < len(there):
            there[:0] = here
            self.chunks = there
        else:
            here.extend(there)
        self.end = other.end

    def skip(self, count: int) -> None:
        """Forget that many bytes at the front."""
        self.start += count
        while count:
            chunk = self.chunks[0]
            if len(chunk) > count:
                self.chunks[0] = chunk[count:]
                return
            del self.chunks[0]
            count -= len(chunk)

    def cut(self, end: int) -> None:
        """Forget what lies from `end` on."""
        beyond = self.end - end
        self.end = end
        while beyond > 0:
            chunk = self.chunks.pop()
            if len(chunk) > beyond:
                self.chunks.append(chunk[:-beyond])
            beyond -= min(beyond, len(chunk))


class OutOfOrder:
    """The ranges of one connection."""

    __slots__ = ("_recent", "_starts", "ranges", "size_bytes")

    def __init__(self) -> None:
        self.ranges: list[_Range] = []  # ascending
        self.size_bytes = 0
        self._starts: list[int] = []  # where each of them begins
        self._recent: dict[_Range, None] = {}  # the one that changed last stands last

    @property
    def cost_bytes(self) -> int:
        """Return what all ranges take: their text, and themselves."""
        return self.size_bytes + RANGE_BYTES * len(self.ranges)

    def insert(
        self, seq: int, payload: Buffer, buffer_bytes: int = MAX_RANGES * RANGE_BYTES
    ) -> bool:
        """Keep what lies beyond a gap; False where a buffer of that size has no more ranges."""
        starts, ranges = self._starts, self.ranges
        end = seq + len(payload)
        index = bisect_right(starts, seq)
        if index and ranges[index - 1].end >= seq:
            here = ranges[index - 1]
        elif len(ranges) >= most_ranges(buffer_bytes) and (
            index == len(ranges) or starts[index] > end
        ):
            return False
        else:
            here = _Range(seq)
            starts.insert(index, seq)
            ranges.insert(index, here)
            index += 1
        view = memoryview(payload)
        while True:
            following = ranges[index] if index < len(ranges) else None
            stop = end if following is None else min(end, following.start)
            if stop > here.end:
                self.size_bytes += stop - here.end
                here.extend(view[here.end - seq : stop - seq])
            if following is None or following.start > here.end:
                break
            here.join(following)
            del starts[index], ranges[index], self._recent[following]
        self._recent.pop(here, None)
        self._recent[here] = None
        return True

    def overlap(self, seq: int, end: int) -> tuple[int, int] | None:
        """Return the first part of [seq, end) that is here already; None: nothing of it is."""
        index = bisect_right(self._starts, seq)
        for known in self.ranges[max(0, index - 1) : index + 1]:
            left, right = max(seq, known.start), min(end, known.end)
            if left < right:
                return left, right
        return None

    def newest_first(self) -> Iterator[tuple[int, int]]:
        """Go through the ranges, from the one that changed last."""
        return ((known.start, known.end) for known in reversed(self._recent))

    def take(self, rcv_nxt: int) -> Iterator[bytearray]:
        """Give up what follows at `rcv_nxt` without a gap, chunk by chunk."""
        starts, ranges = self._starts, self.ranges
        while starts and starts[0] <= rcv_nxt:
            known = ranges.pop(0)
            del starts[0], self._recent[known]
            self.size_bytes -= known.end - known.start
            known.skip(min(rcv_nxt, known.end) - known.start)
            rcv_nxt = max(rcv_nxt, known.end)
            yield from known.chunks

    def cut(self, end: int) -> None:
        """Forget all that lies from `end` on: the peer has no more to say."""
        starts, ranges = self._starts, self.ranges
        kept = bisect_left(starts, end)
        for known in ranges[kept:]:
            del self._recent[known]
        del starts[kept:], ranges[kept:]
        if ranges and ranges[-1].end > end:
            ranges[-1].cut(end)
        self.size_bytes = sum(known.end - known.start for known in ranges)

    def clear(self) -> None:
        """Forget all: nobody will read it any more."""
        self.ranges.clear()
        self._starts.clear()
        self._recent.clear()
        self.size_bytes = 0
