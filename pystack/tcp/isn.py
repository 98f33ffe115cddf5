"""Initial sequence numbers that a stranger can't guess (RFC 6528)."""

import hashlib
from typing import Final

_TICKS_PER_S: Final = 250_000  # RFC 9293 section 3.4.1: a clock of 4 us


def initial_sequence_number(
    key: bytes, local: int, local_port: int, remote: int, remote_port: int, now: float
) -> int:
    """Return M + F(local, remote, key): a clock, offset by a secret of each connection's own."""
    name = f"{local}/{local_port}/{remote}/{remote_port}".encode()
    offset = int.from_bytes(hashlib.blake2s(name, key=key, digest_size=4).digest(), "big")
    return (int(now * _TICKS_PER_S) + offset) & 0xFFFFFFFF
