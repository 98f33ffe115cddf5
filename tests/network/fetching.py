"""A client of a few lines, for tests that look at what it leaves on the network."""

import trio


async def fetch() -> None:
    """Ask the host `server` for something, and read to the end of what it sends."""
    async with await trio.open_tcp_stream("server", 80) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        async for _ in stream:
            pass
