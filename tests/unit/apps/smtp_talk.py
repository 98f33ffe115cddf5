"""A raw SMTP client in memory, for tests: bytes out, replies in."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio
import trio.testing

from pystack.apps.options import ServiceOptions
from pystack.apps.smtp import SmtpLimits
from pystack.apps.smtp.service import SmtpService

HOST = "mail.example"
TRANSACTION = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@mail.example>\r\nDATA\r\n"
MESSAGE = b"Subject: hello\r\n\r\ntext\r\n"


def smtp_service(
    root: Path | None = None, *mail_for: str, limits: SmtpLimits | None = None
) -> SmtpService:
    """Make one whose dates are those of 1970."""
    options = ServiceOptions(
        host_name=HOST,
        addresses=("10.77.0.2", "fd77::2"),
        root=root,
        mail_for=mail_for,
        utc_now=lambda: 1.5,
    )
    return SmtpService(options, limits or SmtpLimits())


class Talk:
    """One conversation."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self.stream = stream
        self._received = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def reply(self) -> str:
        """Return the next reply, "" at the end: its code, and all its lines behind one another."""
        lines: list[str] = []
        while True:
            line, end, rest = self._received.partition(b"\r\n")
            if not end:
                data = await self.stream.receive_some()
                if not data:
                    assert (self._received, lines) == (b"", [])
                    return ""
                self._received += data
                continue
            self._received = rest
            lines.append(line.decode())
            assert re.match(r"[2-5]\d\d[ -]", lines[-1]), lines
            if lines[-1][3] == " ":
                return "\n".join(lines)

    async def replies(self, count: int) -> list[str]:
        """Return the codes of so many."""
        return [(await self.reply())[:9].rstrip() for _ in range(count)]

    async def ask(self, *commands: str | bytes) -> list[str]:
        """Send each command when the one before was answered; return the replies."""
        answers = []
        for command in commands:
            data = command.encode() if isinstance(command, str) else command
            await self.send(data + b"\r\n")
            answers.append(await self.reply())
        return answers

    async def rest(self) -> list[str]:
        """Return the replies until the server ends its side."""
        answers = []
        with suppress(trio.BrokenResourceError):
            while answer := await self.reply():
                answers.append(answer)
        return answers


@asynccontextmanager
async def talk(service: SmtpService, *, is_greeted: bool = True) -> AsyncIterator[Talk]:
    """Talk to a service; `is_greeted`: EHLO has been said."""
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_serve, service, server)
        conversation = Talk(client)
        assert (await conversation.reply()) == f"220 {HOST} ESMTP pystack"
        if is_greeted:
            await conversation.ask("EHLO client")
        yield conversation
        nursery.cancel_scope.cancel()


async def _serve(service: SmtpService, stream: trio.abc.HalfCloseableStream) -> None:
    # As `pystack.apps.serving` does: what a peer does wrong ends its connection and nothing else
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await service.handle_tcp(stream)


async def exchange(service: SmtpService, raw: bytes) -> list[str]:
    """Send all at once, end our side, and return all replies behind the greeting."""
    async with talk(service, is_greeted=False) as client:
        await client.send(raw)
        await client.stream.send_eof()
        return await client.rest()


def files(root: Path) -> list[bytes]:
    """Return the messages in the Maildir."""
    return [path.read_bytes() for path in sorted((root / "Maildir" / "new").iterdir())]
