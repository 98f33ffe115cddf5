"""The IP packet of a frame, whichever its version: read, aged by a hop, cut and joined."""

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Final

from pystack.core.errors import WireError
from pystack.wire import ethernet, ipv4, ipv6, ipv6_ext
from pystack.wire.checksum import update
from pystack.wire.ip_options import copied
from pystack.wire.packet import FRAGMENT, MORE_FRAGMENTS, OFFSET_MASK, Packet

_TYPE: Final = ethernet.TYPE
_CHECKSUM: Final = slice(10, 12)
_LENGTH_AT: Final = {4: 2, 6: 4}
_FRAGMENT_AT: Final = 6  # of IPv4: its flags and offset
_IPV4: Final = ethernet.IS_IPV4
_IPV6: Final = ethernet.IS_IPV6


def packet_of(
    frame: bytes | bytearray | memoryview, *, checksum_good: bool = False, to_many: bool = False
) -> Packet:
    """Read the packet of a frame without copying. WireError: it is none, or malformed."""
    data = memoryview(frame)[ethernet.HEADER_BYTES :]
    kind = frame[_TYPE]
    if kind == _IPV4:
        return ipv4.parse(data, checksum_good=checksum_good, to_many=to_many)
    if kind == _IPV6:
        return ipv6.parse(data, checksum_good=checksum_good, to_many=to_many)
    raise WireError("ip_bad_version")


def parse(packet: bytes | memoryview) -> Packet:
    """Read a packet that stands alone, by the version that its first bits tell."""
    data = memoryview(packet)
    return ipv6.parse(data) if data[:1] and data[0] >> 4 == 6 else ipv4.parse(data)


def aged(packet: Packet, options: bytes) -> bytes:
    """Return the packet's headers with one hop less to live.

    `options` are IPv4's as they are to be now; the checksum is brought up to date (RFC 1624).
    """
    patched = bytearray(packet.raw[: packet.header_bytes])
    if packet.version == 6:
        patched[ipv6.HOPS_AT] -= 1
        return bytes(patched)
    was = bytes(packet.options)
    if options != was:
        patched[ipv4.HEADER_BYTES :] = options
        check = update(int.from_bytes(patched[_CHECKSUM], "big"), _sum(was), _sum(options))
        patched[_CHECKSUM] = check.to_bytes(2, "big")
    patched[ipv4.TTL_AT : ipv4.TTL_AT + 4] = ipv4.aged(patched, 0)
    return bytes(patched)


def cut(
    payload: bytes, mtu_bytes: int, flags_offset: int, options: bytes = b""
) -> Iterator[tuple[int, bytes, bytes]]:
    """Cut what an IPv4 packet carries for an MTU: (flags and offset, text, options) of each piece.

    `flags_offset`: of the packet, which may be a fragment. All options of the header go with the
    first, those that say so with every one (RFC 791 section 3.1).
    """
    at, size = 0, len(payload)
    last = flags_offset & MORE_FRAGMENTS
    while at < size:
        step = (mtu_bytes - ipv4.HEADER_BYTES - len(options)) // 8 * 8
        more = MORE_FRAGMENTS if at + step < size else last
        yield (flags_offset & OFFSET_MASK) + at // 8 | more, payload[at : at + step], options
        if not at:
            options = copied(options)
        at += step


def cut6(payload: bytes, mtu_bytes: int, proto: int, ident: int) -> Iterator[tuple[bytes, bytes]]:
    """Cut a packet's payload for an MTU, for IPv6: (fragment header, text) of each piece."""
    step = (mtu_bytes - ipv6.HEADER_BYTES - ipv6_ext.FRAGMENT_BYTES) // 8 * 8
    for at in range(0, len(payload), step):
        more = MORE_FRAGMENTS if at + step < len(payload) else 0
        yield ipv6.pack_fragment_header(proto, at // 8 | more, ident), payload[at : at + step]


def impossible_at(packet: Packet, length: int, end: int) -> int | None:
    """Return which byte of its headers makes a fragment impossible; None: it is as it should be.

    All but the last are multiples of 8 bytes, and none ends above what a datagram can hold.
    """
    if packet.more_fragments and (length % 8 or length == 0):
        return _LENGTH_AT[packet.version]
    if packet.chain is None:
        return _FRAGMENT_AT if packet.header_bytes + end > ipv4.MAX_PACKET_BYTES else None
    fragment_at = packet.chain.fragment_at
    if fragment_at - ipv6.HEADER_BYTES + end > ipv6.MAX_PAYLOAD_BYTES:
        return fragment_at + 2  # RFC 8200 section 4.5: the fragment offset
    return None


def head_of(packet: Packet) -> Packet:
    """Return a packet with no more of its payload than an error quotes, in bytes of its own."""
    head = copy(packet)
    head.raw = memoryview(packet.quoted)
    head.payload = head.raw[head.header_bytes :]
    return head


def joined(first: Packet, pieces: Sequence[bytes | bytearray], tos: int) -> Packet:
    """Return the packet that fragments were cut from; `first`: the one at offset 0, or its head."""
    if first.version == 6:
        return _joined6(first, pieces, tos)
    # What an ICMP error would quote is in the first fragment.
    whole = copy(first)
    whole.tos = tos
    whole.flags_offset &= ~FRAGMENT
    whole.payload = memoryview(b"".join(pieces))
    whole.checksum_good = False
    return whole


def _joined6(first: Packet, pieces: Sequence[bytes | bytearray], tos: int) -> Packet:
    """Read it anew: more headers may be in the fragments."""
    chain = first.chain
    assert chain is not None
    data = bytearray(first.raw[: chain.fragment_at])
    data[chain.fragment_named_at] = first.proto
    for piece in pieces:
        data += piece
    data[4:6] = (len(data) - ipv6.HEADER_BYTES).to_bytes(2, "big")
    whole = ipv6.parse(memoryview(bytes(data)), to_many=first.to_many)
    whole.src, whole.dst, whole.tos = first.src, first.dst, tos
    if whole.chain is None:
        whole.chain = ipv6_ext.walk(whole.raw, whole.proto)
    whole.chain.fragmented = True
    if whole.is_fragment:
        # Fragments in fragments: once more would be once too often.
        whole.flags_offset &= ~FRAGMENT
        whole.chain.fault = ipv6_ext.HeaderFault("ip6_fragment_twice")
    return whole


def _sum(words: bytes) -> int:
    return int.from_bytes(words, "big") % 0xFFFF
