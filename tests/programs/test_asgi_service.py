"""The service `asgi`: an application by its name, and clients that mean it no good."""

import re
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
from trio_websocket import open_websocket_url
from worlds import in_virtual_time
from ws_frames import TEXT, closing, frame, handshake, parse

import pystack
from pystack.apps.asgi import AsgiStartupError
from pystack.apps.options import AppName, ServiceOptions
from pystack.apps.service import place_services
from pystack.apps.serving import serve
from pystack.apps.words import read_request

APP = """
import trio

happened = []

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            happened.append(message["type"])
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})
        happened.append(f"websocket ended {message['code']}")
        return
    headers = [(b"content-type", b"text/plain")]
    if scope["path"] == "/endless":
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            while True:
                await send({"type": "http.response.body", "body": bytes(1000), "more_body": True})
                await trio.sleep(0.1)
        except OSError as error:
            happened.append(f"endless ended: {error}")
            raise
    body = b""
    if scope["path"] == "/read":
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                happened.append("disconnect")
                return
            body += message["body"]
            if not message["more_body"]:
                break
    if scope["path"] == "/fail":
        raise RuntimeError("a mistake of the application")
    if scope["path"] == "/exit":
        raise SystemExit(3)
    if scope["path"] == "/slow":
        happened.append("slow begins")
        await trio.sleep(5)
        happened.append("slow ends")
    text = f"{scope['scheme']} {scope['path']} {len(body)} {scope['client'][0]}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})

async def asks_for_asyncio(scope, receive, send):
    import asyncio
    asyncio.get_running_loop()

async def refuses(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})

async def sleeps(scope, receive, send):
    await trio.sleep(10_000)

number = 7
"""

Program = Callable[[pystack.Host], Awaitable[None]]


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be in a directory with the application, whose module is nobody else's."""
    (tmp_path / "its_module.py").write_text(APP)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "lacking.py").write_text("import nothing_of_that_name\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in ("its_module", "broken", "lacking"):
        sys.modules.pop(name, None)


def happened() -> list[str]:
    return list(sys.modules["its_module"].happened)


def run(program: Program, app: str = "its_module:app", **words: object) -> None:
    """Serve it on `server`, and run a program on the other host."""

    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="20ms")
            await pystack.serve(server, "asgi", app=app, **words)  # type: ignore[arg-type]
            await client.run(program, client)

    in_virtual_time(main)


async def nothing(_client: pystack.Host) -> None:
    """Do it."""


async def read_to_end(stream: trio.abc.ReceiveStream) -> bytes:
    received = b""
    try:
        async for data in stream:
            received += data
    except trio.BrokenResourceError:
        received += b"<reset>"
    return received


def said(raw: bytes, *, eof: bool = False) -> tuple[bytes, float]:
    """Return what is answered to raw bytes, and after how long the server ended."""
    result: list[tuple[bytes, float]] = []

    async def program(client: pystack.Host) -> None:
        stream = await client.open_tcp_stream("server", 80)
        began_at = trio.current_time()
        await stream.send_all(raw)
        if eof:
            await stream.send_eof()
        received = await read_to_end(stream)
        result.append((received, round(trio.current_time() - began_at, 2)))
        await stream.aclose()

    run(program)
    return result[0]


# what is asked for


def test_an_application_with_its_lifespan() -> None:
    async def program(_client: pystack.Host) -> None:
        assert happened() == ["lifespan.startup"]
        async with httpx.AsyncClient() as client:
            assert (await client.get("http://server/x")).text == "http /x 0 10.0.0.1"
            reply = await client.post("http://server/read", content=bytes(500_000))
            assert reply.text == "http /read 500000 10.0.0.1"

    run(program)
    assert happened() == ["lifespan.startup", "lifespan.shutdown"]


def test_its_websockets() -> None:
    async def program(_client: pystack.Host) -> None:
        async with open_websocket_url("ws://server/") as socket:
            await socket.send_message("hello")
            assert await socket.get_message() == "HELLO"

    run(program)
    assert "websocket ended 1006" in happened()  # hypercorn says so, whatever the code was


def test_with_tls_it_is_at_443(tmp_path: Path) -> None:
    async def program(_client: pystack.Host) -> None:
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        async with httpx.AsyncClient(verify=context) as client:
            assert (await client.get("https://server/x")).text == "https /x 0 10.0.0.1"
        async with open_websocket_url("wss://server/", ssl_context=context) as socket:
            await socket.send_message("hello")
            assert await socket.get_message() == "HELLO"

    run(program, app_tls=True, ca=tmp_path / "ca.pem")


WRONG = {
    "its_module": "an ASGI application is MODULE:APP, as in main:app, not 'its_module'",
    ":app": "is MODULE:APP",
    "its_module:": "is MODULE:APP",
    "its-module:app": "is MODULE:APP",
    "nowhere:app": "there is no module 'nowhere', in the current directory or installed",
    "its_module.inner:app": "there is no module 'its_module.inner'",
    "its_module:application": "there is no 'application' in the module 'its_module'",
    "its_module:number": "'its_module:number' is no ASGI application: it is a int",
    "broken:app": "the module 'broken' can't be imported: ZeroDivisionError",
    "lacking:app": "the module 'lacking' can't be imported: ModuleNotFoundError: No module named",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_name_that_leads_nowhere_is_a_mistake(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(pystack.ConfigError, match=WRONG[name]):
        run(nothing, name)
    # Where it is the module's own fault, the log says where.
    assert ("Traceback" in caplog.text) == (name in ("broken:app", "lacking:app"))


def test_in_a_lab_it_is_beside_the_labs_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    table = {"name": "asgi", "app": "its_module:app"}
    with pytest.raises(pystack.ConfigError, match="there is no module 'its_module', in the curr"):
        place_services([read_request(table, ServiceOptions())])
    place_services([read_request(table, ServiceOptions(), tmp_path)])
    with pytest.raises(pystack.ConfigError, match=f"no module 'nowhere', in {tmp_path} or inst"):
        place_services([read_request({**table, "app": "nowhere:app"}, ServiceOptions(), tmp_path)])


def test_without_a_name_there_is_nothing_to_serve() -> None:
    with pytest.raises(pystack.ConfigError, match="asgi needs an application"):
        place_services(["asgi"], ServiceOptions())


def test_all_leaves_it_out() -> None:
    assert "asgi" not in [placed.service.name for placed in place_services(["all"])]


def test_it_is_imported_when_it_is_served_and_not_before() -> None:
    place_services(["asgi"], ServiceOptions(asgi=AppName("broken:app")))
    assert "broken" not in sys.modules


@pytest.mark.parametrize(("name", "words"), [("refuses", "no database"), ("sleeps", "within 60 s")])
def test_an_application_that_does_not_start_is_an_error(name: str, words: str) -> None:
    with pytest.raises(AsgiStartupError, match=words):
        run(nothing, f"its_module:{name}")


def test_an_application_that_asks_for_asyncio_at_its_start_is_a_mistake() -> None:
    with pytest.raises(
        pystack.ConfigError, match="asks_for_asyncio needs asyncio, and this server"
    ):
        run(nothing, "its_module:asks_for_asyncio")


def test_one_that_asks_for_it_later_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    source = APP.replace('raise RuntimeError("a', 'import asyncio; asyncio.get_running_loop(); ("a')
    Path("its_module.py").write_text(source)

    async def program(_client: pystack.Host) -> None:
        async with httpx.AsyncClient() as client:
            for _ in range(3):
                reply = await client.get("http://server/fail")
                assert reply.status_code == 500
                assert "needs asyncio, and this server runs on Trio" in reply.text
            assert (await client.get("http://server/x")).status_code == 200

    run(program)
    told = [record for record in caplog.records if "asyncio" in record.getMessage()]
    assert len(told) == 1
    assert "Traceback" not in caplog.text


def test_an_application_that_wants_to_exit_does_not_end_the_server() -> None:
    async def program(client: pystack.Host) -> None:
        for path, status in (("exit", b"500"), ("after", b"200")):
            stream = await client.open_tcp_stream("server", 80)
            await stream.send_all(
                f"GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
            )
            assert (await read_to_end(stream)).startswith(b"HTTP/1.1 " + status)

    run(program)


def test_a_mistake_of_the_application_is_500_and_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    received, _ = said(b"GET /fail HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 500 ")
    assert "a mistake of the application" in caplog.text


# what nobody asked for

HOSTILE = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "a bare line": b"\r\n\r\n\r\nhello\r\n\r\n",
    "an endless head": b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000,
    "many fields": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
    "a length that is none": b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    "two lengths":
        b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "chunks that are none":
        b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a handshake without a key": handshake("/").replace(b"Sec-WebSocket-Key", b"X"),
    "extensions of no letters": handshake("/", "Sec-WebSocket-Extensions: \xff\xfe"),
    "subprotocols of no letters": handshake("/", "Sec-WebSocket-Protocol: \xff"),
    "window bits of no number":
        handshake("/", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=x"),
    "frames without a mask": handshake("/") + frame(TEXT, b"x", mask=None),
    "an HTTP/2 preface and rubbish": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 200,
    "an HTTP/2 preface in drops": b"PRI * HTTP/2.0\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_not_understood_ends_with_the_connection_and_not_in_the_log(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    received, ended_s = said(HOSTILE[case])
    assert ended_s < 40
    assert b" 200 " not in received.partition(b"\r\n")[0]
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


EXTENSIONS = "Sec-WebSocket-Extensions"
POST = b"POST /read HTTP/1.1\r\nHost: x\r\n"
REFUSED = {
    "both kinds of lengths":
        (POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunks of HTTP/1.0":
        (b"POST /x HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a host that is none": (b"GET / HTTP/1.1\r\nHost: a b/@\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "a proxy": (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "an expectation": (POST + b"Content-Length: 1\r\nExpect: 200-ok\r\n\r\nx", 417),
    "a long target": (b"GET /" + b"a" * 12_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "a long head": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    "many lines": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 300 + b"\r\n", 431),
    "HTTP/2.0 in the old way": (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    "window bits":
        (handshake("/", f"{EXTENSIONS}: permessage-deflate; server_max_window_bits=x"), 400),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_the_application_does_not_see_what_our_own_server_refuses(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    raw, status = REFUSED[case]
    more = b"" if case == "window bits" else b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    received, ended_s = said(raw + more)
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert len(re.findall(rb"HTTP/1.1 \d", received)) == 1  # what follows may be part of it
    assert ended_s < 6
    assert not caplog.records


def test_a_client_that_ends_its_side_gets_its_answer() -> None:
    received, ended_s = said(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n", eof=True)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert ended_s == 5.04


def test_a_head_that_does_not_come_is_waited_for_15_s() -> None:
    received, ended_s = said(b"GET / HTTP/1.1\r\nHost")
    assert (received, ended_s) == (b"", 15.04)


def test_a_body_that_does_not_come_is_waited_for_30_s() -> None:
    raw = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"
    received, ended_s = said(raw)
    assert received == b"<reset>"
    assert ended_s == 30.04
    assert "disconnect" in happened()


def test_an_application_need_not_read_what_it_is_sent() -> None:
    head = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n"
    received, ended_s = said(head + bytes(3_000_000))
    assert received.startswith(b"HTTP/1.1 200 ")
    assert ended_s < 10


def test_an_endless_answer_ends_when_the_client_has_gone() -> None:
    async def program(client: pystack.Host) -> None:
        stream = await client.open_tcp_stream("server", 80)
        await stream.send_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        await trio.sleep(1)
        await stream.aclose()
        await trio.sleep(5)
        assert "endless ended: the client has gone" in happened()

    run(program)


def test_a_client_that_takes_nothing_is_cut_off_after_a_minute() -> None:
    async def program(client: pystack.Host) -> None:
        stream = await client.open_tcp_stream("server", 80)
        await stream.send_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        await trio.sleep(3600)
        assert "endless ended: the client has gone" in happened()

    run(program)


def test_a_close_is_answered() -> None:
    async def program(client: pystack.Host) -> None:
        stream = await client.open_tcp_stream("server", 80)
        await stream.send_all(handshake("/"))
        assert b" 101 " in await stream.receive_some()
        await stream.send_all(frame(TEXT, b"x"))
        await trio.sleep(1)
        frames = parse(bytes(await stream.receive_some()))
        assert [each.payload for each in frames if each.opcode == TEXT] == [b"X"]
        await stream.send_all(closing())
        assert b"\x88\x02\x03\xe8" in await read_to_end(stream)

    run(program)


def test_who_upgrades_to_h2c_is_answered_in_http_1() -> None:
    received, _ = said(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade, http2-settings, close\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
    )
    assert received.startswith(b"HTTP/1.1 200 ")


def test_a_websocket_that_is_closed_takes_no_place_any_more() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7) as net, trio.open_nursery() as nursery:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="20ms")
            (placed,) = place_services(["asgi"], ServiceOptions(asgi=AppName("its_module:app")))
            run = partial(serve, tcp_port=80, udp_port=None, max_connections=1)
            await nursery.start(run, server, placed.service)
            stream = await client.open_tcp_stream("server", 80)
            await stream.send_all(handshake("/"))
            assert b" 101 " in await stream.receive_some()
            await stream.send_all(closing())
            await read_to_end(stream)
            await stream.aclose()
            began_at = trio.current_time()
            stream = await client.open_tcp_stream("server", 80)
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in await stream.receive_some()
            assert trio.current_time() - began_at < 0.2
            nursery.cancel_scope.cancel()

    in_virtual_time(main)
