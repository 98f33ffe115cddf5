"""QUIC beside TCP over a line that loses packets: how long it takes until an answer is there.

TCP goes without TLS: so it has as many round trips to the first byte as QUIC, which has TLS in it.
"""

import quic
import trio

import pystack


async def download(client: pystack.Host, server: pystack.Host, answer: bytes) -> None:
    """Ask the server once by TCP, and return when its answer is there."""

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(answer)

    await server.start(trio.serve_tcp, serve, 80)
    async with await client.open_tcp_stream("server", 80) as stream:
        await stream.send_all(b"get")
        while await stream.receive_some():
            pass


async def transfer(
    protocol: str, control: str, loss: str, seed: int, size: int = 500_000
) -> dict[str, float]:
    """Return how long one answer by "quic" or "tcp" takes; `control`: "newreno" or "cubic"."""
    async with pystack.Network(seed=seed) as net:
        client, server = net.host("client"), net.host("server", congestion=control)
        net.link(client, server, delay="20ms", rate="10mbit", limit=60, loss=loss)
        if protocol == "quic":
            await quic.download(client, server, bytes(size), control)
        else:
            await download(client, server, bytes(size))
        return {"completion_time_s": trio.current_time()}
