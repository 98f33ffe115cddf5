"""The standard library's own, and what waits and tries again."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from probe import OUTAGE_S, Probe, Way, fails, world_s
from servers import program

PATIENCE_S: Final = 3.0


async def streams_server() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, port=7)
    await server.serve_forever()


async def streams_asked() -> None:
    reader, writer = await asyncio.open_connection("echo", 7)
    writer.write(b"hello\n")
    assert await reader.readline() == b"HELLO\n"
    await asyncio.sleep(OUTAGE_S)
    writer.write(b"hello\n")
    with fails(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            await reader.readline()
    writer.close()


def socketserver_() -> None:
    from socketserver import StreamRequestHandler, ThreadingTCPServer

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                self.wfile.write(line.upper())

    with ThreadingTCPServer(("", 7), Handler) as server:
        server.serve_forever()


def socketserver_asked() -> None:
    import socket

    with socket.create_connection(("echo", 7), timeout=PATIENCE_S) as client:
        client.sendall(b"hello\n")
        assert client.recv(100) == b"HELLO\n"
        time.sleep(OUTAGE_S)
        client.sendall(b"hello\n")
        with fails(TimeoutError):
            client.recv(100)


def xmlrpc_server() -> None:
    from xmlrpc.server import SimpleXMLRPCServer

    with SimpleXMLRPCServer(("", 80), logRequests=False) as server:
        server.register_function(str.upper, "upper")
        server.serve_forever()


def xmlrpc_asked() -> None:
    import socket
    from xmlrpc.client import ServerProxy

    socket.setdefaulttimeout(PATIENCE_S)
    with ServerProxy("http://rpc/") as proxy:
        assert proxy.upper("hello") == "HELLO"
        time.sleep(OUTAGE_S)
        with fails(TimeoutError):
            proxy.upper("hello")
    socket.setdefaulttimeout(None)


def _refused() -> None:
    import socket

    socket.create_connection(("echo", 9), timeout=PATIENCE_S)


def tenacity_blocking() -> None:
    import tenacity

    retry = tenacity.Retrying(
        stop=tenacity.stop_after_delay(3), wait=tenacity.wait_fixed(0.5), reraise=True
    )
    began = world_s()
    with fails(ConnectionRefusedError):
        retry(_refused)
    assert 3.0 <= world_s() - began < 3.6


async def tenacity_asyncio() -> None:
    import tenacity

    retry = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_delay(3), wait=tenacity.wait_fixed(0.5), reraise=True
    )

    async def refused() -> None:
        await asyncio.open_connection("echo", 9)

    began = world_s()
    with fails(OSError):
        await retry(refused)
    assert 3.0 <= world_s() - began < 3.6


_ECHO: Final = {"echo": program.on_asyncio(streams_server)}
_NOBODY: Final = "nobody: the port is closed"

PROBES: Final = (
    Probe("asyncio streams", "", Way.ASYNCIO, streams_asked, _ECHO, "itself"),
    Probe(
        "socketserver",
        "",
        Way.BLOCKING,
        socketserver_asked,
        {"echo": program.blocking(socketserver_)},
        "itself",
    ),
    Probe(
        "xmlrpc", "", Way.BLOCKING, xmlrpc_asked, {"rpc": program.blocking(xmlrpc_server)}, "itself"
    ),
    Probe("tenacity", "tenacity", Way.BLOCKING, tenacity_blocking, _ECHO, _NOBODY),
    Probe("tenacity", "tenacity", Way.ASYNCIO, tenacity_asyncio, _ECHO, _NOBODY),
)
