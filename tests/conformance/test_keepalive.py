"""RFC 9293 section 3.8.4, as programs ask for it: each connection has its own keep-alives."""

import errno
import socket as os_socket
from collections.abc import Awaitable, Callable

import pytest
import trio

import pystack
from pystack.runtime.network_link import NetworkLink

Program = Callable[[pystack.Host, NetworkLink], Awaitable[None]]


def beside_a_server(program: Program) -> None:
    """Run a program in virtual time with a host and its link to another, where port 80 is open."""

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            link = net.link(client, server, delay="1ms")
            await server.open_tcp_listeners(80)
            await program(client, link)

    pystack.run(main)


@pytest.mark.rfc("9293", "MUST-24")
@pytest.mark.rfc("9293", "MUST-27")
@pytest.mark.rfc("9293", "MAY-5")
@pytest.mark.parametrize("idle_s", [7.0, 300.0])
def test_each_stream_has_its_own_keep_alives(idle_s: float) -> None:
    async def program(client: pystack.Host, link: NetworkLink) -> None:
        asked = await client.open_tcp_stream("server", 80)
        other = await client.open_tcp_stream("server", 80)
        asked.set_keepalive(idle_s=idle_s, interval_s=1.0)
        before = [stream.info().segments_sent for stream in (asked, other)]
        await trio.sleep(10 * idle_s + 1)
        sent = [stream.info().segments_sent for stream in (asked, other)]
        assert [late - early for late, early in zip(sent, before, strict=True)] == [10, 0]
        asked.set_keepalive()
        await trio.sleep(10 * idle_s)
        assert asked.info().segments_sent == sent[0]

    beside_a_server(program)


@pytest.mark.rfc("9293", "MUST-24")
@pytest.mark.rfc("9293", "MUST-27")
def test_a_socket_asks_by_its_options_and_hears_that_the_peer_has_gone() -> None:
    async def program(client: pystack.Host, link: NetworkLink) -> None:
        async def ask() -> None:
            with trio.socket.socket() as stream:
                await stream.connect(("server", 80))
                for level, name, value in (
                    (os_socket.SOL_SOCKET, os_socket.SO_KEEPALIVE, 1),
                    (os_socket.IPPROTO_TCP, os_socket.TCP_KEEPIDLE, 20),
                    (os_socket.IPPROTO_TCP, os_socket.TCP_KEEPINTVL, 5),
                    (os_socket.IPPROTO_TCP, os_socket.TCP_KEEPCNT, 3),
                ):
                    stream.setsockopt(level, name, value)
                await trio.sleep(50)
                assert stream.getsockopt(os_socket.SOL_SOCKET, os_socket.SO_ERROR) == 0
                link.down()
                with pytest.raises(OSError, match=r".") as caught:
                    await stream.recv(1)
                assert caught.value.errno == errno.ETIMEDOUT
                assert 75 <= trio.current_time() <= 90

        await client.run(ask)

    beside_a_server(program)
