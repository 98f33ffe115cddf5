"""What goes over a data connection: files and listings down, files up.

Files are read as HTTP reads them. What comes up is written where it belongs at once, as other
servers do: a client that goes on with a broken upload (REST, APPE) asks for the size of what is
there. It is written in big pieces, in a thread, so that a slow disk holds up nobody else; in
virtual time at once, so that each run is the same.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import trio

from pystack.apps.ftp.limits import DATA_S
from pystack.apps.turns import BULK_BYTES_A_UNIT, current_turn
from pystack.apps.world import away

RECEIVE_BYTES: Final = 1024 * 1024
# As in HTTP: each write ends with a segment that is not full.
SEND_BYTES: Final = 256 * 1024
PATIENCE_BYTES: Final = 64 * 1024  # what `DATA_S` is given for
WRITE_BYTES: Final = 1024 * 1024
SMALL_BYTES: Final = 64 * 1024  # written without a thread: waking one takes longer


class Progress:
    """How much a transfer has moved."""

    def __init__(self) -> None:
        self.bytes = 0


async def send(
    stream: trio.abc.HalfCloseableStream,
    chunks: AsyncIterator[bytes | memoryview],
    progress: Progress,
    *,
    ascii_lines: bool = False,
) -> None:
    """Send all of it. `ascii_lines`: LF goes as CR LF (TYPE A).

    Raises TooSlowError, BrokenResourceError, and what reading raises.
    """
    turn = current_turn()
    async for chunk in chunks:
        data = bytes(chunk).replace(b"\n", b"\r\n") if ascii_lines else chunk
        view = memoryview(data)
        for start in range(0, len(data), SEND_BYTES):
            piece = view[start : start + SEND_BYTES]
            if turn.spend(len(piece) // BULK_BYTES_A_UNIT):
                await turn.wait()
            with trio.fail_after(DATA_S * -(-len(piece) // PATIENCE_BYTES)):
                await stream.send_all(piece)
            progress.bytes += len(piece)
            turn.moved_bytes += len(piece)


async def receive(
    stream: trio.abc.HalfCloseableStream,
    sink: FileSink,
    progress: Progress,
    *,
    ascii_lines: bool = False,
) -> None:
    """Receive up to the client's end of data, and write it. `ascii_lines`: CR LF becomes LF.

    Raises TooSlowError, BrokenResourceError, and the OSErrors of writing.
    """
    turn = current_turn()
    held = b""  # a CR at the end of a part
    while True:
        turn.renew()
        with trio.fail_after(DATA_S):
            data = bytes(await stream.receive_some(RECEIVE_BYTES))
        if not data:
            break
        progress.bytes += len(data)
        turn.moved_bytes += len(data)
        if turn.spend(len(data) // BULK_BYTES_A_UNIT):
            await turn.wait()
        if ascii_lines:
            data = held + data
            held = data[-1:] if data.endswith(b"\r") else b""
            data = data[: len(data) - len(held)].replace(b"\r\n", b"\n")
        await sink.write(data)
    await sink.write(held)
    await sink.finish()


class FileSink:
    """A file that is written from some place on."""

    def __init__(self, descriptor: int, at: int | None) -> None:
        """`at`: where; None: at its end, wherever that is then. `close` closes the descriptor."""
        self._descriptor = descriptor
        self._at = at
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._has_failed = False

    async def begin(self) -> None:
        """Take away what is behind that place, now that there is somebody who sends. OSError."""
        if self._at is not None and os.fstat(self._descriptor).st_size > self._at:
            await away(os.ftruncate, self._descriptor, self._at)

    async def write(self, data: bytes) -> None:
        """Write it, now or together with what follows. OSError."""
        if data:
            self._parts.append(data)
            self._size_bytes += len(data)
            if self._size_bytes >= WRITE_BYTES:
                await away(self._write_parts)

    async def finish(self) -> None:
        """Write what is not written yet, and close. OSError."""
        if self._size_bytes > SMALL_BYTES:
            await away(self._write_parts)
        else:
            self._write_parts()
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)  # which may tell of an error too

    def close(self) -> None:
        """Close, in whatever state; what has come so far is written if that goes."""
        if self._descriptor < 0:
            return
        with suppress(OSError):
            if not self._has_failed:
                self._write_parts()
        descriptor, self._descriptor = self._descriptor, -1
        with suppress(OSError):
            os.close(descriptor)

    def _write_parts(self) -> None:
        parts, self._parts, self._size_bytes = self._parts, [], 0
        rest = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
        try:
            while rest:
                if self._at is None:
                    count = os.write(self._descriptor, rest)
                else:
                    count = os.pwrite(self._descriptor, rest, self._at)
                    self._at += count
                rest = rest[count:]
        except OSError:
            self._has_failed = True
            raise
