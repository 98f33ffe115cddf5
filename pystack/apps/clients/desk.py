"""What a client writes to and reads from: files, standard input and output, and what `-v` shows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import BinaryIO, Final, Protocol

import trio

from pystack.apps.clients.trouble import ClientError, Status, printable
from pystack.runtime.host import Host

CHUNK_BYTES: Final = 1 << 16


class Talk:
    """What `-v` shows: each line begins with the instant, as with curl's `--trace-time`.

    In real time it is the time of day, in virtual time that since the run began.
    """

    def __init__(self, host: Host, say: Callable[[str], object] | None) -> None:
        """`say` gets the lines; None: nobody wants them."""
        self._host = host
        self._say = say

    def note(self, text: str) -> None:
        """Tell what happens."""
        self._show("*", (text,))

    def sent(self, lines: Sequence[str]) -> None:
        """Show what was sent."""
        self._show(">", lines)

    def got(self, lines: Sequence[str]) -> None:
        """Show what was received."""
        self._show("<", lines)

    def _show(self, mark: str, lines: Sequence[str]) -> None:
        if self._say is not None:
            stamp = self._stamp()
            for line in lines:
                self._say(f"{stamp} {mark} {printable(line)}")

    def _stamp(self) -> str:
        if not self._host.driver.is_virtual:
            return datetime.fromtimestamp(time.time()).strftime("%H:%M:%S.%f")
        since = timedelta(seconds=round(self._host.now(), 6))
        return (datetime.min + since).strftime("%H:%M:%S.%f")


class Sink(Protocol):
    """Where a body goes."""

    name: str  # of the file; empty: it is none

    async def write(self, data: bytes) -> None:
        """Write it all. Raises ClientError."""
        ...

    def close(self) -> None:
        """Be done: a file is there now even if nothing was written. Raises ClientError."""
        ...


class FileSink:
    """A file, which is made when something is written to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._file: BinaryIO | None = None  # None: nothing was written yet

    async def write(self, data: bytes) -> None:
        """Write it all. Raises ClientError."""
        try:
            self._opened().write(data)
        except OSError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Close it."""
        try:
            self._opened().close()
        except OSError as error:
            raise self._failed(error) from None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = open(self.name, "wb")  # noqa: SIM115 - closed by `close`
        return self._file

    def _failed(self, error: OSError) -> ClientError:
        return ClientError(Status.WRITE_ERROR, f"cannot write {self.name}: {error.strerror}")


class Nowhere:
    """No file: the body is only counted."""

    name = ""

    async def write(self, data: bytes) -> None:
        """Leave it."""

    def close(self) -> None:
        """Do nothing."""


class StandardOutput:
    """Standard output, whose reader may be slow: in real time a thread waits for it."""

    name = ""

    def __init__(self, *, is_virtual: bool) -> None:
        self._is_virtual = is_virtual

    async def write(self, data: bytes) -> None:
        """Write it all; BrokenPipeError where nobody reads any more."""
        if self._is_virtual:
            _print(data)
        else:
            await trio.to_thread.run_sync(_print, data, abandon_on_cancel=True)

    def close(self) -> None:
        """Do nothing: it is not ours."""


def _print(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


class Source:
    """What is uploaded, or said line by line: a file, or standard input."""

    def __init__(self, file: BinaryIO, *, size_bytes: int | None, is_virtual: bool) -> None:
        """`size_bytes`: None where nobody knows how much will come.

        In real time a thread waits for it, so that the stack goes on meanwhile.
        """
        self.size_bytes = size_bytes
        self._file = file
        self._is_virtual = is_virtual

    async def chunk(self) -> bytes:
        """Return what comes next; empty at the end. Raises ClientError."""
        return await self._read(lambda: self._file.read(CHUNK_BYTES))

    async def line(self) -> bytes | None:
        """Return the next line, without its end; None: there is none. Raises ClientError."""
        line = await self._read(self._file.readline)
        return line.removesuffix(b"\n").removesuffix(b"\r") if line else None

    async def _read(self, read: Callable[[], bytes]) -> bytes:
        try:
            if self._is_virtual:
                await trio.lowlevel.checkpoint()
                return read()
            return await trio.to_thread.run_sync(read, abandon_on_cancel=True)
        except OSError as error:
            raise ClientError(Status.READ_ERROR, f"cannot read: {error.strerror}") from None

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._file.close()


def open_source(name: str, *, is_virtual: bool) -> Source:
    """Open a file, or "-": standard input. Raises ClientError."""
    if name == "-":
        return Source(sys.stdin.buffer, size_bytes=None, is_virtual=is_virtual)
    try:
        file = open(name, "rb")  # noqa: SIM115 - closed by whoever has it
    except OSError as error:
        raise ClientError(Status.READ_ERROR, f"cannot open {name!r}: {error.strerror}") from None
    size_bytes = file.seek(0, 2)
    file.seek(0)
    return Source(file, size_bytes=size_bytes, is_virtual=is_virtual)
