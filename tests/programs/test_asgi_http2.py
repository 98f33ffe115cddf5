"""HTTP/2 to an ASGI application: what hypercorn and h2 leave to others."""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
import trio
from worlds import in_virtual_time

import pystack

APP = """
import trio

happened = []

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    happened.append("slow begins")
    await trio.sleep(5)
    happened.append("slow ends")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"slow"})
"""

Program = Callable[[pystack.Host], Awaitable[None]]


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be in a directory with the application."""
    (tmp_path / "slow_module.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("slow_module", None)


def happened() -> list[str]:
    return list(sys.modules["slow_module"].happened)


def run(program: Program) -> None:
    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="20ms")
            await pystack.serve(server, "asgi", app="slow_module:app")
            await client.run(program, client)

    in_virtual_time(main)


def test_streams_that_are_reset_at_once_are_no_way_round_their_number() -> None:
    async def program(client: pystack.Host) -> None:
        peer = h2.connection.H2Connection()
        peer.initiate_connection()
        stream = await client.open_tcp_stream("server", 80)
        fields = {":method": "GET", ":path": "/slow", ":scheme": "http", ":authority": "x"}
        for number in range(1, 801, 2):
            peer.send_headers(number, [*fields.items()], end_stream=True)
            peer.reset_stream(number)
        await stream.send_all(peer.data_to_send())
        await trio.sleep(3)
        assert happened().count("slow begins") == 100
        await trio.sleep(30)
        assert happened().count("slow ends") == 400
        await stream.aclose()

    run(program)


def h2_frame(kind: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, 0)) + stream.to_bytes(4, "big") + payload


IDLE_FRAMES = {
    "PING": h2_frame(6, 0, bytes(8)),
    "SETTINGS": h2_frame(4, 0, b""),
    "PRIORITY": h2_frame(2, 1, b"\0\0\0\3\1"),
    "WINDOW_UPDATE": h2_frame(8, 0, b"\0\0\0\1"),
    "of no known type": h2_frame(0x42, 0, b""),
}


@pytest.mark.parametrize("name", IDLE_FRAMES)
def test_a_flood_of_frames_of_no_use_ends_the_connection(name: str) -> None:
    async def program(client: pystack.Host) -> None:
        peer = h2.connection.H2Connection()
        peer.initiate_connection()
        stream = await client.open_tcp_stream("server", 80)
        fields = {":method": "GET", ":path": "/slow", ":scheme": "http", ":authority": "x"}
        peer.send_headers(1, [*fields.items()], end_stream=True)
        await stream.send_all(peer.data_to_send() + IDLE_FRAMES[name] * 2000)
        received = b""
        with trio.fail_after(10), suppress(trio.BrokenResourceError):
            while data := await stream.receive_some():
                received += data
        events = peer.receive_data(received)
        assert not [each for each in events if isinstance(each, h2.events.ResponseReceived)]

    run(program)


def test_a_malformed_method_does_not_reach_the_application() -> None:
    async def program(client: pystack.Host) -> None:
        config = h2.config.H2Configuration(validate_outbound_headers=False)
        peer = h2.connection.H2Connection(config)
        peer.initiate_connection()
        stream = await client.open_tcp_stream("server", 80)
        fields = {":method": "GET /slow", ":path": "/", ":scheme": "http", ":authority": "x"}
        peer.send_headers(1, [*fields.items()], end_stream=True)
        await stream.send_all(peer.data_to_send())
        events: list[h2.events.Event] = []
        while not any(isinstance(each, h2.events.StreamEnded) for each in events):
            events += peer.receive_data(bytes(await stream.receive_some()))
        (answer,) = (each for each in events if isinstance(each, h2.events.ResponseReceived))
        assert dict(answer.headers)[b":status"] == b"400"
        await stream.aclose()

    run(program)
