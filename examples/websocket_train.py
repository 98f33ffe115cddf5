"""A chat over WebSocket on a train with two tunnels, a short one and a long one.

Run it with `python examples/websocket_train.py`. TCP carries the connection through the short one:
a message comes late, none is lost. In the long one, ten seconds without an answer tell the client
that nobody is there; it connects anew when there is light again, and goes on where it was.
"""

from contextlib import suppress

import trio
import trio_websocket as ws

import pystack


async def answer(request: ws.WebSocketRequest) -> None:
    """Say of each message that it was heard."""
    socket = await request.accept()
    with suppress(ws.ConnectionClosed):
        while True:
            await socket.send_message(f"heard {await socket.get_message()}")


async def chat(messages: list[str]) -> None:
    """Say something every three seconds, on as many connections as it takes."""
    while messages:
        try:
            async with ws.open_websocket_url("ws://server/", disconnect_timeout=1) as socket:
                print(f"{trio.current_time():5.2f} s: connected")
                while messages:
                    with trio.fail_after(10):
                        await socket.send_message(messages[0])
                        reply = await socket.get_message()
                    print(f"{trio.current_time():5.2f} s: {reply}")
                    del messages[0]
                    await trio.sleep(3)
        except* (trio.TooSlowError, OSError, ws.HandshakeError, ws.ConnectionClosed):
            print(f"{trio.current_time():5.2f} s: nobody there")
            await trio.sleep(5)


async def main() -> None:
    """Ride the train."""
    async with pystack.Network(seed=4, seal=True) as net:
        phone, server = net.host("phone"), net.host("server")
        link = net.link(phone, server, delay="40ms", jitter="5ms", loss="1%")
        await server.start(ws.serve_websocket, answer, None, 80, None)
        for at, happens in ((10, link.down), (13, link.up), (30, link.down), (70, link.up)):
            net.at(at, happens)
        await phone.run(chat, [f"message {number}" for number in range(1, 13)])


if __name__ == "__main__":
    pystack.run(main)
