"""Fragmentation and reassembly of IPv4 datagrams (RFC 791 section 3.2, RFC 815, RFC 1122 3.3).

Reassembly is bounded in time, in bytes and in pieces. Fragments that overlap are the tool of
attacks only (RFC 1858, RFC 5722): the whole datagram is thrown away.
"""

from collections.abc import Callable, Iterator
from typing import Final

from pystack.core.scheduler import Handle, Scheduler
from pystack.wire.ecn import CE, NOT_ECT
from pystack.wire.ip_options import copied
from pystack.wire.ipv4 import HEADER_BYTES, MAX_PACKET_BYTES, Ipv4Packet

TIMEOUT_S: Final = 60.0  # RFC 1122 section 3.3.2: 60 to 120 s
MAX_BYTES: Final = 4 * 1024 * 1024  # of all datagrams that wait; as Linux's ipfrag_high_thresh
MAX_PIECES: Final = 1024  # of one datagram; 65,535 bytes over the smallest sensible MTU are 124
_CE_SEEN: Final = 1 << CE
_NOT_ECT_SEEN: Final = 1 << NOT_ECT
_PIECE_COST_BYTES: Final = 256  # what a piece takes beside its payload, about

_Key = tuple[int, int, int, int]


class _Datagram:
    """The pieces of one datagram that are here so far."""

    __slots__ = (
        "cost_bytes",
        "ecn_seen",
        "first",
        "have_bytes",
        "pieces",
        "timer",
        "total_bytes",
    )

    def __init__(self, timer: Handle) -> None:
        self.pieces: dict[int, bytes] = {}  # payload by its offset
        self.first: Ipv4Packet | None = None  # the one at offset 0; None until it is here
        self.total_bytes: int | None = None  # None until the last fragment is here
        self.have_bytes = 0
        self.ecn_seen = 0  # a bit for each ECN codepoint that a piece had
        self.cost_bytes = 0
        self.timer = timer


class Reassembly:
    """The datagrams of one host that wait for their missing pieces."""

    __slots__ = ("_cost_bytes", "_datagrams", "_drop", "_on_expired", "_scheduler")

    def __init__(
        self,
        scheduler: Scheduler,
        drop: Callable[[str, float, bytes], None],
        on_expired: Callable[[Ipv4Packet, float], None],
    ) -> None:
        """`drop` counts by reason; `on_expired` gets the first fragment of what ran out of time."""
        self._scheduler = scheduler
        self._drop = drop
        self._on_expired = on_expired
        self._datagrams: dict[_Key, _Datagram] = {}
        self._cost_bytes = 0

    def add(self, packet: Ipv4Packet, now: float) -> Ipv4Packet | None:
        """Take a fragment; return the whole datagram when this was the last missing piece."""
        key = (packet.src, packet.dst, packet.proto, packet.ident)
        offset, length = packet.fragment_offset_bytes, len(packet.payload)
        if not _sensible(packet, offset, length):
            self._drop("frag_malformed", now, packet.quoted)
            return None
        datagram = self._datagrams.get(key)
        if datagram is None:
            timer = self._scheduler.call_at(now + TIMEOUT_S, lambda at: self._expire(key, at))
            datagram = self._datagrams[key] = _Datagram(timer)
        if not packet.more_fragments:
            if datagram.total_bytes not in (None, offset + length):
                self._reject(key, "frag_two_ends", now, packet)
                return None
            datagram.total_bytes = offset + length
        if datagram.pieces.get(offset) == bytes(packet.payload):
            self._drop("frag_duplicate", now, packet.quoted)
            return None
        if _overlaps(datagram, offset, length):
            self._reject(key, "frag_overlap", now, packet)
            return None
        if len(datagram.pieces) >= MAX_PIECES:
            self._reject(key, "frag_too_many", now, packet)
            return None
        datagram.pieces[offset] = bytes(packet.payload)
        datagram.have_bytes += length
        datagram.cost_bytes += length + _PIECE_COST_BYTES
        self._cost_bytes += length + _PIECE_COST_BYTES
        if offset == 0:
            datagram.first = packet
        datagram.ecn_seen |= 1 << (packet.tos & CE)
        if datagram.have_bytes == datagram.total_bytes and datagram.first is not None:
            if datagram.ecn_seen & _CE_SEEN and datagram.ecn_seen & _NOT_ECT_SEEN:
                self._reject(key, "frag_ecn_mixed", now, packet)
                return None
            self._forget(key)
            return _whole(datagram, datagram.first)
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

    def _reject(self, key: _Key, reason: str, now: float, packet: Ipv4Packet) -> None:
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


def _sensible(packet: Ipv4Packet, offset: int, length: int) -> bool:
    # All but the last are multiples of 8, and nothing ends above what a datagram can hold.
    if packet.more_fragments and (length % 8 or length == 0):
        return False
    return packet.header_bytes + offset + length <= MAX_PACKET_BYTES


def _overlaps(datagram: _Datagram, offset: int, length: int) -> bool:
    end = offset + length
    if datagram.total_bytes is not None and end > datagram.total_bytes:
        return True
    if datagram.total_bytes == end and datagram.pieces:
        highest = max(datagram.pieces)
        if highest + len(datagram.pieces[highest]) > end:
            return True
    return any(
        start < end and offset < start + len(piece) for start, piece in datagram.pieces.items()
    )


def _whole(datagram: _Datagram, first: Ipv4Packet) -> Ipv4Packet:
    payload = b"".join(datagram.pieces[offset] for offset in sorted(datagram.pieces))
    whole = Ipv4Packet()
    whole.src, whole.dst, whole.proto = first.src, first.dst, first.proto
    # Marked in part is marked (RFC 3168 section 5.3).
    whole.tos = first.tos | CE if datagram.ecn_seen & _CE_SEEN else first.tos
    whole.ttl, whole.ident = first.ttl, first.ident
    whole.flags_offset = 0
    whole.header_bytes = first.header_bytes
    # What an ICMP error would quote is in the first fragment.
    whole.raw = first.raw
    whole.payload = memoryview(payload)
    whole.checksum_good = False
    whole.to_many = first.to_many
    return whole


def cut(
    payload: bytes, mtu_bytes: int, options: bytes = b""
) -> Iterator[tuple[int, bytes, bool, bytes]]:
    """Cut a datagram's payload for an MTU.

    Each piece: (offset in units of 8 bytes, payload, more follow, options). All options of the
    header go with the first, those that say so with every one (RFC 791 section 3.1).
    """
    at, size = 0, len(payload)
    while at < size:
        step = (mtu_bytes - HEADER_BYTES - len(options)) // 8 * 8
        yield at // 8, payload[at : at + step], at + step < size, options
        if not at:
            options = copied(options)
        at += step
