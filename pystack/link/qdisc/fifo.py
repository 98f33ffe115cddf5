"""First in, first out, with a limit: tc-pfifo(8), tc-bfifo(8) and pfifo_head_drop.

At the limit the frame that arrives is dropped (tail drop), or the oldest ones make room for it
(head drop: the sender learns of it sooner, by a queue's length).
"""

import math
from typing import Final

from pystack.core.rng import Random
from pystack.core.units import parse_size_bytes
from pystack.link.qdisc import words
from pystack.link.qdisc.base import OneFifo
from pystack.link.qdisc.words import Word
from pystack.wire.frame import Frame

DEFAULT_LIMIT_PACKETS: Final = 1000  # tc-pfifo(8): the txqueuelen of Ethernet devices
DEFAULT_LIMIT_BYTES: Final = 1000 * 1514  # tc-bfifo(8): txqueuelen full frames


class Fifo(OneFifo):
    """A queue limited in packets, in bytes, or both; infinity for no limit of that kind."""

    __slots__ = ("_kind", "head_drop", "limit_bytes", "limit_packets")

    def __init__(
        self,
        *,
        limit_packets: float = math.inf,
        limit_bytes: float = math.inf,
        head_drop: bool = False,
    ) -> None:
        super().__init__()
        self.limit_packets = limit_packets
        self.limit_bytes = limit_bytes
        self.head_drop = head_drop
        self._kind = "pfifo" if limit_packets < math.inf else "bfifo"

    def enqueue(self, frame: Frame, now: float) -> None:
        """Append it, or drop it or older ones at the limit."""
        size = len(frame.data)
        frames = self._frames
        if len(frames) >= self.limit_packets or self._bytes + size > self.limit_bytes:
            if not self.head_drop or size > self.limit_bytes:
                self.report(f"{self._kind}_full", frame, now)
                return
            self._make_room(size, now)
        frames.append(frame)
        self._bytes += size

    def _make_room(self, size: int, now: float) -> None:
        frames = self._frames
        while len(frames) >= self.limit_packets or self._bytes + size > self.limit_bytes:
            oldest = frames.popleft()
            self._bytes -= len(oldest.data)
            self.report(f"{self._kind}_full_head", oldest, now)


def pfifo(_: Random, *, limit: Word = DEFAULT_LIMIT_PACKETS, head_drop: bool = False) -> Fifo:
    """`pfifo [limit PACKETS] [head_drop]`, tc-pfifo(8)."""
    return Fifo(limit_packets=words.count("limit", limit), head_drop=head_drop)


def pfifo_head_drop(_: Random, *, limit: Word = DEFAULT_LIMIT_PACKETS) -> Fifo:
    """`pfifo_head_drop [limit PACKETS]`: Linux's name of it."""
    return Fifo(limit_packets=words.count("limit", limit), head_drop=True)


def bfifo(_: Random, *, limit: Word = DEFAULT_LIMIT_BYTES, head_drop: bool = False) -> Fifo:
    """`bfifo [limit BYTES] [head_drop]`, tc-bfifo(8)."""
    return Fifo(limit_bytes=words.count("limit", parse_size_bytes(limit)), head_drop=head_drop)
