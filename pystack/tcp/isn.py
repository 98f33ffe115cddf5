"""Initial sequence numbers (RFC 6528) and clocks (RFC 7323) that a stranger can't guess."""

import hashlib
from functools import lru_cache
from typing import Final

_TICKS_PER_S: Final = 250_000  # RFC 9293 section 3.4.1: a clock of 4 us


@lru_cache(maxsize=64)
def _keyed(key: bytes) -> hashlib.blake2s:
    """Return a hash that has taken the key, which is half of the work, to be copied."""
    return hashlib.blake2s(key=key, digest_size=4)


def initial_sequence_number(
    key: bytes, local: int, local_port: int, remote: int, remote_port: int, now: float
) -> int:
    """Return M + F(local, remote, key): a clock, offset by a secret of each connection's own."""
    keyed = _keyed(key).copy()
    keyed.update(f"{local}/{local_port}/{remote}/{remote_port}".encode())
    offset = int.from_bytes(keyed.digest(), "big")
    return (int(now * _TICKS_PER_S) + offset) & 0xFFFFFFFF


@lru_cache(maxsize=1024)
def timestamp_offset(key: bytes, local: int, remote: int) -> int:
    """Return what the timestamps clock is ahead of the world's (RFC 7323 section 5.4).

    The same for all connections between two addresses, as in Linux: a new connection's timestamps
    are then later than those of the one before it, which RFC 6191 needs.
    """
    name = f"{local} {remote}".encode()
    return int.from_bytes(hashlib.blake2s(name, key=key, digest_size=4).digest(), "big")
