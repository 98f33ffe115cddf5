"""What those who look may do to the live page, and to what it shows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from live_client import LiveClient, RefusedError

import pystack
from pystack.apps.live import questions
from pystack.apps.live.feed import DEAR_S, feed_of
from pystack.apps.live.looking import MOST_DOWNLOADS
from pystack.runtime.control.control import Control

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
            net.link(near, router, delay="1ms", rate="4mbit")
            net.link(far, router, delay="1ms", rate="20kbit")
            net.link(router, server, delay="1ms")
            await pystack.serve(server, "http")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(look, near)
                await get(near, "/bytes/4000000")
                late = LiveClient(far, "server")
                await late.connect()
                await late.listen(120)
                assert late.closed is None
                numbers = [tick["tick"] for tick in late.ticks]
                assert numbers == sorted(set(numbers))
                assert len(numbers) >= 5
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


def test_ladders_are_made_one_after_the_other_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    made_at: list[float] = []
    drawn = questions._drawn

    def noting(*words: Any) -> object:  # noqa: ANN401
        made_at.append(trio.current_time())
        return drawn(*words)

    monkeypatch.setattr(questions, "_drawn", noting)

    async def ask(viewer: LiveClient) -> None:
        for number in range(20):
            until = trio.current_time() + number  # no two are the same
            await viewer.ask(ask="ladder", ends=[[SERVER, 80], ["10.0.0.1", 1]], until=until)

    async def main(_net: pystack.Network, client: pystack.Host, _server: pystack.Host) -> None:
        viewers = [LiveClient(client, SERVER) for _ in range(5)]
        for viewer in viewers:
            await viewer.connect()
        async with trio.open_nursery() as nursery:
            for viewer in viewers:
                nursery.start_soon(ask, viewer)
        assert len(made_at) > 90
        apart = [after - before for before, after in itertools.pairwise(made_at)]
        assert min(apart) >= DEAR_S - 1e-9

    run(main, delay="1ms")


ENDS = [[SERVER, 80], ["10.0.0.1", 1]]


@pytest.mark.parametrize(
    "question",
    [
        {"scale": 10**400},
        {"scale": math.inf},
        {"scale": math.nan},
        {"scale": True},
        {"until": 10**400},
        {"until": math.nan},
        {"until": -math.inf},
        {"hidden": [[[["r"]]]]},
        {"hidden": [{}]},
        {"hidden": [None]},
    ],
)
def test_odd_numbers_and_names_get_a_sentence(question: dict[str, object]) -> None:
    async def main(_net: pystack.Network, client: pystack.Host, _server: pystack.Host) -> None:
        async with LiveClient(client, SERVER) as viewer:
            await viewer.listen(0.5)
            local = viewer.stream.local_address
            ends = [[SERVER, 80], [local[0], local[1]]]
            with pytest.raises(LookupError):
                await viewer.ask(ask="ladder", ends=ends, **question)

    run(main, delay="1ms")


CAPTURE = {"ask": "call", "name": "capture start", "arguments": {"file": "/dev/null"}}


def test_a_page_writes_no_files_and_does_not_stop_the_time_that_it_lives_in() -> None:
    async def main(net: pystack.Network, client: pystack.Host, server: pystack.Host) -> None:
        control = Control(net)
        token = feed_of(server).allow(control).removeprefix("#token=")
        async with LiveClient(client, SERVER) as viewer:
            await viewer.ask(token=token)
            with pytest.raises(LookupError, match="no page writes files"):
                await viewer.ask(**CAPTURE)
            with pytest.raises(LookupError, match="would stand still with it"):
                await viewer.ask(ask="call", name="pause")
            assert control.call("info")["captures"] == []
            assert await viewer.ask(ask="counters")

    run(main, delay="1ms")


def test_so_many_have_the_capture_at_a_time_and_who_leaves_makes_room() -> None:
    async def main(_net: pystack.Network, client: pystack.Host, server: pystack.Host) -> None:
        request = f"GET /live/capture.pcapng HTTP/1.1\r\nHost: {SERVER}\r\n\r\n".encode()
        async with LiveClient(client, SERVER) as viewer, trio.open_nursery() as nursery:
            nursery.start_soon(viewer.listen, 100)
            await get(client, "/bytes/5000000")
            feed = feed_of(server)
            streams = []
            for _ in range(MOST_DOWNLOADS):  # who ask, and do not read
                streams.append(await client.open_tcp_stream(SERVER, 80))
                await streams[-1].send_all(request)
            await trio.sleep(1)
            assert feed.downloads == MOST_DOWNLOADS
            late = await client.open_tcp_stream(SERVER, 80)
            await late.send_all(request)
            assert bytes(await late.receive_some()).startswith(b"HTTP/1.1 503 ")
            await late.aclose()
            for stream in streams:
                await trio.aclose_forcefully(stream)
            await trio.sleep(1)
            assert feed.downloads == 0
            assert server.counters["live_full"] == 1
            nursery.cancel_scope.cancel()

    run(main, delay="1ms", rate="5mbit")


def test_who_is_refused_is_counted_by_the_reason() -> None:
    async def main(_net: pystack.Network, client: pystack.Host, server: pystack.Host) -> None:
        feed_of(server).allow(Control(server))
        stranger = LiveClient(client, SERVER)
        with pytest.raises(RefusedError, match="403"):
            await stranger.connect(SERVER, {"Origin": "http://evil.example"})
        await stranger.stream.aclose()
        async with LiveClient(client, SERVER) as viewer:
            for _ in range(3):
                with pytest.raises(LookupError, match="not the token"):
                    await viewer.ask(token="guess")
            for number in range(60):
                await viewer.send({"ask": "map", "id": 100 + number})
            await viewer.listen(3)
            assert viewer.closed == (1008, "too many questions")
        counted = {name: n for name, n in server.counters.items() if name.startswith("live_")}
        assert counted == {"live_strangers": 1, "live_wrong_tokens": 3, "live_impatient": 1}

    run(main, delay="1ms")
