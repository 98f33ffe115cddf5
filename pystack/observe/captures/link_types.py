"""What a captured frame begins with: link types by the numbers that capture files have for them.

Ethernet is one of several. A capture of a tunnel begins with the IP packet itself, one of "any"
interface of Linux with a header of its own ("cooked"), one of BSD's loopback with a family.
"""

from typing import Final

from pystack.core.addresses import BROADCAST_MAC
from pystack.wire import ethernet

NULL: Final = 0  # BSD's loopback: the address family, in the byte order of whoever captured
ETHERNET: Final = 1
RAW: Final = 101  # an IP packet of either version
LOOP: Final = 108  # OpenBSD's loopback: the family in network order
LINUX_SLL: Final = 113
IPV4: Final = 228
IPV6: Final = 229
LINUX_SLL2: Final = 276
_RAWS: Final = frozenset({RAW, 12, 14})  # DLT_RAW, which is another number on some systems

NAMES: Final = {
    NULL: "BSD loopback",
    ETHERNET: "Ethernet",
    12: "raw IP",
    14: "raw IP",
    RAW: "raw IP",
    LOOP: "OpenBSD loopback",
    LINUX_SLL: "Linux cooked v1",
    IPV4: "raw IPv4",
    IPV6: "raw IPv6",
    LINUX_SLL2: "Linux cooked v2",
}
# Those that people meet, and that are not read: for a sentence
_OTHERS: Final = {
    6: "Token Ring",
    8: "SLIP",
    9: "PPP",
    50: "PPP in HDLC framing",
    51: "PPPoE",
    105: "IEEE 802.11",
    127: "IEEE 802.11 with radiotap",
    119: "IEEE 802.11 with Prism",
    187: "Bluetooth HCI",
    189: "USB, Linux",
    201: "Bluetooth HCI with direction",
    220: "USB, Linux, mmapped",
    227: "CAN bus",
    239: "netfilter log",
    249: "USBPcap",
    251: "Bluetooth LE",
    252: "Wireshark's upper PDU",
}

SLL_BYTES: Final = 16
SLL2_BYTES: Final = 20
FAMILY_BYTES: Final = 4
_INET: Final = 2
_INET6: Final = frozenset({10, 24, 28, 30})  # Linux; NetBSD and OpenBSD; FreeBSD; macOS
_NOBODY: Final = bytes(6)
_REQUEST: Final = b"\0\1"  # of ARP


def name_of(link_type: int) -> str:
    """Return the name of a link type, for a sentence: "IEEE 802.11 (105)"."""
    name = NAMES.get(link_type) or _OTHERS.get(link_type)
    return f"link type {link_type}" if name is None else f"{name} ({link_type})"


def network_at(data: bytes | memoryview, link_type: int) -> tuple[int, int] | None:
    """Return the ethertype of what a frame carries and where it begins; None: it is cut before.

    The type is 0 where it is none of Ethernet's, or not known. VLAN tags are not looked into.
    """
    if link_type == ETHERNET:
        if len(data) < ethernet.HEADER_BYTES:
            return None
        return data[12] << 8 | data[13], ethernet.HEADER_BYTES
    if link_type in _RAWS or link_type in (IPV4, IPV6):
        return _by_version(data, 0)
    if link_type in (NULL, LOOP):
        if len(data) < FAMILY_BYTES:
            return None
        # Families are small: in whichever order, the bytes say which.
        family = min(int.from_bytes(data[:4], "big"), int.from_bytes(data[:4], "little"))
        known = {_INET: ethernet.IPV4, **dict.fromkeys(_INET6, ethernet.IPV6)}
        return known.get(family, 0), FAMILY_BYTES
    if link_type == LINUX_SLL:
        return None if len(data) < SLL_BYTES else (data[14] << 8 | data[15], SLL_BYTES)
    if link_type == LINUX_SLL2:
        return None if len(data) < SLL2_BYTES else (data[0] << 8 | data[1], SLL2_BYTES)
    return 0, 0


def as_ethernet(data: bytes, link_type: int) -> bytes:
    """Return a frame as one of Ethernet, with a header that is made up as far as it must be."""
    if link_type == ETHERNET:
        return data
    found = network_at(data, link_type)
    if found is None:
        return ethernet.pack(_NOBODY, _NOBODY, 0, data)
    ethertype, at = found
    dst = _receiver_mac(data, link_type, ethertype, at)
    return ethernet.pack(dst, sender_mac(data, link_type), ethertype, data[at:])


def _receiver_mac(data: bytes, link_type: int, ethertype: int, at: int) -> bytes:
    """Return to whom a frame was on its link, as far as what it carries says so; else zeros.

    A cooked header has a type for it: 0 is to this host alone, 4 what this host sent.
    """
    if ethertype == ethernet.ARP and data[at + 6 : at + 8] == _REQUEST:
        kind = data[1] if link_type == LINUX_SLL else data[10]
        return _NOBODY if kind == 0 else BROADCAST_MAC  # RFC 826
    if ethertype == ethernet.IPV6 and data[at + 24 : at + 25] == b"\xff":
        return b"\x33\x33" + data[at + 36 : at + 40].ljust(4, b"\0")  # RFC 2464 section 7
    return _NOBODY


def sender_mac(data: bytes, link_type: int) -> bytes:
    """Return who sent a frame on its link; zeros where it does not say."""
    if link_type == ETHERNET:
        return data[6:12].ljust(6, b"\0")
    if link_type == LINUX_SLL and len(data) >= SLL_BYTES and data[4:6] == b"\0\6":
        return data[6:12]
    if link_type == LINUX_SLL2 and len(data) >= SLL2_BYTES and data[11] == 6:
        return data[12:18]
    return _NOBODY


def _by_version(data: bytes | memoryview, at: int) -> tuple[int, int] | None:
    if len(data) <= at:
        return None
    return {4: ethernet.IPV4, 6: ethernet.IPV6}.get(data[at] >> 4, 0), at
