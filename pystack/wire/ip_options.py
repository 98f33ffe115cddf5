"""IPv4 options (RFC 791 section 3.1): source routes, Record Route and Timestamp, no others.

Reading is lenient as with TCP's options: what is malformed ends the list and is no error, for a
host ignores the options that it does not understand (RFC 1122 section 3.2.1.8). Only an option that
is to be filled in, and can't be, is one.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Final

from pystack.core.addresses import Ip4
from pystack.core.errors import WireError
from pystack.wire.checksum import Buffer
from pystack.wire.options import NO_OPERATION, walk

RECORD_ROUTE: Final = 7
TIMESTAMP: Final = 68
LOOSE_SOURCE_ROUTE: Final = 131
STRICT_SOURCE_ROUTE: Final = 137
MAX_BYTES: Final = 40  # what the header has room for
MAX_HOPS: Final = 9  # of a route beside its destination: 3 bytes and 4 for each, after one NOP
_FIRST: Final = 4  # the smallest pointer: to the first address after type, length and pointer
_FIRST_STAMP: Final = 5  # of a Timestamp, which has a byte more in front
_WITH_ADDRESS: Final = 1  # flags of a Timestamp: each with its station;
_OF_THOSE: Final = 3  # of the stations that are named in it already
_NOT_SINCE_MIDNIGHT: Final = 1 << 31  # of a time stamp: it is not in milliseconds since midnight UT
_COPIED: Final = 0x80


class OptionError(WireError):
    """An option that is to be filled in and is malformed; `at` is where, among the options."""

    def __init__(self, at: int) -> None:
        super().__init__("ip_bad_option")
        self.at = at


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
    for kind, at, length in walk(data):
        if kind in (LOOSE_SOURCE_ROUTE, STRICT_SOURCE_ROUTE):
            return _read(kind, bytes(data[at : at + length]))
    return None


def pack_source_route(route: SourceRoute, dst: Ip4) -> bytes:
    """Return the option of a packet that begins its way: its header names the first station."""
    stations: Sequence[Ip4] = (*route.hops[1:], dst)
    kind = STRICT_SOURCE_ROUTE if route.strict else LOOSE_SOURCE_ROUTE
    head = bytes((NO_OPERATION, kind, 3 + 4 * len(stations), _FIRST))
    return head + b"".join(station.to_bytes(4, "big") for station in stations)


def records(data: Buffer) -> bool:
    """Tell whether any of a header's options is to be filled in by those whom it passes."""
    return any(kind in (RECORD_ROUTE, TIMESTAMP) for kind, _, _ in walk(data))


def recorded(data: Buffer, here: Ip4, own: Container[Ip4], time_ms: int) -> bytes:
    """Return a header's options with this station written into its Record Route and Timestamp.

    `here` is the address that is recorded, `own` all of the station's. `time_ms` counts from no
    particular instant, and the option says so. OptionError: one of them is malformed.
    """
    found = bytearray(data)
    stamp = time_stamp(time_ms)
    for kind, at, length in walk(data):
        if kind == RECORD_ROUTE:
            _record(found, at, length, here.to_bytes(4, "big"), _FIRST)
        elif kind == TIMESTAMP:
            _stamp(found, at, length, here, own, stamp)
    return bytes(found)


def time_stamp(time_ms: int) -> bytes:
    """Return an instant of a clock that knows of no midnight, as IP and ICMP have it (RFC 791)."""
    return (_NOT_SINCE_MIDNIGHT | time_ms & _NOT_SINCE_MIDNIGHT - 1).to_bytes(4, "big")


def only_records(data: Buffer) -> bytes:
    """Return the Record Route and Timestamp options alone, as whole words."""
    return _picked(data, lambda kind: kind in (RECORD_ROUTE, TIMESTAMP))


def copied(data: Buffer) -> bytes:
    """Return the options that every fragment has, as whole words (RFC 791: the "copied flag")."""
    return _picked(data, lambda kind: bool(kind & _COPIED))


def _picked(data: Buffer, wanted: Callable[[int], bool]) -> bytes:
    found = b"".join(bytes(data[at : at + size]) for kind, at, size in walk(data) if wanted(kind))
    return found + bytes(-len(found) % 4)


def _record(options: bytearray, at: int, length: int, entry: bytes, first: int) -> bool:
    """Write an entry where the pointer is, and move it on; False: there is no room at all."""
    pointer = options[at + 2] if length > 2 else 0
    if pointer < first or pointer % 4 != first % 4:
        raise OptionError(at + 2)
    if pointer > length:
        return False
    if pointer - 1 + len(entry) > length:
        raise OptionError(at + 2)  # RFC 791: some room, but not enough
    start = at + pointer - 1
    options[start : start + len(entry)] = entry
    options[at + 2] += len(entry)
    return True


def _stamp(
    options: bytearray, at: int, length: int, here: Ip4, own: Container[Ip4], stamp: bytes
) -> None:
    if length < _FIRST_STAMP - 1:
        raise OptionError(at + 1)
    overflow, flag = options[at + 3] >> 4, options[at + 3] & 0xF
    entry = stamp
    if flag == _WITH_ADDRESS:
        entry = here.to_bytes(4, "big") + stamp
    elif flag == _OF_THOSE:
        next_at = at + options[at + 2] - 1
        asked = options[next_at : next_at + 4]
        if options[at + 2] <= length and int.from_bytes(asked, "big") not in own:
            return  # another station's turn
        entry = bytes(asked) + stamp
    elif flag:
        raise OptionError(at + 3)
    if _record(options, at, length, entry, _FIRST_STAMP) or flag == _OF_THOSE:
        return
    if overflow == 0xF:
        raise OptionError(at + 3)  # RFC 791: not even that can be counted
    options[at + 3] += 0x10


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
