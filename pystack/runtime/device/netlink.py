"""Requests to the kernel by rtnetlink(7): bytes <-> values, and one question with its answers.

Messages have a body of their kind and attributes after it; an attribute is a number and bytes. All
of it is about the network namespace that the caller is in. Raises OSError.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# <linux/netlink.h>, <linux/rtnetlink.h>
NEWLINK: Final = 16
GETLINK: Final = 18
NEWADDR: Final = 20
DELADDR: Final = 21
GETADDR: Final = 22
NEWROUTE: Final = 24
DELROUTE: Final = 25
GETROUTE: Final = 26
NEWNEIGHBOR: Final = 28
CREATE: Final = 0x400
REPLACE: Final = 0x100
EXCLUSIVE: Final = 0x200
DUMP: Final = 0x300

_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_REQUEST: Final = 1
_ACK: Final = 4
_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr
_ATTRIBUTE: Final = struct.Struct("=HH")  # struct rtattr
_ERROR: Final = struct.Struct("=i")
_KIND_BITS: Final = 0x3FFF  # NLA_TYPE_MASK
_TIMEOUT_S: Final = 1.0  # the kernel answers before `send` returns
_ANSWER_BYTES: Final = 65536


@dataclass(frozen=True, slots=True)
class Message:
    """One answer."""

    body: bytes  # what has its place, and after it the attributes

    def attributes(self, after: struct.Struct) -> dict[int, bytes]:
        """Return the attributes that stand after the fixed part."""
        found: dict[int, bytes] = {}
        at = after.size
        while at + _ATTRIBUTE.size <= len(self.body):
            size, kind = _ATTRIBUTE.unpack_from(self.body, at)
            found[kind & _KIND_BITS] = self.body[at + _ATTRIBUTE.size : at + size]
            at += max(_aligned(size), _ATTRIBUTE.size)
        return found


def request(
    kind: int, body: bytes, attributes: Mapping[int, bytes] | None = None, flags: int = 0
) -> list[Message]:
    """Ask; return the answers, none to what only changes something. Raises OSError."""
    packed = pack_attributes(attributes or {})
    size = _HEADER.size + len(body) + len(packed)
    # A dump ends by a message of its own; all else is acknowledged, also after its answer.
    flags |= _REQUEST if flags & DUMP == DUMP else _REQUEST | _ACK
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(_TIMEOUT_S)
        kernel.sendto(_HEADER.pack(size, kind, flags, 1, 0) + body + packed, (0, 0))
        return _answers(kernel)


def pack_attributes(attributes: Mapping[int, bytes]) -> bytes:
    """Return attributes as they follow a body, or as the value of one that holds others."""
    return b"".join(
        _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), number)
        + value
        + bytes(_aligned(len(value)) - len(value))
        for number, value in attributes.items()
    )


def _answers(kernel: socket.socket) -> list[Message]:
    found: list[Message] = []
    while True:
        data = kernel.recv(_ANSWER_BYTES)
        at = 0
        while at + _HEADER.size <= len(data):
            size, kind, *_ = _HEADER.unpack_from(data, at)
            body = data[at + _HEADER.size : at + size]
            if kind == _NLMSG_DONE:
                return found
            if kind == _NLMSG_ERROR:
                code = -_ERROR.unpack_from(body)[0]
                if code:
                    raise OSError(code, os.strerror(code))
                return found  # what was asked for is done
            found.append(Message(body))
            at += max(_aligned(size), _HEADER.size)


def _aligned(size: int) -> int:
    return size + 3 & ~3
