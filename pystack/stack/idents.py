"""IP identifications that tell nobody how much is sent to others (RFC 6274 3.5.2.1, RFC 7739).

And IPv6's flow labels.

As Linux's ip_idents: source, destination and protocol choose, by a keyed hash, one of some thousand
counters. A counter goes up by one with each datagram, which keeps the fragments of two apart, and
by a random number for the time that it was idle, so that who shares one learns little even then.
"""

from __future__ import annotations

import hashlib
from typing import Final

from pystack.core.addresses import is_v6
from pystack.core.rng import Random, component_rng
from pystack.wire import headers

COUNTERS: Final = 2048  # Linux: 2,048 to 262,144, by its memory
TICKS_PER_S: Final = 1000  # the noise of an idle second is up to that
_KNOWN_LIMIT: Final = 4096  # remembered destinations; when that many are, all are forgotten


class IdentCounter:
    """The identifications of all datagrams whose ends have one hash."""

    __slots__ = ("_at", "_ident", "_mask", "_rng")

    def __init__(self, ident: int, mask: int, rng: Random) -> None:
        self._ident = ident
        self._mask = mask
        self._at = 0.0
        self._rng = rng

    def take(self, now: float, count: int = 1) -> int:
        """Return the first of `count` identifications (HOT)."""
        ident = self._ident + 1
        idle_ticks = int((now - self._at) * TICKS_PER_S)
        if idle_ticks:
            ident += int(self._rng.random() * idle_ticks)  # randrange takes six times as long
            self._at = now
        self._ident = ident + count - 1 & self._mask
        return ident & self._mask


class Identifications:
    """All counters of one host, made as they are needed."""

    __slots__ = ("_counters", "_key", "_known", "_rng", "_source")

    def __init__(self, seed: int, name: str) -> None:
        self._source = seed, f"{name}/identifications"
        self._rng: Random | None = None  # None: nothing was sent yet; most hosts of a large lab
        self._key = b""
        self._counters: dict[int, IdentCounter] = {}
        self._known: dict[tuple[int, int, int], IdentCounter] = {}

    def of(self, src: int, dst: int, proto: int) -> IdentCounter:
        """Return the counter of all datagrams of a protocol between two addresses."""
        ends = src, dst, proto
        counter = self._known.get(ends)
        if counter is None:
            counter = self._find(ends)
            if len(self._known) >= _KNOWN_LIMIT:
                self._known.clear()
            self._known[ends] = counter
        return counter

    def flow_label(self, proto: int, ends: tuple[int, int, int, int]) -> int:
        """Return the label of packets between these addresses and ports (RFC 6437 section 3)."""
        self._begin()
        name = f"{proto}/{ends}".encode()
        digest = hashlib.blake2s(name, key=self._key, digest_size=4).digest()
        return 1 + int.from_bytes(digest, "big") % 0xFFFFF

    def _begin(self) -> Random:
        if self._rng is None:
            self._rng = component_rng(*self._source)
            self._key = self._rng.randbytes(16)
        return self._rng

    def _find(self, ends: tuple[int, int, int]) -> IdentCounter:
        rng = self._begin()
        src, dst, proto = ends
        packed = headers.pack_pair(src, dst) + bytes((proto,))
        digest = hashlib.blake2s(packed, key=self._key, digest_size=4).digest()
        number = int.from_bytes(digest, "big") % COUNTERS
        size = 2
        if is_v6(dst):  # their numbers have 32 bits, and counters of their own
            number, size = number + COUNTERS, 4
        counter = self._counters.get(number)
        if counter is None:
            start = hashlib.blake2s(number.to_bytes(4, "big"), key=self._key, digest_size=size)
            first = int.from_bytes(start.digest(), "big")
            mask = (1 << 8 * size) - 1
            counter = self._counters[number] = IdentCounter(first, mask, rng)
        return counter
