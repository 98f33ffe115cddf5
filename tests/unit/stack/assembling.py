"""Reassembly for tests: of both versions, by itself."""

import pytest
from packets6 import fragment, packet6
from stack_bench import PEER, ip_packet

from pystack.core.addresses import parse_ip6
from pystack.core.scheduler import Scheduler
from pystack.stack.fragments import Reassembly
from pystack.wire import ipv4, ipv6
from pystack.wire.ip import cut, cut6
from pystack.wire.packet import MORE_FRAGMENTS, OFFSET_MASK, Packet

MORE = ipv4.MORE_FRAGMENTS


PEER6 = parse_ip6("fd00::2")

both_versions = pytest.mark.parametrize("version", [4, 6])


def piece_of(
    version: int,
    payload: bytes,
    offset: int,
    *,
    more: bool = True,
    ident: int = 1,
    host: int = 0,
    tos: int = 0,
    room: bytes = b"",
) -> Packet:
    """Return a fragment of a datagram, in a buffer that goes on behind it with `room`."""
    if version == 4:
        flags_offset = offset | (MORE if more else 0)
        data = ip_packet(
            payload, src=PEER + host, ident=ident & 0xFFFF, flags_offset=flags_offset, tos=tos
        )
        return ipv4.parse(memoryview(data + room)[: len(data)])
    headers = [fragment(offset, more=more, ident=ident)]
    data = packet6(headers, ipv4.UDP, payload, src=PEER6 + host, tos=tos)
    return ipv6.parse(memoryview(data + room)[: len(data)])


def pieces_of(version: int, payload: bytes, mtu_bytes: int) -> list[tuple[int, bytes, bool]]:
    """Return what a datagram's payload is cut into: (offset in units of 8, text, more follow).

    `mtu_bytes` is IPv4's; IPv6's is larger by what its headers are larger.
    """
    if version == 4:
        cuts = cut(payload, mtu_bytes, 0)
        return [(at & OFFSET_MASK, text, bool(at & MORE_FRAGMENTS)) for at, text, _ in cuts]
    pieces = []
    for header, text in cut6(payload, mtu_bytes + 28, ipv4.UDP, 1):
        word = int.from_bytes(header[2:4], "big")
        pieces.append((word >> 3, text, bool(word & 1)))
    return pieces


class Assembler:
    """Reassembly by itself, with a note of what it told."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.malformed: list[int] = []  # where in IPv6 packets
        self.scheduler = Scheduler(0.0)
        self.dropped: list[str] = []
        self.tos: int | None = None  # of the last whole datagram; None: the last piece made none
        self.expired: list[tuple[float, Packet]] = []
        self.table = Reassembly(
            self.scheduler,
            lambda reason, _now, _data: self.dropped.append(reason),
            lambda first, now: self.expired.append((now, first)),
            lambda _packet, at, _now: self.malformed.append(at),
        )

    def add(
        self,
        payload: bytes,
        offset: int,
        *,
        more: bool,
        ident: int = 1,
        host: int = 0,
        tos: int = 0,
    ) -> bytes | None:
        """Give it one fragment, `offset` in units of 8 bytes; return the whole, if it is whole."""
        packet = piece_of(self.version, payload, offset, more=more, ident=ident, host=host, tos=tos)
        whole = self.table.add(packet, self.scheduler.now)
        self.tos = None if whole is None else whole.tos
        return None if whole is None else bytes(whole.payload)
