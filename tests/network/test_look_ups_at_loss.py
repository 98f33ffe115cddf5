"""Look-ups on a bad line: right or a clean error, in bounded time, the same for the same seed."""

from __future__ import annotations

import hashlib
import socket
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import httpx
import pytest
import trio
import trio_websocket
from name_server import Zone, world

import pystack
from pystack.core.addresses import parse_ip4

SEEDS = 200
WWW = "www.example.test"
MANY = "many.example.test"
LINES = (
    f"{WWW} 60 A 10.0.0.80",
    "alias.example.test 60 CNAME www.example.test",
    *(f"{MANY} 60 A 10.0.1.{last}" for last in range(1, 151)),  # by TCP alone
    "80.0.0.10.in-addr.arpa 60 PTR www.example.test",
)
WEB = (parse_ip4("10.0.0.80"),)


async def _look_up(host: pystack.Host, name: str) -> str:
    """Return what came of it, in a word."""
    began_at = trio.current_time()
    found: tuple[object, ...] = ()
    number = 0
    try:
        found = await host.look_up_all(name)
    except socket.gaierror as error:
        number = error.errno or 0
    # three attempts at two servers, each perhaps once more by TCP
    assert trio.current_time() - began_at <= 3 * 2 * 2 * 2.0 + 1e-9
    if number == socket.EAI_AGAIN:
        return "again"
    if name == "nobody.example.test":
        assert number == socket.EAI_NONAME
        return "no name"
    assert number == 0
    assert len(found) == 150 if name == MANY else found == WEB
    return "right"


def outcomes_of(seed: int) -> Counter[str]:
    """Look five names up at the same time, on a line that loses a fifth of all packets."""
    outcomes: Counter[str] = Counter()

    async def main() -> None:
        async with world(
            seed=seed, servers=2, timeout="2s", attempts=3, search=["example.test"]
        ) as w:
            zone = Zone.of(*LINES)
            for number in (0, 1):
                await w.serve(zone.reply, number, by_tcp=zone.reply)
            w.net.link_between("client", "switch").set(loss="20%", duplicate="5%", reorder="10%")

            async def one(name: str) -> None:
                outcomes[await _look_up(w.client, name)] += 1

            async with trio.open_nursery() as nursery:
                for name in (WWW, "www", "alias.example.test", MANY, "nobody.example.test"):
                    nursery.start_soon(one, name)
            assert not w.client.stack.udp.sockets
            await trio.sleep(300)
            assert w.client.connections() == []

    pystack.run(main, seed=seed)
    return outcomes


def test_at_20_percent_loss_every_look_up_is_right_or_a_clean_error() -> None:
    total: Counter[str] = Counter()
    for seed in range(SEEDS):
        total += outcomes_of(seed)
    assert total.total() == 5 * SEEDS
    # One try fails with 1 - 0.8 ** 2, six of them with 0.2 %; TCP needs its own packets too.
    assert total["again"] < 0.05 * total.total()
    assert total["no name"] > 0.95 * SEEDS


def run_with(seed: int, path: Path) -> str:
    """Return the digest of all that was sent."""

    async def main() -> None:
        async with world(seed=seed, servers=2, timeout="1s") as w:
            zone = Zone.of(*LINES)
            for number in (0, 1):
                await w.serve(zone.reply, number, by_tcp=zone.reply)
            w.net.capture(path)
            w.net.link_between("client", "switch").set(loss="20%")
            for name in (WWW, MANY, "alias.example.test"):
                await _look_up(w.client, name)
            with suppress(socket.gaierror):
                await w.client.run(trio.socket.getnameinfo, ("10.0.0.80", 80), 0)

    pystack.run(main, seed=seed)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_one_seed_gives_one_run_to_the_byte(tmp_path: Path) -> None:
    first = run_with(1, tmp_path / "a.pcap")
    assert run_with(1, tmp_path / "b.pcap") == first
    assert run_with(2, tmp_path / "c.pcap") != first


async def page(stream: trio.SocketStream) -> None:
    """Answer any request with a page."""
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")


async def echo(request: trio_websocket.WebSocketRequest) -> None:
    """Give back what comes."""
    ws = await request.accept()
    while True:
        try:
            await ws.send_message(await ws.get_message())
        except trio_websocket.ConnectionClosed:
            return


def test_httpx_and_trio_websocket_look_names_up_by_packets() -> None:
    async def main() -> None:
        async with world() as w:
            zone = Zone.of(f"{WWW} 60 A 10.0.0.99", *LINES)  # the first address is dead
            await w.serve(zone.reply)
            web = w.net.hosts["web"]
            await web.start(trio.serve_tcp, page, 80)
            serve_echo = partial(trio_websocket.serve_websocket, echo, None, 8080, None)
            await web.start(serve_echo)

            async def fetch() -> str:
                async with httpx.AsyncClient() as client:
                    return (await client.get(f"http://{WWW}/")).text

            async def talk() -> str:
                async with trio_websocket.open_websocket_url(f"ws://{WWW}:8080/") as ws:
                    await ws.send_message("here")
                    return str(await ws.get_message())

            assert await w.client.run(fetch) == "hi"
            assert await w.client.run(talk) == "here"
            assert [kind for _, _, kind in zone.asked] == ["A", "AAAA"]
            with pytest.raises(httpx.ConnectError, match="no such name"):
                await w.client.run(httpx.AsyncClient().get, "http://nobody.example.test/")

    pystack.run(main, seed=7)


def test_look_ups_that_are_given_up_at_any_moment_leave_nothing() -> None:
    def leavings(seed: int) -> list[object]:
        left: list[object] = []

        async def main() -> None:
            async with world(seed=seed, servers=2, timeout="1s", cache=2) as w:
                rng = Random(seed)
                zone = Zone.of(*LINES)
                for number in (0, 1):
                    await w.serve(zone.reply, number, by_tcp=zone.reply)
                w.net.link_between("client", "switch").set(loss="20%")

                async def ask(begins_s: float, name: str, patience_s: float) -> None:
                    await trio.sleep(begins_s)
                    with trio.move_on_after(patience_s):
                        await _look_up(w.client, name)

                async with trio.open_nursery() as nursery:
                    for _ in range(30):
                        name = rng.choice((WWW, "alias.example.test", MANY, "nobody.example.test"))
                        nursery.start_soon(ask, rng.uniform(0, 2), name, rng.choice((0.05, 0.5, 3)))
                assert w.client.names.resolver is not None
                left.append((w.client.stack.udp.sockets, w.client.names.resolver._lookups))
                assert len(w.client.names.resolver.cache) <= 2
                await trio.sleep(300)
                left.append((w.client.connections(), len(w.net.driver.scheduler)))

        pystack.run(main, seed=seed)
        return left

    for seed in range(30):
        assert leavings(seed) == [({}, {}), ([], 0)]
