"""Mail and files: clients, and a server of mail."""

from __future__ import annotations

import asyncio
import time
from email.message import EmailMessage
from io import BytesIO
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Final

from probe import OUTAGE_S, Probe, Way, fails
from servers import program
from servers.certificates import temporary_folder

import pystack

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, Session

PATIENCE_S: Final = 3.0


def _message() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "ann@client", "bob@mail", "hello"
    message.set_content("one\n.\nthree\n")
    return message


def smtplib_() -> None:
    import smtplib

    with smtplib.SMTP("mail", timeout=PATIENCE_S) as client:
        assert client.send_message(_message()) == {}
    client = smtplib.SMTP("mail", timeout=PATIENCE_S)
    time.sleep(OUTAGE_S)
    with fails(smtplib.SMTPServerDisconnected):
        client.send_message(_message())


async def aiosmtplib_() -> None:
    import aiosmtplib

    client = aiosmtplib.SMTP(hostname="mail", timeout=PATIENCE_S, start_tls=False)
    async with client:
        _, said = await client.send_message(_message())
        assert said
        await asyncio.sleep(OUTAGE_S)
        with fails(aiosmtplib.SMTPTimeoutError):
            await client.send_message(_message())


async def aiosmtpd_server() -> None:
    from aiosmtpd import smtp

    class Handler:
        async def handle_DATA(  # noqa: N802 (aiosmtpd's name)
            self, server: SMTP, session: Session, envelope: Envelope
        ) -> str:
            return f"250 {len(envelope.rcpt_tos)} recipient"

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: smtp.SMTP(Handler(), hostname="mail"), port=25)
    await server.serve_forever()


def aiosmtpd_asked() -> None:
    import smtplib

    with smtplib.SMTP("mail", timeout=PATIENCE_S) as client:
        client.ehlo()
        client.mail("ann@client")
        client.rcpt("bob@mail")
        assert client.data(_message().as_string()) == (250, b"1 recipient")
    client = smtplib.SMTP("mail", timeout=PATIENCE_S)
    time.sleep(OUTAGE_S)
    with fails(smtplib.SMTPServerDisconnected):
        client.send_message(_message())


def ftplib_() -> None:
    import ftplib

    with ftplib.FTP("ftp", timeout=PATIENCE_S) as client:
        client.login()
        client.storbinary("STOR hello.txt", BytesIO(b"hello"))
        received: list[bytes] = []
        client.retrbinary("RETR hello.txt", received.append)
        assert received == [b"hello"]
        assert client.nlst() == ["hello.txt"]
        time.sleep(OUTAGE_S)
        with fails(TimeoutError):
            client.nlst()


async def _serve_mail(host: pystack.Host) -> None:
    await pystack.serve(host, "smtp")


async def _serve_files(host: pystack.Host) -> None:
    folder = mkdtemp(dir=temporary_folder())
    await pystack.serve(host, "ftp", root=folder, writable=True)


_MAIL: Final = {"mail": _serve_mail}
_OURS: Final = "pystack's SMTP server"

PROBES: Final = (
    Probe("smtplib", "", Way.BLOCKING, smtplib_, _MAIL, _OURS),
    Probe("aiosmtplib", "aiosmtplib", Way.ASYNCIO, aiosmtplib_, _MAIL, _OURS),
    Probe(
        "aiosmtpd (server)",
        "aiosmtpd",
        Way.BLOCKING,
        aiosmtpd_asked,
        {"mail": program.on_asyncio(aiosmtpd_server)},
        "itself, asked by smtplib",
    ),
    Probe("ftplib", "", Way.BLOCKING, ftplib_, {"ftp": _serve_files}, "pystack's FTP server"),
)
