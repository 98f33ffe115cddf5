"""A page of many small files over a line that loses frames, by an unmodified httpx."""

import time

import httpx
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import pystack
from pystack.apps import asgi

FILES, FILE_BYTES = 40, 15_000


async def file(_request: Request) -> Response:
    """Answer any request with a file."""
    return Response(bytes(FILE_BYTES))


async def page(connections: int) -> list[float]:
    """Fetch the page over so many connections; return when each file was there, in seconds."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    started, done_s = time.monotonic(), []

    async def fetch(client: httpx.AsyncClient, number: int) -> None:
        (await client.get(f"http://server/{number}")).raise_for_status()
        done_s.append(time.monotonic() - started)

    async with (
        httpx.AsyncClient(limits=limits, timeout=None) as client,
        trio.open_nursery() as nursery,
    ):
        for number in range(FILES):
            nursery.start_soon(fetch, client, number)
    return sorted(done_s)


async def load(
    loss: float, connections: int, control: str, seed: int, rate: str = "20mbit"
) -> dict[str, float]:
    """Load the page over 60 ms there and back, with loss in both directions."""
    async with pystack.Network(seed=seed) as net:
        client = net.host("client")
        server = net.host("server", congestion=control)
        net.link(client, server, delay="30ms", rate=rate, limit=100, loss=loss)
        await server.start(asgi.serve, Starlette(routes=[Route("/{number}", file)]), 80)
        done_s = await client.run(page, connections)
    return {"half_s": done_s[FILES // 2], "page_s": done_s[-1]}
