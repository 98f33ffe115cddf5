"""Passages in a network: on all links or those of a host, with what came of each frame."""

import pytest
import trio

import pystack
from pystack.observe.observer import Event
from pystack.observe.passage import ARRIVED, LOST, SEEN, Passage
from pystack.topology.addressing import IpVersions


class Watcher:
    def __init__(self) -> None:
        self.passages: list[Passage] = []
        self.events: list[Event] = []

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def on_passage(self, passage: Passage) -> None:
        if not passage.number:
            self.passages.append(passage)
            passage.number = len(self.passages)

    @property
    def ways(self) -> list[tuple[str, str, str]]:
        return [(each.place, each.sender, each.receiver) for each in self.passages]


@pytest.mark.parametrize("ip", ["4", "6"])
def test_each_frame_on_each_link_has_a_passage_with_the_names_of_nodes(ip: IpVersions) -> None:
    watcher = Watcher()

    async def main() -> None:
        async with pystack.Network(seed=1, ip=ip) as net:
            client, router, server = net.host("client"), net.router("router"), net.host("server")
            net.link(client, router, delay="1ms")
            net.observe(watcher)
            net.link(router, server, delay="2ms")  # one that comes later
            await client.ping("server")
            await client.ping("server")  # now all know who is where

    pystack.run(main)
    ways = watcher.ways
    asked = [("client-router", "client", "router"), ("router-server", "router", "server")]
    answered = [("router-server", "server", "router"), ("client-router", "router", "client")]
    assert ways[-4:] == asked + answered
    assert {each.end for each in watcher.passages} == {ARRIVED}
    assert {each.refused for each in watcher.passages} == {""}


@pytest.mark.parametrize("ip", ["4", "6"])
def test_a_host_is_watched_on_its_own_links_alone(ip: IpVersions) -> None:
    watcher = Watcher()

    async def main() -> None:
        async with pystack.Network(seed=1, ip=ip) as net:
            client, router, server = net.host("client"), net.router("router"), net.host("server")
            net.link(client, router)
            client.observe(watcher)
            net.link(router, server)
            await client.ping("server")
            net.unobserve(watcher)
            await client.ping("server")

    pystack.run(main)
    assert {place for place, _, _ in watcher.ways} == {"client-router"}
    before = len(watcher.passages)
    assert before == len([each for each in watcher.passages if each.entered_at < 1.0])


@pytest.mark.parametrize("ip", ["4", "6"])
def test_why_a_host_dropped_what_arrived_is_with_the_frame(ip: IpVersions) -> None:
    watcher, counters = Watcher(), dict[str, int]()

    async def main() -> None:
        async with pystack.Network(seed=1, ip=ip) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, a_to_b={"corrupt": "100%"}, delay="1ms")
            net.observe(watcher)
            with trio.move_on_after(10):
                await client.open_tcp_stream("server", 80)
            counters.update(server.counters)

    pystack.run(main)
    refused = [each for each in watcher.passages if each.refused]
    assert all(each.end == ARRIVED for each in refused)
    by_server = [each.refused for each in refused if each.receiver == "server"]
    assert len(by_server) > 2
    assert all(by_server.count(reason) <= counters[reason] for reason in by_server)


def test_what_a_host_without_power_does_not_take_says_so() -> None:
    watcher = Watcher()

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="1ms")
            socket = await client.open_udp_socket()
            await socket.send_to(b"x", ("server", 9))
            await trio.sleep(1)
            net.observe(watcher)
            server.power_off()
            await socket.send_to(b"x", ("server", 9))
            await trio.sleep(1)

    pystack.run(main)
    assert [each.refused for each in watcher.passages][:1] == ["powered_off"]


def test_a_loopback_has_passages_too() -> None:
    watcher = Watcher()

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("host")
            net.observe(watcher)
            await host.ping("127.0.0.1")

    pystack.run(main)
    assert watcher.ways == [("host/lo", "host", "host")] * 2
    assert {each.end for each in watcher.passages} == {SEEN}


def test_a_duplicate_of_a_lost_frame_knows_whose_it_is() -> None:
    watcher = Watcher()

    async def main() -> None:
        async with pystack.Network(seed=4) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="1ms", duplicate="30%", loss="30%")
            net.observe(watcher)
            with trio.move_on_after(60):
                for _ in range(30):
                    with trio.move_on_after(1):
                        await client.ping("server")
            await trio.sleep(1)

    pystack.run(main)
    copies = [each for each in watcher.passages if each.copy_of]
    assert copies
    assert all(each.copy_of in watcher.passages for each in copies)
    assert {each.end for each in watcher.passages} == {ARRIVED, LOST}
