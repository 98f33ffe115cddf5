"""A small client for each service: one transfer, which is whole or ends with an error that says so.

A client returns when all has come as it was sent. `NotServedError`, an error of a stream or of a
socket and a time that is up are clean ends on a bad line. What differs from what was sent is an
AssertionError.
"""

import re
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

import asgi_app_for_tests
import ftp_client
import tftp_client
import trio
from service_place import NotServedError, Place, to_end

import pystack
from pystack.apps.tls import tls_client

FILE: Final = "file"
NAME: Final = "www.example.test"
APP: Final = "asgi_app_for_tests:app"
RECORD: Final = f"{NAME} 300 A 192.0.2.7"
TEXT_RECORDS: Final = tuple(
    f'long.example.test 300 TXT "{"x" * 200}{number}"' for number in range(8)
)
UDP_TRIES: Final = 12


Client = Callable[[Place], Awaitable[None]]


def _is_ok(head: bytes) -> None:
    if head.startswith(b"HTTP/1.1 408 "):  # a request may take longer than it may take
        raise NotServedError("too late")
    assert head.startswith(b"HTTP/1.1 200 "), head


def _page(received: bytes, expected: bytes) -> None:
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        raise NotServedError("the answer has no end")
    _is_ok(head)
    assert f"content-length: {len(expected)}".encode() in head.lower(), head
    assert expected.startswith(body)
    if len(body) < len(expected):
        raise NotServedError("the body is cut off")


async def http(place: Place) -> None:
    """Fetch a file."""
    async with await place.connect(80) as stream:
        await stream.send_all(b"GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        _page(await to_end(stream), place.file)


async def asgi(place: Place) -> None:
    """Fetch what an application answers."""
    async with await place.connect(place.asgi_port) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        _page(await to_end(stream), asgi_app_for_tests.BODY)


async def http_upload(place: Place) -> None:
    """Bring some bytes, which are counted."""
    body = place.rng.randbytes(8000)
    async with await place.connect(80) as stream:
        head = (
            f"POST /upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}"
        )
        await stream.send_all(head.encode() + b"\r\n\r\n" + body)
        received = await to_end(stream)
    if b"\r\n\r\n" not in received:
        raise NotServedError("the answer has no end")
    _is_ok(received)
    assert str(len(body)).encode() in received.partition(b"\r\n\r\n")[2]


def trusting(*alpn: str) -> ssl.SSLContext:
    """Return the context of a client that trusts anybody: the line may only break what is sent."""
    # Not the default one: that reads all authorities of this machine, for 20 ms.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


_HTTPS: Final = trusting("http/1.1")
_HTTP2: Final = trusting("h2")
_PLAIN: Final = trusting()


async def https(place: Place) -> None:
    """Fetch a file over TLS."""
    async with (
        await place.connect(443) as stream,
        await tls_client(stream, _HTTPS, "server", timeout_s=120) as tls,
    ):
        await tls.send_all(b"GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        _page(await to_end(tls), place.file)


async def http2(place: Place) -> None:
    """Fetch a file over HTTP/2."""
    import h2.config
    import h2.connection
    import h2.events

    async with (
        await place.connect(443) as stream,
        await tls_client(stream, _HTTP2, "server", timeout_s=120) as tls,
    ):
        assert tls.tls.alpn == "h2"
        talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        talk.initiate_connection()
        headers = {":method": "GET", ":path": "/file", ":scheme": "https", ":authority": "a"}
        talk.send_headers(1, list(headers.items()), end_stream=True)
        await tls.send_all(talk.data_to_send())
        body, status = b"", b""
        while data := await tls.receive_some(65536):
            for event in talk.receive_data(bytes(data)):
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers)[b":status"]
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    talk.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, h2.events.StreamEnded):
                    assert status == b"200"
                    assert body == place.file
                    return
                elif isinstance(event, h2.events.StreamReset):
                    raise NotServedError("the stream was reset")
            await tls.send_all(talk.data_to_send())
        assert place.file.startswith(body)
        raise NotServedError("the connection has ended")


async def websocket(place: Place) -> None:
    """Have messages of many sizes echoed."""
    from wsproto import ConnectionType, WSConnection
    from wsproto.connection import ConnectionState
    from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Request
    from wsproto.frame_protocol import CloseReason

    messages = [place.rng.randbytes(size) for size in (0, 1, 125, 126, 2000, 5000)]
    async with await place.connect(80) as stream:
        talk = WSConnection(ConnectionType.CLIENT)
        await stream.send_all(talk.send(Request(host="a", target="/ws/echo")))
        echoed: list[bytes] = []
        part = b""
        while data := await stream.receive_some(65536):
            talk.receive_data(data)
            for event in talk.events():
                match event:
                    case AcceptConnection():
                        for message in messages:
                            await stream.send_all(talk.send(BytesMessage(data=message)))
                    case BytesMessage():
                        part += event.data
                        if event.message_finished:
                            echoed.append(part)
                            part = b""
                            if len(echoed) == len(messages):
                                assert echoed == messages
                                await stream.send_all(talk.send(CloseConnection(code=1000)))
                    case Ping() if talk.state is ConnectionState.OPEN:
                        await stream.send_all(talk.send(event.response()))
                    case CloseConnection():
                        assert echoed == messages[: len(echoed)]
                        if event.code == CloseReason.POLICY_VIOLATION:  # our pongs were lost
                            raise NotServedError(event.reason)
                        assert event.code == 1000
                        assert echoed == messages
                        return
        assert echoed == messages[: len(echoed)]
        raise NotServedError("the connection has ended")


async def dns(place: Place, *, tcp: bool = False) -> None:
    """Look a name up."""
    answer = await place.client.dig(NAME, server=place.address, tcp=tcp, attempts=UDP_TRIES)
    if answer.status != "NOERROR":
        raise NotServedError(answer.status)
    assert [record.text for record in answer.answer] == ["192.0.2.7"]


async def dns_tcp(place: Place) -> None:
    """Look a name up over TCP."""
    await dns(place, tcp=True)


async def dns_long(place: Place) -> None:
    """Look something up that is too long for UDP."""
    answer = await place.client.dig(
        "long.example.test", "TXT", server=place.address, attempts=UDP_TRIES
    )
    if answer.status != "NOERROR":
        raise NotServedError(answer.status)
    if not answer.over == "tcp":
        raise NotServedError("it was cut off")
    assert len(answer.answer) == len(TEXT_RECORDS)


async def smtp(place: Place, *, tls: bool = False) -> None:
    """Deliver a message; it is there whole, or not at all, and there if the server said so."""
    text = b"".join(
        b"." * place.rng.randrange(3) + place.rng.randbytes(20).hex().encode() + b"\r\n"
        for _ in range(100)
    )
    mark = place.rng.randbytes(8).hex().encode()
    message = b"Subject: " + mark + b"\r\n\r\n" + text
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    said = ""
    try:
        async with await place.connect(25) as stream:
            control = ftp_client.Control(place.client, stream)  # replies are the same
            for data, code in (
                (b"", 220),
                (b"EHLO client\r\n", 250),
                *(((b"STARTTLS\r\n", 220), (b"EHLO client\r\n", 250)) if tls else ()),
                (b"MAIL FROM:<a@example.test>\r\n", 250),
                (b"RCPT TO:<b@example.test>\r\n", 250),
                (b"DATA\r\n", 354),
                (stuffed + b".\r\n", 250),
                (b"QUIT\r\n", 221),
            ):
                if data:
                    await control.stream.send_all(data)
                answer = await control.answer()
                if answer.code != code:
                    raise NotServedError(answer.text)
                if data.startswith(b"STARTTLS"):
                    control.stream = await tls_client(stream, _PLAIN, "server", timeout_s=120)
                said = "taken" if data.startswith(b"Subject") else said
    finally:
        found = [
            file.read_bytes()
            for file in (place.root / "Maildir" / "new").glob("*")
            if mark in file.read_bytes()
        ]
        wanted = message.replace(b"\r\n", b"\n")
        assert all(each.replace(b"\r\n", b"\n").endswith(wanted) for each in found)
        assert len(found) == 1 or (said != "taken" and len(found) <= 1)


async def smtp_tls(place: Place) -> None:
    """Deliver a message inside TLS."""
    await smtp(place, tls=True)


async def _ftp_in(
    place: Place, stream: pystack.TcpStream, *, tls: bool = False
) -> ftp_client.Control:
    control = ftp_client.Control(place.client, stream)
    await _ftp_code(control, "", 220)
    if tls:
        await _ftp_code(control, "AUTH TLS", 234)
        control.stream = await tls_client(stream, _PLAIN, "server", timeout_s=120)
    await _ftp_code(control, "USER anonymous", 331)
    await _ftp_code(control, "PASS me@", 230)
    if tls:
        await _ftp_code(control, "PBSZ 0", 200)
        await _ftp_code(control, "PROT P", 200)
    await _ftp_code(control, "TYPE I", 200)
    return control


async def _ftp_code(control: ftp_client.Control, command: str, *codes: int) -> None:
    if command:
        await control.send(command)
    answer = await control.answer()
    if answer.code not in codes:
        raise NotServedError(answer.text)


async def _ftp_passive(place: Place, control: ftp_client.Control) -> pystack.TcpStream:
    said = await control.do("EPSV")
    if said.code != 229:
        raise NotServedError(said.text)
    return await place.connect(int(said.text.split("|||")[1].split("|")[0]))


async def ftp_down(place: Place, *, tls: bool = False) -> None:
    """Fetch a file."""
    async with await place.connect(21) as stream:
        control = await _ftp_in(place, stream, tls=tls)
        async with await _ftp_passive(place, control) as data:
            await _ftp_code(control, f"RETR {FILE}", 125, 150)
            if tls:
                async with await tls_client(data, _PLAIN, "server", timeout_s=120) as inside:
                    received = await to_end(inside)
            else:
                received = await to_end(data)
        assert place.file.startswith(received)
        await _ftp_code(control, "", 226)
        assert received == place.file
        await _ftp_code(control, "QUIT", 221)


async def ftp_tls(place: Place) -> None:
    """Fetch a file, commands and data inside TLS."""
    await ftp_down(place, tls=True)


async def ftp_up(place: Place) -> None:
    """Bring a file."""
    name = f"up-{place.rng.randrange(1 << 40)}"
    content = place.rng.randbytes(6000)
    path = place.root / name
    try:
        async with await place.connect(21) as stream:
            control = await _ftp_in(place, stream)
            async with await _ftp_passive(place, control) as data:
                await _ftp_code(control, f"STOR {name}", 125, 150)
                await data.send_all(content)
            await _ftp_code(control, "", 226)
            assert path.read_bytes() == content
            await _ftp_code(control, "QUIT", 221)
    finally:
        assert not path.exists() or content.startswith(path.read_bytes())


async def tftp_down(place: Place) -> None:
    """Fetch a file."""
    options = place.rng.choice([{}, {"blksize": "1400"}, {"windowsize": "4"}])
    assert await tftp_client.fetch(place.client, place.address, b"file", options) == place.file


async def tftp_up(place: Place) -> None:
    """Bring a file."""
    name = f"tftp-{place.rng.randrange(1 << 40)}"
    content = place.rng.randbytes(3000)
    path = place.root / name
    try:
        await tftp_client.bring(place.client, place.address, name.encode(), content)
        assert path.read_bytes() == content
    finally:
        assert not path.exists() or path.read_bytes() == content


async def echo(place: Place) -> None:
    """Have bytes sent back."""
    content = place.rng.randbytes(8000)
    async with await place.connect(7) as stream:
        await stream.send_all(content)
        await stream.send_eof()
        received = await to_end(stream)
    assert content.startswith(received)
    if received != content:
        raise NotServedError("the echo is cut off")


async def discard(place: Place) -> None:
    """Have bytes thrown away."""
    async with await place.connect(9) as stream:
        await stream.send_all(place.rng.randbytes(4000))
        await stream.send_eof()
        assert await to_end(stream) == b""


async def chargen(place: Place) -> None:
    """Read some lines and go."""
    received = b""
    async with await place.connect(19) as stream:
        while len(received) < 2000 and (data := await stream.receive_some(1000)):
            received += data
        stream.abort()
    lines = received.split(b"\r\n")
    assert all(len(line) == 72 for line in lines[:-1])
    assert lines[0].startswith(b" !\"#$%&'()*+,-./0123456789")


async def daytime(place: Place) -> None:
    """Ask for the date."""
    async with await place.connect(13) as stream:
        line = await to_end(stream)
    if not line:
        raise NotServedError("no line")
    assert re.fullmatch(rb"\w+, \w+ \d+, 2026 \d\d:\d\d:\d\d-UTC\r\n", line), line


async def time(place: Place) -> None:
    """Ask for the time."""
    async with await place.connect(37) as stream:
        number = await to_end(stream)
    if not number:
        raise NotServedError("no number")
    _is_now(number)


def _is_now(number: bytes) -> None:
    assert len(number) == 4
    # The world's calendar begins with 2026; that of RFC 868 with 1900.
    ago_s = trio.current_time() + 3_976_214_400 - int.from_bytes(number, "big")
    assert -1 <= ago_s <= 1000  # what is lost is older when it has come at last


async def _ask_by_udp(place: Place, port: int, question: bytes) -> bytes:
    async with await place.client.open_udp_socket() as socket:
        for _ in range(UDP_TRIES):
            await socket.send_to(question, (place.address, port))
            with trio.move_on_after(2):
                return (await socket.receive_from())[0]
    raise NotServedError("no answer")


async def echo_udp(place: Place) -> None:
    """Have a datagram sent back."""
    content = place.rng.randbytes(500)
    assert await _ask_by_udp(place, 7, content) == content


async def time_udp(place: Place) -> None:
    """Ask for the time."""
    _is_now(await _ask_by_udp(place, 37, b""))


async def daytime_udp(place: Place) -> None:
    """Ask for the date."""
    assert (await _ask_by_udp(place, 13, b"")).endswith(b"-UTC\r\n")


async def chargen_udp(place: Place) -> None:
    """Ask for some characters."""
    assert len(await _ask_by_udp(place, 19, bytes(100))) <= 100


async def iperf3(place: Place) -> None:
    """Move some bytes by TCP, then some by UDP: the server measures one at a time."""
    reverse = place.rng.random() < 0.5
    result = await place.client.iperf3(
        place.address, reverse=reverse, total_bytes=6000, time_s=0, block_bytes=500
    )
    assert result.received.total_bytes <= result.sent.total_bytes
    # Not so many bytes: those that are lost would be waited for.
    result = await place.client.iperf3(
        place.address, udp=True, reverse=reverse, time_s=1, block_bytes=500, bitrate_bps=40_000
    )
    assert result.received.packets <= result.sent.packets


CLIENTS: Final[dict[str, tuple[Client, ...]]] = {
    "asgi": (asgi,),
    "http": (http, http_upload, websocket),
    "https": (https, http2),
    "dns": (dns, dns_tcp, dns_long),
    "smtp": (smtp, smtp_tls),
    "ftp": (ftp_down, ftp_up, ftp_tls),
    "tftp": (tftp_down, tftp_up),
    "echo": (echo, echo_udp),
    "discard": (discard,),
    "chargen": (chargen, chargen_udp),
    "daytime": (daytime, daytime_udp),
    "time": (time, time_udp),
    "iperf3": (iperf3,),
}
