"""What a beginner meets: a host without a link, an asyncio program, things that are printed."""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable

import pytest
import trio

import pystack

Scene = Callable[[pystack.Network], Awaitable[None]]


def run(scene: Scene) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            await scene(net)

    pystack.run(main, until=1000)


async def by_stream(host: pystack.Host, to: str) -> None:
    await host.open_tcp_stream(to, 80)


async def by_datagram(host: pystack.Host, to: str) -> None:
    await (await host.open_udp_socket()).send_to(b"x", (to, 9))


async def by_connected_datagram(host: pystack.Host, to: str) -> None:
    (await host.open_udp_socket()).connect((to, 9))


async def by_ping(host: pystack.Host, to: str) -> None:
    await host.ping(to)


async def by_socket(host: pystack.Host, to: str) -> None:
    await host.run(trio.socket.socket().connect, (to, 80))


async def by_datagram_socket(host: pystack.Host, to: str) -> None:
    async def send() -> None:
        await trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (to, 9))

    await host.run(send)


async def by_socket_on_host(host: pystack.Host, to: str) -> None:
    async def connect() -> None:
        await trio.socket.socket().connect((to, 80))

    await host.run(connect)


WAYS = (by_stream, by_datagram, by_connected_datagram, by_ping, by_datagram_socket)


@pytest.mark.parametrize("way", [*WAYS, by_socket_on_host])
@pytest.mark.parametrize("to", ["10.0.0.2", "b"])
def test_a_host_without_a_link_says_so_when_it_sends(
    way: Callable[[pystack.Host, str], Awaitable[None]], to: str
) -> None:
    async def scene(net: pystack.Network) -> None:
        alone, b, c = net.host("alone"), net.host("b"), net.host("c")
        net.link(b, c)
        with pytest.raises(OSError, match="Network is unreachable: alone has no link") as caught:
            await way(alone, to)
        assert caught.value.errno == errno.ENETUNREACH

    run(scene)


@pytest.mark.parametrize("way", [*WAYS, by_socket_on_host])
def test_a_name_of_a_host_without_a_link_says_so(
    way: Callable[[pystack.Host, str], Awaitable[None]],
) -> None:
    async def scene(net: pystack.Network) -> None:
        net.host("alone")
        b, c = net.host("b"), net.host("c")
        net.link(b, c)
        with pytest.raises(OSError, match="'alone' has no link yet, and so no address"):
            await way(b, "alone")
        with pytest.raises(OSError, match="b knows no host 'nobody'"):
            await way(b, "nobody")
        with pytest.raises(pystack.ConfigError, match="alone has no link yet, and so no address"):
            _ = net.hosts["alone"].address

    run(scene)


async def sleeps() -> None:
    await asyncio.sleep(1)


async def connects() -> None:
    await asyncio.open_connection("b", 80)


async def waits() -> None:
    loop = asyncio.new_event_loop()
    try:
        await loop.create_future()
    finally:
        loop.close()


async def has_its_own_loop() -> None:
    asyncio.run(connects())


@pytest.mark.parametrize("program", [sleeps, connects, waits, has_its_own_loop])
def test_an_asyncio_program_is_told_what_is_possible(
    program: Callable[[], Awaitable[None]],
) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, seal=True) as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b)
            with pytest.raises((RuntimeError, TypeError)) as caught:
                await a.run(program)
            (note,) = caught.value.__notes__
            assert "`await host.run_asyncio(main, ...)` runs it on a host" in note

    pystack.run(main)


def test_an_asyncio_program_in_a_run_is_told_too() -> None:
    with pytest.raises(RuntimeError, match="no running event loop") as caught:
        pystack.run(sleeps)
    assert len(caught.value.__notes__) == 1


def test_a_trio_program_that_is_run_as_one_of_asyncio_is_told_too() -> None:
    async def main() -> None:
        async with pystack.Network() as net:
            await net.host("a").run_asyncio(trio.sleep, 1)

    for run in (pystack.run, pystack.run_asyncio):
        with pytest.raises(RuntimeError, match="bad yield") as caught:
            run(main)
        assert "`await host.run(async_fn, ...)` runs it on a host" in caught.value.__notes__[0]


def test_an_error_of_the_programs_own_gets_no_note() -> None:
    async def fails() -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine") as caught:
        pystack.run(fails)
    assert not hasattr(caught.value, "__notes__")


def test_what_is_printed_can_be_read() -> None:
    async def scene(net: pystack.Network) -> None:
        a, r, b = net.host("a"), net.router("r"), net.host("b")
        link = net.link(a, r)
        net.link(r, b)
        await a.ping("b")
        assert str(a.routes).splitlines() == [
            "::1/128 dev lo src ::1",
            "fd00::1/128 dev lo src fd00::1",
            "fd00::/64 dev eth0 src fd00::1",
            "fe80::/64 dev eth0 src fe80::87:8fff:fe1f:70a0%2",
            "10.0.0.1/32 dev lo src 10.0.0.1",
            "10.0.0.0/24 dev eth0 src 10.0.0.1",
            "127.0.0.0/8 dev lo src 127.0.0.1",
            "default via 10.0.0.2 dev eth0 src 10.0.0.1",
            "default via fd00::2 dev eth0 src fd00::1",
        ]
        assert repr(a.routes) == f"<RouteTable of 9 routes>\n{a.routes}"
        assert [repr(interface)[:74] for interface in a.interfaces] == [
            "<lo 127.0.0.1/8 ::1/128 mtu 65535>",
            "<eth0 10.0.0.1/24 fd00::1/64 fe80::87:8fff:fe1f:70a0%2/64 mtu 1500 ether 0",
        ]
        (neighbor,) = a.neighbors
        assert repr(neighbor).startswith("<10.0.0.2 lladdr 02:")
        assert repr(neighbor).endswith(" REACHABLE>")
        assert repr(link) == "<NetworkLink a-r up>"
        link.down("a_to_b")
        assert repr(link) == "<NetworkLink a-r half down>"
        assert repr(net) == "<Network of hosts: 3, switches: 0, links: 2>"

    run(scene)
