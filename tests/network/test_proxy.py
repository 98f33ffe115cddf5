"""Proxies: real clients and upstreams on the loopback, with an emulated link between them."""

from __future__ import annotations

import math
import socket
import struct
from contextlib import suppress

import pytest
import trio
import trio.testing
from proxy_rig import Rig, ask, ended_by, free_port, in_trio, proxied, until

from pystack.apps.proxy import endpoints
from pystack.apps.proxy.errors import BadRequestError
from pystack.apps.proxy.model import LinkWords, Proxy
from pystack.apps.proxy.toxics.spec import DOWNSTREAM, UPSTREAM, Stream, ToxicSpec

RESET = struct.pack("ii", 1, 0)


async def end_of_one(rig: Rig, proxy: Proxy) -> type[BaseException] | bytes:
    """Connect, and return the same; the end may come before the client knows of the beginning."""
    try:
        client = await rig.dial(proxy)
    except OSError as error:
        causes = getattr(error.__cause__, "exceptions", [error])
        return type(causes[0])
    return await ended_by(client)


def test_bytes_go_both_ways_and_each_direction_ends_by_itself() -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy(words=LinkWords(both={"delay": "1ms"}))
            client = await rig.dial(proxy)
            assert await ask(client, bytes(300_000)) == bytes(300_000)
            await client.send_eof()
            assert await client.receive_some() == b""
            await until(lambda: rig.proxies.find("p").counts.open == 0)
            counts = proxy.counts
            assert (counts.connections, counts.refused, counts.dropped) == (1, 0, 0)
            for stream in (UPSTREAM, DOWNSTREAM):
                assert counts.traffic[stream].received_bytes == 300_000
                assert counts.traffic[stream].sent_bytes == 300_000

    in_trio(main)


def test_bytes_of_live_connections_are_counted() -> None:
    async def main() -> None:
        async with proxied() as rig:
            client = await rig.dial(await rig.proxy())
            await ask(client)
            (proxy,) = rig.proxies
            assert proxy.counts.open == 1
            assert proxy.counts.traffic[UPSTREAM].received_bytes == 5
            await ask(client)
            assert rig.proxies.find("p").counts.traffic[DOWNSTREAM].sent_bytes == 10

    in_trio(main)


def test_an_upstream_that_refuses_resets_the_client() -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy(upstream=f"127.0.0.1:{free_port()}")
            assert await end_of_one(rig, proxy) is ConnectionResetError
            await until(lambda: proxy.counts.open == 0)
            assert proxy.counts.refused == 1

    in_trio(main)


@pytest.mark.parametrize("upstream", ["no port", "127.0.0.1:70000"])
def test_an_upstream_that_is_no_place_resets_the_client(upstream: str) -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy(upstream=upstream)
            assert await end_of_one(rig, proxy) is ConnectionResetError
            await until(lambda: proxy.counts.open == 0)
            assert proxy.counts.refused == 1

    in_trio(main)


class Names(trio.abc.HostnameResolver):
    """Knows one name, with two addresses."""

    asked = 0

    async def getaddrinfo(  # type: ignore[override]
        self, host: bytes, port: int, *others: int
    ) -> list[tuple[object, object, int, str, object]]:
        self.asked += 1
        await trio.lowlevel.checkpoint()
        if host != b"two.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("127.0.0.2", "127.0.0.1")
        ]

    async def getnameinfo(self, sockaddr: object, flags: int) -> tuple[str, str]:
        raise NotImplementedError


def test_each_address_of_a_name_is_tried_and_a_crowd_asks_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoints, "_REMEMBERED_S", 60.0)  # a slow machine is not to ask again

    async def main() -> None:
        names = Names()
        trio.socket.set_custom_hostname_resolver(names)
        async with proxied() as rig:
            port = rig.upstream.rsplit(":", 1)[1]
            proxy = await rig.proxy(upstream=f"two.test:{port}")
            clients = [await rig.dial(proxy) for _ in range(5)]
            assert [await ask(client) for client in clients] == [b"hello"] * 5
            assert names.asked == 1

    in_trio(main)


def test_a_name_that_nobody_has_resets_the_client() -> None:
    async def main() -> None:
        trio.socket.set_custom_hostname_resolver(Names())
        async with proxied() as rig:
            proxy = await rig.proxy(upstream="none.test:80")
            assert await end_of_one(rig, proxy) is ConnectionResetError
            await until(lambda: proxy.counts.open == 0)
            assert proxy.counts.refused == 1

    in_trio(main)


def test_a_reset_goes_through_as_a_reset_in_both_directions() -> None:
    ends: list[type[BaseException] | bytes] = []

    async def reset_at_once(stream: trio.SocketStream) -> None:
        if await stream.receive_some() == b"reset me":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            await stream.aclose()
        else:
            ends.append(await ended_by(stream))

    async def main() -> None:
        async with proxied(reset_at_once) as rig:
            proxy = await rig.proxy()
            client = await rig.dial(proxy)
            await client.send_all(b"reset me")
            assert await ended_by(client) is ConnectionResetError
            client = await rig.dial(proxy)
            await client.send_all(b"hello")
            await until(lambda: rig.proxies.find("p").counts.traffic[UPSTREAM].sent_bytes == 13)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            await client.aclose()
            await until(lambda: ends)
            assert ends == [ConnectionResetError]
            await until(lambda: proxy.counts.open == 0)

    in_trio(main)


def test_words_and_toxics_reach_the_link_of_live_connections() -> None:
    async def main() -> None:
        async with proxied() as rig:
            net = rig.proxies.network
            proxy = await rig.proxy(words=LinkWords(both={"delay": "1ms"}))
            client = await rig.dial(proxy)
            await ask(client)
            assert net.links[0].said == "delay 1ms"
            await rig.proxies.update("p", words=LinkWords(both={"delay": "2ms"}))
            assert net.links[0].said == "delay 2ms"
            await rig.proxies.add_toxic("p", ToxicSpec("", "delay", attributes={"delay": 3}))
            assert net.links[0].said == (
                "p-client > p-upstream: delay 2ms; p-upstream > p-client: delay 5ms"
            )
            await rig.proxies.remove_toxic("p", "delay_downstream")
            assert net.links[0].said == "delay 2ms"
            assert await ask(client) == b"hello"

    in_trio(main)


def test_a_toxic_that_the_link_can_not_have_changes_nothing() -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy(words=LinkWords(both={"rate": "1mbit"}))
            with pytest.raises(BadRequestError, match="cake"):
                await rig.proxies.add_toxic(
                    "p", ToxicSpec("", "queue", attributes={"qdisc": "cake"})
                )
            assert proxy.toxics == []
            with pytest.raises(BadRequestError, match="give reorder"):
                await rig.proxies.update("p", words=LinkWords(both={"gap": 5}))
            assert proxy.words == LinkWords(both={"rate": "1mbit"})

    in_trio(main)


def test_connections_that_a_toxic_on_packets_spares_have_a_link_of_their_own() -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy()
            await rig.proxies.add_toxic("p", ToxicSpec("", "delay", toxicity=0.5))
            await rig.proxies.update_toxic("p", "delay_downstream", attributes={"delay": 1})
            for _ in range(12):
                assert await ask(await rig.dial(proxy)) == b"hello"
            net = rig.proxies.network
            assert sorted(net.hosts) == [
                "p-client",
                "p-upstream",
                "p.2-client",
                "p.2-upstream",
            ]
            hit = "p-upstream > p-client: delay 1ms"
            links = [link.said for link in net.links]
            assert sorted(hit in text for text in links) == [False, True]
            for number in range(5):
                more = ToxicSpec(f"{number}", "loss", toxicity=0.1)
                await rig.proxies.add_toxic("p", more)
            with pytest.raises(BadRequestError, match="more than 6 toxics"):
                await rig.proxies.add_toxic("p", ToxicSpec("7", "loss", toxicity=0.1))

    in_trio(main)


def test_a_proxy_that_comes_again_has_the_hosts_it_had() -> None:
    async def main() -> None:
        async with proxied() as rig:
            for _ in range(3):
                proxy = await rig.proxy(words=LinkWords(both={"delay": "1ms"}))
                assert await ask(await rig.dial(proxy)) == b"hello"
                await rig.proxies.delete("p")
            net = rig.proxies.network
            assert sorted(net.hosts) == ["p-client", "p-upstream"]
            assert net.links[0].said == ""

    in_trio(main)


def test_any_name_of_a_proxy_will_do() -> None:
    async def main() -> None:
        async with proxied() as rig:
            for name in ("a b", "a%b", "10.0.0.1", "ü\n", "localhost"):
                assert await ask(await rig.dial(await rig.proxy(name))) == b"hello"

    in_trio(main)


def test_a_reset_by_a_toxic_ends_both_ends_though_the_link_loses_everything() -> None:
    ends: list[type[BaseException] | bytes] = []

    async def see(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        ends.append(await ended_by(stream))

    async def main() -> None:
        async with proxied(see) as rig:
            proxy = await rig.proxy()
            client = await rig.dial(proxy)
            await client.send_all(b"a")
            await until(lambda: rig.proxies.find("p").counts.traffic[UPSTREAM].sent_bytes)
            for stream in (UPSTREAM, DOWNSTREAM):
                lost = ToxicSpec("", "loss", stream, attributes={"probability": 1})
                await rig.proxies.add_toxic("p", lost)
            await rig.proxies.add_toxic("p", ToxicSpec("", "reset_peer", UPSTREAM))
            await client.send_all(b"b")
            assert await ended_by(client) is ConnectionResetError
            await until(lambda: ends)
            assert ends == [ConnectionResetError]

    in_trio(main)


def test_draining_takes_nobody_new_and_waits_for_who_is_there() -> None:
    async def main() -> None:
        async with proxied() as rig, trio.open_nursery() as nursery:
            proxy = await rig.proxy()
            client = await rig.dial(proxy)
            await ask(client)
            nursery.start_soon(rig.proxies.drain)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(OSError, match="all attempts to connect"):
                await rig.dial(proxy)
            assert await ask(client) == b"hello"
            assert rig.proxies.unfinished == 1
            await client.aclose()

    in_trio(main)


def test_proxies_that_nobody_uses_have_nothing_to_do() -> None:
    async def main() -> None:
        async with proxied() as rig:
            for number in range(100):
                await rig.proxy(f"{number}")
            # No event is due, ever: the process sleeps.
            assert rig.proxies.network.driver.scheduler.next_at() == math.inf
            assert rig.proxies.network.hosts == {}

    in_trio(main)


def test_clients_that_come_and_go_leave_nothing() -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy()

            async def one() -> None:
                client = await rig.dial(proxy)
                assert await ask(client) == b"hello"
                await client.aclose()

            for _ in range(10):
                async with trio.open_nursery() as nursery:
                    for _ in range(20):
                        nursery.start_soon(one)
            await until(lambda: proxy.counts.open == 0)
            assert proxy.counts.connections == 200
            left, right = (
                rig.proxies.network.hosts[f"p-{end}"].stack for end in ("client", "upstream")
            )
            await until(lambda: not left.tcp.sockets and not right.tcp.sockets)

    in_trio(main)


@pytest.mark.parametrize("stream", [UPSTREAM, DOWNSTREAM])
def test_one_who_reads_nothing_holds_a_bounded_part_of_an_endless_stream(stream: Stream) -> None:
    async def flood(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(bytes(1 << 20))

    async def nothing(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async def main() -> None:
        async with proxied(flood if stream == DOWNSTREAM else nothing) as rig:
            proxy = await rig.proxy()
            client = await rig.dial(proxy)
            traffic = proxy.counts.traffic[stream]
            async with trio.open_nursery() as nursery:
                if stream == UPSTREAM:
                    nursery.start_soon(flood, client)
                rests = 0
                while rests < 30:  # turns in which nothing more was taken
                    before = traffic.received_bytes
                    await trio.sleep(0.01)
                    rig.proxies.find("p")
                    rests = rests + 1 if traffic.received_bytes == before > 0 else 0
                held_bytes = traffic.received_bytes - traffic.sent_bytes
                assert 0 < held_bytes < 12_000_000
                nursery.cancel_scope.cancel()

    in_trio(main)
