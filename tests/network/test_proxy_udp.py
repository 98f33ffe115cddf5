"""Proxies of UDP on the loopback: sessions, their end, and what upstreams do wrong."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from loopback import has_ip6
from proxy_rig import free_port, in_trio, until

from pystack.apps.proxy import udp
from pystack.apps.proxy.errors import BadRequestError, CannotListenError
from pystack.apps.proxy.model import LinkWords, Proxy, ProxySpec
from pystack.apps.proxy.proxies import Proxies
from pystack.apps.proxy.toxics.spec import DOWNSTREAM, UPSTREAM, ToxicSpec

UDP = trio.socket.SOCK_DGRAM


class Late(trio.abc.HostnameResolver):
    """Answers when it may."""

    def __init__(self) -> None:
        self.may_answer = trio.Event()

    async def getaddrinfo(  # type: ignore[override]
        self, host: bytes, port: int, *others: int
    ) -> list[tuple[object, object, int, str, object]]:
        await self.may_answer.wait()
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port))]

    async def getnameinfo(self, sockaddr: object, flags: int) -> tuple[str, str]:
        raise NotImplementedError


class Rig:
    def __init__(self, proxies: Proxies, upstream: str) -> None:
        self.proxies = proxies
        self.upstream = upstream
        self.clients: list[trio.socket.SocketType] = []
        self.seen: set[tuple[str, int]] = set()  # who has sent to the upstream

    async def proxy(self, **words: object) -> Proxy:
        spec = {"name": "p", "upstream": self.upstream, "protocol": "udp", **words}
        return await self.proxies.create(ProxySpec(**spec))  # type: ignore[arg-type]

    async def client(self, proxy: Proxy) -> trio.socket.SocketType:
        client = trio.socket.socket(type=UDP)
        self.clients.append(client)
        host, port = proxy.listen.rsplit(":", 1)
        await client.connect((host, int(port)))
        return client


@asynccontextmanager
async def proxied() -> AsyncIterator[Rig]:
    async with trio.open_nursery() as nursery:
        with trio.socket.socket(type=UDP) as server:
            await server.bind(("127.0.0.1", 0))
            async with Proxies(seed=1) as proxies:
                rig = Rig(proxies, f"127.0.0.1:{server.getsockname()[1]}")

                async def echo() -> None:
                    while True:
                        data, address = await server.recvfrom(65535)
                        rig.seen.add(address)
                        await server.sendto(data, address)

                nursery.start_soon(echo)
                yield rig
            for client in rig.clients:
                client.close()
            nursery.cancel_scope.cancel()


async def ask(client: trio.socket.SocketType, data: bytes = b"hello") -> bytes:
    await client.send(data)
    return await client.recv(65535)


@pytest.mark.parametrize("size_bytes", [0, 1, 1472, 1473, 9000, 65_000])
def test_datagrams_of_any_size_go_both_ways(size_bytes: int) -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy(words=LinkWords(both={"delay": "1ms"}))
            data = bytes(size_bytes)
            assert await ask(await rig.client(proxy), data) == data
            for stream in (UPSTREAM, DOWNSTREAM):
                traffic = proxy.counts.traffic[stream]
                assert (traffic.received_bytes, traffic.sent_bytes) == (size_bytes, size_bytes)

    in_trio(main)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the machine chooses the address")
@pytest.mark.parametrize("listen", [":0", "0.0.0.0:0"])
def test_a_client_is_answered_from_the_address_that_it_asked(listen: str) -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy(listen=listen)
            port = int(proxy.listen.rpartition(":")[2])
            for address in ("127.0.0.1", "127.0.0.2"):
                client = trio.socket.socket(type=UDP)
                rig.clients.append(client)
                await client.connect((address, port))
                assert await ask(client) == b"hello"
            if proxy.listen.startswith("[") and has_ip6():
                with trio.socket.socket(socket.AF_INET6, UDP) as client:
                    await client.connect(("::1", port))
                    assert await ask(client) == b"hello"

    in_trio(main)


def test_each_client_has_a_session_of_its_own() -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy()
            clients = [await rig.client(proxy) for _ in range(3)]
            for number in range(2):
                for client in clients:
                    assert await ask(client, b"%d" % number) == b"%d" % number
            assert len(rig.seen) == 3
            assert (proxy.counts.connections, proxy.counts.open) == (3, 3)

    in_trio(main)


def test_a_session_ends_when_it_was_silent_for_long_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(udp, "IDLE_S", 0.05)

    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy()
            client = await rig.client(proxy)
            await ask(client)
            await until(lambda: proxy.counts.open == 0)
            assert await ask(client) == b"hello"
            assert proxy.counts.connections == 2
            hosts = rig.proxies.network.hosts
            await until(lambda: not hosts["p-client"].stack.udp.sockets)

    in_trio(main)


def test_where_there_are_too_many_the_one_that_was_silent_for_longest_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(udp, "MOST_SESSIONS", 2)

    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy()
            first, second, third = [await rig.client(proxy) for _ in range(3)]
            await ask(first)
            await ask(second)
            await ask(first)
            await ask(third)
            assert (proxy.counts.open, proxy.counts.dropped) == (2, 1)
            await ask(first)
            assert proxy.counts.connections == 3  # it still has its own
            await ask(second)
            assert proxy.counts.connections == 4

    in_trio(main)


def test_sessions_leave_files_for_others() -> None:
    async def main() -> None:
        async with proxied() as rig:
            world = rig.proxies._world
            assert world is not None
            assert world.most_sessions >= 16
            world.most_sessions = 2
            proxy = await rig.proxy()
            for _ in range(4):
                await ask(await rig.client(proxy))
            assert (proxy.counts.open, proxy.counts.dropped) == (2, 2)
            other = await rig.proxy(name="q")
            await (await rig.client(other)).send(b"hello")
            await until(lambda: other.counts.dropped)
            await rig.proxies.delete("p")
            await ask(await rig.client(other))
            assert (other.counts.open, other.counts.dropped, world.sessions) == (1, 1, 1)

    in_trio(main)


def test_an_upstream_that_is_not_there_is_counted_and_may_come() -> None:
    async def main() -> None:
        async with proxied() as rig:
            port = free_port(socket.SOCK_DGRAM)
            proxy = await rig.proxy(upstream=f"127.0.0.1:{port}")
            client = await rig.client(proxy)
            await client.send(b"a")
            await until(lambda: proxy.counts.refused)
            with trio.socket.socket(type=UDP) as server:
                await server.bind(("127.0.0.1", port))
                await client.send(b"b")
                assert await server.recv(10) == b"b"

    in_trio(main)


@pytest.mark.parametrize("upstream", ["no port", "127.0.0.1:70000"])
def test_an_upstream_that_is_no_place_ends_the_session(upstream: str) -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy(upstream=upstream)
            client = await rig.client(proxy)
            for number in (1, 2):
                await client.send(b"a")
                await until(lambda number=number: proxy.counts.refused == number)  # type: ignore[misc]
                await until(lambda: proxy.counts.open == 0)

    in_trio(main)


def test_what_waits_for_the_name_of_the_upstream_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(udp, "MOST_HELD_BYTES", 2500)

    async def main() -> None:
        names = Late()
        trio.socket.set_custom_hostname_resolver(names)
        async with proxied() as rig:
            proxy = await rig.proxy(upstream=rig.upstream.replace("127.0.0.1", "late.test"))
            clients = [await rig.client(proxy) for _ in range(6)]
            for client in clients:
                await client.send(bytes(1000))
            await until(lambda: proxy.counts.dropped == 3)
            names.may_answer.set()
            for client in clients[:3]:
                assert await client.recv(2000) == bytes(1000)
            assert await ask(clients[3]) == b"hello"
            assert (proxy.counts.dropped, proxy.counts.refused) == (3, 0)

    in_trio(main)


def test_toxics_on_packets_work_and_those_on_bytes_are_refused() -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy()
            client = await rig.client(proxy)
            await ask(client)
            with pytest.raises(BadRequestError, match="a UDP proxy has none"):
                await rig.proxies.add_toxic("p", ToxicSpec("", "slicer"))
            await rig.proxies.add_toxic(
                "p", ToxicSpec("", "duplicate", attributes={"probability": 1})
            )
            assert [await ask(client), await client.recv(10)] == [b"hello", b"hello"]
            await rig.proxies.reset()
            assert rig.proxies.network.links[0].said == ""

    in_trio(main)


def test_a_proxy_that_is_disabled_gives_its_port_back() -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy()
            with pytest.raises(
                CannotListenError, match=r"^listen udp .*bind: address already in use"
            ):
                await rig.proxies.create(
                    ProxySpec(name="q", upstream="a:1", listen=proxy.listen, protocol="udp")
                )
            await rig.proxies.update("p", enabled=False)
            host, port = proxy.listen.rsplit(":", 1)
            with trio.socket.socket(type=UDP) as other:
                await other.bind((host, int(port)))
            await rig.proxies.update("p", enabled=True)
            assert await ask(await rig.client(proxy)) == b"hello"

    in_trio(main)
