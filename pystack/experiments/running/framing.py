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
_BODY_BYTES: Final = 1 << 40  # nor a body


class GarbledError(ValueError):
    """What came is no message: something else was written into the pipe."""


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
    """Wait for a message; None: there is none to come, or only a piece of one. GarbledError."""
    sizes = pipe.read(_SIZES.size)
    if len(sizes) < _SIZES.size:
        return None
    head_bytes, body_bytes = _SIZES.unpack(sizes)
    if head_bytes > _HEAD_BYTES or body_bytes > _BODY_BYTES:
        raise GarbledError
    head = pipe.read(head_bytes)
    body = pipe.read(body_bytes)
    if len(head) < head_bytes or len(body) < body_bytes:
        return None
    try:
        said = json.loads(head)
    except (ValueError, RecursionError):
        raise GarbledError from None
    if not isinstance(said, dict):
        raise GarbledError
    return Message(said, body)
