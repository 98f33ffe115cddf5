"""Clients as they are against the server's WebSockets, in virtual time, over a lossy link."""

from functools import partial
from pathlib import Path

import pytest
import trio
from trio_websocket import ConnectionClosed, open_websocket_url
from worlds import Certificates, digest, in_virtual_time, pair
from ws_frames import DEFLATE, PING, TEXT, closing, deflated, frame, handshake
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Request, TextMessage
from wsproto.extensions import PerMessageDeflate

import pystack

MESSAGES = [f"message {number} " * number for number in range(1, 40)]


def serve_and(program: object, *, seed: int = 7, capture: Path | None = None) -> None:
    """Run a program on `client`, with HTTP on `server`, over a lossy link."""

    async def main() -> None:
        async with pair(seed) as world:
            if capture is not None:
                world.net.capture(str(capture))
            await pystack.serve(world.server, "http")
            await world.client.run(program)  # type: ignore[arg-type]

    in_virtual_time(main)


def test_trio_websocket() -> None:
    async def chat() -> None:
        async with open_websocket_url("ws://server/ws/echo") as socket:
            for message in MESSAGES:
                await socket.send_message(message)
            assert [await socket.get_message() for _ in MESSAGES] == MESSAGES
            await socket.send_message(bytes(1 << 19))
            assert await socket.get_message() == bytes(1 << 19)
            await socket.ping(b"there?")
        assert socket.closed is not None
        assert socket.closed.code == 1000
        async with open_websocket_url("ws://server/ws/time?every=10") as socket:
            times = [await socket.get_message() for _ in range(10)]
            assert times == sorted(times)
            await socket.send_message("and?")
            with pytest.raises(ConnectionClosed) as ended:
                await socket.get_message()
            assert ended.value.reason.code == 1003

    serve_and(chat)


@pytest.mark.parametrize("bits", [9, 15])
@pytest.mark.parametrize("takeover", [True, False])
def test_wsprotos_client_with_compression(bits: int, takeover: bool) -> None:
    async def chat() -> None:
        stream = await trio.open_tcp_stream("server", 80)
        client = WSConnection(ConnectionType.CLIENT)
        extension = PerMessageDeflate(not takeover, bits, not takeover, bits)
        await stream.send_all(client.send(Request("server", "/ws/echo", extensions=[extension])))
        sent = [*MESSAGES, bytes(range(256)) * 100, "", "", b""]
        received: list[str | bytes] = []
        begun: list[str | bytes] = []
        code = 0
        while not code:
            client.receive_data(await stream.receive_some())
            for event in client.events():
                if isinstance(event, AcceptConnection):
                    assert event.extensions
                    for each in sent:
                        kind = TextMessage if isinstance(each, str) else BytesMessage
                        await stream.send_all(client.send(kind(data=each)))  # type: ignore[arg-type]
                elif isinstance(event, TextMessage | BytesMessage):
                    begun.append(event.data)
                    if event.message_finished and event.frame_finished:
                        empty: str | bytes = "" if isinstance(event.data, str) else b""
                        received.append(empty.join(begun))  # type: ignore[arg-type]
                        begun = []
                        if len(received) == len(sent):
                            await stream.send_all(client.send(CloseConnection(code=1000)))
                elif isinstance(event, CloseConnection):
                    code = event.code
        assert received == sent
        assert code == 1000
        await stream.aclose()

    serve_and(chat)


def test_the_same_seed_is_the_same_capture(tmp_path: Path) -> None:
    async def chat() -> None:
        stream = await trio.open_tcp_stream("server", 80)
        await stream.send_all(handshake("/ws/echo", DEFLATE))
        for number in range(50):
            await stream.send_all(frame(TEXT, deflated(b"message %d" % number), rsv=4))
            await trio.sleep(0.5)
        await stream.send_all(frame(PING, b"?"))
        await trio.sleep(40)  # the server asks too
        await stream.send_all(closing())
        async for _ in stream:
            pass
        await stream.aclose()

    digests = []
    for name in ("one", "two"):
        serve_and(chat, capture=tmp_path / f"{name}.pcap")
        digests.append(digest(tmp_path / f"{name}.pcap"))
    assert digests[0] == digests[1]


def test_wss(certificates: Certificates, tmp_path: Path) -> None:
    async def chat() -> None:
        context = certificates.client
        context.load_verify_locations(tmp_path / "ca.pem")
        connect = partial(open_websocket_url, ssl_context=context)
        async with connect("wss://server/ws/echo") as socket:
            for message in MESSAGES:
                await socket.send_message(message)
                assert await socket.get_message() == message

    async def main() -> None:
        async with pair() as world:
            await pystack.serve(world.server, "https", ca=tmp_path / "ca.pem")
            await world.client.run(chat)

    in_virtual_time(main)
