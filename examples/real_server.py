"""A program on a host of ours talks to a real server of the machine, over a bad line.

    phone  --  LTE, 5% of packets lost  --  gateway  --  sockets of whoever runs this

No root, no namespace: the gateway takes what is for the world, and joins it to real connections.
Here the server is on the machine's own loopback, which is reached by a name of its own alone.
"""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trio

import pystack


class Hello(BaseHTTPRequestHandler):
    """A server as real as any."""

    def do_GET(self) -> None:
        """Say hello."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from the machine")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing of it."""


async def fetch(address: str, port: int) -> bytes:
    """Fetch a page as any program does."""
    stream = await trio.open_tcp_stream(address, port)
    await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")
    return b"".join([part async for part in stream])


async def main(port: int) -> None:
    """Build the line, and fetch a page over it."""
    async with pystack.Network(seed=3) as net:
        phone, gateway = net.host("phone"), net.router("gateway")
        net.link(phone, gateway, preset="lte", loss="5%")
        outside = await net.outside(gateway, reach_loopback=True)
        page = await phone.run(fetch, outside.loopbacks[0], port)
        print(page.decode().splitlines()[-1])
        print(f"connections to the outside: {gateway.counters['outside_tcp_opened']}")


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    trio.run(main, server.server_port)
    server.shutdown()
    server.server_close()
