"""The live page's feed in virtual time: what is told, how much, to whom, and what is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from live_client import LiveClient, RefusedError

import pystack
from pystack.apps.live.feed import Feed, feed_of
from pystack.apps.live.questions import answer
from pystack.apps.live.viewer import WINDOW_TICKS
from pystack.apps.live.world import NetworkWorld
from pystack.core.errors import ConfigError
from pystack.observe.captures.capture_file import read_capture
from pystack.runtime.control.control import Control

SERVER = "10.0.0.2"
Main = Callable[[pystack.Network, pystack.Host, pystack.Host], Awaitable[None]]


def run(main: Main, *, delay: str = "10ms", rate: str | None = None) -> None:
    """Run with a client and a server that has a page, on one link."""

    async def world() -> None:
        async with pystack.Network(seed=7) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay=delay, rate=rate)
            await pystack.serve(server, "http")
            await main(net, client, server)

    pystack.run(world)


async def fetch(host: pystack.Host, path: str, headers: str = "") -> bytes:
    stream = await host.open_tcp_stream("server", 80)
    request = f"GET {path} HTTP/1.1\r\nHost: {SERVER}\r\n{headers}Connection: close\r\n\r\n"
    await stream.send_all(request.encode())
    got = b""
    while data := await stream.receive_some():
        got += data
    await stream.aclose()
    return got


def test_the_page_and_its_files_are_served_and_not_sent_again_when_unchanged() -> None:
    async def main(_net: pystack.Network, client: pystack.Host, _server: pystack.Host) -> None:
        page = await fetch(client, "/live")
        head = page.partition(b"\r\n\r\n")[0].decode()
        assert head.startswith("HTTP/1.1 200 ")
        assert "script-src 'self'; style-src 'self'" in head
        assert "unsafe" not in head
        etag = next(line for line in head.split("\r\n") if line.startswith("ETag: "))[6:]
        again = await fetch(client, "/live", f"If-None-Match: {etag}\r\n")
        assert again.startswith(b"HTTP/1.1 304 ")
        for name in ("main.js", "style.css", "ladder.css", "views/map.js"):
            assert (await fetch(client, f"/live/{name}")).startswith(b"HTTP/1.1 200 "), name
        for name in ("nothing.js", "../page.py", "%2e%2e/page.py", "views", "views/"):
            assert (await fetch(client, f"/live/{name}")).startswith(b"HTTP/1.1 404 "), name

    run(main)


def test_a_request_of_somebody_else_is_seen_as_it_was() -> None:
    async def main(net: pystack.Network, client: pystack.Host, _server: pystack.Host) -> None:
        async with LiveClient(client, SERVER) as viewer:
            await viewer.listen(1.0)
            began = net.now()
            stream = await client.open_tcp_stream("server", 80)
            port = stream.local_address[1]
            await stream.send_all(
                b"GET /bytes/1000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            await viewer.listen(1.0)
            await stream.aclose()
            mine = [item for item in viewer.items if port in item.get("ends", ())]
            syn, syn_ack = mine[0], mine[1]
            assert syn["tcp"][2] == 2
            assert syn_ack["tcp"][2] == 18
            # 10 ms each way, to the nanosecond
            assert syn["at"] == pytest.approx(began, abs=1e-9)
            assert syn_ack["at"] == pytest.approx(began + 0.01, abs=1e-9)
            states = [
                (item["old"], item["new"])
                for item in viewer.items
                if item.get("event") == "tcp state changed" and item["remote"][1] == port
            ]
            assert states[:2] == [("LISTEN", "SYN-RECEIVED"), ("SYN-RECEIVED", "ESTABLISHED")]
            ends = [[SERVER, 80], ["10.0.0.1", port]]
            ladder = await viewer.ask(ask="ladder", ends=ends)
            assert "SYN ACK" in ladder["svg"]
            assert "GET /bytes/1000" in ladder["svg"]
            assert " style=" not in ladder["svg"]  # which the page's policy would not let be
            opened = await viewer.ask(ask="frame", number=syn["n"])
            titles = [box["title"] for box in opened["boxes"]]
            assert titles == ["Ethernet frame", "IPv4 packet", "TCP segment"]
            assert len(opened["data"]) == 2 * opened["bytes"]

    run(main)


def test_a_ladder_lets_packets_pass_by_nodes_that_are_hidden() -> None:
    async def world() -> None:
        async with pystack.Network(seed=7) as net:
            client, router, server = net.host("client"), net.router("r"), net.host("server")
            net.link(client, router, delay="10ms")
            net.link(router, server, delay="30ms")
            await pystack.serve(server, "http")
            feed = Feed(NetworkWorld(net, "lab"))
            feed.enter()
            stream = await client.open_tcp_stream("server", 80)
            ends = [list(stream.local_address), list(stream.remote_address)]
            await stream.aclose()
            await trio.sleep(1)
            feed.due()  # which tells of what is kept
            by_hops = answer(feed, "ladder", {"ends": ends, "hidden": []})
            end_to_end = answer(feed, "ladder", {"ends": ends, "hidden": ["r"]})
            assert isinstance(by_hops, dict)
            assert isinstance(end_to_end, dict)
            assert by_hops["nodes"] == end_to_end["nodes"] == ["client", "r", "server"]
            assert re.findall('class="l-name"[^>]*>([^<]*)<', by_hops["svg"]) == by_hops["nodes"]
            names = re.findall('class="l-name"[^>]*>([^<]*)<', end_to_end["svg"])
            assert names == ["client", "server"]
            # One arrow where there were two: 10 ms, 60 in which the router asks by ARP, and 30.
            syn = re.findall("<title>([^<]*Flags \\[S\\][^<]*)</title>", end_to_end["svg"])
            assert len(set(syn)) == 1
            assert "there after 100 ms" in syn[0]
            number = int(re.findall('data-number="([0-9]+)"', end_to_end["svg"])[0])
            opened = answer(feed, "frame", {"number": number})
            assert isinstance(opened, dict)
            assert opened["boxes"][-1]["title"] == "TCP segment"
            # To scale, but no longer than can be shown
            scaled = answer(feed, "ladder", {"ends": ends, "scale": 1e-9})
            assert isinstance(scaled, dict)
            height = float(re.findall('viewBox="0 0 [0-9.]+ ([0-9.]+)"', scaled["svg"])[0])
            assert 10_000 < height < 40_000
            for scale in (0, -1, math.nan, "1", math.inf):
                with pytest.raises(ConfigError):
                    answer(feed, "ladder", {"ends": ends, "scale": scale})

    pystack.run(world)


def test_what_is_kept_can_be_had_as_a_capture(tmp_path: Path) -> None:
    async def main(_net: pystack.Network, client: pystack.Host, server: pystack.Host) -> None:
        async with LiveClient(client, SERVER) as viewer:
            await viewer.listen(0.5)
            await fetch(client, "/bytes/100000")
            await viewer.listen(0.5)
            numbers = [each.number for each in feed_of(server).tape.items()]
            answer = await fetch(client, "/live/capture.pcapng")
            head, _, body = answer.partition(b"\r\n\r\n")
            assert b"application/x-pcapng" in head
            path = tmp_path / "live.pcapng"
            path.write_bytes(unchunked(body))
            with read_capture(str(path)) as capture:
                frames = list(capture)
                assert capture.trouble == ""
                assert capture.names[SERVER] == "server"
            told = {item["n"] for item in viewer.items if "ends" in item}
            assert len(frames) >= len(told.intersection(numbers)) > 50
            assert {frame.place for frame in frames} == {"client-server"}
            refused = await fetch(client, "/live/capture.pcapng", "Sec-Fetch-Site: cross-site\r\n")
            assert refused.startswith(b"HTTP/1.1 403 ")

    run(main)


def unchunked(body: bytes) -> bytes:
    data = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        count = int(size, 16)
        data, body = data + rest[:count], rest[count + 2 :]
        if not count:
            break
    return data


def test_nobody_looks_and_nothing_is_watched() -> None:
    async def main(_net: pystack.Network, client: pystack.Host, server: pystack.Host) -> None:
        assert server.observers == []
        async with LiveClient(client, SERVER) as viewer:
            await viewer.listen(0.5)
            assert server.observers != []
        await trio.sleep(5)
        feed = feed_of(server)
        assert feed.viewers == 0
        assert server.observers == []
        assert feed.tape.items() == []

    run(main)


def test_ticks_come_ten_times_a_second_and_hold_no_more_than_can_be_shown() -> None:
    async def main(_net: pystack.Network, client: pystack.Host, _server: pystack.Host) -> None:
        async with LiveClient(client, SERVER) as viewer, trio.open_nursery() as nursery:
            nursery.start_soon(fetch, client, "/bytes/5000000")
            await viewer.listen(2.0)
            nursery.cancel_scope.cancel()
        assert 18 <= len(viewer.ticks) <= 22
        assert sum(tick["left_out"] for tick in viewer.ticks) > 1000
        for tick in viewer.ticks:
            frames = [item for item in tick["items"] if "ends" in item]
            assert len(frames) <= 60
            assert tick["frames"] == len(frames) + tick["left_out"]

    run(main, delay="1ms")


def test_one_who_does_not_keep_up_is_sent_no_more_and_then_told_what_was_skipped() -> None:
    async def main(_net: pystack.Network, client: pystack.Host, _server: pystack.Host) -> None:
        async with LiveClient(client, SERVER) as viewer:
            await viewer.listen(0.5)
            viewer.acknowledges = False
            before = len(viewer.ticks)
            await viewer.listen(10.0)
            assert len(viewer.ticks) - before == WINDOW_TICKS
            viewer.acknowledges = True
            await viewer.send({"seen": viewer.ticks[-1]["tick"]})
            await viewer.listen(1.0)
            assert viewer.skipped > 50
            numbers = [tick["tick"] for tick in viewer.ticks]
            assert numbers == sorted(set(numbers))

    run(main)


def test_a_hundred_look_and_share_one_tape() -> None:
    async def main(_net: pystack.Network, client: pystack.Host, server: pystack.Host) -> None:
        viewers = [LiveClient(client, SERVER) for _ in range(100)]
        for viewer in viewers:
            await viewer.connect()
        async with trio.open_nursery() as nursery:
            for viewer in viewers:
                nursery.start_soon(viewer.listen, 5.0)
        feed = feed_of(server)
        assert feed.viewers == 100
        assert sum(observer is feed.tape for observer in server.observers) == 1
        assert feed.interval_s == 1.0
        for viewer in viewers:
            assert 4 <= len([tick for tick in viewer.ticks if tick["viewers"] == 100]) <= 6
            await viewer.stream.aclose()

    run(main, delay="1ms")


@pytest.mark.parametrize(
    ("name", "headers", "status"),
    [
        (SERVER, {"Origin": f"http://{SERVER}"}, 101),
        ("[fd00::2]", {"Origin": "http://[fd00::2]"}, 101),
        ("localhost:8080", {"Origin": "http://localhost:8080"}, 101),
        ("server", {}, 101),
        (SERVER, {"Origin": "http://evil.example"}, 403),
        (SERVER, {"Origin": f"https://{SERVER}"}, 403),
        (SERVER, {"Origin": f"http://{SERVER}:8080"}, 403),
        (SERVER, {"Origin": "null"}, 403),
        ("evil.example", {"Origin": "http://evil.example"}, 403),  # DNS rebinding
        ("evil.example", {}, 403),
        (f"{SERVER}.evil.example", {}, 403),
        (SERVER, {"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_pages_of_strangers_see_nothing(name: str, headers: dict[str, str], status: int) -> None:
    async def main(_net: pystack.Network, client: pystack.Host, _server: pystack.Host) -> None:
        viewer = LiveClient(client, SERVER)
        if status == 101:
            await viewer.connect(name, headers)
        else:
            with pytest.raises(RefusedError, match=str(status)):
                await viewer.connect(name, headers)
        await viewer.stream.aclose()

    run(main)


CALL: dict[str, Any] = {"ask": "call", "name": "power off", "arguments": {"node": "server"}}


def test_without_control_nothing_can_be_changed() -> None:
    async def main(_net: pystack.Network, client: pystack.Host, _server: pystack.Host) -> None:
        async with LiveClient(client, SERVER) as viewer:
            hello = await viewer.next()
            assert hello is not None
            assert "--control" in hello["changes"]
            for question in (CALL, {"ask": "call", "name": "counters"}):
                with pytest.raises(LookupError, match="--control"):
                    await viewer.ask(**question)
            assert "--control" in await viewer.ask(token="anything")

    run(main)


def test_with_control_the_token_opens_it_and_guessing_ends_it() -> None:
    async def main(net: pystack.Network, client: pystack.Host, server: pystack.Host) -> None:
        feed: Feed = feed_of(server)
        token = feed.allow(Control(net)).removeprefix("#token=")
        assert len(token) >= 22  # 128 bits
        link = {"link": "client-server", "words": {"delay": "100ms"}}
        async with LiveClient(client, SERVER) as viewer:
            with pytest.raises(LookupError, match="token"):
                await viewer.ask(ask="call", name="link set", arguments=link)
            with pytest.raises(LookupError, match="not the token"):
                await viewer.ask(token=token[:-1])
            assert await viewer.ask(token=token) == ""
            await viewer.ask(ask="call", name="link set", arguments=link)
            assert await client.ping("server") == pytest.approx(0.2)
            with pytest.raises(LookupError, match="no link"):
                await viewer.ask(ask="call", name="link set", arguments={**link, "link": "x"})
        async with LiveClient(client, SERVER) as viewer:
            for guess in ("", 7, None, token[:-1]):
                with pytest.raises(LookupError, match="not the token"):
                    await viewer.ask(token=guess)
            await viewer.send({"token": "x", "id": 9})
            await viewer.listen(5)
            assert viewer.closed == (1008, "that is not the token")

    run(main)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no JSON", 1007),
        ("[]", 1007),
        ("7", 1007),
        ("[" * 8000, 1007),
        ('{"x":"' + "y" * 20_000 + '"}', 1009),
    ],
)
def test_what_is_no_question_ends_it(text: str, code: int) -> None:
    async def main(_net: pystack.Network, client: pystack.Host, server: pystack.Host) -> None:
        async with LiveClient(client, SERVER) as viewer:
            await viewer.listen(0.3)
            await viewer.send(text)
            await viewer.listen(3)
            assert viewer.closed is not None
            assert viewer.closed[0] == code
        await trio.sleep(5)
        assert feed_of(server).viewers == 0

    run(main)


@pytest.mark.parametrize(
    "question",
    [
        {"ask": "nothing"},
        {"ask": None},
        {"ask": ["frame"]},
        {"ask": "frame"},
        {"ask": "frame", "number": -1},
        {"ask": "frame", "number": 10**30},
        {"ask": "frame", "number": "1"},
        {"ask": "ladder"},
        {"ask": "ladder", "ends": [["a", 1], ["b", "2"]]},
        {"ask": "ladder", "ends": [["a", 1], ["b", 2]], "until": "now"},
        {"ask": "call"},
        {"ask": "call", "name": 7, "arguments": []},
    ],
)
def test_a_wrong_question_gets_a_sentence(question: dict[str, object]) -> None:
    async def main(net: pystack.Network, client: pystack.Host, server: pystack.Host) -> None:
        token = feed_of(server).allow(Control(net)).removeprefix("#token=")
        async with LiveClient(client, SERVER) as viewer:
            await viewer.ask(token=token)
            with pytest.raises(LookupError):
                await viewer.ask(**question)
            assert await viewer.ask(ask="counters")

    run(main)


def test_one_who_asks_without_end_is_sent_away() -> None:
    async def main(_net: pystack.Network, client: pystack.Host, _server: pystack.Host) -> None:
        async with LiveClient(client, SERVER) as viewer:
            for number in range(100):
                await viewer.send({"ask": "map", "id": number})
            await viewer.listen(3)
            assert viewer.closed == (1008, "too many questions")

    run(main)
