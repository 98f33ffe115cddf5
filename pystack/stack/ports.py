"""Local ports of TCP and UDP: who may have one, and which a stranger can't guess (RFC 6056)."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from pystack.core.addresses import UNSPECIFIED, UNSPECIFIED6, Ip, format_ip
from pystack.core.errors import RangeError
from pystack.core.ranges import PORT
from pystack.core.rng import Random

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface

FIRST: Final = 32768  # as Linux's ip_local_port_range; RFC 6056 section 3.2 allows 1024 on
LAST: Final = 60999
COUNT: Final = LAST - FIRST + 1

# Where no address of ours is named: UNSPECIFIED is all of IPv4, UNSPECIFIED6 all of IPv6, this both
ANY: Final = Ip(-1)
_ALL: Final = frozenset((UNSPECIFIED, UNSPECIFIED6, ANY))


def locals_of(dst: Ip) -> tuple[Ip, Ip, Ip]:
    """Return the addresses that a socket is bound to which hears what comes for `dst`."""
    return dst, UNSPECIFIED6 if dst >> 32 else UNSPECIFIED, ANY


def names_one(local: int) -> bool:
    """Tell whether this is an address of ours, not all of them."""
    return local not in _ALL


class Holder(Protocol):
    """Whoever holds a port: a binding, a connection or what is left of one, a UDP socket."""

    local: Ip
    reuse_address: bool
    reuse_port: bool


def collide(
    new: Holder,
    old: Holder,
    devices: tuple[Interface | None, Interface | None] = (None, None),
    *,
    listening: bool = False,
) -> bool:
    """Tell whether two may not have one port (socket(7), SO_REUSEADDR and SO_REUSEPORT).

    `devices` are those that each of them is bound to; None: to none. `listening`: the old one
    takes what comes for the port, so that SO_REUSEADDR is not enough.
    """
    if new.local not in locals_of(old.local) and old.local not in locals_of(new.local):
        return False
    if None not in devices and devices[0] is not devices[1]:
        return False
    if new.reuse_address and old.reuse_address and not listening:
        return False
    return not (new.reuse_port and old.reuse_port)


def check_bindable(host: Host, local: Ip, port: int, *, foreign: bool) -> None:
    """Raise OSError for what no socket of a host can be bound to: ENETDOWN, EINVAL, EADDRNOTAVAIL.

    `foreign`: the address need not be one of the host's.
    """
    host.check_up()
    if not PORT.allows(port):
        raise RangeError(f"{port!r} is not a port")
    if not (foreign or local in _ALL or host.is_own(local) or host.is_many(local)):
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL), format_ip(local))


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
