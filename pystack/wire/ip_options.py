"""IPv4 options (RFC 791 section 3.1): the two source routes are read and written, all else skipped.

Reading is lenient as with TCP's options: what is malformed ends the list and is no error, for a
host ignores the options that it does not understand (RFC 1122 section 3.2.1.8).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pystack.core.addresses import Ip4
from pystack.wire.checksum import Buffer

END: Final = 0
NO_OPERATION: Final = 1
LOOSE_SOURCE_ROUTE: Final = 131
STRICT_SOURCE_ROUTE: Final = 137
MAX_BYTES: Final = 40  # what the header has room for
MAX_HOPS: Final = 9  # of a route beside its destination: 3 bytes and 4 for each, after one NOP
_FIRST: Final = 4  # the smallest pointer: to the first address after type, length and pointer


@dataclass(slots=True, frozen=True)
class SourceRoute:
    """The stations that a packet is to visit, or has visited, in order."""

    hops: tuple[Ip4, ...]
    strict: bool = False  # True: no others between them
    done: bool = True  # False: as it was read, there are stations left to visit

    @property
    def back(self) -> "SourceRoute":
        """Return the way back, of a route that a packet has come by."""
        return SourceRoute(tuple(reversed(self.hops)), self.strict)


def find_source_route(data: Buffer) -> SourceRoute | None:
    """Return the source route among a header's options; None where there is none to go by."""
    at, end = 0, len(data)
    while at < end and data[at] != END:
        kind = data[at]
        if kind == NO_OPERATION:
            at += 1
            continue
        length = data[at + 1] if at + 1 < end else 0
        if length < 2 or at + length > end:
            return None
        if kind in (LOOSE_SOURCE_ROUTE, STRICT_SOURCE_ROUTE):
            return _read(kind, bytes(data[at : at + length]))
        at += length
    return None


def pack_source_route(route: SourceRoute, dst: Ip4) -> bytes:
    """Return the option of a packet that begins its way: its header names the first station."""
    stations: Sequence[Ip4] = (*route.hops[1:], dst)
    kind = STRICT_SOURCE_ROUTE if route.strict else LOOSE_SOURCE_ROUTE
    head = bytes((NO_OPERATION, kind, 3 + 4 * len(stations), _FIRST))
    return head + b"".join(station.to_bytes(4, "big") for station in stations)


def _read(kind: int, option: bytes) -> SourceRoute | None:
    length = len(option)
    if length < 3 or (length - 3) % 4 or length > 3 + 4 * MAX_HOPS:
        return None
    pointer = option[2]
    if pointer < _FIRST or pointer % 4:
        return None
    hops = tuple(
        Ip4(int.from_bytes(option[start : start + 4], "big")) for start in range(3, length, 4)
    )
    return SourceRoute(hops, kind == STRICT_SOURCE_ROUTE, pointer > length)
