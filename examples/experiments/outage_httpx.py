"""A client that polls over a link that fails: time-out and retry policy of an unmodified httpx."""

import time

import httpx
import trio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import pystack
from pystack.apps import asgi

OUTAGE_AT_S, LASTS_S, EVERY_S, PAUSE_S = 5.0, 30.0, 0.5, 0.2
SERVER = Starlette(routes=[Route("/", lambda _request: PlainTextResponse("ok"))])


class Poller:
    """Asks twice a second, each time as often as its policy says."""

    def __init__(self, timeout_s: float, retries: int) -> None:
        self.timeout_s, self.retries, self.attempts = timeout_s, retries, 0
        self.found: list[tuple[float, float, bool]] = []  # when, how long it took, answered

    async def run(self) -> None:
        started = time.monotonic()
        async with httpx.AsyncClient(timeout=self.timeout_s) as client, trio.open_nursery() as all_:
            while time.monotonic() < started + LASTS_S:
                all_.start_soon(self.ask, client, time.monotonic())
                await trio.sleep(EVERY_S)

    async def ask(self, client: httpx.AsyncClient, at_s: float) -> None:
        ok = False
        for number in range(self.retries + 1):
            self.attempts += 1
            try:
                ok = (await client.get("http://server/")).is_success
                break
            except httpx.TransportError:
                await trio.sleep(PAUSE_S * 2**number if number < self.retries else 0)
        self.found.append((at_s, time.monotonic() - at_s, ok))


async def outage(timeout_s: float, retries: int, outage_s: float, seed: int) -> dict[str, float]:
    """Take the link down for a while; return what the users of the client saw."""
    async with pystack.Network(seed=seed) as net:
        client, server, poller = net.host("client"), net.host("server"), Poller(timeout_s, retries)
        link, up_s = net.link(client, server, delay="20ms", jitter="2ms"), OUTAGE_AT_S + outage_s
        await server.start(asgi.serve, SERVER, 80)
        net.at(OUTAGE_AT_S, link.down)
        net.at(up_s, link.up)
        await client.run(poller.run)
    late_s = [at_s + took_s - up_s for at_s, took_s, _ in poller.found if took_s > 0.2]
    return {
        "failed": sum(not ok for _, _, ok in poller.found),
        "slowest_answer_s": max(took_s for _, took_s, ok in poller.found if ok),
        "trouble_after_s": max(0.0, *late_s),  # until the last user who waited was through
        "attempts": poller.attempts / len(poller.found),
    }
