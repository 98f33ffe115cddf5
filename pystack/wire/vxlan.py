"""VXLAN: Ethernet frames in UDP datagrams (RFC 7348), and the same with a tag that a key makes.

Without a key a datagram is the header and the frame, as any other end of VXLAN takes it. With one
it is a format of our own: its header lacks the flag without which no other end takes a datagram, so
that nobody takes a session's number for an Ethernet header.

    plain   header, frame
    keyed   header, session, counter, frame, tag
"""

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

from pystack.core.errors import WireError
from pystack.wire.checksum import Buffer

PORT: Final = 4789  # section 8: assigned by IANA
MAX_VNI: Final = (1 << 24) - 1
DEFAULT_VNI: Final = 1

HEADER: Final = struct.Struct("!II")  # flags and reserved, VNI and reserved (section 5)
HEADER_BYTES: Final = 8
_VALID: Final = 0x08000000  # the I flag: there is a VNI
_KEYED: Final = 0x40000000  # one of those that are reserved, and without I

# The last byte of the header, where it is keyed
DATA: Final = 0
HELLO: Final = 1
_KEYED_HEADER: Final = struct.Struct("!II8sQ")
KEYED_BYTES: Final = 24
COUNTER_AT: Final = 16  # what is before it, all datagrams of a session have
TAG_BYTES: Final = 16
SESSION_BYTES: Final = 8
CHALLENGE_BYTES: Final = 16
# Challenge, echo of the other's challenge, the other's session as far as known
_HELLO: Final = struct.Struct("!16s16s8s")
UNKNOWN: Final = bytes(SESSION_BYTES)
NO_ECHO: Final = bytes(CHALLENGE_BYTES)

# What is around an Ethernet frame in UDP, without a key and with one
PLAIN_OVERHEAD_BYTES: Final = HEADER_BYTES
KEYED_OVERHEAD_BYTES: Final = KEYED_BYTES + TAG_BYTES


class Keyed(NamedTuple):
    """What stands before the frame of a keyed datagram; nothing of it is true before the tag is."""

    kind: int
    session: bytes  # of the sender
    counter: int


@dataclass(slots=True)
class Hello:
    """What one end says so that the other knows its session."""

    challenge: bytes  # to be echoed by whoever wants to be believed
    echo: bytes  # the other's challenge; NO_ECHO: none was heard
    known: bytes  # the other's session; UNKNOWN: it has proved none


def pack_header(vni: int) -> bytes:
    """Return the eight bytes before a frame."""
    return HEADER.pack(_VALID, vni << 8)


def parse(datagram: Buffer) -> tuple[int, bool]:
    """Return the VNI, and whether the datagram is keyed. Other reserved bits are ignored."""
    if len(datagram) < HEADER_BYTES:
        raise WireError("vxlan_truncated")
    flags, rest = HEADER.unpack_from(datagram)
    if flags & _VALID:
        return rest >> 8, False
    if flags == _KEYED:
        return rest >> 8, True
    raise WireError("vxlan_bad_flags")


def pack_keyed(vni: int, kind: int, session: bytes, counter: int) -> bytes:
    """Return what stands before the frame of a keyed datagram."""
    return _KEYED_HEADER.pack(_KEYED, vni << 8 | kind, session, counter)


def parse_keyed(datagram: Buffer) -> Keyed:
    """Read what stands before the frame of a datagram that `parse` found to be keyed."""
    if len(datagram) < KEYED_OVERHEAD_BYTES:
        raise WireError("vxlan_truncated")
    _, rest, session, counter = _KEYED_HEADER.unpack_from(datagram)
    return Keyed(rest & 0xFF, session, counter)


def pack_hello(hello: Hello) -> bytes:
    """Return what a HELLO has in place of a frame."""
    return _HELLO.pack(hello.challenge, hello.echo, hello.known)


def parse_hello(text: Buffer) -> Hello:
    """Read what a HELLO has in place of a frame."""
    if len(text) != _HELLO.size:
        raise WireError("vxlan_bad_hello")
    return Hello(*_HELLO.unpack(text))
