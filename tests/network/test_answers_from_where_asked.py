"""A host with several addresses answers UDP from the one that was asked (RFC 1122 4.1.3.5)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import tftp_client
import trio

import pystack
from pystack.core.addresses import format_ip4
from pystack.runtime import datagrams


def run(program: Callable[[], Awaitable[None]]) -> None:
    """Run it in virtual time."""
    pystack.run(program, seed=7)


@asynccontextmanager
async def routed() -> AsyncIterator[tuple[pystack.Network, pystack.Host, pystack.Host]]:
    """Open a network of a client and a router, whose first address is on another link."""
    async with pystack.Network(seed=7, ip="4") as net:
        other, client, router = net.host("other"), net.host("client"), net.router("router")
        net.link(other, router)
        net.link(client, router, delay="5ms")
        assert len(router.addresses) == 2
        yield net, client, router


def test_a_client_that_hears_one_partner_only_hears_the_answer() -> None:
    async def main() -> None:
        async with routed() as (_, client, router):
            await pystack.serve(router, "echo")
            for address in router.addresses:
                async with await client.open_udp_socket() as socket:
                    socket.connect((address, 7))
                    await socket.send(b"hello")
                    with trio.fail_after(1):
                        assert await socket.receive_from() == (b"hello", (address, 7))

    run(main)


def test_a_router_answers_as_a_name_server_at_all_of_its_addresses() -> None:
    async def main() -> None:
        async with routed() as (net, client, router):
            await net.dns(router)
            for address in ("router", *router.addresses, "router.eth1"):
                client.dns = address
                assert format_ip4(await client.look_up("other")) == net.hosts["other"].address
            assert client.counters["dns_answer_from_stranger"] == 0

    run(main)


def test_a_transfer_goes_on_at_the_address_that_was_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")

    async def main() -> None:
        async with routed() as (_, client, router):
            await pystack.serve(router, "tftp", root=tmp_path)
            for address in router.addresses:
                assert await tftp_client.fetch(client, address, b"file") == b"text"

    run(main)


def test_several_at_once_and_late_ones_too_and_the_usual_address_comes_back() -> None:
    async def main() -> None:
        async with routed() as (_, client, router):
            far, near = router.addresses
            there = await router.open_udp_socket(9)
            here = await client.open_udp_socket()
            await here.send_to(b"?", (far, 9))
            _, peer = await there.receive_from()
            await trio.sleep(10)
            await there.send_many_to([b"1", b"2"], peer)
            await there.send_to(b"3", peer)
            assert [(await here.receive_from())[1] for _ in range(3)] == [(far, 9)] * 3
            there.connect(peer)
            await there.send(b"4")
            assert (await here.receive_from())[1] == (far, 9)
            there.disconnect()
            await here.send_to(b"?", (near, 9))
            await there.receive_from()
            await there.send_to(b"5", peer)
            assert (await here.receive_from())[1] == (near, 9)

    run(main)


def test_a_second_link_that_comes_later_counts() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7, ip="4") as net:
            client, server = net.host("client"), net.router("server")
            net.link(client, server)
            await pystack.serve(server, "echo")
            net.link(net.host("late"), server)
            await net.hosts["late"].ping("server")
            async with await net.hosts["late"].open_udp_socket() as socket:
                for _ in range(2):  # the server waited before the link came: from the second on
                    await socket.send_to(b"hello", (server.addresses[0], 7))
                    _, sender = await socket.receive_from()
                assert sender == (server.addresses[0], 7)

    run(main)


def test_strangers_cannot_make_it_remember_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "_MAX_PLACES", 8)

    async def main() -> None:
        async with routed() as (_, client, router):
            there = await router.open_udp_socket(9)
            for _ in range(50):
                async with await client.open_udp_socket() as socket:
                    await socket.send_to(b"?", (router.addresses[0], 9))
                    await there.receive_from()
                assert len(there._places) <= 8

    run(main)
