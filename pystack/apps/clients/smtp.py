"""A message handed in by SMTP (RFC 5321), as `curl smtp://` does it."""

from __future__ import annotations

import re
from typing import Final

import trio

from pystack.apps.clients.connecting import connect
from pystack.apps.clients.control import Control
from pystack.apps.clients.job import Job
from pystack.apps.clients.trouble import ClientError, Status, send

_ADDRESS: Final = re.compile(r"[^\s<>\x00-\x1f\x7f]*")
_END: Final = re.compile(rb"\r\n|\r|\n")


async def run(job: Job) -> None:
    """Hand the message in. Raises ClientError."""
    options, url = job.options, job.url
    if job.source is None or not options.mail_rcpt:
        text = "a message by SMTP takes -T FILE, --mail-from and --mail-rcpt"
        raise ClientError(Status.USAGE, text)
    if job.user is not None:
        raise ClientError(Status.LOGIN_DENIED, "there is no logging in to SMTP here")
    for address in (options.mail_from, *options.mail_rcpt):
        if not _ADDRESS.fullmatch(address.strip("<>")):
            raise ClientError(Status.USAGE, f"{address!r} is not a mail address")
    control = Control(job, await connect(job, url.host, url.port))
    try:
        await _hand_in(job, control)
        await control.goodbye()
    finally:
        await trio.aclose_forcefully(control.stream)


async def _hand_in(job: Job, control: Control) -> None:
    url, source = job.url, job.source
    assert source is not None
    if url.is_tls:
        await control.start_tls(url.host)
    greeting = await control.reply()
    if greeting.code != 220:
        raise _refused(Status.WEIRD_REPLY, "Got unexpected smtp-server response", greeting.code)
    known = await _hello(job, control)
    if job.options.require_tls and not control.is_tls:
        if "STARTTLS" not in known or not (await control.command("STARTTLS")).is_good:
            raise ClientError(Status.TLS_REFUSED, "STARTTLS not supported.")
        await control.start_tls(url.host)
        known = await _hello(job, control)
    mail = f"MAIL FROM:<{job.options.mail_from.strip('<>')}>"
    if "SIZE" in known and source.size_bytes is not None:
        mail += f" SIZE={source.size_bytes}"
    if "SMTPUTF8" in known and not all(
        address.isascii() for address in (job.options.mail_from, *job.options.mail_rcpt)
    ):
        mail += " SMTPUTF8"
    for command, what in (
        (mail, "MAIL"),
        *((f"RCPT TO:<{address.strip('<>')}>", "RCPT") for address in job.options.mail_rcpt),
        ("DATA", "DATA"),
    ):
        reply = await control.command(command)
        if not reply.is_good:
            raise _refused(Status.SEND_FAILED, f"{what} failed", reply.code)
    job.transfer.mark("pretransfer", job.now())
    await _send_message(job, control)
    reply = await control.reply()
    job.transfer.mark("starttransfer", job.now())
    if not reply.is_good:
        raise _refused(Status.WEIRD_REPLY, "the message was refused", reply.code)


async def _hello(job: Job, control: Control) -> set[str]:
    """Say who we are; return what the server knows."""
    name = job.url.path.strip("/") or job.host.name
    reply = await control.command(f"EHLO {name}")
    if reply.is_good:
        return {line.split()[0].upper() for line in reply.lines[1:] if line.strip()}
    reply = await control.command(f"HELO {name}")
    if not reply.is_good:
        raise _refused(Status.WEIRD_REPLY, "Remote access denied", reply.code)
    return set()


async def _send_message(job: Job, control: Control) -> None:
    """Send it with CR LF at every end of a line, and dots doubled (RFC 5321 section 4.5.2)."""
    assert job.source is not None
    stuffing = Stuffing()
    while data := await job.source.chunk():
        job.transfer.size_upload += len(data)
        await send(control.stream, stuffing.feed(data))
    await send(control.stream, stuffing.end())
    job.tell("message", f"sent, {job.transfer.size_upload:,} bytes")


class Stuffing:
    """Makes of a message what is sent after DATA, a piece at a time."""

    def __init__(self) -> None:
        self._at_start = True  # of a line
        self._held = b""  # a CR whose LF may come with the next piece

    def feed(self, data: bytes) -> bytes:
        """Return what a piece is sent as."""
        data = self._held + data
        self._held = b"\r" if data.endswith(b"\r") else b""
        if self._held:
            data = data[:-1]
        out = bytearray()
        at = 0
        for found in _END.finditer(data):
            self._add(out, data[at : found.start()])
            out += b"\r\n"
            self._at_start = True
            at = found.end()
        self._add(out, data[at:])
        return bytes(out)

    def end(self) -> bytes:
        """Return what ends it."""
        rest = self.feed(b"\n") if self._held or not self._at_start else b""
        return rest + b".\r\n"

    def _add(self, out: bytearray, part: bytes) -> None:
        if part:
            if self._at_start and part.startswith(b"."):
                out += b"."
            out += part
            self._at_start = False


def _refused(status: Status, what: str, code: int) -> ClientError:
    return ClientError(status, f"{what}: {code}")
