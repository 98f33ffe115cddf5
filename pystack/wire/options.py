"""Options as the headers of IPv4 and TCP have them: a kind, and beside two of one byte a length."""

from collections.abc import Iterator
from typing import Final

from pystack.wire.checksum import Buffer

END: Final = 0
NO_OPERATION: Final = 1


def walk(data: Buffer) -> Iterator[tuple[int, int, int]]:
    """Yield the kind, place and length of each option, up to END, or the first that is malformed.

    The length is that of the whole option; malformed is one that is too short, or does not end.
    """
    at, end = 0, len(data)
    while at < end:
        kind = data[at]
        length = 1
        if kind > NO_OPERATION:
            length = data[at + 1] if at + 1 < end else 0
            if length < 2 or at + length > end:
                return
        yield kind, at, length
        if kind == END:
            return
        at += length
