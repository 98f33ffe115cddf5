"""Files by FTP (RFC 959, 2428, 3659, 4217), as `curl ftp://` gets, lists and puts them.

Data comes over passive connections, to the address that the control connection goes to, whatever
the server says it is.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

import trio

from pystack.apps.clients.connecting import connect, start_tls
from pystack.apps.clients.control import Control
from pystack.apps.clients.job import Ends, Job
from pystack.apps.clients.trouble import ClientError, Status, receive, send
from pystack.apps.tls_stream import TlsStream
from pystack.runtime.streams import TcpStream

_ANONYMOUS: Final = ("anonymous", "ftp@example.com")
_EPSV: Final = re.compile(r"\(\|\|\|(\d{1,5})\|\)")
_PASV: Final = re.compile(r"\d{1,3},\d{1,3},\d{1,3},\d{1,3},(\d{1,3}),(\d{1,3})")
_RANGE: Final = re.compile(r"(\d{1,18})-(\d{0,18})")


async def run(job: Job) -> None:
    """Do one transfer. Raises ClientError."""
    url = job.url
    control = Control(job, await connect(job, url.host, url.port))
    try:
        if url.is_tls:
            await control.start_tls(url.host)
        await _Session(job, control).run()
        await control.goodbye()
    finally:
        await trio.aclose_forcefully(control.stream)


class _Session:
    """One login, and what is done with it."""

    def __init__(self, job: Job, control: Control) -> None:
        self._job, self._control = job, control
        # Its first slash only parts it from the host: %2F begins at the server's root.
        self._path = unquote(job.url.path[1:])

    async def run(self) -> None:
        """Log in, and do it. Raises ClientError."""
        job = self._job
        await self._log_in()
        if self._path.endswith("/") or not self._path:
            if job.source is not None:
                raise ClientError(Status.UPLOAD_REFUSED, "an upload needs a name in the URL")
            await self._list()
        elif job.source is not None:
            await self._put()
        elif job.options.head:
            await self._size()
        else:
            await self._get()

    async def _log_in(self) -> None:
        job, control = self._job, self._control
        greeting = await control.reply()
        if greeting.code != 220:
            raise ClientError(
                Status.WEIRD_REPLY,
                f"Got a {greeting.code} ftp-server response when 220 was expected",
            )
        if job.options.require_tls or control.is_tls:
            await self._secure()
        name, password = job.user or _ANONYMOUS
        reply = await control.command(f"USER {name}")
        if reply.code == 331:
            reply = await control.command(f"PASS {password}", "PASS *")
        if reply.code not in (230, 202, 232):
            raise ClientError(Status.LOGIN_DENIED, f"Access denied: {reply.code}")

    async def _secure(self) -> None:
        """Have TLS on this connection, and on those of the data (RFC 4217)."""
        control = self._control
        if not control.is_tls:
            if (await control.command("AUTH TLS")).code != 234:
                raise ClientError(Status.TLS_REFUSED, "Requested SSL level failed")
            await control.start_tls(self._job.url.host)
        for command in ("PBSZ 0", "PROT P"):
            if not (await control.command(command)).is_good:
                raise ClientError(Status.TLS_REFUSED, f"{command} was refused")

    async def _list(self) -> None:
        if self._path:
            directory = self._path if self._path == "/" else self._path.removesuffix("/")
            if not (await self._control.command(f"CWD {directory}")).is_good:
                text = "Server denied you to change to the given directory"
                raise ClientError(Status.FTP_DENIED, text)
        await self._control.command("TYPE A")
        data = await self._open("LIST", Status.WEIRD_REPLY, "LIST failed")
        await self._take(data, None)

    async def _size(self) -> None:
        await self._control.command("TYPE I")
        size = await self._control.command(f"SIZE {self._path}")
        if size.code != 213:
            raise ClientError(Status.NO_SUCH_FILE, "The file does not exist")
        lines = f"Content-Length: {size.text.strip()}\r\nAccept-ranges: bytes\r\n"
        await self._job.sink.write(lines.encode())

    async def _get(self) -> None:
        first, count = _range_of(self._job.options.range_text)
        await self._control.command("TYPE I")
        if first:
            # Servers differ: vsftpd sends nothing of a file that ends before, and says all is well.
            size = await self._control.command(f"SIZE {self._path}")
            if size.code == 213 and (text := size.text.strip()).isdigit() and int(text) < first:
                sentence = f"Offset ({first}) was beyond file size ({text})"
                raise ClientError(Status.BAD_RESUME, sentence)
        data = await self._open(f"RETR {self._path}", Status.NO_SUCH_FILE, "RETR response", first)
        await self._take(data, count)

    async def _put(self) -> None:
        await self._control.command("TYPE I")
        data = await self._open(f"STOR {self._path}", Status.UPLOAD_REFUSED, "Failed FTP upload")
        job, source = self._job, self._job.source
        assert source is not None
        try:
            while chunk := await source.chunk():
                await send(data, chunk)
                job.transfer.size_upload += len(chunk)
            # Closed only afterwards: with tickets of TLS unread, a close is a reset, and what was
            # sent last may be lost.
            await data.send_eof()
            reply = await self._control.reply()
        except trio.BrokenResourceError as error:
            raise ClientError(Status.SEND_FAILED, f"Send failure: {error}") from None
        finally:
            await trio.aclose_forcefully(data)
        if not reply.is_good:
            raise ClientError(Status.UPLOAD_REFUSED, f"Failed FTP upload: {reply.code}")

    async def _take(self, data: TcpStream | TlsStream, count: int | None) -> None:
        """Take the data, all of it or so much of it, and what the server says of it."""
        job = self._job
        try:
            while count is None or job.transfer.size_download < count:
                chunk = await receive(data)
                if not chunk:
                    break
                if not job.transfer.size_download:
                    job.transfer.mark("starttransfer", job.now())
                    job.tell("first_byte", "", _ends_of(data))
                chunk = chunk if count is None else chunk[: count - job.transfer.size_download]
                job.transfer.size_download += len(chunk)
                await job.sink.write(chunk)
            is_cut = count is not None and job.transfer.size_download >= count
            job.tell("done", f"{job.transfer.size_download:,} bytes", _ends_of(data))
        finally:
            await trio.aclose_forcefully(data)
        reply = await self._control.reply()
        if not reply.is_good and not is_cut:
            got = job.transfer.size_download
            text = f"server did not report OK, got {reply.code} after {got} bytes"
            raise ClientError(Status.PARTIAL_FILE, text)

    async def _open(
        self, command: str, status: Status, what: str, first: int = 0
    ) -> TcpStream | TlsStream:
        """Open a connection for data, and let the command use it. Raises ClientError."""
        job, control = self._job, self._control
        port = await self._passive_port()
        address = job.transfer.remote_ip
        tcp = await connect(job, address, port, is_first=False)
        data: TcpStream | TlsStream = tcp
        try:
            if first and not (await control.command(f"REST {first}")).is_good:
                raise ClientError(Status.RANGE_REFUSED, f"Could not resume at {first}")
            job.transfer.mark("pretransfer", job.now())
            reply = await control.command(command)
            if not reply.is_good:
                raise ClientError(status, f"{what}: {reply.code}")
            if control.is_tls:
                data = await start_tls(job, tcp, job.url.host, is_first=False)
        except BaseException:
            await trio.aclose_forcefully(data)
            raise
        return data

    async def _passive_port(self) -> int:
        reply = await self._control.command("EPSV")
        found = _EPSV.search(reply.text)
        if reply.code == 229 and found is not None and 0 < int(found[1]) < 65536:
            return int(found[1])
        reply = await self._control.command("PASV")
        found = _PASV.search(reply.text)
        if reply.code == 227 and found is not None:
            high, low = int(found[1]), int(found[2])
            if high < 256 and low < 256 and high + low:
                return high << 8 | low
        raise ClientError(Status.FTP_WEIRD_PASV, "the server opens no port for the data")


def _ends_of(data: TcpStream | TlsStream) -> Ends:
    """Return both ends of a connection for data."""
    tcp = data.transport if isinstance(data, TlsStream) else data
    assert isinstance(tcp, TcpStream)
    return tcp.local_address, tcp.remote_address


def _range_of(text: str | None) -> tuple[int, int | None]:
    """Return where to begin, and how much to take; None: all. Raises ClientError."""
    if text is None:
        return 0, None
    found = _RANGE.fullmatch(text)
    if found is None or (found[2] and int(found[2]) < int(found[1])):
        raise ClientError(Status.RANGE_REFUSED, f"-r {text}: FTP knows 100- and 100-199")
    first = int(found[1])
    return first, int(found[2]) - first + 1 if found[2] else None
