"""Sequence numbers (RFC 9293 section 3.4): 32 bits on the wire, endless inside.

A plain `<` between two numbers of 32 bits is the classic mistake of TCP code. Here it can't be
made: a number that arrives is unwrapped at once, next to one that is known, and from then on the
engine counts on without end (the first byte is ISS + 1, byte 5,000,000,000 is ISS + 5,000,000,000).
Only the packing of a header cuts back to 32 bits.
"""

from typing import Final

MODULUS: Final = 1 << 32
MASK: Final = MODULUS - 1
HALF: Final = 1 << 31


def unwrap(number: int, near: int) -> int:
    """Return the endless number that is `number` modulo 2**32 and lies closest to `near`."""
    return near + ((number - near + HALF) & MASK) - HALF
