"""Interface identifiers: the lower 64 bits of the addresses that a host makes itself.

Stable and private ones (RFC 7217): the same for the same host on the same link, others elsewhere,
and told by nobody who does not know the secret. That is made of the world's seed, so that a run has
the same addresses whenever it is run.
"""

from __future__ import annotations

import hashlib
from typing import Final

from pystack.core.addresses import Prefix, pack_ip6
from pystack.core.rng import Random

_BITS: Final = 64


def secret_of(seed: int, host: str) -> bytes:
    """Return the secret key of a host."""
    return hashlib.sha256(f"{seed}/host/{host}/stable addresses".encode()).digest()


def stable_id(prefix: Prefix, interface: str, counter: int, secret: bytes) -> int:
    """Return the identifier for a link (RFC 7217 section 5).

    `counter` is one more for each address that turned out to be another's.
    """
    while True:
        said = pack_ip6(prefix.network) + interface.encode() + counter.to_bytes(4, "big") + secret
        found = int.from_bytes(hashlib.sha256(said).digest()[-8:], "big")
        if not is_reserved(found):
            return found
        counter += 1 << 16  # out of the way of those that are counted


def random_id(rng: Random) -> int:
    """Return an identifier for a temporary address (RFC 8981 section 3.3.1)."""
    while is_reserved(found := rng.getrandbits(_BITS)):
        pass
    return found


def is_reserved(identifier: int) -> bool:
    """Tell whether it is not for hosts to choose (RFC 5453 section 3)."""
    return (
        identifier == 0  # any router of the subnet (RFC 4291 section 2.6.1)
        or 0x02005EFFFE000000 <= identifier <= 0x02005EFFFE005212
        or 0xFDFFFFFFFFFFFF80 <= identifier <= 0xFDFFFFFFFFFFFFFF
    )
