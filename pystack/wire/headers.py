"""Ethernet and a plain IP header of either version: read once, written from one template (HOT).

Nearly every frame looks so: no IP options, no extension headers, not a fragment, for one station.
`read` gives what the layers above need of such a one. Whatever is not so is left to `ipv4.parse`
and `ipv6.parse`, which know the reason for each drop; `read` then says None.
"""

import struct
from typing import Final

from pystack.core.addresses import V6, Ip, Mac, unpack_ip6, zone_of
from pystack.wire import ethernet, ipv4, ipv6
from pystack.wire.checksum import address_sum
from pystack.wire.frame import Frame, Plain

V4_END: Final = ethernet.HEADER_BYTES + ipv4.HEADER_BYTES
V6_END: Final = ethernet.HEADER_BYTES + ipv6.HEADER_BYTES
# What names the connection of a frame: both addresses and both ports, as they lie there
ENDS4: Final = slice(26, 38)
ENDS6: Final = slice(22, 58)
PAIR: Final = slice(-4)  # of those, without the ports

_DST: Final = ethernet.DST
_IP: Final = ethernet.HEADER_BYTES
_IPV4: Final = ethernet.IPV4
_PLAIN: Final = ipv4.PLAIN
_FRAGMENT: Final = ipv4.FRAGMENT
# Both as far as the protocol; behind that IPv4 has its checksum, and each its addresses
_READ4: Final = struct.Struct("!6s6sHBBHHHBB").unpack_from
_READ6: Final = struct.Struct("!6s6sHIHBB").unpack_from
_LEAST4: Final = ENDS4.stop
_LEAST6: Final = ENDS6.stop
_HEADER4: Final = slice(_IP, V4_END)
# From the source's MAC address on, in the largest pieces that stay what they are
_WRITE4: Final = struct.Struct("!8sHHHHHH8s")
_WRITE6: Final = struct.Struct("!8sIHBB32s")
# IPv6's protocols of extension headers (RFC 8200 section 4; RFC 4302), and the one of no payload
_NOT_PLAIN: Final = frozenset((0, 43, 44, 51, 59, 60, 135, 139, 140, 253, 254))
_PAIR4: Final = struct.Struct("!II")
_ENDS4: Final = struct.Struct("!IIHH")
_TTL_AT: Final = _IP + ipv4.TTL_AT
_HOPS_AT: Final = _IP + ipv6.HOPS_AT


def read(frame: Frame, mac: Mac) -> Plain | None:
    """Read a frame for the station `mac`; None: it is for the layers to look at.

    The payload may end beyond `frame.head`, where a super-frame's text lies apart.
    """
    data = frame.head
    if frame.headers is not None and data[_DST] == mac:
        return frame.headers
    size = len(data)
    if size < _LEAST4:
        return None
    dst_mac, src_mac, ethertype, version, tos, total_bytes, _, fragment, ttl, proto = _READ4(data)
    if dst_mac != mac or src_mac[0] & 1:
        return None
    if ethertype == _IPV4:
        # Only a super-frame may be larger than there is a number for.
        end = _IP + total_bytes if total_bytes or not frame.gso_bytes else len(frame)
        if (
            version != _PLAIN
            or fragment & _FRAGMENT
            or end < V4_END
            or (end > size and end != len(frame))
            or int.from_bytes(data[_HEADER4], "big") % 0xFFFF
        ):
            return None
        return proto, data[ENDS4], tos, ttl, V4_END, end
    return _read6(frame) if ethertype == ethernet.IPV6 else None


def _read6(frame: Frame) -> Plain | None:
    data = frame.head
    size = len(data)
    if size < _LEAST6:
        return None
    _, _, _, first, payload_bytes, proto, hops = _READ6(data)
    end = V6_END + payload_bytes
    if first >> 28 != 6 or proto in _NOT_PLAIN or (end > size and end != len(frame)):
        return None
    return proto, data[ENDS6], first >> 20 & 0xFF, hops, V6_END, end


def unpack_pair(pair: bytes) -> tuple[Ip, Ip]:
    """Return source and destination of packets whose `ends` begin so."""
    if len(pair) == _PAIR4.size:
        src, dst = _PAIR4.unpack(pair)
        return Ip(src), Ip(dst)
    return unpack_ip6(pair[:16]), unpack_ip6(pair[16:])


def pack_pair(src: int, dst: int) -> bytes:
    """Return both addresses as a packet has them."""
    if dst >> 32:
        return ((src & V6 - 1) << 128 | dst & V6 - 1).to_bytes(32, "big")
    return _PAIR4.pack(src, dst)


def pack_ends(src: int, dst: int, src_port: int, dst_port: int) -> bytes:
    """Return what names the connection of frames from `src` and `src_port` to the others.

    Between link-local addresses the zone is part of it, which no frame says: on two links there may
    be two connections that are the same in all else.
    """
    if not dst >> 32:
        return _ENDS4.pack(src, dst, src_port, dst_port)
    zone = zone_of(src) or zone_of(dst)
    ends = pack_pair(src, dst) + (src_port << 16 | dst_port).to_bytes(4, "big")
    return ends + zone.to_bytes(4, "big") if zone else ends


class Template4:
    """What all IPv4 packets from one address to another have in common, from one station."""

    __slots__ = ("_pair", "link", "sum")

    def __init__(self, src_mac: Mac, src: Ip, dst: Ip) -> None:
        self.link = src_mac + ethernet.IS_IPV4
        self._pair = _PAIR4.pack(src, dst)
        self.sum = src + dst  # for the pseudo-header, see `address_sum`

    def pack(
        self,
        proto: int,
        payload_bytes: int,
        tos: int,
        ttl: int,
        ident: int = 0,
        flags_offset: int = 0,
    ) -> bytes:
        """Return the headers of a frame, from the source's MAC address on."""
        total_bytes = ipv4.HEADER_BYTES + payload_bytes
        if total_bytes > ipv4.MAX_PACKET_BYTES:
            total_bytes = 0  # see `SuperFrame`
        version_tos, ttl_proto = _PLAIN << 8 | tos, ttl << 8 | proto
        # src and dst as they are: 2**16 is 1 modulo 0xFFFF, so their halves need no adding up.
        total = version_tos + total_bytes + ident + flags_offset + ttl_proto + self.sum
        return _WRITE4.pack(
            self.link,
            version_tos,
            total_bytes,
            ident,
            flags_offset,
            ttl_proto,
            -total % 0xFFFF,
            self._pair,
        )


class Template6:
    """The same of IPv6, with one flow label (RFC 6437)."""

    __slots__ = ("_first", "_hop_limit", "_pair", "link", "sum")

    def __init__(
        self,
        src_mac: Mac,
        src: Ip,
        dst: Ip,
        flow_label: int = 0,
        hop_limit: int = ipv6.DEFAULT_HOP_LIMIT,
    ) -> None:
        self._hop_limit = hop_limit  # of the link, for what has no hop limit of its own
        self.link = src_mac + ethernet.IS_IPV6
        self._pair = pack_pair(src, dst)
        self._first = 6 << 28 | flow_label
        self.sum = address_sum(src, dst)

    def pack(
        self,
        proto: int,
        payload_bytes: int,
        tos: int,
        ttl: int,
        ident: int = 0,
        flags_offset: int = 0,
    ) -> bytes:
        """Return the headers of a frame; IPv6 has no place for the last two."""
        return _WRITE6.pack(
            self.link,
            self._first | tos << 20,
            payload_bytes if payload_bytes <= ipv6.MAX_PAYLOAD_BYTES else 0,
            proto,
            self._hop_limit if ttl == ipv6.DEFAULT_HOP_LIMIT else ttl,
            self._pair,
        )


Template = Template4 | Template6


def template(
    src_mac: Mac,
    src: Ip,
    dst: Ip,
    flow_label: int = 0,
    hop_limit: int = ipv6.DEFAULT_HOP_LIMIT,
) -> Template:
    """Return that of packets from `src` to `dst`, which are of one version.

    `hop_limit` is what a link's routers say (RFC 4861 section 4.2), instead of IPv6's default.
    """
    if dst >> 32:
        return Template6(src_mac, src, dst, flow_label, hop_limit)
    return Template4(src_mac, src, dst)


def aged(data: bytes, start: int, end: int) -> tuple[bytes, bytes, bytes]:
    """Return a plain frame from its type to its end, in parts, with one hop less to live."""
    if start == V6_END:
        return data[12:_HOPS_AT], bytes((data[_HOPS_AT] - 1,)), data[_HOPS_AT + 1 : end]
    return data[12:_TTL_AT], ipv4.aged(data, _IP), data[_TTL_AT + 4 : end]
