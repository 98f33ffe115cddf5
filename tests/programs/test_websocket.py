"""trio-websocket as it is, client and server, between two hosts in virtual time."""

from functools import partial

import pytest
import trio
from trio_websocket import (
    ConnectionClosed,
    HandshakeError,
    WebSocketRequest,
    open_websocket_url,
    serve_websocket,
)
from worlds import Certificates, Status, in_virtual_time, pair

MESSAGES = [f"message {number} " * number for number in range(1, 40)]


async def answer(request: WebSocketRequest) -> None:
    """Send everything back in capitals."""
    if request.path != "/chat":
        await request.reject(404)
        return
    socket = await request.accept()
    while True:
        try:
            message = await socket.get_message()
        except ConnectionClosed:
            return
        await socket.send_message(message.upper())


async def serve(port: int, *, task_status: Status) -> None:
    """Serve WebSockets."""
    await serve_websocket(answer, None, port, None, task_status=task_status)


def test_messages_arrive_whole_and_in_order_over_a_lossy_link() -> None:
    async def chat() -> None:
        async with open_websocket_url("ws://server:8000/chat") as socket:
            for message in MESSAGES:
                await socket.send_message(message)
            assert [await socket.get_message() for _ in MESSAGES] == [
                message.upper() for message in MESSAGES
            ]

    async def main() -> None:
        async with pair() as world:
            await world.server.start(serve, 8000)
            await world.client.run(chat)

    in_virtual_time(main)


def test_a_ping_takes_one_round_trip() -> None:
    async def chat() -> None:
        async with open_websocket_url("ws://server:8000/chat") as socket:
            began = trio.current_time()
            await socket.ping(b"there?")
            assert trio.current_time() - began == pytest.approx(0.04)

    async def main() -> None:
        async with pair(delay="20ms") as world:
            await world.server.start(serve, 8000)
            await world.client.run(chat)

    in_virtual_time(main)


def test_a_path_that_the_server_rejects_is_a_handshake_error() -> None:
    async def chat() -> None:
        with pytest.raises(HandshakeError):
            async with open_websocket_url("ws://server:8000/elsewhere"):
                raise AssertionError("it was accepted")

    async def main() -> None:
        async with pair() as world:
            await world.server.start(serve, 8000)
            await world.client.run(chat)

    in_virtual_time(main)


def test_wss_with_certificates_of_trustme(certificates: Certificates) -> None:
    async def serve_tls(*, task_status: Status) -> None:
        await serve_websocket(answer, None, 443, certificates.server, task_status=task_status)

    async def chat() -> None:
        connect = partial(open_websocket_url, ssl_context=certificates.client)
        async with connect("wss://server/chat") as socket:
            await socket.send_message("hello")
            assert await socket.get_message() == "HELLO"

    async def main() -> None:
        async with pair() as world:
            await world.server.start(serve_tls)
            await world.client.run(chat)

    in_virtual_time(main)
