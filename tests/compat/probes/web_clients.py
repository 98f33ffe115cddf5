"""Clients of HTTP and of WebSocket."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING, Final

import trio
from probe import OUTAGE_S, Probe, Way, fails
from servers import http
from servers.certificates import client_context

if TYPE_CHECKING:
    from trio_websocket import WebSocketConnection

PATIENCE_S: Final = 3.0
URL: Final = "http://web/"
_HTTP: Final = "pystack's HTTP server"
_WS: Final = "pystack's WebSocket server"
_HTTPS: Final = "pystack's HTTP server behind TLS"


async def httpx_on_trio() -> None:
    import httpx

    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        assert (await client.get(URL)).text == "hello"
        await trio.sleep(OUTAGE_S)
        with fails(httpx.ReadTimeout):
            await client.get(URL)


async def httpx_on_asyncio() -> None:
    import httpx

    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        assert (await client.get(URL)).text == "hello"
        await asyncio.sleep(OUTAGE_S)
        with fails(httpx.ReadTimeout):
            await client.get(URL)


def httpx_blocking() -> None:
    import httpx

    with httpx.Client(timeout=PATIENCE_S, verify=client_context()) as client:
        assert client.get("https://web/").text == "hello"
        time.sleep(OUTAGE_S)
        with fails(httpx.ReadTimeout):
            client.get("https://web/")


async def httpcore_on_trio() -> None:
    import httpcore

    patience = {"timeout": {"connect": PATIENCE_S, "read": PATIENCE_S}}
    async with httpcore.AsyncConnectionPool() as pool:
        assert (await pool.request("GET", URL)).content == b"hello"
        await trio.sleep(OUTAGE_S)
        with fails(httpcore.ReadTimeout):
            await pool.request("GET", URL, extensions=patience)


def httpcore_blocking() -> None:
    import httpcore

    patience = {"timeout": {"connect": PATIENCE_S, "read": PATIENCE_S}}
    with httpcore.ConnectionPool() as pool:
        assert pool.request("GET", URL).content == b"hello"
        time.sleep(OUTAGE_S)
        with fails(httpcore.ReadTimeout):
            pool.request("GET", URL, extensions=patience)


async def h2_on_trio() -> None:
    import h2.connection
    import h2.events

    context = client_context()
    context.set_alpn_protocols(["h2"])
    engine = h2.connection.H2Connection()
    stream = await trio.open_ssl_over_tcp_stream("web", 443, ssl_context=context)
    async with stream:
        engine.initiate_connection()
        request = [(":method", "GET"), (":authority", "web"), (":scheme", "https"), (":path", "/")]
        engine.send_headers(1, request, end_stream=True)
        await stream.send_all(engine.data_to_send())
        received: list[object] = []
        while not any(isinstance(event, h2.events.StreamEnded) for event in received):
            received += engine.receive_data(await stream.receive_some())
            await stream.send_all(engine.data_to_send())
        assert any(isinstance(event, h2.events.DataReceived) for event in received)
        await trio.sleep(OUTAGE_S)
        with fails(trio.TooSlowError), trio.fail_after(PATIENCE_S):
            engine.send_headers(3, request, end_stream=True)
            await stream.send_all(engine.data_to_send())
            while True:
                engine.receive_data(await stream.receive_some())


async def anyio_on_trio() -> None:
    await _anyio()


async def anyio_on_asyncio() -> None:
    await _anyio()


async def _anyio() -> None:
    import anyio

    async with await anyio.connect_tcp("web", 80) as stream:
        await stream.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        assert (await stream.receive()).startswith(b"HTTP/1.1 200 OK\r\n")
        await anyio.sleep(OUTAGE_S)
        with fails(TimeoutError), anyio.fail_after(PATIENCE_S):
            await stream.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            await stream.receive()


async def trio_websocket_() -> None:
    from trio_websocket import DisconnectionTimeout, open_websocket_url

    with suppress(DisconnectionTimeout):  # nobody answers its close
        await _trio_websocket(open_websocket_url("ws://web/"))


async def _trio_websocket(opening: AbstractAsyncContextManager[WebSocketConnection]) -> None:
    async with opening as ws:
        await ws.send_message("hello")
        assert await ws.get_message() == "hello"
        await trio.sleep(OUTAGE_S)
        with fails(trio.TooSlowError), trio.fail_after(PATIENCE_S):
            await ws.send_message("hello")
            await ws.get_message()


async def aiohttp_client() -> None:
    import aiohttp

    patience = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(timeout=patience) as session:
        for url in (URL, "https://secure/"):
            async with session.get(url, ssl=client_context()) as reply:
                assert await reply.text() == "hello"
        async with session.ws_connect("http://chat/") as ws:
            await ws.send_str("hello")
            assert (await ws.receive()).data == "hello"
        await asyncio.sleep(OUTAGE_S)
        with fails(TimeoutError):
            await session.get(URL)


async def websockets_asyncio() -> None:
    from websockets.asyncio.client import connect

    async with connect("ws://web/", ping_interval=None, close_timeout=PATIENCE_S) as ws:
        await ws.send("hello")
        assert await ws.recv() == "hello"
        await asyncio.sleep(OUTAGE_S)
        await ws.send("hello")
        with fails(TimeoutError):
            await asyncio.wait_for(ws.recv(), PATIENCE_S)


def websockets_blocking() -> None:
    from websockets.sync.client import connect

    with connect("ws://web/", ping_interval=None, close_timeout=PATIENCE_S) as ws:
        ws.send("hello")
        assert ws.recv() == "hello"
        time.sleep(OUTAGE_S)
        ws.send("hello")
        with fails(TimeoutError):
            ws.recv(timeout=PATIENCE_S)


def requests_() -> None:
    import requests

    with requests.Session() as session:
        assert session.get(URL, timeout=PATIENCE_S).text == "hello"
        assert session.get("https://secure/", timeout=PATIENCE_S).text == "hello"
        time.sleep(OUTAGE_S)
        with fails(requests.Timeout):
            session.get(URL, timeout=PATIENCE_S)


def urllib3_() -> None:
    import urllib3

    with urllib3.PoolManager(timeout=PATIENCE_S, retries=False) as pool:
        assert pool.request("GET", URL).data == b"hello"
        time.sleep(OUTAGE_S)
        with fails(urllib3.exceptions.ReadTimeoutError, urllib3.exceptions.ConnectTimeoutError):
            pool.request("GET", URL)


def http_client() -> None:
    import http.client

    connection = http.client.HTTPSConnection("web", timeout=PATIENCE_S, context=client_context())
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"hello"
    time.sleep(OUTAGE_S)
    with fails(TimeoutError):
        connection.request("GET", "/")
        connection.getresponse()
    connection.close()


def urllib_request() -> None:
    from urllib.error import URLError
    from urllib.request import urlopen

    with urlopen(URL, timeout=PATIENCE_S) as reply:
        assert reply.read() == b"hello"
    time.sleep(OUTAGE_S)
    with fails(URLError):
        urlopen(URL, timeout=PATIENCE_S)


def tls_by_hand() -> None:
    import socket

    with (
        socket.create_connection(("web", 443), timeout=PATIENCE_S) as plain,
        client_context().wrap_socket(plain, server_hostname="web") as secured,
    ):
        assert isinstance(secured, ssl.SSLSocket)
        secured.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        assert secured.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        time.sleep(OUTAGE_S)
        with fails(TimeoutError):
            secured.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            secured.recv(65536)


_WEB: Final = {"web": http.WEB}
_SECURE: Final = {"web": http.SECURE_WEB}
_CHAT: Final = {"web": http.CHAT}
_ALL: Final = {"web": http.WEB, "secure": http.SECURE_WEB, "chat": http.CHAT}

PROBES: Final = (
    Probe("httpx", "httpx", Way.TRIO, httpx_on_trio, _WEB, _HTTP),
    Probe("httpx", "httpx", Way.ASYNCIO, httpx_on_asyncio, _WEB, _HTTP),
    Probe("httpx", "httpx", Way.BLOCKING, httpx_blocking, _SECURE, _HTTPS),
    Probe("httpcore", "httpcore", Way.TRIO, httpcore_on_trio, _WEB, _HTTP),
    Probe("httpcore", "httpcore", Way.BLOCKING, httpcore_blocking, _WEB, _HTTP),
    Probe("h2", "h2", Way.TRIO, h2_on_trio, {"web": http.serve_http2}, "pystack's HTTP/2 server"),
    Probe("AnyIO", "anyio", Way.TRIO, anyio_on_trio, _WEB, _HTTP),
    Probe("AnyIO", "anyio", Way.ASYNCIO, anyio_on_asyncio, _WEB, _HTTP),
    Probe("trio-websocket", "trio-websocket", Way.TRIO, trio_websocket_, _CHAT, _WS),
    Probe("aiohttp (client)", "aiohttp", Way.ASYNCIO, aiohttp_client, _ALL, _HTTPS),
    Probe("websockets (client)", "websockets", Way.ASYNCIO, websockets_asyncio, _CHAT, _WS),
    Probe("websockets (client)", "websockets", Way.BLOCKING, websockets_blocking, _CHAT, _WS),
    Probe(
        "requests", "requests", Way.BLOCKING, requests_, _ALL, _HTTPS, trust="REQUESTS_CA_BUNDLE"
    ),
    Probe("urllib3", "urllib3", Way.BLOCKING, urllib3_, _WEB, _HTTP),
    Probe("http.client", "", Way.BLOCKING, http_client, _SECURE, _HTTPS),
    Probe("urllib.request", "", Way.BLOCKING, urllib_request, _WEB, _HTTP),
    Probe("socket and ssl", "", Way.BLOCKING, tls_by_hand, _SECURE, _HTTPS),
)
