"""What the client does: one function for each kind of URL, as a program on its host."""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from pystack.apps.explain.serving import TLS_SCHEMES, ca_file
from pystack.core.addresses import host_port
from pystack.runtime.names.zones import Version, format_on

if TYPE_CHECKING:
    from pystack.apps.explain.target import Target
    from pystack.runtime.datagrams import UdpSocket
    from pystack.runtime.host import Host
    from pystack.runtime.streams import TcpStream

MOST_S: Final = 300.0  # for one request; then it is given up
ANSWER_S: Final = 1.0  # a program that sends a datagram waits for so long, then sends it again
TRIES: Final = 3
_MAX_DATAGRAM: Final = 65_507
_MAIL: Final = (
    "From: <client@{client}>\r\nTo: <postmaster@{server}>\r\nSubject: a message\r\n\r\n{text}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What is to be done, and how."""

    target: Target
    version: Version | None = None  # of IP; None: whichever the host prefers
    http: str | None = None  # "1.1", "2"; None: what is usual
    repeat: int = 1
    post_bytes: int | None = None  # None: nothing is posted
    insecure: bool = False  # any certificate will do
    folder: Path | None = None  # with what is to be trusted; None: nothing is


async def run(host: Host, errand: Errand) -> str:
    """Do it, and return what came of it in a few words: also what went wrong."""
    target = errand.target
    try:
        match target.scheme:
            case "dns":
                return await _ask(host, errand)
            case "echo" | "tcp" | "udp":
                return await (_say if target.over == "tcp" else _send)(host, errand)
            case _:
                return await _get(host, errand)
    except OSError as error:
        return error.strerror or str(error)


async def _get(host: Host, errand: Errand) -> str:
    """Transfer it by the client of `pystack get`, so many times over one connection if it can."""
    from pystack.apps.clients.desk import Nowhere, Source
    from pystack.apps.clients.getting import Getter
    from pystack.apps.clients.job import GetOptions

    target, is_tls = errand.target, errand.target.scheme in TLS_SCHEMES
    options = GetOptions(
        version=errand.version,
        max_time_s=MOST_S,
        http=errand.http,
        graceful=True,
        insecure=errand.insecure,
    )
    if is_tls and errand.folder is not None:
        options = replace(options, trusted=(ca_file(errand.folder),))
    if errand.post_bytes is not None:
        options = replace(options, data=_text(errand.post_bytes))
    said: bytes | None = None
    if target.scheme == "smtp":
        mail = _MAIL.format(
            client=host.name, server=target.host, text=_text(errand.post_bytes or 300).decode()
        )
        said = mail.encode()
        addresses = f"client@{host.name}", f"postmaster@{target.host}"
        options = replace(options, mail_from=addresses[0], mail_rcpt=addresses[1:], data=None)
    elif target.scheme in ("ws", "wss"):
        said = b"hello\n"
    getter, outcome = Getter(host, options), ""
    for _ in range(errand.repeat):
        source = None
        if said is not None:
            source = Source(BytesIO(said), size_bytes=len(said), is_virtual=True)
        done = await getter.get(target.text, Nowhere(), source)
        if done.exit_status:
            outcome = done.error
            break
        code = f"{done.http_code}, " if done.http_code else ""
        size = done.size_download or done.size_upload
        outcome = f"{code}{size:,} bytes"
    await getter.aclose()
    return outcome


async def _ask(host: Host, errand: Errand) -> str:
    """Ask a name server, as dig(1) does."""
    target = errand.target
    answer = await host.dig(
        target.host,
        target.kind or ("AAAA" if errand.version == 6 else "A"),
        server=f"{target.server}:{target.port}" if target.port != 53 else target.server,
        tcp=target.over == "tcp",
    )
    found = [record.text for record in answer.answer]
    return f"{answer.status}: {', '.join(found) if found else 'no records'}"


async def _say(host: Host, errand: Errand) -> str:
    """Say something over TCP, and hear it again."""
    target, payload = errand.target, errand.target.payload
    if errand.post_bytes is not None:
        payload = _text(errand.post_bytes)
    address = await _address(host, errand)
    host.milestone("connect", host_port(address, target.port))
    stream = await host.open_tcp_stream(address, target.port)
    ends = stream.local_address, stream.remote_address
    host.milestone("connected", "", *ends)
    count = 0
    try:
        with trio.move_on_after(MOST_S):
            for _ in range(errand.repeat):
                host.milestone("request", f"{len(payload)} bytes", *ends)
                # All that is said fits the buffers, or comes back while it is being said.
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(stream.send_all, payload)
                    count = await _echoed(host, stream, len(payload))
        host.milestone("close", "", *ends)
        await stream.aclose()
    except* trio.BrokenResourceError as group:
        raise _broken(group) from None
    finally:
        await trio.aclose_forcefully(stream)
    return f"{count:,} bytes came back"


async def _echoed(host: Host, stream: TcpStream, size_bytes: int) -> int:
    """Return how much came back: all, unless the other end closed before."""
    ends, count = (stream.local_address, stream.remote_address), 0
    while count < size_bytes:
        data = await stream.receive_some()
        if not data:
            break
        if not count:
            host.milestone("first_byte", "", *ends)
        count += len(data)
    host.milestone("done", f"{count} bytes", *ends)
    return count


def _broken(group: BaseExceptionGroup[trio.BrokenResourceError]) -> OSError:
    """Return why a stream broke."""
    error: BaseException = group.exceptions[0]
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    cause = error.__cause__
    return cause if isinstance(cause, OSError) else OSError(str(cause or error))


async def _send(host: Host, errand: Errand) -> str:
    """Send a datagram and wait for its echo; when none comes, send it again: UDP does not."""
    target, payload = errand.target, errand.target.payload
    if errand.post_bytes is not None:
        payload = _text(min(errand.post_bytes, _MAX_DATAGRAM))
    address = await _address(host, errand)
    async with await host.open_udp_socket() as socket:
        socket.connect((address, target.port))
        outcome = ""
        for _ in range(errand.repeat):
            outcome = await _echo_of(host, socket, payload)
        return outcome


async def _echo_of(host: Host, socket: UdpSocket, payload: bytes) -> str:
    for attempt in range(TRIES):
        host.milestone("request" if not attempt else "again", f"{len(payload)} bytes")
        await socket.send(payload)
        with trio.move_on_after(ANSWER_S):
            data, _sender = await socket.receive_from()
            host.milestone("done", f"{len(data)} bytes")
            return f"{len(data):,} bytes came back"
        host.milestone("no_answer", f"after {ANSWER_S:g} s")
    return f"no answer to {TRIES} datagrams"


async def _address(host: Host, errand: Errand) -> str:
    """Return the address to go to: the first, as the program that asks cannot try several."""
    return format_on(host.stack, await host.look_up(errand.target.host, errand.version))


def _text(size_bytes: int) -> bytes:
    line = b"All lines of what is sent are alike, too.\r\n"
    return (line * (size_bytes // len(line) + 1))[:size_bytes]
