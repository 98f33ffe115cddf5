"""What those who look may do to the live page, and to what it shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from live_client import LiveClient

import pystack
from pystack.apps.live.feed import feed_of

SERVER = "10.0.0.2"
Main = Callable[[pystack.Network, pystack.Host, pystack.Host], Awaitable[None]]


def run(main: Main, *, mtu_bytes: int = 1500, **words: object) -> None:
    """Run with a client and a server that has a page, on one link."""

    async def world() -> None:
        async with pystack.Network(seed=7) as net:
            client = net.host("client")
            server = net.host("server")
            net.link(client, server, mtu_bytes=mtu_bytes, **words)  # type: ignore[arg-type]
            await pystack.serve(server, "http")
            await main(net, client, server)

    pystack.run(world)


async def get(host: pystack.Host, path: str) -> int:
    """Return how many bytes were had."""
    stream = await host.open_tcp_stream("server", 80)
    await stream.send_all(
        f"GET {path} HTTP/1.1\r\nHost: {SERVER}\r\nConnection: close\r\n\r\n".encode()
    )
    count = 0
    while data := await stream.receive_some():
        count += len(data)
    await stream.aclose()
    return count


def test_large_frames_of_a_link_are_seen_to_arrive() -> None:
    async def main(_net: pystack.Network, client: pystack.Host, server: pystack.Host) -> None:
        async with LiveClient(client, SERVER) as viewer:
            await viewer.listen(0.3)
            await get(client, "/bytes/30000")
            await viewer.listen(1.0)
            large = [item for item in viewer.items if item.get("bytes", 0) > 4000]
            ended = {each["n"]: each for tick in viewer.ticks for each in tick["ended"]}
            assert large
            for item in large:
                last = ended.get(item["n"], item)
                assert last["end"] == "arrived"
                assert last["arrives"] > item["at"]
            tape = feed_of(server).tape
            assert len(tape._under_way) < 20

    run(main, delay="10ms", mtu_bytes=9000)


def test_who_comes_late_over_a_slow_link_is_told_the_past_at_its_pace() -> None:
    async def world() -> None:
        async with pystack.Network(seed=7) as net:
            near, far, server = net.host("near"), net.host("far"), net.host("server")
            router = net.router("router")
            net.link(near, router, delay="1ms", rate="20mbit")
            net.link(far, router, delay="1ms", rate="60kbit")
            net.link(router, server, delay="1ms")
            await pystack.serve(server, "http")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(look, near)
                await get(near, "/bytes/50000000")
                late = LiveClient(far, "server")
                await late.connect()
                await late.listen(500)
                assert late.closed is None
                numbers = [tick["tick"] for tick in late.ticks]
                assert numbers == sorted(set(numbers))
                assert late.ticks[-1]["at"] > net.now() - 60
                nursery.cancel_scope.cancel()

    async def look(host: pystack.Host) -> None:
        async with LiveClient(host, "server") as viewer:
            await viewer.listen(600)

    pystack.run(world)


def test_one_who_vanishes_is_found_out() -> None:
    async def main(net: pystack.Network, client: pystack.Host, server: pystack.Host) -> None:
        viewer = LiveClient(client, SERVER)
        await viewer.connect()
        await viewer.listen(1.0)
        net.power_off("client")
        await trio.sleep(140)
        feed = feed_of(server)
        assert feed.viewers == 0
        assert server.observers == []

    run(main, delay="10ms")
