"""How connections of proxies end where the link swallows ends, and what then stays of them."""

from __future__ import annotations

import socket

import pytest
import trio
from proxy_rig import Rig, ask, in_trio, proxied, until

from pystack.apps.proxy import connection
from pystack.apps.proxy.model import LinkWords
from pystack.apps.proxy.toxics.spec import DOWNSTREAM, UPSTREAM, Stream, ToxicSpec
from pystack.runtime.splice.acceptor import Address
from pystack.runtime.splice.connecting import Done, Pending, connect
from pystack.runtime.splice.poller import Poller
from pystack.stack.tcp_table import TcpTable


def table(rig: Rig, end: str) -> TcpTable:
    return rig.proxies.network.hosts[f"p-{end}"].stack.tcp


async def lose_all(rig: Rig, stream: Stream) -> None:
    toxic = ToxicSpec(f"all-{stream}", "loss", stream, attributes={"probability": 1})
    await rig.proxies.add_toxic("p", toxic)


def give_up(rig: Rig, end: str) -> None:
    """Let a host end its connections, as it would after many repeats."""
    tcp = table(rig, end)
    for each in tcp:
        tcp.abort(each, rig.proxies.network.driver.now())


def test_who_waits_for_an_end_that_the_link_has_swallowed_is_reset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "_NEWS_S", 0.02)
    ended: list[BaseException | None] = []

    async def end_first(stream: trio.SocketStream) -> None:
        await stream.send_all(await stream.receive_some())
        await stream.send_eof()
        try:
            await stream.receive_some()
            ended.append(None)
        except trio.BrokenResourceError as error:
            ended.append(error.__cause__)

    async def main() -> None:
        async with proxied(end_first) as rig:
            proxy = await rig.proxy()
            client = await rig.dial(proxy)
            await ask(client)
            assert await client.receive_some() == b""
            await lose_all(rig, UPSTREAM)
            await client.aclose()
            await trio.sleep(0.1)  # some looks: as long as the end is sent again it may arrive
            assert rig.proxies.find("p").counts.open == 1
            assert not ended
            give_up(rig, "client")
            await until(lambda: proxy.counts.open == 0)
            await until(lambda: ended)
            assert isinstance(ended[0], ConnectionResetError)

    in_trio(main)


def connect_with_little_room(
    poller: Poller, family: int, address: Address, on_done: Done, *, timeout_s: float
) -> Pending:
    def done(outcome: socket.socket | OSError, now: float) -> None:
        assert isinstance(outcome, socket.socket)
        outcome.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        on_done(outcome, now)

    return connect(poller, family, address, done, timeout_s=timeout_s)


def test_who_has_heard_the_end_has_its_time_to_take_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "_NEWS_S", 0.02)
    size_bytes = 120_000
    monkeypatch.setattr(connection, "connect", connect_with_little_room)
    may_read = trio.Event()
    found: list[int] = []

    async def read_late(stream: trio.SocketStream) -> None:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await stream.send_eof()
        await may_read.wait()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # else it takes seconds
        found.append(sum([len(data) async for data in stream]))

    async def main() -> None:
        async with proxied(read_late) as rig:
            proxy = await rig.proxy()
            client = await rig.dial(proxy)
            assert await client.receive_some() == b""
            await client.send_all(bytes(size_bytes))
            await client.send_eof()
            await until(lambda: not list(table(rig, "client")))
            assert rig.proxies.find("p").counts.traffic[UPSTREAM].sent_bytes < size_bytes
            await trio.sleep(0.1)  # some looks
            may_read.set()
            await until(lambda: found)
            assert found == [size_bytes]
            await until(lambda: proxy.counts.open == 0)

    in_trio(main)


def test_what_is_on_its_way_when_a_proxy_ends_does_not_hold_up_the_next_one() -> None:
    async def main() -> None:
        async with proxied() as rig:
            client = await rig.dial(await rig.proxy())
            await ask(client)
            toxic = ToxicSpec("", "delay", DOWNSTREAM, attributes={"delay": 1e9})
            await rig.proxies.add_toxic("p", toxic)
            await client.send_all(b"hello")
            await until(lambda: not rig.proxies.network.links[0].b_to_a.is_idle())
            await rig.proxies.delete("p")
            assert await ask(await rig.dial(await rig.proxy())) == b"hello"
            assert len(rig.proxies.network.links) == 1

    in_trio(main)


def test_toxics_that_come_and_go_need_no_more_links_than_there_are_connections() -> None:
    async def main() -> None:
        async with proxied() as rig:
            proxy = await rig.proxy(words=LinkWords(both={"delay": "1us"}))
            held = await rig.dial(proxy)
            await ask(held)
            for number in range(8):
                name = f"t{number}"
                toxic = ToxicSpec(name, "loss", toxicity=0.5, attributes={"probability": 0.001})
                await rig.proxies.add_toxic("p", toxic)
                for _ in range(4):
                    client = await rig.dial(proxy)
                    await ask(client)
                    await client.aclose()
                    await until(lambda: proxy.counts.open == 1)
                await rig.proxies.remove_toxic("p", name)
            assert len(rig.proxies.network.links) == 2
            assert await ask(held) == b"hello"

    in_trio(main)
