"""Reassembly of datagrams of both versions of IP; `wire/ip.py` cuts them, and joins the pieces.

RFC 791 section 3.2, RFC 815, RFC 1122 section 3.3; RFC 8200 section 4.5. Reassembly is bounded in
time, in bytes and in pieces, for both versions together. Fragments that overlap are the tool of
attacks only (RFC 1858, RFC 5722): the whole datagram is thrown away, without a word.
"""

import sys
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from pystack.core.scheduler import Handle, Scheduler
from pystack.wire import ip
from pystack.wire.ecn import CE, NOT_ECT
from pystack.wire.ipv4 import MAX_PACKET_BYTES
from pystack.wire.packet import Packet

TIMEOUT_S: Final = 60.0  # RFC 1122 section 3.3.2: 60 to 120 s; RFC 8200: 60 s
MAX_BYTES: Final = 4 * 1024 * 1024  # of all datagrams that wait; as Linux's ipfrag_high_thresh
MAX_PIECES: Final = 1024  # of one datagram that do not touch, or are no longer small
# Pieces that touch become one up to that: a copy of it costs as much as all else about a fragment.
_GATHER_UP_TO_BYTES: Final = 4096
_CE_SEEN: Final = 1 << CE
_NOT_ECT_SEEN: Final = 1 << NOT_ECT
# Measured with tracemalloc, rounded up: what a piece takes beside its buffer (its offset, two
# places in lists that grow by an eighth), and what a datagram does (key, entry, timer, lists).
_PIECE_COST_BYTES: Final = 64
DATAGRAM_COST_BYTES: Final = 1536
# And its first fragment, of each version, beside its bytes: views, in IPv6 numbers and a `Chain`
FIRST_COST_BYTES: Final = {4: 0, 6: 512}
_ALL_PROTOCOLS: Final = -1  # of a key: IPv6's fragments belong together whatever they say of it

_Key = tuple[int, int, int, int]


class _Datagram:
    """The pieces of one datagram that are here so far."""

    __slots__ = (
        "cost_bytes",
        "ecn_seen",
        "first",
        "have_bytes",
        "pieces",
        "starts",
        "timer",
        "total_bytes",
    )

    def __init__(self, timer: Handle) -> None:
        self.starts: list[int] = []  # sorted
        self.pieces: list[bytearray] = []  # in the same order
        # The one at offset 0, of which no more is kept than an error would quote; None: not here
        self.first: Packet | None = None
        self.total_bytes: int | None = None  # None until the last fragment is here
        self.have_bytes = 0
        self.ecn_seen = 0  # a bit for each ECN codepoint that a piece had
        self.cost_bytes = DATAGRAM_COST_BYTES
        self.timer = timer

    @property
    def end(self) -> int:
        """Return where the last piece ends."""
        return self.starts[-1] + len(self.pieces[-1]) if self.starts else 0

    def overlaps(self, offset: int, end: int) -> bool:
        """Tell whether a fragment has a byte that is here already, or lies beyond the end."""
        total = self.total_bytes
        if total is not None and max(end, self.end) > total:
            return True
        index = bisect_left(self.starts, offset)
        if index < len(self.starts) and self.starts[index] < end:
            return True
        return index > 0 and self.starts[index - 1] + len(self.pieces[index - 1]) > offset

    def has(self, offset: int, payload: memoryview) -> bool:
        """Tell whether the very bytes of a fragment are here already, at this place."""
        index = bisect_left(self.starts, offset + 1) - 1
        if index < 0:
            return False
        at = offset - self.starts[index]
        return self.pieces[index][at : at + len(payload)] == payload

    def insert(self, offset: int, payload: memoryview) -> None:
        """Take a fragment that overlaps none (each costs about the same, whatever the order)."""
        starts, pieces = self.starts, self.pieces
        length = len(payload)
        if not length:
            return  # of the end, which is noted already
        index = bisect_left(starts, offset)
        self.have_bytes += length
        before = self._touching(index - 1, offset, length)
        if before is not None:
            was = sys.getsizeof(before)
            before += payload
            self.cost_bytes += sys.getsizeof(before) - was
            self._join(index - 1)
            return
        if index < len(starts) and starts[index] == offset + length:
            after = pieces[index]
            if len(after) + length <= _GATHER_UP_TO_BYTES:
                was = sys.getsizeof(after)
                after[0:0] = payload
                starts[index] = offset
                self.cost_bytes += sys.getsizeof(after) - was
                return
        piece = bytearray(payload)
        starts.insert(index, offset)
        pieces.insert(index, piece)
        self.cost_bytes += sys.getsizeof(piece) + _PIECE_COST_BYTES

    def _touching(self, index: int, offset: int, length: int) -> bytearray | None:
        """Return the piece at an index if one at `offset` goes on where it ends, both small."""
        if index < 0:
            return None
        piece = self.pieces[index]
        size = len(piece)
        fits = self.starts[index] + size == offset and size + length <= _GATHER_UP_TO_BYTES
        return piece if fits else None

    def _join(self, index: int) -> None:
        """Make one of a piece and the next, where they touch now and are small."""
        after = index + 1
        if after == len(self.starts):
            return
        piece, other = self.pieces[index], self.pieces[after]
        if self._touching(index, self.starts[after], len(other)) is None:
            return
        was = sys.getsizeof(piece) + sys.getsizeof(other) + _PIECE_COST_BYTES
        piece += other
        del self.starts[after], self.pieces[after]
        self.cost_bytes += sys.getsizeof(piece) - was


class Reassembly:
    """The datagrams of one host that wait for their missing pieces."""

    __slots__ = (
        "_cost_bytes",
        "_datagrams",
        "_drop",
        "_on_expired",
        "_on_malformed",
        "_scheduler",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        drop: Callable[[str, float, bytes], None],
        on_expired: Callable[[Packet, float], None],
        on_malformed: Callable[[Packet, int, float], None],
    ) -> None:
        """`drop` counts by reason; `on_expired` gets the first fragment of what ran out of time.

        `on_malformed` gets a fragment of IPv6 that cannot be, and where in it that is said.
        """
        self._scheduler = scheduler
        self._drop = drop
        self._on_expired = on_expired
        self._on_malformed = on_malformed
        # The oldest first; ordered, for a dict is slow to find its first after many deletions
        self._datagrams: OrderedDict[_Key, _Datagram] = OrderedDict()
        self._cost_bytes = 0

    def add(self, packet: Packet, now: float) -> Packet | None:
        """Take a fragment; return the whole datagram when this was the last missing piece."""
        proto = packet.proto if packet.version == 4 else _ALL_PROTOCOLS
        key = (packet.src, packet.dst, proto, packet.ident)
        offset, length = packet.fragment_offset_bytes, len(packet.payload)
        if (wrong_at := ip.impossible_at(packet, length, offset + length)) is not None:
            self._drop("frag_malformed", now, packet.quoted)
            if packet.version == 6:
                self._on_malformed(packet, wrong_at, now)
            return None
        datagram = self._datagrams.get(key)
        if datagram is None:
            timer = self._scheduler.call_at(now + TIMEOUT_S, lambda at: self._expire(key, at))
            datagram = self._datagrams[key] = _Datagram(timer)
            self._cost_bytes += datagram.cost_bytes
        if not packet.more_fragments:
            if datagram.total_bytes not in (None, offset + length):
                self._reject(key, "frag_two_ends", now, packet)
                return None
            if not length and datagram.total_bytes is not None:
                self._drop("frag_duplicate", now, packet.quoted)
                return None
            datagram.total_bytes = offset + length
        if datagram.overlaps(offset, offset + length):
            if datagram.end <= (datagram.total_bytes or MAX_PACKET_BYTES) and datagram.has(
                offset, packet.payload
            ):
                self._drop("frag_duplicate", now, packet.quoted)
            else:
                self._reject(key, "frag_overlap", now, packet)
            return None
        if len(datagram.pieces) >= MAX_PIECES:
            self._reject(key, "frag_too_many", now, packet)
            return None
        cost_bytes = datagram.cost_bytes
        datagram.insert(offset, packet.payload)
        if offset == 0 and datagram.first is None:
            datagram.first = ip.head_of(packet)
            datagram.cost_bytes += FIRST_COST_BYTES[packet.version] + len(datagram.first.raw)
        self._cost_bytes += datagram.cost_bytes - cost_bytes
        datagram.ecn_seen |= 1 << (packet.tos & CE)
        if datagram.have_bytes == datagram.total_bytes and datagram.first is not None:
            if datagram.ecn_seen & _CE_SEEN and datagram.ecn_seen & _NOT_ECT_SEEN:
                self._reject(key, "frag_ecn_mixed", now, packet)
                return None
            self._forget(key)
            first, seen = datagram.first, datagram.ecn_seen
            # Marked in part is marked (RFC 3168 section 5.3).
            return ip.joined(
                first, datagram.pieces, first.tos | CE if seen & _CE_SEEN else first.tos
            )
        self._make_room(key, now)
        return None

    def clear(self) -> None:
        """Forget all that waits, and its timers."""
        for key in list(self._datagrams):
            self._forget(key)

    def __len__(self) -> int:
        """Return how many datagrams wait."""
        return len(self._datagrams)

    def _expire(self, key: _Key, now: float) -> None:
        datagram = self._forget(key)
        self._drop("frag_timeout", now, b"" if datagram.first is None else datagram.first.quoted)
        # RFC 792: no fragment zero, no message.
        if datagram.first is not None:
            self._on_expired(datagram.first, now)

    def _reject(self, key: _Key, reason: str, now: float, packet: Packet) -> None:
        self._forget(key)
        self._drop(reason, now, packet.quoted)

    def _make_room(self, newest: _Key, now: float) -> None:
        while self._cost_bytes > MAX_BYTES:
            # There is another: one alone cannot take so much, by its limit of pieces.
            oldest = next(key for key in self._datagrams if key != newest)
            self._forget(oldest)
            self._drop("frag_no_room", now, b"")

    def _forget(self, key: _Key) -> _Datagram:
        datagram = self._datagrams.pop(key)
        datagram.timer.cancel()
        self._cost_bytes -= datagram.cost_bytes
        return datagram
