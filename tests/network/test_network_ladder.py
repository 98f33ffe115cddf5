"""Ladders of a network: what was recorded, as text and as a drawing; and the network's own map."""

from functools import partial
from typing import Literal
from xml.etree import ElementTree

import pytest
import trio

import pystack

Ip = Literal["4", "6"]


async def echo(stream: trio.abc.Stream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def talked(ip: Ip, **words: str) -> pystack.Ladder:
    async with pystack.Network(seed=5, ip=ip) as net:
        client, server, router = net.host("client"), net.host("server"), net.router("r1")
        net.link(client, router, delay="10ms")
        net.link(router, server, delay="20ms", **words)  # type: ignore[arg-type]
        net.record()
        await server.start(trio.serve_tcp, echo, 7)
        async with await client.open_tcp_stream("server", 7) as stream:
            await stream.send_all(bytes(4000))
            got = 0
            while got < 4000:
                got += len(await stream.receive_some())
        return net.ladder()


@pytest.mark.parametrize("ip", ["4", "6"])
def test_each_hop_is_an_arrow_with_its_own_delay_along_the_way(ip: Ip) -> None:
    ladder = pystack.run(talked, ip)
    assert [line.name for line in ladder.lifelines] == ["client", "r1", "server"]
    first, second, *_ = [arrow for arrow in ladder.arrows if arrow.label == "SYN"]
    assert (first.sender, first.receiver, first.kind) == ("client", "r1", "handshake")
    assert (second.sender, second.receiver) == ("r1", "server")
    assert first.arrives_at is not None
    assert second.arrives_at is not None
    assert first.arrives_at - first.sent_at == pytest.approx(0.01)
    assert second.arrives_at - second.sent_at == pytest.approx(0.02)
    assert ladder.window is not None
    assert max(value for _, value in ladder.window.flight) >= 2920
    notes = [(note.node, note.text) for note in ladder.notes if note.kind == "state"]
    assert ("server", "port 7: ESTABLISHED") in notes
    assert str(ladder).splitlines()[0].split()[:4] == ["time", "client", "r1", "server"]
    ElementTree.fromstring(ladder._repr_svg_())


@pytest.mark.parametrize("ip", ["4", "6"])
def test_a_lost_one_says_why_and_what_is_sent_again_says_what_for(ip: Ip) -> None:
    ladder = pystack.run(partial(talked, ip, loss="20%"))
    lost = [arrow for arrow in ladder.arrows if arrow.lost]
    again = [arrow for arrow in ladder.arrows if arrow.kind == "again"]
    assert {arrow.lost for arrow in lost} == {"loss"}
    assert {arrow.receiver for arrow in lost} <= {"server", "r1"}
    assert again
    assert all(arrow.marks[0].startswith("again: ") for arrow in again)
    assert "(loss)" in str(ladder)


def test_what_was_not_recorded_cannot_be_shown() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            with pytest.raises(
                pystack.ConfigError, match=r"call net\.record\(\) before it happens"
            ):
                net.ladder()
            with pytest.raises(pystack.ConfigError):
                net.record(0)
            assert str(net.ladder() if net.record() is net.record() else "") == "(nothing was seen)"

    pystack.run(main)


def test_the_newest_are_kept_and_the_rest_is_counted() -> None:
    async def main() -> pystack.Ladder:
        async with pystack.Network(seed=1, ip="4") as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b)
            net.record(4)
            for _ in range(5):
                await a.ping("b")
            return net.ladder(notes=())

    ladder = pystack.run(main)
    assert [arrow.kind for arrow in ladder.arrows][-2:] == ["icmp", "icmp"]
    assert ladder.left_out > 5
    assert "before this are not shown" in str(ladder).splitlines()[1]


def test_a_network_draws_itself_as_it_is_now() -> None:
    async def main() -> tuple[str, str]:
        async with pystack.Network(seed=1, ip="4") as net:
            a, s = net.host("a"), net.switch("s")
            net.host("b<&")
            link = net.link(a, s, delay="10ms", a_to_b={"loss": "1%"})
            net.link(s, "b<&")
            before = net._repr_svg_()
            await a.ping("b<&")
            link.down()
            return before, net._repr_svg_()

    before, after = pystack.run(main)
    for svg in (before, after):
        ElementTree.fromstring(svg)
        assert "b&lt;&amp;" in svg
        assert "delay 10ms" in svg
        assert "loss 1%" in svg
    assert "10.0.0.1/24" in after
    assert "down" in after
    assert "10.0.0.1/24" not in before


async def test_a_test_of_the_plug_in_is_recorded_from_the_beginning(net: pystack.Network) -> None:
    a, b = net.host("a"), net.host("b")
    net.link(a, b, delay="20ms")
    await a.ping("b")
    assert [arrow.sent_at for arrow in net.ladder(notes=()).arrows] == [0.0, 0.02, 0.04, 0.06]
