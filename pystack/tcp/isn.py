"""Initial sequence numbers (RFC 6528) and clocks (RFC 7323) that a stranger can't guess."""

import hashlib
import struct
from functools import lru_cache
from typing import Final, NamedTuple

from pystack.tcp.seq import MASK

_TICKS_PER_S: Final = 250_000  # RFC 9293 section 3.4.1: a clock of 4 us
_TWO_WORDS: Final = struct.Struct("!II")


class Offsets(NamedTuple):
    """What a connection's two ends have of their own, and only this host can tell: F of RFC 6528.

    Both are the same whenever the same ports meet again, so that a new connection's numbers and
    timestamps are later than those of the one before it, which RFC 6191 needs.
    """

    number: int  # of the sequence numbers
    timestamp: int  # of the timestamps option's clock (RFC 7323 section 7.1)

    def initial_number(self, now: float) -> int:
        """Return M + F(local, remote, key): a clock, offset by the connection's secret."""
        return (int(now * _TICKS_PER_S) + self.number) & MASK


def offsets(key: bytes, local: int, local_port: int, remote: int, remote_port: int) -> Offsets:
    """Return the offsets of a connection, by a key of the host's."""
    ends = f"{local}/{local_port}/{remote}/{remote_port}".encode()
    return Offsets._make(_TWO_WORDS.unpack(keyed_hash(key, ends, _TWO_WORDS.size)))


def keyed_hash(key: bytes, data: bytes, size: int) -> bytes:
    """Return `size` bytes (1 to 32) that nobody can predict without the key."""
    keyed = _keyed(key, size).copy()
    keyed.update(data)
    return keyed.digest()


@lru_cache(maxsize=128)
def _keyed(key: bytes, size: int) -> hashlib.blake2s:
    """Return a hash that has taken the key, which is half of the work, to be copied."""
    return hashlib.blake2s(key=key, digest_size=size)
