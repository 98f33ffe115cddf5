"""A slow-loris against a web server, and the one line that ends it: `examples/slow_loris.py`.

Twenty connections that send a header every five seconds, and never the last, take all twenty places
of a server: an honest client gets nothing. With a limit on the time for a head, it is served.
"""

import math
from contextlib import suppress
from functools import partial

import httpx
import trio

import pystack

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n"


async def handle(places: trio.CapacityLimiter, head_s: float, stream: trio.SocketStream) -> None:
    """Answer one request; whoever has not asked in `head_s` seconds is put out."""
    async with places, stream:
        head = b""
        with trio.move_on_after(head_s):  # the one line
            while not head.endswith(b"\r\n\r\n"):
                head += await stream.receive_some(4096)
            await stream.send_all(REPLY)


async def loris() -> None:
    """Hold a place for as long as the server lets us."""
    async with await trio.open_tcp_stream("server", 80) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\n")
        while True:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(b"X-Header: value\r\n")
            await trio.sleep(5)


async def story(head_s: float) -> str:
    """Let the loris come first, then an honest client."""
    async with pystack.Network(seed=1, seal=True) as net:
        server, attacker, client = map(net.host, ("server", "attacker", "client"))
        switch = net.switch("switch")
        for host in (server, attacker, client):
            net.link(host, switch, delay="10ms")
        await server.start(trio.serve_tcp, partial(handle, trio.CapacityLimiter(20), head_s), 80)
        for _ in range(20):
            attacker.start_soon(loris)
        await trio.sleep(1)
        async with httpx.AsyncClient(timeout=30) as honest:
            got = "nothing"
            with suppress(httpx.ReadTimeout):
                got = (await client.run(honest.get, "http://server/")).text
        return f"got {got!r} after {trio.current_time():.2f} s"


if __name__ == "__main__":
    for limit_s in (math.inf, 10):
        print(f"{limit_s} s for a head: the honest client {pystack.run(story, limit_s)}")
