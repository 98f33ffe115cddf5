"""The control connection of FTP and SMTP: a command, and a reply of three digits and lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import trio

from pystack.apps.clients.connecting import start_tls
from pystack.apps.clients.job import Job
from pystack.apps.clients.trouble import ClientError, Status, receive, send
from pystack.apps.tls_stream import TlsStream
from pystack.runtime.streams import TcpStream

MAX_LINE_BYTES: Final = 8192
MAX_LINES: Final = 1000
_GOODBYE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server says to one command."""

    code: int
    lines: tuple[str, ...]  # without the code

    @property
    def text(self) -> str:
        """Return its last line."""
        return self.lines[-1]

    @property
    def is_good(self) -> bool:
        """Tell whether it is done (2yz), or may go on (1yz, 3yz)."""
        return 100 <= self.code < 400


class Control:
    """One such connection."""

    def __init__(self, job: Job, tcp: TcpStream) -> None:
        self.stream: TcpStream | TlsStream = tcp
        self._job, self._tcp = job, tcp
        self._buffer = bytearray()

    @property
    def is_tls(self) -> bool:
        """Tell whether it is encrypted by now."""
        return self.stream is not self._tcp

    async def command(self, text: str, shown: str | None = None) -> Reply:
        """Say something and return the reply; `shown`: in its place with -v. Raises ClientError."""
        if any(letter in text for letter in "\r\n\0"):
            raise ClientError(Status.MALFORMED_URL, f"{text!r} would be more than one command")
        self._job.talk.sent([text if shown is None else shown])
        self._job.tell("command", text if shown is None else shown)
        await send(self.stream, f"{text}\r\n".encode())
        return await self.reply()

    async def reply(self) -> Reply:
        """Return the next reply. Raises ClientError."""
        lines: list[str] = []
        code = 0
        while len(lines) < MAX_LINES:
            line = await self._line()
            self._job.talk.got([line])
            number, mark = line[:3], line[3:4]
            is_first = not lines
            if is_first:
                if not (number.isascii() and number.isdigit()) or mark not in ("", " ", "-"):
                    raise ClientError(Status.WEIRD_REPLY, f"Weird server reply: {line[:80]!r}")
                code = int(number)
            is_coded = number == f"{code:03d}"
            lines.append(line[4:] if is_coded else line)
            if is_coded and mark != "-":
                self._job.transfer.http_code = code
                self._job.tell("reply", f"{code} {lines[-1]}".rstrip())
                return Reply(code, tuple(lines))
        raise ClientError(Status.WEIRD_REPLY, "Weird server reply: it has no end")

    async def start_tls(self, name: str) -> None:
        """Shake hands on it. What was read already is not taken for the other side's word."""
        if self._buffer:
            raise ClientError(Status.TLS_FAILED, "the server says more before TLS than it may")
        self.stream = await start_tls(self._job, self._tcp, name)

    async def goodbye(self, command: str = "QUIT") -> None:
        """Leave politely, but not for long."""
        with trio.move_on_after(_GOODBYE_S):
            code = self._job.transfer.http_code
            try:
                await self.command(command)
                self._job.tell("close")
                await self.stream.aclose()
            except (ClientError, trio.BrokenResourceError):
                pass  # all that was wanted is there
            self._job.transfer.http_code = code

    async def _line(self) -> str:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_LINE_BYTES:
                raise ClientError(Status.WEIRD_REPLY, "Weird server reply: a line without an end")
            data = await receive(self.stream)
            if not data:
                raise ClientError(Status.RECEIVE_FAILED, "response reading failed: it has ended")
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r").decode("utf-8", "replace")
