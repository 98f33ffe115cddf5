"""Messages over pipes between a sweep and the processes that run its points.

A message is a head, which is JSON, and a body of bytes, with the sizes of both in front.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import IO, Any, Final, NamedTuple

_SIZES: Final = struct.Struct("<IQ")
_HEAD_BYTES: Final = 64 << 20  # more is no head: something else was written into the pipe


class Message(NamedTuple):
    """What was sent."""

    head: Mapping[str, Any]
    body: bytes


def write(pipe: IO[bytes], head: Mapping[str, object], body: bytes = b"") -> None:
    """Send a message. Raises OSError where nobody reads any more."""
    text = json.dumps(head, separators=(",", ":")).encode()
    pipe.write(b"".join((_SIZES.pack(len(text), len(body)), text, body)))
    pipe.flush()


def read(pipe: IO[bytes]) -> Message | None:
    """Wait for a message; None: there is none to come, or only a piece of one."""
    sizes = pipe.read(_SIZES.size)
    if len(sizes) < _SIZES.size:
        return None
    head_bytes, body_bytes = _SIZES.unpack(sizes)
    if head_bytes > _HEAD_BYTES:
        return None
    head = pipe.read(head_bytes)
    body = pipe.read(body_bytes)
    if len(head) < head_bytes or len(body) < body_bytes:
        return None
    return Message(json.loads(head), body)
