"""A web server of one's own, and a client, both inside an emulated network.

Run it with `python examples/http_hello.py`. The two hosts are 20 ms apart, in virtual time: the
program prints the answer, and that it took 120 ms of the network's time (one round trip to find the
server's MAC address, one for the handshake, one for the request), but needs next to none of yours.
"""

from functools import partial

import trio

import pystack
from pystack.apps.http import HttpError, Request, Response, serve_connection


async def hello(request: Request) -> Response:
    """Answer GET /, and tell what was asked for."""
    if request.path != "/":
        raise HttpError(404, "There is only / here.")
    return Response.text(f"Hello! You sent {request.method} {request.target}\n")


async def main() -> None:
    """Serve, and ask once."""
    async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
        server, client = net.host("server"), net.host("client")
        net.link(client, server, delay="20ms")
        listeners = await server.open_tcp_listeners(80)
        serve = partial(trio.serve_listeners, partial(serve_connection, handler=hello), listeners)
        await nursery.start(serve)

        began = trio.current_time()
        stream = await client.open_tcp_stream("server", 80)
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n")
        async for part in stream:
            print(part.decode())
        print(f"That took {trio.current_time() - began:.3f} s in the network.")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    pystack.run(main)
