"""How connections end: at once, or so that the peer still sees what it was told last."""

from contextlib import suppress
from typing import Final, Protocol, runtime_checkable

import trio

RECEIVE_BYTES: Final = 64 * 1024
GOODBYE_S: Final = 1.0  # for the last word of a task that is being cancelled
# What was sent last may be lost several times, and a retransmission wait long for its turn.
DELIVERY_S: Final = 60.0


@runtime_checkable
class _Abortable(Protocol):
    def abort(self) -> None: ...


def abort(stream: trio.abc.HalfCloseableStream) -> None:
    """End the connection by a reset, where the stream has one."""
    if isinstance(stream, _Abortable):
        stream.abort()


async def cut(stream: trio.abc.HalfCloseableStream) -> None:
    """End it at once: by a reset, where the stream has one.

    Else what is queued would be kept for a peer that takes nothing, as long as it likes.
    """
    abort(stream)
    await trio.aclose_forcefully(stream)


async def end_orderly(stream: trio.abc.HalfCloseableStream) -> None:
    """Close it while being cancelled: TLS says that nothing is to come, where a FIN is no end."""
    with (
        trio.move_on_after(GOODBYE_S, shield=True),
        suppress(trio.BrokenResourceError, trio.ClosedResourceError),
    ):
        await stream.aclose()


async def linger(stream: trio.abc.HalfCloseableStream, *, timeout_s: float, max_bytes: int) -> bool:
    """End our side, and read on until the peer ends its own, RFC 9112 section 9.6.

    A close in front of bytes that nobody has read would be a reset, which can overtake what was
    sent last. False: after `timeout_s` or `max_bytes` the peer had not ended, and was `cut` off.
    The time is longer, up to `DELIVERY_S`, as long as the peer has not got what was sent to it.
    """
    left = max_bytes
    latest = trio.current_time() + max(timeout_s, DELIVERY_S)
    is_ended = False
    while True:
        with trio.move_on_after(timeout_s) as scope:
            if not is_ended:
                await stream.send_eof()
                is_ended = True
            while left > 0:
                data = await stream.receive_some(RECEIVE_BYTES)
                if not data:
                    return True
                left -= len(data)
        is_late = trio.current_time() >= latest
        undelivered_bytes: int = getattr(stream, "unacknowledged_bytes", 0)  # where it can tell
        if not scope.cancelled_caught or is_late or not undelivered_bytes:
            await cut(stream)
            return False
