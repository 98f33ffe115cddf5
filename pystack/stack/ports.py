"""Ephemeral ports that a stranger can't guess (RFC 6056)."""

import hashlib
from collections.abc import Callable
from typing import Final

from pystack.core.rng import Random

FIRST: Final = 32768  # as Linux's ip_local_port_range; RFC 6056 section 3.2 allows 1024 on
LAST: Final = 60999
COUNT: Final = LAST - FIRST + 1


class EphemeralPorts:
    """Chooses local ports for connections: RFC 6056's Algorithm 4, "double-hash port selection".

    Ports to one destination count up from an offset that is secret and its own, so that they come
    back late; ports to different destinations tell nothing about each other.
    """

    __slots__ = ("_key", "_table")

    def __init__(self, rng: Random) -> None:
        self._key = rng.randbytes(16)
        self._table = [rng.randrange(COUNT) for _ in range(64)]

    def choose(
        self, local: int, remote: int, remote_port: int, is_free: Callable[[int], bool]
    ) -> int:
        """Return a free port for a connection to there; 0 when all are taken."""
        name = f"{local}/{remote}/{remote_port}".encode()
        digest = hashlib.blake2s(name, key=self._key, digest_size=8).digest()
        offset = int.from_bytes(digest[:4], "big")
        index = int.from_bytes(digest[4:], "big") % len(self._table)
        for _ in range(COUNT):
            port = FIRST + (offset + self._table[index]) % COUNT
            self._table[index] += 1
            if is_free(port):
                return port
        return 0


def random_port(rng: Random, is_free: Callable[[int], bool]) -> int:
    """Return a free port by RFC 6056's Algorithm 1 (UDP, listeners); 0 when all are taken."""
    start = rng.randrange(COUNT)
    for step in range(COUNT):
        port = FIRST + (start + step) % COUNT
        if is_free(port):
            return port
    return 0


class Shares:
    """Who of several that share a port (SO_REUSEPORT) gets what comes from one other end.

    The same one for the same ends, as long as their number stays; a stranger can't choose it.
    """

    __slots__ = ("_key", "_rng")

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._key: bytes | None = None  # None: not needed yet

    def choose(self, local: int, remote: int, remote_port: int, count: int) -> int:
        """Return a number below `count`."""
        if self._key is None:
            self._key = self._rng.randbytes(16)
        name = f"{local}/{remote}/{remote_port}".encode()
        digest = hashlib.blake2s(name, key=self._key, digest_size=4).digest()
        return int.from_bytes(digest, "big") * count >> 32
