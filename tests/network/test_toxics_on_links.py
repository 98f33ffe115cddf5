"""Toxics on packets, on a link between two hosts: what a connection over it goes through."""

from collections.abc import Awaitable, Callable

import pytest
import trio

import pystack
from pystack.apps.proxy.toxics.flaps import Flaps
from pystack.apps.proxy.toxics.packets import words_for
from pystack.apps.proxy.toxics.registry import checked
from pystack.apps.proxy.toxics.spec import Stream, ToxicSpec

pytestmark = pytest.mark.parametrize("ip", ["4", "6"])


class Lane:
    """A client, an upstream that echoes, and the link between them."""

    def __init__(self, net: pystack.Network) -> None:
        self.net = net
        self.client, self.upstream = net.host("client"), net.host("upstream")
        self.link = net.link(self.client, self.upstream)
        self.flaps = Flaps(self.link, net.driver.scheduler)
        self.received: list[bytes] = []

    def poison(self, *toxics: ToxicSpec) -> None:
        upstream, downstream = words_for(({}, {}), toxics)
        words = dict.fromkeys(("loss", "delay", "drop", "mtu", "rate", "qdisc", "reorder"))
        self.link.set(a_to_b={**words, **upstream}, b_to_a={**words, **downstream})
        self.flaps.update(toxics, trio.current_time())

    async def serve(self) -> None:
        await self.upstream.start(trio.serve_tcp, self._echo, 7)

    async def _echo(self, stream: trio.abc.HalfCloseableStream) -> None:
        async for data in stream:
            self.received.append(bytes(data))
            await stream.send_all(data)
        await stream.send_eof()

    async def ask(self, text: bytes) -> bytes:
        """Return what comes back, on a connection of its own."""
        stream = await self.client.open_tcp_stream("upstream", 7)
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(self._send, stream, text)
            return b"".join([bytes(data) async for data in stream])

    async def _send(self, stream: trio.abc.HalfCloseableStream, text: bytes) -> None:
        await stream.send_all(text)
        await stream.send_eof()


def toxic(type_name: str, stream: Stream = "downstream", /, **attributes: object) -> ToxicSpec:
    return checked(ToxicSpec("", type_name, stream, attributes=attributes))


def run(ip: str, body: Callable[[Lane], Awaitable[None]]) -> None:
    async def main() -> None:
        async with pystack.Network(seed=7, ip=ip) as net:
            lane = Lane(net)
            await lane.serve()
            await body(lane)

    pystack.run(main)


def test_half_open_downstream_lets_requests_through_and_no_answer(ip: str) -> None:
    async def body(lane: Lane) -> None:
        lane.poison(toxic("half_open"))
        stream = await lane.client.open_tcp_stream("upstream", 7)
        await stream.send_all(b"request")
        with trio.move_on_after(0.5) as waiting:
            await stream.receive_some()
        assert waiting.cancelled_caught
        assert lane.received == [b"request"]
        lane.poison()
        assert await stream.receive_some() == b"request"

    run(ip, body)


def test_half_open_without_handshakes_lets_nobody_in(ip: str) -> None:
    async def body(lane: Lane) -> None:
        lane.poison(toxic("half_open", handshake=False))
        with trio.move_on_after(10) as waiting:
            await lane.client.open_tcp_stream("upstream", 7)
        assert waiting.cancelled_caught

    run(ip, body)


def test_a_transfer_gets_through_losses_and_flaps(ip: str) -> None:
    text = bytes(range(256)) * 400

    async def body(lane: Lane) -> None:
        lane.poison(
            toxic("delay", delay=5, jitter=2, reorder_by_jitter=True),
            toxic("loss", probability="5%"),
            toxic("loss", "upstream", model="gemodel 5% 20%"),
            toxic("rate", rate="5mbit"),
            toxic("queue", qdisc="codel"),
            toxic("flap", up=200, down=100),
        )
        assert await lane.ask(text) == text
        assert lane.link.b_to_a.counters["loss"] > 0
        assert lane.link.a_to_b.counters["loss"] > 0
        assert lane.link.b_to_a.counters["link_down"] > 0
        lane.poison()
        before = lane.link.counters["loss"]
        began_at = trio.current_time()
        assert await lane.ask(b"well again") == b"well again"
        assert trio.current_time() == began_at
        assert lane.link.counters["loss"] == before

    run(ip, body)


def test_large_packets_stay_in_an_mtu_black_hole_until_it_goes(ip: str) -> None:
    text = bytes(range(256)) * 100

    async def body(lane: Lane) -> None:
        lane.poison(toxic("mtu_blackhole", mtu=1300))
        assert await lane.ask(b"small") == b"small"
        assert lane.link.b_to_a.counters["link_mtu"] == 0
        with trio.move_on_after(5) as waiting:
            await lane.ask(text)
        assert waiting.cancelled_caught
        assert lane.link.b_to_a.counters["link_mtu"] > 0
        lane.poison()
        assert await lane.ask(text) == text

    run(ip, body)


def test_a_fast_link_is_held_to_the_rate(ip: str) -> None:
    async def body(lane: Lane) -> None:
        lane.poison(toxic("rate", rate=80_000))  # 10 kB a second
        began_at = trio.current_time()
        assert len(await lane.ask(bytes(100_000))) == 100_000
        assert 10 < trio.current_time() - began_at < 11.5

    run(ip, body)
