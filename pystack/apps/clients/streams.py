"""Sending and receiving, with what breaks in curl's words."""

from __future__ import annotations

from typing import Final

import trio

from pystack.apps.clients.trouble import ClientError, Status

PIECE_BYTES: Final = 1 << 16


async def send(stream: trio.abc.SendStream, data: bytes) -> None:
    """Send it all. Raises ClientError."""
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError as error:
        raise ClientError(Status.SEND_FAILED, f"Send failure: {why(error)}") from None


async def receive(stream: trio.abc.ReceiveStream, max_bytes: int = PIECE_BYTES) -> bytes:
    """Return what came; empty at its end. Raises ClientError."""
    try:
        return bytes(await stream.receive_some(max_bytes))
    except trio.BrokenResourceError as error:
        raise ClientError(Status.RECEIVE_FAILED, f"Recv failure: {why(error)}") from None


def why(error: trio.BrokenResourceError) -> str:
    """Return what a broken stream says of its end, as the system would."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(error) or "the connection broke"
