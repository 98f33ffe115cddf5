"""What servers of ill will do to `pystack get`: cut TLS, lie, and write to the terminal."""

import io
import ssl
import zlib
from collections.abc import Awaitable, Callable

import pytest
import trio
import trustme
from get_runs import Memory, handling, run_get, scripted
from hpack import Encoder
from wsproto.utilities import generate_accept_token

from pystack.apps.clients.desk import Source
from pystack.apps.clients.job import GetOptions
from pystack.link.link import Link
from pystack.runtime.host import Host

INSECURE = GetOptions(insecure=True, require_tls=True, max_time_s=30.0)
OK = b"HTTP/1.1 200 OK\r\n"
BODY = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("server").configure_cert(made)
    return made


async def shaken(stream: trio.SocketStream, context: ssl.SSLContext) -> trio.SSLStream:  # type: ignore[type-arg]
    tls = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    await tls.do_handshake()
    return tls


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (OK + b"\r\nhalf of it", 56),  # as long as the connection: whoever cuts it cuts the body
        (OK + b"Content-Length: 5\r\n\r\nwhole", 0),
        (OK + b"Content-Length: 9\r\n\r\nhalf", 56),
    ],
)
def test_an_answer_through_tls_that_is_cut_is_not_taken_for_whole(
    answer: bytes, status: int, context: ssl.SSLContext
) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        tls = await shaken(stream, context)
        await tls.receive_some()
        await tls.send_all(answer)
        await stream.send_eof()  # and no close_notify
        await trio.sleep(1)

    run = run_get(handling(handle, 443), "https://server/", options=INSECURE)
    assert run.one.exit_status == status
    assert run.body == answer.partition(b"\r\n\r\n")[2]


DataHandler = Callable[[trio.SocketStream], Awaitable[None]]


def ftps(context: ssl.SSLContext, use_data: DataHandler) -> Callable[..., Awaitable[None]]:
    """Return what prepares a server of FTP that does with a data connection what it is told."""

    async def prepare(server: Host, _link: Link) -> None:
        done = trio.Event()

        async def data(stream: trio.SocketStream) -> None:
            await use_data(stream)
            done.set()
            await trio.sleep(1)

        async def control(stream: trio.SocketStream) -> None:
            inner: trio.abc.Stream = stream
            await inner.send_all(b"220 hello\r\n")
            said = b""
            while True:
                while b"\r\n" not in said:
                    more = await inner.receive_some()
                    if not more:
                        return
                    said += more
                line, _, said = said.partition(b"\r\n")
                word = line.split()[0]
                replies = {b"AUTH": b"234 go", b"USER": b"230 in", b"EPSV": b"229 (|||4000|)"}
                if word in (b"RETR", b"STOR"):
                    await inner.send_all(b"150 comes\r\n")
                    await done.wait()
                    await inner.send_all(b"226 all of it\r\n")
                    continue
                await inner.send_all(replies.get(word, b"200 yes") + b"\r\n")
                if word == b"AUTH":
                    inner = await shaken(stream, context)

        await server.start(trio.serve_tcp, control, 21)
        await server.start(trio.serve_tcp, data, 4000)

    return prepare


def test_a_file_by_ftp_through_tls_that_is_cut_is_not_taken_for_whole(
    context: ssl.SSLContext,
) -> None:
    async def cut(stream: trio.SocketStream) -> None:
        tls = await shaken(stream, context)
        await tls.send_all(b"half of it")
        await stream.send_eof()

    run = run_get(ftps(context, cut), "ftp://server/file", options=INSECURE)
    assert run.one.exit_status == 56
    assert "close_notify" in run.one.error


def test_an_upload_by_ftp_is_whole_though_the_tickets_of_the_server_are_not_read(
    context: ssl.SSLContext,
) -> None:
    received: list[bytes] = []

    async def take(stream: trio.SocketStream) -> None:
        tls = await shaken(stream, context)  # TLS 1.3: two tickets go to the client
        await trio.sleep(0.5)
        while data := await tls.receive_some(1000):
            received.append(bytes(data))
            await trio.sleep(0.1)

    run = run_get(
        ftps(context, take),
        "ftp://server/file",
        options=INSECURE,
        source=lambda: Source(io.BytesIO(BODY), size_bytes=len(BODY), is_virtual=True),
        delay="20ms",
    )
    assert (run.one.exit_status, run.one.error) == (0, "")
    assert b"".join(received) == BODY


def accepting(*frames: bytes, extensions: str = "") -> Callable[..., Awaitable[None]]:
    """Return what prepares a server that takes a handshake, and then says this."""

    async def handle(stream: trio.SocketStream) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += await stream.receive_some()
        (key,) = (
            line[19:] for line in asked.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key")
        )
        token = generate_accept_token(key)
        await stream.send_all(
            b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + token + b"\r\n" + extensions.encode() + b"\r\n"
        )
        await stream.send_all(b"".join(frames))
        while await stream.receive_some():
            pass

    return handling(handle, 80)


@pytest.mark.parametrize("bits", ["=99", "=x", ""])
def test_extensions_with_parameters_that_are_none_are_a_weird_reply(bits: str) -> None:
    words = f"permessage-deflate; server_max_window_bits{bits}"
    offer = f"Sec-WebSocket-Extensions: {words}\r\n"
    run = run_get(accepting(extensions=offer), "ws://server/", options=GetOptions(compressed=True))
    assert run.one.exit_status == 8


def test_the_words_of_a_server_do_not_reach_the_terminal_as_commands() -> None:
    reason = b"\x1b[2Jgone\x07"
    close = b"\x88" + bytes((2 + len(reason),)) + b"\x0f\xa0" + reason
    run = run_get(accepting(close, extensions="X-Title: \x1b]0;mine\x07\r\n"), "ws://server/")
    assert run.one.error == r"WebSocket closed by the server: 4000 \x1b[2Jgone\x07"
    assert not any("\x1b" in line for line in run.talk)
    scripts = scripted((None, "220 \x1b[2J\x9b2J hello\r\n"), ("USER", "530 no\r\n"), port=21)
    run = run_get(scripts, "ftp://server/x")
    assert any(r"220 \x1b[2J" in line for line in run.talk)


def message(payload: bytes, *, first: int = 0xC2) -> bytes:
    """Return a whole message in one frame, compressed unless `first` says otherwise."""
    assert 126 <= len(payload) < 1 << 16
    return bytes((first, 126)) + len(payload).to_bytes(2, "big") + payload


def test_a_bomb_in_a_websocket_comes_out_a_little_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []

    async def write(_self: Memory, data: bytes) -> None:
        sizes.append(len(data))
        await trio.sleep(0.001)  # a slow disk: meanwhile more comes, which is then read at once

    monkeypatch.setattr(Memory, "write", write)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = deflate.compress(bytes(50 << 20)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    frames = [message(bytes(60_000), first=0x82)] * 20 + [message(bomb[:-4])]
    run = run_get(
        accepting(
            *frames,
            b"\x88\x02\x03\xe8",
            b"and more after Close" * 100,
            extensions="Sec-WebSocket-Extensions: permessage-deflate\r\n",
        ),
        "ws://server/",
        options=GetOptions(compressed=True),
    )
    assert (run.one.exit_status, run.one.error) == (0, "")
    assert sum(sizes) - 20 * 60_001 == (50 << 20) + 1
    assert max(sizes) < 2 << 20


def h2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags))
    return head + stream.to_bytes(4, "big") + payload


def h2_head(*fields: tuple[bytes, bytes], flags: int = 5) -> bytes:
    return h2_frame(1, flags, 1, Encoder().encode([*fields]))


HTTP2_ANSWERS = {
    "a status of letters": (h2_head((b":status", b"2x0")), 8),
    "an empty status": (h2_head((b":status", b"")), 8),
    "a status of twenty digits": (h2_head((b":status", b"9" * 20)), 8),
    "two lines in a field": (h2_head((b":status", b"200"), (b"x", b"a\r\nset-cookie: b")), 8),
    "a length of letters": (h2_head((b":status", b"200"), (b"content-length", b"a")), 16),
    "less than the length": (
        h2_head((b":status", b"200"), (b"content-length", b"5"), flags=4)
        + h2_frame(0, 1, 1, b"abc"),
        16,
    ),
    "data before the head": (h2_frame(0, 0, 1, b"x"), 16),
    "settings that are none": (h2_frame(4, 0, 0, b"\0\4\xff\xff\xff\xff"), 16),
    "a reset": (h2_frame(3, 0, 1, bytes((0, 0, 0, 7))), 92),
    "a good one": (h2_head((b":status", b"200")), 0),
}


@pytest.mark.parametrize("name", HTTP2_ANSWERS)
def test_an_answer_of_http_2_that_is_none_has_a_status_of_its_own(name: str) -> None:
    frames, status = HTTP2_ANSWERS[name]

    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(h2_frame(4, 0, 0, b"") + frames)
        await trio.sleep(1)

    options = GetOptions(http="2-prior-knowledge", max_time_s=30.0)
    run = run_get(handling(handle, 80), "http://server/", options=options)
    assert (run.one.exit_status, run.one.error == "") == (status, status == 0)
